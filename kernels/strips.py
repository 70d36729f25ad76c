"""The first layer of a network by strips of features, which threads share.

Where dense rows come in, most weights are often the first layer's. Its part of a step goes by
features: for a strip s of them, with the next batch's rows X^+,

    G_s = X_s' D                           the gradient; D: derivatives by the weighted sums
    W_s = update(optimizer, W_s, G_s)      the step
    Z_s = X_s^+ W_s                        the strip's part of the next batch's weighted sums

So a strip goes from one batch to the next in one go, while its weights are in cache, and strips
need nothing of each other. Shards of a batch would each have a gradient as large as W, to be added
up; strips divide W itself, so that small batches, too, are worth a second thread. What lies
between Z = Z_0 + Z_1 + ... and D is one thread's.

How many strips there are goes by sizes alone, and Z is added up in their order: so the bits do not
depend on how many threads there are. Within a strip, products go by blocks of features, which BLAS
multiplies without copying them first if they are small enough, and pass over zeros (``tiles``).
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import optimizers
from fastgd.kernels._hook import hook
from fastgd.kernels._jit import helper
from fastgd.kernels._views import line_in, table_in
from fastgd.kernels.absent import step
from fastgd.kernels.outputs import PENALTY
from fastgd.kernels.rows import row_at
from fastgd.kernels.stores import Batch
from fastgd.kernels.team import arrived, go_on, is_first, take
from fastgd.kernels.tiles import (
    Lists,
    Tile,
    bring_in,
    fetch,
    multiply_tile,
    multiply_transposed_tile,
)


class Turn(NamedTuple):
    """What a strip needs to go from one batch to the next.

    old, new : Batch; the first is empty before the first step, the second after the last
    step_coefs : tuple, of the old batch's step
    l2 : float, strength of the penalty in it
    """

    old: Batch
    new: Batch
    step_coefs: tuple
    l2: float


@hook
def phase_of(strips, t):
    """Return how many phases of a team come before the gradient of step t."""
    return type(strips).phase_of(strips, t)


@hook
def is_cut(strips):
    """Tell whether there are strips."""
    return type(strips).is_cut(strips)


@hook
def come_in(strips, rows, batch, block, out):
    """Write what the first layer works on; return the first layer that is still to be computed."""
    return type(strips).come_in(strips, rows, batch, block, out)


@hook
def step_others(strips, rule, step_coefs, l2, network, memory, n_touched):
    """Step what is in no strip, with the gradient of l2 / 2 |w|^2 added; return |w|^2 of before."""
    return type(strips).step_others(strips, rule, step_coefs, l2, network, memory, n_touched)


@hook
def turn_strips(strips, rows, samples, rule, plan, memory, t):
    """Step all strips by the batch of step t, and multiply them with the next; False if one failed.

    The next step begins with this, so that it can be handed out; what comes before the first step
    has t = -1.
    """
    return type(strips).turn_strips(strips, rows, samples, rule, plan, memory, t)


class Whole(NamedTuple):
    """No strips: rows are copied side by side, and the first layer is one as others are."""

    @staticmethod
    def phase_of(strips, t):
        return t

    @staticmethod
    def is_cut(strips):
        return False

    @staticmethod
    def come_in(strips, rows, batch, block, out):
        for position in range(batch.start, batch.stop):
            i, o = row_at(batch.order, position), position - batch.start
            for j in range(rows.values.shape[1]):
                block[o, j] = rows.values[i, j]
        return 0

    @staticmethod
    def step_others(strips, rule, step_coefs, l2, network, memory, n_touched):
        return step(memory.absent, rule, step_coefs, l2, network, memory, n_touched)

    @staticmethod
    def turn_strips(strips, rows, samples, rule, plan, memory, t):
        return True


class Strips(NamedTuple):
    """A dense first layer, whose weights are the first of the parameters.

    width, depth : int, features of a strip, and of a block within it; the last ones have fewer
    height : int, rows that are multiplied with a block at a time
    units : int
    parts : (n_strips, capacity, units), each strip's part of the weighted sums
    squares : (n_strips,), float64, the sum of a strip's squared weights before its last step
    lists : Lists, of what is not zero
    """

    width: int
    depth: int
    height: int
    units: int
    parts: np.ndarray
    squares: np.ndarray
    lists: Lists

    @staticmethod
    def phase_of(strips, t):
        return 2 * t + 1

    @staticmethod
    def is_cut(strips):
        return True

    @staticmethod
    def come_in(strips, rows, batch, block, out):
        capacity, units, parts = strips.parts.shape[1], strips.units, strips.parts
        size = out.shape[0] * units
        total = line_in(out, 0, size)
        for number in range(parts.shape[0]):
            part = line_in(parts, number * capacity * units, size)
            if number == 0:
                for c in range(size):
                    total[c] = part[c]
            else:
                for c in range(size):
                    total[c] += part[c]
        return 1

    @staticmethod
    def step_others(strips, rule, step_coefs, l2, network, memory, n_touched):
        return optimizers.step_of_each(
            rule.optimizer,
            rule.penalty,
            step_coefs,
            memory.params,
            memory.gradient,
            memory.state,
            (memory.scratch.block.shape[1] * strips.units, network.n_weights),
            l2,
        )

    @staticmethod
    def turn_strips(strips, rows, samples, rule, plan, memory, t):
        old, new = batch_of(samples, plan, t), batch_of(samples, plan, t + 1)
        size = old.stop - old.start
        l2 = rule.l2 / (max(size, 1) * plan.unit)
        step_coefs = optimizers.coefs_of_step(plan.step_coefficients, max(t, 0))
        turn = Turn(old, new, step_coefs, memory.params.dtype.type(l2))
        team, n_strips, phase = memory.team, strips.squares.shape[0], phase_of(strips, t) + 1
        number = take(team, phase, n_strips, -1)
        while number >= 0:
            _turn(strips, number, rows, turn, rule, memory)
            number = take(team, phase, n_strips, number)
        if is_first(team):
            if not arrived(team, n_strips):
                return False
            for number in range(n_strips):
                memory.sums[PENALTY, 0] += size * (0.5 * l2 * strips.squares[number])
        return go_on(team, phase + 1)


@helper()
def batch_of(samples, plan, t):
    """Return the batch of a step; an empty one before the first and after the last."""
    start = min(max(t, 0) * plan.batch_size, plan.n_visited)
    stop = min((t + 1) * plan.batch_size, plan.n_visited)
    return Batch(samples.order, start, stop)


@helper()
def _turn(strips, number, rows, turn, rule, memory):
    """Step a strip by the old batch, and multiply it with the new one."""
    first = number * strips.width
    last = min(first + strips.width, memory.scratch.block.shape[1])
    strips.squares[number] = 0
    for feature in range(first, last, strips.depth):
        n_features = min(strips.depth, last - feature)
        size = turn.new.stop - turn.new.start
        fetch(_tile(strips, feature, n_features, 0, size), rows, turn.new)
        if turn.old.stop > turn.old.start:
            strips.squares[number] += _step_block(strips, feature, n_features, turn, rule, memory)
        if size > 0:
            _multiply_block(strips, number, feature, n_features, rows, turn.new, memory)


@helper()
def _tile(strips, feature, n_features, first, size):
    """Return the tile of some features, and of rows from a first on, of a batch of ``size`` rows.

    Behind the last row it has none.
    """
    n_rows = min(strips.height, size - first)
    return Tile(first // strips.height, feature, n_features, first, n_rows)


@helper()
def _step_block(strips, feature, n_features, turn, rule, memory):
    """Step the weights of some features; return the sum of their squares before."""
    units, scratch, size = strips.units, memory.scratch, turn.old.stop - turn.old.start
    begin, end = feature * units, (feature + n_features) * units
    slopes = table_in(memory.gradient, begin, n_features, units)
    for first in range(0, size, strips.height):
        tile = _tile(strips, feature, n_features, first, size)
        delta = table_in(scratch.deltas, first * units, tile.n_rows, units)
        multiply_transposed_tile(strips.lists, tile, scratch.block, delta, first > 0, slopes)
    return optimizers.step_of_each(
        rule.optimizer,
        rule.penalty,
        turn.step_coefs,
        memory.params,
        line_in(memory.gradient, 0, end),
        memory.state,
        (begin, end),
        turn.l2,
    )


@helper()
def _multiply_block(strips, number, feature, n_features, rows, batch, memory):
    """Write, or add, what some features make of the weighted sums into their strip's part."""
    units, block, size = strips.units, memory.scratch.block, batch.stop - batch.start
    weights = table_in(memory.params, feature * units, n_features, units)
    part, is_added = number * strips.parts.shape[1] * units, feature > number * strips.width
    for first in range(0, size, strips.height):
        tile = _tile(strips, feature, n_features, first, size)
        bring_in(strips.lists, number, tile, rows, batch, block)
        fetch(_tile(strips, feature, n_features, first + strips.height, size), rows, batch)
        out = table_in(strips.parts, part + first * units, tile.n_rows, units)
        multiply_tile(strips.lists, number, tile, block, weights, is_added, out)
