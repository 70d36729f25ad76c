"""One row for each loss, penalty, optimizer, schedule and estimator: the tests go over all rows.

``test_tables.py`` fails where a registered name has no row.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pytest

import fastgd
from fastgd import schedules
from fastgd._validation import domain
from fastgd.kernels import losses, optimizers
from fastgd.kernels.losses import LOSSES, MULTINOMIAL, NONNEGATIVE, POSITIVE, REGRESSION
from fastgd.kernels.penalties import ElasticNet
from tests import naive


class LossCase(NamedTuple):
    """A loss; ``naive`` is the same in plain numpy."""

    name: str
    tag: Any
    naive: naive.Loss | naive.RowLoss

    @property
    def targets(self) -> tuple[float, ...]:
        """Values that ``y_true`` may have."""
        if type(self.tag).kind == REGRESSION:
            by_domain = {None: (-1.3, 0.0, 2.5), NONNEGATIVE: (0.0, 0.7, 2.5), POSITIVE: (0.3, 2.5)}
            return by_domain[domain(self.tag)]
        return (type(self.tag).negative, 1.0)


class PenaltyCase(NamedTuple):
    """What a constructor's words mean, for an alpha of ``l1 + l2``."""

    word: str | None
    l1_ratio: float
    l1: float
    l2: float

    @property
    def tag(self) -> ElasticNet:
        """The kernels' penalty."""
        return ElasticNet(self.l1, self.l2)


class OptimizerCase(NamedTuple):
    """An optimizer, or an unregistered form of one; ``naive()`` starts the same in plain numpy."""

    name: str
    tag: Any
    naive: Callable[[], Any]
    eta0: float = 0.05
    is_registered: bool = True


class ScheduleCase(NamedTuple):
    """A schedule, and the rate of step t in plain Python."""

    name: str
    schedule: Any
    rate: Callable[[float], float]


class EstimatorCase(NamedTuple):
    """An estimator, and the words that make it quick."""

    name: str
    kind: type
    words: dict[str, Any]

    def make(self, **words: Any) -> Any:
        """Return one that gives the same result each time."""
        return self.kind(**{"random_state": 0, **self.words, **words})


LOSS_CASES = [
    LossCase("squared_error", losses.SquaredError(), naive.squared_error()),
    LossCase("huber", losses.Huber(0.7), naive.huber(0.7)),
    LossCase("epsilon_insensitive", losses.EpsilonInsensitive(0.2), naive.epsilon_insensitive(0.2)),
    LossCase(
        "squared_epsilon_insensitive",
        losses.SquaredEpsilonInsensitive(0.2),
        naive.squared_epsilon_insensitive(0.2),
    ),
    LossCase("quantile", losses.Quantile(0.3), naive.quantile(0.3)),
    LossCase("poisson", losses.Poisson(), naive.poisson()),
    LossCase("gamma", losses.Gamma(), naive.gamma()),
    LossCase("tweedie", losses.Tweedie(1.5), naive.tweedie(1.5)),
    LossCase("log_loss", losses.LogLoss(), naive.log_loss()),
    LossCase("hinge", losses.Hinge(1.0), naive.hinge(1.0)),
    LossCase("perceptron", losses.Hinge(0.0), naive.hinge(0.0)),
    LossCase("squared_hinge", losses.SquaredHinge(), naive.squared_hinge()),
    LossCase("modified_huber", losses.ModifiedHuber(), naive.modified_huber()),
    LossCase("softmax", losses.Softmax(), naive.softmax()),
]
SCALAR_LOSSES = [case for case in LOSS_CASES if type(case.tag).kind != MULTINOMIAL]

PENALTY_CASES = [
    PenaltyCase(None, 0.15, 0.0, 0.0),
    PenaltyCase("l2", 0.15, 0.0, 0.3),
    PenaltyCase("l1", 0.15, 0.04, 0.0),
    PenaltyCase("elasticnet", 0.25, 0.03, 0.09),
]

OPTIMIZER_CASES = [
    OptimizerCase("sgd", optimizers.Sgd(), naive.Sgd),
    OptimizerCase("momentum", optimizers.Momentum(), naive.Momentum, 0.01),
    OptimizerCase("nesterov", optimizers.Momentum(nesterov=True), naive.Nesterov, 0.01),
    OptimizerCase("adam", optimizers.Adam(), naive.Adam),
    OptimizerCase("lazy adam", optimizers.LazyAdam(), lambda: naive.Adam(lazy=True), 0.05, False),
]

SCHEDULE_CASES = [
    ScheduleCase("constant", schedules.Constant(0.3), lambda t: naive.constant(t, 0.3)),
    ScheduleCase(
        "invscaling", schedules.InvScaling(0.3, 0.25), lambda t: naive.invscaling(t, 0.3, 0.25)
    ),
    ScheduleCase(
        "optimal",
        schedules.optimal(1e-3, LOSSES["squared_hinge"]),
        lambda t: naive.optimal(t, 1e-3, naive.squared_hinge()),
    ),
]

ESTIMATOR_CASES = [
    EstimatorCase("SGDClassifier", fastgd.SGDClassifier, {"max_iter": 5, "tol": None}),
    EstimatorCase("SGDRegressor", fastgd.SGDRegressor, {"max_iter": 5, "tol": None}),
]


def over(cases: Iterable[Any], name: str = "case") -> pytest.MarkDecorator:
    """Return the mark that runs a test once for each row of a table, under the row's name."""
    rows = list(cases)
    return pytest.mark.parametrize(name, rows, ids=[str(row[0]).replace(" ", "_") for row in rows])
