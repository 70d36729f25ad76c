"""What a quantizer is: its static methods, and the hooks by which kernels call them.

A quantizer replaces the gradient by one that is written in fewer bits. It takes all trained
parameters, in the order of the flat array, as one vector: every step is dense work, on sparse rows
as well. It is a ``NamedTuple`` with static methods

``compress(quantizer, gradient, key)``
    Replace the gradient by what is sent of it, in place.
``pack(quantizer, gradient, key, numbers, packed)``
    Write what is sent: some numbers of the gradient's dtype, and bytes that start as zeros.
``unpack(quantizer, numbers, packed, gradient)``
    Read what was sent into ``gradient``; return False for bytes that ``pack`` never writes.
``header(quantizer, size)``
    Plain Python: what the payload's header tells of it, (format, width, count).
``layout(quantizer, size)``
    Plain Python: how many numbers and how many bytes ``pack`` writes.

``compress`` is unbiased, E[sent] = g, or else ``feeds_back``: what was not sent is kept as a
residual e and added to the next gradient,

    p = g + e;    sent = compress(p);    e <- p - sent

so that the sum of all that was sent is the sum of the gradients up to the last residual.

Random numbers are functions of (seed, number of the step, coordinate): spans, calls and layouts of
X cannot be seen in them. ``pack``, ``unpack`` and ``compress`` are separately compiled and must
agree in every bit, so the arithmetic that they share stands in helpers without fastmath.
"""

import numpy as np

from fastgd.kernels._hook import hook
from fastgd.kernels._jit import helper
from fastgd.kernels.sampling import GAMMA, mix

OWN_STREAM = np.uint64(0xD1342543DE82EF95)  # the same seed orders the rows, by other numbers


@hook
def compress(quantizer, gradient, key):
    """Replace a gradient by what is sent of it, in place."""
    return type(quantizer).compress(quantizer, gradient, key)


@hook
def pack(quantizer, gradient, key, numbers, packed):
    """Write what is sent of a gradient."""
    return type(quantizer).pack(quantizer, gradient, key, numbers, packed)


@hook
def unpack(quantizer, numbers, packed, gradient):
    """Read what was sent; return False for bytes that ``pack`` never writes."""
    return type(quantizer).unpack(quantizer, numbers, packed, gradient)


@helper()
def key_of(seed, step):
    """Return what names the random numbers of a step."""
    stream = mix((np.uint64(seed) ^ OWN_STREAM) + GAMMA)
    return mix(stream + np.uint64(step) * GAMMA)


@helper(fastmath=False)
def send(quantizer, gradient, residual, size, key):
    """Replace the first ``size`` entries by what is sent of them; keep the rest as the residual."""
    sent = gradient[:size]
    if residual.shape[0] == 0:
        compress(quantizer, sent, key)
        return
    for c in range(size):
        sent[c] += residual[c]
        residual[c] = sent[c]
    compress(quantizer, sent, key)
    for c in range(size):
        residual[c] -= sent[c]
