"""The two halves of a step, apart: the gradient of a block of rows, and a step from a gradient.

``sgd`` fuses them, so that a batch is read from memory once. Whoever evaluates an objective, or
exchanges gradients before they are used, needs one half at a time:

    g = transform(X_b' delta / (m * mean weight))       gradient_of_rows, gradient_of_rows_multi
    w = prox(update(optimizer, w, g, state, rate))      step_from_gradient

Between the two, ``memory.gradient`` holds g, the intercepts' entries last. The coefficients are
kept as they are (``frames.Plain``, or ``Tied`` where the penalty ties them together).
"""

from fastgd.kernels import losses, optimizers, transforms
from fastgd.kernels._hook import cast
from fastgd.kernels._jit import kernel
from fastgd.kernels.frames import (
    Batch,
    add_to_average,
    begin_step,
    cost_of_all,
    descend,
    finish,
    n_outputs_of,
    tie,
)
from fastgd.kernels.rows import margins_multi
from fastgd.kernels.sgd import _meet
from fastgd.kernels.sgd_multi import (
    Share,
    _raw_from_margins,
    _sum_rows,
    gather,
    slopes,
)


@kernel()
def gradient_of_rows(rows, samples, rule, plan, memory, frame):
    """Add the gradient of the rows' mean loss to ``memory.gradient``, which is zero before.

    Parameters
    ----------
    rows : Dense or CSR
    samples : Samples
    rule : Rule
    plan : Plan of one step; its batch may be longer than the arrays of ``memory``
    memory : Memory, its gradient and scratch changed in place
    frame : Plain

    Returns
    -------
    loss_sum : float
        Sum of the weighted losses.
    penalty : float
        At the parameters as they are.
    n_clipped : int
    """
    params, gradient = memory.params, memory.gradient
    last, size = params.shape[0] - 1, memory.margin.shape[0]
    step_coefs = optimizers.coefs_of_step(plan.step_coefficients, 0)
    loss_sum, total = 0.0, 0.0
    for start in range(0, plan.n_visited, size):
        batch = Batch(samples.order, start, min(start + size, plan.n_visited))
        unit = plan.unit * plan.n_visited / (batch.stop - start)
        sums = _meet(rule, step_coefs, samples, rows, batch, unit, frame, memory)
        loss_sum += sums[0]
        total += sums[1]
    draw = (plan.seed, plan.first_step)
    total, clipped = transforms.transform(rule.transform, frame, rule, memory, total, last, draw)
    if rule.fit_intercept:
        gradient[last] = cast(total + losses.pull(rule.loss), step_coefs[0])
    penalty = cost_of_all(rule, params, 0) + losses.pull(rule.loss) * params[last]
    return loss_sum, penalty, clipped


@kernel()
def gradient_of_rows_multi(rows, samples, rule, plan, memory, frame):
    """Add the gradient of many outputs; see ``gradient_of_rows``.

    The sums go into ``memory.losses``, ``memory.penalties`` and ``memory.clipped``, which are zero
    before.
    """
    params, gradient, margin = memory.params, memory.gradient, memory.margin
    n_outputs, size = rule.n_outputs, margin.shape[0]
    first = params.shape[0] - n_outputs
    step_coefs = optimizers.coefs_of_step(plan.step_coefficients, 0)
    for k in range(n_outputs):
        gradient[first + k] = 0
    for start in range(0, plan.n_visited, size):
        stop = min(start + size, plan.n_visited)
        batch = Batch(samples.order, start, stop)
        margins_multi(rows, samples.order, start, stop, memory.table, margin, memory.block)
        _raw_from_margins(margin, params, 1.0, stop - start)
        share = Share(step_coefs, batch, plan.unit * plan.n_visited / (stop - start))
        slopes(rule, rows, samples, share, margin, memory.losses)
        _sum_rows(margin, stop - start, memory.totals)
        gather(frame, rows, batch, memory)
        for k in range(n_outputs):
            gradient[first + k] += params.dtype.type(memory.totals[k])
    for k in range(n_outputs):
        memory.totals[k] = gradient[first + k]
        gradient[first + k] = 0
    draw = (plan.seed, plan.first_step)
    transforms.transform_multi(rule.transform, frame, rule, memory, first // n_outputs, draw)
    for k in range(n_outputs):
        if rule.fit_intercept:
            gradient[first + k] = params.dtype.type(memory.totals[k])
        memory.penalties[k] = cost_of_all(rule, params, k)


@kernel()
def step_from_gradient(rule, plan, memory, frame):
    """Take one step from ``memory.gradient``, and leave it zero.

    Parameters
    ----------
    rule : Rule or MultiRule
    plan : Plan of one step
    memory : Memory or MultiMemory, changed in place
    frame : Plain or Tied, changed in place
    """
    params, state, gradient = memory.params, memory.state, memory.gradient
    first = params.shape[0] - n_outputs_of(rule)
    step_coefs = optimizers.coefs_of_step(plan.step_coefficients, 0)
    own_coefs, _ = begin_step(frame, rule, step_coefs, params, memory.average)
    for c in range(first):
        descend(frame, rule, own_coefs, gradient[c], params, state, c)
        gradient[c] = 0
    tie(frame, rule, params, memory.costs)
    for c in range(first, params.shape[0]):
        if rule.fit_intercept:
            params[c] += optimizers.update(rule.optimizer, step_coefs, gradient[c], state, c)[0]
        gradient[c] = 0
    if plan.average_from == 0:
        add_to_average(frame, rule, params, memory.average)
    finish(frame, rule, 1, params, state, memory.average)
