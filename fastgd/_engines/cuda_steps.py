"""The steps of batches on a CUDA device, of which the host prepares one of each kind.

Steps of batches of one size are the same launches, but for a few numbers: which step it is, and
where its rows begin and end. So the first one is recorded, and queued again for the others, which
takes the host some microseconds a launch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastgd._engines.cuda_rows import Visit
from fastgd._engines.protocol import Plan

RECORDS = True  # whether steps are queued again
N_NUMBERS = 4  # the first fields of ``Turn``, which change


class Turn(NamedTuple):
    """What a step has of its own; all else it has in common with those of its kind.

    t : int, its number in the plan
    number : int, its number of all
    start, stop : int, its rows, positions in the order
    seed : uint64, by which and by its number random numbers are drawn
    averages : bool, whether parameters are added to their average afterwards
    """

    t: Any
    number: Any
    start: Any
    stop: Any
    seed: np.uint64
    averages: bool

    @property
    def size(self) -> int:
        """The number of rows."""
        return int(self.stop) - int(self.start)


def turn_of(visit: Visit, t: int, plan: Plan) -> Turn:
    """Return what step t of a visit has of its own."""
    start, in_plan = t * plan.batch_size, visit.first + t
    stop = min(start + plan.batch_size, visit.n_visited)
    number, seed = plan.first_step + in_plan, np.uint64(plan.seed)
    return Turn(in_plan, number, start, stop, seed, in_plan >= plan.average_from)


def take_steps(queue: Callable[[Turn], Any], visit: Visit, plan: Plan) -> None:
    """Queue all steps of a visit, each by a function of its ``Turn``; see ``Steps``.

    What is recorded is forgotten afterwards, and the arrays that it holds.
    """
    steps = Steps(queue, visit.n_steps)
    for t in range(visit.n_steps):
        steps.take(turn_of(visit, t, plan))


class Steps:
    """What queues the steps of a visit.

    Parameters
    ----------
    queue : function of a ``Turn``
        It queues a step. Which launches these are depends on the kind of the turn alone.
    n_steps : int
    """

    def __init__(self, queue: Callable[[Turn], Any], n_steps: int) -> None:
        self._queue, self._records = queue, RECORDS and n_steps > 1
        self._recorded: dict[tuple[int, bool], tuple[Turn, list[Callable[[], None]]]] = {}

    def take(self, turn: Turn) -> None:
        """Queue a step."""
        if not self._records:
            self._queue(turn)
            return
        kind = turn.size, turn.averages
        if kind not in self._recorded:
            self._recorded[kind] = self._record(turn)
            return
        own, calls = self._recorded[kind]
        changing: Any = own[:N_NUMBERS]
        for number, value in zip(changing, turn[:N_NUMBERS], strict=True):
            number.cell.value = value
        for call in calls:
            call()

    def _record(self, turn: Turn) -> tuple[Turn, list[Callable[[], None]]]:
        from fastgd.kernels.cuda._launches import Number, recorded

        own = Turn(*map(Number, turn[:N_NUMBERS]), *turn[N_NUMBERS:])
        with recorded() as calls:
            self._queue(own)
        return own, calls
