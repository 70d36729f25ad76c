"""What an optimizer is: its static methods, and the hooks by which kernels call them.

An optimizer is a ``NamedTuple`` of its hyperparameters with static methods, the scalar ones
compiled into the kernels' inner loops:

``update(optimizer, step_coefs, g, state, j)``
    From a row of ``step_coefficients`` and the coordinate's gradient, update ``state[:, j]`` and
    return ``(change, step)``: what to add to the coordinate, and the
    length of the step that the penalty takes with it.
``step_coefficients(optimizer, rates, first)``
    Plain numpy: the four numbers that ``update`` may need of each step, from the schedule's
    rates and the number of the first step (1-based); shape (n_steps, 4), column 0 proportional to
    the rate. Bias corrections live here, computed once a step and not once a coordinate.

``n_slots`` is the number of arrays of the parameters' shape in ``state``, ``eta0`` the rate that
is taken where no schedule is asked for. What follows is for some of them:

``decayed(optimizer, step_coefs, param)``
    What a decay of its own, apart from the penalty, leaves of a coefficient before the step.
``move(optimizer, penalty, step_coefs, param, g, state, c)``
    The whole step of a coefficient, where it is not "change, then penalty". Intercepts, which
    have neither penalty nor decay, are always stepped by ``update``.
``step_of_all(optimizer, penalty, step_coefs, params, gradient, state, n_penalised, strength)``
    The step of all parameters, where it is more than that of each: what one of them does depends
    on the gradient of the others. The first ``n_penalised`` have a penalty. Such an optimizer is
    handed whole gradients, so that every step passes over all coefficients; ``strength``, which
    others add as an l2 penalty, is 0 for it. It returns 0.0.
``with_matrices(optimizer, matrices)``
    Plain numpy: the optimizer, once it is known which parameters are matrices (``Muon``).
``slope(optimizer, step_coefs, rows, i, value, slope)``
    The slope that a step of a single row goes by, where that depends on the row's loss.

How steps without a gradient are made up for is said by ``skipped_steps``. On sparse rows such an
optimizer's step costs O(non-zeros); one that says nothing steps all coefficients every time:

``SAME_LENGTH``
    Only the penalty moves the coefficient, by steps of one length for all of them (``lengths``).
``OWN_LENGTH``
    As that, by steps of ``penalty_rate`` times ``step_coefs[0]``, which nothing else changes.
``VELOCITY``
    The coefficient moves on by a velocity, as in ``Momentum``, whose fields ``momentum`` and
    ``nesterov`` it has.
``MOMENTS``
    Moments fade and change the length of the penalty's steps: without a penalty only.
``SUMS``
    The coefficient is a function of sums; time is the sum of the rates.

``catch_up(optimizer, penalty, param, slot, skipped, c)``
    What steps with a gradient of zero would have made of coefficient c, which they did not touch;
    ``recall`` and ``keep`` read and write the slots of its state that matter. It takes and
    returns scalars only: arrays would have numba count references in a hot loop. By default the
    penalty alone moves it, and no slot matters.
``lengths(optimizer, step_coefficients)``
    Plain numpy: the lengths of the penalty's steps, where they are the same for all coordinates.
``penalty_rate(optimizer, slot)``
    Where they are not: the length of a coordinate's own step, of ``step_coefs[0]`` times it.
``penalty_rate_at(optimizer, state, j)``
    The same of coordinate j, in the precision of the state; by default from what ``recall``
    returns, which is float64 and takes several times as long in lines of float32.
``common_speed(optimizer, state)``
    A factor of these lengths that all coordinates share; 1 by default.
``recurrence(optimizer, step_coefficients, strengths)``
    Plain numpy: the matrices [[w by w, w by v], [v by w, v by v]], (n_steps, 4), that steps with
    l2 of these strengths as their whole gradient are, of a weight and the slot that ``recall``
    returns. For the first layer of networks on sparse rows.
``carries(optimizer, penalty, step_coefficients, times)``
    Plain numpy: a further measure of the steps, (n_steps + 1,), for ``SkippedSteps``; zero by
    default.
``is_plain``
    Whether a step is ``-step_coefs[0] g`` and the penalty's as long, without state or averages of
    gradients: then all coefficients may share a factor.

``follows_rates``
    Whether ``step_coefficients`` depend on the rates alone, and not on the steps' numbers; default
    False, also for a class made of one that says so.
``side_by_side``
    Whether ``recall`` returns a number or two, which with the steps' times and carries is all that
    ``catch_up`` needs: then many coefficients are brought up to date at once, and ``update``,
    ``move`` and ``penalty_rate_at`` may be handed a copy of some columns of the state, where j
    is a place and not the number of a column. False by default.

What goes with what:

``penalty_methods``, ``loss_methods``
    Names of what a penalty and a loss must have for this optimizer; none by default.
``ahead``
    How far what is trained lies ahead of what predicts, in units of the state's first slot
    (``ScheduleFreeSGD``); 0 by default.
``finds_rate``
    Whether the rate is a factor of one that is found: then it is ``eta0`` unless asked for.
``reads_state_as``
    Words that differ where its fields give the slots of the state another meaning: a training that
    goes on with other words begins with a new state. None by default.
``rate_is_constant``
    True, False, or by default None: the estimator's default schedule, which is made for plain
    sgd, then means a constant rate. True: any named schedule does.

The length of the penalty's step is the optimizer's own reply to a constant gradient of one, so
that the point where the loss's and the penalty's forces balance is the minimum of the objective
whatever the optimizer: rate for sgd, rate / (1 - momentum) for momentum, rate / (sqrt(v) +
epsilon) of each coordinate for Adam. (``Lion`` is the exception, for it replies to signs.)

Those of the Adam kind carry on with their moments where a gradient is zero, which has no closed
form. ``LazyMoments`` lets coefficients keep their moments then; it needs ``length``,
``penalty_rate`` and ``recall``. The field ``lazy`` says when: None means ``lazy_on_sparse``, on
sparse rows.
"""

import numpy as np

from fastgd.kernels import penalties
from fastgd.kernels._hook import hook, implement, optional
from fastgd.kernels._jit import helper

IN_CACHE = 1 << 11  # numbers

SAME_LENGTH, OWN_LENGTH, VELOCITY = "same length", "own length", "velocity"
MOMENTS, SUMS = "moments", "sums"


@hook
def update(optimizer, step_coefs, g, state, j):
    """Update the state of coordinate j by its gradient g; return its change and step length."""
    return type(optimizer).update(optimizer, step_coefs, g, state, j)


@optional
def recall(optimizer, state, j):
    """Return the part of a coordinate's state that ``catch_up`` needs."""
    return 0.0


@optional
def keep(optimizer, state, j, slot):
    """Put back what ``catch_up`` made of it."""


@optional
def catch_up(optimizer, penalty, param, slot, skipped, c):
    """Return a coefficient and its slots after steps in which its gradient was zero."""
    return penalties.skip(penalty, param, skipped.time), slot


@hook
def length(optimizer, step_coefs, state, j):
    """Return the length of the penalty's step of a coordinate that keeps its moments."""
    return type(optimizer).length(optimizer, step_coefs, state, j)


@optional
def penalty_rate(optimizer, slot):
    """Return the length of the penalty's step, in units of ``step_coefs[0]``."""
    return 1.0


@optional
def penalty_rate_at(optimizer, state, j):
    """Return ``penalty_rate`` of a coordinate, which may be as precise as the state is."""
    return penalty_rate(optimizer, recall(optimizer, state, j))


@optional
def common_speed(optimizer, state):
    """Return what the lengths of all coefficients have in common, besides ``step_coefs[0]``."""
    return 1.0


@optional
def decayed(optimizer, step_coefs, param):
    """Return what a decay of the optimizer's own leaves of a coefficient."""
    return param


def decays(optimizer):
    """Tell whether an optimizer, or the one that it wraps, has a decay of its own."""
    return hasattr(type(getattr(optimizer, "optimizer", optimizer)), "decayed")


@implement(decays)
def _decays(optimizer):
    wrapped = dict(zip(optimizer.fields, optimizer, strict=True)).get("optimizer", optimizer)
    if hasattr(wrapped.instance_class, "decayed"):
        return lambda optimizer: True
    return lambda optimizer: False


@optional
def move(optimizer, penalty, step_coefs, param, g, state, c):
    """Return coefficient c after its step, and the length of the penalty's step."""
    change, step = update(optimizer, step_coefs, g, state, c)
    held = decayed(optimizer, step_coefs, param)
    return penalties.proximal(penalty, held, change, step, c), step


@optional
def step_of_all(optimizer, penalty, step_coefs, params, gradient, state, n_penalised, strength):
    """Step all parameters from their gradient; those from ``n_penalised`` on have no penalty.

    ``strength`` times the others is added to their gradient; the sum of their squares before the
    step is returned.
    """
    return step_of_each(
        optimizer, penalty, step_coefs, params, gradient, state, (0, n_penalised), strength
    )


@helper()
def step_of_each(optimizer, penalty, step_coefs, params, gradient, state, penalised, strength):
    """Do so, each by itself; ``penalised``: the first parameter, and where penalties end."""
    squares, first, n_penalised = 0.0, penalised[0], penalised[1]
    for start in range(first, n_penalised, IN_CACHE):
        stop, few = min(start + IN_CACHE, n_penalised), params.dtype.type(0)
        for number in range(start, stop):  # of few, sums in float32 are as good
            few += params[np.uint64(number)] * params[np.uint64(number)]
        squares += np.float64(few)
        for number in range(start, stop):
            c = np.uint64(number)  # spares the test for a negative index, and so makes vector code
            g = gradient[c] + strength * params[c]
            after, _ = move(optimizer, penalty, step_coefs, params[c], g, state, c)
            params[c] = after
    for number in range(n_penalised, gradient.shape[0]):
        c = np.uint64(number)
        params[c] += update(optimizer, step_coefs, gradient[c], state, c)[0]
    return squares


@optional
def slope(optimizer, step_coefs, rows, i, value, slope):
    """Return the slope that row i's step goes by, from its loss and the loss's slope."""
    return slope


def skipped_steps_of(optimizer):
    """Return how steps without a gradient are made up for; None where they are not."""
    return getattr(optimizer, "skipped_steps", None)


def follows_rates(optimizer):
    """Tell whether step coefficients depend on the rates alone; what is inherited is no fact."""
    return bool(vars(type(optimizer)).get("follows_rates", False))


def step_columns(*numbers):
    """Return step coefficients: each step's numbers side by side, 0 for those that are not used."""
    step_coefficients = np.zeros((numbers[0].shape[0], 4))
    for k, number in enumerate(numbers):
        step_coefficients[:, k] = number
    return step_coefficients


@helper()
def coefs_of_step(step_coefficients, t):
    """Return what ``update`` needs of step t, as scalars."""
    return (
        step_coefficients[t, 0],
        step_coefficients[t, 1],
        step_coefficients[t, 2],
        step_coefficients[t, 3],
    )
