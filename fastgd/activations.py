"""Activations to hand to ``activation=`` of a layer, or to put between layers.

>>> from fastgd.activations import LeakyReLU
>>> LeakyReLU(0.2).slope
0.2

A user's own is a ``NamedTuple`` with the static methods ``value(activation, z)`` and
``gradient(activation, z, value)``, compiled as the losses are.
"""

from fastgd.kernels.activations import (
    ACTIVATIONS,
    ELU,
    GELU,
    Identity,
    LeakyReLU,
    Logistic,
    ReLU,
    SiLU,
    Softplus,
    Tanh,
)

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "GELU",
    "Identity",
    "LeakyReLU",
    "Logistic",
    "ReLU",
    "SiLU",
    "Softplus",
    "Tanh",
]
