"""Transforms: what happens to a batch's gradient before the optimizer is handed it.

``Transform(clip, quantize)`` first clips, then quantizes; either part may be ``Identity``. Both
see the gradient with the intercept's entry in it, last. A rule whose transform is ``Identity``
compiles to what it would be if there were no transforms.

Clipping is by value, then by norm:

    g_j <- min(max(g_j, -value), value);    g <- g min(1, norm / |g|_2)

On sparse rows only the columns of the batch are looked at: the others have no gradient. The norm is
that of one problem: of all outputs together where they share a loss (softmax), of each output by
itself where they share nothing (one-vs-rest, multi-task).

``_quantizer`` says what a quantizer is made of, ``_wire`` what its bytes are.
"""

from fastgd.kernels._hook import name_by_package
from fastgd.kernels.transforms._clip import (
    TINY,
    Clip,
)
from fastgd.kernels.transforms._error_feedback import (
    SignScale,
    TopK,
)
from fastgd.kernels.transforms._pipeline import (
    Transform,
)
from fastgd.kernels.transforms._protocol import (
    Identity,
    clip,
    clip_row,
    clipped_entry,
    transform,
)
from fastgd.kernels.transforms._quantizer import (
    OWN_STREAM,
    compress,
    key_of,
    pack,
    send,
    unpack,
)
from fastgd.kernels.transforms._rounding import (
    Qsgd,
    TernGrad,
)
from fastgd.kernels.transforms._wire import (
    HEADER_BYTES,
    LONGEST,
    VERSION,
    decode,
    encode,
    quantize,
)

TRANSFORMS = {
    "qsgd": Qsgd(),
    "terngrad": TernGrad(),
    "sign": SignScale(),
    "topk": TopK(),
}

name_by_package(__name__, *map(type, TRANSFORMS.values()), Clip, Identity, Transform)

__all__ = [
    "HEADER_BYTES",
    "LONGEST",
    "OWN_STREAM",
    "TINY",
    "TRANSFORMS",
    "VERSION",
    "Clip",
    "Identity",
    "Qsgd",
    "SignScale",
    "TernGrad",
    "TopK",
    "Transform",
    "clip",
    "clip_row",
    "clipped_entry",
    "compress",
    "decode",
    "encode",
    "key_of",
    "pack",
    "quantize",
    "send",
    "transform",
    "unpack",
]
