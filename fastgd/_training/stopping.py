"""When a training ends: scikit-learn's rule, by the objective or by a score on rows held out."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgd._training.progress import Progress, Settings

Score = Callable[[NDArray[Any]], NDArray[np.float64]]
_SEEN = ("_best", "_count", "_ended", "_kept")  # what a rule remembers of the epochs


class Stopping:
    """Whether training still helps, for each column that stops by itself.

    A value that does not fall by ``tol`` below the best, ``n_iter_no_change`` epochs in a row,
    ends it. A column that has ended keeps the parameters that it had, while others go on.

    Parameters
    ----------
    settings : Settings
    score : callable, default=None
        From parameters to scores on rows held out, one for each thing that stops by itself: their
        negatives take the place of the objectives, and the best parameters are kept.
    """

    def __init__(self, settings: Settings, score: Score | None = None) -> None:
        adapts = getattr(settings.schedule, "begin", lambda _: None)(1) is not None
        # a schedule that shrinks the rate where training stalls ends it as well
        self._tol = None if adapts else settings.tol
        self._patience = settings.n_iter_no_change
        self._score = score
        self._best: list[float] = []
        self._count: list[int] = []
        self._ended: list[bool] = []
        self._kept: tuple[NDArray[Any], NDArray[Any]] | None = None

    @property
    def measure(self) -> str:
        """What is compared: "objective" or "score"."""
        return "objective" if self._score is None else "score"

    def measured(self, objectives: list[float], progress: Progress) -> list[float]:
        """Return what should fall: the objectives, or the scores with their sign changed."""
        if self._score is None:
            return objectives
        return [-float(score) for score in self._score(progress.reported())]

    def stalled(self, values: Sequence[float], progress: Progress) -> bool:
        """Take in an epoch's values; return whether all columns have ended."""
        if not self._best:
            self._best = [np.inf] * len(values)
            self._count = [0] * len(values)
            self._ended = [False] * len(values)
        keeps = []
        for k, value in enumerate(values):
            is_better, ends = self._take(k, value)
            keeps.append(is_better if self._score is not None else ends)
        if any(keeps) and (self._score is not None or len(values) > 1):
            self._keep(np.array(keeps), progress)
        return all(self._ended)

    def _take(self, k: int, value: float) -> tuple[bool, bool]:
        """Take in a column's value; return whether it is the best so far, and whether it ends."""
        if self._tol is not None:
            # what is no number is no improvement
            improves = value <= self._best[k] - self._tol
            self._count[k] = 0 if improves else self._count[k] + 1
        goes_on = not self._ended[k]
        is_better = value < self._best[k] and goes_on
        ends = self._count[k] >= self._patience and goes_on
        if is_better:
            self._best[k] = value
        if ends:
            self._ended[k] = True
        return is_better, ends

    def state(self) -> dict[str, Any]:
        """Return what has been seen so far, for a checkpoint."""
        return {name: getattr(self, name) for name in _SEEN}

    def go_on(self, state: dict[str, Any]) -> None:
        """Go on from what had been seen."""
        for name in _SEEN:
            setattr(self, name, state[name])

    def forgive(self) -> None:
        """Count anew from here on: training went back, and goes on with smaller steps."""
        self._count = [0] * len(self._count)
        self._ended = [False] * len(self._ended)

    def _keep(self, columns: NDArray[np.bool_], progress: Progress) -> None:
        # the mean of the iterates: their number goes on to grow, and is shared by the columns
        params = progress.reported() if progress.ahead else progress.params
        now = (params, progress.average / max(progress.averaged, 1))
        if self._kept is None:
            self._kept = (now[0].copy(), now[1].copy())
        for kept, part in zip(self._kept, now, strict=True):
            if columns.size == 1:
                kept[...] = part
            elif part.size > 0:
                kept[:, columns] = part[:, columns]

    def restore(self, progress: Progress) -> None:
        """Put back what was kept."""
        if self._kept is None:
            return
        columns = np.array(self._ended) | (self._score is not None)
        if progress.ahead:
            progress.stand_at(self._kept[0], ... if columns.size == 1 else (slice(None), columns))
            return
        best = (self._kept[0], self._kept[1] * progress.averaged)
        for kept, part in zip(best, (progress.params, progress.average), strict=True):
            if columns.size == 1:
                part[...] = kept
            elif part.size > 0:
                part[:, columns] = kept[:, columns]
