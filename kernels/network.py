"""Mini-batch gradient descent of a network of layers, by back-propagation.

A step, on a batch of m rows:

    h_0 = X_b,  h_l = layer_l(h_{l-1})                  forward
    d_L = loss'(y, h_L) * weight / (m * mean weight)
    d_{l-1}, g_l = backward_l(d_l)                      the chain rule, from the last to the first
    g   = g + l2 / (m * mean weight) w                  weights only, not biases
    g   = transform(g)                                  clip, quantize
    w   = update(optimizer, w, g, state, rate)

All parameters lie in one flat array, so that optimizers, clipping, quantizers and averages need not
know of layers: weights of all layers, then what has no penalty (biases), then what is not trained
(running statistics). Which layer comes when, and where its numbers lie, is data (``layers``): a
network of another depth compiles nothing. Matrix products are BLAS's; everything between them is
one pass over each array, and no array is allocated.

References
----------
.. [1] Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors", 1986.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import layers, optimizers, transforms
from fastgd.kernels._hook import by_number, implement
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels._views import line_in, row_in, table_in
from fastgd.kernels.absent import Every, begin, finish, leave, ready
from fastgd.kernels.layers import (
    ACTIVATION,
    ADDED,
    ADDS,
    FREE,
    HAS_BIAS,
    N_FREE,
    N_NOTES,
    N_OUT,
    N_RUNNING,
    N_SUMS,
    N_WEIGHTS,
    NOBODY,
    NONE,
    NOTES,
    RUNNING,
    SPEC,
    SUMS,
    UNITS,
    VALUES,
    WEIGHTS,
    Now,
    Part,
    Tape,
    activate,
    add,
    copy,
    deactivate,
)
from fastgd.kernels.outputs import LOSS, PENALTY, TOTAL, OneOutput, Share, slopes_of_many
from fastgd.kernels.sampling import GAMMA, mix
from fastgd.kernels.stores import AllColumns, Batch, Plain
from fastgd.kernels.strips import (
    Whole,
    batch_of,
    come_in,
    is_cut,
    phase_of,
    step_others,
    turn_strips,
)
from fastgd.kernels.team import (
    Alone,
    gather,
    go_on,
    gradient_of,
    is_first,
    losses_of,
    shards_of,
    take,
)

OWN_STREAM = np.uint64(0xA0761D6478BD642F)  # the same seed orders the rows, by other numbers
OTHER_ROWS = np.uint64(0xE7037ED1A0B428DB)  # shards count their rows from 0


class Network(NamedTuple):
    """What is computed.

    specs, activations : tuples of those that differ
    table : ndarray of shape (n_layers, N_COLUMNS), int64; see ``layers``
    numbers : ndarray of shape (n_layers, N_NUMBERS), float64
    n_weights, n_trained : int, the parameters with a penalty come first, those not trained last
    is_training : bool, whether layers draw random numbers and learn running statistics
    """

    specs: tuple
    activations: tuple
    table: np.ndarray
    numbers: np.ndarray
    n_weights: int
    n_trained: int
    is_training: bool


class NetworkRule(NamedTuple):
    """What a step does.

    penalty : what acts on weights apart from the gradient; ``l2`` is a part of the gradient, the
        strength of 1/2 l2 |w|^2 for the sum over a batch (scikit-learn's ``alpha``)
    is_plain : bool, whether ``transform`` does nothing and parameters step by themselves: then
        ``l2`` need not be in the gradient before the step, which saves a pass over it
    fit_intercept, outputs : True and ``OneOutput``, for ``transform``: to it the network is one
        problem, and the last trained number takes an intercept's place
    intercept_rate : 1.0, for the steps on a device, which are those of linear models as well
    """

    loss: NamedTuple
    penalty: NamedTuple
    optimizer: NamedTuple
    l2: float
    transform: NamedTuple
    is_plain: bool = False
    fit_intercept: bool = True
    outputs: NamedTuple = OneOutput()
    intercept_rate: float = 1.0


class Scratch(NamedTuple):
    """What passes of a network write into; numbers of all rows of one layer stand together.

    capacity : int, the most rows of a batch
    block : (capacity, n_features), dense rows of a batch; (0, 0) for sparse rows
    values, deltas : flat, the layers' outputs, and derivatives with respect to them
    sums : flat, weighted sums of units whose activation's derivative asks for them
    notes : flat, what layers keep of the way forward
    patch : flat, scratch of one layer
    strips : Whole or Strips, how the first layer is stepped; with strips all threads of a team have
        one scratch, and in ``block`` numbers of all rows of some features stand together
    """

    capacity: int
    block: np.ndarray
    values: np.ndarray
    deltas: np.ndarray
    sums: np.ndarray
    notes: np.ndarray
    patch: np.ndarray
    strips: NamedTuple = Whole()


class NetworkMemory(NamedTuple):
    """What steps change; all but the average and the losses is of X's dtype.

    params : (n_params,), see the module
    state : (n_slots, n_params), the optimizer's
    gradient : (n_trained,)
    average : (n_params,), float64, sum of the averaged iterates; (0,) where none is asked for
    residual : (n_trained,), what a quantizer has not sent yet; (0,) for one without memory
    sums : (5, n_outputs), float64, as ``sgd.Memory.sums``; penalty and clipped in column 0
    scratch : Scratch
    absent : Every or ByFeature, when weights of features that sparse rows lack are stepped
    team : Alone or Team, who computes; each thread has scratch of its own
    """

    params: np.ndarray
    state: np.ndarray
    gradient: np.ndarray
    average: np.ndarray
    residual: np.ndarray
    sums: np.ndarray
    scratch: Scratch
    absent: NamedTuple = Every()
    team: NamedTuple = Alone()


class Shard(NamedTuple):
    """A part of a batch.

    share : Share, its rows
    key : uint64, names its random numbers
    gradient : (n_trained,), to be written
    losses : (n_outputs,), float64, to be added to
    """

    share: Share
    key: np.uint64
    gradient: np.ndarray
    losses: np.ndarray


@kernel()
def network_steps(rows, samples, rule, plan, network, memory):
    """Take the steps of a plan.

    Parameters
    ----------
    rows : Dense or CSR
    samples : Samples; targets are (n_samples, n_outputs), or classes' numbers for a loss of
        the whole row
    rule : NetworkRule
    plan : sgd.Plan
    network : Network
    memory : NetworkMemory, changed in place

    Notes
    -----
    Floor: the products, 6 flops for each weight of a dense layer and row (4 in the first layer).
    """
    team, n_steps = memory.team, plan.step_coefficients.shape[0]
    strips = memory.scratch.strips
    begin(memory.absent, memory)
    if not turn_strips(strips, rows, samples, rule, plan, memory, -1):
        return
    for t in range(n_steps):
        batch = batch_of(samples, plan, t)
        n_touched = ready(memory.absent, rule, rows, batch, t, memory)
        n_shards = _gradient(rows, samples, rule, plan, network, memory, batch, t)
        if is_first(team):
            if not gather(team, memory.gradient, memory.sums[LOSS], n_shards):
                return
            _step_from_gradient(rule, plan, network, memory, batch, t, n_touched)
        if not go_on(team, phase_of(strips, t) + 1):
            return
        if not turn_strips(strips, rows, samples, rule, plan, memory, t):
            return
        if is_first(team) and t >= plan.average_from:
            _add_to_average(memory)
    finish(memory.absent, rule, n_steps, memory)


@kernel()
def network_gradient(rows, samples, rule, plan, network, memory):
    """Write the transformed gradient of one batch into ``memory.gradient``; see ``network_steps``.

    All rows of the plan are the batch.
    """
    batch = Batch(samples.order, 0, plan.n_visited)
    n_shards = _gradient(rows, samples, rule, plan, network, memory, batch, 0)
    gather(memory.team, memory.gradient, memory.sums[LOSS], n_shards)
    penalty = _add_l2(rule.l2 / (plan.n_visited * plan.unit), network, memory)
    memory.sums[PENALTY, 0] += plan.n_visited * penalty
    _transform(rule, network, memory, (plan.seed, plan.first_step))


@kernel()
def network_step(rule, plan, network, memory):
    """Take one step from ``memory.gradient``."""
    _step(rule, optimizers.coefs_of_step(plan.step_coefficients, 0), 0.0, network, memory, 0)
    if plan.average_from == 0:
        _add_to_average(memory)


@kernel()
def network_outputs(rows, order, network, params, scratch, out):
    """Write the last layer's outputs for all rows into ``out``, (n_samples, n_outputs).

    ``order`` is empty, of the kind that training has: the same code is compiled once.
    """
    last = network.table.shape[0] - 1
    for start in range(0, out.shape[0], scratch.capacity):
        batch = Batch(order, start, min(start + scratch.capacity, out.shape[0]))
        _forward(rows, batch, network, params, scratch, np.uint64(0))
        size = batch.stop - batch.start
        found = _of_layer(scratch.values, network.table, last, size, scratch.capacity)
        copy(found, table_in(out, start * out.shape[1], found.shape[0], out.shape[1]))


@kernel(allocates=True)
def warm_blas(square):
    """Multiply once: a library that has seen no large product yet may compute at a third."""
    np.dot(square, square)


# -- a step -------------------------------------------------------------------------------------


@helper()
def _gradient(rows, samples, rule, plan, network, memory, batch, t):
    """Write the gradients of a batch's shards, and add to the losses; return their number."""
    team, size = memory.team, batch.stop - batch.start
    n_rows, phase = shards_of(team, size), phase_of(memory.scratch.strips, t)
    n_shards = (size + n_rows - 1) // n_rows
    number = take(team, phase, n_shards, -1)
    while number >= 0:
        start = batch.start + number * n_rows
        rows_of = Batch(batch.order, start, min(start + n_rows, batch.stop))
        of_batch = plan.unit * (size / (rows_of.stop - start))
        step_coefs = optimizers.coefs_of_step(plan.step_coefficients, 0)
        key = mix((np.uint64(plan.seed) ^ OWN_STREAM) + GAMMA)
        shard = Shard(
            Share(step_coefs, rows_of, of_batch),
            mix(key + np.uint64(plan.first_step + t) * GAMMA) ^ (np.uint64(number) * OTHER_ROWS),
            gradient_of(team, memory.gradient, number),
            losses_of(team, memory.sums[LOSS], number, n_shards),
        )
        _gradient_of(rows, samples, rule, network, memory, shard)
        number = take(team, phase, n_shards, number)
    return n_shards


@helper()
def _gradient_of(rows, samples, rule, network, memory, shard):
    """Write the gradient of a shard's loss, and add to its losses."""
    scratch, batch = memory.scratch, shard.share.batch
    size, last = batch.stop - batch.start, network.table.shape[0] - 1
    _forward(rows, batch, network, memory.params, scratch, shard.key)
    outputs = _of_layer(scratch.values, network.table, last, size, scratch.capacity)
    delta = _of_layer(scratch.deltas, network.table, last, size, scratch.capacity)
    copy(outputs, delta)
    slopes_of_many(rule, rows, samples, shard.share, delta, shard.losses)
    _backward(rows, batch, network, memory, shard.gradient, shard.key)


@helper(inlined=False)
def _step_from_gradient(rule, plan, network, memory, batch, t, n_touched):
    """Take a step, but for what is in strips, and add to the penalty."""
    size = batch.stop - batch.start
    l2 = rule.l2 / (size * plan.unit)
    penalty = 0.0 if rule.is_plain else _add_l2(l2, network, memory)
    _transform(rule, network, memory, (plan.seed, plan.first_step + t))
    step_coefs = optimizers.coefs_of_step(plan.step_coefficients, t)
    penalty += _step(rule, step_coefs, l2 if rule.is_plain else 0.0, network, memory, n_touched)
    memory.sums[PENALTY, 0] += size * penalty


@helper()
def _add_to_average(memory):
    for c in range(memory.params.shape[0]):
        memory.average[c] += memory.params[c]


@helper()
def _add_l2(l2, network, memory):
    """Add the gradient of l2 / 2 |w|^2; return that."""
    if l2 == 0.0:
        return 0.0
    params, gradient = memory.params, memory.gradient
    squares, strength = 0.0, params.dtype.type(l2)
    for c in range(network.n_weights):
        squares += params[c] * params[c]
        gradient[c] += strength * params[c]
    return 0.5 * l2 * squares


@helper()
def _transform(rule, network, memory, draw):
    """Clip and quantize the gradient; the last number is handed over as an intercept's."""
    end = network.n_trained - 1
    memory.sums[TOTAL, 0] = memory.gradient[end]
    transforms.transform(rule.transform, Plain(AllColumns()), rule, memory, end, draw)
    memory.gradient[end] = memory.sums[TOTAL, 0]


@helper()
def _step(rule, step_coefs, l2, network, memory, n_touched):
    """Step, with the gradient of l2 / 2 |w|^2 added; return that, of the weights before."""
    strips, strength = memory.scratch.strips, memory.params.dtype.type(l2)
    squares = step_others(strips, rule, step_coefs, strength, network, memory, n_touched)
    return 0.5 * l2 * squares


# -- from layer to layer --------------------------------------------------------------------------

_forward_layer, _backward_layer = by_number(layers.forward), by_number(layers.backward)
_forward_sparse = by_number(layers.forward_sparse)
_activate, _deactivate = by_number(activate), by_number(deactivate)


@by_number
@helper()
def _leave_first(spec, absent, at, of_own, rows, batch, delta):
    """Have the first layer write its gradient."""
    leave(absent, spec, at, of_own, rows, batch, delta)


@helper()
def _of_layer(flat, table, number, size, capacity):
    """Return the part of ``values`` or ``deltas`` that is a layer's: a view, (rows, N_OUT)."""
    at = row_in(table, number)
    return table_in(flat, at[VALUES] * capacity, size, at[N_OUT])


@helper()
def _notes_of(scratch, table, number, size):
    at = row_in(table, number)
    first = at[NOTES] * scratch.capacity
    return table_in(scratch.notes, first, size, at[N_NOTES])


@helper()
def _inputs(scratch, table, number, size):
    """Return what comes into a layer."""
    if number == 0:
        return table_in(scratch.block, 0, size, scratch.block.shape[1])
    return _of_layer(scratch.values, table, number - 1, size, scratch.capacity)


@helper()
def _part(at, flat, n_trained):
    """Return a layer's part of the parameters, or of their gradient."""
    n_running = at[N_RUNNING] if flat.shape[0] > n_trained else 0
    return Part(
        line_in(flat, at[WEIGHTS], at[N_WEIGHTS]),
        line_in(flat, at[FREE], at[N_FREE]),
        line_in(flat, at[RUNNING] if n_running > 0 else 0, n_running),
    )


@helper()
def _now(network, number, scratch, key):
    of_layer = mix(key + np.uint64(number + 1) * GAMMA)
    return Now(network.is_training, of_layer, row_in(network.numbers, number), scratch.patch)


@helper(inlined=False)
def _forward(rows, batch, network, params, scratch, key):
    """Write the outputs of all layers."""
    table, size = network.table, batch.stop - batch.start
    first = _enter(rows, batch, network, params, scratch)
    for number in range(table.shape[0]):
        at = row_in(table, number)
        own = _part(at, params, network.n_trained)
        out = _of_layer(scratch.values, table, number, size, scratch.capacity)
        if number >= first:
            x = _inputs(scratch, table, number, size)
            notes = _notes_of(scratch, table, number, size)
            now = _now(network, number, scratch, key)
            _forward_layer(network.specs, at[SPEC], at, own, x, out, notes, now)
        _activate_layer(network, number, own.free, out, scratch)
        if at[ADDS] != NOBODY:
            add(_inputs(scratch, table, at[ADDS] + 1, size), out)


@helper()
def _units_of(at, out, scratch):
    """Return a layer's outputs, and its weighted sums if they are kept, (rows, units)."""
    n_rows = out.size // at[UNITS]
    n_kept = at[UNITS] if at[N_SUMS] > 0 else 0
    sums = table_in(scratch.sums, at[SUMS] * scratch.capacity, n_rows, n_kept)
    return table_in(out, 0, n_rows, at[UNITS]), sums


@helper()
def _activate_layer(network, number, free, out, scratch):
    """Make of weighted sums what the units put out."""
    at = row_in(network.table, number)
    if at[ACTIVATION] != NONE:
        units, sums = _units_of(at, out, scratch)
        bias = line_in(free, 0, free.shape[0] if at[HAS_BIAS] else 0)
        _activate(network.activations, at[ACTIVATION], bias, units, sums)


@helper()
def _deactivate_layer(network, number, out, delta, free, scratch):
    """Make of derivatives by the outputs those by the weighted sums, and by the biases."""
    at = row_in(network.table, number)
    if at[ACTIVATION] != NONE:
        units, sums = _units_of(at, out, scratch)
        bias = line_in(free, 0, free.shape[0] if at[HAS_BIAS] else 0)
        of_units = table_in(delta, 0, units.shape[0], units.shape[1])
        _deactivate(network.activations, at[ACTIVATION], units, sums, of_units, bias)


@helper(inlined=False)
def _backward(rows, batch, network, memory, gradient, key):
    """Pass the last layer's ``deltas`` back through all layers, and write the gradient."""
    params, scratch = memory.params, memory.scratch
    table, size = network.table, batch.stop - batch.start
    for number in range(table.shape[0] - 1, -1, -1):
        at = row_in(table, number)
        out = _of_layer(scratch.values, table, number, size, scratch.capacity)
        delta = _of_layer(scratch.deltas, table, number, size, scratch.capacity)
        of_own = _part(at, gradient, network.n_trained)
        if at[ADDED] != NOBODY:
            add(_of_layer(scratch.deltas, table, at[ADDED], size, scratch.capacity), delta)
        _deactivate_layer(network, number, out, delta, of_own.free, scratch)
        if number == 0 and _leave(rows, batch, network, of_own, delta, memory):
            return
        x, before = _inputs(scratch, table, number, size), table_in(delta, 0, 0, 0)
        if number > 0:
            before = _of_layer(scratch.deltas, table, number - 1, size, scratch.capacity)
        notes = _notes_of(scratch, table, number, size)
        tape = Tape(x, out, notes, _now(network, number, scratch, key))
        own = _part(at, params, network.n_trained)
        _backward_layer(network.specs, at[SPEC], at, own, of_own, tape, delta, before)


# -- the first layer: dense rows are gathered, sparse ones are read where they are ---------------


def _enter(rows, batch, network, params, scratch):
    """Bring a batch in; return the first layer that finds its inputs in ``scratch``."""
    enter = _enter_sparse if rows.is_sparse else _enter_dense
    return enter(rows, batch, network, params, scratch)


@implement(_enter)
def _enter_overload(rows, batch, network, params, scratch):
    enter = _enter_sparse if rows.instance_class.is_sparse else _enter_dense
    return lambda rows, batch, network, params, scratch: enter(
        rows, batch, network, params, scratch
    )


@helper()
def _enter_dense(rows, batch, network, params, scratch):
    """Bring dense rows in."""
    size = batch.stop - batch.start
    out = _of_layer(scratch.values, network.table, 0, size, scratch.capacity)
    return come_in(scratch.strips, rows, batch, scratch.block, out)


@helper()
def _enter_sparse(rows, batch, network, params, scratch):
    """Write what the first layer makes of the rows."""
    at = row_in(network.table, 0)
    own = _part(at, params, network.n_trained)
    size = batch.stop - batch.start
    out = _of_layer(scratch.values, network.table, 0, size, scratch.capacity)
    _forward_sparse(network.specs, at[SPEC], at, own, rows, batch, out)
    return 1


def _leave(rows, batch, network, of_own, delta, memory):
    """Leave the first layer if it reads sparse rows or is in strips; tell whether it is so.

    Of sparse rows its derivatives are written; those of strips are found when these are stepped.
    """
    if not rows.is_sparse:
        return is_cut(memory.scratch.strips)
    return _leave_sparse(rows, batch, network, of_own, delta, memory.absent)


@implement(_leave)
def _leave_overload(rows, batch, network, of_own, delta, memory):
    if not rows.instance_class.is_sparse:
        return lambda rows, batch, network, of_own, delta, memory: is_cut(memory.scratch.strips)
    return lambda rows, batch, network, of_own, delta, memory: _leave_sparse(
        rows, batch, network, of_own, delta, memory.absent
    )


@helper()
def _leave_sparse(rows, batch, network, of_own, delta, absent):
    at = row_in(network.table, 0)
    _leave_first(network.specs, at[SPEC], absent, at, of_own, rows, batch, delta)
    return True
