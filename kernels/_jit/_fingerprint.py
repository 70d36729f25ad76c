"""What machine code was made from: our sources, a user's classes and functions, argument types."""

import contextlib
import functools
import hashlib
import sys
import types as python_types
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.core import config

# The package of all kernels, two steps above this file. Resolved, it is one folder of machine code
# whether a checkout was imported through its symlink or by another way.
PACKAGE = __name__.rsplit(".", 2)[0]
FOLDER = Path(__file__).resolve().parent.parent
# Their versions are in the stamp, or the interpreter's in the entry's name.
_TRUSTED = sys.stdlib_module_names | {"numpy", "numba"}


def _stamp_of_sources(folder: Path) -> str | None:
    """Return a digest of all kernel sources and of what else compiled code depends on.

    None, which turns caching off, where there are no sources to read, as in a frozen program.
    """
    digest = hashlib.sha256()
    paths = sorted(folder.rglob("*.py"))
    for path in paths:
        source = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(source)} ".encode() + source)
    # of NumPy's, that from which on arrays lie otherwise in memory; numba's own cache asks for none
    numpy_version = np.__version__.partition(".")[0]
    versions = (numba.__version__, numpy_version, config.OPT, config.BOUNDSCHECK)
    digest.update(repr(versions).encode())
    return digest.hexdigest() if paths else None


# Read once, on import: the sources on disk may change while this process runs the old ones.
STAMP = _stamp_of_sources(FOLDER)


class Untraceable(Exception):
    """What a compiled function depends on cannot be told, so it must not be cached."""


class _Spelling(NamedTuple):
    """A numba type in words that mean the same in every process, and the classes it names."""

    text: str
    classes: frozenset


def spell(kind: types.Type) -> _Spelling:
    """Spell out a type; numba's own name of a named tuple leaves out the class's module."""
    if isinstance(kind, types.BaseNamedTuple):
        text, classes = spell_all(kind)
        cls = kind.instance_class
        return _Spelling(f"{_full_name(cls)}{kind.fields}{text}", classes | {cls})
    if isinstance(kind, types.BaseTuple):
        return spell_all(kind)
    if isinstance(kind, types.Array):
        return _Spelling(f"{kind}", spell(kind.dtype).classes)
    if isinstance(kind, _PLAIN):
        return _Spelling(f"{type(kind).__name__} {kind}", frozenset())
    # A function as an argument has another identity in each process: it would never be found
    # again. Nothing else is known to hold no user's class inside.
    raise Untraceable(kind)


def spell_all(kinds: Iterable[types.Type]) -> _Spelling:
    """Spell out the types of a tuple or of a call's arguments."""
    parts = [spell(kind) for kind in kinds]
    text = ", ".join(part.text for part in parts)
    return _Spelling(f"({text})", frozenset().union(*(part.classes for part in parts)))


_PLAIN = (types.Number, types.Boolean, types.NoneType, types.Omitted, types.UnicodeType)


def provenance_of(function: Callable, classes: frozenset) -> str:
    """Digest what an entry was made from: all kernels, and the user's classes and functions."""
    fingerprint = Fingerprint()
    fingerprint.visit(function)
    for cls in sorted(classes, key=_full_name):
        fingerprint.visit(cls)
    return f"{STAMP}{fingerprint.hexdigest()}"


def _full_name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def is_ours(module: str) -> bool:
    """Tell whether a module's source is in the stamp."""
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")


def _is_trusted(module: str | None) -> bool:
    """Tell whether a module's name says all, because its version or source is in the stamp."""
    return module is not None and (module.partition(".")[0] in _TRUSTED or is_ours(module))


class Fingerprint:
    """Digest of the code that a user's classes and functions stand for.

    Bytecode, constants, defaults and sources, followed into the functions, classes, modules and
    values that they name: without it, a kernel cached with a user's loss would go on running that
    loss after it was edited. What cannot be followed raises ``Untraceable``.
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
            raise Untraceable(value)

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
            raise Untraceable(value)
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
        ours = is_ours(function.__module__)
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
            raise Untraceable(cls)
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
