"""skops.io, for a process that is the command's own, without what only others' models need.

When it is imported, skops walks all of scikit-learn for the names of estimators, which it trusts by
itself: the walk imports every module of scikit-learn, its test helpers and pytest included, and
takes longer than many a fit. The command trusts the types that it names and no others, so where the
process is its own, skops is told of no estimators.
"""

import sys
from types import ModuleType
from typing import Any

from fastgd._readers.errors import needed
from fastgd.kernels._collector import collector_paused

_own: list[bool] = []  # not empty once the process is known to be the command's


def own_process() -> None:
    """Say that nobody else loads models in this process."""
    _own.append(True)


def is_own_process() -> bool:
    """Tell whether the process is known to be the command's."""
    return bool(_own)


def skops_for(purpose: str) -> ModuleType:
    """Return ``skops.io``.

    Raises
    ------
    UserError
        If it is not installed; ``purpose`` is what it is needed for.
    """
    if not is_own_process() or "skops.io" in sys.modules:
        return needed("skops.io", purpose)
    utils: Any = needed("sklearn.utils", purpose)
    walk = utils.all_estimators
    utils.all_estimators = list  # of nothing
    try:
        with collector_paused():
            return needed("skops.io", purpose)
    finally:
        utils.all_estimators = walk
