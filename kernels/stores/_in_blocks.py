"""Coefficients that are brought up to date, and stepped, many at a time.

What is read of a coefficient lies at several random places, most of them not in the nearest cache.
A loop that does little besides has the processor wait for many of them at once; the arithmetic
that follows works on lines of numbers side by side and is vector code. Its loops are over ``LANES``
coefficients, a constant, so that rows of few entries are vector code too: lanes beyond the last
coefficient hold what they held before, and nothing is read of them.
"""

from typing import NamedTuple

import numpy as np
from numba import types

from fastgd.kernels import optimizers, penalties
from fastgd.kernels._hook import implement
from fastgd.kernels._jit import helper
from fastgd.kernels._views import line_in
from fastgd.kernels.penalties import at
from fastgd.kernels.rows import column_of
from fastgd.kernels.stores._lazy import speed_of, time_of_steps
from fastgd.kernels.stores._outputs import count

IN_BLOCK = 64  # coefficients in a block
LANES = 16  # of them, what one vector loop is over
ONE, TWO, THREE = np.uint64(1), np.uint64(2), np.uint64(3)
BEFORE, SPEED, TIME, AFTER, CARRY, SLOT, LAPSE = (*range(6), 7)  # lines of ``InBlocks.block``
N_LINES = LAPSE + 4


class InBlocks(NamedTuple):
    """``OwnLengths`` for optimizers that read a number or two of their state.

    times, carries, step_coefficients, fastest : as in ``OwnLengths``
    is_even : bool, whether all steps have one coefficient: then sums go by the number of steps
    block : (N_LINES IN_BLOCK,), float64, scratch: lines of IN_BLOCK numbers, the last four of them
        the sums' differences, those of a coefficient side by side; of even steps, their number
    since : (IN_BLOCK,), int64, scratch: how many steps the columns of a block have taken
    """

    times: np.ndarray
    carries: np.ndarray
    step_coefficients: np.ndarray
    fastest: float
    is_even: bool
    block: np.ndarray
    since: np.ndarray

    @staticmethod
    def bring(skipped, store, rule, listed, entries_of, t, params, state):
        n_outputs, pending, end = count(rule.outputs), store.pending, entries_of[1]
        like = optimizers.recall(rule.optimizer, state, 0)
        for first in range(entries_of[0], end, IN_BLOCK):
            size = min(IN_BLOCK, end - first)
            _read_lapses(skipped, rule, store.seen, listed, (first, size), t)
            for output in range(n_outputs):
                _read_coefficients(skipped, rule, listed, (first, size), output, params, state)
                _time_in_block(skipped, rule, size, t, like, state)
                _skip_in_block(skipped, rule, size, like)
                pending[output] += _change_in_block(skipped, rule, size)
                for o in range(size):
                    c = at(column_of(listed, first + o), n_outputs, output)
                    params[c] = skipped.block[_in(AFTER, o)]
                    if keeps(rule.optimizer):
                        slot = _get_slot(skipped.block, o, like)
                        optimizers.keep(rule.optimizer, state, c, slot)


@helper()
def _in(line, o):
    """Return the place of coefficient o in a line of a block."""
    return np.uint64(line * IN_BLOCK) + np.uint64(o)


def keeps(optimizer):
    """Tell whether skipped steps change what is read of an optimizer's state."""
    return hasattr(type(optimizer), "keep")


@implement(keeps)
def _keeps(optimizer):
    if hasattr(optimizer.instance_class, "keep"):
        return lambda optimizer: True
    return lambda optimizer: False


@helper()
def _read_lapses(skipped, rule, seen, listed, span, t):
    """Write what a block's columns have skipped: differences of sums, or numbers of steps."""
    carries, block, first = skipped.carries, skipped.block, span[0]
    times = line_in(skipped.times, 0, 4 * carries.shape[0])
    now = np.uint64(4 * t)
    for o in range(span[1]):
        j = column_of(listed, first + o)
        since = np.uint64(seen[j])
        seen[j] = t + 1
        skipped.since[np.uint64(o)] = since
        if optimizers.decays(rule.optimizer) or keeps(rule.optimizer):
            block[_in(CARRY, o)] = carries[np.uint64(t)] - carries[since]
        if skipped.is_even:
            block[_in(LAPSE, o)] = t - np.int64(since)
            continue
        to, then = _in(LAPSE, 4 * o), np.uint64(4) * since
        # read first, then written: four numbers that lie side by side are one instruction
        one, two = times[now] - times[then], times[now + ONE] - times[then + ONE]
        three, four = times[now + TWO] - times[then + TWO], times[now + THREE] - times[then + THREE]
        block[to], block[to + ONE], block[to + TWO], block[to + THREE] = one, two, three, four


@helper()
def _read_coefficients(skipped, rule, listed, span, output, params, state):
    """Write what a block's coefficients are, and what is read of their state."""
    block, n_outputs, first = skipped.block, count(rule.outputs), span[0]
    for o in range(span[1]):
        c = at(column_of(listed, first + o), n_outputs, output)
        block[_in(BEFORE, o)] = np.float64(params[c])
        _put_slot(block, o, optimizers.recall(rule.optimizer, state, c))


def _put_slot(block, o, slot):
    """Write what ``recall`` returned, a number or two, into a block."""
    for line, number in enumerate(slot if isinstance(slot, tuple) else (slot,)):
        block[_in(SLOT + line, o)] = number


@implement(_put_slot)
def _compiled_put_slot(block, o, slot):
    return _put_two if isinstance(slot, types.BaseTuple) else _put_one


def _put_one(block, o, slot):
    block[_in(SLOT, o)] = slot


def _put_two(block, o, slot):
    block[_in(SLOT, o)] = slot[0]
    block[_in(SLOT + 1, o)] = slot[1]


def _get_slot(block, o, like):
    """Return it, as ``like`` is."""
    if isinstance(like, tuple):
        return block[_in(SLOT, o)], block[_in(SLOT + 1, o)]
    return block[_in(SLOT, o)]


@implement(_get_slot)
def _compiled_get_slot(block, o, like):
    if isinstance(like, types.BaseTuple):
        return lambda block, o, like: (block[_in(SLOT, o)], block[_in(SLOT + 1, o)])
    return lambda block, o, like: block[_in(SLOT, o)]


@helper()
def _time_in_block(skipped, rule, size, t, like, state):
    """Write the time of the skipped steps of a block's coefficients."""
    block, n_fast = skipped.block, 0.0
    common = optimizers.common_speed(rule.optimizer, state)
    for first in range(0, size, LANES):
        for lane in range(LANES):
            o = first + lane
            q = common * speed_of(rule.optimizer, _get_slot(block, o, like))
            block[_in(SPEED, o)] = q
            # what never moved is fastest, and stays zero
            is_fast = 1.0 if q > skipped.fastest else 0.0
            n_fast += is_fast * abs(block[_in(BEFORE, o)])
    if skipped.is_even:
        _time_of_even_steps(skipped, size)
    else:
        _time_of_differences(skipped, size)
    if n_fast == 0.0:
        return
    for o in range(size):
        q = block[_in(SPEED, o)]
        if q > skipped.fastest and block[_in(BEFORE, o)] != 0:
            since = skipped.since[np.uint64(o)]
            block[_in(TIME, o)] = time_of_steps(rule.penalty, skipped, since, t, q)


@helper()
def _time_of_even_steps(skipped, size):
    """Write it by the number of steps, all of which are alike."""
    block, times = skipped.block, line_in(skipped.times, 4, 4)
    first, second, third, fourth = times[0], times[1], times[2], times[3]
    for start in range(0, size, LANES):
        for lane in range(LANES):
            q = block[_in(SPEED, start + lane)]
            of_step = q * (first + q * (second + q * (third + q * fourth)))
            block[_in(TIME, start + lane)] = of_step * block[_in(LAPSE, start + lane)]


@helper()
def _time_of_differences(skipped, size):
    """Write it by the differences of sums."""
    block = skipped.block
    for start in range(0, size, LANES):
        for lane in range(LANES):
            q, place = block[_in(SPEED, start + lane)], _in(LAPSE, 4 * (start + lane))
            first, second = block[place], block[place + ONE]
            third, fourth = block[place + TWO], block[place + THREE]
            block[_in(TIME, start + lane)] = q * (first + q * (second + q * (third + q * fourth)))


@helper()
def _skip_in_block(skipped, rule, size, like):
    """Write what skipped steps made of a block's coefficients, and of their slots."""
    block = skipped.block
    for first in range(0, size, LANES):
        for lane in range(LANES):
            o = first + lane
            own = optimizers.SkippedSteps(1, block[_in(TIME, o)], 0.0, block[_in(CARRY, o)])
            before, slot = block[_in(BEFORE, o)], _get_slot(block, o, like)
            after, slot = optimizers.catch_up(rule.optimizer, rule.penalty, before, slot, own, 0)
            block[_in(AFTER, o)] = after
            if keeps(rule.optimizer):
                _put_slot(block, o, slot)


@helper()
def _change_in_block(skipped, rule, size):
    """Return what that changed in the penalty: a sum apart from stores, see ``objective``."""
    block, change = skipped.block, 0.0
    for first in range(0, size, LANES):
        for lane in range(LANES):
            o = first + lane
            more = penalties.value(rule.penalty, block[_in(AFTER, o)], 0)
            more -= penalties.value(rule.penalty, block[_in(BEFORE, o)], 0)
            change += more if o < size else 0.0
    return change
