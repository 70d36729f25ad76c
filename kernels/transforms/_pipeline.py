"""Clipping, then quantization."""

from typing import NamedTuple

from fastgd.kernels._jit import helper
from fastgd.kernels.outputs import CLIPPED, TOTAL
from fastgd.kernels.stores import count
from fastgd.kernels.transforms._protocol import clip, clip_row, clipped_entry
from fastgd.kernels.transforms._quantizer import key_of, send


class Transform(NamedTuple):
    """Clipping, then quantization.

    clip : Clip or Identity
    quantize : a quantizer or Identity
    is_shared : bool, whether all outputs are one problem with one norm; the trainer says it
    """

    clip: NamedTuple
    quantize: NamedTuple
    is_shared: bool = True

    @staticmethod
    def transform(spec, store, rule, memory, n_touched, draw):
        gradient, totals = memory.gradient, memory.sums[TOTAL]
        n_outputs, first_of_last = count(rule.outputs), gradient.shape[0] - count(rule.outputs)
        if rule.fit_intercept:
            for k in range(n_outputs):
                gradient[first_of_last + k] = totals[k]
        width = n_outputs if spec.is_shared else 1
        for first in range(0, n_outputs, width):
            clipped = clip(spec.clip, store, rule, gradient, n_touched, first, width)
            memory.sums[CLIPPED, first] += clipped
        send(spec.quantize, gradient, memory.residual, _n_trained(rule, gradient), key_of(*draw))
        for k in range(n_outputs):
            totals[k] = gradient[first_of_last + k]
            gradient[first_of_last + k] = 0

    @staticmethod
    def clip_row(spec, rows, i, delta, fit_intercept):
        return clip_row(spec.clip, rows, i, delta, fit_intercept)

    @staticmethod
    def clipped_entry(spec, g, factor):
        return clipped_entry(spec.clip, g, factor)


@helper()
def _n_trained(rule, gradient):
    """Return how many parameters are trained: all, or all but the intercepts, which are last."""
    return gradient.shape[0] - (0 if rule.fit_intercept else count(rule.outputs))
