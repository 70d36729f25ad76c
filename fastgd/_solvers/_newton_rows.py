"""Newton's method in the rows, for smooth losses of rows that columns outnumber.

With an l2 penalty the best coefficients are a combination of the centred rows, w = Z'a, and raw
predictions are K a + b with K = Z Z'. In the inner product p'K q the gradient is g = s loss' + l2 a
[1]_, and Newton's step from there is x with

    (l2 + W K) x + W b = -g,    W = diag(s_i loss''_i).

With A = l2 + W^1/2 K W^1/2 that is x = -W^1/2 A^-1 W^-1/2 g less what the intercept asks for. Where
directions of K are alike, as those of unrelated columns are, conjugate gradients take fewer
products with K than a factor costs, or than K itself does. Raw predictions are known along a step,
so that the best length of each is found without X: 4 to 7 steps arrive, where full ones would be 7
to 12.

Rows are centred in float32 where the penalty is not tiny beside K: that moves raw predictions by a
millionth, and the objective by the square of that. Near the optimum raw predictions are those of a
pass over X in float64 [2]_, and so is what is proven.

References
----------
.. [1] Zhu & Hastie, "Kernel logistic regression and the import vector machine", 2005.
.. [2] Carson & Higham, "Accelerating the Solution of Linear Systems by Iterative Refinement in
   Three Precisions", 2018.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotrs, spotrf, spotrs

from fastgd._monitoring.observer import Model
from fastgd._runtime.threads import in_threads, one_blas_thread
from fastgd._solvers._certificates import ALLOWANCE
from fastgd._solvers._columns import as_matrix
from fastgd._solvers._costs import FINISHED_IN_FLOAT64, is_scattered
from fastgd._solvers._descent import SUFFICIENT, DescentResult
from fastgd._solvers._direct import SQUARABLE
from fastgd._solvers._gd import certified, finished_tolerance, null_model
from fastgd._solvers._least_norm import HARDLY
from fastgd._solvers._newton import has_plain_targets, is_smooth
from fastgd._solvers._passes import predictions, products_with
from fastgd._solvers._problem import Floats, Problem, evaluate, model_at, pose
from fastgd._solvers._task import Options, Solution, Task
from fastgd._solvers._wide import is_reducible
from fastgd.kernels import losses
from fastgd.kernels.row_steps import (
    MOST_PRODUCTS,
    System,
    conjugate_step,
    length_of_step,
    losses_of_rows,
)
from fastgd.kernels.rows import Dense

MOST_STEPS, ROUNDS = 40, 3  # of Newton's method; passes over X that may ask for more of them
NEAR = 0.1  # of the objective, a bound from which on X itself is asked for raw predictions
SHARE = 0.5  # of the target: what a bound must be below, before a pass over X
FAR = 1000.0  # deviations from zero that a mean may be: further ones are shifted (``_units``)
LEAST_CURVATURE = 1e-10  # of a row of average weight
SMALLEST_PART = 1e-6  # of a step
SINGLE = 1e-12, 1e12  # mean squares of rows that float32 can multiply
LARGEST_OF_SINGLE = 3e4  # times the penalty: curvatures that float32 can add to it
FREE_PRODUCTS = 280  # rows whose products cost no more than the steps without them would
EVEN, PROBES = 0.25, 3  # of the rows, directions that are alike; vectors that tell their number
ROUGH, FINE, SUPERLINEAR = 0.3, 0.1, 0.7  # residuals that steps may leave
MOST_CUT = 2  # steps that may be cut short, before a matrix is made
WORK_OF_BLOCKS, BLOCKS = 300_000_000, 4  # multiplications from which threads pay; spans of rows


class Image(NamedTuple):
    """A vector of the rows' coordinates, its image under K, and its part of the intercept.

    own, image : (n,)
    level : float
    """

    own: Floats
    image: Floats
    level: float

    def plus(self, other: "Image", factor: float) -> "Image":
        """Return the sum with another one, times a factor."""
        own, image = self.own + factor * other.own, self.image + factor * other.image
        return Image(own, image, self.level + factor * other.level)

    def along(self, other: "Image") -> float:
        """Return the inner product."""
        return float(np.vdot(self.image, other.own)) + self.level * other.level


class Where(NamedTuple):
    """A place, and the objective there.

    at : Image
    penalty, objective : float, right but for what is the same everywhere
    slopes, bends : (n,), the rows' weighted derivatives, and second ones
    """

    at: Image
    penalty: float
    objective: float
    slopes: Floats
    bends: Floats


def newton_in_rows(task: Task, options: Options, start: Any) -> Solution | None:
    """Solve a task of few rows; None where descent should, as from any ``start``."""
    if start is not None or options.max_iter < 1 or not _is_possible(task):
        return None
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        problem = pose(task)._replace(dtype=np.float64)
        if not (_is_plain(problem) and has_plain_targets(task, problem.weight)):
            return None
        return _InRows(problem, options).solution()


def _is_possible(task: Task) -> bool:
    """Tell whether the losses have curvatures, and coefficients are combinations of rows."""
    n, d = task.y.shape[0], task.n_features
    if is_scattered(task.rows, n, d) or task.device is not None or not task.l2 > 0.0:
        return False
    if losses.kind_of(task.loss) == losses.MULTINOMIAL:
        return False
    # a jump of curvatures: with fewer columns, which rows count changes with each step
    has_few = losses.has_jumps(task.loss) and d < 2 * n
    return is_reducible(task) and is_smooth(task.loss) and not has_few


def _is_plain(problem: Problem) -> bool:
    """Tell whether columns need no units of their own, and l2 decides what is best."""
    scaler, known = problem.scaler, problem.scaler.inverse_std > 0.0
    inverse_std, (low, high) = scaler.inverse_std[known], SQUARABLE
    far = np.max(np.abs(scaler.center[known]) * inverse_std, initial=0.0)
    if problem.l2 <= HARDLY * float(np.sum(_variances(problem) + np.square(scaler.center))):
        return False  # of many optima but for rounding, the shortest is wanted
    return bool(far <= FAR and np.all((inverse_std < 1.0 / low) & (inverse_std > 1.0 / high)))


class _InRows:
    """A descent in the coordinates of the rows.

    Parameters
    ----------
    problem : Problem, in float64
    options : Options
    """

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem, self.options = problem, options
        self.is_small = problem.shape[0] * problem.shape[1] <= FINISHED_IN_FLOAT64
        self.rows = _centred(problem, self.is_small)
        self.squares = np.einsum("ij,ij->i", self.rows, self.rows).astype(np.float64)
        self.known: Any = None  # K
        if problem.shape[0] <= FREE_PRODUCTS or self.is_small:
            self.known = _products(self.rows)
        # of a loss with jumps of curvatures exact steps end after finitely many
        has_jumps = losses.has_jumps(problem.loss)
        self.is_even = not (self.is_small or has_jumps) and self._is_even()
        self.n_cut, self.last = 0, np.inf  # steps cut short; the gradient of the last one
        self.history: tuple[list[float], list[float]] = ([], [])

    def solution(self) -> Solution | None:
        """Return what was found, proven; None where products of rows do not lead there."""
        problem, zeros = self.problem, np.zeros(self.problem.shape[0])
        here = self._evaluated(Image(zeros, zeros, float(null_model(problem)[0][-1])), 0.0)
        for _ in range(ROUNDS):
            arrived = self._descended(here)
            if arrived is None:
                return None
            here, is_stopped = arrived
            u = self._parameters(here.at)
            result = DescentResult(evaluate(problem, u), None, np.inf, *self.history, False)
            found = certified(problem, result, self.options)
            if found.converged or is_stopped:
                return found
            here = self._seen_by_rows(here)
        return None

    # -- products ---------------------------------------------------------------------------------

    @property
    def matrix(self) -> Any:
        """K, made when it is first asked for."""
        if self.known is None:
            self.known = _products(self.rows)
        return self.known

    def _is_even(self) -> bool:
        """Tell whether K has no few directions that outdo all others, as unrelated columns have.

        What counts is tr(K)^2 / |K|^2, how many such directions there were if all were alike.
        """
        n, trace = self.squares.shape[0], float(np.sum(self.squares))
        if self.known is not None:
            square = float(np.sum(np.square(self.known), dtype=np.float64))
        else:
            signs = np.random.default_rng(n).integers(0, 2, (n, PROBES)) * 2.0 - 1.0
            square = float(np.sum(np.square(self._times(signs)))) / PROBES
        return EVEN * n * square <= trace * trace

    def _times(self, vectors: NDArray[Any]) -> Floats:
        """Return K times (n,) or (n, m)."""
        given = vectors.astype(self.rows.dtype)
        if self.known is not None:
            return np.asarray(self.known @ given, np.float64)
        return np.asarray(self.rows @ (self.rows.T @ given), np.float64)

    def _parameters(self, at: Image) -> Floats:
        """Return the standardised parameters, with all digits that float64 has."""
        std = np.sqrt(_variances(self.problem))
        u = products_with(self.problem, at.own) * np.append(std * std, 0.0)
        u[-1] = at.level
        return u

    def _model(self, at: Image) -> Model:
        """Return raw coefficients and the intercept."""
        return model_at(self.problem, self._parameters(at))

    # -- the descent ------------------------------------------------------------------------------

    def _seen_by_rows(self, here: Where) -> Where:
        """Return a place with raw predictions as X itself has them, in float64."""
        u = self._parameters(here.at)
        at = here.at._replace(image=predictions(self.problem, u) - here.at.level)
        return self._evaluated(at, 0.5 * float(self.problem.ridge @ (u * u)))

    def _evaluated(self, at: Image, penalty: float) -> Where:
        """Return the objective at a place, and its derivatives by raw predictions."""
        problem, slopes, bends = self.problem, np.empty(at.own.shape), np.empty(at.own.shape)
        given = problem.y, problem.weight, problem.loss, at.image + at.level
        total = max(losses_of_rows(*given, slopes, bends) - problem.least, 0.0)
        return Where(at, penalty, total + penalty, slopes, bends)

    def _descended(self, here: Where) -> tuple[Where, bool] | None:
        """Take Newton's steps until the gradient bounds what is left; None where none is lower.

        Returns as well whether passes were used up, or an observer stopped.
        """
        objectives, _ = self.history
        tol = finished_tolerance(self.problem, self.options.tol)
        is_last, self.last, is_single = False, np.inf, self.rows.dtype == np.float32
        for n_taken in range(MOST_STEPS):
            gradient, bound = self._judged(here)
            # where, is no matter of the tolerance, so that a smaller one goes the same way
            if is_single and n_taken > 0 and bound <= NEAR * here.objective:
                here = self._seen_by_rows(here)
                gradient, bound = self._judged(here)
            if not np.isfinite(bound):
                return None
            if self._is_stopped(here, bound) or len(objectives) >= self.options.max_iter:
                return here, True
            has_arrived = bound <= SHARE * max(tol, ALLOWANCE) * here.objective
            # a step is taken whatever the tolerance, and from where a bound was not proven
            if has_arrived and n_taken > 0 and (is_last or not self.is_small):
                return here, False
            is_last = has_arrived
            following = self._moved(here, gradient, is_last)
            if following is None:
                return (here, False) if is_last and objectives else None
            here = following
            penalty = 0.5 * self.problem.l2 * float(np.vdot(here.at.own, here.at.image))
            objectives.append(here.objective - here.penalty + penalty)
        return None

    def _judged(self, here: Where) -> tuple[Image, float]:
        """Return the gradient, and what it says that is left at most."""
        gradient = self._gradient(here)
        square = max(float(np.vdot(gradient.own, gradient.image)), 0.0)
        return gradient, square / (2.0 * self.problem.l2)

    def _gradient(self, here: Where) -> Image:
        """Return the gradient and its image."""
        own = here.slopes + self.problem.l2 * here.at.own
        level = float(np.sum(here.slopes)) if self.problem.fit_intercept else 0.0
        return Image(own, self._times(own), level)

    def _is_stopped(self, here: Where, bound: float) -> bool:
        """Report the pass that led here, if one has; return whether to stop."""
        objectives, bounds = self.history
        if len(bounds) == len(objectives):
            return False
        bounds.append(bound)
        figures = {"objective": objectives[-1], "suboptimality": bound}
        return self.options.observer.passed(lambda: self._model(here.at), figures)

    def _moved(self, here: Where, gradient: Image, is_last: bool) -> Where | None:
        """Take a step of about the best length; None where nothing is lower.

        Of the last one, whose gain is rounding, it is enough that it is not higher.
        """
        step = self._rough_step(here, gradient) if self.is_even else self._step(here, gradient)
        if step is None:
            return None
        at, l2 = here.at, self.problem.l2
        promise = -gradient.along(step)
        # The gradient is right where K a, of large a, is not: what it says of the step's first
        # order is kept, by the penalty's part.
        slope = -promise - float(np.vdot(here.slopes, step.image + step.level))
        bend = l2 * float(np.vdot(step.own, step.image))
        rounding = (ALLOWANCE * here.objective + self.problem.rounding(here.objective)) * is_last
        part = self._length(here, step, slope, bend)
        while part >= SMALLEST_PART:
            penalty = max(here.penalty + part * slope + 0.5 * part * part * bend, 0.0)
            following = self._evaluated(at.plus(step, part), penalty)
            fall = here.objective - following.objective
            if fall >= SUFFICIENT * min(part, 1.0) * promise - rounding:
                return following
            part *= 0.5
        return None

    def _length(self, here: Where, step: Image, slope: float, bend: float) -> float:
        """Return how much of a step to take, which costs no product."""
        problem, at = self.problem, here.at
        raw, moved = at.image + at.level, step.image + step.level
        given = problem.y, problem.weight, problem.loss, raw, moved
        return float(length_of_step(*given, slope, bend))

    def _step(self, here: Where, gradient: Image) -> Image | None:
        """Return Newton's step by a factor; None where rounding lets none be computed."""
        problem, dtype, n = self.problem, self.rows.dtype, here.bends.shape[0]
        root = np.sqrt(np.maximum(here.bends, LEAST_CURVATURE / n))
        scale = root.astype(dtype)
        matrix = self.matrix * scale
        matrix *= scale[:, None]
        matrix.reshape(-1)[:: n + 1] += dtype.type(problem.l2)
        factorise, solve = (spotrf, spotrs) if dtype == np.float32 else (dpotrf, dpotrs)
        factor, fault = factorise(matrix.T, lower=1, clean=0, overwrite_a=1)
        if fault != 0:
            return None
        right = np.stack([gradient.own / root, root], axis=1)
        unit = np.maximum(np.max(np.abs(right), axis=0), 1e-300)
        found = solve(factor, (right / unit).astype(dtype), lower=1)[0] * unit * root[:, None]
        own, shift = found[:, 0], 0.0
        if problem.fit_intercept:  # the coordinates of all rows sum to zero then
            shift = float((np.sum(own) - np.sum(here.at.own)) / np.sum(found[:, 1]))
            own = own - shift * found[:, 1]
        return Image(-own, -self._times(own), -shift)

    def _rough_step(self, here: Where, gradient: Image) -> Image:
        """Return a step by conjugate gradients, the better the nearer the optimum is."""
        bends, l2 = here.bends, self.problem.l2
        total = float(np.sum(bends)) if self.problem.fit_intercept else 0.0
        unit = (float(bends @ self.squares) + l2) / total if total > 0.0 else 0.0
        norm = max(gradient.along(gradient), 0.0)
        least = min(ROUGH, max(FINE, SUPERLINEAR * float(np.sqrt(norm / self.last))))
        self.last, out, is_known = norm, np.empty((2, bends.shape[0])), self.known is not None
        system = System(self.known if is_known else self.rows, is_known, bends, unit, l2)
        level, n_products = conjugate_step(system, *gradient, least, out)
        self.n_cut += n_products >= MOST_PRODUCTS
        self.is_even = self.n_cut < MOST_CUT
        return Image(out[0], out[1], float(level))


def _variances(problem: Problem) -> Floats:
    """Return those of the columns."""
    inverse_std = problem.scaler.inverse_std
    return np.square(np.divide(1.0, inverse_std, out=0.0 * inverse_std, where=inverse_std > 0.0))


def _centred(problem: Problem, is_small: bool) -> Any:
    """Return the centred rows, in float32 where that is enough; constant columns are zeros."""
    (n, d), scaler = problem.shape, problem.scaler
    is_dense = isinstance(problem.rows, Dense)
    values = problem.rows.values if is_dense else as_matrix(problem.rows, n, d).toarray()
    square = float(np.sum(_variances(problem)))
    curvature = losses.usual_curvature(problem.loss)
    is_tame = square * curvature <= LARGEST_OF_SINGLE * problem.l2 * n
    is_single = not is_small and is_tame and SINGLE[0] <= square <= SINGLE[1]
    rows = np.empty(values.shape, np.float32 if is_single else np.float64)
    np.subtract(values, scaler.center, out=rows, casting="same_kind")
    rows[:, scaler.inverse_std == 0.0] = 0.0
    return rows


def _products(rows: Any) -> Any:
    """Return rows times rows transposed, by blocks where threads pay."""
    n, d = rows.shape
    if n * n * d < WORK_OF_BLOCKS:
        return rows @ rows.T
    edges = [n * k // BLOCKS for k in range(BLOCKS + 1)]
    spans = [slice(a, b) for a, b in pairwise(edges)]
    matrix = np.empty((n, n), rows.dtype)

    def block(pair: tuple[slice, slice]) -> None:
        a, b = pair
        matrix[a, b] = rows[a] @ rows[b].T
        if a is not b:
            matrix[b, a] = matrix[a, b].T

    in_threads(block, [(a, b) for k, a in enumerate(spans) for b in spans[: k + 1]])
    return matrix
