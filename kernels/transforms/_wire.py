"""Gradients as bytes, as workers send them.

``encode`` writes, all little-endian::

    0   uint8    format: 1 qsgd, 2 terngrad, 3 sign, 4 topk
    1   uint8    bytes of a number: 4 or 8 (float32, float64)
    2   uint8    width: bits of an entry; 0 where the format has one width
    3   uint8    version of this layout, 1
    4   uint64   size of the gradient
    12  uint32   count: entries of a bucket (qsgd), entries sent (topk), else 0
    16  numbers  scales; or the values sent (topk)
    ..  bytes    codes of the entries; or their positions as uint32, ascending (topk)
"""

import numpy as np

from fastgd.kernels._jit import kernel
from fastgd.kernels.transforms._quantizer import key_of, pack, send, unpack

HEADER_BYTES, VERSION = 16, 1
LONGEST = 2**31 - 1  # positions are int32


def encode(quantizer, gradient, seed, step):
    """Return what is sent of a gradient, packed.

    Parameters
    ----------
    quantizer : one of ``TRANSFORMS``
    gradient : ndarray of shape (size,), float32 or float64; not changed. A quantizer that feeds
        back is handed the sum of gradient and residual.
    seed, step : int, which name the random numbers

    Returns
    -------
    payload : ndarray of uint8; the module's docstring has the layout
    """
    if gradient.ndim != 1 or gradient.dtype not in (np.float32, np.float64):
        raise ValueError(
            f"a gradient is a vector of float32 or float64, got {gradient.ndim} dimensions of "
            f"{gradient.dtype}"
        )
    size, dtype = gradient.shape[0], gradient.dtype
    header = _header(quantizer, size, dtype)
    n_numbers, n_bytes = quantizer.layout(quantizer, size)
    numbers, packed = np.zeros(n_numbers, dtype), np.zeros(n_bytes, np.uint8)
    with np.errstate(over="ignore", invalid="ignore"):
        _pack(quantizer, np.ascontiguousarray(gradient), seed, step, numbers, packed)
    numbers = numbers.astype(dtype.newbyteorder("<"), copy=False).view(np.uint8)
    return np.concatenate([header, numbers, packed])


def decode(quantizer, payload, size, dtype):
    """Return the gradient that was sent: bit for bit what the quantizer makes of it in place.

    Parameters
    ----------
    quantizer : what it was encoded by
    payload : ndarray of uint8, or bytes
    size, dtype : of the gradient

    Raises
    ------
    ValueError
        If the payload was not written by this quantizer from such a gradient.
    """
    payload, dtype = np.frombuffer(payload, np.uint8), np.dtype(dtype)
    header = _header(quantizer, size, dtype)
    n_numbers, n_bytes = quantizer.layout(quantizer, size)
    end = HEADER_BYTES + n_numbers * dtype.itemsize
    if payload.shape[0] != end + n_bytes:
        raise ValueError(
            f"the payload of {quantizer} for {size} numbers of {dtype} has {end + n_bytes} bytes, "
            f"this one has {payload.shape[0]}"
        )
    if (payload[:HEADER_BYTES] != header).any():
        raise ValueError(
            f"the payload was not written by {quantizer} from {size} numbers of {dtype}: its "
            f"header is {payload[:HEADER_BYTES].tobytes().hex()}, not {header.tobytes().hex()}"
        )
    numbers = payload[HEADER_BYTES:end].view(dtype.newbyteorder("<")).astype(dtype)
    gradient = np.empty(size, dtype)
    if not _unpack(quantizer, numbers, np.array(payload[end:]), gradient):
        raise ValueError(f"the payload holds codes that {quantizer} never writes")
    return gradient


def _header(quantizer, size, dtype):
    """Return a payload's first bytes."""
    if dtype not in (np.float32, np.float64) or not 0 <= size <= LONGEST:
        raise ValueError(
            f"a gradient has up to {LONGEST} numbers of float32 or float64, got {size} of {dtype}"
        )
    kind, width, count = quantizer.header(quantizer, size)
    first = np.array([kind, dtype.itemsize, width, VERSION], np.uint8)
    sizes = np.array([size], "<u8").view(np.uint8), np.array([count], "<u4").view(np.uint8)
    return np.concatenate([first, *sizes])


@kernel()
def _pack(quantizer, gradient, seed, step, numbers, packed):
    pack(quantizer, gradient, key_of(seed, step), numbers, packed)


@kernel()
def _unpack(quantizer, numbers, packed, gradient):
    return unpack(quantizer, numbers, packed, gradient)


@kernel()
def quantize(quantizer, gradient, residual, seed, step):
    """Quantize a gradient in place, as a training's step does.

    Parameters
    ----------
    gradient : ndarray of shape (size,)
    residual : as ``gradient``, of a quantizer with error feedback, changed in place; else of shape
        (0,)
    seed, step : int
    """
    send(quantizer, gradient, residual, gradient.shape[0], key_of(seed, step))
