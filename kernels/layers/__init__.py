"""Layers of networks: what they compute, and how derivatives pass back through them.

``_protocol`` says what a layer is made of, and how to write one.
"""

from fastgd.kernels._hook import name_by_package
from fastgd.kernels.layers._convolution import Conv1D, Conv2D
from fastgd.kernels.layers._dense import Dense, Embedding
from fastgd.kernels.layers._dropout import Dropout
from fastgd.kernels.layers._normalise import BatchNorm, LayerNorm
from fastgd.kernels.layers._pool import AvgPool2D, GlobalAveragePool, MaxPool2D
from fastgd.kernels.layers._protocol import (
    ACTIVATION,
    ADDED,
    ADDS,
    FREE,
    HAS_BIAS,
    INPUT,
    N_COLUMNS,
    N_FREE,
    N_IN,
    N_NOTES,
    N_NUMBERS,
    N_OUT,
    N_RUNNING,
    N_SUMS,
    N_WEIGHTS,
    NOBODY,
    NONE,
    NOTES,
    RUNNING,
    SPEC,
    SUMS,
    UNITS,
    VALUES,
    WEIGHTS,
    Now,
    Part,
    Sizes,
    Tape,
    backward,
    backward_sparse,
    flat_size,
    forward,
    forward_sparse,
    spec_of,
)
from fastgd.kernels.layers._shape import Copied, Flatten, Residual
from fastgd.kernels.layers._units import activate, add, copy, deactivate

LAYERS = (
    Dense,
    Conv1D,
    Conv2D,
    MaxPool2D,
    AvgPool2D,
    GlobalAveragePool,
    Flatten,
    Dropout,
    BatchNorm,
    LayerNorm,
    Embedding,
    Residual,
)

name_by_package(__name__, *LAYERS)
