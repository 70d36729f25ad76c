"""Weights of features that a batch of sparse rows does not have.

Where the first layer of a network reads sparse rows, the gradient of the loss is zero in those rows
of its weights whose features have no entry in the batch; only the penalty and what the optimizer
remembers would move them. ``Every`` steps them all the same, at O(features x units) a step.
``ByFeature`` leaves them alone until their feature is next read, and then makes up for the steps
that they skipped, so that a step costs O(non-zeros x units):

``Recurrence``
    exactly: what gradient descent, with or without momentum, makes of a weight and its velocity
    under l2 alone is linear, so that skipped steps are a product of 2 x 2 matrices, the same for
    all units.
``Waiting``
    in the lazy form of Adam and its kind: the moments wait, and the weight shrinks by the length
    that a step of the penalty would have,  w <- w exp(-q sum_t rate_t l2_t),  q = 1 / (sqrt(v) +
    epsilon). Steps of features that are present are those of dense rows.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import layers, optimizers
from fastgd.kernels._hook import cast, hook
from fastgd.kernels._jit import helper
from fastgd.kernels.elementary import exp
from fastgd.kernels.stores import Touched, column, list_columns

NEGLIGIBLE = 1e-30  # float32 turns denormal, and slow, at 1e-38


@hook
def begin(absent, memory):
    """Prepare for the steps of a plan."""
    return type(absent).begin(absent, memory)


@hook
def ready(absent, rule, rows, batch, t, memory):
    """Bring the weights that a batch reads to where they are after t steps; count the features."""
    return type(absent).ready(absent, rule, rows, batch, t, memory)


@hook
def leave(absent, spec, at, slopes, rows, batch, delta):
    """Write the gradient of the first layer."""
    return type(absent).leave(absent, spec, at, slopes, rows, batch, delta)


@hook
def step(absent, rule, step_coefs, l2, network, memory, n_touched):
    """Step, with the gradient of l2 / 2 |w|^2 added; return |w|^2 of before."""
    return type(absent).step(absent, rule, step_coefs, l2, network, memory, n_touched)


@hook
def finish(absent, rule, t, memory):
    """Bring all weights to where they are after t steps."""
    return type(absent).finish(absent, rule, t, memory)


class Every(NamedTuple):
    """Every weight takes every step."""

    @staticmethod
    def begin(absent, memory):
        pass

    @staticmethod
    def ready(absent, rule, rows, batch, t, memory):
        return 0

    @staticmethod
    def leave(absent, spec, at, slopes, rows, batch, delta):
        layers.backward_sparse(spec, at, slopes, rows, batch, delta)

    @staticmethod
    def step(absent, rule, step_coefs, l2, network, memory, n_touched):
        return optimizers.step_of_all(
            rule.optimizer,
            rule.penalty,
            step_coefs,
            memory.params,
            memory.gradient,
            memory.state,
            network.n_weights,
            l2,
        )

    @staticmethod
    def finish(absent, rule, t, memory):
        pass


class ByFeature(NamedTuple):
    """Weights that take their steps when their feature is read.

    They are the first of the parameters, (n_features, units), and their gradient is zero between
    steps.

    columns : Touched
    seen : (n_features,), int64, how many steps a feature's weights have taken
    squares : (1,), float64, the sum of these weights' squares, skipped steps not counted
    units : int
    skipped : Recurrence or Waiting
    """

    columns: Touched
    seen: np.ndarray
    squares: np.ndarray
    units: int
    skipped: NamedTuple

    @staticmethod
    def begin(absent, memory):
        params, total = memory.params, 0.0
        for j in range(absent.seen.shape[0]):
            total += _square(params, j, absent.units)
        absent.squares[0] = total

    @staticmethod
    def ready(absent, rule, rows, batch, t, memory):
        n_touched = list_columns(absent.columns, rule, rows, batch, memory.gradient)
        for i in range(n_touched):
            _make_up(absent, rule, column(absent.columns, i), t, memory)
            absent.seen[column(absent.columns, i)] = t + 1
        return n_touched

    @staticmethod
    def leave(absent, spec, at, slopes, rows, batch, delta):
        layers.add_sparse(spec, at, slopes, rows, batch, delta)

    @staticmethod
    def step(absent, rule, step_coefs, l2, network, memory, n_touched):
        params, gradient, state = memory.params, memory.gradient, memory.state
        before, change = absent.squares[0], 0.0
        for i in range(n_touched):
            j = column(absent.columns, i)
            change -= _square(params, j, absent.units)
            for k in range(absent.units):
                c = np.uint64(j * absent.units + k)
                g = gradient[c] + l2 * params[c]
                after, _ = optimizers.move(
                    rule.optimizer, rule.penalty, step_coefs, params[c], g, state, c
                )
                params[c] = after
                gradient[c] = 0
            change += _square(params, j, absent.units)
        absent.squares[0] += change
        return before + optimizers.step_of_each(
            rule.optimizer,
            rule.penalty,
            step_coefs,
            params,
            gradient,
            state,
            (absent.seen.shape[0] * absent.units, network.n_weights),
            l2,
        )

    @staticmethod
    def finish(absent, rule, t, memory):
        for j in range(absent.seen.shape[0]):
            _make_up(absent, rule, np.uint64(j), t, memory)
            absent.seen[j] = 0


@helper()
def _square(params, j, units):
    """Return the sum of the squares of a feature's weights."""
    total = params.dtype.type(0)
    for k in range(units):
        total += params[np.uint64(j * units + k)] * params[np.uint64(j * units + k)]
    return np.float64(total)


@helper()
def _make_up(absent, rule, j, t, memory):
    """Make up for the steps that a feature's weights have skipped."""
    since = absent.seen[j]
    if since < t:
        before = _square(memory.params, j, absent.units)
        first = np.uint64(j * absent.units)
        make_up(absent.skipped, rule, since, t, memory.params, memory.state, first, absent.units)
        absent.squares[0] += _square(memory.params, j, absent.units) - before


@hook
def make_up(skipped, rule, since, t, params, state, first, units):
    """Make of a feature's weights what the steps from ``since`` to t make of them."""
    return type(skipped).make_up(skipped, rule, since, t, params, state, first, units)


class Recurrence(NamedTuple):
    """Steps that act on a weight and its velocity as matrices.

    products : (n_numbers, 4), float64: of single steps; of two neighbours, from every second step
        on; of four; and so on, each [[w by w, w by v], [v by w, v by v]]
    starts : (n_levels,), int64, where the products of 2^k steps begin
    """

    products: np.ndarray
    starts: np.ndarray

    @staticmethod
    def make_up(skipped, rule, since, t, params, state, first, units):
        ww, wv, vw, vv = _product(skipped, since, t)
        for k in range(units):
            c = first + np.uint64(k)
            w, v = np.float64(params[c]), np.float64(optimizers.recall(rule.optimizer, state, c))
            velocity = vw * w + vv * v
            params[c] = ww * w + wv * v
            kept = velocity if abs(velocity) > NEGLIGIBLE else 0.0
            optimizers.keep(rule.optimizer, state, c, kept)


@helper()
def _product(skipped, since, t):
    """Return the product of the matrices of steps ``since`` to t: at most 2 log2(t) factors."""
    ww, wv, vw, vv = 1.0, 0.0, 0.0, 1.0
    while since < t:
        level, size = 0, 1
        while since % (2 * size) == 0 and since + 2 * size <= t:
            level, size = level + 1, 2 * size
        at = skipped.starts[level] + since // size
        a, b = skipped.products[at, 0], skipped.products[at, 1]
        c, d = skipped.products[at, 2], skipped.products[at, 3]
        ww, wv, vw, vv = a * ww + b * vw, a * wv + b * vv, c * ww + d * vw, c * wv + d * vv
        since += size
    return ww, wv, vw, vv


def recurrence_of(steps):
    """Return the products of the matrices of steps, (n_steps, 4), in plain numpy."""
    levels = [np.asarray(steps, np.float64)]
    while levels[-1].shape[0] > 1:
        matrices = levels[-1].reshape(-1, 2, 2)
        earlier, later = matrices[: len(matrices) // 2 * 2 : 2], matrices[1::2]
        levels.append((later @ earlier).reshape(-1, 4))
    starts = np.cumsum([0, *(level.shape[0] for level in levels[:-1])])
    return Recurrence(np.concatenate(levels), starts.astype(np.int64))


class Waiting(NamedTuple):
    """Moments that wait while the penalty and a decay of the optimizer's own shrink the weight.

    times : (n_steps + 1,), float64, sums of ``step_coefs[0]`` l2 over the steps before
    carries : (n_steps + 1,), float64, the logarithm of what decay has left; see ``forward_decays``
    """

    times: np.ndarray
    carries: np.ndarray

    @staticmethod
    def make_up(skipped, rule, since, t, params, state, first, units):
        time = skipped.times[t] - skipped.times[since]
        carry = skipped.carries[t] - skipped.carries[since]
        if time == 0.0 and carry == 0.0:
            return
        for k in range(units):
            c = first + np.uint64(k)
            slot = optimizers.recall(rule.optimizer, state, c)
            rate = optimizers.penalty_rate(rule.optimizer, slot)
            left = params[c] * exp(carry - time * rate)
            params[c] = cast(left, params[c]) if abs(left) > NEGLIGIBLE else cast(0.0, params[c])
