"""Solvers whose passes over the same shards are taken together: rows are read once for all.

Each class against the rest is a problem of its own, with the rows of all others. A solver runs in
a thread until it asks for a pass, and waits; when all that are left wait, one pass serves them. One
thread runs at a time, in the solvers' order, so that results do not depend on timing.
"""

from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

from fastgd._data.shards import Rows, Shards

T = TypeVar("T")
MOST_TOGETHER = 16  # as many Hessians are in memory at once


def together(
    shards: Shards, solvers: Sequence[Callable[[Shards], T]], most: int = MOST_TOGETHER
) -> list[T]:
    """Return what each solver makes of the shards, which it may ask for passes.

    ``most`` solvers run at a time.

    An error of a pass, or of a solver, is raised once no thread is left.
    """
    found: list[T] = []
    for first in range(0, len(solvers), most):
        turns = [_Turn(shards, solver) for solver in solvers[first : first + most]]
        found += _by_turns(shards, turns)
    return found


def _by_turns(shards: Shards, turns: "list[_Turn[T]]") -> list[T]:
    waiting = []
    try:
        for turn in turns:
            waiting += [turn] if turn.begin() else []
        while waiting:
            parts, adds = zip(*[turn.asked for turn in waiting], strict=True)
            sums = shards.total(partial(_of_all, parts=parts), partial(_added_all, adds=adds))
            _share_costs(shards, waiting)
            answered, waiting = list(zip(waiting, sums, strict=True)), []
            for turn, total in answered:
                waiting += [turn] if turn.go_on(total) else []
    finally:
        for turn in turns:
            turn.give_up()
    return [turn.found for turn in turns]


def _share_costs(shards: Shards, waiting: "list[_Turn[T]]") -> None:
    """Count a pass's seconds and bytes as those of the solvers that asked for it, evenly."""
    for name, amount in shards.spent.items():
        for turn in waiting:
            turn.spent[name] = turn.spent.get(name, 0.0) + amount / len(waiting)
        shards.spent[name] = 0.0


def _of_all(rows: Rows, parts: Sequence[Callable[[Rows], Any]]) -> tuple[Any, ...]:
    """Return each solver's part of a shard."""
    return tuple(part(rows) for part in parts)


def _added_all(
    first: tuple[Any, ...], second: tuple[Any, ...], adds: Sequence[Callable[[Any, Any], Any]]
) -> tuple[Any, ...]:
    return tuple(add(*pair) for add, *pair in zip(adds, first, second, strict=True))


class _GivenUp(BaseException):
    """Ends a solver whose pass will not be taken."""


class _Turn(Generic[T]):
    """A solver in its thread, to which it is itself the shards."""

    asked: tuple[Callable[[Rows], Any], Callable[[Any, Any], Any]]
    found: T

    def __init__(self, shards: Shards, solver: Callable[[Shards], T]) -> None:
        self.names, self.spent = shards.names, dict.fromkeys(shards.spent, 0.0)
        if hasattr(shards, "n_shards"):
            self.n_shards = shards.n_shards
        self._solver = solver
        self._error: BaseException | None = None
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._says: SimpleQueue[bool] = SimpleQueue()  # whether a pass is asked for
        self._thread = Thread(target=copy_context().run, args=(self._run,), daemon=True)

    def begin(self) -> bool:
        """Let the solver run; return whether it asks for a pass, or else is done."""
        self._thread.start()
        return self._asks()

    def go_on(self, total: Any) -> bool:
        """Do the same with the pass that it asked for."""
        self._answers.put(total)
        return self._asks()

    def give_up(self) -> None:
        """End the solver if it waits for a pass."""
        if self._thread.is_alive():
            self._answers.put(_GivenUp())
            self._thread.join()

    def total(self, part: Callable[[Rows], Any], add: Callable[[Any, Any], Any]) -> Any:
        """Ask for a pass, and wait for it."""
        self.asked = part, add
        self._says.put(True)
        answer = self._answers.get()
        if isinstance(answer, _GivenUp):
            raise answer
        return answer

    def _asks(self) -> bool:
        asks = self._says.get()
        if self._error is not None:
            raise self._error
        return asks

    def _run(self) -> None:
        try:
            self.found = self._solver(self)
        except BaseException as error:
            self._error = error
        self._says.put(False)
