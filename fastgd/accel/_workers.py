"""Worker processes do as their parent does.

joblib sends batches of calls to its workers. A reducer of these batches tells a worker, before it
unpickles anything of the batch, what is installed in the process that sent it. It is of joblib's
pickler alone: what a user pickles, or dumps by joblib, knows nothing of it.
"""

from typing import Any

from fastgd.accel import _patch
from fastgd.accel._report import JOURNAL

_is_registered = False


def register() -> None:
    """Have joblib's workers told."""
    global _is_registered
    if _is_registered:
        return
    try:
        from joblib.externals.loky.backend.reduction import register as register_reducer
        from joblib.parallel import BatchedCalls
    except ImportError:  # a joblib without loky has no workers but forks, which inherit all
        return
    register_reducer(BatchedCalls, _reduce)
    _is_registered = True


def _reduce(batch: Any) -> tuple[Any, ...]:
    """Return how a worker makes a batch of calls: after it was told what is installed."""
    state = _patch.STATE
    told = (state.is_installed, state.least, JOURNAL.is_verbose, JOURNAL.path)
    return _after_telling, (_Told(*told), *batch.__reduce__())


class _Told:
    """Is unpickled before the rest of a batch, and installs then what the parent has."""

    def __init__(
        self, is_installed: bool, least: int | None, is_verbose: bool, path: str | None
    ) -> None:
        self.told = (is_installed, least, is_verbose, path)

    def __reduce__(self) -> tuple[Any, ...]:
        return _tell, self.told


def _tell(is_installed: bool, least: int | None, is_verbose: bool, path: str | None) -> None:
    """Install, or uninstall, in a worker."""
    from fastgd import accel

    JOURNAL.is_worker, JOURNAL.is_verbose, JOURNAL.path = True, is_verbose, path
    if is_installed:
        accel.install(min_size=least)
    else:
        accel.uninstall()


def _after_telling(_: None, make: Any, arguments: tuple[Any, ...]) -> Any:
    return make(*arguments)
