"""The methods of scikit-learn's classes, replaced in place, and put back.

A class is scikit-learn's own before and after: whoever has imported it, pickled it, or subclassed
it sees no other class. Classes of modules that are not imported yet are patched when they are.
"""

import functools
import importlib.abc
import importlib.machinery
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from fastgd.accel._report import JOURNAL, Note

PACKAGES = ("sklearn.linear_model", "sklearn.svm", "sklearn.neural_network")


class Installation:
    """What is installed in this process."""

    is_installed = False
    least: int | None = None
    originals: dict[tuple[type, str], Any] = {}  # noqa: RUF012


STATE = Installation()
_MISSING = object()


def patch_all() -> None:
    """Patch the packages that are imported, and have the others patched when they are."""
    for name in PACKAGES:
        if name in sys.modules:
            patch(sys.modules[name])
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def patch(package: ModuleType) -> None:
    """Replace the methods of a package's classes, and have joblib's workers told."""
    from fastgd.accel import _workers
    from fastgd.accel._table import STANDS

    _workers.register()
    for stand in STANDS:
        kind = getattr(package, stand.name, None) if stand.module == package.__name__ else None
        if kind is None:
            continue
        for method in stand.methods:
            if (kind, method) in STATE.originals or not hasattr(kind, method):
                continue
            STATE.originals[kind, method] = vars(kind).get(method, _MISSING)
            setattr(kind, method, _accelerated(stand, kind, method))


def restore_all() -> None:
    """Put back every method that was replaced."""
    for (kind, method), original in STATE.originals.items():
        if original is _MISSING:
            delattr(kind, method)
        else:
            setattr(kind, method, original)
    STATE.originals.clear()
    if _FINDER in sys.meta_path:
        sys.meta_path.remove(_FINDER)


def _accelerated(stand: Any, kind: type, method: str) -> Callable[..., Any]:
    """Return what takes the place of a method."""
    from fastgd.accel._attempt import attempt

    found = getattr(kind, method)
    original = getattr(found, "_before_acceleration", found)  # of a base class that is patched

    @functools.wraps(original)
    def accelerated(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True  # of pytest and IPython: the user's line comes first
        begin = time.perf_counter()
        given = (self, args, kwargs, STATE.least)
        reason = attempt(stand, kind, original, method, given)
        try:
            return self if reason is None else original(self, *args, **kwargs)
        finally:
            _note(self, method, args, kwargs, time.perf_counter() - begin, reason)

    accelerated._before_acceleration = original  # type: ignore[attr-defined]
    return accelerated


def _note(
    model: Any, method: str, args: Any, kwargs: Any, seconds: float, reason: str | None
) -> None:
    """Count a call."""
    suffix = "" if method == "fit" else f".{method}"
    rows = _n_rows(args[0] if args else kwargs.get("X"))
    JOURNAL.take(Note(f"{type(model).__name__}{suffix}", rows, seconds, reason))


def _n_rows(X: Any) -> int:
    """Return the number of rows, or 0 of what has none: of X that scikit-learn has refused."""
    shape = getattr(X, "shape", None)
    try:
        return int(shape[0] if shape else len(X))
    except (TypeError, ValueError):
        return 0


# -- modules that are not imported yet -----------------------------------------------------------


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the packages of scikit-learn as others do, and patches them once they are loaded."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in PACKAGES:
            return None
        for finder in _others():
            spec = finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                _patch_after(spec.loader)
                return spec
        return None


def _others() -> Iterator[Any]:
    return (finder for finder in list(sys.meta_path) if finder is not _FINDER)


def _patch_after(loader: Any) -> None:
    """Have a loader patch the package that it loads."""
    load = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        load(module)
        if STATE.is_installed:
            patch(module)

    loader.exec_module = exec_module


_FINDER = _Finder()
