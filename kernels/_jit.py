"""The only place where numba's options stand, and a disk cache that can be trusted.

``kernel`` compiles an entry point and keeps its machine code on disk; ``helper`` compiles what
entry points call, with the same options and no cache of its own.

Notes
-----
Numba's own disk cache is not used, for two reasons that were measured with numba 0.68. It judges
freshness by the file of the entry point alone, so an upgrade that changed only a helper in another
file ran the old machine code. And it keeps one index for all signatures of a function, so several
processes compiling at once left an index pointing at another signature's code.

Here every signature has a file of its own, written whole (``_files``), which begins with
a checksum over its content, its signature and everything that the code was made from. An entry
that is stale, foreign, truncated or damaged is the same case, a checksum that does not match, and
is seen before anything in it is unpickled. There is no index to race for, hence no lock, and the
same holds on Windows and on network drives. A stale entry is overwritten by the fresh one of the
same name, so the folder does not grow.

Reading an entry does not make numba load all that it can compile, as its own cache does: that is
three quarters of what a process would wait for. An entry lists the symbols that it links to, and
only where one of them is unknown is numba asked for everything.

From numba's private parts come ``Dispatcher._cache`` with its interface, ``CompileResultCacheImpl``
for the folder and for turning compiled code into plain objects, ``rtsys`` for the symbols of
numba's runtime, and a library's ``_final_module`` for those that an entry links to. Its events
tell when compilation begins and ends (``watch_compilation``).
"""

import contextlib
import functools
import gc
import hashlib
import itertools
import os
import pickle
import sys
import types as python_types
import warnings
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastgd.kernels._files import remove_stale, whole_file


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector while much is made that stays: it would walk all of it, often.

    That was a quarter of the time that ``import numba`` takes, and a fifth of a compilation's.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


with collector_paused():
    import numba
    from llvmlite import binding
    from numba import types
    from numba.core import config, event
    from numba.core.caching import CompileResultCacheImpl, NullCache
    from numba.core.runtime import rtsys
    from numba.core.serialize import dumps

# NaN and inf stay legal (no "nnan", no "ninf"): divergence is detected through them.
FASTMATH = frozenset({"contract", "reassoc", "arcp", "nsz"})

# Numba would wrap every function once more, for callers in C. There are none.
NO_WRAPPER = {"no_cfunc_wrapper": True}

# For the functions of ``numba.extending.overload``.
INLINED = {"forceinline": True, **NO_WRAPPER}

_PACKAGE = __name__.rpartition(".")[0]

# Their versions are in the stamp, or the interpreter's in the entry's name.
_TRUSTED = sys.stdlib_module_names | {"numpy", "numba"}


def kernel(function: Callable | None = None, /, **options: Any) -> Any:
    """Compile an entry point on its first call and cache its machine code on disk."""
    if function is None:
        return functools.partial(kernel, **options)
    compiled = helper(function, **{"forceinline": False, **options})
    # Absent where NUMBA_DISABLE_JIT left a plain function.
    if hasattr(compiled, "_cache"):
        compiled._cache = _Cache(function)
        compiled.compile = collector_paused()(compiled.compile)
    return compiled


def helper(function: Callable | None = None, /, *, allocates: bool = False, **options: Any) -> Any:
    """Compile a function that kernels call; it becomes a part of them.

    A helper that LLVM left as a call would be linked, in the process that compiles, to the copy
    that numba compiled of it alone, and elsewhere to the copy cached with its kernel: two codes,
    whose last digits differ. So all helpers are inlined, which costs no time here or there.

    What allocates no array says so by being silent, and is spared the counting of references, which
    is an atomic addition or more for each array it hands on, in the innermost loop too. Arrays that
    it is given, or parts of them, are borrowed: their owner waits. What allocates may hand its
    arrays to any helper, and return them only to one that allocates.
    """
    if function is None:
        return functools.partial(helper, allocates=allocates, **options)
    common = {"nogil": True, "error_model": "numpy", "fastmath": set(FASTMATH), **NO_WRAPPER}
    options.setdefault("forceinline", True)
    return numba.njit(**{**common, **options, "_nrt": allocates})(function)


def cache_folder() -> str | None:
    """Return the folder that holds this package's machine code, None where none is writable."""
    storage = _Cache(cache_folder).storage
    return None if storage is None else storage.locator.get_cache_path()


def watch_compilation(begun: Callable[[str], object], ended: Callable[[], object]) -> None:
    """Have ``begun(name)`` called when a kernel's compilation begins, and ``ended()`` after it.

    Neither is called for a kernel that is read from disk, nor for what a kernel compiles on its
    way. The calls come from the thread that compiles, which holds numba's lock.
    """
    event.register("numba:compile", _Compilations(begun, ended))


class _Compilations(event.Listener):
    """Picks the outermost compilations of this package out of numba's events."""

    def __init__(self, begun: Callable[[str], object], ended: Callable[[], object]) -> None:
        self._begun, self._ended, self._depth = begun, ended, 0

    def on_start(self, event: event.Event) -> None:
        function = event.data["dispatcher"].py_func
        if self._depth == 0:
            if not (function.__module__ or "").startswith(f"{_PACKAGE}."):
                return
            self._begun(function.__name__)
        self._depth += 1

    def on_end(self, event: event.Event) -> None:
        if self._depth == 0:
            return
        self._depth -= 1
        if self._depth == 0:
            self._ended()


def count_compiled() -> int:
    """Return how many kernels this process has compiled, signature by signature."""
    return _Cache.n_compiled


def _stamp_of_sources(folder: Path) -> str | None:
    """Return a digest of all kernel sources and of what else compiled code depends on.

    None, which turns caching off, where there are no sources to read, as in a frozen program.
    """
    digest = hashlib.sha256()
    paths = sorted(folder.rglob("*.py"))
    for path in paths:
        source = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(source)} ".encode() + source)
    versions = (numba.__version__, np.__version__, config.OPT, config.BOUNDSCHECK)
    digest.update(repr(versions).encode())
    return digest.hexdigest() if paths else None


# Read once, on import: the sources on disk may change while this process runs the old ones.
_STAMP = _stamp_of_sources(Path(__file__).parent)


class _Untraceable(Exception):
    """What a compiled function depends on cannot be told, so it must not be cached."""


class _Entry(NamedTuple):
    """Where a signature's machine code lies, and what must not have changed since."""

    path: str
    provenance: str


class _Cache(NullCache):
    """One file a signature, trusted only if its checksum covers today's sources.

    It stands in for numba's own cache in a dispatcher: a miss is None, and nothing is raised.
    """

    n_compiled = 0  # by the whole process

    def __init__(self, function: Callable) -> None:
        self._function = function

    @functools.cached_property
    def storage(self) -> CompileResultCacheImpl | None:
        """Numba's choice of folder; None where no folder is writable."""
        try:
            return CompileResultCacheImpl(self._function)
        except RuntimeError:
            return None

    @property
    def cache_path(self) -> str | None:
        """The folder, as ``Dispatcher.stats`` reports it."""
        return None if self.storage is None else self.storage.locator.get_cache_path()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled code for a signature, or None."""
        entry = self._entry(sig, target_context.codegen())
        if entry is None:
            return None
        # Whatever is wrong with an entry, compiling anew puts it right.
        with contextlib.suppress(Exception):
            blob = Path(entry.path).read_bytes()
            checksum, body = blob[:32], blob[32:]
            if checksum == _checksum(entry, body):
                compiled = pickle.loads(body)
                _make_known(compiled.symbols, target_context)
                return self.storage.rebuild(target_context, compiled.parts)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write the compiled code for a signature; a full disk is no error.

        Where nothing can be written, one warning tells that every process will compile anew.
        """
        _Cache.n_compiled += 1
        if self.storage is None:
            _warn_once(_NOWHERE)
        entry = self._entry(sig, data.codegen)
        if entry is None or not self.storage.check_cachable(data):
            return
        with contextlib.suppress(pickle.PicklingError):
            body = dumps(_Compiled(_symbols(data.library), self.storage.reduce(data)))
            self._write(entry, _checksum(entry, body) + body)

    def _write(self, entry: _Entry, blob: bytes) -> None:
        """Write an entry; where that fails, tell once that every process will compile anew."""
        try:
            self.storage.locator.ensure_cache_path()
            remove_stale(self.cache_path, lambda name: name.endswith(".nbc"))
            with whole_file(entry.path) as file:
                file.write(blob)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            _warn_once(_NOT_WRITTEN.format(folder=self.cache_path, reason=reason))

    def _entry(self, sig: Any, codegen: Any) -> _Entry | None:
        """Name a signature's entry; None where it must not be cached."""
        if _STAMP is None or self.storage is None:
            return None
        try:
            arguments = _spell_all(getattr(sig, "args", sig))
            provenance = _provenance(self._function, arguments.classes)
        except (_Untraceable, ValueError):  # ValueError: a closure's cell that is still empty
            return None
        machine = repr(codegen.magic_tuple())  # target triple, CPU name, CPU features
        digest = hashlib.sha256(f"{machine} {arguments.text}".encode()).hexdigest()
        return _Entry(os.path.join(self.cache_path, self._file_name(digest)), provenance + digest)

    def _file_name(self, digest: str) -> str:
        """Name the function, the interpreter and the signature, in letters any disk takes."""
        name = f"{self._function.__module__.rpartition('.')[2]}.{self._function.__qualname__}"
        name = "".join(letter for letter in name if letter not in "<>")
        return f"{name}.{sys.implementation.cache_tag}.{digest[:24]}.nbc"


class _Compiled(NamedTuple):
    """What an entry holds: the names that the code links to, and the code as plain objects."""

    symbols: tuple[str, ...]
    parts: tuple


def _symbols(library: Any) -> tuple[str, ...]:
    """List what a library links to and does not define."""
    module = library._final_module
    values = itertools.chain(module.functions, module.global_variables)
    names = (value.name for value in values if value.is_declaration)
    return tuple(sorted(name for name in names if not name.startswith("llvm.")))


def _make_known(symbols: Iterable[str], target_context: Any) -> None:
    """Register what machine code links to: an unknown name would end the process."""
    rtsys.initialize(target_context)
    if not all(binding.address_of_symbol(name) for name in symbols):
        target_context.refresh()


@functools.cache
def _warn_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)


_NOWHERE = (
    "No folder for compiled kernels is writable, neither the package's nor the user's: every "
    "process compiles anew. Set NUMBA_CACHE_DIR to a folder that can be written to."
)

_NOT_WRITTEN = (
    "Compiled kernels could not be kept in {folder}: {reason}. Every process compiles them anew, "
    "which takes seconds. Make room in that folder, or set NUMBA_CACHE_DIR to another one."
)


def _checksum(entry: _Entry, body: bytes) -> bytes:
    """Digest an entry's content together with everything that it was made from."""
    return hashlib.sha256(entry.provenance.encode() + b"\0" + body).digest()


class _Spelling(NamedTuple):
    """A numba type in words that mean the same in every process, and the classes it names."""

    text: str
    classes: frozenset


def _spell(kind: types.Type) -> _Spelling:
    """Spell out a type; numba's own name of a named tuple leaves out the class's module."""
    if isinstance(kind, types.BaseNamedTuple):
        text, classes = _spell_all(kind)
        cls = kind.instance_class
        return _Spelling(f"{_full_name(cls)}{kind.fields}{text}", classes | {cls})
    if isinstance(kind, types.BaseTuple):
        return _spell_all(kind)
    if isinstance(kind, types.Array):
        return _Spelling(f"{kind}", _spell(kind.dtype).classes)
    if isinstance(kind, _PLAIN):
        return _Spelling(f"{type(kind).__name__} {kind}", frozenset())
    # A function as an argument has another identity in each process: it would never be found
    # again. Nothing else is known to hold no user's class inside.
    raise _Untraceable(kind)


def _spell_all(kinds: Iterable[types.Type]) -> _Spelling:
    """Spell out the types of a tuple or of a call's arguments."""
    parts = [_spell(kind) for kind in kinds]
    text = ", ".join(part.text for part in parts)
    return _Spelling(f"({text})", frozenset().union(*(part.classes for part in parts)))


_PLAIN = (types.Number, types.Boolean, types.NoneType, types.Omitted, types.UnicodeType)


def _provenance(function: Callable, classes: frozenset) -> str:
    """Digest what an entry was made from: all kernels, and the user's classes and functions."""
    fingerprint = _Fingerprint()
    fingerprint.visit(function)
    for cls in sorted(classes, key=_full_name):
        fingerprint.visit(cls)
    return f"{_STAMP}{fingerprint.hexdigest()}"


def _full_name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _is_ours(module: str) -> bool:
    """Tell whether a module's source is in the stamp."""
    return module == _PACKAGE or module.startswith(f"{_PACKAGE}.")


def _is_trusted(module: str | None) -> bool:
    """Tell whether a module's name says all, because its version or source is in the stamp."""
    return module is not None and (module.partition(".")[0] in _TRUSTED or _is_ours(module))


class _Fingerprint:
    """Digest of the code that a user's classes and functions stand for.

    Bytecode, constants, defaults and sources, followed into the functions, classes, modules and
    values that they name: without it, a kernel cached with a user's loss would go on running that
    loss after it was edited. What cannot be followed raises ``_Untraceable``.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._seen: set[Any] = set()

    def hexdigest(self) -> str:
        """Return the digest of all that was visited."""
        return self._digest.hexdigest()

    @functools.singledispatchmethod
    def visit(self, value: Any) -> None:
        """Add a value, by its type."""
        if isinstance(getattr(value, "py_func", None), python_types.FunctionType):
            self.visit(value.py_func)  # compiled by numba; its options stand in its source file
        elif hasattr(value, "__qualname__") and _is_trusted(getattr(value, "__module__", None)):
            self._add(_full_name(value))
        else:
            raise _Untraceable(value)

    @visit.register(int | float | complex | str | bytes | None | Enum | np.generic | types.Type)
    @visit.register(type(...))
    def _(self, value: Any) -> None:
        self._add(type(value).__name__, repr(value))

    @visit.register
    def _(self, value: np.ufunc) -> None:
        self._add("ufunc", value.__name__)

    @visit.register
    def _(self, value: np.ndarray) -> None:
        if value.dtype.hasobject:
            raise _Untraceable(value)
        self._add("array", value.dtype.descr, value.shape, value.tobytes())

    @visit.register
    def _(self, value: tuple) -> None:
        self._add("tuple", len(value))
        self.visit(type(value))
        for item in value:
            self.visit(item)

    @visit.register
    def _(self, value: frozenset) -> None:
        self._add("set", sorted(map(repr, value)))  # the order of strings in a set is random

    @visit.register
    def _(self, function: python_types.FunctionType) -> None:
        self._add("function", _full_name(function))
        ours = _is_ours(function.__module__)
        if not self._is_new(function) or (_is_trusted(function.__module__) and not ours):
            return
        names = frozenset() if ours else self._visit_body(function)
        # The stamp knows our sources, but not what a function was closed over.
        for cell in function.__closure__ or ():
            self._visit_named({"closure": cell.cell_contents}, names | {"closure"})

    @visit.register
    def _(self, cls: type) -> None:
        self._add("class", _full_name(cls))
        if _is_trusted(cls.__module__) or not self._is_new(cls):
            return
        if not _is_importable(cls) or not issubclass(cls, tuple | Enum):
            raise _Untraceable(cls)
        self._visit_source(cls.__module__)
        if issubclass(cls, Enum):
            self.visit(tuple((member.name, member.value) for member in cls))
            return
        self.visit((*cls.__bases__, getattr(cls, "_fields", ())))
        self.visit(tuple(sorted(getattr(cls, "_field_defaults", {}).items())))
        for name, value in sorted(vars(cls).items()):
            if name not in _EVERY_TUPLE_HAS and not name.startswith("__"):
                self._add(name)
                self._visit_attribute(value)

    def _visit_body(self, function: python_types.FunctionType) -> frozenset:
        """Add a function's code and what it finds by name; return the names."""
        self._visit_source(function.__module__)
        self.visit(function.__defaults__)
        self.visit(tuple(sorted((function.__kwdefaults__ or {}).items())))
        names = frozenset(self._visit_code(function.__code__))
        self._visit_named(function.__globals__, names)
        return names

    def _visit_attribute(self, value: Any) -> None:
        """Add a class's attribute, a method or a constant."""
        if isinstance(value, staticmethod | classmethod):
            self.visit(value.__func__)
        elif isinstance(value, property):
            self.visit(value.fget)
        elif type(value).__name__ != "_tuplegetter":  # a field
            self.visit(value)

    def _visit_named(self, namespace: dict, names: frozenset) -> None:
        """Add what code that mentions these names can find in a module."""
        for name in sorted(names & namespace.keys()):
            value = namespace[name]
            self._add(name)
            if not isinstance(value, python_types.ModuleType):
                self.visit(value)
            elif not _is_trusted(value.__name__) and self._is_new(value, names):
                self._visit_named(vars(value), names)

    def _visit_code(self, code: python_types.CodeType) -> Iterator[str]:
        """Add a code object and those inside it; yield the names that they mention."""
        self._add(code.co_code, code.co_names, code.co_varnames, code.co_argcount)
        yield from code.co_names
        for constant in code.co_consts:
            if isinstance(constant, python_types.CodeType):
                yield from self._visit_code(constant)
            else:
                self.visit(constant)

    def _visit_source(self, module: str) -> None:
        """Add a module's file: an ``@overload`` in it is reached by no name."""
        path = getattr(sys.modules.get(module), "__file__", None)
        if path is not None and self._is_new(path):
            with contextlib.suppress(OSError):
                self._add(Path(path).read_bytes())

    def _add(self, *parts: Any) -> None:
        self._digest.update(f"{parts!r}\n".encode())

    def _is_new(self, *key: Any) -> bool:
        is_new = key not in self._seen
        self._seen.add(key)
        return is_new


class _NoFields(NamedTuple):
    """A named tuple with nothing of its own."""


_EVERY_TUPLE_HAS = frozenset(vars(_NoFields))


def _is_importable(cls: type) -> bool:
    """Tell whether another process finds this very class under its name.

    The script that is run is ``__main__`` in each process, so its classes prove nothing.
    """
    if cls.__module__ in {"__main__", "__mp_main__"}:
        return False
    found: Any = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is cls
