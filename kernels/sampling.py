"""Seeded orders of the rows: one full shuffle, then shuffled runs of it.

Visiting rows in a wholly random order costs two to four times an ordered visit, because each
row is a cache miss that no prefetcher foresees. So rows are shuffled once, and each epoch
shuffles short runs of neighbours of that order: a batch is made of several runs, drawn afresh.

An order is a function of (n_samples, run_length, seed, epoch) and of nothing else: not of the
threads, nor of whether X was copied into the shuffled order, nor of the calls before.

References
----------
.. [1] Steele, Lea & Flood, "Fast splittable pseudorandom number generators", 2014 (SplitMix64).
.. [2] Durstenfeld, "Algorithm 235: Random permutation", 1964.
"""

import numpy as np

from fastgd.kernels._jit import helper, kernel
from fastgd.kernels._views import line_in

GAMMA = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
SHIFT_27, SHIFT_30 = np.uint64(27), np.uint64(30)
SHIFT_31, SHIFT_32 = np.uint64(31), np.uint64(32)


@helper()
def mix(state):
    """Return 64 well mixed bits of a counter (the output function of SplitMix64)."""
    z = np.uint64(state)
    z = (z ^ (z >> SHIFT_30)) * MIX_1
    z = (z ^ (z >> SHIFT_27)) * MIX_2
    return z ^ (z >> SHIFT_31)


@helper()
def below(bound, state):
    """Return a number in [0, bound), bound < 2^32, from a counter's bits."""
    return ((mix(state) >> SHIFT_32) * np.uint64(bound)) >> SHIFT_32


@helper()
def shuffle(values, seed, stream):
    """Shuffle an array in place; ``seed`` and ``stream`` name the permutation."""
    state = mix(mix(np.uint64(seed) + GAMMA) + np.uint64(stream) * GAMMA)
    for i in range(values.shape[0] - 1, 0, -1):
        state += GAMMA
        j = below(i + 1, state)
        values[i], values[j] = values[j], values[i]


@kernel()
def shuffled_orders(rows, run_length, seed, epoch, runs, orders):
    """Write the orders of several epochs; see ``shuffled_epochs``, and ``shuffled_rows`` for -1.

    There is one kernel for all of them, because it takes longer to compile than to run.
    ``runs`` is scratch, in which the numbers of the runs are shuffled.
    """
    n_samples = orders.shape[1]
    for e in range(orders.shape[0]):
        shift = 0
        if run_length > 1:
            shift = np.int64(below(run_length, mix(np.uint64(seed)) + np.uint64(epoch + e)))
        n_runs = (n_samples + shift + run_length - 1) // run_length
        for r in range(n_runs):
            runs[r] = r
        shuffle(line_in(runs, 0, n_runs), seed, epoch + e + 1)
        position = 0
        for r in range(n_runs):
            first = max(runs[r] * run_length - shift, 0)
            last = min(runs[r] * run_length - shift + run_length, n_samples)
            for i in range(first, last):
                orders[e, position] = rows[i] if rows.shape[0] > 0 else i
                position += 1


def shuffled_rows(seed, out):
    """Write a permutation of 0 ... n - 1 that depends on its length and the seed only."""
    # runs of one row are what they are shuffled in: each is read before it is written
    shuffled_orders(out[:0], 1, seed, -1, out, out.reshape(1, -1))


def shuffled_runs(rows, run_length, seed, epoch, out):
    """Write ``rows`` with its runs of ``run_length`` neighbours in an order drawn for this epoch.

    ``rows`` may be empty, which means 0 ... n - 1, n = len(out). The runs' borders shift from
    epoch to epoch, so that the same neighbours are not always together.

    Parameters
    ----------
    rows : ndarray of shape (n_samples,) or (0,), integer
    run_length : int
    seed, epoch : int
    out : ndarray of shape (n_samples,), integer
    """
    shuffled_epochs(rows, run_length, seed, epoch, out.reshape(1, -1))


def shuffled_epochs(rows, run_length, seed, epoch, out):
    """Write the orders of several epochs, from ``epoch`` on, into the rows of ``out``."""
    most = (out.shape[1] + 2 * run_length) // run_length
    shuffled_orders(rows, run_length, seed, epoch, np.empty(most, out.dtype), out)
