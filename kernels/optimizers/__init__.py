"""Optimizers: how a gradient becomes a step of one coordinate.

``_protocol`` says what an optimizer is made of, and how to write one.
"""

from fastgd.kernels._hook import name_by_package
from fastgd.kernels.optimizers._adagrad import (
    Adadelta,
    Adagrad,
    RMSprop,
)
from fastgd.kernels.optimizers._adam import (
    LONGEST_PRODUCT,
    Adam,
    Adamax,
    AdamW,
    AMSGrad,
    Lion,
    NAdam,
)
from fastgd.kernels.optimizers._ftrl import (
    Ftrl,
)
from fastgd.kernels.optimizers._lazy import (
    LazyMoments,
)
from fastgd.kernels.optimizers._muon import (
    Muon,
    OfMatrices,
)
from fastgd.kernels.optimizers._prodigy import (
    Prodigy,
)
from fastgd.kernels.optimizers._protocol import (
    MOMENTS,
    OWN_LENGTH,
    SAME_LENGTH,
    SUMS,
    VELOCITY,
    catch_up,
    coefs_of_step,
    common_speed,
    decayed,
    decays,
    follows_rates,
    keep,
    length,
    move,
    penalty_rate,
    penalty_rate_at,
    recall,
    skipped_steps_of,
    slope,
    step_columns,
    step_of_all,
    step_of_each,
    update,
)
from fastgd.kernels.optimizers._rate_free import (
    OF_LOSS,
    OF_ROW,
    OF_TARGETS,
    ONE,
    RateFree,
)
from fastgd.kernels.optimizers._schedule_free import (
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
)
from fastgd.kernels.optimizers._sgd import (
    Momentum,
    PassiveAggressive,
    Sgd,
)
from fastgd.kernels.optimizers._skipped import (
    NEGLIGIBLE_VELOCITY,
    SMALLEST_DECAY,
    SMALLEST_MOMENTUM,
    SkippedSteps,
    backward_coasts,
    cumulative_times,
    faded,
    forward_decays,
)

OPTIMIZERS = {
    "sgd": Sgd(),
    "momentum": Momentum(),
    "nesterov": Momentum(nesterov=True),
    "adagrad": Adagrad(),
    "adadelta": Adadelta(),
    "rmsprop": RMSprop(),
    "adam": Adam(),
    "amsgrad": AMSGrad(),
    "adamw": AdamW(),
    "nadam": NAdam(),
    "adamax": Adamax(),
    "lion": Lion(),
    "ftrl": Ftrl(),
    "schedule_free_sgd": ScheduleFreeSGD(),
    "schedule_free_adamw": ScheduleFreeAdamW(),
    "prodigy": Prodigy(),
    "muon": Muon(),
}

_OTHERS = (LazyMoments, OfMatrices, PassiveAggressive, RateFree)
name_by_package(__name__, *map(type, OPTIMIZERS.values()), *_OTHERS)

__all__ = [
    "LONGEST_PRODUCT",
    "MOMENTS",
    "NEGLIGIBLE_VELOCITY",
    "OF_LOSS",
    "OF_ROW",
    "OF_TARGETS",
    "ONE",
    "OPTIMIZERS",
    "OWN_LENGTH",
    "SAME_LENGTH",
    "SMALLEST_DECAY",
    "SMALLEST_MOMENTUM",
    "SUMS",
    "VELOCITY",
    "AMSGrad",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "LazyMoments",
    "Lion",
    "Momentum",
    "Muon",
    "NAdam",
    "OfMatrices",
    "PassiveAggressive",
    "Prodigy",
    "RMSprop",
    "RateFree",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "Sgd",
    "SkippedSteps",
    "backward_coasts",
    "catch_up",
    "coefs_of_step",
    "common_speed",
    "cumulative_times",
    "decayed",
    "decays",
    "faded",
    "follows_rates",
    "forward_decays",
    "keep",
    "length",
    "move",
    "penalty_rate",
    "penalty_rate_at",
    "recall",
    "skipped_steps_of",
    "slope",
    "step_columns",
    "step_of_all",
    "step_of_each",
    "update",
]
