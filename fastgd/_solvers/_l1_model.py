"""The minimum of a quadratic model under l1 and lower bounds: what a step in a metric leads to.

    min_p  g'p + p'H p / 2 + sum_j t_j |u_j + p_j|,    u_j + p_j >= c_j

Sweeps over the coordinates soon find which of them are zero, but where columns are nearly
dependent they take thousands more to find the values of the others. So they are mixed with steps to
the minimum over the coordinates that are not zero, along a ray that may pass signs' changes [1]_.
Such a step is also what shows that sweeps have arrived: where they creep, a coordinate's move is
worth little long before the minimum.

References
----------
.. [1] Lee, Battle, Raina & Ng, "Efficient Sparse Coding Algorithms", 2006, section 3 (the support's
   minimum, and a search along the ray to it).
"""

import numpy as np
import scipy.linalg as sl
from numpy.typing import NDArray

from fastgd.kernels.metric_steps import step_in_metric

Floats = NDArray[np.float64]

SWEEPS, MOST_STAGES, FIRST_WAIT = 8, 125, 4  # sweeps of a stage; stages to the first exact step
AT_ONCE = 2  # stages in which sweeps settle where nothing slows them
MOST_EXACT = 60  # exact steps
WORTHWHILE = 1.0  # times what a stage gained: an exact step that gains more is taken after each
MORE_FLOOR = (
    0.0,
    1e-9,
    1e-6,
    1e-3,
    1.0,
)  # on the diagonal, where rounding decides what the minimum is
RESOLVED = 0.1
EPSILON = float(np.finfo(np.float64).eps)
LEAST_GAIN = 1e-4  # of all that was gained: an exact step that gains less has shown the minimum


def minimise_model(
    full: Floats, gradient: Floats, params: Floats, sides: Floats, accuracy: float
) -> tuple[Floats, float]:
    """Return p and the model's decrease.

    Parameters
    ----------
    full : (P, P), H; a coordinate whose diagonal is 0 stays, unless l1 pulls it to zero
    gradient, params : (P,), g and u
    sides : (2, P), t and c
    accuracy : float
        Sweeps end where no coordinate's move is worth more than this part of the largest.
    """
    root = np.sqrt(np.maximum(np.diagonal(full), 0.0))
    largest = np.outer(root, root)  # of a positive matrix, and what rounding may have exceeded
    full = np.clip(full, -largest, largest)
    flat, worth = _shrunk_where_flat(full, gradient, params, sides[0])
    for more in MORE_FLOOR:
        firm = full
        if more > 0.0:
            firm = full.copy()
            firm[np.diag_indices_from(firm)] *= 1.0 + more
        step, gain = _minimised(firm, gradient, params, sides, accuracy)
        if _is_resolved(firm, gradient, step):
            break
    return step + flat, gain + worth


def _shrunk_where_flat(
    full: Floats, gradient: Floats, params: Floats, threshold: Floats
) -> tuple[Floats, float]:
    """Return the move of coordinates without curvature, and the model's decrease.

    Where no row is curved, as under a squared hinge that all rows are right about, l1 alone decides
    and pulls to zero. Their minimum is not where they stand, as a decrement of 0 would say.
    """
    pulled = (np.diagonal(full) == 0.0) & (params != 0.0) & (np.abs(gradient) < threshold)
    move = np.where(pulled, -params, 0.0)
    return move, float(np.sum(threshold[pulled] * np.abs(params[pulled])) - np.sum(gradient * move))


def _is_resolved(full: Floats, gradient: Floats, step: Floats) -> bool:
    """Tell whether rounding of H p is small beside the gradient: else p is made of it."""
    diagonal = np.diagonal(full)
    scale = np.divide(1.0, np.sqrt(diagonal), out=np.zeros_like(diagonal), where=diagonal > 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        noise = EPSILON * float(np.max(np.abs(full) @ np.abs(step) * scale, initial=0.0))
    return bool(noise <= RESOLVED * np.max(np.abs(gradient) * scale, initial=0.0))


def _minimised(
    full: Floats, gradient: Floats, params: Floats, sides: Floats, accuracy: float
) -> tuple[Floats, float]:
    """Sweep, and step to the support's minimum, until neither gains much."""
    step, largest, gain = np.zeros(params.shape[0]), 0.0, 0.0
    wait, next_wait, n_exact = FIRST_WAIT, FIRST_WAIT, 0
    for stage in range(MOST_STAGES):
        before = gain
        gain, worth, most = step_in_metric(full, gradient, params, sides, accuracy, SWEEPS, step)
        largest = max(largest, most)
        has_settled = worth <= accuracy * largest
        if has_settled and stage < AT_ONCE:
            break  # within a few sweeps: columns are far from dependent
        wait -= 1
        if not has_settled and wait > 0:
            continue
        if n_exact >= MOST_EXACT:
            break
        more, n_solved = _to_minimum_of_support(full, gradient, params, sides, step)
        n_exact += n_solved
        gain += more
        if has_settled and more <= LEAST_GAIN * gain:
            break
        next_wait = 1 if more > WORTHWHILE * (gain - more - before) else 2 * next_wait
        wait = next_wait
    return step, gain


def _to_minimum_of_support(
    full: Floats, gradient: Floats, params: Floats, sides: Floats, step: Floats
) -> tuple[float, int]:
    """Go to the minimum over the coordinates that are not zero, leaving out those that become so.

    ``step`` is changed in place. Returns the model's decrease, and how many systems were solved.
    """
    total, n_left_out, n_solved = 0.0, 1, 0
    while n_left_out > 0 and n_solved < MOST_EXACT:
        more, n_left_out = _towards_minimum(full, gradient, params, sides, step)
        total, n_solved = total + more, n_solved + 1
    return total, n_solved


def _towards_minimum(
    full: Floats, gradient: Floats, params: Floats, sides: Floats, step: Floats
) -> tuple[float, int]:
    """Go as far as the ray to that minimum falls; return the decrease, and how many end at zero."""
    threshold, lowest = sides
    at = params + step
    inside = (np.diagonal(full) > 0.0) & ((at != 0.0) | (threshold == 0.0)) & (at > lowest)
    some = np.flatnonzero(inside)
    slope = gradient[some] + full[some] @ step + threshold[some] * np.sign(at[some])
    try:
        factor = sl.cho_factor(full[np.ix_(some, some)], lower=True, check_finite=False)
    except sl.LinAlgError:
        return 0.0, 0
    move = -sl.cho_solve(factor, slope, check_finite=False)
    fall = -float(np.sum(slope * move))
    if not (np.all(np.isfinite(move)) and fall > 0.0):
        return 0.0, 0
    share, ends, more = _lowest_on_ray(at[some], move, sides[:, some], fall)
    step[some] += share * move
    step[some[ends]] = np.maximum(0.0, lowest[some[ends]]) - params[some[ends]]
    return more, int(np.count_nonzero(ends))


def _lowest_on_ray(
    at: Floats, move: Floats, sides: Floats, fall: float
) -> tuple[float, NDArray[np.bool_], float]:
    """Return how far to go along a move to a parabola's minimum, what ends at zero, the decrease.

    The slope along the ray is fall (a - 1) at first, and rises by 2 t |move| where a sign changes;
    at a lower bound the ray ends.
    """
    threshold, lowest = sides
    turns = (at != 0.0) & (move != 0.0) & ((threshold > 0.0) | (lowest == 0.0))
    turn = np.full(at.shape[0], np.inf)
    np.divide(-at, move, out=turn, where=turns)
    turn[~(turn > 0.0)] = np.inf
    passed = np.argsort(turn, kind="stable")
    passed = passed[turn[passed] < 1.0]
    here, slope, more = 0.0, -fall, 0.0
    for j in passed:
        there = min(float(turn[j]), here - slope / fall)
        more -= (there - here) * (slope + 0.5 * fall * (there - here))
        slope += fall * (there - here)
        here = there
        if here < turn[j]:
            return here, np.zeros(at.shape[0], bool), more
        slope += np.inf if lowest[j] == 0.0 else 2.0 * float(threshold[j] * abs(move[j]))
        if slope >= 0.0:
            return here, turn == turn[j], more
    there = here - slope / fall
    more -= 0.5 * (there - here) * slope
    return there, np.zeros(at.shape[0], bool), more
