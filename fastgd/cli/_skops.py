"""skops.io, for a process that is the command's own, without what only others' models need.

When it is imported, skops lists the types that it trusts by itself. To do so it walks all of
scikit-learn for the names of estimators, its test helpers and pytest included, and all modules for
those of functions. It imports the trees, clusterings and losses whose objects it knows how to save.
All that takes longer than many a fit. The command trusts the types that it names and no others, and
its models consist of none of these: where the process is its own, skops is told that there are no
such types.
"""

import sys
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any

from fastgd._readers.errors import needed
from fastgd._runtime.postponed import is_own_process, postponed
from fastgd.kernels._collector import collector_paused

_LEFT_OUT = ("skops.io._trusted_types", "skops.io._sklearn", "skops.io._quantile_forest")


class _Nothing(ModuleType):
    """A module all of whose constants are empty lists."""

    NODE_TYPE_MAPPING: dict[Any, Any] = {}  # noqa: RUF012

    def __getattr__(self, name: str) -> list[Any]:
        if name.isupper():
            return []
        raise AttributeError(name)


def skops_for(purpose: str) -> ModuleType:
    """Return ``skops.io``.

    Raises
    ------
    UserError
        If it is not installed; ``purpose`` is what it is needed for.
    """
    if is_own_process() and "skops.io" not in sys.modules:
        sys.modules.update({name: _Nothing(name) for name in _LEFT_OUT})
        with suppress(ImportError, AttributeError), collector_paused(), postponed():
            return import_module("skops.io")
        for name in [name for name in sys.modules if name.partition(".")[0] == "skops"]:
            del sys.modules[name]  # one that is made otherwise: all of it
    return needed("skops.io", purpose)
