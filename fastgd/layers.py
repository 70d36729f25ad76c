"""Layers to make a network of, in the order in which a row of X passes through them.

>>> from fastgd.layers import Conv2D, Dense, Flatten, MaxPool2D
>>> layers = [Conv2D(16, 3, activation="relu"), MaxPool2D(2), Flatten(), Dense(32, "relu")]

Activations (``fastgd.activations``) may stand between them. A user's own layer is a ``NamedTuple``
with the static methods that ``fastgd.kernels.layers`` describes.
"""

from fastgd.kernels.layers import (
    AvgPool2D,
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool,
    LayerNorm,
    MaxPool2D,
    Residual,
)

__all__ = [
    "AvgPool2D",
    "BatchNorm",
    "Conv1D",
    "Conv2D",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAveragePool",
    "LayerNorm",
    "MaxPool2D",
    "Residual",
]
