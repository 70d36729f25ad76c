"""Coefficients in the type in which they are kept, and what rounding to it costs.

Estimators keep ``coef_`` and ``intercept_`` in the dtype of X, as scikit-learn does. Rounded to
float32, a coefficient moves all predictions by its error times the column's mean; the intercept,
rounded last, makes up for that. What is left is counted in the objective and its bound.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastgd._data.validation import fits_in
from fastgd._solvers._columns import as_matrix
from fastgd._solvers._problem import Floats, least_and_terms, objective_of
from fastgd._solvers._task import Solution, Task
from fastgd._solvers._units import Units, units_of
from fastgd.kernels import losses
from fastgd.kernels.objective import predict_raw, total_loss
from fastgd.kernels.rows import Dense

NEGLIGIBLE, MOST_NEGLECTED = 1e-10, 1e-7  # of the objective: then it is not evaluated anew
SHARE_OF_SUBOPTIMALITY = 1e-3  # nor where it is so small a part of the suboptimality


def as_stored(task: Task, found: Solution, units: Units) -> Solution:
    """Return a solution as ``task.dtype`` keeps it, with its objective, gap and suboptimality.

    ``units`` are those in which it was found.
    """
    if np.dtype(task.dtype) != np.float32 or not fits(found):
        return found
    objective_at = partial(objective_of, task, units=units)
    if _is_kept(found.coef):  # a solver has rounded them before it proved them
        return kept(found, found.coef, *_with_intercept_rounded(task, found), objective_at)
    return kept(found, *rounded(task, found, units), objective_at)


def kept(
    found: Solution,
    coef: Floats,
    intercept: Any,
    change: float,
    objective_at: Callable[[Floats, Any], float],
) -> Solution:
    """Return a solution with coefficients and intercepts that were rounded.

    ``change`` bounds what that adds to the objective, which is evaluated anew where it is much.
    """
    stored = found._replace(coef=coef, intercept=intercept)
    if hasattr(found.state, "coef"):
        stored = stored._replace(state=found.state._replace(coef=coef, intercept=intercept))
    if change <= _negligible(found):
        worse, objective = change, found.objective
    else:
        objective = objective_at(coef, intercept)
        worse = max(objective - found.objective, 0.0)
    numbers: dict[str, Any] = {"objective": objective}
    numbers |= {"gap": found.gap + worse, "suboptimality": found.suboptimality + worse}
    return stored._replace(**numbers)


def fits(found: Solution) -> bool:
    """Tell whether float32 can hold a model: else it is kept in float64."""
    return all(fits_in(part, np.float32) for part in (found.coef, found.intercept))


def _negligible(found: Solution) -> float:
    """Return by how much an objective may grow before it is evaluated anew."""
    far = SHARE_OF_SUBOPTIMALITY * min(found.suboptimality, found.gap)
    return max(min(far, MOST_NEGLECTED * abs(found.objective)), NEGLIGIBLE * abs(found.objective))


def _is_kept(coef: Floats) -> bool:
    """Tell whether coefficients are the same in float32."""
    return bool(np.array_equal(np.asarray(coef, np.float32), coef))


def _with_intercept_rounded(task: Task, found: Solution) -> tuple[Any, float]:
    """Return the intercept, rounded, and a bound of what that adds to the objective."""
    own = np.asarray(found.intercept, np.float32).astype(np.float64)
    change = largest_growth(task.loss, found, float(np.sum((own - found.intercept) ** 2)))
    return float(own) if own.ndim == 0 else own, change


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
        change = largest_growth(task.loss, found, float(square))
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
    return coef, intercept, largest_growth(task.loss, found, float(np.sum(weight @ moved**2)))


def largest_growth(
    loss: Any, found: Solution, square: float, largest: float | None = None
) -> float:
    """Return M v / 2 + sqrt(2 M e v); M is the loss's largest curvature, or what is given."""
    largest = losses.curvature_bound(loss) if largest is None else largest
    suboptimality = max(min(found.suboptimality, found.gap), 0.0)
    if not (np.isfinite(largest) and np.isfinite(suboptimality)):
        return float("inf")
    return 0.5 * largest * square + float(np.sqrt(2.0 * largest * suboptimality * square))


class Roundings(NamedTuple):
    """By how much an objective may grow where numbers are rounded to the dtype of X.

    parameters : float, coefficients and intercept each by itself
    predictions : float, raw predictions alone: no coefficients of this dtype avoid it
    size : float, the mean loss where zero is predicted, or the mean of the targets if that is more
    """

    parameters: float
    predictions: float
    size: float


def roundings_of(task: Task, coef: Floats, intercept: Any) -> Roundings:
    """Return what rounding to the dtype of X may change at a regression.

    A raw prediction m_i moves by d_i = eps (|x_i| |w| + |b|) at most, or by eps |m_i|. At an
    optimum only what is left of both directions counts,
    sum_i s_i ((loss(m_i + d_i) + loss(m_i - d_i)) / 2 - loss(m_i)): of a curvature c that is
    c d^2 / 2, at a breakpoint a part of d itself.
    """
    eps = float(np.finfo(np.dtype(task.dtype)).eps)
    coef, intercept = np.asarray(coef, np.float64), float(intercept)
    apart = sizes_of(task, np.abs(coef)) + abs(intercept)
    weight = np.full(apart.shape[0], 1.0 / apart.shape[0])
    if task.weight is not None:
        weight = np.asarray(task.weight, np.float64) / np.sum(task.weight, dtype=np.float64)
    units = units_of(task)
    params, raw = np.append(*units.from_user(coef, intercept)), np.empty(apart.shape[0])
    predict_raw(units.task.rows, params, 0, raw.shape[0], raw)
    of_user = units.scale * raw + units.level
    sides = (eps / units.scale) * apart, (eps / units.scale) * np.abs(of_user)
    apart_grown, raw_grown = (_growth_on_both_sides(units, weight, raw, d) for d in sides)
    return Roundings(apart_grown, raw_grown, _size_of_targets(units, weight))


def _size_of_targets(units: Units, weight: Floats) -> float:
    """Return the mean loss where zero or the mean of the targets is predicted, the larger one."""
    y, loss = np.ascontiguousarray(units.task.y, np.float64), units.task.loss
    least, _ = least_and_terms(loss, y, weight)
    levels = [float(losses.raw_of_mean(loss, float(weight @ y))), -units.level / units.scale]
    found = [float(total_loss(y, weight, loss, np.full(y.shape, at))) - least for at in levels]
    return float(units.of_figure(max(found)))


def _growth_on_both_sides(units: Units, weight: Floats, raw: Floats, moved: Floats) -> float:
    """Return how far the mean of the losses at raw + moved and raw - moved is above that at raw."""
    y, loss = np.ascontiguousarray(units.task.y, np.float64), units.task.loss
    here, up, down = (
        float(total_loss(y, weight, loss, raw + side * moved)) for side in (0.0, 1.0, -1.0)
    )
    grown = units.of_figure(max(0.5 * (up + down) - here, 0.0))
    return grown if np.isfinite(grown) else 0.0


def sizes_of(task: Task, coef: Floats) -> Floats:
    """Return |x_i| |w| of all rows."""
    rows = task.rows
    if isinstance(rows, Dense):
        sizes: Floats = np.abs(rows.values) @ coef
        return sizes
    return np.asarray(abs(as_matrix(rows, task.y.shape[0], task.n_features)) @ coef, np.float64)


def _products(task: Task, coef: Floats) -> Floats:
    """Return x_i w of all rows, as X's dtype has it: w is a rounding error."""
    rows = task.rows
    if isinstance(rows, Dense):
        values = rows.values @ coef.T.astype(rows.values.dtype)
        return values.astype(np.float64)
    matrix = as_matrix(rows, task.y.shape[0], task.n_features)
    return np.asarray(matrix @ coef.T, np.float64)
