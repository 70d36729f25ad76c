"""Quantizers on a device: which drivers make of a gradient what is sent of it.

Each is the processor's quantizer, its loops spread over threads: rounded to the same levels by the
same random numbers, and with error feedback by the same residual.
"""

from typing import Any

import numpy as np

from fastgd.kernels.cuda import memory, vectors
from fastgd.kernels.cuda._compiler import BLOCK
from fastgd.kernels.transforms import Identity, Qsgd, SignScale, TernGrad, TopK
from fastgd.kernels.transforms._error_feedback import _n_sent
from fastgd.kernels.transforms._rounding import _half


def compressor_of(quantizer: Any, gradient: Any) -> Any:
    """Return what quantizes a gradient in place: a function of (gradient, residual, seed, step).

    Parameters
    ----------
    quantizer : one of ``transforms.TRANSFORMS``, or ``Identity``
    gradient : (P,), on the device, of which sizes and type are taken
    """
    if type(quantizer) is Identity:
        return lambda *_: None
    made = _FORMS[type(quantizer)](quantizer, gradient.shape[0])

    def compress(gradient: Any, residual: Any, seed: Any, step: Any) -> None:
        feeds_back, size = residual.shape[0] > 0, gradient.shape[0]
        if feeds_back:
            vectors.feed_back.spread(size, gradient, residual)
        made(gradient, seed, step)
        if feeds_back:
            vectors.keep_rest.spread(size, gradient, residual)

    return compress


def _rounds(bucket: int, half: float, size: int) -> Any:
    bucket = max(min(bucket, size), 1)
    scales = memory.zeros(max(-(-size // bucket), 1))

    def compress(gradient: Any, *draw: Any) -> None:
        n_buckets = scales.shape[0]
        blocks = min(n_buckets, vectors.SHARDS)
        vectors.largest_of_buckets.launch(blocks, BLOCK, gradient, bucket, scales)
        vectors.round_entries.spread(size, gradient, bucket, scales, half, *draw)

    return compress


def _qsgd(quantizer: Any, size: int) -> Any:
    return _rounds(int(quantizer.bucket), float(_half(quantizer.bits)), size)


def _terngrad(quantizer: Any, size: int) -> Any:
    return _rounds(size, 1.0, size)


def _sign(quantizer: Any, size: int) -> Any:
    n_shards = max(min(-(-size // BLOCK), vectors.SHARDS), 1)
    partial, total = memory.empty((n_shards, 1)), memory.zeros(1)

    def compress(gradient: Any, *_: Any) -> None:
        vectors.add_shards.launch(n_shards, BLOCK, gradient, partial)
        vectors.add_up.launch(1, BLOCK, partial, total, 0)
        vectors.write_signs.spread(size, gradient, total)

    return compress


def _topk(quantizer: Any, size: int) -> Any:
    sizes, count = memory.zeros(size), int(_n_sent(quantizer.fraction, size))
    bits = sizes.view(np.int64)

    def compress(gradient: Any, *_: Any) -> None:
        vectors.write_sizes.spread(size, gradient, sizes)
        vectors.keep_largest.launch(1, BLOCK, gradient, bits, count)

    return compress


_FORMS = {Qsgd: _qsgd, TernGrad: _terngrad, SignScale: _sign, TopK: _topk}
