"""A cluster that a fit asks for sums, and how it is known that no answer will come.

What blocks on a client's event loop blocks for ever once the loop has ended or the scheduler has
closed in good order: nobody tells those who wait. So a thread asks, and the fit waits for the
thread, looking now and then whether there still is a scheduler.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from threading import Thread
from typing import Any

LOOK_AFTER = 2.0  # seconds without an answer, before the scheduler is looked for


class ClusterLost(RuntimeError):
    """The scheduler no longer answers, or a partition has cost too many workers.

    The estimator is as it was before the fit; a ``fastgd.callbacks.Checkpoint`` has kept the
    coefficients of the last pass, and so has this error.

    Attributes
    ----------
    model : estimator or None
        A copy of the estimator as if the fit had ended then, without its callbacks: with what the
        last pass, epoch or steps have found. None before the first pass or epoch has ended.
    """

    model: Any = None


class Cluster:
    """Where delayed values are computed: a client's workers, or Dask's threads without a client.

    The client is the one that is current when this is made: what begins on a cluster goes on there
    or not at all, and never brings the rows here.

    Attributes
    ----------
    client : Client or None
    """

    def __init__(self) -> None:
        self.client = client()
        self._known: frozenset[str] | None = None

    def computed(self, *values: Any) -> list[Any]:
        """Return delayed values, computed.

        Raises
        ------
        ClusterLost
            If the scheduler no longer answers, or a partition has cost too many workers.
        """
        if self.client is None:
            import dask

            return list(dask.compute(*values))
        with saying_lost():
            found = self.client.compute(list(values))
        of_all: list[Any] = self.ask(self.client.gather, found)
        return of_all

    def ask(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Return what a method of the client's returns, or raise what it raises.

        Raises
        ------
        ClusterLost
            If the scheduler has ended, also where the method does not notice.
        """
        answer: Future[Any] = Future()

        def work() -> None:
            try:
                answer.set_result(call(*arguments, **named))
            except BaseException as error:
                answer.set_exception(error)

        Thread(target=work, name="fastgd-asks", daemon=True).start()  # it may never return
        while not wait_for([answer], LOOK_AFTER).done:
            if has_ended(self.client):
                raise cluster_lost("the scheduler has ended.")
        with saying_lost():
            return answer.result()

    def look(self) -> None:
        """Look which workers there are, unless that is known."""
        if self._known is None:
            self._known = self._workers()

    def warn_of_lost(self, stacklevel: int) -> None:
        """Warn of workers that were there at the last look, and are not any more."""
        before, now = self._known, self._workers()
        self._known = now
        if before is None or now is None or before <= now:
            return
        lost = sorted(before - now)
        warnings.warn(
            f"{len(lost)} worker(s) of the cluster were lost during the fit: {', '.join(lost[:3])}."
            " What they had was computed anew by others; the result is the same.",
            RuntimeWarning,
            stacklevel=stacklevel,
        )

    def _workers(self) -> frozenset[str] | None:
        """Return the addresses of the workers; None without a client."""
        return None if self.client is None else frozenset(self.ask(self.client.nthreads))


def client() -> Any:
    """Return the current client of Dask's distributed scheduler; None without one."""
    from dask.base import get_scheduler

    if get_scheduler() is None or "distributed" not in sys.modules:
        return None
    from distributed import get_client

    try:
        return get_client()
    except ValueError:
        return None


def lost() -> tuple[type[BaseException], ...]:
    """Return what Dask raises where a cluster does not answer, or a task kills its workers."""
    try:
        from distributed import client as of_client
        from distributed import scheduler as of_scheduler
        from distributed.comm.core import CommClosedError
    except ModuleNotFoundError:
        return (ConnectionError,)
    names = ("ClosedClientError", "FutureCancelledError", "FuturesCancelledError")
    found = [getattr(of_client, name) for name in names]
    names = ("KilledWorker", "NoValidWorkerError", "NoWorkerError")  # the last are of late versions
    found += [getattr(of_scheduler, name) for name in names if hasattr(of_scheduler, name)]
    return (ConnectionError, CommClosedError, *found)


@contextmanager
def saying_lost() -> Iterator[None]:
    """Raise ``ClusterLost`` in place of what Dask raises where a cluster does not answer."""
    try:
        yield
    except lost() as error:
        raise cluster_lost(error) from error


def cluster_lost(error: object) -> ClusterLost:
    """Return the error that says so."""
    name = "" if isinstance(error, str) else f"{type(error).__name__}: "
    return ClusterLost(f"the cluster was lost: {name}{error}")


def has_ended(here: Any) -> bool:
    """Tell whether a client has no connection to a scheduler, nor tries to get one."""
    if here.status in ("closed", "closing"):
        return True
    comm = here.scheduler_comm
    is_cut = comm is None or comm.closed() or comm.comm.closed()
    return here.status != "connecting" and is_cut
