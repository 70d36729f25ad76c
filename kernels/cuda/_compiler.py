"""What adapts ``numba.cuda``, and the only file that imports it.

A driver is a plain function, compiled for a device twice: ``in_double`` as it is written, and
``in_single`` with its numbers in float32. So are the methods of specs, which drivers call through
hooks: a literal is float64 to numba, and one of them would turn a float32 expression into float64,
of which most cards compute a thirty-second as much. The copy that a device compiles has its
literals, and the numbers and functions it finds by name, in the precision of its arguments. What
the processor compiles is left as it is.

The simulator (``NUMBA_ENABLE_CUDASIM=1``) runs the functions as they are written.
"""

import functools
import inspect
import math
import types as python_types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, types
from numba import cuda as cuda
from numba.core.dispatcher import Dispatcher

from fastgd.kernels import elementary
from fastgd.kernels._hook import HOOKS, cast
from fastgd.kernels.cuda import _launches

IS_SIMULATED = bool(config.ENABLE_CUDASIM)

if not IS_SIMULATED and getattr(cuda, "implementation", None) != "NVIDIA":
    import numba

    raise ImportError(
        f"the numba.cuda that is built into numba {numba.__version__} cannot compile fastgd's "
        "kernels: since 0.66 its min and max take one argument only. Install the package that "
        'replaces it: pip install "fastgd[cuda12]" or "fastgd[cuda13]", by the CUDA version that '
        "nvidia-smi shows."
    )

LANES = 2 if IS_SIMULATED else 32  # threads that read a row together
GROUPS = 2 if IS_SIMULATED else 4
BLOCK = LANES * GROUPS
STRIDE = LANES + 1  # of a row of partial sums: its lanes then lie in different banks
SCRATCH = BLOCK * STRIDE
SIDE = 2 if IS_SIMULATED else 16  # of a tile of products
MOST_BLOCKS = 2 if IS_SIMULATED else 1 << 10  # where a thread takes one number after the other
LIMITS = np.finfo(np.float32)
OURS = "fastgd.kernels"


# -- what exponentials mean on a device ------------------------------------------------------------


def _exp_in_single(x):
    return math.exp(min(max(x, -87.0), 88.0))


def _exp_in_double(x):
    return math.exp(min(max(x, -708.0), 709.0))


def _expm1_in_single(x):
    return math.expm1(min(max(x, -87.0), 88.0))


def _expm1_in_double(x):
    return math.expm1(min(max(x, -708.0), 709.0))


def _log1p(e):
    return math.log1p(e)


# The processor's own are polynomials in float64, made for vector code.
_MEANINGS: dict[Any, tuple[Callable, Callable]] = {
    elementary.exp: (_exp_in_double, _exp_in_single),
    elementary.expm1: (_expm1_in_double, _expm1_in_single),
    elementary.log1p: (_log1p, _log1p),
}

_UFUNCS = {  # of numbers, which devices know by other names
    **{np.sqrt: math.sqrt, np.exp: math.exp, np.expm1: math.expm1, np.log: math.log},
    **{np.log1p: math.log1p, np.tanh: math.tanh, np.floor: math.floor, np.ceil: math.ceil},
    **{np.copysign: math.copysign, np.maximum: max, np.minimum: min, np.abs: abs},
}


# -- copies of functions in a precision ------------------------------------------------------------


def in_precision(function: Any, *, single: bool) -> Any:
    """Return a copy of a function for the device, its numbers in float32 if ``single``.

    Parameters
    ----------
    function : function, or what numba has made of one for the processor
    single : bool

    Returns
    -------
    function : plain, to be compiled
    """
    plain = getattr(function, "py_func", function)
    return _simulated(plain) if IS_SIMULATED else _copied(plain, single)


def _simulated(function: Any) -> Any:
    """Return a driver for the simulator, which takes its arguments in one.

    The simulator would hand its own kind of arrays to what the processor has compiled.
    """
    found: dict[str, Any] = {}
    found["called"], found["quiet"] = _with_parts(function, found), np.errstate

    def unpacking(arguments):
        with quiet(all="ignore"):  # type: ignore[name-defined]  # noqa: F821
            called(*arguments)  # type: ignore[name-defined]  # noqa: F821

    return python_types.FunctionType(unpacking.__code__, found, function.__name__)


def _with_parts(function: Any, found: dict[str, Any]) -> Any:
    """Return a function for the simulator, which changes what ``cuda`` is where it finds it.

    That is among the names of the driver alone, so that its parts, of whichever file, share them.
    """
    copied = python_types.FunctionType(function.__code__, found, function.__name__)
    for name, value in function.__globals__.items():
        found.setdefault(name, value)
    found[function.__name__] = copied
    for name in function.__code__.co_names:
        value = function.__globals__.get(name)
        if isinstance(value, python_types.FunctionType) and value in _PARTS:
            _with_parts(value, found)
    return copied


@functools.cache
def _copied(function: Any, single: bool) -> Any:
    code = function.__code__
    if single:
        code = code.replace(co_consts=tuple(_number(value) for value in code.co_consts))
    found = dict(function.__globals__)
    for name in set(code.co_names) & found.keys():
        found[name] = _adapted(found[name], single)
    cells = tuple(
        python_types.CellType(_adapted(cell.cell_contents, single))
        for cell in function.__closure__ or ()
    )
    defaults = function.__defaults__
    copied = python_types.FunctionType(code, found, function.__name__, defaults, cells or None)
    copied.__kwdefaults__ = function.__kwdefaults__
    copied.__module__, copied.__qualname__ = function.__module__, function.__qualname__
    return copied


def _number(value: Any) -> Any:
    """Return a literal in float32, within what that holds; anything else as it is."""
    if type(value) is float:
        if math.isfinite(value) and value != 0.0:
            least, most = float(LIMITS.tiny), float(LIMITS.max)
            value = math.copysign(min(max(abs(value), least), most), value)
        return np.float32(value)
    return tuple(map(_number, value)) if type(value) is tuple else value


def _adapted(value: Any, single: bool) -> Any:
    """Return what a name stands for on the device."""
    if isinstance(value, Dispatcher):
        return _function_of(value, single)
    if isinstance(value, python_types.FunctionType):
        hooked = _hooks(single).get(value)  # a part may be one, which the simulator runs as it is
        if hooked is not None:
            return hooked
        return _function_of(value, single) if value in _PARTS else value
    if isinstance(value, python_types.ModuleType):
        is_adapted = value is np or value.__name__.startswith(OURS)
        return _module_of(value, single) if is_adapted else value
    if value is np.float64:
        return np.float32 if single else value
    if isinstance(value, np.ufunc):
        return _UFUNCS.get(value, value)
    return _number(value) if single else value


@functools.cache
def _function_of(function: Any, single: bool) -> Any:
    """Return the device's function for one that is called by its name."""
    own = _MEANINGS.get(function)
    plain = function if own is None else own[single]
    return cuda.jit(device=True, forceinline=True)(in_precision(plain, single=single))


class _Module(python_types.ModuleType):
    """A module whose names stand for what they are on the device."""

    def __init__(self, module: python_types.ModuleType, single: bool) -> None:
        super().__init__(module.__name__)
        self.__dict__["_of"] = module, single

    def __getattr__(self, name: str) -> Any:
        module, single = self.__dict__["_of"]
        found = self.__dict__[name] = _adapted(getattr(module, name), single)
        return found


@functools.cache
def _module_of(module: python_types.ModuleType, single: bool) -> Any:
    return _Module(module, single)


# -- hooks -----------------------------------------------------------------------------------------


def _hooks(single: bool) -> dict[Any, Callable]:
    """Return for each hook the one that drivers in a precision call."""
    return _first_hooks(single, len(HOOKS))


@functools.cache
def _first_hooks(single: bool, count: int) -> dict[Any, Callable]:
    """Return those of the first hooks there are: a file that is imported later brings further."""
    return {function: _hook_of(function, resolve, single) for function, resolve in HOOKS[:count]}


@functools.cache
def _hook_of(function: Callable, resolve: Callable, single: bool) -> Callable:
    """Make a hook that is resolved as on the processor, and compiled in a precision.

    It is a function of its own: the compilers would mix up what one function means to both.
    """

    def resolved(*arguments):
        found = _resolve_cast(*arguments) if function is cast else resolve(*arguments)
        return None if found is None else in_precision(found, single=single)

    resolved.__signature__ = inspect.signature(resolve)  # type: ignore[attr-defined]
    on_device = _called(function)
    cuda.extending.overload(on_device, jit_options={"forceinline": True})(resolved)
    return on_device


def _called(function: Callable) -> Callable:
    """Return a function of the same name and arguments, which is never run."""

    @functools.wraps(function)
    def on_device(*arguments):
        raise NotImplementedError

    return on_device


def _resolve_cast(value, reference):
    if reference == types.float32:
        return lambda value, reference: np.float32(value)
    return lambda value, reference: np.float64(value)


if not IS_SIMULATED:
    import numba.cuda.extending


# -- drivers ---------------------------------------------------------------------------------------


class Driver:
    """An entry point on the device, compiled on its first call for the types it is given.

    Parameters
    ----------
    function : plain function of arrays, numbers and specs
    """

    def __init__(self, function: Callable) -> None:
        functools.update_wrapper(self, function)
        self.py_func = function
        self._kernels: dict[bool, Any] = {}
        self._on_grids: dict[Any, Any] = {}

    def launch(self, grid: Any, block: Any, *arguments: Any, single: bool = False) -> None:
        """Run on a grid of blocks; the host does not wait for its end."""
        if _launches.is_recorded():
            _launches.queue(self._prepared(grid, block, arguments, single=single))
            return
        key = single, grid, block
        found = self._on_grids.get(key)
        if found is None or IS_SIMULATED:
            found = self._on_grids[key] = self._on_grid(single, grid, block)
        found(*((arguments,) if IS_SIMULATED else arguments))

    def _prepared(
        self, grid: Any, block: Any, arguments: tuple[Any, ...], *, single: bool
    ) -> Callable[[], Any]:
        """Return a call that launches with these arguments, again and again."""
        if IS_SIMULATED:  # its kernels remember the last grid that was asked for
            return lambda: self._on_grid(single, grid, block)(_launches.latest(arguments))
        on_grid = self._on_grid(single, grid, block)
        compiled = self._compiled(arguments, single=single)
        return _launches.Launch(compiled, on_grid.griddim, on_grid.blockdim, arguments)

    def spread(self, size: int, *arguments: Any, single: bool = False) -> None:
        """Run on as many threads as there are numbers, up to what a device has."""
        self.launch(blocks_for(size), BLOCK, *arguments, single=single)

    def most_together(self, block: Any, *arguments: Any, single: bool = False) -> int:
        """Return how many blocks run at once, so that their threads may wait for each other.

        0 where a device cannot have them wait; the driver is compiled for these arguments.
        """
        if IS_SIMULATED:
            return 1
        if not cuda.get_current_device().COOPERATIVE_LAUNCH:
            return 0
        compiled = self._compiled(arguments, single=single)
        return int(compiled.max_cooperative_grid_blocks(block))

    def _compiled(self, arguments: tuple[Any, ...], *, single: bool) -> Any:
        """Return what the driver is for the types of arguments."""
        kernel = self._kernel(single=single)
        return kernel.compile(tuple(map(kernel.typeof_pyval, arguments)))

    def _kernel(self, *, single: bool) -> Any:
        if single not in self._kernels:
            self._kernels[single] = cuda.jit(in_precision(self.py_func, single=single))
        return self._kernels[single]

    def _on_grid(self, single: bool, grid: Any, block: Any) -> Any:
        kernel = self._kernel(single=single)
        with warnings.catch_warnings():  # small data have small grids
            warnings.filterwarnings("ignore", message="Grid size .* will likely result")
            return kernel[grid, block]


def blocks_for(size: int) -> int:
    """Return how many blocks take so many numbers, one a thread, or one after the other."""
    return max(min(-(-size // BLOCK), MOST_BLOCKS), 1)


_PARTS: set[Callable] = set()


def part(function: Callable) -> Callable:
    """Mark a plain function that drivers of the same file call."""
    _PARTS.add(function)
    return function


def driver(function: Callable) -> Driver:
    """Make a driver of a function."""
    return Driver(function)
