"""Steps without a learning rate on a device: ``rate_free``, its loops spread over threads.

A column's rows are looked at one after the other, as on the processor, for each of them has a part
in what the next one is compared with: a thread takes a column. So a step takes as long as its rows
need one by one, however few columns there are. What all columns have a part in is added up in
their order. Everything is computed in float64, by the processor's functions. Sparse rows are listed
by columns first (``listed``).
"""

from typing import Any, NamedTuple

import numpy as np

from fastgd.kernels._hook import cast
from fastgd.kernels.cuda import memory, vectors
from fastgd.kernels.cuda._compiler import BLOCK, cuda, driver
from fastgd.kernels.cuda.listed import PLACES, Columns, has_part, sort_short
from fastgd.kernels.cuda.passes import row_at
from fastgd.kernels.cuda.steps import coefs_of
from fastgd.kernels.cuda.vectors import SHARDS, block_sum
from fastgd.kernels.optimizers._rate_free import LAG, OF_ROW, OF_TARGETS, PLACE, ROWS, SPREAD
from fastgd.kernels.outputs import CENTRE, LOSS, STEP_SIZE, TOTAL, Share
from fastgd.kernels.rate_free import (
    _look_at_entry,
    _look_at_target,
    _rise_to_means,
    _step_intercept,
    add_square,
    add_square_of_intercept,
    own_rate,
    shortened,
    unit_of,
)
from fastgd.kernels.rows import entries, entry
from fastgd.kernels.stores import Batch, count

# further rows of ``Known.sums``; of ``VALUES`` the first number
SLOPES, UNIT, AT_STAKE, VALUES = range(STEP_SIZE + 1, STEP_SIZE + 5)
N_SUMS = VALUES + 1
AS_MANY_ROWS = 2.0  # as columns are not counted from their means, whichever row it is


class Known(NamedTuple):
    """What the processor's functions are handed in place of ``sgd.Memory``.

    params, gradient : (P,)
    state : (n_slots, P)
    sums : (N_SUMS, n_outputs), float64
    sizes : (n_features,), float64: of a batch, each column's squares in units of its spread
    turned : (n_features, 2 n_outputs), float64: what each column adds to the intercepts and to
        their lags; (0, 2 n_outputs) of sparse rows
    """

    params: np.ndarray
    gradient: np.ndarray
    state: np.ndarray
    sums: np.ndarray
    sizes: np.ndarray
    turned: np.ndarray

    @staticmethod
    def turn(memory, j, output, costs, change, lag):
        memory.turned[j, output] += change
        memory.turned[j, memory.sums.shape[1] + output] += lag

    @staticmethod
    def total_slope(memory, rule, size, k):
        return memory.sums[SLOPES, k]


class KnownOfSparse(Known):
    """The same of sparse rows, whose columns have their zero at zero: intercepts stay."""

    @staticmethod
    def turn(memory, j, output, costs, change, lag):
        pass


class Adaptive(NamedTuple):
    """What a step does: as ``sgd.Rule``, without a transform."""

    loss: NamedTuple
    penalty: NamedTuple
    optimizer: NamedTuple
    fit_intercept: bool
    intercept_rate: float
    outputs: NamedTuple


@driver
def look_at_rows(rule, rows, samples, span, known):
    """Take the rows of a batch into what is known of columns, a thread for each.

    Parameters
    ----------
    rule : Adaptive
    rows : Dense
    samples : steps.Samples
    span : passes.Span
    known : Known, changed in place
    """
    turned = known.turned
    last = known.params.shape[0] - 1
    for j in range(cuda.grid(1), turned.shape[0], cuda.gridsize(1)):
        for place in range(turned.shape[1]):
            turned[j, place] = 0.0
        n_rows, size = np.float64(known.state[ROWS, last]), 0.0
        for position in range(span.start, span.stop):
            i = row_at(span.order, position)
            if has_part(samples, i):
                n_rows += 1.0
                size += _look_at_entry(rule, known, j, np.float64(rows.values[i, j]), n_rows)
        known.sizes[j] = size


@driver
def look_at_listed(rule, rows, span, listed, known):
    """Do so with sparse rows, whose entries are listed by columns; leave counts of zero.

    Parameters
    ----------
    rows : CSR
    listed : listed.Listed
    known : KnownOfSparse, changed in place
    """
    for j in range(cuda.grid(1), known.sizes.shape[0], cuda.gridsize(1)):
        first, count, size = listed.begins[j], listed.counts[j], 0.0
        listed.counts[j] = 0
        keys = listed.keys[first : first + count]
        sort_short(keys)
        for n in range(count):
            i = row_at(span.order, span.start + keys[n] // PLACES)
            begin, _ = entries(rows, i)
            _, x = entry(rows, i, begin + keys[n] % PLACES)
            size += _look_at_entry(rule, known, j, np.float64(x), AS_MANY_ROWS)
        known.sizes[j] = size


@driver
def look_at_targets(rule, samples, span, known):
    """Take the targets of a batch, and what columns add to an intercept; a thread for an output."""
    n_outputs = count(rule.outputs)
    last, first = known.params.shape[0] - 1, known.params.shape[0] - n_outputs
    for k in range(cuda.grid(1), n_outputs, cuda.gridsize(1)):
        n_rows = np.float64(known.state[ROWS, last])
        if rule.optimizer.unit == OF_TARGETS:
            for position in range(span.start, span.stop):
                i = row_at(span.order, position)
                if has_part(samples, i):
                    n_rows += 1.0
                    y = np.float64(samples.y[i, k])
                    _look_at_target(rule, known, np.uint64(first + k), y, n_rows)
        for j in range(known.turned.shape[0]):
            known.params[first + k] += known.turned[j, k]
            known.state[LAG, first + k] += known.turned[j, n_outputs + k]


@driver
def count_rows(samples, span, known):
    """Take a batch into the number of rows, and the mean number of values in one; one block."""
    scratch = cuda.shared.array(BLOCK, np.float64)
    n_rows = np.float64(0)
    for position in range(span.start + cuda.threadIdx.x, span.stop, BLOCK):
        n_rows += 1.0 if has_part(samples, row_at(span.order, position)) else 0.0
    n_rows = block_sum(scratch, n_rows)
    if cuda.threadIdx.x == 0 and n_rows > 0:
        state, last = known.state, known.params.shape[0] - 1
        before = np.float64(state[ROWS, last])
        total = n_rows + known.sums[VALUES, 0] + before * np.float64(state[SPREAD, last])
        state[SPREAD, last] = total / (before + n_rows)
        state[ROWS, last] = before + n_rows


@driver
def add_magnitudes(slopes, size, known):
    """Add up the magnitudes of a batch's slopes, a block for an output."""
    scratch = cuda.shared.array(BLOCK, np.float64)
    for k in range(cuda.blockIdx.x, known.sums.shape[1], cuda.gridDim.x):
        total = np.float64(0)
        for o in range(cuda.threadIdx.x, size, BLOCK):
            total += abs(np.float64(slopes[o, k]))
        total = block_sum(scratch, total)
        if cuda.threadIdx.x == 0:
            known.sums[SLOPES, k] = total


@driver
def centre(rule, known):
    """Take columns from their means: g_j - mean_j g_b."""
    n_outputs, params = count(rule.outputs), known.params
    first = params.shape[0] - n_outputs
    if rule.optimizer.is_centred:
        for c in range(cuda.grid(1), first, cuda.gridsize(1)):
            mean = known.state[PLACE, c - c % n_outputs]
            known.gradient[c] -= mean * known.gradient[first + c % n_outputs]


@driver
def find_units(rule, step, span, unit, known):
    """Find the units of raw predictions; remember losses and where planes are; a thread."""
    if cuda.grid(1) == 0:
        batch = Batch(span.order, span.start, span.stop)
        share, n_outputs = Share(coefs_of(step), batch, unit), count(rule.outputs)
        for k in range(n_outputs):
            found = unit_of(rule, share, known, k)
            known.sums[UNIT, k], known.sums[AT_STAKE, k] = found[0], found[1]


@driver
def remember(rule, known):
    """Remember an output's slope, and where its plane is at the columns' means."""
    n_outputs = count(rule.outputs)
    for k in range(cuda.grid(1), n_outputs, cuda.gridsize(1)):
        known.sums[TOTAL, k] = known.gradient[known.params.shape[0] - n_outputs + k]
        if rule.optimizer.is_centred:
            known.sums[CENTRE, k] = _rise_to_means(rule, known, k)


@driver
def square(rule, known, partial):
    """Take the gradient into sums of squares; write lines of  g^2 / (s sqrt(G)).

    Parameters
    ----------
    partial : (n_shards, n_outputs), float64; blocks are (n_shards, n_outputs)
    """
    scratch = cuda.shared.array(BLOCK, np.float64)
    k, n_outputs, fall = cuda.blockIdx.y, count(rule.outputs), np.float64(0)
    unit = known.sums[UNIT, k]
    inverse = cast(1.0 / unit if unit > 0 else 0.0, known.gradient[0])
    number = cuda.blockIdx.x * BLOCK + cuda.threadIdx.x
    for j in range(number, known.sizes.shape[0], cuda.gridDim.x * BLOCK):
        c = j * n_outputs + k
        fall += add_square(known.state, c, known.gradient[c], inverse)
    fall = block_sum(scratch, fall)
    if cuda.threadIdx.x == 0:
        partial[cuda.blockIdx.x, k] = fall


@driver
def shorten(rule, step, known, partial, coefs):
    """Find how much shorter steps have to be, and write the coefficients of this one; a thread.

    Parameters
    ----------
    coefs : (1, 4), written
    """
    if cuda.grid(1) == 0:
        own_coefs, sums, last = coefs_of(step), known.sums, known.params.shape[0] - 1
        own = own_rate(own_coefs, known.state, last)
        coefs[0, 0], coefs[0, 1], coefs[0, 2] = own, own_coefs[1], own_coefs[2]
        coefs[0, 3] = own_coefs[3]
        promised, at_stake = 0.0, 0.0
        for k in range(count(rule.outputs)):
            unit, loss, fall = sums[UNIT, k], sums[AT_STAKE, k], np.float64(0)
            for shard in range(partial.shape[0]):
                fall += partial[shard, k]
            if rule.fit_intercept:
                inverse = cast(1.0 / unit if unit > 0 else 0.0, own)
                fall += add_square_of_intercept(rule, known, k, inverse)
            promised, at_stake = promised + own * fall, at_stake + loss
            sums[STEP_SIZE, k] = shortened(own * fall, loss) if unit > 0 else 0.0
        if rule.optimizer.unit == OF_ROW:
            for k in range(count(rule.outputs)):
                sums[STEP_SIZE, k] = shortened(promised, at_stake)


@driver
def shorten_columns(rule, known):
    """Shorten the gradient of all coefficients."""
    n_outputs = count(rule.outputs)
    first = known.params.shape[0] - n_outputs
    for c in range(cuda.grid(1), first, cuda.gridsize(1)):
        known.gradient[c] *= cast(known.sums[STEP_SIZE, c % n_outputs], known.gradient[c])


@driver
def step_intercepts(rule, step, known):
    """Step the intercepts, and let planes turn about the columns' means."""
    for k in range(cuda.grid(1), count(rule.outputs), cuda.gridsize(1)):
        _step_intercept(rule, coefs_of(step), known, k)


class OwnRates:
    """What queues such steps.

    Parameters
    ----------
    rule : steps.Rule
    outputs : OneOutput or ManyOutputs
    there : what has ``params``, ``gradient`` and ``state`` on the device
    is_sparse : bool
    """

    def __init__(self, rule: Any, outputs: Any, there: Any, *, is_sparse: bool) -> None:
        n_outputs, dtype = int(count(outputs)), there.gradient.dtype
        n_features = there.gradient.shape[0] // n_outputs - 1
        self._rule, self._n_outputs = Adaptive(*rule, outputs), n_outputs
        sums = memory.zeros((N_SUMS, n_outputs))
        turned = memory.zeros((0 if is_sparse else n_features, 2 * n_outputs))
        params, sizes = there.params[: there.gradient.shape[0]], memory.zeros(n_features)
        kind = KnownOfSparse if is_sparse else Known
        self._known = kind(params, there.gradient, there.state, sums, sizes, turned)
        self._columns = Columns(n_features) if is_sparse else None
        n_shards = max(min(-(-n_features // BLOCK), SHARDS), 1)
        self._of_sizes = memory.zeros((n_shards, 1))
        self._partial = memory.zeros((n_shards, n_outputs))
        self._coefs = memory.zeros((1, 4), dtype)
        self.loss = memory.zeros((1, n_outputs))  # of all batches since ``begin``

    def begin(self) -> None:
        """Set the sum of losses to zero."""
        vectors.fill.spread(self._n_outputs, self.loss.reshape(-1), 0.0)

    def make_room(self, sent: Any, batch_size: int) -> None:
        """Make room for any batch of some rows."""
        if self._columns is not None:
            self._columns.make_room(sent.lengths, batch_size)

    def look(self, sent: Any, span: Any) -> None:
        """Queue what is learnt of a batch's rows before they are predicted."""
        rule, known, rows = self._rule, self._known, sent.rows
        n_features, samples = known.sizes.shape[0], sent.samples
        if self._columns is None:
            look_at_rows.spread(n_features, rule, rows, samples, span, known)
        else:
            self._columns.write(rows, samples, span)
            listed = self._columns.listed
            look_at_listed.spread(n_features, rule, rows, span, listed, known)
        look_at_targets.spread(self._n_outputs, rule, samples, span, known)
        partial, first = self._of_sizes, VALUES * self._n_outputs
        vectors.add_shards.launch(partial.shape[0], BLOCK, known.sizes, partial)
        vectors.add_up.launch(1, BLOCK, partial, known.sums.reshape(-1), first)
        count_rows.launch(1, BLOCK, samples, span, known)

    def learn(self, out: Any, size: int) -> None:
        """Queue the sums of a batch's losses and slopes, and clear its losses for the next."""
        flat, loss = self._known.sums.reshape(-1), out.loss.reshape(-1)
        n_outputs, own = self._n_outputs, self._known.sums[LOSS]
        vectors.add_up.launch(n_outputs, BLOCK, out.loss, flat, LOSS * n_outputs)
        vectors.add_to.spread(n_outputs, own, self.loss.reshape(-1))
        vectors.fill.spread(loss.shape[0], loss, 0.0)
        add_magnitudes.launch(n_outputs, BLOCK, out.slopes, size, self._known)

    def centre(self) -> None:
        """Queue what takes columns from their means in the gradient."""
        centre.spread(self._known.gradient.shape[0], self._rule, self._known)

    def adapt(self, step: Any, span: Any, unit: float) -> Any:
        """Queue what makes of the gradient that which coefficients step by; return the step."""
        rule, known, partial = self._rule, self._known, self._partial
        remember.spread(self._n_outputs, rule, known)
        find_units.launch(1, 1, rule, step, span, unit, known)
        square.launch((partial.shape[0], self._n_outputs), BLOCK, rule, known, partial)
        shorten.launch(1, 1, rule, step, known, partial, self._coefs)
        shorten_columns.spread(known.gradient.shape[0], rule, known)
        return step._replace(coefs=self._coefs, t=0)

    def step_intercepts(self, step: Any) -> None:
        """Queue the steps of intercepts, after those of all coefficients."""
        if self._rule.fit_intercept:
            step_intercepts.spread(self._n_outputs, self._rule, step, self._known)
