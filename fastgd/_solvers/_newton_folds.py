"""Paths of many folds of small dense data: Newton's method for each, on columns they share.

Where a Hessian costs little more than a pass over the rows, Newton's step of each fold needs the
fewest passes. Columns are standardised once for all folds, a fold's rows are those of positive
weight, and it begins where its last two strengths lead.
"""

import numpy as np

from fastgd._monitoring.observer import UNWATCHED
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._auto import solve
from fastgd._solvers._newton import (
    Standard,
    begin,
    has_small_hessian,
    is_smooth,
    model_of,
    place_at,
    posed,
)
from fastgd._solvers._problem import EPSILON, Floats
from fastgd._solvers._task import Options, State, Task
from fastgd.kernels.newton import ARRIVED, Columns, newton_until

MOST_PRODUCTS = 1_500_000  # of a Hessian: from there on folds share passes
MOST_AHEAD = 1.5  # times the last two solutions' distance


def has_quick_newton(task: Task) -> bool:
    """Tell whether a Hessian of one output takes little longer than a pass."""
    if task.n_outputs > 1 or not (has_small_hessian(task) and is_smooth(task.loss)):
        return False
    return bool(task.y.shape[0] * (task.n_features + 1) ** 2 <= MOST_PRODUCTS)


class NewtonFold:
    """A fold on its way.

    Parameters
    ----------
    task : Task
        With the fold's weights.
    standard : Standard
        Columns of all folds.
    target : float
        How far the objective may be from its least value.
    """

    def __init__(self, task: Task, standard: Standard, target: float) -> None:
        assert task.weight is not None
        weight = task.weight / task.weight.sum()
        self.task, self.standard = task, standard._replace(weight=weight)
        self.columns, level = posed(task, self.standard)
        assert isinstance(self.columns, Columns)
        self.place = place_at(begin(task, self.standard, None, level), weight.shape)
        self.target, self.converged, self.n_passes = target, False, 0
        self._before: Floats | None = None
        self._logs: tuple[float, ...] = ()

    def at(self, l2: float, options: Options) -> tuple[Floats, float]:
        """Descend for a strength; return coefficients and intercept."""
        self.task, inverse_std = self.task._replace(l2=l2), self.standard.inverse_std
        self.columns.ridge[: inverse_std.shape[0]] = l2 * inverse_std**2 + (inverse_std == 0.0)
        self._go_ahead(float(np.log(l2)))
        enough = max(self.target, 4.0 * EPSILON)
        status, self.n_passes, _, left = newton_until(
            self.columns, self.place, enough, options.max_iter
        )
        self.converged = status == ARRIVED or left <= enough
        model = model_of(self.task, self.standard, self.place.u)
        if self.converged or self.n_passes >= options.max_iter:
            return model.coef, model.intercept
        found = solve(self.task, options, "auto", State(model.coef, model.intercept))
        start = State(found.coef, found.intercept)
        self.place.u[:] = begin(self.task, self.standard, start, None)
        self.converged, self.n_passes = found.converged, found.n_iter
        return found.coef, found.intercept

    def _go_ahead(self, log: float) -> None:
        """Move to where the last two strengths' solutions lead."""
        here, known = self.place.u.copy(), self._logs
        if self._before is not None and len(known) == 2 and known[1] != known[0]:
            share = min((log - known[1]) / (known[1] - known[0]), MOST_AHEAD)
            self.place.u[:] += max(share, 0.0) * (here - self._before)
        self._before, self._logs = here, (*known[-1:], log)


def descend_each(
    folds: list[NewtonFold], l2: Floats, options: Options
) -> list[tuple[Floats, float]]:
    """Descend with all folds, one after the other: threads would cost more."""
    options = options._replace(observer=UNWATCHED)
    with one_blas_thread():
        return [fold.at(float(own), options) for fold, own in zip(folds, l2, strict=True)]
