"""Newton's method for more rows than columns: by the Hessian of a sample.

Where rows are very many, a sample of them, as a standardised copy, is solved by the kernel of
``_newton``, and its Hessian there is right. Else steps begin at the null model, and the sample is
so small that its correlations are noise in part. They are shrunk towards none [1]_: standardised
columns r_ij, of a sample that is worth m rows of equal weight, keep the share

    1 - min(1, p (p - 1) / m  /  sum_{i != j} r_ij^2)

which is none where columns are independent, as far as the sample shows. With BFGS's corrections
from the last steps, the sample's Hessian leads on all rows as far as it shrinks what is left
quickly; then a Hessian of all rows takes its place. Which steps are taken depends on the rows
alone: a smaller tolerance takes the same ones and some more.

What is left at a point is shown by the gradient there, where the l2 penalty is not tiny, or by

    H = sum_i s_i c_i z_i z_i' + ridge  >=  share / f  (sum_i t_i c'_i z_i z_i' + ridge)

whose second sum is over rows with s_i >= share t_i, of curvatures c'_i <= f c_i at another point:
half of g'H^-1 g is Newton's decrement, 0.4 to 1 of the suboptimality where curvatures hold on the
way of a step. The last step, which was longer, tells how much they fall.

References
----------
.. [1] Schäfer & Strimmer, "A Shrinkage Approach to Large-Scale Covariance Matrix Estimation", 2005,
   target D: with var(r_ij) = 1 / m, as of independent columns.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._monitoring.observer import Silenced
from fastgd._solvers._certificates import (
    Certificate,
    can_prove,
    certify,
    rounding_of_bound,
    step_of_intercept,
)
from fastgd._solvers._costs import FINISHED_IN_FLOAT64, is_scattered
from fastgd._solvers._descent import (
    NEGLIGIBLE_CURVATURE,
    NEWTON_CAUTION,
    DescentResult,
    Pairs,
    StoppingRule,
    precise_of,
    searched,
)
from fastgd._solvers._newton import ROWS_FROM, is_smooth, place_at
from fastgd._solvers._precondition import (
    Metric,
    can_have_hessian,
    factorise,
    hessian,
    product_at,
    sharpened,
    solve,
)
from fastgd._solvers._problem import Floats, Point, Problem, evaluate, is_deviance, take
from fastgd._solvers._sample import draw
from fastgd._solvers._task import Options
from fastgd.kernels import losses
from fastgd.kernels.newton import Columns, newton_until
from fastgd.kernels.objective import weigh_rows

MOST_COLUMNS = 128  # of a sample that is solved
LEAST_ROWS = 16  # for each parameter: of fewer, a sample that shows correlations is half of them
SHARE, MOST_SAMPLED = 16, 20_000  # a sample is this part of the rows, and no larger
ROWS_PER_PARAMETER = 20  # a sample's optimum is then within 1/40 nat a row of the whole's
ROWS_TO_LEAD = 6  # for each parameter, of a sample whose Hessian is asked for only
SEEN, HARDLY_SEEN = 0.5, 0.05  # of the average row's curvature: what a standardised column may have
STATISTICAL = 0.04  # part of a sample's statistical error
PASSES_OF_SAMPLE, MOST_STEPS, MOST_IDLE = 20, 60, 3
TILTED = 0.3  # part of a decrement that is worth moving the intercept alone
SHORTER = 0.5  # times the last decrement: only then does the last step tell of the next
DIGITS = 0.01  # by which as many passes as a Hessian costs should shrink a decrement
COLUMNS_OF_PASS = 16  # whose products with all columns cost as much as one, whatever the layout
LEAST_RIDGE = 1e-7  # from which on the gradient alone bounds what is left a few steps later


def can_be_sampled(problem: Problem) -> bool:
    """Tell whether a sample's Hessian is cheap, and near that of all rows."""
    (n, d), loss = problem.shape, problem.loss
    if problem.n_outputs > 0 or problem.passes is not None or not problem.is_smooth:
        return False
    if n * d <= FINISHED_IN_FLOAT64 or not can_have_hessian(problem):
        return False
    if not (is_smooth(loss) and not losses.has_jumps(loss)):
        return False
    is_dense = not is_scattered(problem.rows, n, d)  # else columns are rare in a small sample
    return _is_solved_first(problem) or (is_dense and n >= LEAST_ROWS * (d + 1))


def _is_solved_first(problem: Problem) -> bool:
    """Tell whether a sample's optimum is near that of all rows, and costs next to nothing."""
    n, d = problem.shape
    return d <= MOST_COLUMNS and n >= ROWS_FROM * (d + 1)


def by_sampled_newton(
    problem: Problem, null: Floats, f_null: float, start: Floats | None, options: Options
) -> DescentResult:
    """Minimise by steps of a sample's Hessian, from ``start`` or from the sample's optimum.

    null : (P,), parameters that predict without X, and about what their objective is
    """
    problem = precise_of(problem)
    sample = _Sample(problem, options.seed)
    u = start
    if u is None:
        silent = Silenced(options.observer)
        u = null if silent.stops or not sample.is_solved else sample.optimum(null, f_null)
    point = evaluate(problem, u)
    if sample.is_solved and start is None and not point.objective <= f_null:
        other = evaluate(problem, null)  # no sample has all outliers
        point = point if point.objective < other.objective else other
    return _Steps(problem, point, sample.hessian(point), options).run()


class _Hessian(NamedTuple):
    """A Hessian of some rows.

    metric : Metric, what gradients are divided by
    lower : Metric or None, no more than the Hessian of all rows over ``share``, at the same point;
        None if the gradient alone bounds what is left
    rows : (m,), their numbers; None for all
    curvature : (m,), of all rows' weights
    share : float
    """

    metric: Metric
    lower: Metric | None
    rows: NDArray[np.int64] | None
    curvature: Floats
    share: float


def _of_all_rows(problem: Problem, point: Point) -> _Hessian:
    """Return the Hessian of all rows at a point."""
    metric = hessian(problem, point)
    return _Hessian(metric, metric, None, point.curvature, 1.0)


class _Sample:
    """Some rows, with weights that sum to 1 and are right on average."""

    def __init__(self, problem: Problem, seed: int) -> None:
        n, d = problem.shape
        self.is_solved = _is_solved_first(problem)
        each = ROWS_PER_PARAMETER if self.is_solved else ROWS_TO_LEAD
        size = max(min(n // SHARE, MOST_SAMPLED), each * (d + 1))
        self.rows, weight = draw(problem, size, np.random.default_rng((seed, 0)))
        self.whole, self.part = problem, take(problem, self.rows, weight)

    def optimum(self, u: Floats, f_null: float) -> Floats:
        """Return the optimum, to a part of its statistical error."""
        m, d = self.part.shape
        width = d + self.part.fit_intercept
        z = np.empty((m, d + 1))
        weigh_rows(self.part.rows, self.part.scaler, np.empty(0), 0, m, z)
        z = np.ascontiguousarray(z[:, :width])
        given = z, self.part.y, self.part.weight, self.part.loss, self.part.ridge[:width]
        columns = Columns(*given, self.part.least, self.part.rounding(0.0))
        place = place_at(u[:width].copy(), (m,))
        newton_until(columns, place, STATISTICAL * f_null * width / m, PASSES_OF_SAMPLE)
        found = np.zeros(d + 1)
        found[:width] = place.u
        return found if np.all(np.isfinite(found)) else u

    def hessian(self, point: Point) -> _Hessian:
        """Return the Hessian of these rows at a point."""
        curvature, own = point.curvature[self.rows], self.whole.weight[self.rows]
        grown = self.part.weight / np.maximum(own, 1e-300)
        part, share = self.part._replace(prior=self.whole.prior), 1.0 / float(np.max(grown))
        there = point._replace(curvature=curvature * grown)
        product, is_plain = product_at(part, there), has_plain_bound(self.whole)
        sees_all = _sees_all(self.whole, product)
        if not (is_plain or sees_all):  # along a column that they do not see a step has no end
            return _of_all_rows(self.whole, point)
        if self.is_solved and sees_all:
            metric = sharpened(part, factorise(part, product, True), there.curvature)
            return _Hessian(metric, metric, self.rows, curvature, share)
        lower = None
        if not is_plain:  # with what products do not show, or the decrement is without it
            lower = sharpened(part, factorise(part, product, True), there.curvature)
        metric = factorise(part, shrunk(self.whole, product, there.curvature), True)
        return _Hessian(metric, lower, self.rows, curvature, share)


def has_plain_bound(problem: Problem) -> bool:
    """Tell whether the gradient alone bounds what is left, a few steps later."""
    known = np.append(problem.scaler.inverse_std > 0.0, False)
    least = float(np.min(problem.ridge[known], initial=np.inf))
    return can_prove(problem) and least >= LEAST_RIDGE


def _sees_all(problem: Problem, product: Floats) -> bool:
    """Tell whether products of some rows have a curvature for each column that varies."""
    diagonal, known = np.diagonal(product), problem.scaler.inverse_std > 0.0
    return bool(np.all(diagonal[:-1][known] >= HARDLY_SEEN * diagonal[-1]))


def shrunk(problem: Problem, product: Floats, weight: Floats) -> Floats:
    """Return products of some rows with correlations shrunk by what is noise of them [1]_.

    A column that these rows hardly see gets the curvature of the average row.

    product : (P, P); weight : (m,), of the rows that it is a sum over
    """
    diagonal = np.diagonal(product).copy()
    is_used = np.append(problem.scaler.inverse_std > 0.0, problem.fit_intercept)
    diagonal[is_used & (diagonal < SEEN * diagonal[-1])] = diagonal[-1]
    root = np.sqrt(np.where(is_used & (diagonal > 0.0), diagonal, 1.0))
    correlations = (product / np.outer(root, root))[np.ix_(is_used, is_used)]
    np.fill_diagonal(correlations, 0.0)
    total, size = float(np.sum(correlations * correlations)), correlations.shape[0]
    n_rows = float(np.sum(weight)) ** 2 / max(float(weight @ weight), 1e-300)
    noise = size * (size - 1) / max(n_rows, 1.0)
    kept = 1.0 - min(1.0, noise / total) if total > 0.0 else 0.0
    found = kept * product
    np.fill_diagonal(found, diagonal)
    return found


class _Steps:
    """Steps on all rows, on their way."""

    def __init__(self, problem: Problem, point: Point, made: _Hessian, options: Options) -> None:
        self.problem, self.point, self.made, self.options = problem, point, made, options
        self.stop = StoppingRule(options.tol, 0.0, options.max_iter, options.observer)
        self.pairs = Pairs(point.u.size)
        self.history: tuple[list[float], list[float]] = [], []
        self.before: Point | None = None
        self.last = self.suboptimality = self.bound = np.inf  # the last step's decrement
        self.n_idle, self.proof = 0, Certificate(point, np.inf)
        ridge, known = problem.ridge, np.append(problem.scaler.inverse_std > 0.0, False)
        self.is_plain = has_plain_bound(problem)
        self.inverse_ridge = np.divide(
            0.5, ridge, out=np.zeros_like(ridge), where=known & (ridge > 0.0)
        )
        self.is_balanced = problem.fit_intercept and is_deviance(problem.loss)

    def run(self) -> DescentResult:
        """Take steps until what is left is small enough, or rounding decides."""
        while True:
            decrement = self._decrement()
            if self._wants_all_rows(decrement):
                self.made = _of_all_rows(self.problem, self.point)
                self.pairs.clear()
                decrement = self._decrement()
            self._judge(decrement)
            if self._reports() or self._is_done() or not self._moves(decrement):
                break
        return self._result()

    def _result(self) -> DescentResult:
        """Return where steps have ended, and what is known there."""
        objectives, suboptimalities = self.history
        if not objectives:
            objectives.append(self.point.objective)  # one entry at least, of the first point
        self._reports()  # passes that found nothing lower, too
        point, left, lower = self.point, self.suboptimality, -np.inf
        if self.proof.gap < np.inf:
            point, left = self.proof
            lower = point.objective - left
        is_proven = self.proof.gap < np.inf
        converged = is_proven or left <= self._target()
        state = converged, self.problem.rounding(point.objective), lower
        found = point, self.made.metric, left, objectives, suboptimalities
        return DescentResult(*found, *state)

    def _decrement(self) -> float:
        """Return half of what the Hessian alone promises."""
        gradient = self.point.gradient
        return 0.5 * float(np.vdot(gradient, solve(self.made.metric, gradient)))

    def _drift(self) -> float:
        """Return by what factor curvatures have fallen since the Hessian was made."""
        now, rows = self.point.curvature, self.made.rows
        return fall_between(self.made.curvature, now if rows is None else now[rows])

    def _wants_all_rows(self, decrement: float) -> bool:
        """Tell whether a Hessian of all rows here gains more than the passes that it costs."""
        if not self.last < np.inf:
            return False
        ratio = max(decrement, 0.0) / self.last
        return bool(ratio ** (1.0 + self.point.u.size / COLUMNS_OF_PASS) > DIGITS)

    def _judge(self, decrement: float) -> None:
        """Estimate what is left, from above, and what the gradient alone will prove.

        That is sum_j g_j^2 / (2 ridge_j), once the intercept is at its best.
        """
        gradient, before = self.point.gradient, self.before
        if self.is_plain:
            self.bound = float((gradient * gradient) @ self.inverse_ridge)
        self.suboptimality = np.inf
        made = self.made
        if made.lower is not None and before is not None and decrement <= SHORTER * self.last:
            if made.lower is not made.metric:
                decrement = 0.5 * float(np.vdot(gradient, solve(made.lower, gradient)))
            fall = fall_between(before.curvature, self.point.curvature)
            caution = NEWTON_CAUTION * self._drift() * fall / made.share
            self.suboptimality = caution * max(decrement, 0.0)

    def _target(self) -> float:
        objective = self.point.objective
        return max(self.options.tol * objective, self.problem.rounding(objective))

    def _is_done(self) -> bool:
        """Tell whether what is left is shown to be small, or proven, or passes are used up."""
        if len(self.history[0]) >= min(self.options.max_iter, MOST_STEPS):
            return True
        target = self._target()
        if not self.is_plain:
            return self.suboptimality <= target
        if self.bound <= target:
            proof = certify(self.problem, self.point)
            is_enough = proof.gap <= target + rounding_of_bound(self.problem, proof.point)
            self.proof = proof if is_enough else self.proof
        return self.proof.gap < np.inf

    def _reports(self) -> bool:
        """Report the passes since the last report; return whether to stop, without the rest."""
        objectives, suboptimalities = self.history
        left = min(self.suboptimality, self.bound)
        while len(suboptimalities) < len(objectives):
            suboptimalities.append(left)
            if self.stop.reports(self.problem, self.point, left):
                del objectives[len(suboptimalities) :]
                return True
        return False

    def _moves(self, decrement: float) -> bool:
        """Take a step; return False where nothing is lower, as far as rounding shows."""
        before = self.point
        step = -self.pairs.correct(self.made.metric, before.gradient)
        promise = -0.5 * float(np.vdot(before.gradient, step))
        budget = self.options.max_iter - len(self.history[0])
        following, _, tries = searched(self.problem, before, step, promise, budget)
        if following is not None:
            self.pairs.add(following.u - before.u, following.gradient - before.gradient)
            if tries < budget and self._tilts(following):
                following, tries = self._balanced(following), tries + 1
            self.before, self.point, self.last = before, following, decrement
            self.n_idle = 0 if following.objective < before.objective else self.n_idle + 1
        self.history[0].extend([self.point.objective] * tries)
        return following is not None and self.n_idle < MOST_IDLE

    def _tilts(self, point: Point) -> bool:
        """Tell whether an intercept alone may gain much of what is left."""
        if not self.is_balanced:
            return False
        slope, bend = float(point.gradient[-1]), float(np.sum(point.curvature))
        gradient = point.gradient
        left = 0.5 * float(np.vdot(gradient, solve(self.made.metric, gradient)))
        return 0.5 * slope * slope > TILTED * left * bend

    def _balanced(self, point: Point) -> Point:
        """Return the point with the best intercept, which a deviance's sums tell."""
        step = step_of_intercept(self.problem, point)
        if step is None:
            return point
        u = point.u.copy()
        u[-1] += step
        moved = evaluate(self.problem, u)
        return moved if moved.objective <= point.objective else point


def fall_between(then: Floats, now: Floats) -> float:
    """Return by what factor the curvature of a row has fallen at most; 1 if none has."""
    known = then > NEGLIGIBLE_CURVATURE * np.max(then, initial=0.0)
    least = float(np.min(now[known] / then[known], initial=1.0))
    return 1.0 / least if least > 0.0 else float("inf")
