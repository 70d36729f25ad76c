"""A weighted, penalised problem in standardised coordinates, and its objective and gradient.

    F(w, b) = sum_i s_i loss(y_i, x_i w + b) + l1 |w|_1 + l2/2 |w|^2,   sum_i s_i = 1

Solvers move u, with w_j = u_j inverse_std_j and b = u_b - sum_j center_j w_j: columns of any scale
and offset look alike, and X itself is never changed. What that cannot do, ``_units`` does before.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._monitoring.observer import Model
from fastgd._runtime.threads import in_threads
from fastgd._solvers import _costs
from fastgd._solvers._columns import as_matrix, moments_of
from fastgd._solvers._costs import (
    LARGEST_MATRIX,
    is_scattered,
    largest_matrix,
    n_entries,
)
from fastgd._solvers._task import Task
from fastgd._solvers._units import Units, units_of
from fastgd.kernels import losses
from fastgd.kernels.objective import (
    Moments,
    Scaler,
    Targets,
    add_moments,
    pass_one,
    pass_softmax,
    pass_softmax_sparse,
    predict_raw,
    total_loss,
)
from fastgd.kernels.rows import CSR, Dense

Floats = NDArray[np.float64]

# Below this number of products a pass is not worth threads: a hand-off costs 10 us.
WORK_WORTH_THREADS = 1_000_000
PRODUCTS_OF_BLAS = 8  # in the time of one of ours
FEWEST_SHARDS, MOST_SHARDS = 4, 16
WORK_OF_SHARD = 4_000_000  # by the work alone, so that sums do not depend on the machine's cores
FINISHED_IN_FLOAT64 = _costs.FINISHED_IN_FLOAT64  # entries of X
NARROW = 32  # columns: up to these, float32 products save less than the exponentials cost
CACHED_BYTES = 1 << 18
PRIOR = 0.1
BLURRED = 1e-5  # a deviation below this part of the mean has no digits to trust
CONSTANT = 1e-14  # a deviation below this part of the offset is rounding
TINIEST, LARGEST = 1e-290, 1e300  # a column's deviation, from which on it is one; and entries of X
TINIEST_FREE = 2.5e-308  # the same without a penalty: from here on deviations have an inverse
PLAIN = 1e-100, 1e100  # deviations whose squares are summed as they are
LARGEST_RIDGE = 1e300
EPSILON = float(np.finfo(np.float64).eps)


class Problem(NamedTuple):
    """What is minimised.

    rows : Dense or CSR
    y : (n_samples,), float64; int32 for softmax
    weight : (n_samples,), float64, sums to 1
    loss : a spec of ``fastgd.kernels.losses``
    l1, l2 : float
    fit_intercept : bool
    n_outputs : int, 0 for one output with 1-d parameters
    scaler : Scaler
    dtype : the type of matrix products
    peak : (n_features,), the largest standardised |z_ij| of each column
    prior : (n_features,), a sample's additional l2 penalty of u; empty for none
    positive : bool, w >= 0
    least : float, what is taken off the mean loss: that of predictions equal to the targets
    terms : float, the size of what cancels in the loss: for a log link the sum of its terms'
        magnitudes where predictions equal targets, for residuals the targets' root mean square
    largest : int, the size up to which a matrix of products is worth its time and memory
    passes : ``_device.DevicePasses`` over the rows; None where the processor makes them
    """

    rows: Any
    y: NDArray[Any]
    weight: Floats
    loss: Any
    l1: float
    l2: float
    fit_intercept: bool
    n_outputs: int
    scaler: Scaler
    dtype: Any
    peak: Floats
    prior: Floats
    positive: bool
    least: float
    terms: float

    def rounding(self, objective: float) -> float:
        """Return how far an objective may be off by the rounding of what it is summed from."""
        return rounding_of(self.loss, self.terms, objective)

    largest: int = LARGEST_MATRIX
    passes: Any = None

    @property
    def lowest_objective(self) -> float:
        """What no objective is below: 0, or -inf where the loss does not say so."""
        return lowest_of(self.loss)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of X."""
        return self.y.shape[0], self.scaler.center.shape[0]

    @property
    def threshold(self) -> Floats:
        """The l1 penalty of each standardised coefficient, the intercept's 0 last."""
        with np.errstate(over="ignore"):
            own = np.minimum(self.l1 * self.scaler.inverse_std, LARGEST_RIDGE)
        return np.append(own, 0.0)

    @property
    def lowest(self) -> Floats:
        """The least value that each standardised coefficient may have."""
        return np.append(np.full(self.shape[1], 0.0 if self.positive else -np.inf), -np.inf)

    @property
    def is_smooth(self) -> bool:
        """Whether gradients say all, without a threshold or a bound."""
        return self.l1 == 0.0 and not self.positive

    @property
    def ridge(self) -> Floats:
        """The l2 penalty of each standardised coefficient, the intercept's 0 last."""
        with np.errstate(over="ignore"):
            own = np.minimum(
                self.l2 * self.scaler.inverse_std * self.scaler.inverse_std, LARGEST_RIDGE
            )
        return np.append(own + self.prior if self.prior.size else own, 0.0)


class Point(NamedTuple):
    """A place, and the objective there; ``gradient`` is without the l1 part."""

    u: Floats
    objective: float
    gradient: Floats
    curvature: Floats


def pose(task: Task) -> Problem:
    """Normalise the weights, find the columns' means and deviations, choose the arithmetic."""
    n, d = task.y.shape[0], task.n_features
    many = losses.kind_of(task.loss) == losses.MULTINOMIAL
    weight = _shares(task)
    values = task.rows.values if isinstance(task.rows, Dense) else task.rows.data
    precise = values.dtype == np.float64 or n * d <= FINISHED_IN_FLOAT64 or d <= NARROW
    y: NDArray[Any] = np.ascontiguousarray(task.y, np.int32 if many else np.float64)
    least, terms = least_and_terms(task.loss, y, weight)
    scaler, peak = scaler_of(task.rows, weight, d, task.fit_intercept, is_free=is_free(task))
    return Problem(
        task.rows,
        y,
        weight,
        task.loss,
        float(task.l1),
        float(task.l2),
        bool(task.fit_intercept),
        task.n_outputs if many else 0,
        scaler,
        np.float64 if precise else np.float32,
        peak,
        np.empty(0),
        task.positive,
        least,
        terms,
        largest_matrix(task.rows, n, d, task.n_outputs if many else 0, is_exact(task)),
        None if task.device is None else task.device.passes(task.rows, d),
    )


def least_and_terms(loss: Any, y: NDArray[Any], weight: Floats) -> tuple[float, float]:
    """Return the mean loss where predictions equal targets, and the size of what cancels in it."""
    if is_deviance(loss):  # without it an objective may be negative, or zero
        best = losses.raw_of_mean(loss, y)
        least = float(total_loss(y, weight, loss, best))
        return least, _size_of_terms(loss, weight, best - loss.level)
    if losses.kind_of(loss) == losses.REGRESSION:
        return 0.0, float(np.sqrt(weight @ (y * y)))
    return 0.0, 0.0


def rounding_of(loss: Any, terms: float, objective: float) -> float:
    """Return how far a sum of losses may be off by rounding; ``terms`` as ``Problem`` has them.

    A deviance is a difference of terms much larger than itself. A residual is off by the rounding
    of its target, half its square by the product of both.
    """
    own = EPSILON * abs(objective)
    if losses.kind_of(loss) != losses.REGRESSION:
        return own + EPSILON * EPSILON  # all rows are right to 32 digits
    if is_deviance(loss):
        return own + 4.0 * EPSILON * terms
    off = 4.0 * EPSILON * terms
    return own + off * (float(np.sqrt(2.0 * abs(objective))) + off)


def is_exact(task: Task) -> bool:
    """Tell whether a matrix of products solves more than a step, and nothing else does."""
    n, d = task.y.shape[0], task.n_features
    squared = losses.is_quadratic(task.loss) and not is_scattered(task.rows, n, d)
    return squared or task.l1 > 0.0 or task.positive


def is_free(task: Any) -> bool:
    """Tell whether no penalty keeps the coefficients of a task small."""
    return bool(task.l1 == 0.0 and task.l2 == 0.0)


def has_log_link(loss: Any) -> bool:
    """Tell whether a loss takes raw predictions for logarithms."""
    return bool(losses.link_of(loss) == losses.LOG)


def lowest_of(loss: Any) -> float:
    """Return what no mean loss is below, once ``Problem.least`` is taken off."""
    return 0.0 if losses.is_nonnegative(loss) or is_deviance(loss) else -np.inf


def is_deviance(loss: Any) -> bool:
    """Tell whether a loss is one of the Tweedie family, whose least value is known."""
    return losses.variance_power(loss) is not None


def _size_of_terms(loss: Any, weight: Floats, t: Floats) -> float:
    """Return the sum of the magnitudes of a deviance's terms, where y = e^t is predicted."""
    a, b = 2.0 - losses.variance_power(loss), 1.0 - losses.variance_power(loss)
    power = np.exp(np.minimum(a * t, loss.reach)) if a != 0.0 else np.ones_like(t)
    size = np.abs(t)
    first = float(weight @ power) / abs(a) if a != 0.0 else float(weight @ size)
    second = float(weight @ power) / abs(b) if b != 0.0 else float(weight @ (power * size))
    return first + second


def scaler_of(
    rows: Any, weight: Floats, d: int, centered: bool, *, is_free: bool = False
) -> tuple[Scaler, Floats]:
    """Return each column's mean and 1 / standard deviation, and its largest |z| in any layout.

    Uncentered, that is without an intercept, the root mean square stands for the deviation.
    ``is_free`` says that no penalty keeps coefficients small: then columns of numbers below the
    normal ones are refused, where else their coefficients are 0.
    """
    n = weight.shape[0]
    shift = _rough_means(rows, n, d)
    sparse = not isinstance(rows, Dense)

    def moments(start: int, stop: int) -> tuple[Floats, ...]:
        found = Moments(np.zeros(d), np.zeros(d), np.full(d, np.inf), np.full(d, -np.inf))
        add_moments(rows, sparse, weight, shift, start, stop, found)
        return found

    parts = over_shards(moments, n, n_entries(rows))
    first, second = sum(p[0] for p in parts), sum(p[1] for p in parts)
    ends = np.min([p[2] for p in parts], axis=0), np.max([p[3] for p in parts], axis=0)
    peak = _farthest_from(shift, ends)
    refuse_too_large(peak)
    mean, std = shift + first, _std_of(first, second)
    known = (std >= PLAIN[0]) & (std <= PLAIN[1]) & (peak <= PLAIN[1])
    # counted from zero, as sparse columns are, so small a deviation is rounding
    blurred = (std < BLURRED * np.abs(mean)) & sparse & (peak <= PLAIN[1])
    odd = np.flatnonzero((~known | blurred) & (peak > 0.0))
    if odd.shape[0] > 0:
        again = moments_of(rows, odd, weight, np.where(blurred, mean, shift), peak)
        mean[odd], std[odd] = again.mean, again.std
    if not centered:
        mean, std = np.zeros(d), np.hypot(std, mean)
    varies = std > CONSTANT * np.abs(mean)
    known = varies & (std >= (TINIEST_FREE if is_free else TINIEST))
    if is_free and np.any(varies & ~known):
        _refuse_too_small(std, varies & ~known)
    inverse_std = np.divide(1.0, std, out=np.zeros(d), where=known)
    peak = _farthest_from(mean, ends)
    if sparse and np.any(np.abs(mean) > peak):  # of zeros, where any are not stored
        stored = np.bincount(rows.indices, minlength=d)
        peak = np.where(stored < n, np.maximum(peak, np.abs(mean)), peak)
    return Scaler(mean, inverse_std), peak * inverse_std


def _farthest_from(center: Floats, ends: tuple[Floats, Floats]) -> Floats:
    """Return the largest distance of the entries that are stored; 0 for columns without any."""
    least, largest = ends
    with np.errstate(over="ignore"):
        found: Floats = np.maximum(np.abs(least - center), np.abs(largest - center))
    return np.where(least <= largest, found, 0.0)


def _std_of(first: Floats, second: Floats) -> Floats:
    """Return standard deviations from first and second moments."""
    with np.errstate(over="ignore", invalid="ignore"):
        std: Floats = np.sqrt(np.maximum(second - first * first, 0.0))
    return std


def refuse_too_large(peak: Floats) -> None:
    """Refuse columns whose sums would leave float64."""
    if not np.all(peak <= LARGEST):
        column = int(np.argmax(np.where(np.isnan(peak), np.inf, peak)))
        raise ValueError(
            f"X holds numbers too large to add up: column {column} reaches {peak[column]:.3g}; "
            f"magnitudes up to {LARGEST:g} are allowed. Divide such columns by a constant."
        )


def _refuse_too_small(std: Floats, lost: NDArray[np.bool_]) -> None:
    """Refuse columns of few digits, whose coefficients may be beyond float64."""
    column = int(np.flatnonzero(lost)[0])
    raise ValueError(
        f"X holds numbers too small to fit: column {column} varies by {std[column]:.3g}, below the "
        "normal numbers of float64, and no penalty keeps its coefficient small. Multiply such "
        "columns by a constant."
    )


def _rough_means(rows: Any, n: int, d: int) -> Floats:
    """Return the mean of a few rows, from which moments are taken without cancellation."""
    if isinstance(rows, Dense):
        some = rows.values[:: max(1, n // 256)]
        means: Floats = some.mean(axis=0, dtype=np.float64)
        return means
    return np.zeros(d)


def over_shards(
    task: Callable[[int, int], Any], n: int, work: int, most: int = MOST_SHARDS
) -> list[Any]:
    """Run ``task(start, stop)`` over spans of the rows, in threads where there are some to use.

    ``most`` bounds their number where each span's result is large.

    BLAS must be held to one thread meanwhile: its own wait for one another, which on a machine
    with anything else to do costs a hundredfold.
    """
    if work < WORK_WORTH_THREADS or most == 1:
        return [task(0, n)]
    n_shards = min(max(work // WORK_OF_SHARD, FEWEST_SHARDS), MOST_SHARDS, most)
    edges = [n * k // n_shards for k in range(n_shards + 1)]
    return in_threads(task, edges[:-1], edges[1:])


def take(problem: Problem, chosen: NDArray[np.int64], weight: Floats) -> Problem:
    """Return the problem of some rows, their weights given.

    A column that few rows differ in can look separable in a sample, which would send its
    coefficient far off. Its prior allows an effect of about 1/sqrt(PRIOR) in the rows at its peak.
    A deviance's least value is that of the rows taken: with another one it could be below 0.
    """
    y = problem.y[chosen]
    least, terms = least_and_terms(problem.loss, y, weight)
    return problem._replace(
        rows=_rows_at(problem, chosen),
        y=y,
        weight=weight,
        least=least,
        terms=terms,
        prior=PRIOR * problem.peak**2 / chosen.shape[0],
        passes=None,
    )


def _rows_at(problem: Problem, chosen: NDArray[np.int64]) -> Any:
    """Return some rows; sparse ones stay sparse, in the types that kernels are compiled for."""
    rows, (n, d) = problem.rows, problem.shape
    if isinstance(rows, Dense):
        parts = [np.take(rows.values, chosen, axis=0)]  # twice as fast as by an index
    else:
        matrix = as_matrix(rows, n, d)[chosen]
        if not is_scattered(rows, n, d):
            parts = [matrix.toarray()]
        else:
            parts = [matrix.data, matrix.indices.astype(rows.indices.dtype)]
            parts.append(matrix.indptr.astype(rows.indptr.dtype))
    for part in parts:
        part.flags.writeable = False
    return Dense(*parts) if len(parts) == 1 else CSR(*parts)


def to_raw(problem: Problem, u: Floats) -> Floats:
    """Return the parameters of raw columns."""
    raw = u.copy()
    own = raw[:-1].T
    own *= problem.scaler.inverse_std
    # not BLAS's dot, whose last digit depends on where in memory its arguments lie
    raw[-1] -= np.add.reduce((own * problem.scaler.center).T, axis=0)
    return raw


def from_raw(problem: Problem, coef: Floats, intercept: Any) -> Floats:
    """Return the standardised parameters of given coefficients."""
    scaler = problem.scaler
    shape = (problem.shape[1] + 1, *([problem.n_outputs] if problem.n_outputs else []))
    u = np.zeros(shape)
    known = scaler.inverse_std > 0.0
    coef = np.asarray(coef, np.float64).T
    coef = np.maximum(coef, 0.0) if problem.positive else coef
    u[:-1][known] = (coef[known].T / scaler.inverse_std[known]).T
    if problem.fit_intercept:
        u[-1] = intercept + scaler.center @ coef
    return u


def model_at(problem: Problem, u: Floats) -> Model:
    """Return raw coefficients and intercepts."""
    raw = to_raw(problem, u)
    coef, intercept = raw[:-1].T, raw[-1]
    if not problem.fit_intercept:
        intercept = np.zeros_like(intercept)
    if problem.n_outputs == 0:
        intercept = float(intercept)
    else:  # what all classes share changes no prediction
        intercept = intercept - intercept.mean()
        coef = coef - coef.mean(axis=0) if problem.l1 == problem.l2 == 0.0 else coef
    return Model(coef, intercept)


def objective_of(task: Task, coef: Floats, intercept: Any, units: Units | None = None) -> float:
    """Return what a task minimises, at coefficients that no solver has just evaluated."""
    units = units_of(task) if units is None else units
    task = units.task
    coef, intercept = units.from_user(coef, intercept)
    if losses.kind_of(task.loss) == losses.MULTINOMIAL:
        problem = pose(task)._replace(dtype=np.float64)
        return units.of_figure(evaluate(problem, from_raw(problem, coef, intercept)).objective)
    y, weight = np.ascontiguousarray(task.y, np.float64), _shares(task)
    raw = np.empty(y.shape[0])
    predict_raw(task.rows, np.append(coef, intercept), 0, raw.shape[0], raw)
    least, _ = least_and_terms(task.loss, y, weight)
    loss = _not_negative(task.loss, float(total_loss(y, weight, task.loss, raw)) - least)
    penalty = task.l1 * float(np.abs(coef).sum()) + 0.5 * task.l2 * float(coef @ coef)
    return units.of_figure(loss + penalty)


def _not_negative(loss: Any, value: float) -> float:
    """Return a mean loss; a deviance that rounding has made negative is zero."""
    return max(value, 0.0) if is_deviance(loss) else value


def _shares(task: Task) -> Floats:
    """Return the rows' weights, which sum to 1."""
    n = task.y.shape[0]
    if task.weight is None:
        return np.full(n, 1.0 / n)
    weight = np.asarray(task.weight, np.float64)
    shares: Floats = weight / weight.sum()
    return shares


def evaluate(problem: Problem, u: Floats) -> Point:
    """Return objective and gradient at u, in one pass over X."""
    if problem.passes is not None:
        total, gradient, curvature = problem.passes.evaluate(problem, u)
    else:
        many = problem.n_outputs > 0
        total, gradient, curvature = _pass_many(problem, u) if many else _pass_one(problem, u)
    total = _not_negative(problem.loss, total - problem.least)
    ridge = problem.ridge
    pull = (u.T * ridge).T
    total += 0.5 * float(np.sum(pull * u))
    if problem.l1 > 0.0:
        total += float(np.sum(problem.threshold @ np.abs(u)))
    gradient += pull
    if not problem.fit_intercept:
        gradient[-1] = 0.0
    return Point(u, total, gradient, curvature)


def _pass_one(problem: Problem, u: Floats) -> tuple[float, Floats, Floats]:
    """Loss, gradient and weighted curvatures of one output; the kernel works on raw columns."""
    n, d = problem.shape
    params, curvature = to_raw(problem, u), np.empty(n)

    def shard(start: int, stop: int) -> tuple[float, Floats]:
        g = np.zeros(d + 1)
        task = (problem.rows, Targets(problem.y, problem.weight), problem.loss, params)
        return pass_one(*task, start, stop, g, curvature), g

    parts = over_shards(shard, n, n_entries(problem.rows))
    gradient: Floats = sum(part[1] for part in parts)
    scaler = problem.scaler
    gradient[:-1] = (gradient[:-1] - scaler.center * gradient[-1]) * scaler.inverse_std
    return sum(part[0] for part in parts), gradient, curvature


def _pass_many(problem: Problem, u: Floats) -> tuple[float, Floats, Floats]:
    """Loss and gradient of many outputs."""
    n, d = problem.shape
    if is_scattered(problem.rows, n, d):
        return _pass_sparse(problem, u)
    size = block_size(n, d, problem.dtype)

    params = np.ascontiguousarray(u.T)

    def shard(start: int, stop: int) -> tuple[float, Floats]:
        g, block = np.zeros(params.shape), np.empty((size, d), problem.dtype)
        task = (problem.rows, Targets(problem.y, problem.weight), problem.scaler, params)
        return pass_softmax(*task, start, stop, block, g), g

    parts = over_shards(shard, n, n * (d // PRODUCTS_OF_BLAS + 4) * problem.n_outputs)
    gradient = np.ascontiguousarray(sum(part[1] for part in parts).T)
    return sum(part[0] for part in parts), gradient, np.empty(0)


def _pass_sparse(problem: Problem, u: Floats) -> tuple[float, Floats, Floats]:
    """The same, on raw columns, for rows with few non-zeros."""
    n, _ = problem.shape
    params = np.ascontiguousarray(to_raw(problem, u))

    def shard(start: int, stop: int) -> tuple[float, Floats]:
        g = np.zeros(params.shape)
        task = (problem.rows, Targets(problem.y, problem.weight), params)
        return pass_softmax_sparse(*task, start, stop, g), g

    parts = over_shards(shard, n, problem.rows.data.size * problem.n_outputs)
    gradient: Floats = sum(part[1] for part in parts)
    scaler = problem.scaler
    gradient[:-1] -= np.outer(scaler.center, gradient[-1])
    gradient[:-1] *= scaler.inverse_std[:, None]
    return sum(part[0] for part in parts), gradient, np.empty(0)


def block_size(n: int, d: int, dtype: Any) -> int:
    """Return how many rows of X fit into a core's cache."""
    return min(n, max(32, CACHED_BYTES // max(1, d * np.dtype(dtype).itemsize)))
