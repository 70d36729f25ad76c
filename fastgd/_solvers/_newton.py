"""Newton's method for few columns and a smooth loss: each Hessian is a matrix, and exact.

Where a pass costs less than the bookkeeping of a descent, there is no need of samples, stale
Hessians and estimates: the whole descent is one kernel, on a standardised copy of the columns, and
ends at the rounding of the coefficients. Where a Hessian is ill-conditioned or nothing lower is
found, nothing is returned, and descent takes over.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._data.validation import frozen
from fastgd._monitoring.observer import Model, Observer
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._certificates import ACCEPTED, ALLOWANCE, penalty_terms
from fastgd._solvers._columns import as_dense
from fastgd._solvers._costs import FINISHED_IN_FLOAT64
from fastgd._solvers._deviance import SEEN, Deviance, precise_deviance, rounding_of_bound_by
from fastgd._solvers._direct import CONSTANT, are_plain, is_nearly_dense, is_plain
from fastgd._solvers._problem import is_deviance, least_and_terms, lowest_of
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd.kernels import losses
from fastgd.kernels.newton import (
    AT_ONCE,
    EPSILON,
    FAILED,
    LANES,
    USED_UP,
    Classes,
    Columns,
    Place,
    center_columns,
    newton_steps,
    scale_columns,
)
from fastgd.kernels.rows import Dense

Floats = NDArray[np.float64]

MOST_PARAMETERS, MOST_PRODUCTS = 128, 5_000_000  # of a Hessian: a millisecond
MOST_ENTRIES = 200_000
ROWS_FROM = 160  # for each parameter: an eighth of them finds its optimum to a fortieth
MOST_PASSES = 50  # of a descent: most take 10


class Standard(NamedTuple):
    """A task in standardised columns, the intercept's column of ones last.

    z : (n_samples, P)
    weight : (n_samples,), sums to 1
    ridge : (P,), the l2 penalty of each standardised coefficient, positive but for the intercept's
    mean : (d,), what was taken off the raw columns
    inverse_std : (d,), what they were multiplied by then; 0 for constant ones
    peak : (P,), the largest |z| of each column
    """

    z: Floats
    weight: Floats
    ridge: Floats
    mean: Floats
    inverse_std: Floats
    peak: Floats


class Taken(NamedTuple):
    """What a kernel's call has done, and what it told of each pass: objective, suboptimality."""

    status: int
    reported: Floats
    objective: float = np.nan
    suboptimality: float = np.inf


class Descent(NamedTuple):
    """What all calls have done."""

    last: Taken
    history: dict[str, list[float]]
    is_stopped: bool


def newton(task: Task, options: Options, start: Any) -> Solution | None:
    """Solve a small task with a smooth loss and no corners; None where descent should."""
    if not (is_smooth(task.loss) and has_small_hessian(task)) or options.max_iter < 1:
        return None
    if has_samples(task):
        return None
    with one_blas_thread():
        standard = standardised(task)
        return None if standard is None else _solved(task, options, standard, start)


def has_small_hessian(task: Task) -> bool:
    """Tell whether a Hessian costs next to nothing, and may be definite.

    That of many outputs is not without an l2 penalty: what all share changes no prediction.
    """
    if task.positive or task.l1 > 0.0 or (task.n_outputs > 1 and not task.l2 > 0.0):
        return False
    n, d = task.y.shape[0], task.n_features
    size = (d + 1) * task.n_outputs
    if size > MOST_PARAMETERS or n * size * size > 2 * MOST_PRODUCTS:
        return False
    return n * d <= MOST_ENTRIES and is_nearly_dense(task.rows, n, d)


def has_samples(task: Task) -> bool:
    """Tell whether rows are so many that a descent on samples of them takes less.

    Then steps on all rows, from a sample's optimum, are few (``_newton_sampled``). A squared hinge
    has few Hessians, each of fewer rows: it stays.
    """
    n, d = task.y.shape[0], task.n_features
    is_large = n >= ROWS_FROM * (d + 1) and n * d > FINISHED_IN_FLOAT64
    return is_large and task.n_outputs == 1 and not losses.has_jumps(task.loss)


def is_smooth(loss: Any) -> bool:
    """Tell whether a loss is convex and >= 0 with curvatures everywhere, and no least squares."""
    if losses.kind_of(loss) == losses.MULTINOMIAL:
        return losses.is_cross_entropy(loss)
    has_curvature = losses.has(loss, "curvature") and losses.is_smooth(loss)
    is_bounded = losses.is_convex(loss) and lowest_of(loss) == 0.0
    return has_curvature and is_bounded and not losses.is_half_square(loss)


# -- standardised columns -------------------------------------------------------------------------


def standardised(task: Task) -> Standard | None:
    """Return the task in standardised columns; None where float64 would lose too much by it."""
    n, d = task.y.shape[0], task.n_features
    weight = np.full(n, 1.0 / n)
    if task.weight is not None:
        weight = np.asarray(task.weight, np.float64)
        weight = weight / weight.sum()
    rows = task.rows if isinstance(task.rows, Dense) else Dense(frozen(as_dense(task.rows, n, d)))
    z = np.empty((n, d + task.fit_intercept))
    mean, square, peak = np.zeros(d), np.zeros(d), np.ones(z.shape[1])
    center_columns(rows, weight, bool(task.fit_intercept), z, mean, square, peak)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is not plain
        if not are_plain(z[:, :d], mean, square) or not has_plain_targets(task, weight):
            return None
    known = square > CONSTANT * CONSTANT * mean * mean
    inverse_std = known / np.sqrt(np.where(known, square, 1.0))
    scale_columns(z, inverse_std)
    peak[:d] *= inverse_std
    ridge = np.zeros(z.shape[1])
    ridge[:d] = task.l2 * inverse_std * inverse_std + ~known
    return Standard(z, weight, ridge, mean, inverse_std, peak)


def has_plain_targets(task: Task, weight: Floats) -> bool:
    """Tell whether targets need no units of their own."""
    if losses.kind_of(task.loss) != losses.REGRESSION or is_deviance(task.loss):
        return True
    level = float(weight @ task.y)
    return is_plain(level, float(weight @ (task.y - level) ** 2))


def posed(task: Task, standard: Standard) -> tuple[Columns | Classes, Any]:
    """Return what the kernel minimises, and about the best raw predictions without X."""
    columns = _columns(task, standard)
    return columns, _null_level(task, columns)


def _columns(task: Task, standard: Standard) -> Columns | Classes:
    """Return what the kernel minimises; y as a copy, since kernels tell apart what is frozen."""
    z, weight, ridge = standard[:3]
    if task.n_outputs > 1:
        K, width = task.n_outputs, z.shape[1]
        size = -(-width * (width + 1) // 2 // LANES) * LANES
        scratch = np.empty((AT_ONCE + K * (K + 1) // 2, size))
        own = z, np.array(task.y, np.int32), weight, np.concatenate([ridge] * K)
        return Classes(*own, bool(task.fit_intercept), scratch, 0.0, EPSILON * EPSILON)
    y = np.array(task.y, np.float64)
    least, terms = least_and_terms(task.loss, y, weight)
    rounding = 4.0 * EPSILON * terms if is_deviance(task.loss) else EPSILON * EPSILON
    return Columns(z, y, weight, task.loss, ridge, least, rounding)


# -- the descent ----------------------------------------------------------------------------------


def _solved(task: Task, options: Options, standard: Standard, start: Any) -> Solution | None:
    """Take Newton's steps until rounding hides the rest, passes are used up, or one is stopped."""
    columns, level = posed(task, standard)
    u = begin(task, standard, start, None if start else level)
    shape = (u.shape[0] // standard.z.shape[1],) if task.n_outputs > 1 else ()
    place = place_at(u, (columns.y.shape[0], *shape))
    most = min(options.max_iter, MOST_PASSES)
    model = partial(model_of, task, standard, u)
    take = partial(newton_passes, columns, place)
    descent = descended(take, most, options.observer, model)
    status = descent.last.status
    is_used_up = status == USED_UP and not descent.is_stopped and options.max_iter > MOST_PASSES
    if status == FAILED or is_used_up:
        return None
    return _solution(task, options, standard, (columns, place), descent)


def place_at(u: Floats, shape: tuple[int, ...]) -> Place:
    """Return where a descent begins; ``shape`` is that of the curvatures."""
    size = u.shape[0]
    empty = np.empty(size), np.empty(shape), np.empty((size, size))
    return Place(u, *empty, *np.empty((3, size)))


def newton_passes(columns: Any, place: Place, n_done: int, most: int, pause: int) -> Taken:
    """Take Newton's steps, ``pause`` at most; there is one entry at least, of the first point."""
    reported = np.empty((most - n_done, 2))
    status, n_passes, objective, suboptimality = newton_steps(columns, place, reported, pause)
    if not np.isfinite(objective):
        status = FAILED
    if n_passes == n_done == 0:
        reported[0], n_passes = (objective, suboptimality), 1
    return Taken(status, reported[:n_passes], objective, suboptimality)


def descended(
    take: Callable[[int, int, int], Taken],
    most: int,
    observer: Observer,
    model: Callable[[], Model],
) -> Descent:
    """Call a kernel until it has arrived or failed, one pass at a time where somebody watches.

    take : from the passes done, the most that there may be, and how many to take now
    """
    history: dict[str, list[float]] = {"objective": [], "suboptimality": []}
    n_done, stops, last = 0, False, Taken(USED_UP, np.empty((0, 2)))
    pause = 1 if observer.is_watching else most
    while last.status == USED_UP and n_done < most and not stops:
        last = take(n_done, most, pause)
        if last.status == FAILED:
            break
        n_passes = last.reported.shape[0]
        for values, found in zip(history.values(), last.reported.T.tolist(), strict=True):
            values += found
        if n_passes > 0:
            figures = {name: values[-1] for name, values in history.items()}
            stops = observer.passed(model, figures, n_passes)
        n_done += n_passes
    return Descent(last, history, stops)


def begin(task: Task, standard: Standard, start: Any, level: Any) -> Floats:
    """Return where to begin: at given coefficients, or with raw predictions of a ``level``."""
    d, K = standard.inverse_std.shape[0], max(1, task.n_outputs)
    parts = np.zeros((K, d + task.fit_intercept))
    if isinstance(start, State):
        known, coef = standard.inverse_std > 0.0, np.asarray(start.coef, np.float64).reshape(K, d)
        parts[:, :d][:, known] = coef[:, known] / standard.inverse_std[known]
        if task.fit_intercept:
            parts[:, d] = np.ravel(start.intercept) + np.sum(coef * standard.mean, axis=1)
    elif task.fit_intercept:
        parts[:, d] = level
    return parts.ravel()


def _null_level(task: Task, columns: Any) -> Any:
    """Return about the best raw predictions without X."""
    if task.n_outputs > 1:
        level = np.log(np.maximum(np.bincount(columns.y, columns.weight, task.n_outputs), 1e-12))
        return level - level.sum() / task.n_outputs
    mean = float(columns.weight @ columns.y)
    if losses.kind_of(task.loss) == losses.BINARY:
        negative = losses.negative(task.loss)
        share = min(max((mean - negative) / (1.0 - negative), 1e-12), 1.0 - 1e-12)
        return losses.raw_of_mean(task.loss, share)
    return losses.raw_of_mean(task.loss, mean)


# -- what was found -------------------------------------------------------------------------------


def model_of(task: Task, standard: Standard, u: Floats) -> Model:
    """Return raw coefficients and intercepts."""
    d = standard.inverse_std.shape[0]
    parts = u.reshape(max(1, task.n_outputs), -1)
    coef = parts[:, :d] * standard.inverse_std
    intercept = np.zeros(parts.shape[0])
    if task.fit_intercept:
        intercept = parts[:, d] - (coef * standard.mean).sum(axis=1)
        if task.n_outputs > 1:  # what all classes share changes no prediction
            intercept -= intercept.sum() / task.n_outputs
    if task.n_outputs > 1:
        return Model(coef, intercept)
    return Model(coef[0], float(intercept[0]))


def _solution(
    task: Task, options: Options, standard: Standard, at: tuple[Any, Place], descent: Descent
) -> Solution:
    """Return raw coefficients, with a proven bound of the suboptimality."""
    columns, place = at
    objective, hidden, is_seen = _objective(task, standard, at, descent.last.objective)
    gap = _gap(task, standard, at, objective, hidden)
    suboptimality, enough = min(descent.last.suboptimality, gap), options.tol * objective
    converged = suboptimality <= max(enough, EPSILON * objective + columns.rounding)
    if not is_seen:
        suboptimality = gap if gap < np.inf else max(suboptimality, hidden)
        converged = suboptimality <= enough
    coef, intercept, _ = model_of(task, standard, place.u)
    history = descent.history
    counts = len(history["objective"]), converged, history, State(coef, intercept)
    return Solution(coef, intercept, objective, gap, suboptimality, *counts)


def _gap(
    task: Task, standard: Standard, at: tuple[Any, Place], objective: float, hidden: float
) -> float:
    """Return the bound of ``_certificates``; no objective is negative. inf without a penalty."""
    if not task.l2 > 0.0:
        return float("inf")
    (columns, place), varying = at, _varying(standard)
    inverse_std, parts = standard.inverse_std[varying], (max(1, task.n_outputs), -1)
    u, slope = place.u.reshape(parts), (place.gradient - columns.ridge * place.u)
    slope = slope.reshape(parts)[:, varying] / inverse_std
    coef = u[:, varying] * inverse_std
    is_regression = losses.kind_of(task.loss) == losses.REGRESSION
    size = float(np.sqrt(2.0 * objective)) if is_regression else min(1.0, objective)
    rest = 0.0
    if task.fit_intercept:
        rest = float(np.abs(place.gradient.reshape(parts)[:, -1]).max())
    if not rest <= ACCEPTED * size:
        return objective
    reach = rest / inverse_std  # to balance the slopes exactly would change theirs by that
    with np.errstate(over="ignore"):  # of a vanishing penalty: then the bound is the objective
        ends = [penalty_terms(coef, slope + by, 0.0, task.l2) for by in (-reach, reach)]
    rounding = ALLOWANCE * objective + rest / max(size, 1e-300) * objective + hidden
    return min(objective, float(np.maximum(*ends).sum()) + rounding)


def _varying(standard: Standard) -> slice | NDArray[np.intp]:
    """Return where the columns are that are not constant."""
    found = standard.inverse_std.nonzero()[0]
    n_features = standard.inverse_std.shape[0]
    return slice(n_features) if found.shape[0] == n_features else found


def _objective(
    task: Task, standard: Standard, at: tuple[Any, Place], objective: float
) -> tuple[float, float, bool]:
    """Return the objective, and what rounding hides of a deviance, whose terms cancel.

    Where that is much of it, it is reckoned again. Returns as well whether all is
    seen, or terms do not tell the fit from an exact one.
    """
    (columns, place), hidden = at, 0.0
    if not is_deviance(task.loss):
        return objective, hidden, True
    u, ridge = place.u, columns.ridge
    farthest = float(standard.peak @ np.abs(u))
    hidden = float(columns.rounding * (1.0 + farthest) + ALLOWANCE * abs(columns.least))
    if hidden <= SEEN * objective:
        return objective, hidden, True
    given = task.loss, columns.y, columns.weight, standard.z @ u, farthest
    again = precise_deviance(*given) or Deviance(objective, hidden)
    more = min(rounding_of_bound_by(place.gradient, ridge), hidden)
    whole = again.value + 0.5 * float(ridge @ (u * u))
    return whole, again.rounding + more, whole <= hidden
