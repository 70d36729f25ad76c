"""Stochastic dual coordinate ascent of a linear model with one output, without the dual.

The objective, with S = sum_i s_i and an intercept b that is free:

    F(w, b) = 1/S sum_i s_i loss(y_i, x_i w + b) + l1 |w|_1 + l2/2 |w|^2,    l2 > 0

At its optimum w is made of the derivatives r_i = loss'(raw_i), one number a sample:

    w = soft_threshold(v, l1/l2),    v = -1/(S l2) sum_i s_i r_i x_i,    sum_i s_i r_i = 0

so the solver keeps v tied to r and lets a step solve for one r_i, touching only the columns of
its own sample; there is no step size:

    q = s_i |x_i|^2 / (S l2);   r = loss'(raw_i - q (r - r_i));   v -= s_i (r - r_i) x_i / (S l2)

Four rows are stepped together, all from the same v, so that the processor reads and solves for
them side by side instead of waiting for each. No step of theirs can overshoot, whatever the rows
have in common, as long as  3 q < 1/M + q  for each, M the loss's largest curvature: the dual's
Hessian is at least 1/M + q on its diagonal, and two rows' entry is at most the root of the product
of their q. Rows with a larger q are stepped one by one.

The intercept is tied to all samples, and w could half take its place, which makes it slow. So it
is solved for centred columns: with any mean row m (of some rows; it need not be exact) and
A = 1/(S l2) sum_i s_i r_i, which is zero at the optimum,

    w = v + A m,    raw_i = x_i w + b = x_i v + A (x_i m - |m|^2) + c - m v,    b = c - m w

costs one more number a sample, x_i m, and no other column. On centred columns a change of c does
not move w to first order, so that c follows from sum_i s_i r_i by Newton steps, 20 in a pass.
What c has moved since a sample was visited will still change its r_i: that part of the sum is
known beforehand, and counted in, or else c would be moved for it twenty times.

The duality gap needs no dual variables but r: where sum_i s_i r_i = 0,

    gap = 1/S sum_i s_i (loss(raw_i) + loss*(r_i) - r_i raw_i)

References
----------
.. [1] Shalev-Shwartz & Zhang, "Stochastic Dual Coordinate Ascent Methods for Regularized Loss
   Minimization", 2013.
.. [2] Shalev-Shwartz, "SDCA without Duality, Regularization, and Individual Convexity", 2016.
   arXiv:1602.01582
.. [3] Yu, Huang & Lin, "Dual coordinate descent methods for logistic regression and maximum
   entropy models", 2011.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import losses
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.rows import entries, entry, margins

INTERCEPT_STEPS = 20  # in a pass
FORGET = 0.8  # what a step of the intercept leaves of the curvatures that it was made from
TAIL = 8  # the last 1/8 of a pass tells how far it came
SMALLEST_SLOPE = 1e-6
GROUP = 4  # rows that are stepped together
BALANCE_ROUNDS = 5
BALANCED, PROVEN = 1e-13, 1e-12  # of sum_i s_i |r_i|: what rounding leaves, and what proofs bear
ROOT_LIMIT = 200

# What ``Memory.running`` holds: sum_i s_i r_i; sums of the steps' derivatives and weights; what
# the first is still to change by, because c has moved since rows were visited; m v; and |m|^2.
TOTAL, SLOPE, MASS, PENDING, MIDDLE, SIZE = range(6)
N_RUNNING = 6


class Samples(NamedTuple):
    """What comes with the rows of X.

    y : ndarray of shape (n_samples,), float64; for many outputs the class's number, int32
    weight : ndarray of shape (n_samples,), float64; empty means 1
    """

    y: np.ndarray
    weight: np.ndarray


class DualProblem(NamedTuple):
    """What is solved.

    loss : a spec of ``losses``
    mass : float, S
    scale : float, 1 / (S l2)
    threshold : float, l1 / l2
    fit_intercept : bool
    together : float
        The q up to which rows are stepped together; 0 for none. Softmax's rows never are.
    """

    loss: NamedTuple
    mass: float
    scale: float
    threshold: float
    fit_intercept: bool
    together: float = 0.0


class Memory(NamedTuple):
    """What passes change; all float64. Many outputs add a last axis to all but the centre.

    params : (d + 1,), v and then c
    dual : (n_samples,), r
    running : (N_RUNNING,), see above
    mean : (d,), m; zero for no centring, which l1 > 0 demands
    along : (n_samples,), x_i m
    """

    params: np.ndarray
    dual: np.ndarray
    running: np.ndarray
    mean: np.ndarray
    along: np.ndarray


class Lanes(NamedTuple):
    """What is known of the rows of a group, (GROUP,), float64.

    raw : their raw predictions, before a step
    q : how much a step moves them
    """

    raw: np.ndarray
    q: np.ndarray


def largest_together(curvature_bound):
    """Return the q up to which a group's steps cannot overshoot, for losses of such a curvature."""
    return 1.0 / (curvature_bound * (GROUP - 2))


@kernel(allocates=True)
def sdca_pass(rows, samples, rule, memory, order, is_first):
    """Take one step for each row of ``order``.

    Returns
    -------
    gap, loss : float
        Means over the last rows, each before its step, of loss(raw) + loss*(r) - r raw and of
        loss(raw). As none of these rows was visited for a pass, the first is above the duality
        gap at the end of the pass.

    Notes
    -----
    Floor: one read of X, and for each non-zero a read and a write of v at a random place. |x_i|^2
    is summed beside the dot product, where it costs less than fetching it would.
    """
    y, weight, params, dual = samples.y, samples.weight, memory.params, memory.dual
    along, running = memory.along, memory.running
    n_rows, last = order.shape[0], np.uint64(params.shape[0] - 1)
    period, since, later = max(n_rows // INTERCEPT_STEPS, 1), 0, 0.0
    lanes, size = Lanes(np.zeros(GROUP), np.zeros(GROUP)), GROUP if rule.together > 0.0 else 1
    gap, loss, gap_mass, position = 0.0, 0.0, 0.0, 0
    while position < n_rows:
        count = min(size, n_rows - position)
        if is_first:
            for lane in range(count):
                i = np.uint64(order[position + lane])
                along[i] = row_dot(rows, i, memory.mean)
        largest = _look(rows, weight, rule, memory, order, position, count, lanes)
        if largest > rule.together:
            count = 1
        for lane in range(count):
            i, raw = np.uint64(order[position + lane]), lanes.raw[lane]
            s = weight[i] if weight.shape[0] > 0 else 1.0
            old = dual[i]
            if TAIL * (n_rows - position - lane) <= n_rows + TAIL:
                gap += s * fenchel(rule.loss, y[i], raw, old)
                loss += s * losses.value(rule.loss, y[i], raw)
                gap_mass += s
            dual[i], response = losses.dual_step(rule.loss, y[i], raw, old, lanes.q[lane])
            running[TOTAL] += s * (dual[i] - old)
            running[SLOPE] += s * response
            running[MASS] += s
            lanes.raw[lane] = rule.scale * s * (dual[i] - old)
        for lane in range(count):
            i = np.uint64(order[position + lane])
            running[MIDDLE] -= lanes.raw[lane] * along[i]
            add_row(rows, i, params, -lanes.raw[lane])
        position += count
        if rule.fit_intercept and position - since >= period:
            left = float(n_rows - position) / n_rows
            change, later = _move_intercept(
                running, rule.mass, left, float(position - since) / n_rows, later
            )
            params[last] += change
            since = position
    running[PENDING] = later
    gap_mass = max(gap_mass, losses.TINY)
    return gap / gap_mass, loss / gap_mass


@helper()
def _look(rows, weight, rule, memory, order, position, count, lanes):
    """Write raw predictions and q of some rows; return the largest q."""
    params, along, running, largest = memory.params, memory.along, memory.running, 0.0
    level = params[params.shape[0] - 1] - running[MIDDLE]
    for lane in range(count):
        i = np.uint64(order[position + lane])
        raw, square = raw_and_square(rows, i, params, rule.threshold)
        lanes.raw[lane] = raw + level + rule.scale * running[TOTAL] * (along[i] - running[SIZE])
        s = weight[i] if weight.shape[0] > 0 else 1.0
        lanes.q[lane] = rule.scale * s * max(square - 2.0 * along[i] + running[SIZE], 0.0)
        largest = max(largest, lanes.q[lane])
    return largest


@helper()
def raw_and_square(rows, i, params, threshold):
    """Return x_i soft_threshold(v) and |x_i|^2."""
    begin, end = entries(rows, i)
    raw, square = 0.0, 0.0
    if threshold == 0.0:
        for k in range(begin, end):
            j, x = entry(rows, i, k)
            x = np.float64(x)
            raw += x * params[j]
            square += x * x
        return raw, square
    for k in range(begin, end):
        j, x = entry(rows, i, k)
        v, x = params[j], np.float64(x)
        raw += x * (max(v - threshold, 0.0) + min(v + threshold, 0.0))
        square += x * x
    return raw, square


@helper()
def row_dot(rows, i, vector):
    """Return x_i vector."""
    begin, end = entries(rows, i)
    total = 0.0
    for k in range(begin, end):
        j, x = entry(rows, i, k)
        total += vector[j] * np.float64(x)
    return total


@helper()
def add_row(rows, i, vector, share):
    """Add a share of x_i to a vector."""
    begin, end = entries(rows, i)
    for k in range(begin, end if share != 0.0 else begin):
        j, x = entry(rows, i, k)
        vector[j] += share * np.float64(x)


@helper()
def _move_intercept(running, mass, left, period, later):
    """Return the intercept's Newton step, and what rows already visited owe to the next pass.

    ``left`` is the share of the pass's rows still to come, ``period`` that of the rows since the
    last step. Rows to come pay in this pass what they owe; of this step's debt, theirs is
    ``left``.
    """
    running[PENDING] *= left / (left + period)
    slope = mass * max(running[SLOPE] / max(running[MASS], losses.TINY), SMALLEST_SLOPE)
    change = -(running[TOTAL] + running[PENDING] + later)
    running[PENDING] += left * change
    running[SLOPE] *= FORGET
    running[MASS] *= FORGET
    return change / slope, later + (1.0 - left) * change


@helper()
def fenchel(loss, y_true, raw, dual):
    """Return loss(raw) + loss*(dual) - dual raw: zero where dual = loss'(raw), else above it."""
    pair = losses.value(loss, y_true, raw) + losses.conjugate(loss, y_true, dual)
    return max(pair - dual * raw, 0.0)


@kernel()
def balance(rows, samples, rule, memory, order):
    """Bring sum_i s_i r_i to zero, which a duality gap asks for, by moving as few r_i as will do.

    Each moves as the intercept would move it, by its curvature, so that the gap feels only the
    square of the change; v stays tied. ``order`` says in which order rows are taken for it.

    Returns
    -------
    is_balanced : bool
        Whether no more than rounding is left of the sum; False where no row has room.
    """
    y, weight, params, dual = samples.y, samples.weight, memory.params, memory.dual
    n_rows, (total, size) = order.shape[0], _total_and_size(weight, dual)
    for r in range(BALANCE_ROUNDS):
        count = max(n_rows >> max(BALANCE_ROUNDS - 2 - r, 0), min(n_rows, 100))
        room = 0.0
        for position in range(count):
            i = np.uint64(order[position])
            s = weight[i] if weight.shape[0] > 0 else 1.0
            room += s * losses.dual_curvature(rule.loss, y[i], dual[i])
        if room < 2.0 * abs(total) and r < BALANCE_ROUNDS - 2:
            continue  # a curvature holds for small changes: share the change among more rows
        shift = -total / max(room, losses.TINY)
        for position in range(count if total != 0.0 else 0):
            i = np.uint64(order[position])
            s, old = weight[i] if weight.shape[0] > 0 else 1.0, dual[i]
            low, high = losses.dual_bounds(rule.loss, y[i])
            moved = old + shift * losses.dual_curvature(rule.loss, y[i], old)
            dual[i] = min(max(moved, low), high)
            add_row(rows, i, params, -rule.scale * s * (dual[i] - old))
        total, size = _total_and_size(weight, dual)
        if abs(total) <= BALANCED * size:
            break
    memory.running[PENDING] += memory.running[TOTAL] - total  # what moved will want to move back
    memory.running[TOTAL] = total
    return abs(total) <= PROVEN * size


@helper()
def _total_and_size(weight, dual):
    """Return sum_i s_i r_i and sum_i s_i |r_i|."""
    total, size = 0.0, 0.0
    for i in range(dual.shape[0]):
        share = (weight[i] if weight.shape[0] > 0 else 1.0) * dual[i]
        total += share
        size += abs(share)
    return total, size


@helper()
def solve_intercept(loss, y, weight, margin, start):
    """Return the b that minimises sum_i s_i loss(y_i, margin_i + b).

    Newton steps inside a bracket, which doubles until it holds the root; its middle where a step
    would leave it, or where the loss is piecewise linear.
    """
    low, high, b, reach = -np.inf, np.inf, start, 1.0
    for _ in range(ROOT_LIMIT):
        slope, bend = 0.0, 0.0
        for i in range(margin.shape[0]):
            s = weight[i] if weight.shape[0] > 0 else 1.0
            slope += s * losses.gradient(loss, y[i], margin[i] + b)
            bend += s * losses.curvature(loss, y[i], margin[i] + b)
        if slope == 0.0:
            return b
        if slope > 0.0:
            high = b
        else:
            low = b
        towards = -np.inf if bend == 0.0 else b - slope / bend
        if not low < towards < high or abs(towards - b) > reach:
            inside = low > -np.inf and high < np.inf
            towards = 0.5 * (low + high) if inside else b - np.copysign(reach, slope)
            reach *= 2.0
        if abs(towards - b) <= 1e-10 * (1.0 + abs(b)):
            return towards
        b = towards
    return b


@kernel(allocates=True)
def null_model(rule, y, weight):
    """Return the intercept of the model without features (0 for none), and its mean loss."""
    margin, b, loss = np.zeros(y.shape[0]), 0.0, 0.0
    if rule.fit_intercept:
        b = solve_intercept(rule.loss, y, weight, margin, 0.0)
    for i in range(y.shape[0]):
        s = weight[i] if weight.shape[0] > 0 else 1.0
        loss += s * losses.value(rule.loss, y[i], b)
    return b, loss / rule.mass


@kernel(allocates=True)
def certify(rows, samples, rule, memory, coef, margin):
    """Return the best intercept for ``coef`` = w, the mean loss there, and the duality gap.

    The gap holds where ``balance`` left zero. ``margin`` is scratch, (n_samples,). Floor: one read
    of X.
    """
    y, weight, dual, order = samples.y, samples.weight, memory.dual, np.empty(0, np.int32)
    margins(rows, order, 0, y.shape[0], coef, margin)
    b = 0.0
    if rule.fit_intercept:
        b = solve_intercept(rule.loss, y, weight, margin, coef[coef.shape[0] - 1])
    gap, loss = 0.0, 0.0
    for i in range(y.shape[0]):
        s = weight[i] if weight.shape[0] > 0 else 1.0
        gap += s * fenchel(rule.loss, y[i], margin[i] + b, dual[i])
        loss += s * losses.value(rule.loss, y[i], margin[i] + b)
    return b, loss / rule.mass, gap / rule.mass


@kernel()
def restore(rows, samples, rule, memory):
    """Tie v to r anew: v = -1/(S l2) sum_i s_i r_i x_i."""
    weight, dual, params = samples.weight, memory.dual, memory.params
    params[: params.shape[0] - 1] = 0.0
    for i in range(dual.shape[0]):
        s = weight[i] if weight.shape[0] > 0 else 1.0
        add_row(rows, i, params, -rule.scale * s * dual[i])


@kernel()
def mean_row(rows, order, count, mean):
    """Write the mean of the first ``count`` rows of ``order``."""
    mean[:] = 0.0
    for position in range(count):
        i = np.uint64(order[position])
        begin, end = entries(rows, i)
        for k in range(begin, end):
            j, x = entry(rows, i, k)
            mean[j] += np.float64(x) / count
