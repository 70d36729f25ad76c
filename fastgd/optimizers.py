"""Optimizers to hand to ``optimizer=``, with their hyperparameters.

>>> from fastgd.optimizers import Adam
>>> Adam(beta_1=0.8).beta_1
0.8
"""

from fastgd.kernels.optimizers import (
    OPTIMIZERS,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    AMSGrad,
    Ftrl,
    Lion,
    Momentum,
    Muon,
    NAdam,
    PassiveAggressive,
    Prodigy,
    RMSprop,
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
    Sgd,
)

__all__ = [
    "OPTIMIZERS",
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lion",
    "Momentum",
    "Muon",
    "NAdam",
    "PassiveAggressive",
    "Prodigy",
    "RMSprop",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "Sgd",
]
