"""Accelerated steps under an l1 penalty or bounds, where no matrix is affordable.

A step from v = u_k + a_k (u_k - u_k-1) minimises, with a diagonal D and a number L,

    g(v)'p + L p'D p / 2 + sum_j t_j |v_j + p_j|,    v_j + p_j >= c_j

so that the suboptimality falls as 1 / k^2 [1]_, where steps from u_k itself make it fall as 1 / k.
The a_k start again at zero when a step turns back: then convergence is linear, at the rate that the
problem allows, which nobody has to know [2]_. L is halved slowly, and doubled where curvature along
a step exceeds it.

References
----------
.. [1] Beck & Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse
   problems", 2009, section 4.
.. [2] O'Donoghue & Candès, "Adaptive restart for accelerated gradient schemes", 2015, section 3.2.
"""

from collections.abc import Callable

import numpy as np

from fastgd._solvers._problem import Floats, Point, Problem, evaluate

SMALLER, LARGER = 0.95, 2.0  # L's factors, after a step and where one was too long
LARGEST = 1e12
SLACK = 1e-9  # of a curvature, for its rounding
PATIENCE = 100  # steps that found nothing lower


def accelerate(
    problem: Problem,
    first: Point,
    diagonal: Floats,
    is_enough: Callable[[Point], bool],
    most: int,
) -> tuple[Point, int]:
    """Descend from a point until another is enough; return the lowest, and the evaluations.

    Only the places v are evaluated, one for each step; they come to where the u_k come to.

    diagonal : (d + 1,), D; 0 where nothing may move
    is_enough : asked at each place
    most : int, evaluations
    """
    best = here = first
    u, momentum, scale, idle = first.u, 1.0, 1.0, 0
    for n_evaluations in range(most):
        if idle >= PATIENCE or is_enough(here):
            return (here if idle < PATIENCE else best), n_evaluations
        reached = _thresholded(problem, here, scale * diagonal)
        following = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * momentum * momentum))
        turns = _product(diagonal, here.u - reached, reached - u) > 0.0
        share = 0.0 if turns else (momentum - 1.0) / following
        there = evaluate(problem, reached + share * (reached - u))
        move = there.u - here.u
        bend = float(np.sum((there.gradient - here.gradient) * move))
        if bend > (1.0 + SLACK) * scale * _product(diagonal, move, move) and scale < LARGEST:
            scale *= LARGER
            continue
        u, here, momentum, scale = reached, there, 1.0 if turns else following, scale * SMALLER
        idle = 0 if here.objective < best.objective else idle + 1
        best = here if here.objective < best.objective else best
    return (here if is_enough(here) else best), most


def _thresholded(problem: Problem, start: Point, diagonal: Floats) -> Floats:
    """Return the minimum of the model of a diagonal."""
    usable = diagonal > 0.0
    inverse = np.divide(1.0, diagonal, out=np.zeros_like(diagonal), where=usable)
    moved = start.u.T - inverse * start.gradient.T
    kept = np.sign(moved) * np.maximum(np.abs(moved) - inverse * problem.threshold, 0.0)
    found: Floats = np.maximum(kept, problem.lowest).T
    return found


def _product(diagonal: Floats, a: Floats, b: Floats) -> float:
    return float(np.sum(diagonal * (a * b).T))
