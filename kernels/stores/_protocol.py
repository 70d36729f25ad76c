"""What a store is: its static methods, and the hooks by which kernels call them."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import penalties
from fastgd.kernels._hook import hook
from fastgd.kernels._jit import helper
from fastgd.kernels.penalties import at
from fastgd.kernels.stores._outputs import count


@hook
def factor(store):
    """Return what a stored coefficient is multiplied by."""
    return type(store).factor(store)


@hook
def begin_step(store, rule, step_coefs, params, average):
    """Do what a step does to all coefficients at once.

    Returns the step's coefficients for what is stored, and what is left of its penalty.
    """
    return type(store).begin_step(store, rule, step_coefs, params, average)


@hook
def fetch_columns(store, rows, order, position, params, state):
    """Ask for what is kept of the columns of a row that is visited soon after this position."""
    return type(store).fetch_columns(store, rows, order, position, params, state)


@hook
def ready_row(store, rule, rows, i, t, params, state):
    """Bring the coefficients of row i to where they are after t steps."""
    return type(store).ready_row(store, rule, rows, i, t, params, state)


@hook
def ready_batch(store, rule, rows, batch, t, params, state, gradient):
    """Bring a batch's coefficients to where they are after t steps.

    Returns the number of columns that the step touches; see ``list_columns``.
    """
    return type(store).ready_batch(store, rule, rows, batch, t, params, state, gradient)


@hook
def made_up(store, output):
    """Return what skipped steps have changed in an output's penalty since the last call."""
    return type(store).made_up(store, output)


@hook
def descend(store, rule, step_coefs, g, params, state, c):
    """Take the step of coefficient c of the flat parameters; return its share of the cost."""
    return type(store).descend(store, rule, step_coefs, g, params, state, c)


@hook
def cost_after(store, cost, shares):
    """Return the penalty after a step, from that before it and the sum of the shares."""
    return type(store).cost_after(store, cost, shares)


@hook
def couple(store, rule, params, costs):
    """Let the penalty tie coefficients together after a step; write what they then cost."""
    return type(store).couple(store, rule, params, costs)


@hook
def add_to_average(store, rule, params, average):
    """Add the iterate to ``average``, a float64 sum of them."""
    return type(store).add_to_average(store, rule, params, average)


@hook
def finish(store, rule, t, params, state, average):
    """Leave all coefficients as they are after t steps, and the store as new."""
    return type(store).finish(store, rule, t, params, state, average)


class Batch(NamedTuple):
    """The rows ``order[start:stop]``; an empty order means the rows as they lie."""

    order: np.ndarray
    start: int
    stop: int


@helper()
def cost_of_all(rule, params, output):
    """Return the penalty of the coefficients of one output; the intercept, last, has none."""
    n_outputs, total = count(rule.outputs), 0.0
    for j in range(params.shape[0] // n_outputs - 1):
        c = at(j, n_outputs, output)
        total += penalties.value(rule.penalty, params[c], c)
    return total + penalties.joint_value(rule.penalty, params, n_outputs, output)
