"""Losses to hand to ``loss=``, with their hyperparameters, and the table of their names.

>>> from fastgd.losses import Huber
>>> Huber(epsilon=1.35).epsilon
1.35
"""

from fastgd.kernels.losses import (
    LOSSES,
    EpsilonInsensitive,
    Gamma,
    Hinge,
    Huber,
    LogLoss,
    ModifiedHuber,
    Poisson,
    Quantile,
    Softmax,
    SquaredEpsilonInsensitive,
    SquaredError,
    SquaredHinge,
    Tweedie,
)

__all__ = [
    "LOSSES",
    "EpsilonInsensitive",
    "Gamma",
    "Hinge",
    "Huber",
    "LogLoss",
    "ModifiedHuber",
    "Poisson",
    "Quantile",
    "Softmax",
    "SquaredEpsilonInsensitive",
    "SquaredError",
    "SquaredHinge",
    "Tweedie",
]
