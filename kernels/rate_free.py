"""Mini-batch gradient descent of a linear model without a learning rate.

What plain sgd asks its user for, a rate that goes with the units of columns and targets, is read
from the rows themselves, so that they may come raw and one by one. A step, on a batch of m rows:

    s_j^2 = rms_j max_j                  of the values of column j that are not zero
    N     = mean over the rows of  sum_j x_j^2 / s_j^2 + 1, of rows that have a weight
    g     = X_b' delta / m               as in ``sgd``; delta are the slopes of the loss
    G_j  += (g_j / U)^2
    r_j   = rate / (sqrt(N) s_j sqrt(G_j))
    q     = sum_j r_j g_j^2 / (2 V),     V the mean loss of the batch
    w_j   = prox(w_j - r_j (1 - e^-q) / q  g_j),  with r_j <= 1 / l2

- Columns: r_j g_j scales as 1 / x_j, so that predictions do not depend on a column's unit. When a
  column's largest value grows, its coefficient shrinks by the root of the ratio (Ross et al. have
  max_j alone for s_j, and the ratio; the geometric mean with the root mean square takes longer
  steps in columns with long tails). N is how many columns share a row.
- Targets: U is the unit of raw predictions, sqrt(G_j) is U-free, so that coefficients move in units
  of U / s_j. It is the targets' standard deviation, or, for classes, the mean loss over the mean
  slope: how far the loss is from zero, along its slope.
- Steps: r_j g_j alone would be Adagrad's, as long as ever for a row that is fitted already, and too
  long where many columns are large at once. q compares the fall of the loss that the gradient
  promises with twice the loss there is. Of squared error, one row at a time, the factor
  (1 - e^-q) / q is that of importance-aware updates: no step goes beyond the target. Of other
  losses it is a smooth form of Polyak's step.
- Dense rows with an intercept: x_j is taken from the column's running mean, and the intercept
  moves so that the plane turns about the mean. On sparse rows zero stays zero.
- What predicts is an average over the last 1/16 of all steps, or the last ``window`` of them.

References
----------
.. [1] Ross, Mineiro & Langford, "Normalized Online Learning", 2013, Algorithms 1 and 2 (NG, NAG).
   arXiv:1305.6646
.. [2] Karampatziakis & Langford, "Online Importance Weight Aware Updates", 2011, table 1.
   arXiv:1011.1576
.. [3] Polyak, "Introduction to Optimization", 1987, section 5.3 (the step f / |g|^2).
"""

import math

import numpy as np

from fastgd.kernels import losses, optimizers, transforms
from fastgd.kernels._hook import cast, optional
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.optimizers._rate_free import (
    LAG,
    LARGEST,
    OF_ROW,
    OF_TARGETS,
    ONE,
    PLACE,
    ROOT,
    ROWS,
    SPREAD,
    SQUARES,
)
from fastgd.kernels.outputs import CENTRE, COST, EARLIER, LOSS, PENALTY, STEP_SIZE, TOTAL, Share
from fastgd.kernels.penalties import at, value
from fastgd.kernels.rows import entries, entry, row_at
from fastgd.kernels.stores import (
    Batch,
    add_to_average,
    begin_step,
    column,
    cost_after,
    cost_of_all,
    count,
    couple,
    evaluate_batch,
    finish,
    made_up,
    ready_batch,
    slope_of,
    step_of_batch,
    target_of,
)


@kernel()
def rate_free_batches(rows, samples, rule, plan, memory, store):
    """Take the steps of a plan, with batches of any size.

    Parameters
    ----------
    rows : Dense or CSR
    samples : Samples
    rule : Rule, its optimizer ``RateFree``
    plan : Plan
    memory : Memory, changed in place
    store : Plain, Coupled or Lazy, changed in place

    Notes
    -----
    Floor: as for ``sgd_batches``, one more pass over the entries of each batch, which are in
    cache, and one more over the coefficients that it touches.
    """
    params, state, average = memory.params, memory.state, memory.average
    sums, shares, n_outputs = memory.sums, memory.shares, count(rule.outputs)
    pull, first = losses.intercept_gradient(rule.loss), params.shape[0] - n_outputs
    for k in range(n_outputs):
        sums[COST, k] = cost_of_all(rule, params, k)
    for t in range(plan.step_coefficients.shape[0]):
        start = t * plan.batch_size
        batch = Batch(samples.order, start, min(start + plan.batch_size, plan.n_visited))
        step_coefs = optimizers.coefs_of_step(plan.step_coefficients, t)
        n_touched = ready_batch(store, rule, rows, batch, t, params, state, memory.gradient)
        _look_at_rows(rule, rows, samples, batch, memory)
        for k in range(n_outputs):
            sums[COST, k] += made_up(store, k)
            cost = sums[COST, k] + pull * params[first + k]
            sums[PENALTY, k] += (batch.stop - start) * cost
            # the batch's loss is summed alone: to the last bit, it does not depend on those before
            sums[EARLIER, k], sums[LOSS, k] = sums[LOSS, k], 0
        share = Share(step_coefs, batch, plan.unit)
        evaluate_batch(rule.outputs, rule, rows, samples, share, store, memory)
        _centre_gradient(rule, memory)
        draw = (plan.seed, plan.first_step + t)
        transforms.transform(rule.transform, store, rule, memory, n_touched, draw)
        own_coefs = _adapt(rule, store, share, n_touched, memory)
        for k in range(n_outputs):
            sums[LOSS, k] += sums[EARLIER, k]
        _, left = begin_step(store, rule, step_coefs, params, average)
        step_of_batch(store.columns, store, rule, rows, batch, own_coefs, memory, n_touched)
        for k in range(n_outputs):
            sums[COST, k] = cost_after(store, left * sums[COST, k], np.float64(shares[k]))
            shares[k] = 0
        couple(store, rule, params, sums[COST])
        if rule.fit_intercept:
            step_intercepts(rule, own_coefs, memory)
        if t >= plan.average_from:
            add_to_average(store, rule, params, average)
    finish(store, rule, plan.step_coefficients.shape[0], params, state, average)


@helper()
def _look_at_rows(rule, rows, samples, batch, memory):
    """Take the rows of a batch into what is known of columns and targets, but those without weight.

    Rows without weight may hold anything: they have no part in the objective either.
    """
    weighted = samples.weight.shape[0] > 0
    for position in range(batch.start, batch.stop):
        i = row_at(batch.order, position)
        if not weighted or samples.weight[i] != 0:
            _look_at_row(rule, rows, samples, i, memory)


@helper()
def _look_at_row(rule, rows, samples, i, memory):
    """Take row i into what is known of columns and targets."""
    state, last = memory.state, memory.params.shape[0] - 1
    n_rows = np.float64(state[ROWS, last]) + 1.0
    begin, end = entries(rows, i)
    size = 1.0
    for k in range(begin, end):
        j, x = entry(rows, i, k)
        size += _look_at_entry(rule, memory, j, np.float64(x), n_rows)
    count_row(rule, samples, i, size, memory)


@helper()
def count_row(rule, samples, i, size, memory):
    """Take a row into the number of rows, the mean of their sizes, and what targets are like."""
    state, n_outputs = memory.state, count(rule.outputs)
    first, last = memory.params.shape[0] - n_outputs, memory.params.shape[0] - 1
    n_rows = np.float64(state[ROWS, last]) + 1.0
    state[ROWS, last] = n_rows
    state[SPREAD, last] += (size - state[SPREAD, last]) / n_rows
    if rule.optimizer.unit == OF_TARGETS:
        for output in range(n_outputs):
            y = target_of(rule.outputs, samples, i, output)
            _look_at_target(rule, memory, np.uint64(first + output), y, n_rows)


@helper()
def _look_at_entry(rule, memory, j, x, n_rows):
    """Take a value of column j into what is known of it; return its square in units of s^2."""
    state, n_outputs = memory.state, count(rule.outputs)
    c = at(j, n_outputs, 0)
    if rule.optimizer.is_centred:
        before = x - np.float64(state[PLACE, c])
        if n_rows == 1:
            before = 0.0
            state[PLACE, c] = x
        state[PLACE, c] += before / n_rows
        x -= np.float64(state[PLACE, c])
        square, number = before * x, n_rows
    elif x == 0:
        return 0.0
    else:
        number = np.float64(state[PLACE, c]) + 1.0
        state[PLACE, c] = number
        square = x * x
    largest = np.float64(state[LARGEST, c])
    now, spread = scale_after(x, square, number, largest, np.float64(state[SPREAD, c]))
    if 0 < largest < now:
        _shrink_column(rule, memory, j, math.sqrt(largest / now))
    state[LARGEST, c] = now
    for output in range(n_outputs):
        state[SPREAD, at(j, n_outputs, output)] = spread
    return x * x / spread if spread > 0 else 0.0


@helper()
def scale_after(x, square, number, largest, spread):
    """Return a column's largest magnitude and its s^2 with one value more, the ``number``-th.

    ``square`` is what the value adds to the sum of squares.
    """
    mean_square = (spread / largest) ** 2 if largest > 0 else 0.0
    mean_square += (square - mean_square) / number
    now = max(largest, abs(x))
    return now, math.sqrt(max(mean_square, 0.0)) * now


@helper()
def _shrink_column(rule, memory, j, factor):
    """Shrink a column's coefficients, and what is averaged of them; the plane turns about its mean.

    A new largest value would otherwise be predicted by coefficients that never met its like.
    """
    params, state = memory.params, memory.state
    n_outputs = count(rule.outputs)
    mean = np.float64(state[PLACE, at(j, n_outputs, 0)]) if rule.optimizer.is_centred else 0.0
    for output in range(n_outputs):
        c = at(j, n_outputs, output)
        param, lag = np.float64(params[c]), np.float64(state[LAG, c])
        before = value(rule.penalty, params[c], c)
        params[c] = factor * param
        costs = before, value(rule.penalty, params[c], c)
        state[LAG, c] = factor * lag
        turn(memory, j, output, costs, (1.0 - factor) * mean * param, (1.0 - factor) * mean * lag)


@optional
def turn(memory, j, output, costs, change, lag):
    """Let an output's plane turn about the mean of column j, and count what its penalty was."""
    params, state = memory.params, memory.state
    intercept = np.uint64(params.shape[0] - memory.sums.shape[1] + output)
    memory.sums[COST, output] -= costs[0]
    memory.sums[COST, output] += costs[1]
    params[intercept] += change
    state[LAG, intercept] += lag


@helper()
def _look_at_target(rule, memory, c, y, n_rows):
    """Take a target into the mean and the variance of its output's; the first one is the start."""
    state = memory.state
    before = y - np.float64(state[LARGEST, c])
    if n_rows == 1:
        state[LARGEST, c] = y
        if rule.fit_intercept and memory.params[c] == 0:
            memory.params[c] = y
        return
    state[LARGEST, c] += before / n_rows
    square = before * (y - np.float64(state[LARGEST, c]))
    state[PLACE, c] += (square - state[PLACE, c]) / n_rows


@helper()
def _centre_gradient(rule, memory):
    """Take columns from their means: g_j - mean_j g_b; remember where the plane is there."""
    params, gradient, state = memory.params, memory.gradient, memory.state
    n_outputs = count(rule.outputs)
    if not rule.optimizer.is_centred:
        return
    for output in range(n_outputs):
        total = cast(memory.sums[TOTAL, output], gradient[0])
        for j in range(params.shape[0] // n_outputs - 1):
            c = at(j, n_outputs, output)
            gradient[c] -= state[PLACE, at(j, n_outputs, 0)] * total
        memory.sums[CENTRE, output] = _rise_to_means(rule, memory, output)


@helper()
def _rise_to_means(rule, memory, output):
    """Return  sum_j mean_j w_j."""
    n_outputs, total = count(rule.outputs), 0.0
    for j in range(memory.params.shape[0] // n_outputs - 1):
        mean = np.float64(memory.state[PLACE, at(j, n_outputs, 0)])
        total += mean * memory.params[at(j, n_outputs, output)]
    return total


@helper()
def _adapt(rule, store, share, n_touched, memory):
    """Take the gradient into the sums of squares, shorten it; return the step's coefficients."""
    gradient, state, sums = memory.gradient, memory.state, memory.sums
    n_outputs, step_coefs = count(rule.outputs), share.step_coefs
    last, is_shared = gradient.shape[0] - 1, rule.optimizer.unit == OF_ROW
    own = own_rate(step_coefs, state, last)
    coefs = (own, step_coefs[1], step_coefs[2], step_coefs[3])
    promised, at_stake = 0.0, 0.0
    for k in range(n_outputs):
        unit, loss = unit_of(rule, share, memory, k)
        inverse, fall = (1.0 / unit if unit > 0 else 0.0), 0.0
        inverse = cast(inverse, own)
        for i in range(n_touched):
            c = at(column(store.columns, i), n_outputs, k)
            fall += add_square(state, c, gradient[c], inverse)
        if rule.fit_intercept:
            fall += add_square_of_intercept(rule, memory, k, inverse)
        promised, at_stake = promised + own * fall, at_stake + loss
        sums[STEP_SIZE, k] = shortened(own * fall, loss) if unit > 0 else 0.0
    for k in range(n_outputs):
        if is_shared:
            sums[STEP_SIZE, k] = shortened(promised, at_stake)
        step_size = cast(sums[STEP_SIZE, k], own)
        for i in range(n_touched):
            gradient[at(column(store.columns, i), n_outputs, k)] *= step_size
    return coefs


@helper()
def own_rate(step_coefs, state, last):
    """Return the rate over the root of how many columns share a row."""
    return step_coefs[0] / math.sqrt(max(state[SPREAD, last], cast(1.0, step_coefs[0])))


@helper()
def add_square(state, c, g, inverse):
    """Take a gradient's entry into its sum of squares; return  g^2 / (s sqrt(G))."""
    state[SQUARES, c] += (inverse * g) * (inverse * g)
    root = math.sqrt(state[SPREAD, c]) * math.sqrt(state[SQUARES, c])
    state[ROOT, c] = root
    return g * (g / root) if root > 0 else cast(0.0, root)


@helper()
def add_square_of_intercept(rule, memory, k, inverse):
    """Do the same with the gradient of output k's intercept."""
    state, c = memory.state, np.uint64(memory.params.shape[0] - count(rule.outputs) + k)
    g = memory.sums[TOTAL, k] + losses.intercept_gradient(rule.loss)
    state[SQUARES, c] += (inverse * g) * (inverse * g)
    root = math.sqrt(state[SQUARES, c])
    return rule.intercept_rate * g * g / root if root > 0 else 0.0


@helper()
def shortened(promised, loss):
    """Return (1 - e^-q) / q, with q the fall of the loss that is promised over twice the loss."""
    q = 0.5 * promised / loss if loss > 0 else 0.0
    return -math.expm1(-q) / q if q > 1e-9 else 1.0


@helper()
def unit_of(rule, share, memory, k):
    """Return the unit of output k's raw predictions, and its mean loss in the batch."""
    state, batch = memory.state, share.batch
    kind, n_outputs = rule.optimizer.unit, count(rule.outputs)
    first, last = memory.params.shape[0] - n_outputs, memory.params.shape[0] - 1
    size = batch.stop - batch.start
    loss = memory.sums[LOSS, k] / (size * share.unit)
    if kind == OF_TARGETS:
        return math.sqrt(max(np.float64(state[PLACE, first + k]), 0.0)), loss
    slope = total_slope(memory, rule, size, k)
    if kind == ONE:
        return 1.0, slope
    if kind == OF_ROW and k > 0:
        return _ratio(state, first), 0.0
    if kind == OF_ROW:
        for other in range(1, n_outputs):
            slope += total_slope(memory, rule, size, other)
        slope *= 0.5
    share_of_batch = size / max(np.float64(state[ROWS, last]), np.float64(size))
    c = first + k
    state[LARGEST, c] += share_of_batch * (loss - state[LARGEST, c])
    state[PLACE, c] += share_of_batch * (slope - state[PLACE, c])
    return _ratio(state, c), loss


@helper()
def _ratio(state, c):
    """Return the mean loss over the mean slope; 1 where there was no loss so far (perceptron)."""
    mean_loss, mean_slope = np.float64(state[LARGEST, c]), np.float64(state[PLACE, c])
    return mean_loss / mean_slope if mean_slope > 0 and mean_loss > 0 else 1.0


@optional
def total_slope(memory, rule, size, k):
    """Return the sum over a batch of the magnitudes of output k's shares in the gradient."""
    total = 0.0
    for o in range(size):
        total += abs(np.float64(slope_of(rule.outputs, memory, o, k)))
    return total


@helper()
def step_intercepts(rule, step_coefs, memory):
    """Step the intercepts, and let planes turn about the columns' means."""
    for k in range(count(rule.outputs)):
        _step_intercept(rule, step_coefs, memory, k)


@helper()
def _step_intercept(rule, step_coefs, memory, k):
    """Do so for one output."""
    params, state, sums = memory.params, memory.state, memory.sums
    c, change = np.uint64(params.shape[0] - count(rule.outputs) + k), 0.0
    if state[SQUARES, c] > 0:
        g = (sums[TOTAL, k] + losses.intercept_gradient(rule.loss)) * sums[STEP_SIZE, k]
        change = -rule.intercept_rate * step_coefs[0] * g / math.sqrt(state[SQUARES, c])
    if rule.optimizer.is_centred:
        change += sums[CENTRE, k] - _rise_to_means(rule, memory, k)
    params[c] += change
    state[LAG, c] = step_coefs[1] * (state[LAG, c] + change)
