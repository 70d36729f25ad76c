"""Losses of many outputs, one for each class."""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels._jit import helper
from fastgd.kernels.elementary import exp
from fastgd.kernels.losses._protocol import MULTINOMIAL


class Softmax(NamedTuple):
    """Cross-entropy of K classes: log(sum_k e^raw_k) - sum_k t_k raw_k.

    The target t is 1 for the true class; with e = ``label_smoothing``, 0 <= e < 1, it is 1 - e
    there and e / K are added to all classes, the true one included [1]_, as in PyTorch. The
    solvers without a learning rate know e = 0 only.

    The largest raw prediction is taken off first, so that nothing overflows.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share of the target that all classes have alike, in [0, 1).

    References
    ----------
    .. [1] Szegedy, Vanhoucke, Ioffe, Shlens & Wojna, "Rethinking the Inception Architecture for
       Computer Vision", 2016, section 7. arXiv:1512.00567
    """

    label_smoothing: float = 0.0

    kind = MULTINOMIAL
    convex = True
    nonnegative = True
    curvature_bound = 0.5

    @staticmethod
    def cross_entropy(loss):
        return loss.label_smoothing == 0.0

    @staticmethod
    def probability(loss, raw):
        e = np.exp(raw - np.max(raw, axis=1, keepdims=True))
        return e / np.sum(e, axis=1, keepdims=True)

    @staticmethod
    def value_row(loss, y_true, raw):
        largest = raw[0]
        for k in range(1, raw.shape[0]):
            largest = max(largest, raw[k])
        others = 0.0
        for k in range(raw.shape[0]):
            others += exp(raw[k] - largest) if k != y_true else 0.0
        of_truth = np.float64(raw[y_true]) - np.float64(largest)
        own = exp(of_truth)
        if loss.label_smoothing > 0.0:
            of_truth += loss.label_smoothing * _mean_beyond(raw, raw[y_true])
        return _log_total(own, others) - of_truth

    @staticmethod
    def gradient_row(loss, y_true, raw, out):
        largest = raw[0]
        for k in range(1, raw.shape[0]):
            largest = max(largest, raw[k])
        of_truth = np.float64(raw[y_true]) - np.float64(largest)
        if loss.label_smoothing > 0.0:
            of_truth += loss.label_smoothing * _mean_beyond(raw, raw[y_true])
        others, own = 0.0, 0.0
        for k in range(raw.shape[0]):
            e = exp(raw[k] - largest)
            own = e if k == y_true else own
            others += e if k != y_true else 0.0
            out[k] = e
        return _finished(loss, y_true, own, others, out) - of_truth

    @staticmethod
    def begin_row(loss, y_true, raw):
        largest = raw[0]
        for k in range(1, raw.shape[0]):
            largest = max(largest, raw[k])
        of_truth = np.float64(raw[y_true]) - np.float64(largest)
        if loss.label_smoothing > 0.0:
            of_truth += loss.label_smoothing * _mean_beyond(raw, raw[y_true])
        for k in range(raw.shape[0]):
            raw[k] -= largest
        return -of_truth

    @staticmethod
    def end_row(loss, y_true, raw):
        others, own = 0.0, np.float64(raw[y_true])
        for k in range(raw.shape[0]):
            others += np.float64(raw[k]) if k != y_true else 0.0
        return _finished(loss, y_true, own, others, raw)

    @staticmethod
    def inverse_link_row(loss, raw, out):
        largest = raw[0]
        for k in range(1, raw.shape[0]):
            largest = max(largest, raw[k])
        total = 0.0
        for k in range(raw.shape[0]):
            e = exp(raw[k] - largest)
            total += e
            out[k] = e
        for k in range(raw.shape[0]):
            out[k] /= total


@helper()
def _finished(loss, y_true, own, others, out):
    """Make of a row's exponentials the derivatives of its loss; return log(own + others)."""
    scale = 1.0 / (own + others)
    for k in range(out.shape[0]):
        out[k] *= scale
    out[y_true] = -others * scale  # with all digits, where the truth is nearly certain
    if loss.label_smoothing > 0.0:
        share = loss.label_smoothing / np.float64(out.shape[0])
        out[y_true] += loss.label_smoothing
        for k in range(out.shape[0]):
            out[k] -= share
    return _log_total(own, others)


@helper()
def _log_total(own, others):
    """Return log(own + others), the largest exponential being 1, with all digits of small ones."""
    return math.log1p(others) if own == 1.0 else math.log(own + others)


@helper()
def _mean_beyond(raw, origin):
    """Return the mean of raw_k - origin."""
    total = 0.0
    for k in range(raw.shape[0]):
        total += np.float64(raw[k]) - np.float64(origin)
    return total / np.float64(raw.shape[0])
