"""Steps without a learning rate on single sparse rows, for a model with one output.

The steps are those of ``rate_free``, up to rounding; entry j of a gradient is delta x_j, so that
none is added up. What is known of the columns of a row lies at random places. It is read once, into
lines of numbers side by side, on which all roots and quotients are vector code, and written back
once. Lanes beyond the last entry have x = 0 and hold what they held before; nothing is read of
them.
"""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels import losses, optimizers, penalties
from fastgd.kernels._hook import cast
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels._prefetch import prefetch_column
from fastgd.kernels._views import line_in, table_in
from fastgd.kernels.optimizers._rate_free import (
    LAG,
    LARGEST,
    PLACE,
    ROOT,
    SPREAD,
    SQUARES,
)
from fastgd.kernels.outputs import COST, EARLIER, LOSS, PENALTY, STEP_SIZE, TOTAL, Share
from fastgd.kernels.rate_free import (
    add_square,
    add_square_of_intercept,
    count_row,
    own_rate,
    scale_after,
    shortened,
    step_intercepts,
    unit_of,
)
from fastgd.kernels.rows import column_of, entries, entry, fetch, row_at
from fastgd.kernels.stores import (
    COLUMNS_AHEAD,
    LANES,
    Batch,
    begin_step,
    cost_after,
    cost_of_all,
    speed_of,
    time_of_steps,
)

# lines of a block after those of the state; the last four serve while skipped steps are made up for
PARAM, VALUE, LAPSE, CARRY, SPEED, TIME = range(ROOT + 1, ROOT + 7)
N_LINES = TIME + 1
AT_ONCE = 4 * LANES  # columns that are brought up to date together at the end


class RowScratch(NamedTuple):
    """What is known of the columns of a row.

    blocks : (n_blocks, N_LINES, LANES), flat, float64: of each LANES entries the slots of the
        state, the coefficients, and x
    """

    blocks: np.ndarray

    @classmethod
    def of(cls, n_entries):
        """Plain numpy: return room for a row of so many entries."""
        return cls(np.zeros(max(-(-n_entries // LANES), AT_ONCE // LANES) * N_LINES * LANES))


@kernel()
def rate_free_rows(rows, samples, rule, plan, memory, store):
    """Take the steps of a plan with batches of one sparse row each, of a model with one output.

    Parameters
    ----------
    rows : CSR
    samples : Samples
    rule : Rule, its optimizer ``RateFree``, without a transform
    plan : Plan
    memory : Memory, its scratch ``RowScratch``, changed in place
    store : Lazy, its ``skipped`` ``InBlocks``, changed in place

    ``memory.sums[EARLIER]`` is 0 at the end, or NaN: what is known of some column is no finite
    number.

    Notes
    -----
    Floor: one read of data and indices; for each non-zero two random places (the coefficient, and
    the record of its numbers, with when it was seen), each read and written; three roots, seven
    quotients and two exponentials of float64, which are vector code. For each row a chain of
    operations that wait for each other: x w, the loss, what the step promises, an exponential. At
    the end a pass over all columns.
    """
    params, average = memory.params, memory.average
    sums, last = memory.sums, params.shape[0] - 1
    pull, weighted = losses.intercept_gradient(rule.loss), samples.weight.shape[0] > 0
    sums[COST, 0] = cost_of_all(rule, params, 0)
    for t in range(plan.step_coefficients.shape[0]):
        i = row_at(samples.order, t)
        fetch(rows, samples.order, t)
        _fetch_columns(rows, samples.order, t, memory)
        step_coefs = optimizers.coefs_of_step(plan.step_coefficients, t)
        weight = samples.weight[i] if weighted else cast(1.0, step_coefs[0])
        begin, end = entries(rows, i)
        n = end - begin
        _read(rows, i, t, store, memory)
        sums[COST, 0] += _make_up(store, rule, n, t, memory)
        if weight != 0:
            count_row(rule, samples, i, 1.0 + _look_at_columns(rule, n, memory), memory)
        raw = _dot(n, memory) + params[last]
        sums[PENALTY, 0] += sums[COST, 0] + pull * params[last]
        sums[EARLIER, 0] = sums[LOSS, 0]
        sums[LOSS, 0] = weight * losses.value(rule.loss, samples.y[i], raw)
        delta = 1.0 / plan.unit * weight * losses.slope(rule.loss, samples.y[i], raw)
        sums[TOTAL, 0], memory.margin[0] = delta, delta
        share = Share(step_coefs, Batch(samples.order, t, t + 1), plan.unit)
        own_coefs = _adapt(rule, n, share, memory)
        sums[LOSS, 0] += sums[EARLIER, 0]
        _, left = begin_step(store, rule, step_coefs, params, average)
        shares = _step(rule, n, own_coefs, memory)
        _write(rows, i, memory)
        sums[COST, 0] = cost_after(store, left * sums[COST, 0], shares)
        if rule.fit_intercept:
            step_intercepts(rule, own_coefs, memory)
    sums[EARLIER, 0] = _finish(store, rule, plan.step_coefficients.shape[0], memory)


@helper()
def _finish(store, rule, t, memory):
    """Leave all coefficients as they are after t steps.

    Returns 0, or NaN where what is known of a column is no finite number.
    """
    params, state, blocks = memory.params, memory.state, memory.scratch.blocks
    carries, n_features, odd = store.skipped.carries, memory.params.shape[0] - 1, 0.0
    for first in range(0, n_features, AT_ONCE):
        size, moves = min(AT_ONCE, n_features - first), 0.0
        for o in range(size):
            c, a = np.uint64(first + o), _at(o)
            since = np.uint64(store.seen[c])
            param, lag, root = params[c], state[LAG, c], state[ROOT, c]
            odd += 0.0 * (root + state[SPREAD, c] + state[SQUARES, c])
            moves += abs(param) + abs(lag) + np.float64(since)
            blocks[_in(PARAM, a)], blocks[_in(LAG, a)], blocks[_in(ROOT, a)] = param, lag, root
            blocks[_in(LAPSE, a)] = t - np.int64(since)
            blocks[_in(CARRY, a)] = carries[np.uint64(t)] - carries[since]
        if moves == 0:  # columns that no row had so far
            continue
        _make_up(store, rule, size, t, memory)
        for o in range(size):
            c, a = np.uint64(first + o), _at(o)
            params[c], state[LAG, c] = blocks[_in(PARAM, a)], blocks[_in(LAG, a)]
            store.seen[c] = 0
    return odd


@helper()
def _fetch_columns(rows, order, position, memory):
    """Ask for what is known of the columns of a row that is visited soon; marks lie beside it."""
    n_visited = order.shape[0] if order.shape[0] > 0 else rows.indptr.shape[0] - 1
    if position + COLUMNS_AHEAD < n_visited:
        begin, end = entries(rows, row_at(order, position + COLUMNS_AHEAD))
        for k in range(begin, end):
            c = column_of(rows, k)
            prefetch_column(memory.state, c)
            prefetch_column(memory.params, c)


@helper()
def _at(o):
    """Return where entry o of the row stands in the first line of its block."""
    return np.uint64(o // LANES * (N_LINES * LANES) + o % LANES)


@helper()
def _in(line, at):
    """Return its place in another line."""
    return at + np.uint64(line * LANES)


@helper()
def _read(rows, i, t, store, memory):
    """Read what is known of a row's columns, and how many steps they have skipped."""
    params, state, blocks = memory.params, memory.state, memory.scratch.blocks
    carries = store.skipped.carries
    begin, end = entries(rows, i)
    now = carries[np.uint64(t)]
    for k in range(begin, end):
        c, x = entry(rows, i, k)
        a, since = _at(k - begin), np.uint64(store.seen[c])
        store.seen[c] = t + 1
        blocks[_in(VALUE, a)], blocks[_in(PARAM, a)] = x, params[c]
        blocks[_in(LAG, a)], blocks[_in(SPREAD, a)] = state[LAG, c], state[SPREAD, c]
        blocks[_in(SQUARES, a)], blocks[_in(LARGEST, a)] = state[SQUARES, c], state[LARGEST, c]
        blocks[_in(PLACE, a)], blocks[_in(ROOT, a)] = state[PLACE, c], state[ROOT, c]
        blocks[_in(LAPSE, a)] = t - np.int64(since)
        blocks[_in(CARRY, a)] = now - carries[since]
    for o in range(end - begin, (end - begin + LANES - 1) // LANES * LANES):
        for line in (LAG, PARAM, VALUE, LAPSE, CARRY):  # what fades on would become subnormal
            blocks[_in(line, _at(o))] = 0.0


@helper()
def _make_up(store, rule, n, t, memory):
    """Make up for the steps that a row's columns have skipped; return the change of the penalty."""
    blocks, change = memory.scratch.blocks, 0.0
    common = optimizers.common_speed(rule.optimizer, memory.state)
    for first in range(0, n, LANES):
        known = table_in(blocks, first * N_LINES, N_LINES, LANES)
        if _lay_times(store.skipped, rule, common, known) > 0:
            _lay_long_times(store.skipped, rule, (first, n), t, known)
        for lane in range(LANES):
            o = np.uint64(lane)
            before, slot = known[PARAM, o], optimizers.recall(rule.optimizer, known, o)
            own = optimizers.SkippedSteps(1, known[TIME, o], 0.0, known[CARRY, o])
            after, slot = optimizers.catch_up(rule.optimizer, rule.penalty, before, slot, own, 0)
            known[PARAM, o] = after
            optimizers.keep(rule.optimizer, known, o, slot)
            change += penalties.value(rule.penalty, after, 0)
            change -= penalties.value(rule.penalty, before, 0)
    return change


@helper()
def _lay_times(skipped, rule, common, known):
    """Write the penalty's time of a block's skipped steps, all of which are alike, by their number.

    Returns whether some are to be written by ``_lay_long_times``: a number above 0.
    """
    times, n_long = line_in(skipped.times, 4, 4), 0.0
    first, second, third, fourth = times[0], times[1], times[2], times[3]
    for lane in range(LANES):
        o = np.uint64(lane)
        q = common * speed_of(rule.optimizer, optimizers.recall(rule.optimizer, known, o))
        # what never moved is fastest, and stays zero
        n_long += (1.0 if q > skipped.fastest else 0.0) * abs(known[PARAM, o])
        of_step = q * (first + q * (second + q * (third + q * fourth)))
        known[SPEED, o], known[TIME, o] = q, of_step * known[LAPSE, o]
    return n_long if skipped.is_even else 1.0


@helper()
def _lay_long_times(skipped, rule, span, t, known):
    """Do so one after the other: for lengths that have no short series, and such as differ."""
    times = skipped.times
    for number in range(min(LANES, span[1] - span[0])):
        o = np.uint64(number)
        q, since = known[SPEED, o], t - np.int64(known[LAPSE, o])
        first, second = times[t, 0] - times[since, 0], times[t, 1] - times[since, 1]
        third, fourth = times[t, 2] - times[since, 2], times[t, 3] - times[since, 3]
        if not skipped.is_even:
            known[TIME, o] = q * (first + q * (second + q * (third + q * fourth)))
        if q > skipped.fastest and known[PARAM, o] != 0:
            known[TIME, o] = time_of_steps(rule.penalty, skipped, since, t, q)


@helper()
def _write(rows, i, memory):
    """Write it back."""
    params, state, blocks = memory.params, memory.state, memory.scratch.blocks
    begin, end = entries(rows, i)
    for k in range(begin, end):
        c, a = column_of(rows, k), _at(k - begin)
        params[c] = blocks[_in(PARAM, a)]
        state[LAG, c], state[SPREAD, c] = blocks[_in(LAG, a)], blocks[_in(SPREAD, a)]
        state[SQUARES, c], state[LARGEST, c] = blocks[_in(SQUARES, a)], blocks[_in(LARGEST, a)]
        state[PLACE, c], state[ROOT, c] = blocks[_in(PLACE, a)], blocks[_in(ROOT, a)]


@helper()
def _look_at_columns(rule, n, memory):
    """Take a row's values into what is known of columns; return their squares in units of s."""
    blocks, size, n_grown = memory.scratch.blocks, 0.0, 0.0
    for first in range(0, n, LANES):
        for lane in range(LANES):
            a = np.uint64(first * N_LINES + lane)
            x, largest, spread = (
                blocks[_in(VALUE, a)],
                blocks[_in(LARGEST, a)],
                blocks[_in(SPREAD, a)],
            )
            number = blocks[_in(PLACE, a)] + (1.0 if x != 0 else 0.0)
            now, after = scale_after(x, x * x, number, largest, spread)
            after = after if x != 0 else spread
            blocks[_in(PLACE, a)], blocks[_in(SPREAD, a)] = number, after
            n_grown += 1.0 if now > largest else 0.0
            size += x * x / after if after > 0 else 0.0
    if n_grown > 0:
        for o in range(n):
            _grow(rule, _at(o), memory)
    return size


@helper()
def _grow(rule, a, memory):
    """Let a column's largest value grow, and shrink its coefficient, as ``rate_free`` has it."""
    blocks = memory.scratch.blocks
    largest, now = blocks[_in(LARGEST, a)], abs(blocks[_in(VALUE, a)])
    if now > largest:
        blocks[_in(LARGEST, a)] = now
        if largest > 0:
            factor, param = math.sqrt(largest / now), blocks[_in(PARAM, a)]
            blocks[_in(PARAM, a)] = factor * param
            blocks[_in(LAG, a)] *= factor
            memory.sums[COST, 0] -= penalties.value(rule.penalty, param, 0)
            memory.sums[COST, 0] += penalties.value(rule.penalty, factor * param, 0)


@helper()
def _dot(n, memory):
    """Return x w."""
    blocks, total = memory.scratch.blocks, 0.0
    for first in range(0, n, LANES):
        for lane in range(LANES):
            a = np.uint64(first * N_LINES + lane)
            total += blocks[_in(VALUE, a)] * blocks[_in(PARAM, a)]
    return total


@helper()
def _adapt(rule, n, share, memory):
    """Take the row's gradient into the sums of squares; find how long its step is."""
    sums, delta, blocks = memory.sums, np.float64(memory.margin[0]), memory.scratch.blocks
    step_coefs = share.step_coefs
    own = own_rate(step_coefs, memory.state, memory.params.shape[0] - 1)
    unit, loss = unit_of(rule, share, memory, 0)
    inverse, fall = 1.0 / unit if unit > 0 else 0.0, 0.0
    for first in range(0, n, LANES):
        known = table_in(blocks, first * N_LINES, N_LINES, LANES)
        for lane in range(LANES):
            o = np.uint64(lane)
            fall += add_square(known, o, delta * known[VALUE, o], inverse)
    if rule.fit_intercept:
        fall += add_square_of_intercept(rule, memory, 0, cast(inverse, own))
    sums[STEP_SIZE, 0] = shortened(own * fall, loss) if unit > 0 else 0.0
    return own, step_coefs[1], step_coefs[2], step_coefs[3]


@helper()
def _step(rule, n, own_coefs, memory):
    """Take the row's step; return what it changes in the penalty."""
    step, shares = memory.sums[STEP_SIZE, 0] * np.float64(memory.margin[0]), 0.0
    for first in range(0, n, LANES):
        known = table_in(memory.scratch.blocks, first * N_LINES, N_LINES, LANES)
        for lane in range(LANES):
            o = np.uint64(lane)
            before, g = known[PARAM, o], step * known[VALUE, o]
            after, _ = optimizers.move(rule.optimizer, rule.penalty, own_coefs, before, g, known, o)
            known[PARAM, o] = after
            more = penalties.value(rule.penalty, after, 0)
            more -= penalties.value(rule.penalty, before, 0)
            shares += more if first + lane < n else 0.0
    return shares
