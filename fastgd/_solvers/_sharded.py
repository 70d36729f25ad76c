"""Descent on rows in shards: files larger than memory, or the partitions of a cluster.

The first pass looks at the columns and draws a sample of the rows; the sample's optimum, found in
memory, is where the descent begins. A pass then sends the parameters out, and sums of loss,
gradient and Hessian come back: Newton's method, whose few passes suit what is slow to read. Where a
Hessian is too large, the sample's is the metric, corrected by BFGS's pairs. Rows that all fit into
the sample are solved in memory at once.

Near the optimum the last step is taken as well: its pass shows the proven gap.

References
----------
.. [1] Boyd & Vandenberghe, "Convex Optimization", 2004, section 9.5 (Newton's method, decrement).
.. [2] Lee, Sun & Saunders, "Proximal Newton-type methods for minimizing composite functions", 2014
   (the step under l1).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._data.chunks import stacked
from fastgd._data.constant_column import with_constant
from fastgd._data.shards import Shards, added
from fastgd._data.validation import as_rows, binary_targets
from fastgd._monitoring.observer import Model
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._certificates import ALLOWANCE, box_gap, can_prove, quick_gap
from fastgd._solvers._costs import LARGEST_MATRIX
from fastgd._solvers._descent import (
    MORE_CAUTION,
    NEWTON_CAUTION,
    SMALLEST_STEP,
    SUFFICIENT,
    Pairs,
    extrapolated,
)
from fastgd._solvers._precondition import (
    Metric,
    bound,
    can_have_hessian,
    factorise,
    hessian,
    rounding_of_solution,
    solve,
    solve_l1,
    transfer,
)
from fastgd._solvers._problem import (
    CONSTANT,
    LARGEST,
    TINIEST,
    TINIEST_FREE,
    Floats,
    Point,
    Problem,
    evaluate,
    from_raw,
    is_deviance,
    is_free,
    model_at,
    pose,
)
from fastgd._solvers._requirements import Requires, lacking
from fastgd._solvers._shard_sums import (
    Frame,
    Kind,
    Look,
    Sums,
    bend_of_classes_at,
    both,
    brought,
    look_at,
    loss_gap_at,
    losses_at,
    sums_at,
)
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd._solvers._thin import is_thin
from fastgd._solvers._units import FAR, LARGEST_REACH, counted_from
from fastgd.kernels import losses
from fastgd.kernels.objective import Scaler, total_loss

REQUIRES = Requires(("value", "gradient", "curvature"), smooth=True)
SAMPLE_ROWS, SAMPLE_ENTRIES = 200_000, 4_000_000  # 32 MB
NEWTON_PARAMETERS = 600  # up to these a Hessian costs less than reading its rows
NEWTON_OF_THIN = 3000  # 72 MB
SAMPLE_TOL = 1e-6
ROOM = 1 << 29  # bytes of X that are brought into memory where passes would be many
ROWS_FOR_COLUMN = 4  # of a sample: with fewer, its Hessian is a poor metric of all rows
SEARCHES = 30
PATIENT = 2  # tries of a step, before a pass looks at many lengths of it at once
LENGTHS: Floats = np.asarray(0.5 ** np.arange(1, 11), np.float64)
HIDDEN = 100.0  # times what rounding hides: a step that promises no more is not shortened
BALANCING_STEPS, PROVING_STEPS = 3, 2
PASSES_BETWEEN_PROOFS = 10
SETTLED = 0.25  # a Newton step that shrinks the decrement to this is where its theory holds
CAUTION_WITHOUT_PAIRS = 2.0  # nothing corrects the metric under l1
UNPROVEN = 10.0  # estimates that a proof could confirm, and does not, were seven times too small
TARGETS = 1e-140, 1e150  # largest magnitudes of targets whose squares are far from both ends
# of targets of a log link: with an intercept, which takes the scale, and without one
FARTHEST = {True: 1e100, False: 1e20}
LEAST_SHARE = 1e-16  # of a class, of which a start is to know


class ShardedTask(NamedTuple):
    """A linear model to fit to rows in shards; ``Task`` says what is minimised.

    shards : Shards
    look : Look, of all shards
    kind : Kind
    classes, factors : ndarrays, labels and their weights; empty for numbers
    mass : float, the weights' sum
    own_class : int, the place of the class that a loss of one output takes for 1, in ``classes``
    constant : float, what a last column holds that the rows come without; 0.0 for none
    """

    shards: Shards
    look: Look
    kind: Kind
    classes: NDArray[Any]
    factors: Floats
    mass: float
    loss: Any
    l1: float
    l2: float
    fit_intercept: bool = True
    positive: bool = False
    own_class: int = 1
    constant: float = 0.0

    @property
    def n_outputs(self) -> int:
        """How many outputs there are."""
        return self.classes.shape[0] if self.is_multinomial else 1

    @property
    def is_multinomial(self) -> bool:
        """Whether the loss is the softmax."""
        return bool(losses.kind_of(self.loss) == losses.MULTINOMIAL)


def penalising_intercept(task: ShardedTask, value: float) -> ShardedTask:
    """Return the task whose intercept is the coefficient of a constant column."""
    seen = task.look
    wider = seen._replace(
        mean=np.append(seen.mean, value),
        std=np.append(seen.std, 0.0),
        peak=np.append(seen.peak, abs(value)),
        X=with_constant(seen.X, value),
    )
    return task._replace(look=wider, fit_intercept=False, constant=value)


def look(shards: Shards, *, classifies: bool, loss: Any, seed: int) -> tuple[Look, Kind]:
    """Take the pass that tells what rows there are.

    Raises
    ------
    ValueError
        If shards do not agree with each other, or hold what is no number.
    """
    kind = kind_of(shards, classifies=classifies, loss=loss, seed=seed)
    found = shards.total(partial(look_at, kind=kind), partial(both, kind=kind))
    return usable(found, kind)


def kind_of(shards: Shards, *, classifies: bool, loss: Any, seed: int) -> Kind:
    """Return what all shards will have to agree on, as far as it is known before a pass."""
    most_rows = getattr(shards, "most_sampled", SAMPLE_ROWS)
    n_shards = getattr(shards, "n_shards", 1)
    return Kind(None, classifies, loss, seed, most_rows, SAMPLE_ENTRIES, n_shards)


def usable(found: Look, kind: Kind) -> tuple[Look, Kind]:
    """Return what a look at all shards has found, and what they agree on.

    Raises
    ------
    ValueError
        If it holds numbers that cannot be added up, or no row of positive weight.
    """
    if not np.all(found.peak <= LARGEST):
        column = int(np.argmax(found.peak))
        raise ValueError(
            f"X holds numbers too large to add up: column {column} reaches "
            f"{found.peak[column]:.3g}; magnitudes up to {LARGEST:g} are allowed."
        )
    of_squares = not kind.classifies and not is_deviance(kind.loss)
    if of_squares and not (found.y_largest == 0.0 or TARGETS[0] < found.y_largest < TARGETS[1]):
        raise ValueError(
            f"the squares of targets in parts must be numbers of float64: magnitudes up to "
            f"{found.y_largest:.3g} are not between {TARGETS[0]:g} and {TARGETS[1]:g}. Multiply y "
            "by a constant."
        )
    if not found.mass > 0.0:
        raise ValueError("the weights of all rows are 0.")
    return found, kind._replace(n_features=found.mean.shape[0])


def by_shards(
    task: ShardedTask,
    options: Options,
    in_memory: Callable[[Task, Options], Solution],
    descent: "Callable[[ShardedTask, Options, Task, Solution], Descent] | None" = None,
    requires: Requires = REQUIRES,
    sample_tol: float = SAMPLE_TOL,
    start: State | None = None,
) -> Solution:
    """Solve a task whose rows are in shards.

    ``in_memory`` solves the sample's task, to ``sample_tol``, and ``descent`` (default:
    ``Descent``), which needs a loss that has what it ``requires``, goes on from there, or from
    ``start``, where a place nearer to the optimum is known.

    Raises
    ------
    ValueError
        If the loss has no curvature to descend by, or targets of a log link are too far from one.
    """
    _refuse_far_targets(task)
    sample = sample_task(task)
    missing = lacking(sample, requires)
    if missing:
        raise ValueError(
            f"rows in chunks or partitions need {missing}; SGDClassifier and SGDRegressor take "
            "every loss."
        )
    task = with_more_rows(task)
    sample = sample_task(task)
    if task.look.keys.shape[0] == task.look.n_rows:
        return in_memory(sample, options)
    with one_blas_thread():
        begin: Any = start
        if begin is None:
            begin = in_memory(sample, Options(sample_tol, options.max_iter, options.seed))
        return (descent or Descent)(task, options, sample, begin).run()


def with_more_rows(task: ShardedTask) -> ShardedTask:
    """Return the task with all rows in its sample, or more of them, where that saves passes.

    That is where losses have kinks, or the sample has few rows for more columns than a Hessian may
    have; and only as far as memory allows (``ROOM``, the ``room`` of the shards).
    """
    seen, n_sampled = task.look, task.look.keys.shape[0]
    n_features = seen.mean.shape[0]
    is_thin = n_sampled < ROWS_FOR_COLUMN * n_features
    is_wide = (n_features + 1) * task.n_outputs > NEWTON_PARAMETERS
    has_kinks = losses.is_piecewise_linear(task.loss)
    if n_sampled == seen.n_rows or not (has_kinks or (is_thin and is_wide)):
        return task
    width = 1.5 * seen.X.nnz / n_sampled if sp.issparse(seen.X) else float(n_features)
    room = min(ROOM, getattr(task.shards, "room", 0))
    n_wanted = room / (max(width, 1.0) * seen.dtype.itemsize)
    if n_wanted < seen.n_rows:
        n_wanted = min(n_wanted, float(ROWS_FOR_COLUMN * n_features))
    if n_wanted < 2.0 * n_sampled and n_wanted < seen.n_rows:
        return task
    return task._replace(look=_brought(task, min(n_wanted / seen.n_rows, 1.0)))


def _brought(task: ShardedTask, share: float) -> Look:
    """Return what there is to know of the rows, with a share of them as the sample: a pass."""
    seen, kind = task.look, task.kind
    bring = partial(brought, kind=kind, dtype=seen.dtype, share=share)
    parts = [part for part in task.shards.total(bring, added).parts if part.y.shape[0] > 0]
    X = stacked([part.X for part in parts])
    if task.constant:
        X = with_constant(X, task.constant)
    y, weight = (np.concatenate([part[k] for part in parts]) for k in (1, 2))
    return seen._replace(X=X, y=y, weight=weight, keys=np.zeros(y.shape[0]), reach=share)


def _refuse_far_targets(task: ShardedTask) -> None:
    """Refuse targets of a log link whose deviances float64 cannot tell from each other."""
    least, largest = task.look.y_least, task.look.y_largest
    limit = FARTHEST[task.fit_intercept]
    if is_deviance(task.loss) and (largest > limit or least < 1.0 / limit):
        raise ValueError(
            f"targets of a log link in parts must be 0 or between {1.0 / limit:g} and {limit:g}"
            f"{'' if task.fit_intercept else ' where fit_intercept=False'}, got {least:.3g} to "
            f"{largest:.3g}. Multiply y by a constant."
        )


def sample_task(task: ShardedTask) -> Task:
    """Return the task of the sample's rows."""
    seen, weight = task.look, task.look.weight
    y: NDArray[Any] = seen.y
    if task.classes.shape[0] > 0:
        y = np.searchsorted(task.classes, seen.y).astype(np.int32)
        weight = weight * task.factors[y]
        if not task.is_multinomial:
            own = (y == task.own_class).astype(np.int32)
            y = binary_targets(own, losses.negative(task.loss), np.float64)
    if not weight.any():
        weight = np.ones_like(weight)
    X = seen.X.astype(seen.dtype, copy=False)
    whole = Task(as_rows(X), y, weight, task.loss, task.l1, task.l2, X.shape[1])
    return whole._replace(
        n_outputs=task.n_outputs,
        fit_intercept=task.fit_intercept,
        positive=task.positive,
        dtype=seen.dtype,
    )


def frame_of(task: ShardedTask) -> Frame:
    """Return what the parts of all shards have in common."""
    seen = task.look
    mean, std = seen.mean, seen.std
    origin = None
    if task.fit_intercept and np.any(np.abs(mean) > FAR * std):
        # as numbers of X's dtype: the difference is exact then
        origin = np.where(np.abs(mean) > FAR * std, mean, 0.0).astype(seen.dtype)
        origin = origin.astype(np.float64)
        mean = mean - origin
    if not task.fit_intercept:
        mean, std = np.zeros_like(mean), np.hypot(std, mean)
    least = TINIEST_FREE if is_free(task) else TINIEST
    known = (std > CONSTANT * np.abs(seen.mean)) & (std >= least)
    inverse_std = np.divide(1.0, std, out=np.zeros_like(std), where=known)
    loss = task.loss
    if is_deviance(loss):
        loss = loss._replace(reach=_reach(loss, seen))
    n_outputs = task.n_outputs if task.is_multinomial else 0
    peak = (np.abs(seen.mean) + seen.peak) * inverse_std
    of_shape = task.fit_intercept, n_outputs, Scaler(mean, inverse_std), np.float64, peak
    alone = Problem(
        None, np.empty(0), np.empty(0), loss, 0.0, 0.0, *of_shape, np.empty(0), False, 0.0, 0.0
    )
    own = alone._replace(largest=LARGEST_MATRIX)
    of_classes = task.classes, task.factors, task.mass
    changes = task.constant, task.own_class
    return Frame(task.kind, seen.dtype, own, *of_classes, origin, *changes)


def _reach(loss: Any, seen: Look) -> float:
    """Return up to which exponent a log link's predictions are taken as they are."""
    power = losses.variance_power(loss)
    steepest = max(abs(2.0 - power), abs(1.0 - power))
    ends = np.log([min(seen.y_least, 1.0), max(seen.y_largest, 1.0)])
    return float(min(losses.EDGE + steepest * float(np.max(np.abs(ends))), LARGEST_REACH))


def lacks_a_class(task: ShardedTask) -> bool:
    """Tell whether the sample has no row of a class, whose intercept it would send far off."""
    held = np.isin(task.classes, task.look.y[task.look.weight > 0.0])
    return bool(np.any(~held & (task.look.masses > 0.0)))


def best_level(task: ShardedTask, frame: Frame, least: float) -> tuple[Any, float]:
    """Return the best intercepts without coefficients, and the objective there.

    What it takes is known without a pass, as log losses and deviances are linear in the targets,
    and without an intercept predictions are 0; for squared errors, which one step solves from
    anywhere, the objective is inf.
    """
    seen, free = task.look, float(task.fit_intercept)
    if losses.kind_of(task.loss) != losses.REGRESSION:
        shares = task.factors * seen.masses / task.mass
        if not task.is_multinomial:
            own = float(shares[task.own_class])
            shares = np.array([float(np.sum(shares)) - own, own])
        if not (free or task.is_multinomial):
            y = np.array([losses.negative(task.loss), 1.0])
            return 0.0, float(total_loss(y, shares, task.loss, np.zeros(2)))
        level = free * np.log(np.maximum(shares, LEAST_SHARE))
        objective = float(np.logaddexp.reduce(level) - shares @ level)
        return (level if task.is_multinomial else level[1] - level[0]), objective
    if not is_deviance(task.loss) or not seen.y_mean > 0.0:
        return 0.0, float("inf")
    loss, mean = frame.problem.loss, np.array([seen.y_mean])
    raw = free * losses.raw_of_mean(loss, mean)
    return float(raw[0]), float(total_loss(mean, np.ones(1), loss, raw)) - least


def shrunk(metric: Metric, shape: tuple[int, int]) -> Metric:
    """Return a sample's Hessian, nearer to its diagonal the fewer rows there are for its columns.

    Of fewer rows than columns, it says that there is no curvature where other rows have some.
    """
    n_rows, n_features = shape
    product = metric.product * (n_rows / (n_rows + n_features))
    np.fill_diagonal(product, np.diagonal(metric.product))
    return metric._replace(product=product)


def _is_thin(X: Any) -> bool:
    """Tell whether a sample is dense and has fewer rows than columns."""
    return isinstance(X, np.ndarray) and X.shape[0] < X.shape[1]


class Place(NamedTuple):
    """A point, the Hessian there without the penalty, and what else a proof needs.

    point : Point
    product : (P, P), or None if it was not asked for
    bend : the sum of the curvatures, of one output
    """

    point: Point
    product: Floats | None
    bend: Any


class Descent:
    """A descent on its way."""

    def __init__(self, task: ShardedTask, options: Options, sample: Task, start: Solution) -> None:
        self.task, self.options = task, options
        self.frame = frame_of(task)
        self.problem = self._posed()
        self.size = (self.problem.shape[1] + 1) * task.n_outputs
        most = NEWTON_PARAMETERS
        if losses.is_quadratic(task.loss) and _is_thin(task.look.X):
            most = NEWTON_OF_THIN  # its metric would take hundreds of passes, one Hessian is all
        self.is_newton = self.size <= most
        u, self.sample = self._first(start), sample
        self.pairs = Pairs(u.size)
        self.history: dict[str, list[float]] = {"objective": [], "suboptimality": []}
        self.decrements: list[float] = []
        self.estimates: list[float] = []
        self.next_proof = 0  # the first pass after which one may be tried
        self.n_passes, self.is_settled = 0, False
        self.here = self._at(u, self.is_newton)
        self.n_before = 0  # passes before it has begun again, and where it was
        self.stuck_at: Place | None = None
        self.plain: Floats | None = None  # where to begin again
        level, objective = best_level(task, self.frame, self.problem.least)
        if np.isfinite(objective):
            self.plain = from_raw(self.problem, np.zeros_like(start.coef), level)
            if lacks_a_class(task) or not self.here.point.objective <= objective:
                u, self.plain = self.plain, None
                self.here = self._at(u, self.is_newton)
        self.metric = None if self.is_newton else self._metric_of(sample, u)

    def _posed(self) -> Problem:
        """Return what steps and proofs are made with: all but the rows."""
        task = self.task
        return self.frame.problem._replace(
            l1=float(task.l1), l2=float(task.l2), positive=task.positive
        )

    def _first(self, start: Solution) -> Floats:
        """Return the standardised parameters of where to begin, the sample's optimum."""
        return from_raw(self.problem, *self._from_user(start.coef, start.intercept))

    @property
    def floor(self) -> float:
        """What rounding may hide of the objective where the descent stands."""
        return self.problem.rounding(self.here.point.objective)

    def _from_user(self, coef: Any, intercept: Any) -> tuple[Any, Any]:
        if self.frame.origin is not None:
            intercept = intercept + np.sum(np.asarray(coef) * self.frame.origin, axis=-1)
        return coef, intercept

    def _model_at(self, u: Floats) -> Model:
        coef, intercept, *_ = model_at(self.problem, u)
        if self.frame.origin is not None:
            intercept = intercept - np.sum(coef * self.frame.origin, axis=-1)
        return Model(coef, intercept)

    def _metric_of(self, sample: Task, u: Floats) -> Metric:
        """Return the sample's Hessian where it is a matrix that can be had, else a diagonal."""
        rows = sample.rows
        if self.frame.origin is not None:
            rows = counted_from(rows, self.frame.origin)
        posed = pose(sample._replace(rows=rows))
        own = posed._replace(scaler=self.frame.problem.scaler, dtype=np.float64, l1=self.problem.l1)
        if can_have_hessian(own):
            return transfer(self.problem, shrunk(hessian(own, evaluate(own, u)), own.shape))
        shares = self.task.factors * self.task.look.masses / self.task.mass
        rough = bound(own, shares)
        if rough.product.ndim == 2:
            return transfer(self.problem, shrunk(rough, own.shape))
        return factorise(self.problem, rough.product, rough.is_hessian)

    # -- passes -----------------------------------------------------------------------------------

    def _at(self, u: Floats, wants_hessian: bool) -> Place:
        """Return the objective, its gradient and the Hessian at u, in one pass."""
        part = partial(sums_at, frame=self.frame, u=u, wants_hessian=wants_hessian)
        sums: Sums = self.task.shards.total(part, added)
        problem, ridge = self.problem, self.problem.ridge
        with np.errstate(over="ignore"):  # a step too far
            pull = (u.T * ridge).T
            objective = sums.loss + self._penalty_at(u)
        terms = sums.terms
        if not is_deviance(problem.loss):
            terms = float(np.sqrt(max(self.task.look.y_square, 0.0)))
        self.problem = problem._replace(least=sums.least, terms=terms)
        point = Point(u, float(objective), sums.gradient + pull, np.empty(0))
        product = sums.product if wants_hessian else None
        return Place(point, product, sums.bend)

    def _penalty_at(self, u: Floats) -> float:
        """Return what the penalties add to the loss."""
        problem = self.problem
        penalty = 0.5 * float(np.sum((u.T * problem.ridge).T * u))
        if problem.l1 > 0.0:
            penalty += float(np.sum(problem.threshold @ np.abs(u)))
        return penalty

    def _part_along(self, places: list[Floats]) -> Any:
        """Return what a pass adds up to know the losses at some places; None for no such pass."""
        return partial(losses_at, frame=self.frame, places=places)

    def _best_length(self, step: Floats, lengths: Floats, promise: float) -> float:
        """Return which length of a step lowers the objective most, in one pass; 0.0 for none."""
        u = self.here.point.u
        places = [u, *(u + length * step for length in lengths)]
        losses_there = self.task.shards.total(self._part_along(places), added).values
        with np.errstate(over="ignore", invalid="ignore"):
            values = losses_there + np.array([self._penalty_at(place) for place in places])
            falls = np.where(np.isfinite(values[1:]), values[0] - values[1:], -np.inf)
        best = int(np.argmax(falls))
        enough = SUFFICIENT * lengths[best] * promise - self.floor
        return float(lengths[best]) if falls[best] >= enough else 0.0

    # -- steps ------------------------------------------------------------------------------------

    def run(self) -> Solution:
        """Take steps until the suboptimality is shown, passes are used up, or rounding decides."""
        is_stopped, is_stuck, n_for_proof = False, False, 0
        while True:
            step, decrement = self._direction()
            self.decrements.append(decrement)
            left, is_shown = self._suboptimality(decrement)
            if self.n_passes > 0:
                is_stopped = self._report(left)
            arrived = is_shown and left <= self._target()
            if arrived and self._wants_proof():
                arrived, n_for_proof = n_for_proof == PROVING_STEPS, n_for_proof + 1
            if is_stopped or is_stuck or self.n_passes >= self.options.max_iter:
                break
            if not arrived and self._may_prove():
                self._balance()
                continue
            if arrived and (self.n_passes > 0 or decrement <= self.floor):
                break
            # the last step needs no Hessian after it
            is_stuck = not self._moves(step, decrement, self.is_newton and not arrived)
            if is_stuck and self._begins_again(decrement):
                is_stuck = False
            if is_stuck and self.n_passes == 0:
                break
        if self.stuck_at and self.stuck_at.point.objective < self.here.point.objective:
            self.here, left, is_shown = self.stuck_at, float("inf"), False
        return self._solution(left, is_shown)

    def _begins_again(self, decrement: float) -> bool:
        """Begin at the model without columns, once, where much is left and no step is of use.

        A column that few rows of the sample hold may have so large a coefficient at its optimum
        that other rows are on the wrong side of it, far out where their curvatures vanish: Newton's
        step takes the loss for flat there.
        """
        is_far = decrement > max(self._target(), HIDDEN * self.floor)
        if self.plain is None or not is_far or self.n_passes >= self.options.max_iter:
            return False
        u, self.plain, self.stuck_at = self.plain, None, self.here
        self.pairs.clear()
        self.decrements.clear()
        self.estimates.clear()
        self.n_before, self.is_settled = len(self.history["objective"]), False
        self.here = self._at(u, self.is_newton)
        self.n_passes += 1
        if not self.is_newton:
            self.metric = self._metric_of(self.sample, u)
        return True

    def _direction(self) -> tuple[Floats, float]:
        """Return a step, and what it promises of the objective, or half of it under a parabola."""
        point = self.here.point
        if self.here.product is not None:
            self.metric = factorise(self.problem, self.here.product, True)
        assert self.metric is not None
        if not self.problem.is_smooth:
            return solve_l1(self.metric, self.problem, point, 1e-6)
        step = -self.pairs.correct(self.metric, point.gradient)
        return step, -0.5 * float(np.vdot(point.gradient, step))

    def _moves(self, step: Floats, decrement: float, wants_hessian: bool) -> bool:
        """Take a step, or as much of it as lowers the objective; return False for none."""
        point, length = self.here.point, 1.0
        promise = 2.0 * decrement if self.problem.is_smooth else decrement
        for tries in range(1, SEARCHES + 1):
            if self.n_passes >= self.options.max_iter or not length > SMALLEST_STEP:
                return False
            there = np.maximum((point.u + length * step).T, self.problem.lowest).T
            following = self._at(there, wants_hessian)
            self.n_passes += 1
            fall = point.objective - following.point.objective
            enough = SUFFICIENT * length * promise - self.floor
            if np.isfinite(following.point.objective) and fall >= enough:
                change = following.point.gradient - point.gradient
                if not self.is_newton:
                    self.pairs.add(following.point.u - point.u, change)
                self.is_settled = length == 1.0
                self.here = following
                return True
            self._report_search()
            if promise <= HIDDEN * self.floor:  # each try would be a pass that decides nothing
                return False
            if tries == PATIENT and not self.problem.positive and self._part_along([]) is not None:
                if self.n_passes >= self.options.max_iter:
                    return False
                length = self._best_length(step, np.multiply(length, LENGTHS), promise)
                self.n_passes += 1
                self._report_search()
                continue
            excess = length * promise - fall
            is_bent = np.isfinite(excess) and excess > 0.0
            best = 0.5 * length * length * promise / excess if is_bent else 0.0
            length = min(max(best, 0.1 * length), 0.5 * length)
        return False

    def _report_search(self) -> None:
        """Report a pass that has not moved: there is one entry a pass."""
        if self.n_passes < self.options.max_iter:
            self._report(self.history["suboptimality"][-1] if self.n_passes > 1 else np.inf)

    def _wants_proof(self) -> bool:
        """Tell whether another of Newton's steps is likely to prove what it is hoped to be."""
        if not (self.is_newton and self._is_provable()):
            return False
        return self._quick_gap() > self._target()

    # -- the suboptimality ------------------------------------------------------------------------

    def _target(self) -> float:
        return max(self.options.tol * abs(self.here.point.objective), self.floor)

    def _suboptimality(self, decrement: float) -> tuple[float, bool]:
        """Return about how far the optimum is, and whether that is shown.

        Newton's decrement can be relied on once full steps shrink it as its theory says; a proven
        bound always.
        """
        proven = self._quick_gap()
        estimate = extrapolated(self.decrements, self._objectives()) * MORE_CAUTION
        estimate *= 1.0 if self.problem.is_smooth else CAUTION_WITHOUT_PAIRS
        if not self.is_newton:
            estimate = self._lasting(estimate)
            estimate *= UNPROVEN if self._is_provable() else 1.0
        is_shown = not self.is_newton and np.isfinite(estimate)
        has_hessian = self.here.product is not None
        if losses.is_quadratic(self.problem.loss) and has_hessian and self.problem.is_smooth:
            estimate, is_shown = NEWTON_CAUTION * decrement, True
        elif self.is_newton and len(self.decrements) > 1:
            shrinks = self.decrements[-1] <= SETTLED * self.decrements[-2]
            is_shown = self.is_settled and (shrinks or decrement <= self.floor)
            estimate = NEWTON_CAUTION * decrement
        elif self.is_newton:
            estimate = NEWTON_CAUTION * decrement
        if proven <= max(estimate, self._target()):
            return proven, True
        return float(estimate), bool(is_shown)

    def _may_prove(self) -> bool:
        """Tell whether the last estimate, which did not last, is worth the passes of a proof."""
        if self.is_newton or not self._is_provable() or self._is_balanced():
            return False
        if self.n_passes < self.next_proof or self.estimates[-1] > self._target():
            return False
        self.next_proof = self.n_passes + PASSES_BETWEEN_PROOFS
        return True

    def _is_provable(self) -> bool:
        """Tell whether a bound that shrinks with the gradient can prove what an estimate hopes."""
        return self.problem.l2 > 0.0 and can_prove(self.problem)

    def _lasting(self, estimate: float) -> float:
        """Return the largest of the last estimates, of a tenth of all.

        Where a metric is poor, one pass in a hundred gains next to nothing, and promises no more:
        that says nothing of the optimum.
        """
        self.estimates.append(estimate)
        return max(self.estimates[-(1 + len(self.estimates) // 10) :])

    def _quick_gap(self) -> float:
        """Return what is proven of where the descent stands without another pass."""
        return quick_gap(self.problem, self.here.point)

    def _objectives(self) -> list[float]:
        return [*self.history["objective"][self.n_before :], self.here.point.objective]

    def _report(self, left: float) -> bool:
        """Report a pass; return whether to stop."""
        figures = {"objective": self.here.point.objective, "suboptimality": float(left)}
        spent = self.task.shards.spent
        figures |= spent
        for name, value in figures.items():
            self.history.setdefault(name, []).append(value)
        spent.update(dict.fromkeys(spent, 0.0))
        model = partial(self._model_at, self.here.point.u)
        return self.options.observer.passed(model, figures)

    # -- what was found ---------------------------------------------------------------------------

    def _solution(self, left: float, is_shown: bool) -> Solution:
        if can_prove(self.problem):
            self._balance()
        point = self.here.point
        gap = self._gap()
        left = min(left, gap)
        if self._hides_directions() and gap > self._target():
            left, is_shown = gap, False
        while len(self.history["objective"]) < max(self.n_passes, 1):
            self._report(left)
        coef, intercept, *_ = self._model_at(point.u)
        converged = left <= self._target() and (is_shown or gap <= self._target())
        counts = len(self.history["objective"]), bool(converged), self.history
        state = State(np.array(coef, np.float64), intercept)
        return Solution(coef, intercept, point.objective, gap, left, *counts, state)

    def _hides_directions(self) -> bool:
        """Tell whether an l1 penalty's decrement may miss what columns leave beside each other."""
        is_matrix = self.metric is not None and self.metric.product.ndim == 2
        return is_matrix and not self.problem.is_smooth and is_thin(self.metric)

    def _balance(self) -> None:
        """Move the intercepts to their best, which a proof needs: a pass for each step."""
        bend: Floats | None = None
        for _ in range(BALANCING_STEPS):
            if self._is_balanced() or self.n_passes >= self.options.max_iter:
                return
            if bend is None or self.problem.n_outputs == 0:
                bend = self._bend_of_intercepts()
            point = self.here.point
            u = point.u.copy()
            step = np.linalg.lstsq(bend, -np.atleast_1d(point.gradient[-1]), rcond=1e-14)[0]
            u[-1] += step if self.problem.n_outputs > 0 else step[0]
            following = self._at(u, False)
            self.n_passes += 1
            now = following.point
            is_nearer = np.max(np.abs(now.gradient[-1])) < np.max(np.abs(point.gradient[-1]))
            if not (is_nearer and now.objective <= point.objective + self.floor):
                return
            self.here = following

    def _is_balanced(self) -> bool:
        """Tell whether the intercepts are so near to their best that the rest can be counted."""
        return bool(np.isfinite(quick_gap(self.problem._replace(l2=1.0), self.here.point)))

    def _bend_of_intercepts(self) -> Floats:
        """Return the Hessian of the intercepts alone: softmax's takes a pass where none is known.

        It serves for all steps from there, which are short.
        """
        K = self.problem.n_outputs
        if K == 0:
            return np.atleast_2d(self.here.bend)
        if self.metric is not None and self.metric.is_hessian and self.metric.full.ndim == 2:
            width = self.problem.shape[1] + 1
            last = np.arange(width - 1, K * width, width)
            return np.asarray(self.metric.full[np.ix_(last, last)])
        part = partial(bend_of_classes_at, frame=self.frame, u=self.here.point.u)
        self.n_passes += 1
        return np.asarray(self.task.shards.total(part, added).values)

    def _gap(self) -> float:
        """Return a proven bound of the suboptimality; inf where there is none."""
        problem, point = self.problem, self.here.point
        if not can_prove(problem):
            return self._gap_of_parabola()
        rounding = ALLOWANCE * (abs(point.objective) + abs(problem.least))
        gap = self._quick_gap() if problem.l2 > 0.0 else self._gap_in_box()
        bound = max(point.objective - problem.lowest_objective, 0.0)
        return float(min(gap + rounding, bound))

    def _gap_of_parabola(self) -> float:
        """Return how far above its least value a parabola is; inf of what is none.

        Its Hessian H is that of all rows, and the same everywhere: g' H^-1 g / 2, and twice as much
        covers what rounding of H may be off where it is not thin. Where it is, there is left what
        lies above the least value that targets allow.
        """
        problem, point, metric = self.problem, self.here.point, self.metric
        if not (losses.is_quadratic(problem.loss) and problem.is_smooth and self.is_newton):
            return float("inf")
        bound = max(point.objective - problem.lowest_objective, 0.0)
        if metric is None or is_thin(metric):
            return float(bound)
        decrement = float(np.vdot(point.gradient, solve(metric, point.gradient)))
        return float(min(decrement + rounding_of_solution(metric, point.objective), bound))

    def _gap_in_box(self) -> float:
        """Return the gap where there is an l1 penalty only: a pass, unless the dual point fits."""
        problem, point = self.problem, self.here.point
        if not self._is_balanced():
            return float("inf")
        gap, share = box_gap(problem, point)
        if share == 1.0:
            return gap
        part = partial(loss_gap_at, frame=self.frame, u=point.u, share=share)
        return gap + float(self.task.shards.total(part, added).value)
