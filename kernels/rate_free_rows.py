"""Steps without a learning rate on single sparse rows, for a model with one output.

The steps are those of ``rate_free``, up to rounding; entry j of a gradient is delta x_j, so that
none is added up. What is known of the columns of a row lies at random places. It is read once, into
lines of numbers side by side, on which all roots and quotients are vector code, and written back
once. A row of more than ``LONGEST`` entries is read and written in each of the three passes: the
last one needs to know how much the whole step promises.
"""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels import losses, optimizers, penalties
from fastgd.kernels._hook import cast
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels._views import table_in
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
    LANES,
    Batch,
    begin_step,
    cost_after,
    cost_of_all,
    fetch_columns,
    finish,
    made_up,
    ready_row,
)

N_SLOTS = ROOT + 1
LONGEST = (
    240  # entries of a row that are read once; lines of a power of two would share places in L1
)
AHEAD = 3
PARAM, VALUE = N_SLOTS, N_SLOTS + 1  # lines of a block after those of the state


class RowScratch(NamedTuple):
    """What is known of a block of a row's columns.

    lines : ((VALUE + 1) LONGEST,), float64: the slots of the state, the coefficients, and x
    """

    lines: np.ndarray

    @classmethod
    def new(cls):
        """Plain numpy: return room for a block."""
        return cls(np.zeros((VALUE + 1) * LONGEST))


class Entries(NamedTuple):
    """Where a row's entries begin and end, and whether they are more than a block."""

    begin: int
    end: int
    is_long: bool


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
    store : Lazy, changed in place

    Notes
    -----
    Floor: one read of data and indices; for each non-zero three random places (the coefficient,
    its numbers side by side, and when it was seen), each read and written; four roots, six
    quotients and an exponential of float64, which are vector code. For each row a chain of
    operations that wait for each other: x w, the loss, what the step promises, an exponential.
    """
    params, state, average = memory.params, memory.state, memory.average
    sums, last = memory.sums, params.shape[0] - 1
    pull, weighted = losses.intercept_gradient(rule.loss), samples.weight.shape[0] > 0
    sums[COST, 0] = cost_of_all(rule, params, 0)
    for t in range(plan.step_coefficients.shape[0]):
        i = row_at(samples.order, t)
        fetch(rows, samples.order, t)
        fetch_columns(store, rows, samples.order, t, params, state)
        step_coefs = optimizers.coefs_of_step(plan.step_coefficients, t)
        ready_row(store, rule, rows, i, t, params, state)
        weight = samples.weight[i] if weighted else cast(1.0, step_coefs[0])
        begin, end = entries(rows, i)
        span = Entries(begin, end, end - begin > LONGEST)
        raw, size = _look_at_row(rule, rows, span, weight != 0, memory)
        if weight != 0:
            count_row(rule, samples, i, size, memory)
        raw += params[last]
        sums[COST, 0] += made_up(store, 0)
        sums[PENALTY, 0] += sums[COST, 0] + pull * params[last]
        sums[EARLIER, 0] = sums[LOSS, 0]
        sums[LOSS, 0] = weight * losses.value(rule.loss, samples.y[i], raw)
        delta = 1.0 / plan.unit * weight * losses.slope(rule.loss, samples.y[i], raw)
        sums[TOTAL, 0], memory.margin[0] = delta, delta
        share = Share(step_coefs, Batch(samples.order, t, t + 1), plan.unit)
        own_coefs = _adapt(rule, rows, span, share, memory)
        sums[LOSS, 0] += sums[EARLIER, 0]
        _, left = begin_step(store, rule, step_coefs, params, average)
        shares = _step_of_row(rule, rows, span, own_coefs, memory)
        sums[COST, 0] = cost_after(store, left * sums[COST, 0], shares)
        if rule.fit_intercept:
            step_intercepts(rule, own_coefs, memory)
    finish(store, rule, plan.step_coefficients.shape[0], params, state, average)


@helper()
def _in(line, o):
    """Return the place of entry o of a block in a line."""
    return np.uint64(line * LONGEST) + np.uint64(o)


@helper()
def _read(rows, first, size, memory):
    """Read what is known of the columns of a block of entries; lanes beyond them have x = 0."""
    params, state, lines = memory.params, memory.state, memory.scratch.lines
    for o in range(size):
        c, x = entry(rows, 0, first + o)
        lines[_in(VALUE, o)], lines[_in(PARAM, o)] = x, params[c]
        lines[_in(LAG, o)], lines[_in(SPREAD, o)] = state[LAG, c], state[SPREAD, c]
        lines[_in(SQUARES, o)], lines[_in(LARGEST, o)] = state[SQUARES, c], state[LARGEST, c]
        lines[_in(PLACE, o)], lines[_in(ROOT, o)] = state[PLACE, c], state[ROOT, c]
    for o in range(size, (size + LANES - 1) // LANES * LANES):
        lines[_in(VALUE, o)] = 0.0


@helper()
def _write(rows, first, size, memory):
    """Write it back."""
    params, state, lines = memory.params, memory.state, memory.scratch.lines
    for o in range(size):
        c = column_of(rows, first + o)
        params[c] = lines[_in(PARAM, o)]
        state[LAG, c], state[SPREAD, c] = lines[_in(LAG, o)], lines[_in(SPREAD, o)]
        state[SQUARES, c], state[LARGEST, c] = lines[_in(SQUARES, o)], lines[_in(LARGEST, o)]
        state[PLACE, c], state[ROOT, c] = lines[_in(PLACE, o)], lines[_in(ROOT, o)]


@helper()
def _look_at_row(rule, rows, span, counts, memory):
    """Take a row into what is known of its columns, if it counts.

    Returns x w, with coefficients of columns whose largest value has grown, and the row's size.
    """
    raw, size = 0.0, 1.0
    for first in range(span.begin, span.end, LONGEST):
        n = min(LONGEST, span.end - first)
        _read(rows, first, n, memory)
        if counts:
            size += _look_at_block(rule, n, memory)
        raw += _dot_of_block(n, memory)
        if span.is_long:
            _write(rows, first, n, memory)
    return raw, size


@helper()
def _look_at_block(rule, n, memory):
    """Take a block of values into what is known of columns; return their squares in units of s."""
    lines, size, n_grown = memory.scratch.lines, 0.0, 0.0
    for first in range(0, n, LANES):
        for lane in range(LANES):
            o = first + lane
            x, largest, spread = lines[_in(VALUE, o)], lines[_in(LARGEST, o)], lines[_in(SPREAD, o)]
            number = lines[_in(PLACE, o)] + (1.0 if x != 0 else 0.0)
            now, after = scale_after(x, x * x, number, largest, spread)
            after = after if x != 0 else spread
            lines[_in(PLACE, o)], lines[_in(SPREAD, o)] = number, after
            n_grown += 1.0 if now > largest else 0.0
            size += x * x / after if after > 0 else 0.0
    if n_grown > 0:
        for o in range(n):
            _grow(rule, o, memory)
    return size


@helper()
def _grow(rule, o, memory):
    """Let a column's largest value grow, and shrink its coefficient, as ``rate_free`` has it."""
    lines = memory.scratch.lines
    largest, now = lines[_in(LARGEST, o)], abs(lines[_in(VALUE, o)])
    if now > largest:
        lines[_in(LARGEST, o)] = now
        if largest > 0:
            factor, param = math.sqrt(largest / now), lines[_in(PARAM, o)]
            lines[_in(PARAM, o)] = factor * param
            lines[_in(LAG, o)] *= factor
            memory.sums[COST, 0] -= penalties.value(rule.penalty, param, 0)
            memory.sums[COST, 0] += penalties.value(rule.penalty, factor * param, 0)


@helper()
def _dot_of_block(n, memory):
    lines, total = memory.scratch.lines, 0.0
    for first in range(0, n, LANES):
        for lane in range(LANES):
            total += lines[_in(VALUE, first + lane)] * lines[_in(PARAM, first + lane)]
    return total


@helper()
def _adapt(rule, rows, span, share, memory):
    """Take the row's gradient into the sums of squares; find how long its step is."""
    state, sums, delta = memory.state, memory.sums, np.float64(memory.margin[0])
    last, step_coefs = memory.params.shape[0] - 1, share.step_coefs
    own = own_rate(step_coefs, state, last)
    unit, loss = unit_of(rule, share, memory, 0)
    inverse, fall = 1.0 / unit if unit > 0 else 0.0, 0.0
    for first in range(span.begin, span.end, LONGEST):
        n = min(LONGEST, span.end - first)
        if span.is_long:
            _read(rows, first, n, memory)
        fall += _squares_of_block(n, delta, inverse, memory)
        if span.is_long:
            _write(rows, first, n, memory)
    if rule.fit_intercept:
        fall += add_square_of_intercept(rule, memory, 0, cast(inverse, own))
    sums[STEP_SIZE, 0] = shortened(own * fall, loss) if unit > 0 else 0.0
    return own, step_coefs[1], step_coefs[2], step_coefs[3]


@helper()
def _squares_of_block(n, delta, inverse, memory):
    """Do so with a block of entries; return the sum of  g^2 / (s sqrt(G))."""
    lines, fall = memory.scratch.lines, 0.0
    known = table_in(lines, 0, N_SLOTS, LONGEST)
    for first in range(0, n, LANES):
        for lane in range(LANES):
            o = np.uint64(first + lane)
            fall += add_square(known, o, delta * lines[_in(VALUE, o)], inverse)
    return fall


@helper()
def _step_of_row(rule, rows, span, own_coefs, memory):
    """Take the row's step; return what it changes in the penalty."""
    step, shares = memory.sums[STEP_SIZE, 0] * np.float64(memory.margin[0]), 0.0
    for first in range(span.begin, span.end, LONGEST):
        n = min(LONGEST, span.end - first)
        if span.is_long:
            _read(rows, first, n, memory)
        shares += _step_of_block(rule, n, step, own_coefs, memory)
        _write(rows, first, n, memory)
    return shares


@helper()
def _step_of_block(rule, n, step, own_coefs, memory):
    """Step the coefficients of a block of entries."""
    lines, shares = memory.scratch.lines, 0.0
    known = table_in(lines, 0, N_SLOTS, LONGEST)
    for first in range(0, n, LANES):
        for lane in range(LANES):
            o = np.uint64(first + lane)
            before, g = lines[_in(PARAM, o)], step * lines[_in(VALUE, o)]
            after, _ = optimizers.move(rule.optimizer, rule.penalty, own_coefs, before, g, known, o)
            lines[_in(PARAM, o)] = after
            more = penalties.value(rule.penalty, after, 0)
            more -= penalties.value(rule.penalty, before, 0)
            shares += more if o < n else 0.0
    return shares
