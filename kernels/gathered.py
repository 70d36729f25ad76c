"""Steps on sparse rows by optimizers with a rate of each coefficient's own, for one output.

The steps are those of ``sgd`` with a ``Lazy`` store, up to rounding. What is known of the columns
of a batch lies at random places: the coefficient, its numbers in the optimizer's state, and when it
was seen. It is read once a batch, into lines of numbers side by side, on which the skipped steps
are made up for, the gradient is added up and the step is taken, and written back once. All roots
and quotients are vector code. Lanes beyond the last column hold zeros, and nothing is read of them.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import losses, optimizers, penalties
from fastgd.kernels._hook import cast, implement
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels._prefetch import prefetch_column
from fastgd.kernels._views import line_in, table_in
from fastgd.kernels.outputs import LOSS, PENALTY, intercept_change, lay_targets, slopes_of_one
from fastgd.kernels.rows import column_of, entries, entry, fetch, row_at
from fastgd.kernels.stores import LANES, Batch, OwnLengths, cost_of_all, speed_of, time_of_steps

MOST_SLOTS = 4
PARAM, GRADIENT, VALUE, BEFORE, CARRY, LAPSE = range(MOST_SLOTS, MOST_SLOTS + 6)  # lines
TIME = GRADIENT  # the gradient is added up once the skipped steps are made up for
N_LINES = LAPSE + 4
BLOCK = N_LINES * LANES
LINE = 64  # bytes of the cache's
COLUMNS_AHEAD = 3  # rows from now, of the one whose columns are fetched, at least
LARGEST_SPEED = 1e30  # a number in float32, too
LONGEST_TIME = 1e30  # in float32, too; nothing is left long before


class Gathered(NamedTuple):
    """How coefficients are kept meanwhile.

    records : (d width,), of X's dtype: what is known of a column, side by side, so that it takes
        one place in memory: its numbers in the state, the coefficient last but one, its mark last
    marks : the same memory as integers of that size: how many steps a column has taken; of those
        in the batch at hand ~place, see ``GatheredScratch``
    skipped : OwnLengths, how skipped steps are made up for
    is_even : bool, whether all steps have one coefficient: then sums go by the number of steps
    fastest : float, the largest speed for which the series that is used is exact to rounding
    slots : tuple of int, the slots of the state: their number is known to the compiler
    """

    records: np.ndarray
    marks: np.ndarray
    skipped: OwnLengths
    is_even: bool
    fastest: float
    slots: tuple

    @staticmethod
    def records_of(state):
        """Plain numpy: return the arrays for a state of shape (n_slots, d + 1)."""
        n_columns, size = state.shape[1] - 1, state.dtype.itemsize
        n_words = n_columns * width_of(range(state.shape[0]))
        room = np.zeros(n_words * size + LINE, np.uint8)
        start = -room.ctypes.data % LINE  # so that no record lies in two lines of the cache
        records = room[start : start + n_words * size].view(state.dtype)
        return records, records.view(f"i{size}")


class GatheredScratch(NamedTuple):
    """What is known of a batch's columns and rows.

    target, weight : (batch_size,), of X's dtype
    table : (n_blocks, N_LINES, LANES), flat, of X's dtype: of each LANES columns the slots of the
        state, the coefficients, their gradient; the lines beyond serve while they are brought
        up to date
    columns, since : (n_blocks LANES,), int32: their numbers, and how many steps they have taken
    places : (n_entries,), int32, of each of the batch's entries in the first line of its block
    """

    target: np.ndarray
    weight: np.ndarray
    table: np.ndarray
    columns: np.ndarray
    since: np.ndarray
    places: np.ndarray

    @classmethod
    def of(cls, target, weight, n_entries, n_columns):
        """Plain numpy: return room for batches of so many entries, in so many columns.

        ``n_columns`` is at least the entries of the longest row: a batch of one row has a place
        for each of them.
        """
        n_blocks = -(-max(min(n_entries, n_columns), 1) // LANES) + 1
        numbers = np.zeros((2, n_blocks * LANES), np.int32)
        table = np.zeros(n_blocks * BLOCK, target.dtype)
        return cls(target, weight, table, *numbers, np.zeros(n_entries, np.int32))


@kernel()
def gathered_batches(rows, samples, rule, plan, memory, store):
    """Take the steps of a plan.

    Parameters
    ----------
    rows : CSR
    samples : Samples
    rule : Rule, its optimizer ``side_by_side`` and of its ``OWN_LENGTH``, without a transform
    plan : Plan, none of its steps averaged
    memory : Memory, its scratch ``GatheredScratch``, changed in place
    store : Gathered, changed in place

    Notes
    -----
    Floor: one read of data and indices; for each column of a batch one random place, read and
    written; two roots, two quotients and an exponential, which are vector code.
    """
    params, state, sums = memory.params, memory.state, memory.sums
    last, pull = params.shape[0] - 1, losses.intercept_gradient(rule.loss)
    cost = cost_of_all(rule, params, 0)
    _begin(store, memory)
    for t in range(plan.step_coefficients.shape[0]):
        start = t * plan.batch_size
        batch = Batch(samples.order, start, min(start + plan.batch_size, plan.n_visited))
        step_coefs = optimizers.coefs_of_step(plan.step_coefficients, t)
        if batch.stop - batch.start == 1:
            n = _list_row(rows, batch, store, memory)
        else:
            n = _list_columns(rows, batch, store, memory)
        for first in range(0, n, LANES):  # apart: what is written singly cannot be read in
            _read_lapses(store, rule, (first, n), t, memory)  # lines before the cache has it
        for first in range(0, n, LANES):
            cost += _bring(store, rule, (first, n), t, memory)
        loss, total = _evaluate(rows, samples, rule, step_coefs, batch, (plan.unit, n), memory)
        sums[LOSS, 0] += loss
        sums[PENALTY, 0] += (batch.stop - start) * (cost + pull * params[last])
        for first in range(0, n, LANES):
            cost += _step(rule, step_coefs, (first, n), memory)
        for first in range(0, n, LANES):
            _write(store, (first, n), t, memory)
        if rule.fit_intercept:
            g = cast(total + pull, step_coefs[0])
            params[last] += intercept_change(rule, step_coefs, g, state, last)
    _finish(store, rule, plan.step_coefficients.shape[0], memory)


def width_of(slots):
    """Return the numbers of a record: those of the state, two more, and none up to a power of 2."""
    return 2 if len(slots) == 0 else (4 if len(slots) <= 2 else 8)


@implement(width_of)
def _width_of(slots):
    width = width_of(tuple(slots))
    return lambda slots: width


@helper()
def _place(o):
    """Return where column o stands in the first line of its block."""
    return o // LANES * BLOCK + o % LANES


@helper()
def _in(line, place):
    """Return its place in another line."""
    return np.uint64(place) + np.uint64(line * LANES)


@helper()
def _begin(store, memory):
    """Copy what is known of all columns, which have taken no steps."""
    params, state, records = memory.params, memory.state, store.records
    width = width_of(store.slots)
    for number in range(params.shape[0] - 1):
        c, first = np.uint64(number), np.uint64(number * width)
        for slot in range(len(store.slots)):
            records[first + np.uint64(slot)] = state[slot, c]
        records[first + np.uint64(width - 2)] = params[c]
        store.marks[first + np.uint64(width - 1)] = 0


@helper()
def _list_columns(rows, batch, store, memory):
    """Read what is known of a batch's columns, and note the place of each of its entries.

    Returns the number of columns.
    """
    marks, scratch, n, entry_number = store.marks, memory.scratch, 0, 0
    width, size = np.uint64(width_of(store.slots)), batch.stop - batch.start
    for position in range(batch.start, batch.stop):
        i = row_at(batch.order, position)
        fetch(rows, batch.order, position + size - 1)
        _fetch_columns(rows, batch.order, position + max(size, COLUMNS_AHEAD), store)
        begin, end = entries(rows, i)
        for k in range(begin, end):
            j = column_of(rows, k)
            at = width * j + (width - np.uint64(1))
            mark = np.int64(marks[at])
            _copy(store, j, _place(n), scratch)
            # written in any case, and counted if it is new: whether it is nobody can foresee, and
            # arithmetic is no branch
            is_old, fresh = np.int64(mark < 0), _place(n)
            known = fresh + is_old * (~mark - fresh)
            scratch.columns[np.uint64(n)] = j
            scratch.since[np.uint64(n)] = mark
            marks[at] = ~known
            scratch.places[np.uint64(entry_number)] = known
            n += 1 - is_old
            entry_number += 1
    return n


@helper()
def _copy(store, j, place, scratch):
    """Copy what is known of column j to its place in the table."""
    records, width = store.records, np.uint64(width_of(store.slots))
    for slot in range(len(store.slots)):
        scratch.table[_in(slot, place)] = records[width * j + np.uint64(slot)]
    scratch.table[_in(PARAM, place)] = records[width * j + (width - np.uint64(2))]


@helper()
def _list_row(rows, batch, store, memory):
    """Do so of a batch of one row, whose columns differ: entries stand in the columns' places."""
    scratch, width = memory.scratch, np.uint64(width_of(store.slots))
    i = row_at(batch.order, batch.start)
    fetch(rows, batch.order, batch.start)
    _fetch_columns(rows, batch.order, batch.start + COLUMNS_AHEAD, store)
    begin, end = entries(rows, i)
    n = end - begin
    for k in range(n):
        j, x = entry(rows, i, begin + k)
        scratch.columns[np.uint64(k)] = j
        scratch.since[np.uint64(k)] = store.marks[width * j + (width - np.uint64(1))]
        scratch.table[_in(VALUE, _place(k))] = x
        _copy(store, j, _place(k), scratch)
    for k in range(n, -(-n // LANES) * LANES):
        scratch.table[_in(VALUE, _place(k))] = 0
    return n


@helper()
def _fetch_columns(rows, order, position, store):
    """Ask for what is known of the columns of a row that is visited soon."""
    n_visited = order.shape[0] if order.shape[0] > 0 else rows.indptr.shape[0] - 1
    width = np.uint64(width_of(store.slots))
    if position < n_visited:
        begin, end = entries(rows, row_at(order, position))
        for k in range(begin, end):
            prefetch_column(store.records, width * column_of(rows, k))


@helper()
def _bring(store, rule, span, t, memory):
    """Bring a block of columns to where they are after t steps; return the penalty's change."""
    size = min(LANES, span[1] - span[0])
    known = table_in(memory.scratch.table, span[0] * N_LINES, N_LINES, LANES)
    common = optimizers.common_speed(rule.optimizer, memory.state)
    if store.is_even:
        n_fast = _time_of_even_steps(store, rule, common, known)
    else:
        n_fast = _time_of_differences(store, rule, common, known)
    if n_fast > 0:
        _time_of_fast(store, rule, common, (span[0], size), t, memory, known)
    return _make_up(rule, size, known)


@helper()
def _read_lapses(store, rule, span, t, memory):
    """Write what a block of columns has skipped: differences of sums, or the number of steps."""
    size, skipped, since = min(LANES, span[1] - span[0]), store.skipped, memory.scratch.since
    known = table_in(memory.scratch.table, span[0] * N_LINES, N_LINES, LANES)
    for o in range(size, LANES):  # what a failed training left there must not come back
        for slot in range(len(store.slots)):
            known[slot, np.uint64(o)] = 0
        known[PARAM, np.uint64(o)] = 0
    if optimizers.decays(rule.optimizer):
        for o in range(size):
            then = np.uint64(since[np.uint64(span[0] + o)])
            known[CARRY, np.uint64(o)] = skipped.carries[np.uint64(t)] - skipped.carries[then]
    if store.is_even:
        for lane in range(LANES):
            known[LAPSE, np.uint64(lane)] = t - np.int64(since[np.uint64(span[0] + lane)])
        return
    times = line_in(skipped.times, 0, 4 * skipped.carries.shape[0])
    now, lapses = np.uint64(4 * t), line_in(known, LAPSE * LANES, 4 * LANES)
    for o in range(size):
        to, then = np.uint64(4 * o), np.uint64(4) * np.uint64(since[np.uint64(span[0] + o)])
        for k in range(4):
            p = np.uint64(k)
            lapses[to + p] = times[now + p] - times[then + p]


@helper()
def _speed(rule, common, known, o):
    """Return a coefficient's speed, in the table's precision."""
    q = cast(common, known[PARAM, o]) * optimizers.penalty_rate_at(rule.optimizer, known, o)
    return min(cast(q, known[PARAM, o]), cast(LARGEST_SPEED, known[PARAM, o]))


@helper()
def _time_of_even_steps(store, rule, common, known):
    """Write the time of a block's skipped steps, by their number; return if some are too fast.

    The time of a step of length h is -log(1 - h l2) / l2 = h (1 + h l2 / 2 + (h l2)^2 / 3 + ...);
    eight terms are enough for any h l2 that ``fastest`` allows.
    """
    like = known[PARAM, np.uint64(0)]
    of_step, zero = cast(store.skipped.step_coefficients[0], like), cast(0.0, like)
    l2, fastest, n_fast = cast(rule.penalty.l2, like), cast(store.fastest, like), zero
    one, two, three = cast(1.0, like), cast(1.0 / 2.0, like), cast(1.0 / 3.0, like)
    four, five, six = cast(1.0 / 4.0, like), cast(1.0 / 5.0, like), cast(1.0 / 6.0, like)
    seven, eight = cast(1.0 / 7.0, like), cast(1.0 / 8.0, like)
    for lane in range(LANES):
        o = np.uint64(lane)
        q, before = _speed(rule, common, known, o), known[PARAM, o]
        # what never moved is fastest, and stays zero
        n_fast += abs(before) if q > fastest else zero
        length = of_step * min(q, fastest)
        x = l2 * length
        rest = five + x * (six + x * (seven + x * eight))
        known[BEFORE, o] = before
        known[TIME, o] = (
            known[LAPSE, o] * length * (one + x * (two + x * (three + x * (four + x * rest))))
        )
    return n_fast


@helper()
def _time_of_differences(store, rule, common, known):
    """Do so by the differences of sums."""
    lapses, like = line_in(known, LAPSE * LANES, 4 * LANES), known[PARAM, np.uint64(0)]
    fastest, n_fast, zero = cast(store.fastest, like), cast(0.0, like), cast(0.0, like)
    for lane in range(LANES):
        o, at = np.uint64(lane), np.uint64(4 * lane)
        q, before = _speed(rule, common, known, o), known[PARAM, o]
        n_fast += abs(before) if q > fastest else zero
        q = min(q, fastest)
        first, second = lapses[at], lapses[at + np.uint64(1)]
        third, fourth = lapses[at + np.uint64(2)], lapses[at + np.uint64(3)]
        known[BEFORE, o] = before
        known[TIME, o] = q * (first + q * (second + q * (third + q * fourth)))
    return n_fast


@helper()
def _time_of_fast(store, rule, common, span, t, memory, known):
    """Write the time of those whose steps are too long for the series."""
    for number in range(span[1]):
        o, since = np.uint64(number), memory.scratch.since[np.uint64(span[0] + number)]
        if _speed(rule, common, known, o) > store.fastest and known[PARAM, o] != 0:
            q = common * speed_of(rule.optimizer, optimizers.recall(rule.optimizer, known, o))
            time = time_of_steps(rule.penalty, store.skipped, np.int64(since), t, q)
            known[TIME, o] = min(time, LONGEST_TIME)


@helper()
def _make_up(rule, size, known):
    """Write a block's coefficients after their skipped steps, and gradients of zero.

    Returns the change of the penalty.
    """
    zero = cast(0.0, known[PARAM, np.uint64(0)])
    change = zero
    for lane in range(LANES):
        o = np.uint64(lane)
        before, slot = known[BEFORE, o], optimizers.recall(rule.optimizer, known, o)
        own = optimizers.SkippedSteps(1, known[TIME, o], zero, known[CARRY, o])
        after, _ = optimizers.catch_up(rule.optimizer, rule.penalty, before, slot, own, 0)
        after = cast(after, before)
        known[PARAM, o], known[GRADIENT, o] = after, zero
        more = penalties.value(rule.penalty, after, 0) - penalties.value(rule.penalty, before, 0)
        change += cast(more, before) if lane < size else zero
    return np.float64(change)


@helper()
def _evaluate(rows, samples, rule, step_coefs, batch, how, memory):
    """Add up a batch's gradient; return its weighted loss and the sum of its slopes.

    ``how`` is the unit of weights and the number of columns.
    """
    size, slopes = batch.stop - batch.start, memory.margin
    if size == 1:
        _margin_of_row(how[1], memory)
    else:
        _margins(rows, batch, memory)
    lay_targets(samples, batch, memory.scratch)
    of_batch = 1.0 / (size * how[0])
    loss, total = slopes_of_one(rule, step_coefs, rows, batch, of_batch, 1.0, slopes, memory)
    if size == 1:
        _gradient_of_row(how[1], memory)
    else:
        _accumulate(rows, batch, memory)
    return loss, total


@helper()
def _margin_of_row(n, memory):
    """Write x w of a batch of one row."""
    table = memory.scratch.table
    total = cast(0.0, table[0])
    for first in range(0, n, LANES):
        known = table_in(table, first * N_LINES, N_LINES, LANES)
        for lane in range(LANES):
            total += known[VALUE, np.uint64(lane)] * known[PARAM, np.uint64(lane)]
    memory.margin[0] = total


@helper()
def _gradient_of_row(n, memory):
    """Write its gradient."""
    slope = memory.margin[0]
    for first in range(0, n, LANES):
        known = table_in(memory.scratch.table, first * N_LINES, N_LINES, LANES)
        for lane in range(LANES):
            known[GRADIENT, np.uint64(lane)] = slope * known[VALUE, np.uint64(lane)]


@helper()
def _margins(rows, batch, memory):
    """Write X_b w."""
    table, places, entry_number = memory.scratch.table, memory.scratch.places, 0
    for position in range(batch.start, batch.stop):
        begin, end = entries(rows, row_at(batch.order, position))
        total = cast(0.0, table[0])
        for k in range(end - begin):
            x = rows.data[np.uint64(begin + k)]
            total += x * table[_in(PARAM, places[np.uint64(entry_number + k)])]
        entry_number += end - begin
        memory.margin[position - batch.start] = total


@helper()
def _accumulate(rows, batch, memory):
    """Add X_b' slopes to the gradient."""
    table, places, entry_number = memory.scratch.table, memory.scratch.places, 0
    for position in range(batch.start, batch.stop):
        begin, end = entries(rows, row_at(batch.order, position))
        slope = memory.margin[position - batch.start]
        for k in range(end - begin):
            x = rows.data[np.uint64(begin + k)]
            table[_in(GRADIENT, places[np.uint64(entry_number + k)])] += slope * x
        entry_number += end - begin


@helper()
def _step(rule, step_coefs, span, memory):
    """Take the step of a block of columns and write them back; return the penalty's change."""
    size = min(LANES, span[1] - span[0])
    known = table_in(memory.scratch.table, span[0] * N_LINES, N_LINES, LANES)
    shares = cast(0.0, step_coefs[0])
    for lane in range(LANES):
        o = np.uint64(lane)
        before, g = known[PARAM, o], known[GRADIENT, o]
        after, _ = optimizers.move(rule.optimizer, rule.penalty, step_coefs, before, g, known, o)
        known[PARAM, o] = after
        more = penalties.value(rule.penalty, after, 0) - penalties.value(rule.penalty, before, 0)
        shares += more if lane < size else cast(0.0, more)
    return np.float64(shares)


@helper()
def _write(store, span, t, memory):
    """Write a block of columns back, which have taken t + 1 steps."""
    size, records, width = min(LANES, span[1] - span[0]), store.records, width_of(store.slots)
    known = table_in(memory.scratch.table, span[0] * N_LINES, N_LINES, LANES)
    for o in range(size):
        lane = np.uint64(o)
        first = np.uint64(width) * np.uint64(memory.scratch.columns[np.uint64(span[0] + o)])
        for slot in range(len(store.slots)):
            records[first + np.uint64(slot)] = known[slot, lane]
        records[first + np.uint64(width - 2)] = known[PARAM, lane]
        store.marks[first + np.uint64(width - 1)] = t + 1


@helper()
def _finish(store, rule, t, memory):
    """Leave all coefficients as they are after t steps."""
    params, state, scratch = memory.params, memory.state, memory.scratch
    known, width = table_in(scratch.table, 0, N_LINES, LANES), np.uint64(width_of(store.slots))
    n_features = params.shape[0] - 1
    for first in range(0, n_features, LANES):
        size = min(LANES, n_features - first)
        for o in range(size):
            mark = width * np.uint64(first + o) + (width - np.uint64(1))
            scratch.since[np.uint64(o)] = store.marks[mark]
            _copy(store, np.uint64(first + o), o, scratch)
        _read_lapses(store, rule, (0, size), t, memory)
        _bring(store, rule, (0, size), t, memory)
        for o in range(size):
            c, lane = np.uint64(first + o), np.uint64(o)
            params[c] = known[PARAM, lane]
            for slot in range(len(store.slots)):
                state[slot, c] = known[slot, lane]
