"""Optimizers to hand to ``optimizer=``, with their hyperparameters.

>>> from fastgd.optimizers import Adam
>>> Adam(beta_1=0.8).beta_1
0.8
"""

from fastgd.kernels.optimizers import OPTIMIZERS, Adam, Momentum, Sgd

__all__ = ["OPTIMIZERS", "Adam", "Momentum", "Sgd"]
