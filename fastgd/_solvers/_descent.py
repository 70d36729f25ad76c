"""A descent in a metric: its steps, its metrics, and when it may stop.

A step follows -H^-1 g, H a metric of ``_precondition`` and BFGS's corrections from the last steps.
A metric grows stale as the curvatures move; a new one costs as much as some passes, so it is made
when the corrected old one would need more passes than that to the end, or when an estimate of the
suboptimality has to be confirmed.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastgd._monitoring.observer import UNWATCHED, Observer
from fastgd._solvers._certificates import can_prove, certify, quick_gap
from fastgd._solvers._implicit import Implicit
from fastgd._solvers._newton_dual import lower_bound
from fastgd._solvers._precondition import (
    SHORT,
    AnyMetric,
    Damping,
    can_have_hessian,
    can_renew,
    cost_of_hessian,
    hessian,
    left_out,
    limit,
    n_products,
    newton_metric,
    solve,
    solve_l1,
    transfer,
    with_matrix_at_last,
)
from fastgd._solvers._problem import (
    FINISHED_IN_FLOAT64,
    Floats,
    Point,
    Problem,
    evaluate,
    model_at,
    take,
)
from fastgd._solvers._sample import (
    MOST_ROWS,
    ROWS_FOR_RANK,
    Sample,
    draw,
    fall_of_curvature,
    hessian_from_below,
    sampled,
)
from fastgd._solvers._thin import is_thin_on
from fastgd.kernels import losses
from fastgd.kernels.metric_steps import first_loop, second_loop

MEMORY = 50  # pairs of the BFGS correction; 30 took 3 % more passes on mnist, 100 as many
MEMORY_BYTES, LEAST_MEMORY = 1 << 29, 8  # fewer pairs where parameters are many millions
SUFFICIENT = 1e-4  # Armijo
SMALLEST_STEP = 1e-10
SMALLEST_DECREASE = 1e-15  # relative: what rounding leaves of an objective
# A stale metric's estimates were 1 to 3 times too small on the problems tried, but 20 to 300 times
# on raw mnist near the optimum, where convergence is slower than any geometric series.
CAUTION = 2.5
WINDOW = 10
MORE_CAUTION = 4.0  # where nothing but such an estimate says that a fit has converged
NEWTON_CAUTION = 2.0  # Newton's decrement is 0.4 to 1 of the suboptimality
CONFIRMED_FROM = 4.0  # times the target: estimates near it are worth a proof
MOST_DRIFT, NEGLIGIBLE_CURVATURE = 10.0, 1e-8
CONFIRMING_COST, CONFIRMING_PASSES = 2.0, 40.0  # a Hessian in float64 costs twice as much
MARGIN = 2.0  # of the rows that a proof is made of, over what the estimate says is enough
COARSE = 0.1  # part of the target: rounding of the objective that is borne
CONFIRMING_PASSES_OF_CORNERS = 400.0  # where estimates have been found six times too small
MOST_FALL = 3.0  # of a step's own curvature: Newton from a coin's toss has 2.4
STEADY = 1.2  # at 1.5 the suboptimality of ten classes was 2.6 decrements: a step is taken first
MOST_IDLE = 10  # steps that rounding alone lets pass for not higher
LONG_ENOUGH = 0.5  # part of such a step
QUICK_WORK = 3e8  # products: 0.05 s
MOST_ADDED = 2  # stages, where nothing confirms an estimate
SHARE_OF_TARGET = 0.1  # of what conjugate gradients may leave
SMALLEST_TOL = 1e-15
LEAST_SAMPLE, HESSIAN_ROWS = 20_000, 200  # rows a parameter: directions are then right to 1/14
LONGER, MOST_LONGER = 2.0, 10.0  # times a step: what is worth another evaluation, and far enough
SLOW, SLOWEST = 0.9, 0.99
CHEAP = 0.5  # of a pass
KEPT_SHARE = 8  # a sample of this part of the rows is kept for later, a larger one is not
CAUTION_LATE = 1.5  # raw mnist: what is left was 1.5 times that from pass 100 to 390


class StoppingRule(NamedTuple):
    """When to stop: at a suboptimality of ``tol`` times the objective, or of ``floor``.

    tol, floor : float
    max_passes : int
    observer : Observer
    is_careful : bool
        Whether the suboptimality has to be shown, by a bound, an exact Hessian or much caution, and
        not only estimated, as suffices on the way to something else.
    is_proven_later : bool
        Whether a careful estimate suffices because a bound is to follow, from where it ends.
    """

    tol: float
    floor: float
    max_passes: int
    observer: Observer = UNWATCHED
    is_careful: bool = False
    is_proven_later: bool = False

    def target(self, objective: float, tol: float) -> float:
        """Return the suboptimality that suffices for a tolerance."""
        return max(tol * objective, self.floor)

    def stages(self) -> list[float]:
        """Return the tolerances to go through: 0.1, 0.01, ... to the first that is <= ``tol``."""
        if not self.is_careful:
            return [self.tol]
        last = int(np.floor(np.log10(max(self.tol, SMALLEST_TOL)) + 1e-9))
        return [10.0**k for k in range(-1, min(last, -1) - 1, -1)]

    def reports(self, problem: Problem, point: Point, suboptimality: float) -> bool:
        """Report where a descent stands; return whether it has to stop there."""
        figures = {"objective": point.objective, "suboptimality": suboptimality}
        return self.observer.passed(partial(model_at, problem, point.u), figures)


class DescentResult(NamedTuple):
    """Where a descent ended.

    suboptimality : float, the estimated suboptimality
    objectives, suboptimalities : list of float, one entry a pass
    floor : float, the suboptimality that rounding hides
    lower : float, what is proven to be no more than the optimum
    """

    point: Point
    metric: Any  # AnyMetric
    suboptimality: float
    objectives: list[float]
    suboptimalities: list[float]
    converged: bool
    floor: float = 0.0
    lower: float = -np.inf


def descend(
    problem: Problem, u: Floats, metric: AnyMetric, stop: StoppingRule, first: Point | None
) -> DescentResult:
    """Follow the metric's directions from u until the stopping rule holds."""
    point = first if first is not None else evaluate(problem, u)
    return _Descent(problem, point, metric, stop).run()


class _Descent:
    """A descent on its way: where it stands, its metric, and what is known of the suboptimality.

    It goes through the tolerances 0.1, 0.01, ... down to the one that is asked for, and shows each
    of them before it goes on to the next. So a smaller ``tol`` takes the same steps and some more,
    and never ends higher.
    """

    def __init__(
        self, problem: Problem, point: Point, metric: AnyMetric, stop: StoppingRule
    ) -> None:
        self.problem, self.point, self.metric, self.stop = problem, point, metric, stop
        self.pairs, self.damping = Pairs(point.u.size), Damping()
        self.stages, self.suboptimality = stop.stages(), np.inf
        self.first = point.objective
        self.objectives: list[float] = []  # of the points that were reached
        self.decrements: list[float] = []
        self.trail: list[float] = []  # at the points that were reached, by whatever metric
        self.history = History([], [])
        self.n_passes, self.n_reported = 0, 0  # that to the first point is not counted
        self.lower, self.last_proof = problem.lowest_objective, np.inf  # of the optimum
        self.shown = np.inf  # the least that was shown at any point: later ones are lower
        self.since, self.is_stuck, self.is_fresh = 0, False, isinstance(metric, Implicit)
        self.n_idle = 0  # steps that gained nothing
        self.hoped = self.expected = np.inf  # of the suboptimality, after a step and here
        self.is_whole = False  # the metric, that is of all rows
        self.is_short = False  # whether the last step of a fresh metric was, by far
        self.trusted = self._trust(metric) if is_exact(problem, metric) else None
        self.sample: Sample | None = None
        self.n_added = 0  # stages

    def run(self) -> DescentResult:
        """Take steps until the stopping rule holds, the passes are used up, or rounding decides."""
        self.objectives.append(self.point.objective)
        self._limit()
        while not self._lacks_passes():
            self.problem = with_matrix_at_last(self.problem, self.n_passes)
            step, decrement = self._direction()
            self.decrements.append(decrement)
            self.trail[len(self.objectives) - 1 :] = [decrement]
            self.suboptimality, is_shown = self._suboptimality(decrement)
            if self.expected <= self._target():  # at the point before, and this one is lower
                self.suboptimality, is_shown = min(self.suboptimality, self.expected), True
            elif (
                is_shown
                and self.suboptimality <= self._target()
                and not self._is_steady(step, self.suboptimality)
            ):
                # the step leads to where curvatures are others: it is taken first
                self.suboptimality, is_shown = 2.0 * CONFIRMED_FROM * self._target(), False
            if is_shown and self.stop.is_careful:
                self.shown = min(self.shown, self.suboptimality)
            needs_proof = self._needs_proof(is_shown)
            if needs_proof and self._postpones_proof():
                if self._must_stop():
                    break
                if not self._moves(step, decrement):
                    self.is_stuck = True  # nothing is lower: the proof is due
                continue
            if needs_proof and self._looks_closer():
                continue
            if self._renews_metric(needs_proof and not self._is_shown_by_some()):
                continue
            if self._must_stop() or self._has_arrived():
                break
            if self.n_passes >= self.stop.max_passes or not self._moves(step, decrement):
                break
        return self._result()

    def _direction(self) -> tuple[Floats, float]:
        """Return a step and the decrement; a product with an implicit Hessian is a pass, too."""
        if isinstance(self.metric, Implicit) and not self.is_fresh:
            # free to make, but not to solve with
            given = self.problem, self.point, self.damping, self.metric
            self.metric, self.is_fresh = newton_metric(*given), True
            self.pairs.clear()
            self._limit()
        before = n_products(self.metric)
        step, decrement = _direction(self.problem, self.point, self.metric, self.pairs)
        self.n_passes += n_products(self.metric) - before
        return step, decrement

    def _lacks_passes(self) -> bool:
        """Tell whether a direction would take more passes than there are."""
        is_implicit = isinstance(self.metric, Implicit)
        return is_implicit and 0 < self.stop.max_passes <= self.n_passes

    def _limit(self) -> None:
        """Let conjugate gradients take no more passes than there are, and be as good as need be."""
        enough = SHARE_OF_TARGET * self._target()
        limit(self.metric, self.stop.max_passes - self.n_passes, enough)

    def _result(self) -> DescentResult:
        self._has_arrived()
        self.n_passes = max(self.n_passes, 1)  # one entry at least, of the first point
        self._must_stop()  # of passes that found nothing lower
        floor = self.problem.rounding(self.point.objective)
        suboptimality = min(self.suboptimality, self.shown)
        return DescentResult(
            self.point, self.metric, suboptimality, *self.history, not self.stages, floor
        )

    # -- the suboptimality ----------------------------------------------------------------------

    def _suboptimality(self, decrement: float) -> tuple[float, bool]:
        """Return the estimated suboptimality, and whether it can be relied on.

        Newton's decrement with the curvatures at the point is 0.4 to 1 of it; so is that of a
        Hessian whose rows' curvatures have fallen by a known factor since. A bound from a dual
        point is proven. All else is extrapolated by a metric that may be far off.
        """
        suboptimality, is_shown = self._estimate(decrement)
        if not self.stop.is_careful:
            return suboptimality, is_shown
        if suboptimality <= CONFIRMED_FROM * self._target():
            self._prove(suboptimality)
        bound = self.point.objective - self.lower
        if bound <= self._target():
            return min(suboptimality, bound), True
        is_right = self.problem.is_smooth and not self.is_short
        if is_right or suboptimality > CONFIRMED_FROM * self._target():
            return suboptimality, is_shown
        # sweeps over coordinates may stop short of the model's minimum, a matrix of products shows
        # no curvature below its rounding: both promise too little
        suboptimality = max(suboptimality, MORE_CAUTION * extrapolated(self.trail, self.objectives))
        if self._is_made_of_rounding():  # such a model may have its minimum anywhere
            return max(suboptimality, bound), False
        return suboptimality, is_shown and suboptimality <= self._target()

    def _is_made_of_rounding(self) -> bool:
        """Tell whether only nearly dependent columns under l1 are left of the metric.

        Softmax's is always singular: the same number added to all classes changes nothing.
        """
        if self.problem.is_smooth or self.problem.n_outputs > 0:
            return False
        return is_thin_on(self.metric, self.point.u != 0.0)

    def _estimate(self, decrement: float) -> tuple[float, bool]:
        """Return what metric and history say, and whether the metric is known to be right."""
        if isinstance(self.metric, Implicit) and self._is_newton():
            rest = MORE_CAUTION * left_out(self.metric)
            return NEWTON_CAUTION * (decrement + rest), True
        factor = self._drift()
        if factor is not None:
            if self.problem.is_smooth and not self.is_fresh:
                gradient = self.point.gradient
                decrement = 0.5 * float(np.vdot(gradient, solve(self.metric, gradient)))
            return NEWTON_CAUTION * factor * decrement, True
        suboptimality = extrapolated(self.decrements, self.objectives)
        if not self.stop.is_careful:
            return suboptimality, True
        suboptimality *= MORE_CAUTION
        if self.damping.amount > 0.0:  # its decrement is small where it shortens steps
            return max(suboptimality, CONFIRMED_FROM * self._target()), False
        return suboptimality, False

    def _prove(self, suboptimality: float) -> None:
        """Raise the lower bound of the optimum, from the gradient or, under l1 alone, by a pass."""
        problem, point = self.problem, self.point
        if problem.l2 > 0.0:
            self.lower = max(self.lower, point.objective - quick_gap(problem, point))
        elif can_prove(problem) and suboptimality <= 0.5 * self.last_proof:
            self.last_proof = suboptimality
            proof = certify(precise_of(problem), point)
            self.lower = max(self.lower, proof.point.objective - proof.gap)

    def _is_newton(self) -> bool:
        """Tell whether the metric is the Hessian at the point."""
        if is_quadratic(self.problem):
            return True
        return self.is_fresh and self.damping.amount == 0.0

    def _drift(self) -> float | None:
        """Return by what factor curvatures may have fallen since an exact Hessian; None: too far.

        H = sum_i c_i z_i z_i' + ridge, so that c_i >= c_i(then) / f for all i bounds H from below.
        """
        if self.trusted is None:
            return None
        if self.is_fresh or is_exact(self.problem, self.metric):
            return 1.0
        if self.problem.n_outputs > 0 or self.problem.passes is not None:
            return None  # there are no curvatures, or they are on a device
        now, then = self.point.curvature, self.trusted
        known = then > NEGLIGIBLE_CURVATURE * np.max(then, initial=0.0)
        least = float(np.min(now[known] / then[known], initial=1.0))
        return 1.0 / least if least >= 1.0 / MOST_DRIFT else None

    def _target(self) -> float:
        """Return the suboptimality that the present stage asks for."""
        tol = self.stages[0] if self.stages else self.stop.tol
        objective = self.point.objective
        target = self.stop.target(objective, tol)
        return max(target, self.problem.rounding(objective)) if self.stop.is_careful else target

    def _has_arrived(self) -> bool:
        """Leave the stages behind that are reached; return whether none is left.

        Where no matrix shows whether an estimate is right, and no bound does so at the last stage,
        the next one is asked for, and the one after: estimates have been found fourteen times too
        small, and of squared errors a thousand times, where conjugate gradients were on a plateau.
        """
        while self.stages and self.suboptimality <= self._target():
            last = self.stages.pop(0)
            if not self.stages and self._can_add(last) and self._is_doubtful():
                self.stages.append(0.1 * last)
                self.n_added += 1
        return not self.stages

    def _can_add(self, last: float) -> bool:
        """Tell whether a stage is left after the last one.

        Of squared errors the bound shrinks with each: conjugate gradients go on, and it is free.
        """
        objective, is_few = self.point.objective, self.n_added < MOST_ADDED
        is_seen = self.stop.target(objective, last) > self.problem.rounding(objective)
        return is_few or (is_quadratic(self.problem) and is_seen)

    def _is_doubtful(self) -> bool:
        """Tell whether nothing but an estimate says that the last stage is reached."""
        problem, stop = self.problem, self.stop
        if not stop.is_careful or self.n_passes >= stop.max_passes:
            return False
        is_small = problem.shape[0] * problem.shape[1] <= FINISHED_IN_FLOAT64  # and finished
        if is_small or not problem.is_smooth or can_have_hessian(problem):
            return False
        if problem.l2 == 0.0 or not can_prove(problem):
            return is_quadratic(problem) and self.n_added == 0
        objective = self.point.objective
        target = max(stop.target(objective, stop.tol), problem.rounding(objective))
        if objective - self.lower > target:
            proof = certify(precise_of(problem), self.point)
            self.lower = max(self.lower, proof.point.objective - proof.gap)
        if is_quadratic(problem):
            return objective - self.lower > target
        if objective - self.lower > target and self.n_added > 0:  # a stage takes fewer reads of X
            given = precise_of(problem), self.point, self.metric, target, self.n_passes
            self.lower = max(self.lower, lower_bound(*given))
        return objective - self.lower > target

    # -- proofs ---------------------------------------------------------------------------------

    def _needs_proof(self, is_shown: bool) -> bool:
        """Tell whether an estimate is near enough to the target to be confirmed."""
        if is_shown or self._drift() is not None or not can_renew(self.problem):
            return False
        if self.stop.is_proven_later:
            return False
        return self.suboptimality <= CONFIRMED_FROM * self._target()

    def _share(self) -> float:
        """Return which share of the rows would show the target, if the estimate is right."""
        likely = self.suboptimality / (CAUTION * MORE_CAUTION)
        return MARGIN * NEWTON_CAUTION * likely / max(self._target(), 1e-300)

    def _postpones_proof(self) -> bool:
        """Tell whether passes come first: each leaves a proof that needs fewer rows to do.

        That pays while a pass costs less than what it saves of the Hessian.
        """
        problem = self.problem
        if self.is_stuck or not self.stop.is_careful or self.n_passes >= self.stop.max_passes:
            return False
        if not (problem.is_smooth and can_have_hessian(problem)) or len(self.decrements) < 2:
            return False
        least = ROWS_FOR_RANK * self.point.u.size / problem.shape[0]
        share, ratio = self._share(), _ratio(self.decrements[-4:])
        following = max(min(share * ratio, 1.0), least)
        saved = min(share, 1.0) - (following if following < 0.5 else 1.0)
        return saved * CONFIRMING_COST * cost_of_hessian(problem) > 1.0

    def _looks_closer(self) -> bool:
        """Evaluate in float64 before a proof; go on so, and return True, if float32 is too coarse.

        Float32 hides what is below its rounding of raw predictions, which large columns make large.
        """
        if self.problem.dtype == np.float64 or self.problem.n_outputs == 0:
            return False
        point = evaluate(precise_of(self.problem), self.point.u)
        self.n_passes += 1
        if abs(point.objective - self.point.objective) <= COARSE * self._target():
            return False
        self._compute_in_float64(point)
        return True

    def _is_steady(self, step: Floats, suboptimality: float) -> bool:
        """Tell whether curvatures hold as far as a step goes, or a bound says as much as they.

        Where they fall a little, the next point can be hoped to be within ``suboptimality``.
        """
        if not self.stop.is_careful or is_quadratic(self.problem):
            return True
        if self.point.objective - self.lower <= self._target():
            return True
        n = self.problem.shape[0]
        some = self._some(min(MOST_ROWS, n), n)
        fall = fall_of_curvature(some.problem, self.point.u, step)
        if STEADY < fall <= MOST_FALL:
            self.hoped = suboptimality
        return fall <= STEADY

    def _is_shown_by_some(self) -> bool:
        """Try to show the target by the Hessian of some rows, a lower bound of the whole one."""
        problem, share = self.problem, self._share()
        if not (self.stop.is_careful and can_have_hessian(problem)):
            return False
        if not _can_confirm(problem, self.n_passes, min(share, 1.0)):
            return False
        size = self._rows_of_proof(share)
        if 2 * size > problem.shape[0] or problem.passes is not None:
            return False  # a device's own Hessian takes less than a sample on the processor
        metric = hessian_from_below(problem, self.point, self._some(size, 2 * size))
        step, decrement = _direction(problem, self.point, metric, Pairs(self.point.u.size))
        suboptimality = NEWTON_CAUTION * decrement
        if suboptimality > self._target():
            return False
        if not self._is_steady(step, suboptimality):
            return self.hoped <= self._target()
        self.suboptimality, self.shown = suboptimality, min(self.shown, suboptimality)
        return True

    def _rows_of_proof(self, share: float) -> int:
        """Return of how many rows a proof is made: a share of all, and what is cheap beside a pass.

        Fewer would do if the estimate is right, but a step of theirs is as many times too long.
        """
        n, least = self.problem.shape[0], ROWS_FOR_RANK * self.point.u.size
        cheap = min(MOST_ROWS, int(CHEAP * n / cost_of_hessian(self.problem)))
        return max(int(share * n), least, cheap)

    def _some(self, size: int, most: int) -> Sample:
        """Return so many of the rows, or up to ``most`` that were asked for before.

        A sample that is much of X is not kept.
        """
        if self.sample is not None and size <= self.sample.size <= most:
            return self.sample
        found = sampled(self.problem, size)
        is_small = size <= max(MOST_ROWS, self.problem.shape[0] // KEPT_SHARE)
        self.sample = found if is_small else None
        return found

    # -- the metric -----------------------------------------------------------------------------

    def _renews_metric(self, needs_proof: bool) -> bool:
        """Make a new Hessian, if it has to confirm an estimate, or is worth its cost."""
        problem = self.problem
        if not can_renew(problem):
            return False
        if needs_proof and _can_confirm(problem, self.n_passes):
            self.damping.amount = 0.0
            given = precise_of(problem), self.point, self.damping, self.metric
            self.metric, self.is_whole = newton_metric(*given), True
            self.trusted = self._trust(self.metric, is_precise=True)
        elif self.is_fresh or is_exact(problem, self.metric) or not self._pays():
            return False
        else:
            self.metric, self.is_whole = self._hessian_of_some()
            self.trusted = self._trust(self.metric) if self.is_whole else None
        self._limit()
        self.since, self.is_fresh, self.is_stuck = 0, True, False
        self.pairs.clear()
        self.decrements.clear()
        return True

    def _hessian_of_some(self) -> tuple[AnyMetric, bool]:
        """Return the Hessian, from a sample of the rows where they outnumber what it needs.

        Where a sample's steps had to be shortened, it has missed rows that bend, and all are taken,
        without what damps such steps. Returns as well whether it is that of all rows.
        """
        problem, damping, n = self.problem, self.damping, self.problem.shape[0]
        size = max(LEAST_SAMPLE, HESSIAN_ROWS * self.point.u.size)
        # a sample misjudges rare classes, and is the processor's
        is_sampled = problem.n_outputs == 0 and problem.passes is None and can_have_hessian(problem)
        is_sampled = is_sampled and 2 * size <= n
        if is_sampled and damping.amount > 0.0:
            damping.amount *= float(self.is_whole)
            is_sampled = False
        if not is_sampled:
            return newton_metric(problem, self.point, damping, self.metric), True
        chosen, weight = draw(problem, size, np.random.default_rng(len(damping.sampled)))
        damping.sampled.append(size)
        sample = take(problem, chosen, weight)._replace(prior=problem.prior)
        grown = weight / np.maximum(problem.weight[chosen], 1e-300)
        point = self.point._replace(curvature=self.point.curvature[chosen] * grown)
        return transfer(problem, hessian(sample, point, damping)), False

    def _pays(self) -> bool:
        """Tell whether a new Hessian costs less than the passes that it saves."""
        level = self.suboptimality, self._target()
        return self.is_stuck or _is_worth(self.problem, self.decrements, *level, self.since)

    def _trust(self, metric: AnyMetric, *, is_precise: bool = False) -> Floats | None:
        """Return the curvatures at the point if ``metric`` is their exact Hessian, else None."""
        if isinstance(metric, Implicit) or self.damping.amount > 0.0:
            return None
        is_precise = is_precise or self.problem.dtype == np.float64
        is_whole = metric.product.ndim == 2 and (metric.is_hessian or self.problem.n_outputs == 0)
        return self.point.curvature if is_precise and is_whole else None

    # -- steps ----------------------------------------------------------------------------------

    def _must_stop(self) -> bool:
        """Report the passes since the last report; return whether to stop."""
        stops = False
        while self.n_reported < self.n_passes and not stops:
            self.n_reported += 1
            self.history.objective.append(self.point.objective)
            self.history.suboptimality.append(self.suboptimality)
            stops = self.stop.reports(self.problem, self.point, self.suboptimality)
        return stops

    def _moves(self, step: Floats, decrement: float) -> bool:
        """Take a step; return False where there is nothing lower, as far as rounding shows."""
        budget = self.stop.max_passes - self.n_passes
        following, length, tries = searched(self.problem, self.point, step, decrement, budget)
        self.n_passes += tries
        if following is not None:
            self.n_idle = 0 if following.objective < self.point.objective else self.n_idle + 1
        if following is None or self.n_idle >= MOST_IDLE:
            self.n_idle = 0
            return self._knows_more(decrement)
        is_newton = self.is_fresh and self.damping.amount == 0.0
        if length == 1.0 and (is_newton or not self.problem.is_smooth):  # else pairs learn
            following, tries = _further(self.problem, self.point, following, budget - tries)
            self.n_passes += tries
            self.is_short = tries > 0
        elif length < 1.0:
            self.is_short = False
        self.pairs.add(following.u - self.point.u, following.gradient - self.point.gradient)
        self.objectives.append(following.objective)
        self.is_stuck = length < SHORT
        self.expected, self.hoped = (self.hoped if length >= LONG_ENOUGH else np.inf), np.inf
        self.damping.learn(length)
        self.point, self.since, self.is_fresh = following, self.since + 1, False
        return True

    def _knows_more(self, decrement: float) -> bool:
        """Compute more precisely, or with more damping, where a step leads nowhere lower."""
        if self.n_passes >= self.stop.max_passes:
            return False
        if self.problem.dtype == np.float64:
            shows = _shows(decrement, self.point, self.first)
            if not (shows and self.damping.can_grow(self.problem)):
                return False
            self.damping.learn(0.0)
            self.is_fresh = False
        else:
            self._compute_in_float64(evaluate(precise_of(self.problem), self.point.u))
            self.n_passes += 1
        self.is_stuck, self.trusted = True, None
        return True

    def _compute_in_float64(self, point: Point) -> None:
        """Go on in float64 from a point that was evaluated so."""
        self.problem, self.point = precise_of(self.problem), point
        self.objectives[-1] = point.objective
        self.pairs.clear()


class History(NamedTuple):
    """What is reported of each pass."""

    objective: list[float]
    suboptimality: list[float]


def _shows(decrement: float, point: Point, first: float) -> bool:
    """Tell whether rounding leaves something to see of what a metric promised."""
    return decrement > 1e3 * SMALLEST_DECREASE * max(abs(point.objective), abs(first))


def is_exact(problem: Problem, metric: AnyMetric) -> bool:
    """Tell whether a metric is the Hessian everywhere."""
    if not is_quadratic(problem):
        return False
    return isinstance(metric, Implicit) or metric.product.ndim == 2


def is_quadratic(problem: Problem) -> bool:
    """Tell whether curvatures are the same everywhere."""
    return losses.is_quadratic(problem.loss)


def _direction(
    problem: Problem, point: Point, metric: AnyMetric, pairs: "Pairs"
) -> tuple[Floats, float]:
    """Return a step and half what its model promises: the decrement."""
    if not problem.is_smooth:
        return solve_l1(metric, problem, point, 1e-6)
    step = -pairs.correct(metric, point.gradient)
    return step, -0.5 * float(np.vdot(point.gradient, step))


class Pairs:
    """The last steps and what they changed of the gradient, for BFGS's corrections."""

    def __init__(self, size: int) -> None:
        self._most = int(np.clip(MEMORY_BYTES // (16 * size), LEAST_MEMORY, MEMORY))
        self._size = size
        self.clear()

    def clear(self) -> None:
        """Forget all pairs."""
        self._steps = self._changes = np.zeros((0, self._size))
        self._curvatures, self._newest, self._shares = np.zeros(0), -1, np.zeros(0)

    def add(self, step: Floats, change: Floats) -> None:
        """Remember a pair, in place of the oldest if need be; memory grows as pairs come."""
        if self._newest + 1 == self._curvatures.shape[0] < self._most:
            self._grow()
        self._newest = (self._newest + 1) % self._most
        self._steps[self._newest], self._changes[self._newest] = step.ravel(), change.ravel()
        self._curvatures[self._newest] = np.vdot(step, change)

    def add_ridge(self, more: Floats) -> None:
        """Let pairs be those of an objective with more of an l2 penalty, ``more`` by coordinate."""
        if self._curvatures.shape[0] > 0:
            by_step = self._steps.reshape(-1, more.shape[0], self._size // more.shape[0])
            changes = self._changes.reshape(by_step.shape)
            changes += by_step * more[:, None]
            self._curvatures = np.einsum("ij,ij->i", self._steps, self._changes)

    def _grow(self) -> None:
        more = min(max(8, self._curvatures.shape[0]), self._most - self._curvatures.shape[0])
        self._steps = np.vstack([self._steps, np.zeros((more, self._size))])
        self._changes = np.vstack([self._changes, np.zeros((more, self._size))])
        self._curvatures = np.append(self._curvatures, np.zeros(more))
        self._shares = np.zeros(self._curvatures.shape[0])

    def correct(self, metric: AnyMetric, gradient: Floats) -> Floats:
        """Multiply by the inverse metric with the corrections (Nocedal & Wright, 7.4)."""
        return self.corrected(partial(solve, metric), gradient)

    def corrected(self, inverse: Callable[[Floats], Floats], gradient: Floats) -> Floats:
        """Do the same where ``inverse`` multiplies by the inverse of a metric."""
        kept = (self._steps, self._changes, self._curvatures, self._newest)
        q = gradient.flatten()
        first_loop(*kept, q, self._shares)
        q = np.ascontiguousarray(inverse(q.reshape(gradient.shape))).ravel()
        second_loop(*kept, q, self._shares)
        return q.reshape(gradient.shape)


def extrapolated(decrements: list[float], objectives: list[float]) -> float:
    """Estimate the suboptimality: the decrement, or what the recent decrease extrapolates to.

    A stale metric's decrement sees little of the flat directions that are left at the end; the
    objective's decrease, continued as a geometric series with the decrements' ratio, does.
    """
    window = min(WINDOW, len(objectives) - 1)
    if window == 0:
        return float("inf")
    ratio = _ratio(decrements)
    fall = (objectives[-1 - window] - objectives[-1]) / window
    if ratio < 0.5:  # fast: what lies ten passes back is no guide
        fall = min(fall, objectives[-2] - objectives[-1])
    suboptimality = CAUTION * max(decrements[-1], fall * ratio / (1.0 - ratio))
    if ratio > SLOW:  # slower than any geometric series, later: then what the last third gained
        suboptimality = max(
            suboptimality, CAUTION_LATE * (objectives[-1 - len(objectives) // 3] - objectives[-1])
        )
    return suboptimality


def _ratio(decrements: list[float]) -> float:
    """Return by what a pass shrinks the decrement, over the last few."""
    window = min(WINDOW, len(decrements) - 1)
    if window == 0 or decrements[-1 - window] <= 0.0:
        return 0.5
    return float(min(SLOWEST, max(decrements[-1], 0.0) / decrements[-1 - window]) ** (1.0 / window))


def _is_worth(
    problem: Problem, decrements: list[float], suboptimality: float, target: float, since: int
) -> bool:
    """Tell whether a new Hessian costs less than the passes it would save."""
    if since < 2 or len(decrements) < 2 or decrements[-1] <= 0.0:
        return False
    ratio = min(_ratio(decrements[-4:]), SLOWEST)
    # a stale metric's decrement may long be small enough, while more is known to be left
    level = decrements[-1] if decrements[-1] > target else suboptimality / CAUTION
    needed = np.log(max(level, 1e-300) / max(target, 1e-300)) / -np.log(ratio)
    return bool(needed > cost_of_hessian(problem) + 2.0)


def precise_of(problem: Problem) -> Problem:
    """Return the problem with float64 arithmetic."""
    return problem._replace(dtype=np.float64)


def _can_confirm(problem: Problem, n_passes: int, share: float = 1.0) -> bool:
    """Tell whether an exact Hessian, whose decrement is no extrapolation, is not too costly.

    ``share`` is the part of the rows that it is made of.
    """
    if not can_have_hessian(problem):
        return True  # conjugate gradients, as good as they are asked to be
    work = problem.shape[0] * problem.shape[1] ** 2 * max(1, problem.n_outputs) ** 2
    if share * work <= QUICK_WORK:
        return True
    passes = CONFIRMING_PASSES if problem.is_smooth else CONFIRMING_PASSES_OF_CORNERS
    return share * CONFIRMING_COST * cost_of_hessian(problem) <= passes + n_passes


def searched(
    problem: Problem, point: Point, step: Floats, decrement: float, budget: int
) -> tuple[Point | None, float, int]:
    """Take the step, or as much of it as lowers the objective, in ``budget`` evaluations at most.

    Returns the point (None if none is lower), the part of the step, and the evaluations.
    """
    length, tries = 1.0, 0
    promise = 2.0 * decrement if problem.is_smooth else decrement
    rounding = SMALLEST_DECREASE * abs(point.objective)
    while length > SMALLEST_STEP and tries < budget:
        following, tries = evaluate(problem, point.u + length * step), tries + 1
        fall = point.objective - following.objective
        if fall >= SUFFICIENT * length * promise - rounding and np.isfinite(following.objective):
            return (following if fall > -rounding else None), length, tries
        if length * promise < rounding:
            break
        # the parabola through both values and the slope at the start
        excess = length * promise - fall
        best = 0.5 * length * length * promise / excess if np.isfinite(excess) else 0.0
        length = min(max(best, 0.1 * length), 0.5 * length)
    return None, length, tries


def _further(problem: Problem, point: Point, reached: Point, budget: int) -> tuple[Point, int]:
    """Go on along a step that turned out to be short: to the minimum of the parabola it shows.

    Nearly dependent columns leave directions of less curvature than a matrix of products can show,
    and a metric that has grown stale has too much of it. Returns the point and the evaluations.
    """
    step, length, tries = reached.u - point.u, 1.0, 0
    slope = -float(np.vdot(point.gradient, step))
    slope += float(np.sum(problem.threshold @ (np.abs(point.u) - np.abs(reached.u))))
    while tries < budget:
        missed = length * slope - (point.objective - reached.objective)
        best = 0.5 * length * length * slope / missed if missed > 0.0 else np.inf
        if not best >= LONGER * length:
            break
        best = min(best, MOST_LONGER * length)
        there = np.maximum((point.u + best * step).T, problem.lowest).T
        further, tries = evaluate(problem, there), tries + 1
        if not further.objective < reached.objective:
            break
        reached, length = further, best
    return reached, tries
