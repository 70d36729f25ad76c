"""The command's own process: modules that libraries import and it hardly ever uses wait.

scikit-learn alone brings in all of pandas, of ``scipy.stats`` and of its own linear models: two
thirds of what ``fastgd train`` would take before it reads the first row. While the command imports
what it runs, an object stands in for each of them. Whatever is asked of it comes from the module,
which is imported then.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from fastgd.kernels._collector import collector_paused

WHEN_CALLED = ""  # in place of a file: a function that is imported when somebody calls it

# what waits, and those of its names that are found in a file of it, without all the others
UNUSED: dict[str, dict[str, str]] = {
    "asyncio": {},
    "narwhals": {},
    "narwhals.stable": {},
    "narwhals.stable.v2": {},
    "numpy.f2py": {},
    "numpy.ma": {},
    "numpy.testing": {},
    "pandas": {},
    "scipy.linalg": {},
    "scipy.optimize": {},
    "scipy.sparse.csgraph": {"laplacian": WHEN_CALLED},
    "scipy.sparse.linalg": {
        "LinearOperator": "_interface",
        "cg": WHEN_CALLED,
        "lsqr": WHEN_CALLED,
    },
    "scipy.special": {
        **dict.fromkeys(("boxcox", "exp10", "expit", "inv_boxcox", "xlogy"), "_ufuncs"),
        # which that file imports
        **{file: file for file in ("_ellip_harm_2", "_gufuncs", "_special_ufuncs", "_ufuncs_cxx")},
    },
    "scipy.stats": {},
    "sklearn.compose": {"ColumnTransformer": "_column_transformer"},
    "sklearn.impute": {"SimpleImputer": "_base"},
    "sklearn.linear_model": {"LinearClassifierMixin": "_base", "SparseCoefMixin": "_base"},
    "sklearn.metrics": {
        "f1_score": "_classification",
        "recall_score": "_classification",
    },
    "sklearn.preprocessing": {
        "FunctionTransformer": "_function_transformer",
        "LabelBinarizer": "_label",
        "LabelEncoder": "_label",
        "OneHotEncoder": "_encoders",
        "StandardScaler": "_data",
    },
    "yaml": {},  # numba reads a file of settings by it, where there is one
}

LEFT_OUT = ("rich",)  # for progress bars that the command has not; scikit-learn does without

_own: list[bool] = []  # not empty once the process is known to be the command's


def own_process() -> None:
    """Say that the process is the command's: nobody else imports or loads anything in it."""
    _own.append(True)


def is_own_process() -> bool:
    """Tell whether the process is known to be the command's."""
    return bool(_own)


def imported(name: str) -> Any:
    """Return ``function`` of ``"module:function"``, without what the process need not import.

    The garbage collector rests: it would walk thousands of modules.
    """
    module, _, attribute = name.partition(":")
    with collector_paused(), postponed():
        return getattr(import_module(module), attribute)


class StandIn(ModuleType):
    """Stands in for a module until something of it is asked for, and hands that on."""

    def __getattr__(self, name: str) -> Any:
        is_waiting = sys.modules.get(self.__name__) is self
        file = UNUSED[self.__name__].get(name) if is_waiting else None
        if file == WHEN_CALLED:
            return _when_called(self.__name__, name)
        if file is not None:
            with suppress(ImportError, AttributeError):  # where another version has it elsewhere
                return getattr(import_module(f"{self.__name__}.{file}"), name)
        self.leave()
        return getattr(import_module(self.__name__), name)

    def leave(self) -> None:
        """Leave the place to the module itself."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        package, _, last = self.__name__.rpartition(".")
        if vars(sys.modules.get(package, self)).get(last) is self:
            delattr(sys.modules[package], last)


def _when_called(module: str, name: str) -> Callable[..., Any]:
    def function(*args: Any, **kwargs: Any) -> Any:
        return getattr(import_module(module), name)(*args, **kwargs)

    return function


class _There(Loader):
    """Loads a module that has been imported meanwhile."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:  # noqa: ARG002
        """Return it."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Leave it as it was."""
        module.__spec__ = self._spec


class _Finder(MetaPathFinder, Loader):
    """Finds an object that stands in for a module, and of a package the files that are listed.

    Other files are imported with their package, which comes first: they may import each other.
    """

    def __init__(self) -> None:
        self.made: dict[str, StandIn] = {}

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if name in LEFT_OUT:
            raise ModuleNotFoundError(f"{name} is not imported", name=name)
        package, _, file = name.rpartition(".")
        one = sys.modules.get(package)
        if isinstance(one, StandIn) and name not in UNUSED:
            return None if file in UNUSED[package].values() else self._with_package(one, name)
        is_wanted = name not in UNUSED or name in self.made
        found = None if is_wanted else PathFinder.find_spec(name, path)
        if found is None:
            return None
        spec = ModuleSpec(name, self)
        spec.submodule_search_locations = found.submodule_search_locations
        return spec

    def _with_package(self, one: StandIn, name: str) -> ModuleSpec | None:
        one.leave()
        import_module(one.__name__)
        return ModuleSpec(name, _There(sys.modules[name])) if name in sys.modules else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python, which asks a new module for what it has not."""

    def exec_module(self, module: ModuleType) -> None:
        """Make it one that stands in."""
        module.__class__ = StandIn
        self.made[module.__name__] = module  # type: ignore[assignment]


@contextmanager
def postponed() -> Iterator[None]:
    """Let modules wait that are imported in the block, if the process is the command's.

    After it none of them seems to be imported, and ``import`` brings in the module itself.
    """
    if not is_own_process():
        yield
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for one in finder.made.values():
            one.leave()
