"""Mini-batch gradient descent of a linear model by optimizers that need the whole gradient.

A step is that of ``sgd``, but for the last line: what becomes of one parameter depends on the
gradient of all (``optimizers.step_of_all``), intercepts included. So the gradient of a batch is
gathered first, and every step passes over all parameters, on sparse rows as well.
"""

from fastgd.kernels import losses, optimizers, transforms
from fastgd.kernels._hook import cast
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.outputs import PENALTY, TOTAL
from fastgd.kernels.sgd import evaluate_shards, gather_shards
from fastgd.kernels.stores import add_to_average, cost_of_all, count
from fastgd.kernels.team import go_on, is_first


@kernel()
def whole_batches(rows, samples, rule, plan, memory, store):
    """Take the steps of a plan.

    Parameters
    ----------
    rows : Dense or CSR
    samples : Samples
    rule : Rule
    plan : Plan
    memory : Memory, changed in place
    store : Plain

    Notes
    -----
    Floor: as for ``sgd_batches`` of dense rows, and what the optimizer reads of all parameters.
    """
    params, totals = memory.params, memory.sums[TOTAL]
    n_outputs, pull = count(rule.outputs), losses.intercept_gradient(rule.loss)
    first = params.shape[0] - n_outputs
    for t in range(plan.step_coefficients.shape[0]):
        size = min(plan.batch_size, plan.n_visited - t * plan.batch_size)
        step_coefs = optimizers.coefs_of_step(plan.step_coefficients, t)
        n_shards = evaluate_shards(rows, samples, rule, plan, memory, store, t)
        if is_first(memory.team):
            if not gather_shards(memory, n_shards):
                return
            for k in range(n_outputs):
                cost = cost_of_all(rule, params, k) + pull * params[first + k]
                memory.sums[PENALTY, k] += size * cost
            draw = (plan.seed, plan.first_step + t)
            transforms.transform(rule.transform, store, rule, memory, first // n_outputs, draw)
            for k in range(n_outputs):
                if rule.fit_intercept:
                    memory.gradient[first + k] = cast(totals[k] + pull, step_coefs[0])
            _step(rule, step_coefs, memory, first)
            if t >= plan.average_from:
                add_to_average(store, rule, params, memory.average)
        if not go_on(memory.team, t + 1):
            return


@kernel()
def whole_step(rule, plan, memory, store):
    """Take one step from ``memory.gradient``, and leave it zero; see ``step_from_gradient``."""
    first = memory.params.shape[0] - count(rule.outputs)
    _step(rule, optimizers.coefs_of_step(plan.step_coefficients, 0), memory, first)
    if plan.average_from == 0:
        add_to_average(store, rule, memory.params, memory.average)


@helper()
def _step(rule, step_coefs, memory, first):
    params, gradient, state = memory.params, memory.gradient, memory.state
    optimizers.step_of_all(
        rule.optimizer, rule.penalty, step_coefs, params, gradient, state, first, step_coefs[0] * 0
    )
    for c in range(gradient.shape[0]):
        gradient[c] = 0
