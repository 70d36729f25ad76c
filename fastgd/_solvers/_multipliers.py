"""Piecewise linear losses: smooth problems whose optima lead to theirs (``kernels.envelope``).

For very many rows, where a step of ``_interior`` costs more than a pass does, and where both rows
and columns are too many for its matrices.
"""

from functools import partial

import numpy as np

from fastgd._monitoring.observer import Silenced
from fastgd._solvers._descent import StoppingRule, descend
from fastgd._solvers._dual_points import Certificate, Pieces, certify, loss_of, renewed
from fastgd._solvers._interior import Ended, Found, Target
from fastgd._solvers._newton_systems import Covariance
from fastgd._solvers._passes import predictions
from fastgd._solvers._precondition import Metric, factorise, hessian, products
from fastgd._solvers._problem import Floats, Problem, evaluate, model_at
from fastgd._solvers._task import Options
from fastgd.kernels.envelope import Envelope

SHARPER = 0.2  # mu's factor after a round that gained little
LITTLE = 0.3  # of the gap left over from a round
LEAST_SMOOTHING = 1e-3  # of the residuals: below it, rounding hides what a round gains
INNER_SHARE = 0.1  # of the gap, to which a round is solved
INNER_PASSES = 200
PATIENCE = 8  # rounds without a better bound: rounding decides
MOST_ROUNDS = 15  # where another method can go on, and one round that takes all its passes


class _Rounds:
    """The envelopes solved so far, and what they led to."""

    def __init__(self, problem: Problem, pieces: Pieces, u: Floats) -> None:
        self.pieces = pieces
        # floored: along directions that no row varies in, a gradient is rounding
        coarse = problem._replace(dtype=np.float32)
        self._covariance = factorise(coarse, products(problem, problem.weight), False)
        self._exact = Covariance(problem)
        y = np.zeros((problem.shape[0], 2))
        y[:, 0] = problem.y
        self._plain = problem
        self.problem = problem._replace(y=y, loss=Envelope(problem.loss, 1.0))
        self.dual = np.zeros(problem.shape[0])
        self.best = Found(u, np.inf, np.inf, self.dual)
        self.objectives: list[float] = []
        self.gaps: list[float] = []
        self.gap_of_rounds: list[float] = []
        self.passes, self.share = 0, INNER_SHARE
        self.u = u
        self.judge(u)
        self._smooth(self.average)

    def _smooth(self, mu: float) -> None:
        loss = self.problem.loss._replace(smoothing=max(mu, LEAST_SMOOTHING * self.typical))
        self.problem = self.problem._replace(loss=loss)

    def judge(self, u: Floats) -> Certificate:
        """Return what a point and the dual variables prove; keep the best."""
        problem, pieces = self._plain, self.pieces
        raw = predictions(problem, u)
        penalty = 0.5 * float(np.sum(problem.ridge * u * u)) + float(problem.threshold @ np.abs(u))
        objective = loss_of(pieces, raw) + penalty
        proof = certify(problem, pieces, self._exact, u, raw, self.dual)
        self.best = self.best.or_better(u, objective, proof)
        distances = np.min(np.abs(raw - pieces.at), axis=0)
        self.average = float(np.mean(distances)) or 1.0
        self.typical = float(np.median(distances)) or self.average
        return proof

    def solve(self, options: Options, wanted: float) -> Floats:
        """Solve an envelope to ``wanted``, and take the derivatives over."""
        problem, u = self.problem, self.u
        mu = problem.loss.smoothing
        reach = max(_std(self._covariance, u), mu)
        # |g| reach <= wanted, where the decrement is at least mu |g|^2 / 2
        floor = 0.5 * mu * (self.share * wanted / reach) ** 2
        allowed = min(INNER_PASSES, options.max_iter - self.passes)
        point = evaluate(problem, u)
        inner = StoppingRule(0.0, floor, allowed, Silenced(options.observer))
        result = descend(problem, u, hessian(problem, point), inner, point)
        self.passes += len(result.objectives)
        self.u = result.point.u
        raw = predictions(problem, self.u)
        self.dual = renewed(self.pieces, raw, self.dual, problem.weight, mu)
        with np.errstate(divide="ignore", invalid="ignore"):
            old = self.dual / problem.weight
        old = np.where(problem.weight > 0.0, old, 0.0)
        self.problem = problem._replace(y=np.column_stack([self._plain.y, old]))
        return self.u

    def sharpen(self, proof: Certificate, before: Certificate) -> None:
        """Smooth less where the rows' part gained little, and never more than residuals allow.

        Where the gradient is most of a gap, envelopes are solved more exactly instead.
        """
        mu = self.problem.loss.smoothing
        if proof.gap > 2.0 * proof.missed:
            self.share *= SHARPER
        elif proof.missed > LITTLE * before.missed:
            mu *= SHARPER
        self._smooth(min(mu, self.average))

    def note(self, passes: int) -> None:
        """Write down a round, an entry for each of its passes."""
        self.objectives.extend([self.best.objective] * passes)
        self.gaps.extend([self.best.gap] * passes)
        self.gap_of_rounds.append(self.best.gap)

    def is_stuck(self) -> bool:
        """Tell whether the last rounds brought no better bound."""
        gaps = self.gap_of_rounds
        return len(gaps) > PATIENCE and gaps[-1] >= gaps[-1 - PATIENCE]

    def is_slow(self, passes: int) -> bool:
        """Tell whether another method is quicker, after a round of so many passes."""
        return passes >= INNER_PASSES or len(self.gap_of_rounds) >= MOST_ROUNDS


def by_multipliers(
    problem: Problem,
    pieces: Pieces,
    options: Options,
    target: Target,
    u: Floats,
    *,
    is_last: bool,
) -> tuple[Ended, int]:
    """Solve envelopes, each about what the one before it found.

    ``is_last`` says that no other method can go on. Returns the passes as well.
    """
    rounds = _Rounds(problem, pieces, u)
    f_null, proof = rounds.best.objective, rounds.judge(u)
    while rounds.passes < options.max_iter and f_null > 0.0:
        passes, before = rounds.passes, proof
        wanted = max(min(rounds.best.gap, f_null), 0.3 * target.tol * rounds.best.objective)
        proof = rounds.judge(rounds.solve(options, wanted))
        passes = rounds.passes - passes
        rounds.note(passes)
        figures = {"objective": rounds.best.objective, "suboptimality": rounds.best.gap}
        model = partial(model_at, problem, rounds.best.u)
        if options.observer.passed(model, figures, passes):
            break
        if target.is_reached(rounds.best) or rounds.is_stuck():
            break
        if rounds.is_slow(passes) and not is_last:
            break
        rounds.sharpen(proof, before)
    converged = target.has_converged(rounds.best)
    return Ended(rounds.best, rounds.objectives, rounds.gaps, converged), rounds.passes


def _std(covariance: Metric, u: Floats) -> float:
    """Return the standard deviation of the raw predictions."""
    product = covariance.product
    square = u**2 @ product if product.ndim == 1 else u @ product @ u
    return float(np.sqrt(max(square - u[-1] ** 2, 0.0)))
