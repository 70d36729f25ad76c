"""An interior point method for piecewise linear losses, exact whatever the scales are.

    min_u  sum_k max_{low_k <= r <= high_k} r (a_k u - at_k) - give_k r^2 / 2
         + 1/2 sum_j ridge_j u_j^2

The rows a_k are those of X, twice where a loss has two breakpoints, and for l1 the unit vectors,
whose boxes are [-l1, l1]. Squares of a distance have a ``give``, kinks none. A row's residual less
give r is p - m with p, m > 0, and its dual variable keeps the distances p' = high - r > 0 and
m' = r - low > 0. Newton's method follows p p' = m m' = mu towards mu = 0, by Mehrotra's predictor
and corrector; a step is one weighted least squares problem, in as many unknowns as there are
columns or rows, whichever are fewer. That takes 10 to 30 steps, for quantiles it is the
Frisch-Newton method. Near the end the active set is read off, and solved for: residuals and
coefficients that must vanish vanish, and the gap falls to rounding.

References
----------
.. [1] Portnoy & Koenker, "The Gaussian Hare and the Laplacian Tortoise", 1997.
.. [2] Mehrotra, "On the Implementation of a Primal-Dual Interior Point Method", 1992.
.. [3] Ferris & Munson, "Interior-Point Methods for Massive Support Vector Machines", 2002.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import scipy.linalg as sl

from fastgd._solvers._active_set import ActiveSet
from fastgd._solvers._columns import as_dense
from fastgd._solvers._costs import FINISHED_IN_FLOAT64, LARGEST_MATRIX
from fastgd._solvers._dual_points import Certificate, Pieces, certify, loss_of
from fastgd._solvers._newton_systems import Covariance, Equations, InColumns, InRows
from fastgd._solvers._passes import predictions, products_with
from fastgd._solvers._problem import Floats, Problem, model_at
from fastgd._solvers._task import Options

NEAR_BOUNDARY = 0.9995  # part of the way to it
FARTHEST = 1e4  # times the residuals: slacks to begin with, in boxes that are nearly points
SATISFIED = 3  # steps that gained nothing, if what is proven is enough
STALLED, MOST_WITHOUT_PROOF = 8, 40  # if it is not
ROOMS = 1.0, 1e2, 1e4  # of slacks to begin with, times what residuals need
REFINEMENTS = 2  # of the active set's solution
GAINED = 0.9  # of the gap: more than that left is nothing
POLISHED_FROM = 1e-3  # of the objective, from which an active set may be right
SAME = 1e-12  # relative difference of objectives that are the same to an active set
WIDE = 500  # columns: up to that many, their matrix is used for fewer rows, too, beside l2
ROUNDING = 4.0 * np.finfo(np.float64).eps


class Interior(NamedTuple):
    """Where the method stands; flat arrays have the rows' terms first, then l1's.

    u : (n_features + 1,)
    p, m : what the residuals are the difference of, > 0
    above, below : high - r and r - low, > 0
    r : the terms' dual variables, for what is small beside its box
    """

    u: Floats
    p: Floats
    m: Floats
    above: Floats
    below: Floats
    r: Floats


class Found(NamedTuple):
    """The best parameters so far, the least gap proven for them, and the dual point that does."""

    u: Floats
    objective: float
    gap: float
    dual: Floats

    def or_better(
        self, u: Floats, objective: float, proof: Certificate, slack: float = 0.0
    ) -> "Found":
        """Take a lower objective, and a lower gap: it holds for any lower objective as well.

        ``slack`` is by how much the objective may be higher. As no loss is negative, an objective
        is a gap.
        """
        best = self
        if np.isfinite(objective) and objective < best.objective + slack:
            gap = best.gap + max(objective - best.objective, 0.0) if best.gap < np.inf else np.inf
            best = best._replace(u=u, objective=objective, gap=gap)
        if proof.gap < best.gap:
            best = best._replace(gap=proof.gap, dual=proof.dual)
        return best._replace(gap=min(best.gap, best.objective))


class Ended(NamedTuple):
    """Where the method ended, and how it got there."""

    found: Found
    objectives: list[float]
    gaps: list[float]
    converged: bool


class Boxes:
    """The problem as terms in a flat order, and its products with X."""

    def __init__(self, problem: Problem, pieces: Pieces) -> None:
        # whatever that costs: whoever comes here has decided that
        self.problem = problem = problem._replace(largest=LARGEST_MATRIX)
        self.pieces = pieces
        self.used = np.flatnonzero(problem.weight > 0.0)
        self.bounded = np.flatnonzero(problem.threshold > 0.0)  # coordinates with an l1 penalty
        t = problem.threshold[self.bounded]
        self.n_rows = pieces.at.shape[0] * self.used.shape[0]
        self.at = np.concatenate([pieces.at[:, self.used].ravel(), 0.0 * t])
        self.low = np.concatenate([pieces.low[:, self.used].ravel(), -t])
        self.high = np.concatenate([pieces.high[:, self.used].ravel(), t])
        give = np.broadcast_to(pieces.give, pieces.at.shape)[:, self.used]
        self.give = np.concatenate([give.ravel(), 0.0 * t])
        self.ridge = problem.ridge
        n, d = problem.shape
        self.in_rows = d + 1 > LARGEST_MATRIX or (n < d and (problem.l2 == 0.0 or d > WIDE))
        # what rounding leaves of a gradient would be divided by a small l2: coefficients follow
        # from the dual variables instead
        self.is_implied = self.in_rows and problem.l2 > 0.0 and problem.l1 == 0.0

    def by_terms(self, raw: Floats, u: Floats) -> Floats:
        """Return the flat order's residuals' first part, a_k u."""
        terms = np.broadcast_to(raw[self.used], (self.pieces.at.shape[0], self.used.shape[0]))
        return np.concatenate([terms.ravel(), u[self.bounded]])

    def images(self, u: Floats) -> Floats:
        """Return a_k u: one pass over X."""
        return self.by_terms(predictions(self.problem, u), u)

    def of_rows(self, flat: Floats) -> Floats:
        """Return the sum of each row's terms."""
        total = np.zeros(self.problem.shape[0])
        shape = (self.pieces.at.shape[0], self.used.shape[0])
        total[self.used] = flat[: self.n_rows].reshape(shape).sum(axis=0)
        return total

    def of_columns(self, flat: Floats) -> Floats:
        """Return l1's terms, 0 where there are none."""
        total = np.zeros(self.ridge.shape[0])
        total[self.bounded] = flat[self.n_rows :]
        return total

    def residuals(self, images: Floats, dual: Floats) -> Floats:
        """Return what p - m should be."""
        return images - self.at - self.give * dual

    def gather(self, flat: Floats) -> Floats:
        """Return sum_k flat_k a_k: one pass over X."""
        return products_with(self.problem, self.of_rows(flat)) + self.of_columns(flat)

    def implied(self, flat: Floats, level: float, origin: Floats | float = 0.0) -> Floats:
        """Return the coefficients at which dual variables, less their origin, are stationary."""
        pull, ridge = products_with(self.problem, origin - self.of_rows(flat))[:-1], self.ridge[:-1]
        return np.append(np.divide(pull, ridge, out=np.zeros_like(pull), where=ridge > 0.0), level)

    def objective(self, raw: Floats, u: Floats) -> float:
        """Return loss and penalties."""
        penalty = 0.5 * float(np.sum(self.ridge * u * u))
        return loss_of(self.pieces, raw) + penalty + float(self.problem.threshold @ np.abs(u))


def interior(
    problem: Problem, pieces: Pieces, options: Options, target: "Target", u: Floats
) -> Ended:
    """Minimise from u on, until the proven gap is small enough or rounding ends it.

    A pass is a look at a point: the first one, and the one that each Newton step leads to.
    """
    path = _Path(problem, pieces, target, u)
    while True:
        path.judge()
        if options.max_iter > 0:
            path.note()
            figures = {"objective": path.best.objective, "suboptimality": path.best.gap}
            if options.observer.passed(partial(model_at, problem, path.best.u), figures):
                break
        if path.is_done() or len(path.gaps) >= options.max_iter or not path.goes_on():
            break
    return path.ended()


class Target(NamedTuple):
    """When a gap is small enough.

    tol : float, of the objective, to which the method goes if it can
    asked : float, the tolerance that counts as converged
    floor : callable
        Returns, for parameters, the rounding of what the objective sums; one below it is zero.
    """

    tol: float
    asked: float
    floor: Callable[[Floats], float]

    def is_reached(self, best: Found) -> bool:
        """Tell whether to stop."""
        floor = min(self.floor(best.u), self.asked * best.objective)
        return best.gap <= max(self.tol * best.objective, floor)

    def has_converged(self, best: Found) -> bool:
        """Tell whether a gap is what was asked for."""
        return best.gap <= self.asked * best.objective or best.objective <= self.floor(best.u)


class Trend:
    """Whether steps still gain something: of the proven gap, or of the products p p' and m m'."""

    def __init__(self) -> None:
        self._gap = self._products = np.inf
        self._since_gap = self._since_any = 0

    def learn(self, gap: float, products: float) -> None:
        """Note where a step led to."""
        closer, further = gap < GAINED * self._gap, products < GAINED * self._products
        self._since_gap = 0 if closer else self._since_gap + 1
        self._since_any = 0 if closer or further else self._since_any + 1
        self._gap, self._products = min(self._gap, gap), min(self._products, products)

    def has_ended(self, *, enough: bool) -> bool:
        """Tell whether to stop; sooner if what is proven is enough."""
        if enough:
            return self._since_gap >= SATISFIED
        return self._since_any >= STALLED or self._since_gap >= MOST_WITHOUT_PROOF


class _Path:
    """The iterates, and what they led to."""

    def __init__(self, problem: Problem, pieces: Pieces, target: Target, u: Floats) -> None:
        self.boxes, self.target = Boxes(problem, pieces), target
        self.system = InRows(self.boxes) if self.boxes.in_rows else InColumns(self.boxes)
        self.covariance = Covariance(problem)
        self.trend = Trend()
        self.proven = np.inf
        self.objectives: list[float] = []
        self.gaps: list[float] = []
        self.best = Found(u, np.inf, np.inf, np.zeros(problem.shape[0]))
        self.start, self.n_begun = u, 0
        if self.boxes.is_implied and np.any(u):  # which is not where the method begins
            self._keep(u, predictions(problem, u), np.zeros(problem.shape[0]))
        self.now = self._begin()

    def _begin(self) -> Interior:
        """Return a point in the interior, all products p p' and m m' at least their mean."""
        boxes, u, room = self.boxes, self.start, ROOMS[self.n_begun]
        middle = 0.5 * (boxes.low + boxes.high)
        self.origin = boxes.of_rows(middle)
        if boxes.is_implied:
            u = np.append(0.0 * u[:-1], u[-1])
        self.images = boxes.images(u)
        z = boxes.residuals(self.images, middle)
        half = 0.5 * (boxes.high - boxes.low)
        rows = slice(0, boxes.n_rows)
        mu = room * float(np.mean(2.0 * half[rows] * np.abs(z[rows]))) if boxes.n_rows else 0.0
        farthest = room * FARTHEST * float(np.max(np.abs(z[rows]), initial=0.0))  # of minute boxes
        slack = np.minimum(max(mu, 1e-300) / half, max(farthest, 1e-300))
        p, m = np.maximum(z, 0.0) + slack, np.maximum(-z, 0.0) + slack
        return Interior(u, p, m, half, 1.0 * half, middle)

    @property
    def dual(self) -> Floats:
        """The terms' dual variables, from the bound that is nearer, or from zero."""
        now, boxes = self.now, self.boxes
        is_low = now.below < now.above
        near = np.where(is_low, boxes.low + now.below, boxes.high - now.above)
        return np.where(np.abs(now.r) < np.minimum(now.below, now.above), now.r, near)

    def judge(self) -> None:
        """Find objective and proven gap here; keep them if they are the best."""
        boxes, dual = self.boxes, self.dual
        if boxes.is_implied:
            self.now = self.now._replace(u=boxes.implied(dual, self.now.u[-1], self.origin))
        u = self.now.u
        self.images = boxes.images(u)
        raw = np.zeros(boxes.problem.shape[0])
        raw[boxes.used] = self.images[: boxes.used.shape[0]]
        self.gradient = boxes.ridge * u + boxes.gather(dual)
        self._keep(u, raw, boxes.of_rows(dual))
        if self._products() <= POLISHED_FROM * self.best.objective:
            self._polish()

    def _keep(self, u: Floats, raw: Floats, dual: Floats, active: ActiveSet | None = None) -> None:
        """Keep parameters of a lower objective; those of an active set of the same one, too."""
        boxes = self.boxes
        objective, settled = boxes.objective(raw, u), active is not None and active.is_settled
        about = boxes.problem, boxes.pieces, self.covariance, u, raw, dual
        proof = certify(*about, is_stationary=settled)
        self.proven = min(self.proven, proof.gap)
        slack = 0.0
        if active is not None:
            slack = min(proof.gap, SAME * objective) + ROUNDING * objective
        self.best = self.best.or_better(u, objective, proof, slack)

    def _polish(self) -> None:
        """Solve for the active set, and keep what is better."""
        boxes = self.boxes
        scale = float(np.mean(self.now.p + self.now.m))
        with np.errstate(over="ignore"):
            up = self.now.p / scale > self.now.above / (boxes.high - boxes.low)
            down = self.now.m / scale > self.now.below / (boxes.high - boxes.low)
        active = ActiveSet(boxes, up & (self.now.p >= self.now.m), down & (self.now.p < self.now.m))
        if not active.is_small():
            return
        u, dual = active.begin(self.now.u, self.dual)
        for _ in range(REFINEMENTS):
            u, dual = active.solve(u, dual)
            if not (np.isfinite(u).all() and np.isfinite(dual).all()):
                return
        self._keep(u, predictions(boxes.problem, u), boxes.of_rows(dual), active)

    def _products(self) -> float:
        """Return what the gap is, where residuals and gradient are as they should be."""
        now = self.now
        return float(np.sum(now.p * now.above + now.m * now.below))

    def note(self) -> None:
        """Write down a step."""
        self.objectives.append(self.best.objective)
        self.gaps.append(self.best.gap)
        self.trend.learn(self.proven, self._products())

    def is_done(self) -> bool:
        """Tell whether the gap is small enough, or does not get smaller."""
        enough = self.target.has_converged(self.best)
        return self.target.is_reached(self.best) or (enough and self.trend.has_ended(enough=True))

    def goes_on(self) -> bool:
        """Take a step, or begin again; return whether either could be done.

        Where a few rows are much larger than the others, their residuals have to change by more
        than the slacks to begin with: products vanish before the gradient does, and steps become
        short. Farther inside they do not.
        """
        if not self.trend.has_ended(enough=False) and self._advance():
            return True
        if self.n_begun + 1 == len(ROOMS):
            return False
        self.n_begun += 1
        self.trend, self.now = Trend(), self._begin()
        return True

    def _advance(self) -> bool:
        """Take a step; return whether it could be taken."""
        boxes, now = self.boxes, self.now
        rho = now.p - now.m - boxes.residuals(self.images, self.dual)
        curvature = 1.0 / (now.p / now.above + now.m / now.below + boxes.give)
        self.system.factorise(curvature)

        def direction(up: Floats, down: Floats) -> tuple[Floats, ...]:
            """Solve for the step at which p p' changes by ``up`` and m m' by ``down``."""
            shift = rho + up / now.above - down / now.below
            origin = self.origin if boxes.is_implied else None
            du, dr = self.system.solve(Equations(self.gradient, curvature, shift, origin))
            return du, (up + now.p * dr) / now.above, (down - now.m * dr) / now.below, dr

        du, dp, dm, dr = direction(-now.p * now.above, -now.m * now.below)
        primal, dual = self._lengths(dp, dm, dr, 1.0)
        # sums, not BLAS's dot, whose last digit depends on where in memory its arguments lie
        mu = float(np.sum(now.p * now.above + now.m * now.below))
        p, m = now.p + primal * dp, now.m + primal * dm
        after = float(np.sum(p * (now.above - dual * dr) + m * (now.below + dual * dr)))
        center = (max(after, 0.0) / mu) ** 3 * mu / (2.0 * now.p.shape[0])
        up = center - now.p * now.above + dp * dr
        down = center - now.m * now.below - dm * dr
        du, dp, dm, dr = direction(up, down)
        if not all(np.isfinite(part).all() for part in (du, dp, dm, dr)):
            return False
        primal, dual = self._lengths(dp, dm, dr, NEAR_BOUNDARY)
        self.now = Interior(
            now.u + primal * du,
            now.p + primal * dp,
            now.m + primal * dm,
            now.above - dual * dr,
            now.below + dual * dr,
            now.r + dual * dr,
        )
        self.origin = (1.0 - dual) * self.origin
        return True

    def _lengths(self, dp: Floats, dm: Floats, dr: Floats, share: float) -> tuple[float, float]:
        """Return how far primal and dual variables may go; the same where anything is a square."""
        now = self.now
        primal = min(_reach(now.p, dp), _reach(now.m, dm)) * share
        dual = min(_reach(now.above, -dr), _reach(now.below, dr)) * share
        primal, dual = min(primal, 1.0), min(dual, 1.0)
        if self.boxes.problem.l2 > 0.0 or not self.boxes.pieces.has_kinks:
            primal = dual = min(primal, dual)
        return primal, dual

    def ended(self) -> Ended:
        """Return what was found; an exact fit, if it is better than where steps have stalled."""
        problem = self.boxes.problem
        if not self.target.has_converged(self.best):
            exact = _exact_fit(problem, self.boxes.pieces)
            if exact is not None:
                self._keep(exact, predictions(problem, exact), np.zeros(problem.shape[0]))
        converged = self.target.has_converged(self.best)
        return Ended(self.best, self.objectives, self.gaps, converged)


def _exact_fit(problem: Problem, pieces: Pieces) -> Floats | None:
    """Return parameters that meet every row's target and are cheap, where columns are many.

    Columns that cost little are taken first (QR with pivoting of the columns over their costs).
    """
    n, d = problem.shape
    if n > d or n * d > FINISHED_IN_FLOAT64:
        return None
    scaler = problem.scaler
    z = (as_dense(problem.rows, n, d) - scaler.center) * scaler.inverse_std
    z = np.column_stack([z, np.full(n, 1.0 if problem.fit_intercept else 0.0)])
    cost = problem.threshold + np.sqrt(problem.ridge)
    cheapest = np.min(cost[cost > 0.0], initial=1.0)
    cheap = cheapest / np.maximum(cost, cheapest)
    basis, triangle, order = sl.qr(z * cheap, mode="economic", pivoting=True)
    if not np.all(np.diagonal(triangle) != 0.0):
        return None
    found, chosen = np.zeros(d + 1), order[:n]
    part = sl.solve_triangular(triangle[:, :n], basis.T @ pieces.at.mean(axis=0))
    found[chosen] = cheap[chosen] * part
    return found if np.all(np.isfinite(found)) else None


def _reach(x: Floats, dx: Floats) -> float:
    """Return how far x + t dx stays positive."""
    shrinking = dx < 0.0
    return float(np.min(x[shrinking] / -dx[shrinking], initial=np.inf))
