"""Gradient transforms: quantizers to hand to ``quantize=``, and what they send, packed in bytes.

>>> import numpy as np
>>> from fastgd.transforms import Qsgd, decode, encode
>>> gradient = np.array([0.5, -2.0, 0.0, 1.0])
>>> payload = encode(Qsgd(bits=4), gradient, seed=0, step=1)
>>> payload.nbytes  # a header of 16, one scale of 8, four entries of half a byte
26
>>> sent = decode(Qsgd(bits=4), payload, size=4, dtype=np.float64)
>>> bool(np.abs(sent - gradient).max() <= 2.0 / 7)
True
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastgd._parameters import resolve
from fastgd.kernels import transforms
from fastgd.kernels.transforms import TRANSFORMS, Clip, Qsgd, SignScale, TernGrad, TopK

__all__ = [
    "TRANSFORMS",
    "Clip",
    "Qsgd",
    "SignScale",
    "TernGrad",
    "TopK",
    "decode",
    "encode",
]


def encode(quantizer: Any, gradient: ArrayLike, seed: int, step: int) -> NDArray[np.uint8]:
    """Return what a quantizer sends of a gradient, packed.

    Parameters
    ----------
    quantizer : str, int or object
        As in ``quantize=``.
    gradient : array-like of float32 or float64
        Taken as one vector, row after row. ``SignScale`` and ``TopK`` feed back: hand them the sum
        of gradient and memory, and keep as memory what of it was not sent.
    seed, step : int
        They name the random numbers: the same give the same bytes.

    Returns
    -------
    payload : ndarray of uint8
        Its layout is in ``fastgd/kernels/transforms/_wire.py``; it is the same on every machine.

    Raises
    ------
    ValueError
        If there is no such quantizer, or the gradient is of another dtype.
    """
    vector = np.asarray(gradient).reshape(-1)
    return transforms.encode(resolve.quantizer(quantizer), vector, int(seed), int(step))


def decode(quantizer: Any, payload: Any, size: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return the gradient that was sent: bit for bit what training with ``quantize=`` uses.

    Parameters
    ----------
    quantizer : str, int or object
        That it was encoded by.
    payload : ndarray of uint8, or bytes
    size : int
    dtype : float32 or float64

    Returns
    -------
    ndarray of shape (size,)

    Raises
    ------
    ValueError
        If the payload was not written by this quantizer from a gradient of this size and dtype.
    """
    return transforms.decode(resolve.quantizer(quantizer), payload, int(size), np.dtype(dtype))
