"""Mini-batch gradient descent of a linear model, one chunk of steps at a time.

A step, on a batch of m rows:

    raw   = X_b w + b
    delta = loss'(y, raw) * weight
    g     = X_b' delta / (m * mean weight)
    g     = transform(g)                            where the rule has one: clip, quantize
    w     = prox(update(optimizer, w, g, state, rate))

The batch's rows stay in cache between the two products, so that a pass reads X from memory
once. A large batch is cut into shards, which threads share (``team``). On sparse rows a step
touches the columns of its batch only; ``stores`` tells how the other coefficients get what they are
owed, ``outputs`` what differs between one output and many.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import losses, optimizers, transforms
from fastgd.kernels._hook import cast, implement
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels._views import line_in, row_in, table_in
from fastgd.kernels.dense_rows import AheadScratch, steps_ahead
from fastgd.kernels.outputs import COST, PENALTY, TOTAL, OneOutput, Share, intercept_change
from fastgd.kernels.rows import entries, entry, fetch, row_at, row_dot
from fastgd.kernels.stores import (
    Batch,
    add_to_average,
    begin_step,
    cost_after,
    cost_of_all,
    count,
    couple,
    descend,
    evaluate_batch,
    factor,
    fetch_columns,
    finish,
    made_up,
    ready_batch,
    ready_row,
    step_of_batch,
)
from fastgd.kernels.team import (
    Alone,
    gather,
    go_on,
    is_first,
    shards_of,
    take,
)


class Samples(NamedTuple):
    """What comes with the rows of X.

    y : ndarray of shape (n_samples,), X's dtype, or integer: the class's number; with many outputs
        also (n_samples, K): targets
    weight : ndarray of shape (n_samples,), X's dtype; empty means 1
    order : ndarray of shape (n_visited,), integer; empty means as they lie
    positive_weight : ndarray of shape (K,): factor of a sample's weight in the column of its own
        class, one-vs-rest only
    """

    y: np.ndarray
    weight: np.ndarray
    order: np.ndarray
    positive_weight: np.ndarray


class Rule(NamedTuple):
    """What a step does; ``outputs`` is ``OneOutput`` or ``ManyOutputs``.

    intercept_rate : float, factor of the intercepts' steps
    """

    loss: NamedTuple
    penalty: NamedTuple
    optimizer: NamedTuple
    fit_intercept: bool
    transform: NamedTuple = transforms.Identity()
    outputs: NamedTuple = OneOutput()
    intercept_rate: float = 1.0


class Plan(NamedTuple):
    """The steps of a chunk.

    batch_size : int
    n_visited : int, rows of the chunk
    step_coefficients : ndarray of shape (n_steps, 4), X's dtype; see ``optimizers``
    unit : float, the mean weight that gradients are divided by
    average_from : int, the number of steps before the first that is averaged; n_steps for none
    seed, first_step : int, the number of the chunk's first step of all, 1-based: they name the
        random numbers of quantizers
    """

    batch_size: int
    n_visited: int
    step_coefficients: np.ndarray
    unit: float
    average_from: int
    seed: int
    first_step: int


class Memory(NamedTuple):
    """What a chunk of steps changes, of K outputs; of X's dtype unless it says otherwise.

    params, gradient : ((d + 1) K,), row after row of (d + 1, K), the intercepts last; the gradient
        is zero between steps
    state : (n_slots, (d + 1) K), the optimizer's
    margin : (m,), or (m, K) of many outputs, for the m rows of a batch or shard
    average : ((d + 1) K,), float64, sum of the averaged iterates; (0,) where none is asked for
    residual : ((d + 1) K,), what a quantizer has not sent yet; (0,) for one without memory
    sums : (8, K), float64: over the visited rows, of the weighted loss before each row's step
        (all in ``sums[LOSS, 0]`` of a loss of the whole row) and of the penalty at that time: over
        their number, the running objective. Then the number of steps whose gradient
        was clipped; of outputs that share one norm in ``sums[CLIPPED, 0]``. The next two rows,
        COST and TOTAL, are scratch: the penalty and the intercepts' gradients; three more are
        scratch of ``rate_free``, of which ``rate_free_rows`` leaves something in EARLIER
    shares : (K,), scratch: what a step adds to the penalty; zero between steps; float64 for one
    scratch : ``OneScratch``, ``ManyScratch``, ``rate_free_rows.RowScratch`` or
        ``gathered.GatheredScratch``
    team : Alone or Team, who computes; each thread has a margin and scratch of its own
    """

    params: np.ndarray
    state: np.ndarray
    gradient: np.ndarray
    margin: np.ndarray
    average: np.ndarray
    residual: np.ndarray
    sums: np.ndarray
    shares: np.ndarray
    scratch: NamedTuple
    team: NamedTuple = Alone()


class Trace(NamedTuple):
    """What several epochs leave.

    sums : (n_epochs, 3), float64, what ``sgd_rows`` adds to ``Memory.sums`` in each
    iterates : (n_epochs, d + 1), the parameters after each
    """

    sums: np.ndarray
    iterates: np.ndarray


@kernel()
def sgd_rows(rows, samples, rule, plan, memory, store):
    """Take the steps of a plan with batches of one row each, of a model with one output.

    No pass over a gradient is needed: its entry j is delta x_j.

    Parameters
    ----------
    rows : Dense or CSR
    samples : Samples
    rule : Rule, its transform the identity or clipping
    plan : Plan
    memory : Memory, changed in place
    store : Plain (dense rows only), Scaled, Averaged or Lazy, changed in place

    Notes
    -----
    Floor, dense: one read of X from memory, 4 flops an entry. Below some 100 columns what takes the
    time is a chain of operations that wait for each other: x w, the exponential, a quotient, the
    step, and the coefficients that the next row reads; about 130 cycles. The loss's value is not on
    it, as long as nothing in the chain is a branch that labels make unpredictable. Sparse: one read
    of data and indices, and two accesses to a parameter at a random place for each non-zero; for an
    optimizer with a state, three accesses more for each number that it keeps.
    """
    sums = _steps_of_rows(rows, samples, rule, plan, memory, store)
    for kind in range(3):
        memory.sums[kind, 0] += sums[kind]


@kernel()
def sgd_epochs(rows, samples, rule, plan, memory, store, trace):
    """Take the steps of several epochs of ``sgd_rows``, where each is short.

    Parameters
    ----------
    rows : Dense or CSR
    samples : Samples, its order that of one epoch after the other
    rule : Rule, of an optimizer without state
    plan : Plan of all these steps, none of them averaged
    memory : Memory, changed in place
    store : Plain or Scaled, changed in place
    trace : Trace, written
    """
    n_epochs = trace.sums.shape[0]
    n_visited = plan.n_visited // n_epochs
    for e in range(n_epochs):
        first, last = e * n_visited, (e + 1) * n_visited
        order = samples.order[first:last]
        part = Samples(samples.y, samples.weight, order, samples.positive_weight)
        steps = Plan(
            plan.batch_size,
            n_visited,
            plan.step_coefficients[first:last],
            plan.unit,
            n_visited,
            plan.seed,
            plan.first_step + first,
        )
        sums = _steps_of_rows(rows, part, rule, steps, memory, store)
        trace.sums[e, 0], trace.sums[e, 1], trace.sums[e, 2] = sums
        for j in range(memory.params.shape[0]):
            trace.iterates[e, j] = memory.params[j]


def _steps_of_rows(rows, samples, rule, plan, memory, store):
    """Take the steps of ``sgd_rows``; return the sums of loss, penalty and clipped steps."""
    ahead = isinstance(memory.scratch, AheadScratch)
    steps = steps_ahead if ahead else _one_after_another
    return steps(rows, samples, rule, plan, memory, store)


@implement(_steps_of_rows)
def _compiled_steps_of_rows(rows, samples, rule, plan, memory, store):
    scratch = dict(zip(memory.fields, memory, strict=True))["scratch"]
    steps = steps_ahead if scratch.instance_class is AheadScratch else _one_after_another
    return lambda rows, samples, rule, plan, memory, store: steps(
        rows, samples, rule, plan, memory, store
    )


@helper()
def _one_after_another(rows, samples, rule, plan, memory, store):
    """Take them with any optimizer, penalty and store."""
    params, state, average = memory.params, memory.state, memory.average
    last = params.shape[0] - 1
    loss_sum, penalty_sum, costs = 0.0, 0.0, memory.sums[COST]
    costs[0] = cost_of_all(rule, params, 0)
    n_clipped, share = 0, 1.0 / plan.unit
    for t in range(plan.step_coefficients.shape[0]):
        i = row_at(samples.order, t)
        fetch(rows, samples.order, t)
        fetch_columns(store, rows, samples.order, t, params, state)
        step_coefs = optimizers.coefs_of_step(plan.step_coefficients, t)
        ready_row(store, rule, rows, i, t, params, state)
        costs[0] += made_up(store, 0)
        penalty_sum += costs[0] + losses.intercept_gradient(rule.loss) * params[last]
        raw = factor(store) * row_dot(rows, i, params) + params[last]
        weight = samples.weight[i] if samples.weight.shape[0] > 0 else cast(1.0, step_coefs[0])
        value = losses.value(rule.loss, samples.y[i], raw)
        loss_sum += weight * value
        slope = losses.slope(rule.loss, samples.y[i], raw)
        slope = share * weight * optimizers.slope(rule.optimizer, step_coefs, rows, i, value, slope)
        delta, shares = cast(slope, step_coefs[0]), cast(0.0, step_coefs[0])
        scale, clipped = transforms.clip_row(rule.transform, rows, i, delta, rule.fit_intercept)
        n_clipped += clipped
        own_coefs, left = begin_step(store, rule, step_coefs, params, average)
        begin, end = entries(rows, i)
        for k in range(begin, end):
            j, x = entry(rows, i, k)
            g = transforms.clipped_entry(rule.transform, delta * x, scale)
            shares += descend(store, rule, own_coefs, g, params, state, j)
        costs[0] = cost_after(store, left * costs[0], np.float64(shares))
        couple(store, rule, params, costs)
        if rule.fit_intercept:
            g = transforms.clipped_entry(rule.transform, delta, scale)
            g = cast(g + losses.intercept_gradient(rule.loss), step_coefs[0])
            params[last] += intercept_change(rule, step_coefs, g, state, last)
        if t >= plan.average_from:
            add_to_average(store, rule, params, average)
    finish(store, rule, plan.step_coefficients.shape[0], params, state, average)
    return loss_sum, penalty_sum, float(n_clipped)


@kernel()
def sgd_batches(rows, samples, rule, plan, memory, store):
    """Take the steps of a plan with batches of ``plan.batch_size`` rows.

    Parameters are those of ``sgd_rows``; any store goes with any rows, with a transform any store
    that does not scatter, and with a team ``Plain`` or ``Coupled``.

    Notes
    -----
    Floor: as for ``sgd_rows``, and per step one pass over the coefficients it touches.
    """
    # spelled out, not in helpers: each helper is a compilation of its own
    params, state, average = memory.params, memory.state, memory.average
    costs, totals, shares = memory.sums[COST], memory.sums[TOTAL], memory.shares
    n_outputs, intercept_gradient = count(rule.outputs), losses.intercept_gradient(rule.loss)
    first = params.shape[0] - n_outputs
    if is_first(memory.team):
        for k in range(n_outputs):
            costs[k] = cost_of_all(rule, params, k)
    for t in range(plan.step_coefficients.shape[0]):
        start = t * plan.batch_size
        batch = Batch(samples.order, start, min(start + plan.batch_size, plan.n_visited))
        step_coefs = optimizers.coefs_of_step(plan.step_coefficients, t)
        n_touched = ready_batch(store, rule, rows, batch, t, params, state, memory.gradient)
        n_shards = evaluate_shards(rows, samples, rule, plan, memory, store, t)
        if is_first(memory.team):
            if not gather_shards(memory, n_shards):
                return
            for k in range(n_outputs):
                costs[k] += made_up(store, k)
                cost = costs[k] + intercept_gradient * params[first + k]
                memory.sums[PENALTY, k] += (batch.stop - start) * cost
            draw = (plan.seed, plan.first_step + t)
            transforms.transform(rule.transform, store, rule, memory, n_touched, draw)
            own_coefs, left = begin_step(store, rule, step_coefs, params, average)
            step_of_batch(store.columns, store, rule, rows, batch, own_coefs, memory, n_touched)
            for k in range(n_outputs):
                costs[k] = cost_after(store, left * costs[k], np.float64(shares[k]))
                shares[k] = 0
            couple(store, rule, params, costs)
            if rule.fit_intercept:
                for k in range(n_outputs):
                    g, c = cast(totals[k] + intercept_gradient, step_coefs[0]), np.uint64(first + k)
                    params[c] += intercept_change(rule, step_coefs, g, state, c)
            if t >= plan.average_from:
                add_to_average(store, rule, params, average)
        if not go_on(memory.team, t + 1):
            return
    finish(store, rule, plan.step_coefficients.shape[0], params, state, average)


@helper()
def evaluate_shards(rows, samples, rule, plan, memory, store, t):
    """Do what ``evaluate_batch`` does of the shards of step t's batch; return their number.

    A thread takes shards as long as some are left. ``gather_shards`` adds them up.
    """
    team, begin = memory.team, t * plan.batch_size
    size = min(plan.batch_size, plan.n_visited - begin)
    step_coefs = optimizers.coefs_of_step(plan.step_coefficients, t)
    n_rows = shards_of(team, size)
    n_shards = (size + n_rows - 1) // n_rows
    number = take(team, t, n_shards, -1)
    while number >= 0:
        start = begin + number * n_rows
        part = Batch(samples.order, start, min(start + n_rows, begin + size))
        unit = plan.unit if n_shards == 1 else plan.unit * (size / (part.stop - start))
        share = Share(step_coefs, part, unit)
        _evaluate_shard(number, n_shards, rows, samples, rule, share, store, memory)
        number = take(team, t, n_shards, number)
    return n_shards


def _evaluate_shard(number, n_shards, rows, samples, rule, share, store, memory):
    """Evaluate a shard, as one thread has it or as several do."""
    of_shard = _of_batch if isinstance(memory.team, Alone) else _of_shard
    of_shard(number, n_shards, rows, samples, rule, share, store, memory)


@implement(_evaluate_shard)
def _compiled_evaluate_shard(number, n_shards, rows, samples, rule, share, store, memory):
    team = dict(zip(memory.fields, memory, strict=True))["team"]
    return _of_batch if team.instance_class is Alone else _of_shard


def _of_batch(number, n_shards, rows, samples, rule, share, store, memory):
    evaluate_batch(rule.outputs, rule, rows, samples, share, store, memory)


def _of_shard(number, n_shards, rows, samples, rule, share, store, memory):
    # spelled out: what allocates nothing cannot return an array
    team, gradient, sums = memory.team, memory.gradient, memory.sums
    if number > 0:
        gradient = row_in(team.gradients, number - 1)
        gradient[:] = 0
    if n_shards > 1:
        sums = table_in(team.losses, number * sums.size, sums.shape[0], sums.shape[1])
        sums[:] = 0
    own = Memory(
        memory.params,
        memory.state,
        gradient,
        memory.margin,
        memory.average,
        memory.residual,
        sums,
        memory.shares,
        memory.scratch,
        team,
    )
    evaluate_batch(rule.outputs, rule, rows, samples, share, store, own)


@helper()
def gather_shards(memory, n_shards):
    """Wait for a batch's shards, and add them up; tell whether all of them are there."""
    sums = memory.sums
    if n_shards > 1:
        for k in range(sums.shape[1]):
            sums[TOTAL, k] = 0.0  # of the batch before
    return gather(memory.team, memory.gradient, line_in(sums, 0, sums.size), n_shards)
