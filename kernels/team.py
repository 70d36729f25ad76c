"""A batch in shards, that several threads compute.

A batch is cut into shards by its size alone. Each shard has a gradient and losses of its own, which
are added in the shards' order: so the bits do not depend on how many threads there are. The
threads run one and the same kernel, each with scratch of its own. In every step they take the
batch's shards off a list; the first thread then waits for those that others have taken, adds up,
steps the parameters, and lets the others go on. It never waits for a thread that has not begun, and
computes everything itself where none comes.

What threads tell each other is on a ``board`` of numbers that are read and written atomically.
Which shards have been taken is a count that only grows, so that a thread which was held up finds
its shards taken, and catches up.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels._atomic import add_one, let_others_run, read, swap, write
from fastgd.kernels._hook import hook
from fastgd.kernels._jit import helper
from fastgd.kernels._views import row_in

TAKEN, DONE, STEPS, FAILED, EXPECTED = 0, 8, 16, 24, 32  # on the board, each in a cache line
BOARD = 40
PATIENCE = 1 << 10  # looks at the board before others may have the processor


@hook
def shards_of(team, size):
    """Return how many rows each shard of a batch has; the last one may have fewer."""
    return type(team).shards_of(team, size)


@hook
def take(team, t, n_shards, last):
    """Return the number of a shard of step t to compute, after the ``last``; -1 if none is left."""
    return type(team).take(team, t, n_shards, last)


@hook
def gradient_of(team, gradient, number):
    """Return where a shard's gradient is written; the first one's is the batch's."""
    return type(team).gradient_of(team, gradient, number)


@hook
def losses_of(team, losses, number, n_shards):
    """Return what a shard's losses, a line of numbers, are added to."""
    return type(team).losses_of(team, losses, number, n_shards)


@hook
def is_first(team):
    """Tell whether this thread steps the parameters."""
    return type(team).is_first(team)


@hook
def arrived(team, n_shards):
    """Wait until all shards that were handed out are done; False after a failure."""
    return type(team).arrived(team, n_shards)


@hook
def gather(team, gradient, losses, n_shards):
    """Wait for a batch's shards, and add them up; tell whether all of them are there."""
    return type(team).gather(team, gradient, losses, n_shards)


@hook
def go_on(team, t):
    """Let the other threads begin with step t, or wait until they may; False after a failure."""
    return type(team).go_on(team, t)


class Alone(NamedTuple):
    """One thread, and batches in one piece."""

    @staticmethod
    def shards_of(team, size):
        return size

    @staticmethod
    def take(team, t, n_shards, last):
        return last + 1 if last + 1 < n_shards else -1

    @staticmethod
    def gradient_of(team, gradient, number):
        return gradient

    @staticmethod
    def losses_of(team, losses, number, n_shards):
        return losses

    @staticmethod
    def is_first(team):
        return True

    @staticmethod
    def arrived(team, n_shards):
        return True

    @staticmethod
    def gather(team, gradient, losses, n_shards):
        return True

    @staticmethod
    def go_on(team, t):
        return True


class Team(NamedTuple):
    """Threads that share batches.

    board : (BOARD,), int64, zeros before the first step
    worker : int, this thread's number; 0 steps the parameters
    most, rows : int, shards of a batch at most, and rows of a shard
    gradients : (most - 1, n_trained), of all shards but the first, whose is the batch's
    losses : (most, n_numbers), float64, what shards add up besides
    """

    board: np.ndarray
    worker: int
    most: int
    rows: int
    gradients: np.ndarray
    losses: np.ndarray

    @staticmethod
    def shards_of(team, size):
        return min(team.rows, size)

    @staticmethod
    def take(team, t, n_shards, last):
        if last >= 0:
            add_one(team.board, DONE)
        taken, end = read(team.board, TAKEN), t * team.most + n_shards
        while taken < end:
            if swap(team.board, TAKEN, taken, taken + 1):
                return taken - t * team.most
            taken = read(team.board, TAKEN)
        return -1

    @staticmethod
    def gradient_of(team, gradient, number):
        return row_in(team.gradients, number - 1) if number > 0 else gradient

    @staticmethod
    def losses_of(team, losses, number, n_shards):
        if n_shards == 1:
            return losses
        own = row_in(team.losses, number)
        own[:] = 0
        return own

    @staticmethod
    def is_first(team):
        return team.worker == 0

    @staticmethod
    def arrived(team, n_shards):
        team.board[EXPECTED] += n_shards
        return _wait(team.board, DONE, team.board[EXPECTED]) and read(team.board, FAILED) == 0

    @staticmethod
    def gather(team, gradient, losses, n_shards):
        if not arrived(team, n_shards):
            return False
        for number in range(n_shards - 1):
            _add(row_in(team.gradients, number), gradient)
        if n_shards > 1:
            for number in range(n_shards):
                _add(row_in(team.losses, number), losses)
        return True

    @staticmethod
    def go_on(team, t):
        if team.worker > 0:
            return _wait(team.board, STEPS, t)
        write(team.board, TAKEN, t * team.most)
        write(team.board, STEPS, t)
        return True


@helper()
def _wait(board, at, value):
    """Wait until a number on the board is at least ``value``; False if a thread has failed."""
    looks = 0
    while read(board, at) < value:
        if read(board, FAILED) != 0:
            return False
        looks += 1
        if looks >= PATIENCE:
            let_others_run()
    return True


@helper()
def _add(source, target):
    for c in range(target.shape[0]):
        target[c] += source[c]
