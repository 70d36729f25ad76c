"""Coefficients in the type in which they are kept, and what rounding to it costs.

Estimators keep ``coef_`` and ``intercept_`` in the dtype of X, as scikit-learn does. Rounded to
float32, a coefficient moves all predictions by its error times the column's mean; the intercept,
rounded last, makes up for that. What is left is counted in the objective and its bound.
"""

from typing import Any

import numpy as np

from fastgd._solvers._columns import as_matrix
from fastgd._solvers._problem import Floats, objective_of
from fastgd._solvers._task import Solution, Task
from fastgd._solvers._units import Units, units_of
from fastgd._validation import fits_in
from fastgd.kernels import losses
from fastgd.kernels.rows import Dense

ROUNDINGS = 4.0  # in units of the last digit
NEGLIGIBLE, MOST_NEGLECTED = 1e-10, 1e-7  # of the objective: then it is not evaluated anew
SHARE_OF_LEFT = 1e-3  # nor where it is so small a part of the suboptimality


def as_stored(task: Task, found: Solution, *, plain: bool = False) -> Solution:
    """Return a solution as ``task.dtype`` keeps it, with its objective, gap and suboptimality.

    ``plain`` says that the task is known to need no units of its own.
    """
    if np.dtype(task.dtype) != np.float32 or not _fits(found):
        return found
    coef, intercept, change = rounded(task, found, Units(task) if plain else units_of(task))
    stored = found._replace(coef=coef, intercept=intercept)
    if hasattr(found.state, "coef"):
        stored = stored._replace(state=found.state._replace(coef=coef, intercept=intercept))
    if change <= _negligible(found):
        worse, objective = change, found.objective
    else:
        objective = objective_of(task, coef, intercept)
        worse = max(objective - found.objective, 0.0)
    numbers: dict[str, Any] = {"objective": objective}
    numbers |= {"gap": found.gap + worse, "left": found.left + worse}
    return stored._replace(**numbers)


def _fits(found: Solution) -> bool:
    """Tell whether float32 can hold a model: else it is kept in float64."""
    return all(fits_in(part, np.float32) for part in (found.coef, found.intercept))


def _negligible(found: Solution) -> float:
    """Return by how much an objective may grow before it is evaluated anew."""
    far = SHARE_OF_LEFT * min(found.left, found.gap)
    return max(min(far, MOST_NEGLECTED * abs(found.objective)), NEGLIGIBLE * abs(found.objective))


def rounded(task: Task, found: Solution, units: Units) -> tuple[Floats, Any, float]:
    """Return coefficients and intercepts, rounded, and a bound of what that adds to the objective.

    With v the mean square of what it adds to raw predictions, M the largest curvature and e the
    suboptimality:  M v / 2 + sqrt(2 M e v).
    """
    coef = np.asarray(found.coef, np.float32).astype(np.float64)
    lost = np.asarray(found.coef, np.float64) - coef
    if units.origin is None and task.weight is None and not isinstance(task.rows, Dense):
        # |x_i d|^2 <= |x_i|^2 |d|^2: for rows of ordinary size that says enough
        length = float(np.sum(np.square(task.rows.data, dtype=np.float64))) / task.y.shape[0]
        kept = np.asarray(found.intercept, np.float32).astype(np.float64)
        off = np.max(np.abs(kept - found.intercept))
        square = (np.sqrt(length * float(np.sum(lost**2))) + off) ** 2
        change = _growth(task, found, float(square))
        if change <= _negligible(found):
            return coef, float(kept) if kept.ndim == 0 else kept, change
    moved = _products(units.task, lost)
    weight = np.full(moved.shape[0], 1.0 / moved.shape[0])
    if task.weight is not None:
        weight = np.asarray(task.weight, np.float64) / np.sum(task.weight, dtype=np.float64)
    exact, intercept = np.asarray(found.intercept, np.float64), found.intercept
    mean = weight @ moved
    if task.fit_intercept:
        offset = 0.0 if units.origin is None else lost @ units.origin
        exact = exact + mean + offset
        kept = np.asarray(exact, np.float32).astype(np.float64)
        moved = moved - mean + (exact - kept)
        intercept = float(kept) if kept.ndim == 0 else kept
    return coef, intercept, _growth(task, found, float(np.sum(weight @ moved**2)))


def _growth(task: Task, found: Solution, square: float) -> float:
    """Return M v / 2 + sqrt(2 M e v)."""
    largest = losses.curvature_bound(task.loss)
    left = max(min(found.left, found.gap), 0.0)
    if not (np.isfinite(largest) and np.isfinite(left)):
        return float("inf")
    return 0.5 * largest * square + float(np.sqrt(2.0 * largest * left * square))


def least_of(task: Task) -> float:
    """Return the squared loss that is rounding of predictions as large as the targets are."""
    if losses.kind_of(task.loss) != losses.REGRESSION or losses.link_of(task.loss) is not None:
        return 0.0
    off = ROUNDINGS * float(np.finfo(np.dtype(task.dtype)).eps)
    return off * off * float(np.mean(np.square(task.y, dtype=np.float64)))


def _products(task: Task, coef: Floats) -> Floats:
    """Return x_i w of all rows, as X's dtype has it: w is a rounding error."""
    rows = task.rows
    if isinstance(rows, Dense):
        values = rows.values @ coef.T.astype(rows.values.dtype)
        return values.astype(np.float64)
    matrix = as_matrix(rows, task.y.shape[0], task.n_features)
    return np.asarray(matrix @ coef.T, np.float64)
