"""The two halves of a step, apart: the gradient of a block of rows, and a step from a gradient.

``sgd`` fuses them, so that a batch is read from memory once. Whoever evaluates an objective, or
exchanges gradients before they are used, needs one half at a time:

    g = transform(X_b' delta / (m * mean weight))       gradient_of_rows
    w = prox(update(optimizer, w, g, state, rate))      step_from_gradient

Between the two, ``memory.gradient`` holds g, the intercepts' entries last. The coefficients are
kept as they are (``stores.Plain``, or ``Coupled`` where the penalty ties them together).
"""

from fastgd.kernels import losses, optimizers, transforms
from fastgd.kernels._hook import cast
from fastgd.kernels._jit import kernel
from fastgd.kernels.outputs import COST, PENALTY, TOTAL, Share, intercept_change
from fastgd.kernels.rows import row_at, row_dot
from fastgd.kernels.stores import (
    Batch,
    add_to_average,
    begin_step,
    cost_of_all,
    count,
    couple,
    descend,
    evaluate_batch,
    finish,
)


@kernel()
def gradient_of_rows(rows, samples, rule, plan, memory, store):
    """Add the gradient of the rows' mean loss to ``memory.gradient``, which is zero before.

    To ``memory.sums`` the weighted losses are added, and the number of clipped gradients; the
    penalty at the parameters as they are is written.

    Parameters
    ----------
    rows : Dense or CSR
    samples : Samples
    rule : Rule
    plan : Plan of one step; its batch may be longer than the arrays of ``memory``
    memory : Memory, its gradient and scratch changed in place
    store : Plain
    """
    params, gradient, totals = memory.params, memory.gradient, memory.sums[TOTAL]
    of_parts, size, n_outputs = memory.sums[COST], memory.margin.shape[0], count(rule.outputs)
    first = params.shape[0] - n_outputs
    step_coefs = optimizers.coefs_of_step(plan.step_coefficients, 0)
    for k in range(n_outputs):
        of_parts[k] = 0.0
    for start in range(0, plan.n_visited, size):
        batch = Batch(samples.order, start, min(start + size, plan.n_visited))
        unit = plan.unit * plan.n_visited / (batch.stop - start)
        evaluate_batch(
            rule.outputs, rule, rows, samples, Share(step_coefs, batch, unit), store, memory
        )
        for k in range(n_outputs):
            of_parts[k] += totals[k]
    for k in range(n_outputs):
        totals[k] = of_parts[k]
    draw = (plan.seed, plan.first_step)
    transforms.transform(rule.transform, store, rule, memory, first // n_outputs, draw)
    for k in range(n_outputs):
        if rule.fit_intercept:
            gradient[first + k] = cast(
                totals[k] + losses.intercept_gradient(rule.loss), step_coefs[0]
            )
        intercept_gradient = losses.intercept_gradient(rule.loss) * params[first + k]
        memory.sums[PENALTY, k] = cost_of_all(rule, params, k) + intercept_gradient


@kernel()
def objective_of_rows(rows, samples, rule, params, n_visited):
    """Add up losses and penalty of a model with one output.

    ``gradient_of_rows`` adds the same losses, and takes five times as long to compile.

    Parameters
    ----------
    rows : Dense or CSR
    samples : Samples
    rule : Rule
    params : (d + 1,), of X's dtype, the intercept last
    n_visited : int, rows to visit

    Returns
    -------
    float : the sum of the weighted losses
    float : the penalty
    """
    last, total = params.shape[0] - 1, 0.0
    for t in range(n_visited):
        i = row_at(samples.order, t)
        raw = row_dot(rows, i, params) + params[last]
        weight = samples.weight[i] if samples.weight.shape[0] > 0 else cast(1.0, raw)
        total += weight * losses.value(rule.loss, samples.y[i], raw)
    of_intercept = losses.intercept_gradient(rule.loss) * params[last]
    return total, cost_of_all(rule, params, 0) + of_intercept


@kernel()
def step_from_gradient(rule, plan, memory, store):
    """Take one step from ``memory.gradient``, and leave it zero.

    Parameters
    ----------
    rule : Rule
    plan : Plan of one step
    memory : Memory, changed in place
    store : Plain or Coupled, changed in place
    """
    params, state, gradient = memory.params, memory.state, memory.gradient
    first = params.shape[0] - count(rule.outputs)
    step_coefs = optimizers.coefs_of_step(plan.step_coefficients, 0)
    own_coefs, _ = begin_step(store, rule, step_coefs, params, memory.average)
    for c in range(first):
        descend(store, rule, own_coefs, gradient[c], params, state, c)
        gradient[c] = 0
    couple(store, rule, params, memory.sums[COST])
    for c in range(first, params.shape[0]):
        if rule.fit_intercept:
            params[c] += intercept_change(rule, step_coefs, gradient[c], state, c)
        gradient[c] = 0
    if plan.average_from == 0:
        add_to_average(store, rule, params, memory.average)
    finish(store, rule, 1, params, state, memory.average)
