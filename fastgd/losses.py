"""Losses to hand to ``loss=``, with their hyperparameters, and the table of their names.

>>> from fastgd.losses import Huber
>>> Huber(epsilon=1.35).epsilon
1.35
"""

from fastgd.kernels.losses import (
    LOSSES,
    AbsoluteError,
    EpsilonInsensitive,
    Focal,
    Gamma,
    Hinge,
    Huber,
    LogCosh,
    LogLoss,
    ModifiedHuber,
    Poisson,
    Quantile,
    SmoothHinge,
    Softmax,
    SquaredEpsilonInsensitive,
    SquaredError,
    SquaredHinge,
    Tweedie,
)

__all__ = [
    "LOSSES",
    "AbsoluteError",
    "EpsilonInsensitive",
    "Focal",
    "Gamma",
    "Hinge",
    "Huber",
    "LogCosh",
    "LogLoss",
    "ModifiedHuber",
    "Poisson",
    "Quantile",
    "SmoothHinge",
    "Softmax",
    "SquaredEpsilonInsensitive",
    "SquaredError",
    "SquaredHinge",
    "Tweedie",
]
