"""Quantizers with error feedback: what was not sent is sent later."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import packing
from fastgd.kernels._jit import helper


class SignScale(NamedTuple):
    """The sign of each entry times the mean size of all, with error feedback.

        p = g + e;  sent_j = |p|_1 / size sign(p_j);  e <- p - sent,  sign(0) = 1

    Notes
    -----
    The residual is measured in gradients, as Seide et al. have it; Karimireddy et al. measure it in
    steps, which differs where the rate changes.

    References
    ----------
    .. [1] Seide, Fu, Droppo, Li & Yu, "1-Bit Stochastic Gradient Descent and its Application to
       Data-Parallel Distributed Training of Speech DNNs", 2014.
    .. [2] Karimireddy, Rebjock, Stich & Jaggi, "Error Feedback Fixes SignSGD and other Gradient
       Compression Schemes", 2019, Algorithm 1. arXiv:1901.09847
    """

    feeds_back = True

    @staticmethod
    def header(quantizer, size):
        return 3, 0, 0

    @staticmethod
    def layout(quantizer, size):
        return 1, packing.bytes_for(size, 1)

    @staticmethod
    def compress(quantizer, gradient, key):
        scale = gradient.dtype.type(_mean_size(gradient))
        for c in range(gradient.shape[0]):
            gradient[c] = -scale if gradient[c] < 0 else scale

    @staticmethod
    def pack(quantizer, gradient, key, numbers, packed):
        numbers[0] = gradient.dtype.type(_mean_size(gradient))
        for c in range(gradient.shape[0]):
            packing.put(packed, c, 1, np.int64(gradient[c] < 0))

    @staticmethod
    def unpack(quantizer, numbers, packed, gradient):
        for c in range(gradient.shape[0]):
            gradient[c] = -numbers[0] if packing.get(packed, c, 1) == 1 else numbers[0]
        return True


@helper(fastmath=False)
def _mean_size(values):
    """Return the mean of |v|; zero of nothing."""
    total = 0.0
    for c in range(values.shape[0]):
        total += abs(np.float64(values[c]))
    return total / max(values.shape[0], 1)


class TopK(NamedTuple):
    """The entries that are largest in size, with error feedback.

        p = g + e;  sent_j = p_j for the k largest |p_j|, else 0;  e <- p - sent

    k is ``fraction`` of all, rounded, and at least one; of equal entries the first are taken. It
    sends a position of four bytes with each value.

    Parameters
    ----------
    fraction : float, default=0.01
        Share of the entries that is sent, in (0, 1].

    References
    ----------
    .. [1] Aji & Heafield, "Sparse Communication for Distributed Gradient Descent", 2017,
       Algorithm 1. arXiv:1704.05021
    .. [2] Stich, Cordonnier & Jaggi, "Sparsified SGD with Memory", 2018, Algorithm 1.
       arXiv:1809.07599
    """

    fraction: float = 0.01

    feeds_back = True

    @staticmethod
    def header(quantizer, size):
        return 4, 0, _n_sent(quantizer.fraction, size)

    @staticmethod
    def layout(quantizer, size):
        n_sent = _n_sent(quantizer.fraction, size)
        return n_sent, 4 * n_sent

    @staticmethod
    def compress(quantizer, gradient, key):
        n_sent = _n_sent(quantizer.fraction, gradient.shape[0])
        threshold, ties = _threshold(gradient, n_sent)
        for c in range(gradient.shape[0]):
            size = _size(gradient[c])
            if size == threshold and ties > 0:
                ties -= 1
            elif size <= threshold:
                gradient[c] = 0

    @staticmethod
    def pack(quantizer, gradient, key, numbers, packed):
        threshold, ties = _threshold(gradient, numbers.shape[0])
        n_sent = 0
        for c in range(gradient.shape[0]):
            size = _size(gradient[c])
            if size > threshold or (size == threshold and ties > 0):
                ties -= 1 if size == threshold else 0
                numbers[n_sent] = gradient[c]
                packing.put_number(packed, n_sent, c)
                n_sent += 1

    @staticmethod
    def unpack(quantizer, numbers, packed, gradient):
        gradient[:] = 0
        previous = np.int64(-1)
        for i in range(numbers.shape[0]):
            c = packing.get_number(packed, i)
            if not previous < c < gradient.shape[0]:
                return False
            gradient[c] = numbers[i]
            previous = c
        return True


@helper()
def _n_sent(fraction, size):
    """Return how many of ``size`` entries are sent."""
    return min(max(int(fraction * size + 0.5), 1), size)


@helper()
def _size(v):
    """Return |v|, inf for NaN: what is not finite goes out first, and the training is refused."""
    size = abs(v)
    return size if size < np.inf else np.inf


@helper(allocates=True)
def _threshold(values, k):
    """Return the k-th largest |v|, and how many of those equal to it are among the k."""
    sizes = np.empty(values.shape[0])
    for c in range(values.shape[0]):
        sizes[c] = _size(values[c])
    if k == 0:
        return np.inf, 0
    threshold = _selected(sizes, sizes.shape[0] - k)
    n_above = 0
    for c in range(sizes.shape[0]):
        n_above += 1 if sizes[c] > threshold else 0
    return threshold, k - n_above


@helper()
def _selected(values, place):
    """Return what sorting would put at a place; the values change places.

    Hoare's algorithm 65, from the median of three. ``np.partition`` is ten seconds of compilation.
    """
    low, high = 0, values.shape[0] - 1
    while low < high:
        a, b, c = values[low], values[(low + high) // 2], values[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if place <= j:
            high = j
        elif place >= i:
            low = i
        else:
            break
    return values[place]
