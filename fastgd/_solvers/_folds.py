"""Paths of many folds at once: the same rows with other weights, smooth losses with an l2 penalty.

A fold of a cross-validation is all rows with weight zero for those that it leaves out. Each fold
descends on its own, from where it ended for the strength before, but all of them are evaluated in
the same pass over X (``kernels.folds``), and the metric, the inverse Hessian that steps are
multiplied by, is made once for all: folds have most rows in common, and neighbouring strengths
nearly the same curvatures. What is left of the difference, BFGS's corrections learn. From one
strength to the next their pairs of steps and gradient changes are carried over exactly: the
penalty's part of a change is linear in the step.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri

from fastgd._monitoring.observer import UNWATCHED
from fastgd._runtime.threads import in_threads, one_blas_thread
from fastgd._solvers import _costs
from fastgd._solvers._auto import solve
from fastgd._solvers._descent import SUFFICIENT, Pairs, extrapolated
from fastgd._solvers._gd import null_model
from fastgd._solvers._newton import has_small_hessian, standardised
from fastgd._solvers._newton_folds import NewtonFold, descend_each, has_quick_newton
from fastgd._solvers._precondition import products
from fastgd._solvers._problem import (
    EPSILON,
    Floats,
    Point,
    Problem,
    block_size,
    model_at,
    over_shards,
    pose,
    to_raw,
)
from fastgd._solvers._row_folds import SHARE, RowDescent, RowProducts, descend_rows, has_few_rows
from fastgd._solvers._task import Options, State, Task
from fastgd._solvers._units import units_of
from fastgd.kernels import losses
from fastgd.kernels.folds import (
    FoldSums,
    FoldTargets,
    ManyClasses,
    OneOutput,
    pass_folds,
    pass_folds_sparse,
)
from fastgd.kernels.rows import CSR, Dense

FEW_ENTRIES = 10_000  # of X: up to these, Newton's method for each fold takes as long
WIDEST = 64  # raw predictions of a row at once: more folds come in groups
SHARE_OF_NULL = 0.05  # of the loss without columns: a fit that is so good is judged by this
FEWEST_PASSES = 2  # before a metric may be made anew
SMALLEST_STEP = 1e-6
MOST_AHEAD = 1.5  # times the last two solutions' distance
OWN_COST = 5.0  # passes: up to this, each fold has a metric of its own
OF_INVERSE = 0.4  # nanoseconds for each entry^1.5
FLOOR = 1e-10  # of a unit diagonal
MOST_SHARDS_OF_WIDE, WIDE = 2, 1 << 17  # sums apart, where they are larger than that


class FoldFit(NamedTuple):
    """What was found for a fold.

    coef, intercept : as of ``Solution``
    n_iter : int, passes
    converged : bool
    """

    coef: Floats
    intercept: Any
    n_iter: int
    converged: bool


class Folds(ABC):
    """The path of each fold: ``at`` fits all of them for one strength, from where they are.

    Parameters
    ----------
    task : Task
        Of all rows; its penalty counts for nothing.
    weights : (n_folds, n_samples), float64
        Of the rows in each fold.
    options : Options
    """

    def __init__(self, task: Task, weights: Floats, options: Options) -> None:
        self.task, self.weights, self.options = task, weights, options

    @abstractmethod
    def at(self, l1: Floats, l2: Floats) -> list[FoldFit]:
        """Return the solutions for each fold's l1 and l2."""


def folds_of(task: Task, weights: Floats, options: Options, solver: str = "auto") -> Folds:
    """Return the paths of folds by the method that suits the task.

    ``task`` has the penalty that asks most of a method: l1 if there is any, the least l2.
    """
    is_joint = task.l1 == 0.0 and task.l2 > 0.0 and not task.positive and solver in ("auto", "gd")
    if not (is_joint and can_be_joint(task.loss)):
        return SeparateFolds(task, weights, options, solver)
    if has_quick_newton(task) and standardised(task) is not None:
        return NewtonFolds(task, weights, options)
    if task.y.shape[0] * task.n_features <= FEW_ENTRIES and has_small_hessian(task):
        return SeparateFolds(task, weights, options, solver)  # which are finished to rounding
    if not has_few_rows(task):
        return JointFolds(task, weights, options)
    return RowFolds(task, weights, options)


def can_be_joint(loss: Any) -> bool:
    """Tell whether a loss is smooth, convex and bounded, as descent of many folds asks."""
    if losses.kind_of(loss) == losses.MULTINOMIAL:
        return bool(losses.is_cross_entropy(loss))
    is_convex = losses.is_convex(loss) and losses.is_smooth(loss) and losses.is_nonnegative(loss)
    return losses.kind_of(loss) == losses.BINARY and bool(is_convex)


class SeparateFolds(Folds):
    """Each fold has a solver of its own, which begins where it ended for the strength before."""

    def __init__(self, task: Task, weights: Floats, options: Options, solver: str) -> None:
        super().__init__(task, weights, options)
        self.solver = solver
        self.starts: list[Any] = [None] * weights.shape[0]

    def at(self, l1: Floats, l2: Floats) -> list[FoldFit]:
        """Return the solutions for each fold's l1 and l2."""
        options = self.options._replace(observer=UNWATCHED)

        def fitted(f: int) -> FoldFit:
            task = self.task._replace(weight=self.weights[f], l1=float(l1[f]), l2=float(l2[f]))
            found = solve(task, options, self.solver, self.starts[f])
            self.starts[f] = found.state
            if not hasattr(found.state, "dual"):
                self.starts[f] = State(found.coef, found.intercept)
            return FoldFit(found.coef, found.intercept, found.n_iter, found.converged)

        which = range(self.weights.shape[0])
        with one_blas_thread():
            if self.task.y.shape[0] * self.task.n_features <= _costs.FINISHED_IN_FLOAT64:
                return [fitted(f) for f in which]  # hand-offs to threads would cost more
            return in_threads(fitted, which)


class NewtonFolds(Folds):
    """Each fold takes Newton's steps, on columns that are standardised for all.

    ``standardised(task)`` must not be None: then float64 would lose too much by it.
    """

    def __init__(self, task: Task, weights: Floats, options: Options) -> None:
        super().__init__(task, weights, options)
        standard = standardised(task)
        assert standard is not None
        target = SHARE * options.tol * SHARE_OF_NULL * _null_loss(task, weights.sum(axis=0))
        self.folds = [NewtonFold(task._replace(weight=own), standard, target) for own in weights]

    def at(self, l1: Floats, l2: Floats) -> list[FoldFit]:  # noqa: ARG002
        """Return the solutions for each fold's l2; there is no l1."""
        models = descend_each(self.folds, l2, self.options)
        return [
            FoldFit(coef, intercept, fold.n_passes, fold.converged)
            for fold, (coef, intercept) in zip(self.folds, models, strict=True)
        ]


class RowFolds(Folds):
    """All folds take their steps together, in as many coordinates as there are rows."""

    def __init__(self, task: Task, weights: Floats, options: Options) -> None:
        super().__init__(task, weights, options)
        self.units = units_of(task)
        task = _of_columns(self.units.task, _kept_columns(self.units.task))
        self.kept = _kept_columns(self.units.task)
        with one_blas_thread():
            self.products = RowProducts(task)
        self.target = options.tol * SHARE_OF_NULL * _null_loss(task, weights.sum(axis=0))
        shares = weights / weights.sum(axis=1, keepdims=True)
        self.descents = [RowDescent(task, share) for share in shares]

    def at(self, l1: Floats, l2: Floats) -> list[FoldFit]:  # noqa: ARG002
        """Return the solutions for each fold's l2; there is no l1."""
        for descent, strength in zip(self.descents, l2, strict=True):
            descent.begin(float(strength))
        K = self.descents[0].at.own.shape[1]
        size = max(1, WIDEST // K)
        for first in range(0, len(self.descents), size):
            some = self.descents[first : first + size]
            descend_rows(self.products, some, self.target, self.options.max_iter)
        back = self.products.back(np.concatenate([d.at.own for d in self.descents], axis=1))
        parts = np.split(np.ascontiguousarray(back.T), len(self.descents))
        fits = [self._fit_of(*pair) for pair in zip(self.descents, parts, strict=True)]
        return [self._finished(f, fit, float(l2[f])) for f, fit in enumerate(fits)]

    def _finished(self, f: int, fit: FoldFit, l2: float) -> FoldFit:
        """Return a fold's solution; one that products of rows do not resolve is solved anew."""
        left = self.options.max_iter - fit.n_iter
        if fit.converged or left <= 0:
            return fit
        task = self.task._replace(weight=self.weights[f], l1=0.0, l2=l2)
        options = self.options._replace(observer=UNWATCHED, max_iter=left)
        found = solve(task, options, "auto", State(fit.coef, fit.intercept))
        return FoldFit(found.coef, found.intercept, fit.n_iter + found.n_iter, found.converged)

    def _fit_of(self, descent: RowDescent, coef: Floats) -> FoldFit:
        """Return coefficients of all columns, in the user's units."""
        level = descent.at.level - coef @ self.products.center
        coef = _spread(coef, self.kept, self.task.n_features)
        if self.task.n_outputs == 1:
            coef, level = coef[0], float(level[0])  # type: ignore[assignment]
        else:
            level = level - level.mean()
        coef, level = self.units.to_user(coef, level)
        return FoldFit(coef, level, descent.n_passes, descent.converged)


def has_arrived(descent: Any, target: float, max_iter: int) -> bool:
    """Tell whether a fold needs no more steps, or gets none; say so in ``converged``."""
    enough = max(SHARE * target, 4.0 * EPSILON * descent.objectives[-1])
    descent.converged = descent.suboptimality <= enough
    return bool(descent.converged or descent.is_stuck or descent.n_passes >= max_iter)


def _spread(coef: Floats, kept: NDArray[np.int64] | None, d: int) -> Floats:
    """Return coefficients of all columns, where some were left out."""
    if kept is None:
        return coef
    whole = np.zeros((*coef.shape[:-1], d))
    whole[..., kept] = coef
    return whole


class JointFolds(Folds):
    """All folds take their steps together: one pass over X evaluates them all."""

    def __init__(self, task: Task, weights: Floats, options: Options) -> None:
        super().__init__(task, weights, options)
        self.units = units_of(task)
        self.kept = _kept_columns(self.units.task)
        with one_blas_thread():
            problem = pose(_of_columns(self.units.task, self.kept))
            self._begin(problem._replace(dtype=np.float64))

    def _begin(self, problem: Problem) -> None:
        """Let each fold begin at the model without columns."""
        self.problem, weights = problem, self.weights
        null, prior = null_model(problem)
        metric = null_metric(problem, prior)
        null_loss = _null_loss(self.task, weights.sum(axis=0))
        self.target = self.options.tol * SHARE_OF_NULL * null_loss
        shares = weights / weights.sum(axis=1, keepdims=True)
        self.descents = [
            FoldDescent(problem._replace(weight=share), null, metric) for share in shares
        ]

    def at(self, l1: Floats, l2: Floats) -> list[FoldFit]:  # noqa: ARG002
        """Return the solutions for each fold's l2; there is no l1."""
        size = max(1, WIDEST // max(1, self.problem.n_outputs))
        with one_blas_thread():
            for first in range(0, len(self.descents), size):
                self._descend(self.descents[first : first + size], l2[first : first + size])
        return [self._fit_of(descent) for descent in self.descents]

    def _descend(self, descents: Sequence["FoldDescent"], l2: Floats) -> None:
        """Take steps until each fold has arrived."""
        for descent, strength in zip(descents, l2, strict=True):
            descent.begin(float(strength))
        unknown = [descent for descent in descents if not descent.objectives]
        if unknown:
            self._evaluate(unknown)
        foreseen = [descent for descent in descents if descent.foresee()]
        if foreseen:
            self._evaluate(foreseen)
        self._with_ridge(descents, float(l2.mean()))
        active, since = list(descents), 0
        while True:
            self._aim(active)
            active = [d for d in active if not self._has_arrived(d)]
            if not active:
                break
            if since >= FEWEST_PASSES and self._pays(active):
                self._renew(active, float(l2.mean()))
                since = 0
                continue
            self._evaluate(active)
            since += 1

    def _with_ridge(self, descents: Sequence["FoldDescent"], l2: float) -> None:
        """Make the metrics those of the present penalty; one that is shared once for all."""
        made: dict[int, BlockMetric] = {}
        for descent in descents:
            own = descent.metric
            problem = descent.problem if own.is_own else self.problem._replace(l2=l2)
            if id(own.product) not in made:
                made[id(own.product)] = own.with_ridge(problem)
            descent.metric = made[id(own.product)]

    def _aim(self, active: Sequence["FoldDescent"]) -> None:
        """Let each fold choose its next place."""
        if self.problem.shape[1] * len(active) > WIDE:
            in_threads(FoldDescent.aim, active)
        else:
            for descent in active:
                descent.aim()

    def _renew(self, active: Sequence["FoldDescent"], l2: float) -> None:
        """Take the curvatures where the folds are for the metric."""
        places = [descent.point.u for descent in active]
        weights = np.ascontiguousarray([descent.problem.weight for descent in active])
        K, n = max(1, self.problem.n_outputs), self.problem.shape[0]
        flat = np.empty((len(active) * K, n))
        evaluate_folds(self.problem, weights, places, flat)
        bends = flat.reshape(len(active), K, n)
        if self._has_own(len(active)):
            metrics = [
                metric_of(descent.problem, own)._replace(is_own=True)
                for descent, own in zip(active, bends, strict=True)
            ]
        else:
            metrics = [metric_of(self.problem._replace(l2=l2), bends.mean(axis=0))] * len(active)
        for descent, metric in zip(active, metrics, strict=True):
            descent.metric = metric
            descent.n_passes += 1
            descent.forget()

    def _pays(self, active: Sequence["FoldDescent"]) -> bool:
        """Tell whether a new metric costs less than the passes that it saves."""
        problem = self.problem
        if not can_be_matrix(problem) and not active[0].metric.is_null:
            return False
        cost = cost_of_metric(
            problem, len(active), len(active) if self._has_own(len(active)) else 1
        )
        return max(d.passes_left(self.target) for d in active) > cost

    def _has_own(self, n_folds: int) -> bool:
        """Tell whether a metric for each fold is cheap enough."""
        is_matrix = can_be_matrix(self.problem)
        return is_matrix and cost_of_metric(self.problem, n_folds, n_folds) <= OWN_COST

    def _has_arrived(self, descent: "FoldDescent") -> bool:
        """Tell whether a fold needs no more steps, or gets none."""
        return has_arrived(descent, self.target, self.options.max_iter)

    def _evaluate(self, descents: Sequence["FoldDescent"]) -> None:
        """Evaluate all folds where they aim at, in one pass over X."""
        places = [descent.aimed for descent in descents]
        weights = np.ascontiguousarray([descent.problem.weight for descent in descents])
        totals, gradients = evaluate_folds(self.problem, weights, places)
        for f, descent in enumerate(descents):
            descent.reach(float(totals[f]), gradients[f].reshape(descent.aimed.shape))

    def _fit_of(self, descent: "FoldDescent") -> FoldFit:
        """Return coefficients of all columns, in the user's units."""
        coef, intercept, _ = model_at(self.problem, descent.point.u)
        coef = _spread(coef, self.kept, self.task.n_features)
        coef, intercept = self.units.to_user(coef, intercept)
        return FoldFit(coef, intercept, descent.n_passes, descent.converged)


class BlockMetric(NamedTuple):
    """A matrix for each output, or its diagonal: what is between the outputs is left out.

    product : (K, P, P) or (K, P), without the penalty
    inverse : the same with the penalty, inverted
    is_null : bool, whether the curvatures are the null model's
    is_own : bool, whether they are one fold's alone
    """

    product: Floats
    inverse: Floats
    is_null: bool
    is_own: bool = False

    def with_ridge(self, problem: Problem) -> "BlockMetric":
        """Return the metric for another penalty."""
        return self._replace(inverse=_inverse(problem, self.product))

    def times(self, gradient: Floats) -> Floats:
        """Return the inverse times a gradient, (P,) or (P, K)."""
        rows = gradient.T.reshape(-1, gradient.shape[0])
        if self.inverse.ndim == 2:
            found = self.inverse * rows
        else:
            found = np.matmul(self.inverse, rows[:, :, None])[:, :, 0]
        return np.ascontiguousarray(found.reshape(gradient.T.shape).T)


def _inverse(problem: Problem, product: Floats) -> Floats:
    """Return the inverse of each output's matrix with the penalty; coordinates that stay are 0."""
    ridge = problem.ridge
    free = np.append(problem.scaler.inverse_std > 0.0, problem.fit_intercept)
    if product.ndim == 2:
        diagonal = product + ridge
        usable = free & (diagonal > 0.0)
        return np.divide(1.0, diagonal, out=np.zeros(diagonal.shape), where=usable)
    width = ridge.shape[0]
    diagonal = np.einsum("kjj->kj", product) + ridge
    root = np.where(free, 1.0 / np.sqrt(np.maximum(diagonal, 1e-300)), 0.0)
    full = product * root[:, :, None]
    full *= root[:, None, :]
    for k in range(full.shape[0]):
        floor, fault = FLOOR, 1
        while fault != 0 and np.isfinite(floor):
            full[k].flat[:: width + 1] = 1.0 + floor
            factor, fault = dpotrf(full[k].T, lower=False)  # of the upper triangle, as it lies
            floor *= 10.0
        full[k] = dpotri(factor, lower=False)[0].T
    lower = np.tril(full)
    full = lower + np.swapaxes(np.tril(full, -1), 1, 2)
    full *= root[:, :, None]
    full *= root[:, None, :]
    return full


def null_metric(problem: Problem, prior: Floats) -> BlockMetric:
    """Return the metric at the model without columns, where a class's curvatures are all alike."""
    bends = prior * (1.0 - prior) if problem.n_outputs else np.full(1, 0.25)
    product = products(problem, problem.weight)
    whole = np.multiply.outer(np.maximum(bends, 1e-12), product)
    return BlockMetric(whole, whole, True)


def metric_of(problem: Problem, curvatures: Floats) -> BlockMetric:
    """Return the metric of the rows' curvatures, (K, n)."""
    if can_be_matrix(problem):
        whole = np.stack(in_threads(lambda own: products(problem, own), list(curvatures)))
    else:
        whole = np.multiply.outer(curvatures.sum(axis=1), products(problem, problem.weight))
    return BlockMetric(whole, _inverse(problem, whole), False)


def can_be_matrix(problem: Problem) -> bool:
    """Tell whether a metric is matrices, and no diagonal."""
    return problem.shape[1] + 1 <= problem.largest


def cost_of_metric(problem: Problem, n_folds: int, n_metrics: int = 1) -> float:
    """Return about how many passes for all folds metrics cost."""
    n, d = problem.shape
    K, width = max(1, problem.n_outputs), problem.shape[1] + 1
    if not can_be_matrix(problem):
        return 2.0
    product = _costs.of_products(problem.rows, n, d, width) + OF_INVERSE * float(width) ** 3
    return 1.0 + n_metrics * K * product / of_pass_of_folds(problem, n_folds)


def of_pass_of_folds(problem: Problem, n_folds: int) -> float:
    """Return about the time of a pass for all folds, in nanoseconds of a core."""
    n, d = problem.shape
    wide = n_folds * max(1, problem.n_outputs)
    if _costs.is_scattered(problem.rows, n, d):
        return _costs.OF_CALL + problem.rows.data.size * (_costs.OF_NONZERO + 0.7 * wide)
    entries = n * d * (_costs.OF_ENTRY + 4.0 * _costs.OF_BLAS * wide)
    return _costs.OF_CALL + entries + _costs.OF_ROW * n * wide


class FoldDescent:
    """A fold on its way: where it stands, where it aims at, and what its steps have taught.

    Parameters
    ----------
    problem : Problem
        With the fold's weights.
    u : Floats
        Where to begin.
    metric : BlockMetric
        What its first steps are made with.
    """

    def __init__(self, problem: Problem, u: Floats, metric: "BlockMetric") -> None:
        self.problem, self.pairs, self.metric = problem, Pairs(u.size), metric
        self.point = Point(u, np.inf, np.zeros(u.shape), np.empty(0))
        self.aimed = u
        self.n_passes, self.converged, self.is_stuck = 0, False, False
        self.before: Floats | None = None  # where the strength before last has ended
        self.of_rows: tuple[float, Floats] | None = None  # loss and gradient there, no penalty's
        self.ridge = problem.ridge
        self.logs: tuple[float, ...] = (0.0, 0.0)

    def begin(self, l2: float) -> None:
        """Begin with another strength where the one before has ended."""
        self.problem, ridge = self.problem._replace(l2=l2), self.ridge
        self.ridge = self.problem.ridge
        self.pairs.add_ridge(self.ridge - ridge)
        self.logs = (*self.logs[-2:], float(np.log(l2)))
        self.aimed = self.point.u
        self.step, self.length, self.promise = np.zeros(0), 1.0, 0.0
        self.objectives: list[float] = []
        self.decrements: list[float] = []
        self.n_passes, self.converged, self.is_stuck = -1, False, False
        self.suboptimality = np.inf
        self._is_aimed = self.is_foreseen = False
        if self.of_rows is not None:  # the rows' part is what it was
            self.n_passes = 0
            self._take(self._with_penalty(*self.of_rows), self.of_rows)

    def foresee(self) -> bool:
        """Aim at where the last two strengths' solutions lead to; return whether there are two."""
        before, self.before = self.before, self.point.u
        if before is None or not np.any(before):
            return False
        older, old, now = self.logs
        share = min((now - old) / (old - older), MOST_AHEAD) if old != older else 0.0
        if not share > 0.0:
            return False
        self.step = share * (self.point.u - before)
        self.promise = 0.0  # whatever is lower is better
        self.length, self.aimed = 1.0, self.point.u + self.step
        self.is_foreseen = True
        return True

    def forget(self) -> None:
        """Forget what was learned of a metric that is gone."""
        self.pairs.clear()
        self.decrements.clear()
        self._is_aimed = False

    def reach(self, loss: float, gradient: Floats) -> None:
        """Take in loss and gradient at the place aimed at; shorten the step if it was too long."""
        self.n_passes += 1
        of_rows, there = (loss, gradient), self._with_penalty(loss, gradient)
        objective, gradient = there.objective, there.gradient
        if self.is_foreseen:
            self.is_foreseen = False
            if objective < self.point.objective:
                self.objectives.clear()
                self._take(there, of_rows)
            return
        if not self.objectives:
            self._take(there, of_rows)
            return
        fall = self.point.objective - objective
        rounding = 4.0 * EPSILON * abs(self.point.objective)
        if fall >= SUFFICIENT * self.length * self.promise - rounding:
            self.pairs.add(there.u - self.point.u, gradient - self.point.gradient)
            self.is_stuck = not fall > -rounding
            self._take(there, of_rows)
            return
        excess = self.length * self.promise - fall
        best = 0.5 * self.length**2 * self.promise / excess if np.isfinite(excess) else 0.0
        self.length = min(max(best, 0.1 * self.length), 0.5 * self.length)
        self.is_stuck = self.length < SMALLEST_STEP
        self.aimed = self.point.u + self.length * self.step

    def _with_penalty(self, loss: float, gradient: Floats) -> Point:
        """Return the place aimed at with what the penalty adds to the rows' part."""
        pull = (self.aimed.T * self.ridge).T
        gradient = gradient + pull
        if not self.problem.fit_intercept:
            gradient[-1] = 0.0
        objective = loss + 0.5 * float(np.vdot(pull, self.aimed))
        return Point(self.aimed, objective, gradient, np.empty(0))

    def _take(self, there: Point, of_rows: tuple[float, Floats]) -> None:
        self.point, self.of_rows = there, of_rows
        self.objectives.append(there.objective)
        self._is_aimed = False

    def aim(self) -> None:
        """Choose the next place, unless a shorter step is on its way."""
        if self._is_aimed:
            return
        self._is_aimed = True
        self.step = -self.pairs.corrected(self.metric.times, self.point.gradient)
        if self.problem.n_outputs:  # what all classes share changes no prediction: it stays zero
            self.step -= self.step.mean(axis=1, keepdims=True)
        self.promise = -float(np.vdot(self.point.gradient, self.step))
        self.length, self.aimed = 1.0, self.point.u + self.step
        self.decrements.append(0.5 * self.promise)
        self.suboptimality = extrapolated(self.decrements, self.objectives)
        self.is_stuck = self.is_stuck or not self.promise > 0.0

    def passes_left(self, target: float) -> float:
        """Estimate how many more passes the present metric needs."""
        if len(self.decrements) < 2 or self.decrements[-1] <= 0.0:
            return 0.0
        ratio = (self.decrements[-1] / self.decrements[max(-4, -len(self.decrements))]) ** (
            1.0 / min(3, len(self.decrements) - 1)
        )
        if ratio >= 1.0:
            return np.inf
        return float(np.log(max(self.suboptimality / target, 1.0)) / -np.log(ratio))


def evaluate_folds(
    problem: Problem,
    weights: Floats,
    places: Sequence[Floats],
    bends: Floats | None = None,
    fold_of: NDArray[np.int64] | None = None,
) -> tuple[Floats, Floats]:
    """Return losses (n_places,) and their gradients (n_places, P, K) at places of the folds.

    ``weights`` is (n_folds, n), and ``fold_of`` the fold of each place, by default one for each;
    the penalty is left out. ``bends``, (n_places * K, n), is written.
    """
    n, d = problem.shape
    n_places, K = len(places), max(1, problem.n_outputs)
    output = ManyClasses(problem.loss) if problem.n_outputs else OneOutput(problem.loss)
    fold_of = np.arange(n_places) if fold_of is None else fold_of
    own = problem.rows, FoldTargets(problem.y, weights, fold_of, output)
    bends = np.empty((n_places * K, 0)) if bends is None else bends
    if _costs.is_scattered(problem.rows, n, d):
        raw = [to_raw(problem, u).reshape(d + 1, K) for u in places]
        params = np.ascontiguousarray(np.concatenate(raw, axis=1))

        def sparse_shard(start: int, stop: int) -> tuple[Floats, Floats]:
            gradient, totals = np.zeros(params.shape), np.zeros(n_places)
            pass_folds_sparse(*own, params, start, stop, FoldSums(gradient, totals, bends))
            return totals, gradient

        most = MOST_SHARDS_OF_WIDE if params.size > WIDE else 16
        parts = over_shards(sparse_shard, n, problem.rows.data.size * params.shape[1], most)
        total = sum(part[1] for part in parts)
        scaler = problem.scaler
        total[:-1] -= np.outer(scaler.center, total[-1])
        total[:-1] *= scaler.inverse_std[:, None]
        found = np.moveaxis(total.reshape(d + 1, n_places, K), 1, 0)
        return sum(part[0] for part in parts), found
    params = np.concatenate([np.atleast_2d(u.T) for u in places])
    size = block_size(n, d, np.float64)

    def shard(start: int, stop: int) -> tuple[Floats, Floats]:
        gradient, totals = np.zeros(params.shape), np.zeros(n_places)
        block = np.empty((size, d))
        sums = FoldSums(gradient, totals, bends)
        pass_folds(*own, problem.scaler, params, start, stop, block, sums)
        return totals, gradient

    parts = over_shards(shard, n, n * (d // 8 + 4) * params.shape[0])
    total = sum(part[1] for part in parts)
    return sum(part[0] for part in parts), np.swapaxes(total.reshape(n_places, K, d + 1), 1, 2)


def _null_loss(task: Task, weight: Floats) -> float:
    """Return about the loss of the best model without columns; of two classes, of equal ones."""
    if task.n_outputs == 1:
        return float(np.log(2.0))
    prior = np.bincount(task.y, weight, minlength=task.n_outputs)
    prior = prior / prior.sum()
    return float(-np.sum(prior * np.log(np.maximum(prior, 1e-300))))


def _kept_columns(task: Task) -> NDArray[np.int64] | None:
    """Return the sparse columns that hold anything; None where nearly all do."""
    if isinstance(task.rows, Dense):
        return None
    counts = np.bincount(task.rows.indices, minlength=task.n_features)
    order = np.argsort(-counts, kind="stable")  # what is often read lies together
    return order[: np.count_nonzero(counts)]


def _of_columns(task: Task, kept: NDArray[np.int64] | None) -> Task:
    """Return the task of some sparse columns, which hold all entries: they are counted anew."""
    if kept is None:
        return task
    rows = task.rows
    place = np.zeros(task.n_features, rows.indices.dtype)
    place[kept] = np.arange(kept.shape[0])
    indices = place[rows.indices]
    indices.flags.writeable = False
    return task._replace(rows=CSR(rows.data, indices, rows.indptr), n_features=kept.shape[0])
