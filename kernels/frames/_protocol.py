"""What a frame is: its static methods, and the hooks by which kernels call them."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import penalties
from fastgd.kernels._hook import hook
from fastgd.kernels._jit import helper
from fastgd.kernels.penalties import at


@hook
def n_outputs_of(rule):
    """Return the number of outputs: a constant to the compiler where there is one."""
    return type(rule).n_outputs_of(rule)


@hook
def factor(frame):
    """Return what a stored coefficient is multiplied by."""
    return type(frame).factor(frame)


@hook
def begin_step(frame, rule, step_coefs, params, average):
    """Do what a step does to all coefficients at once.

    Returns the step's coefficients for what is stored, and what is left of its penalty.
    """
    return type(frame).begin_step(frame, rule, step_coefs, params, average)


@hook
def ready_row(frame, rule, rows, i, t, params, state):
    """Bring the coefficients of row i to where they are after t steps."""
    return type(frame).ready_row(frame, rule, rows, i, t, params, state)


@hook
def ready_batch(frame, rule, rows, batch, t, params, state, gradient):
    """Bring a batch's coefficients to where they are after t steps.

    ``gradient`` is all zero, before and after. Returns the number of columns that the step
    touches; ``column`` tells which they are.
    """
    return type(frame).ready_batch(frame, rule, rows, batch, t, params, state, gradient)


@hook
def make_up(frame, rule, listed, begin, end, t, params, state):
    """Bring the coefficients of entries ``begin`` to ``end`` to where they are after t steps.

    ``listed`` are sparse rows or ``Listed`` columns.
    """
    return type(frame).make_up(frame, rule, listed, begin, end, t, params, state)


@hook
def made_up(frame, output):
    """Return what skipped steps have changed in an output's penalty since the last call."""
    return type(frame).made_up(frame, output)


@hook
def column(frame, i):
    """Return the i-th of the columns that the step at hand touches."""
    return type(frame).column(frame, i)


@hook
def descend(frame, rule, step_coefs, g, params, state, c):
    """Take the step of coefficient c of the flat parameters; return its share of the cost."""
    return type(frame).descend(frame, rule, step_coefs, g, params, state, c)


@hook
def cost_after(frame, cost, shares):
    """Return the penalty after a step, from that before it and the sum of the shares."""
    return type(frame).cost_after(frame, cost, shares)


@hook
def tie(frame, rule, params, costs):
    """Let the penalty tie coefficients together after a step; write what they then cost."""
    return type(frame).tie(frame, rule, params, costs)


@hook
def add_to_average(frame, rule, params, average):
    """Add the iterate to ``average``, a float64 sum of them."""
    return type(frame).add_to_average(frame, rule, params, average)


@hook
def finish(frame, rule, t, params, state, average):
    """Leave all coefficients as they are after t steps, and the frame as new."""
    return type(frame).finish(frame, rule, t, params, state, average)


class Batch(NamedTuple):
    """The rows ``order[start:stop]``; an empty order means the rows as they lie."""

    order: np.ndarray
    start: int
    stop: int


@helper()
def cost_of_all(rule, params, output):
    """Return the penalty of the coefficients of one output; the intercept, last, has none."""
    n_outputs, total = n_outputs_of(rule), 0.0
    for j in range(params.shape[0] // n_outputs - 1):
        c = at(j, n_outputs, output)
        total += penalties.value(rule.penalty, params[c], c)
    return total + penalties.tied(rule.penalty, params, n_outputs, output)
