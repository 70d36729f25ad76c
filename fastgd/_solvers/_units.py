"""A task in units that arithmetic can hold, and its solution back in the user's.

What is changed is exact, but for the rounding of numbers that lie far from the others:

- A column whose mean is far above its standard deviation is counted from near its mean: x - c is
  exact where x and c are within a factor of two (Sterbenz). Raw predictions x w + b and gradients
  lose as many digits as the mean has above the deviation, and so do a sparse column's moments.
- Targets as far from zero likewise, where the loss knows their distance only.
- Targets whose squares would leave float64 are multiplied by a power of two, and so are all those
  of a loss that is linear in them: what is near 1 can be weighed against slopes, which are.
- With a log link, targets are divided by a power of two near their mean, and raw predictions are
  counted from its logarithm: d(c y, c mu) = c^(2 - p) d(y, mu) for the Tweedie deviance of power p.

X is copied in the first case, which needs an intercept; the other changes copy y.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._data.validation import as_rows, frozen
from fastgd._monitoring.observer import Converted, Model
from fastgd._solvers._columns import as_matrix, moments_of
from fastgd._solvers._magnitudes import LARGEST_STRENGTH
from fastgd._solvers._task import Options, Solution, Task
from fastgd.kernels import losses
from fastgd.kernels.rows import CSR, Dense

Floats = NDArray[np.float64]

FAR, VERY_FAR = 1e3, 1e6  # a mean in standard deviations: digits lost by what is counted from zero
CHEAPLY_COPIED = 10_000_000  # entries up to which "far" is enough for a copy
SAMPLE, FEWEST_SAMPLED, SAMPLED_ENTRIES = 256, 16, 50_000
MORE_ENTRIES, LEAST_STEP = 1 << 20, 4  # of columns that look far, before all rows are read
PLAIN_EXPONENT = 100  # squares of targets within 2^+-100 need no care
LARGEST_EXPONENT = 1022
LARGEST_REACH = 600.0  # e^600 (10^4)^2 is finite


class Units(NamedTuple):
    """A task in its own units, and how to come back.

    origin : (n_features,), what columns are counted from; None for zero
    level : float, what targets are counted from
    scale : float, the user's raw predictions in the task's
    half : float, the root of the user's objective in the task's
    """

    task: Task
    origin: Floats | None = None
    level: float = 0.0
    scale: float = 1.0
    half: float = 1.0

    @property
    def is_plain(self) -> bool:
        """Whether the task's units are the user's."""
        return self.origin is None and self.level == 0.0 and self.scale == self.half == 1.0

    def to_user(self, coef: Any, intercept: Any) -> tuple[Any, Any]:
        """Return the user's coefficients and intercepts."""
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused later
            coef, intercept = self.scale * coef, self.scale * intercept + self.level
            return coef, intercept - self._offset(coef)

    def from_user(self, coef: Any, intercept: Any) -> tuple[Any, Any]:
        """Return the task's coefficients and intercepts."""
        intercept = intercept + self._offset(np.asarray(coef, np.float64)) - self.level
        return coef / self.scale, intercept / self.scale

    def _offset(self, coef: Any) -> Any:
        """Return what the columns' origins add to raw predictions."""
        return 0.0 if self.origin is None else np.sum(coef * self.origin, axis=-1)

    def user_state(self, state: Any) -> Any:
        """Return a state in the user's units."""
        return _converted(state, self.to_user, lambda value: value * self.scale)

    def own_state(self, state: Any) -> Any:
        """Return a state in the task's units."""
        return _converted(state, self.from_user, lambda value: value / self.scale)

    def of_figure(self, value: float) -> float:
        """Return an objective, or a part of one, in the user's units."""
        return float(value * self.half * self.half)  # each product finite where the result is

    def of_model(self, model: Model) -> Model:
        """Return a model in the user's units."""
        coef, intercept = self.to_user(model.coef, model.intercept)
        return Model(coef, intercept, self.user_state(model.state))

    def of_solution(self, found: Solution) -> Solution:
        """Return a solution in the user's units."""
        coef, intercept = self.to_user(found.coef, found.intercept)
        return found._replace(
            coef=coef,
            intercept=intercept,
            objective=self.of_figure(found.objective),
            gap=self.of_figure(found.gap),
            suboptimality=self.of_figure(found.suboptimality),
            history={k: list(map(self.of_figure, v)) for k, v in found.history.items()},
            state=self.user_state(found.state),
        )


def _converted(
    state: Any,
    convert: Callable[[Any, Any], tuple[Any, Any]],
    convert_scale: Callable[[float], float],
) -> Any:
    """Convert a state that holds coefficients; a dual one belongs to the task's own rows."""
    if hasattr(state, "coef"):
        coef, intercept = convert(state.coef, state.intercept)
        return state._replace(coef=coef, intercept=intercept)
    if hasattr(state, "scale"):  # beside another state
        inner = _converted(state.state, convert, convert_scale)
        return state._replace(state=inner, scale=convert_scale(state.scale))
    return state


def in_units(
    solver: Callable[[Task, Options, Any], Any], task: Task, options: Options, start: Any = None
) -> Any:
    """Solve a task in units of its own.

    ``solver`` returns a solution, or a tuple of solutions and what knows no units.
    """
    return within(units_of(task), solver, options, start)


def within(
    units: Units, solver: Callable[[Task, Options, Any], Any], options: Options, start: Any = None
) -> Any:
    """Solve a task in given units, as ``in_units`` does."""
    if units.is_plain:
        return solver(units.task, options, start)
    own = options._replace(observer=Converted(options.observer, units.of_model, units.of_figure))
    found = solver(units.task, own, units.own_state(start))
    if isinstance(found, Solution):
        return units.of_solution(found)
    parts = [units.of_solution(part) if isinstance(part, Solution) else part for part in found]
    return type(found)(*parts) if hasattr(found, "_fields") else tuple(parts)


def units_of(task: Task) -> Units:
    """Return a task in its own units."""
    units = Units(task)
    if task.fit_intercept:
        units = _about_means(_about_target(units))
    if losses.variance_power(task.loss) is not None:
        return _about_log(units)
    return _of_magnitude(units)


def _about_target(units: Units) -> Units:
    """Count targets from near their mean, if that is far from zero."""
    task = units.task
    if not losses.is_of_residual(task.loss):
        return units
    with np.errstate(over="ignore", invalid="ignore"):
        some = task.y[:: max(1, task.y.shape[0] // SAMPLE)]
        level = float(np.median(some))
        if not 0.1 * FAR * np.mean(np.abs(some - level)) <= abs(level):
            return units
        distance = float(np.mean(np.abs(task.y - level)))
        if not (np.isfinite(distance) and 0.0 < FAR * distance < abs(level)):
            return units
    return units._replace(task=task._replace(y=task.y - level), level=level)


def _of_magnitude(units: Units) -> Units:
    """Multiply targets by a power of two; of a quadratic loss if squares would leave float64."""
    task, degree = units.task, losses.degree_of(units.task.loss)
    if degree == 1:
        return by_linear_scale(units)
    exponent = _exponent_of(task) if degree == 2 else 0
    if abs(exponent) <= PLAIN_EXPONENT:
        return units
    scale = float(np.exp2(exponent))
    # loss and l2 are in units of scale^2, so l1 is in units of scale
    own = _multiplied(task, exponent)._replace(l1=_strength(task.l1 / scale))
    return units._replace(task=own, scale=scale, half=scale)


def by_linear_scale(units: Units) -> Units:
    """Multiply targets by a power of two, so that they are near 1; the objective is as they are."""
    exponent = 2 * (_exponent_of(units.task) // 2)  # whose root is a power of two as well
    if exponent == 0:
        return units
    scale = float(np.exp2(exponent))
    own = _multiplied(units.task, exponent)._replace(l2=_strength(units.task.l2 * scale))
    return units._replace(task=own, scale=scale, half=float(np.exp2(exponent // 2)))


def _exponent_of(task: Task) -> int:
    """Return the exponent of a power of two about as large as the targets, itself finite."""
    return min(int(np.frexp(np.max(np.abs(task.y), initial=0.0))[1]), LARGEST_EXPONENT)


def _multiplied(task: Task, exponent: int) -> Task:
    """Return a task of targets times 2^-exponent, and a tube about them as much narrower."""
    loss = task.loss
    if hasattr(loss, "epsilon") and losses.degree_of(loss) is not None:
        loss = loss._replace(epsilon=float(np.ldexp(loss.epsilon, -exponent)))
    return task._replace(y=np.ldexp(np.asarray(task.y, np.float64), -exponent), loss=loss)


def _strength(value: float) -> float:
    """Return a penalty that squares of coefficients can be multiplied by."""
    return min(value, LARGEST_STRENGTH)


def _about_log(units: Units) -> Units:
    """Divide targets by a power of two near their mean, and count raw predictions from its log."""
    task = units.task
    seen = np.asarray(task.y, np.float64)
    seen = seen if task.weight is None else seen[np.asarray(task.weight) > 0.0]
    highest, lowest = float(np.max(seen, initial=0.0)), float(np.min(seen, initial=0.0))
    largest = max(highest, -lowest)
    if largest == 0.0:
        return units
    shares = seen / largest
    mean = float(np.mean(shares))
    if lowest < 0.0:
        mean = max(mean, float(np.mean(np.abs(shares))) * 1e-3)
    exponent = round(np.log2(mean) + np.log2(largest))
    y = np.ldexp(np.asarray(task.y, np.float64), -exponent)
    power = losses.variance_power(task.loss)
    steepest = max(abs(2.0 - power), abs(1.0 - power))
    ends = np.min(np.where(y > 0.0, y, 1.0), initial=1.0), np.max(y, initial=1.0)
    level = exponent * float(np.log(2.0))
    # without an intercept no coefficients at all predict 1, which may be as far as the level
    farthest = float(np.max(np.abs(np.log(ends)))) + (0.0 if task.fit_intercept else abs(level))
    reach = losses.EDGE + steepest * farthest
    loss = task.loss._replace(level=level, reach=min(reach, LARGEST_REACH))
    half = float(np.exp2(np.clip(0.5 * (2.0 - power) * exponent, -1000.0, 1000.0)))
    l1, l2 = _strength(task.l1 / half / half), _strength(task.l2 / half / half)
    own = task._replace(y=y, loss=loss, l1=l1, l2=l2)
    return units._replace(task=own, half=half)


def _about_means(units: Units) -> Units:
    """Count columns from near their means, where these are far above their deviations."""
    task = units.task
    n, d = task.y.shape[0], task.n_features
    weight = np.full(n, 1.0 / n)
    if task.weight is not None:
        weight = np.asarray(task.weight, np.float64)
        weight = weight / max(weight.sum(), 1e-300)
    far = FAR if n * d <= CHEAPLY_COPIED else VERY_FAR
    columns, center = _perhaps_far(task.rows, weight, d)
    columns = _still_perhaps_far(task.rows, weight, columns, center, far)
    if columns.shape[0] == 0:
        return units
    moments = moments_of(task.rows, columns, weight, center, np.abs(center))
    is_far = (moments.std > 0.0) & (np.abs(moments.mean) > far * moments.std)
    if not np.any(is_far):
        return units
    origin = np.zeros(d)
    values = task.rows.values if isinstance(task.rows, Dense) else task.rows.data
    origin[columns[is_far]] = moments.mean[is_far].astype(values.dtype)
    return units._replace(task=task._replace(rows=counted_from(task.rows, origin)), origin=origin)


def _perhaps_far(rows: Any, weight: Floats, d: int) -> tuple[NDArray[np.int64], Floats]:
    """Return the columns that look far from zero in some rows, and their means there."""
    heavy = np.flatnonzero(weight >= 0.5 / weight.shape[0])
    size = max(FEWEST_SAMPLED, min(SAMPLE, SAMPLED_ENTRIES // max(1, d)))
    some = heavy[:: max(1, heavy.shape[0] // size)]
    center = np.zeros(d)
    if isinstance(rows, Dense):
        columns, values = np.arange(d), np.asarray(rows.values[some], np.float64)
    else:
        sample = as_matrix(rows, weight.shape[0], d)[some]
        columns, counts = np.unique(sample.indices, return_counts=True)
        columns = columns[counts == some.shape[0]].astype(np.int64)  # no zero among them
        values = np.asarray(sample[:, columns].toarray(), np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = values.mean(axis=0)
        distance = np.abs(values - mean).mean(axis=0)
        known = np.isfinite(mean) & np.isfinite(distance) & (np.abs(mean) > 1e-290)
        looks_far = known & (0.1 * FAR * distance <= np.abs(mean))
    center[columns] = np.where(np.isfinite(mean), mean, 0.0)
    return columns[looks_far], center


def _still_perhaps_far(
    rows: Any, weight: Floats, columns: NDArray[np.int64], center: Floats, far: float
) -> NDArray[np.int64]:
    """Return those of the columns that more rows leave: a rare value is in no small sample.

    Of rows with a share W of the weight, with mean m and deviation s:  std >= sqrt(W) s  and
    |mean - m| <= std / sqrt(W)  in all rows, so that |mean| > far std only if
    |m| >= (far sqrt(W) - 1) s.
    """
    n, count = weight.shape[0], max(1, columns.shape[0])
    step = n // max(SAMPLE, MORE_ENTRIES // count)
    if columns.shape[0] == 0 or step < LEAST_STEP:
        return columns
    if isinstance(rows, Dense):
        some = rows.values[::step, columns]
    else:
        some = as_matrix(rows, n, center.shape[0])[::step][:, columns].toarray()
    share = weight[::step]
    mass = max(float(np.sum(share)), 1e-300)
    with np.errstate(over="ignore", invalid="ignore"):
        apart = some.astype(np.float64) - center[columns]
        mean = (share / mass) @ apart
        deviation = np.sqrt(np.maximum((share / mass) @ (apart * apart) - mean * mean, 0.0))
        is_near = np.abs(mean + center[columns]) < (far * np.sqrt(mass) - 1.0) * deviation
    return columns[~is_near]


def counted_from(rows: Any, origin: Floats) -> Any:
    """Return rows with an origin taken off each column, as a copy."""
    is_moved = origin != 0.0
    if isinstance(rows, Dense):
        values = rows.values.copy()
        values[:, is_moved] -= origin[is_moved].astype(values.dtype)
        return Dense(frozen(values))
    n, moved = rows.indptr.shape[0] - 1, np.flatnonzero(is_moved)
    is_stored = is_moved[rows.indices]
    if np.count_nonzero(is_stored) == n * moved.shape[0]:  # no zero among them
        data = rows.data.copy()
        data[is_stored] -= origin[rows.indices[is_stored]].astype(data.dtype)
        return CSR(frozen(data), rows.indices, rows.indptr)
    matrix = as_matrix(rows, n, origin.shape[0])
    ends = np.arange(n + 1) * moved.shape[0]
    taken = np.tile(origin[moved].astype(matrix.dtype), n)
    full = (taken, np.tile(moved, n).astype(rows.indices.dtype), ends.astype(rows.indptr.dtype))
    whole = as_rows(matrix - sp.csr_matrix(full, shape=matrix.shape))
    indices = frozen(whole.indices.astype(rows.indices.dtype))
    return CSR(whole.data, indices, frozen(whole.indptr.astype(rows.indptr.dtype)))
