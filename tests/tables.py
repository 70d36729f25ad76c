"""One row for each loss, penalty, optimizer, schedule and estimator: the tests go over all rows.

``test_tables.py`` fails where a registered name has no row.
"""

import itertools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import pytest
from sklearn import linear_model, metrics, svm

import fastgd
from fastgd import schedules
from fastgd.kernels import losses, optimizers, transforms
from fastgd.kernels.losses import LOSSES, MULTINOMIAL, NONNEGATIVE, POSITIVE, REGRESSION
from fastgd.kernels.penalties import Bounded, ElasticNet, GroupLasso, MaxNorm, Weighted
from tests import naive


class LossCase(NamedTuple):
    """A loss; ``naive`` is the same in plain numpy."""

    name: str
    spec: Any
    naive: naive.Loss | naive.RowLoss

    @property
    def targets(self) -> tuple[float, ...]:
        """Values that ``y_true`` may have."""
        if type(self.spec).kind == REGRESSION:
            by_domain = {None: (-1.3, 0.0, 2.5), NONNEGATIVE: (0.0, 0.7, 2.5), POSITIVE: (0.3, 2.5)}
            return by_domain[losses.domain_of(self.spec)]
        return (type(self.spec).negative, 1.0)


class PenaltyCase(NamedTuple):
    """What a constructor's parameters mean, for an alpha of ``l1 + l2``."""

    given: str | None
    l1_ratio: float
    l1: float
    l2: float

    @property
    def spec(self) -> ElasticNet:
        """The kernels' penalty."""
        return ElasticNet(self.l1, self.l2)

    @property
    def naive(self) -> naive.ElasticNet:
        """The same in plain numpy."""
        return naive.ElasticNet(self.l1, self.l2)


class PenaltyObjectCase(NamedTuple):
    """A penalty that has no name; ``naive`` is the same in plain numpy."""

    name: str
    spec: Any
    naive: Any


class OptimizerCase(NamedTuple):
    """An optimizer, or an unregistered form of one; ``naive()`` starts the same in plain numpy."""

    name: str
    spec: Any
    naive: Callable[[], Any]
    eta0: float = 0.05
    is_registered: bool = True


class TransformCase(NamedTuple):
    """A quantizer, or an unregistered form of one; ``naive`` compresses in plain Python."""

    name: str
    spec: Any
    naive: Callable[..., Any]
    is_registered: bool = True


class ScheduleCase(NamedTuple):
    """A schedule, or an unregistered form of one, and the rate of step t in plain Python.

    A registered row is what its name means in a training of ``MAX_ITER`` epochs of
    ``STEPS_PER_EPOCH`` steps with ``KWARGS``.
    """

    name: str
    schedule: Any
    rate: Callable[[float], float]
    is_registered: bool = True


class EstimatorCase(NamedTuple):
    """An estimator, and the parameters that make it quick."""

    name: str
    kind: type
    kwargs: dict[str, Any]

    def targets(self, y: Any) -> Any:
        """Return targets as this estimator takes them: a table, where it asks for one."""
        return np.column_stack([y, -y]) if self.name.startswith("MultiTask") else y

    def make(self, **kwargs: Any) -> Any:
        """Return one that gives the same result each time."""
        model = self.kind(**{**self.kwargs, **kwargs})
        return model.set_params(random_state=0) if hasattr(model, "random_state") else model


class SolvedCase(NamedTuple):
    """An estimator that needs no learning rate, under some parameters, and what must be equal.

    kind, peer : ours and scikit-learn's, which mean the same by ``kwargs``
    exact : further parameters, by which the peer comes as close to the optimum as it can
    targets : of a kind that ``targets_of`` knows
    objective : what is minimised as the docstring has it, in plain numpy, of a fitted model
    """

    name: str
    kind: type
    kwargs: dict[str, Any]
    peer: type
    exact: dict[str, Any]
    targets: str
    objective: Callable[..., Any]

    def __hash__(self) -> int:
        return hash(self.name)

    def make(self, **kwargs: Any) -> Any:
        """Return ours."""
        return self.kind(**{**self.kwargs, **kwargs})

    def make_peer(self, **kwargs: Any) -> Any:
        """Return scikit-learn's."""
        return self.peer(**{**self.kwargs, **self.exact, **kwargs})

    def value(self, model: Any, X: Any, y: Any, weight: Any = None, **kwargs: Any) -> Any:
        """Return the objective of a fitted model, ours or its peer's."""
        weight = np.ones(X.shape[0]) if weight is None else weight
        return self.objective(model, self.make(**kwargs).get_params(), X, y, weight)


def targets_of(kind: str, raw: Any, rng: np.random.Generator) -> Any:
    """Return targets about raw predictions of mean 0 and standard deviation 1."""
    noisy = raw + 0.5 * rng.standard_normal(raw.shape[0])
    if kind == "binary":
        return np.where(noisy > 0.2, "yes", "no")
    if kind == "classes":
        return 2 * np.digitize(noisy, [-0.5, 0.6]) + 3
    if kind == "counts":
        return rng.poisson(np.exp(raw)).astype(float)
    return np.exp(0.5 * noisy) if kind == "positive" else 3.0 * noisy + 1.0


# -- what estimators minimise, per unit of weight: coefficients come as (outputs, features) -------


def raw_of(model: Any, X: Any) -> Any:
    """Return the raw predictions in float64, (rows, outputs)."""
    coef = np.atleast_2d(np.asarray(model.coef_, np.float64))
    return np.asarray(X @ coef.T) + np.asarray(model.intercept_, np.float64)


def norms(model: Any) -> tuple[float, float]:
    """Return |w|_1 and |w|^2 over all outputs."""
    coef = np.asarray(model.coef_, np.float64)
    return float(np.abs(coef).sum()), float((coef**2).sum())


def of_logistic(model: Any, kwargs: dict[str, Any], X: Any, y: Any, s: Any) -> float:
    """C sum_i s_i loss_i + l1_ratio |w|_1 + (1 - l1_ratio)/2 |w|^2, over C sum_i s_i."""
    raw = raw_of(model, X)
    raw = np.hstack([np.zeros_like(raw), raw]) if raw.shape[1] == 1 else raw
    own = raw[np.arange(len(y)), np.searchsorted(model.classes_, y)]
    top = raw.max(axis=1)
    loss = np.log(np.exp(raw - top[:, None]).sum(axis=1)) + top - own
    (l1, l2), share = norms(model), kwargs["l1_ratio"]
    return np.average(loss, weights=s) + (share * l1 + (1 - share) / 2 * l2) / kwargs["C"] / s.sum()


def of_svm(model: Any, kwargs: dict[str, Any], margins: Any, s: Any) -> Any:
    """1/2 |(w, b/c)|^2 + C sum_i s_i loss_i, over C sum_i s_i, for each output."""
    at_least = np.maximum(margins, 0.0) ** (2 if kwargs["loss"].startswith("squared") else 1)
    coef = np.atleast_2d(np.asarray(model.coef_, np.float64))
    if kwargs["fit_intercept"]:
        last = np.reshape(model.intercept_, (-1, 1)) / kwargs["intercept_scaling"]
        coef = np.hstack([coef, last])
    is_l1 = kwargs.get("penalty") == "l1"
    penalty = np.abs(coef).sum(axis=1) if is_l1 else 0.5 * (coef**2).sum(axis=1)
    return np.average(at_least, weights=s, axis=0) + penalty / kwargs["C"] / s.sum()


def of_svc(model: Any, kwargs: dict[str, Any], X: Any, y: Any, s: Any) -> Any:
    """The hinge or its square, of each class against the rest."""
    classes = model.classes_[1:] if len(model.classes_) == 2 else model.classes_
    side = np.where(y[:, None] == classes, 1.0, -1.0)
    return of_svm(model, kwargs, 1.0 - side * raw_of(model, X), s)


def of_svr(model: Any, kwargs: dict[str, Any], X: Any, y: Any, s: Any) -> Any:
    """The distance from the tube, or its square."""
    return of_svm(model, kwargs, np.abs(y[:, None] - raw_of(model, X)) - kwargs["epsilon"], s)


def of_squares(model: Any, kwargs: dict[str, Any], X: Any, y: Any, s: Any) -> float:
    """1/2 of the mean square, with the penalty of Ridge, of Lasso, of ElasticNet or none."""
    loss = 0.5 * np.average((y - raw_of(model, X)[:, 0]) ** 2, weights=s)
    (l1, l2), alpha = norms(model), kwargs.get("alpha", 0.0)
    if "selection" not in kwargs:  # Ridge's strength is that of the sum
        return loss + 0.5 * alpha * l2 / s.sum()
    share = kwargs.get("l1_ratio", 1.0)
    return loss + alpha * (share * l1 + 0.5 * (1 - share) * l2)


def of_ridge_classes(model: Any, kwargs: dict[str, Any], X: Any, y: Any, s: Any) -> Any:
    """sum_i s_i (t_i - raw_i)^2 + alpha |w|^2 over 2 sum_i s_i, of each class's targets."""
    classes = model.classes_[1:] if len(model.classes_) == 2 else model.classes_
    side = np.where(y[:, None] == classes, 1.0, -1.0)
    loss = 0.5 * np.average((side - raw_of(model, X)) ** 2, weights=s, axis=0)
    coef = np.atleast_2d(np.asarray(model.coef_, np.float64))
    return loss + 0.5 * kwargs["alpha"] * (coef**2).sum(axis=1) / s.sum()


def of_huber(model: Any, kwargs: dict[str, Any], X: Any, y: Any, s: Any) -> float:
    """sum_i s_i (sigma + H(r_i / sigma) sigma) + alpha |w|^2, over sum_i s_i."""
    z, epsilon = np.abs(y - raw_of(model, X)[:, 0]) / model.scale_, kwargs["epsilon"]
    H = np.where(z < epsilon, z**2, 2 * epsilon * z - epsilon**2)
    penalty = kwargs["alpha"] * norms(model)[1] / s.sum()
    return np.average(model.scale_ * (1 + H), weights=s) + penalty


def of_quantile(model: Any, kwargs: dict[str, Any], X: Any, y: Any, s: Any) -> float:
    """The mean pinball loss and alpha |w|_1."""
    raw, q = raw_of(model, X)[:, 0], kwargs["quantile"]
    pinball = metrics.mean_pinball_loss(y, raw, sample_weight=s, alpha=q)
    return pinball + kwargs["alpha"] * norms(model)[0]


def of_glm(power: float, identity: bool = False) -> Callable[..., Any]:
    """Return half the mean deviance and alpha/2 |w|^2."""

    def value(model: Any, kwargs: dict[str, Any], X: Any, y: Any, s: Any) -> float:
        mean = raw_of(model, X)[:, 0] if identity else np.exp(raw_of(model, X)[:, 0])
        deviance = metrics.mean_tweedie_deviance(y, mean, sample_weight=s, power=power)
        return 0.5 * deviance + 0.5 * kwargs["alpha"] * norms(model)[1]

    return value


LOSS_CASES = [
    LossCase("squared_error", losses.SquaredError(), naive.squared_error()),
    LossCase("absolute_error", losses.AbsoluteError(), naive.absolute_error()),
    LossCase("log_cosh", losses.LogCosh(0.8), naive.log_cosh(0.8)),
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
    LossCase("smooth_hinge", losses.SmoothHinge(0.6), naive.smooth_hinge(0.6)),
    LossCase("focal", losses.Focal(1.7), naive.focal(1.7)),
    LossCase("modified_huber", losses.ModifiedHuber(), naive.modified_huber()),
    LossCase("softmax", losses.Softmax(), naive.softmax()),
]
SCALAR_LOSSES = [case for case in LOSS_CASES if type(case.spec).kind != MULTINOMIAL]

PENALTY_CASES = [
    PenaltyCase(None, 0.15, 0.0, 0.0),
    PenaltyCase("l2", 0.15, 0.0, 0.3),
    PenaltyCase("l1", 0.15, 0.04, 0.0),
    PenaltyCase("elasticnet", 0.25, 0.03, 0.09),
]

FACTORS = np.array([0.0, 0.5, 1.0, 3.0, 1.5])  # of five features
PENALTY_OBJECT_CASES = [
    PenaltyObjectCase("nonnegative", Bounded(low=0.0), naive.Bounded(low=0.0)),
    PenaltyObjectCase(
        "bounded", Bounded(0.03, 0.09, -0.1, 0.2), naive.Bounded(0.03, 0.09, -0.1, 0.2)
    ),
    PenaltyObjectCase(
        "away from zero", Bounded(0.03, 0.09, 0.05, 0.2), naive.Bounded(0.03, 0.09, 0.05, 0.2)
    ),
    PenaltyObjectCase(
        "weighted", Weighted(0.03, 0.09, FACTORS), naive.ElasticNet(0.03, 0.09, FACTORS)
    ),
    PenaltyObjectCase(
        "weighted l2", Weighted(0.0, 0.3, FACTORS), naive.ElasticNet(0.0, 0.3, FACTORS)
    ),
    PenaltyObjectCase("max norm", MaxNorm(0.2, 0.01, 0.05), naive.MaxNorm(0.2, 0.01, 0.05)),
    PenaltyObjectCase("group lasso", GroupLasso(0.08, 0.05), naive.GroupLasso(0.08, 0.05)),
]

OPTIMIZER_CASES = [
    OptimizerCase("sgd", optimizers.Sgd(), naive.Sgd),
    OptimizerCase("momentum", optimizers.Momentum(), naive.Momentum, 0.01),
    OptimizerCase("nesterov", optimizers.Momentum(nesterov=True), naive.Nesterov, 0.01),
    OptimizerCase("adagrad", optimizers.Adagrad(), naive.Adagrad),
    OptimizerCase("adadelta", optimizers.Adadelta(), naive.Adadelta, 1.0),
    OptimizerCase("rmsprop", optimizers.RMSprop(), naive.RMSprop),
    OptimizerCase("adam", optimizers.Adam(), naive.Adam),
    OptimizerCase("amsgrad", optimizers.AMSGrad(), naive.AMSGrad),
    OptimizerCase("adamw", optimizers.AdamW(0.3), lambda: naive.AdamW(weight_decay=0.3)),
    OptimizerCase("nadam", optimizers.NAdam(), naive.NAdam),
    OptimizerCase("adamax", optimizers.Adamax(), naive.Adamax),
    OptimizerCase("lion", optimizers.Lion(weight_decay=0.3), lambda: naive.Lion(weight_decay=0.3)),
    OptimizerCase("ftrl", optimizers.Ftrl(), naive.Ftrl, 0.3),
    OptimizerCase(
        "ftrl with lambdas",
        optimizers.Ftrl(0.5, 0.2, 0.1),
        lambda: naive.Ftrl(0.5, 0.2, 0.1),
        0.3,
        False,
    ),
    OptimizerCase(
        "centered rmsprop",
        optimizers.RMSprop(centered=True),
        lambda: naive.RMSprop(centered=True),
        0.05,
        False,
    ),
    OptimizerCase(
        "rmsprop with momentum",
        optimizers.RMSprop(0.9, momentum=0.8, centered=True),
        lambda: naive.RMSprop(rho=0.9, momentum=0.8, centered=True),
        0.01,
        False,
    ),
    *(
        OptimizerCase(
            f"lazy {name}",
            optimizers.LazyMoments(spec),
            lambda kind=kind, kwargs=kwargs: kind(lazy=True, **kwargs),
            0.005 if name == "rmsprop" else 0.05,
            False,
        )
        for name, spec, kind, kwargs in (
            ("adam", optimizers.Adam(), naive.Adam, {}),
            ("amsgrad", optimizers.AMSGrad(), naive.AMSGrad, {}),
            ("adamw", optimizers.AdamW(0.3), naive.AdamW, {"weight_decay": 0.3}),
            ("nadam", optimizers.NAdam(), naive.NAdam, {}),
            ("adamax", optimizers.Adamax(), naive.Adamax, {}),
            ("lion", optimizers.Lion(), naive.Lion, {}),
            ("rmsprop", optimizers.RMSprop(momentum=0.8), naive.RMSprop, {"momentum": 0.8}),
            ("adadelta", optimizers.Adadelta(), naive.Adadelta, {}),
        )
    ),
]

# whose step is more than "change, then penalty": the naive one is ``advance``
WHOLE_OPTIMIZER_CASES = [
    OptimizerCase("schedule_free_sgd", optimizers.ScheduleFreeSGD(), naive.ScheduleFreeSGD),
    OptimizerCase(
        "schedule_free_adamw",
        optimizers.ScheduleFreeAdamW(0.1),
        lambda: naive.ScheduleFreeAdamW(0.1),
    ),
    OptimizerCase(
        "prodigy", optimizers.Prodigy(weight_decay=0.1), lambda: naive.Prodigy(weight_decay=0.1)
    ),
    OptimizerCase("muon", optimizers.Muon(weight_decay=0.1), lambda: naive.Muon(weight_decay=0.1)),
]

TRANSFORM_CASES = [
    TransformCase("qsgd", transforms.Qsgd(), naive.qsgd(4, 512)),
    TransformCase("qsgd 1 bit", transforms.Qsgd(1, 7), naive.qsgd(1, 7), False),
    TransformCase("qsgd 2 bits", transforms.Qsgd(2, 5), naive.qsgd(2, 5), False),
    TransformCase("qsgd 3 bits", transforms.Qsgd(3, 64), naive.qsgd(3, 64), False),
    TransformCase("qsgd 8 bits", transforms.Qsgd(8, 100), naive.qsgd(8, 100), False),
    TransformCase("terngrad", transforms.TernGrad(), naive.terngrad()),
    TransformCase("sign", transforms.SignScale(), naive.sign_scale()),
    TransformCase("topk", transforms.TopK(), naive.top_k(0.01)),
    TransformCase("topk 30 %", transforms.TopK(0.3), naive.top_k(0.3), False),
]

KWARGS = {"eta0": 0.3, "power_t": 0.25, "alpha": 1e-3}
STEPS_PER_EPOCH, MAX_ITER = 5, 84


def _schedule(name: str, spec: Any, rate: Any, *, is_registered: bool = False) -> ScheduleCase:
    """Return a row whose naive reference takes the schedule's numbers, in their order."""
    numbers = [value for field, value in vars(spec).items() if field != "unit"]
    return ScheduleCase(name, spec, lambda t: rate(t, *numbers), is_registered)


def _named(name: str, spec: Any, rate: Any) -> ScheduleCase:
    return _schedule(name, spec, rate, is_registered=True)


SCHEDULE_CASES = [
    _named("constant", schedules.Constant(0.3), naive.constant),
    _named("invscaling", schedules.InvScaling(0.3, 0.25), naive.invscaling),
    ScheduleCase(
        "optimal",
        schedules.optimal(1e-3, LOSSES["squared_hinge"]),
        lambda t: naive.optimal(t, 1e-3, naive.squared_hinge()),
    ),
    _named("step", schedules.Step(0.3, 0.1, 140, "step"), naive.step),
    _named("multistep", schedules.MultiStep(0.3, 0.1, [210, 315], "step"), naive.multistep),
    _named(
        "exponential",
        schedules.Exponential(0.3, (0.01 ** (1 / 84)) ** (1 / 5), "step"),
        naive.exponential,
    ),
    _named("polynomial", schedules.Polynomial(0.3, 1.0, 0.0, 420, "step"), naive.polynomial),
    _named("cosine", schedules.Cosine(0.3, 0.0, 420, "step"), naive.cosine),
    _named(
        "cosine_restarts",
        schedules.CosineRestarts(0.3, 0.0, 60, 2.0, "step"),
        naive.cosine_restarts,
    ),
    _named("one_cycle", schedules.OneCycle(0.3, 0.3, 25.0, 1e4, 420, "step"), naive.one_cycle),
    _named("inverse_sqrt", schedules.InverseSquareRoot(0.3, 5, "step"), naive.inverse_sqrt),
    ScheduleCase("adaptive", schedules.Adaptive(0.3), lambda t: naive.constant(t, 0.3)),
    ScheduleCase("plateau", schedules.ReduceOnPlateau(0.3), lambda t: naive.constant(t, 0.3)),
    _schedule("step of 7", schedules.Step(0.3, 0.5, 7), naive.step),
    _schedule("step of 2.5", schedules.Step(0.3, 0.5, 2.5), naive.step),
    _schedule("milestones", schedules.MultiStep(0.3, 0.2, (4, 20.5, 21)), naive.multistep),
    _schedule("growth", schedules.Exponential(1e-6, 1.01), naive.exponential),
    _schedule("to an end", schedules.Polynomial(0.3, 1.7, 0.01, 40), naive.polynomial),
    _schedule("to a least rate", schedules.Cosine(0.3, 0.01, 60.5), naive.cosine),
    _schedule("even restarts", schedules.CosineRestarts(0.3, 0.01, 7, 1.0), naive.cosine_restarts),
    _schedule("slow restarts", schedules.CosineRestarts(0.3, 0.01, 8, 1.5), naive.cosine_restarts),
    _schedule("fast restarts", schedules.CosineRestarts(0.3, 0.01, 3, 3.0), naive.cosine_restarts),
    _schedule("no rise", schedules.OneCycle(0.3, 0.0, 7.0, 50.0, 40), naive.one_cycle),
    _schedule("no fall", schedules.OneCycle(0.3, 1.0, 7.0, 50.0, 40), naive.one_cycle),
    _schedule("one step", schedules.OneCycle(0.3, 0.3, 7.0, 50.0, 1), naive.one_cycle),
    _schedule("no warm-up", schedules.InverseSquareRoot(0.3, 1), naive.inverse_sqrt),
    ScheduleCase(
        "warm-up",
        schedules.WarmUp(schedules.InvScaling(0.3, 0.25), 10, 0.1),
        lambda t: naive.warm_up(t, lambda t: naive.invscaling(t, 0.3, 0.25), 10, 0.1),
        False,
    ),
    ScheduleCase(
        "warm-up of a callable",
        schedules.WarmUp(lambda t: 0.3 / t, 3),
        lambda t: naive.warm_up(t, lambda t: 0.3 / t, 3, 0),
        False,
    ),
]
REGISTERED_SCHEDULES = [case for case in SCHEDULE_CASES if case.is_registered]

ESTIMATOR_CASES = [
    EstimatorCase("SGDClassifier", fastgd.SGDClassifier, {"max_iter": 5, "tol": None}),
    EstimatorCase("SGDRegressor", fastgd.SGDRegressor, {"max_iter": 5, "tol": None}),
    EstimatorCase("SGDOneClassSVM", fastgd.SGDOneClassSVM, {"max_iter": 5, "tol": None}),
    EstimatorCase("Perceptron", fastgd.Perceptron, {"max_iter": 5, "tol": None}),
    EstimatorCase(
        "PassiveAggressiveClassifier",
        fastgd.PassiveAggressiveClassifier,
        {"max_iter": 5, "tol": None},
    ),
    EstimatorCase(
        "PassiveAggressiveRegressor",
        fastgd.PassiveAggressiveRegressor,
        {"max_iter": 5, "tol": None},
    ),
    EstimatorCase("LogisticRegression", fastgd.LogisticRegression, {}),
    EstimatorCase(
        "LogisticRegressionCV",
        fastgd.LogisticRegressionCV,
        {"Cs": 3, "l1_ratios": (0,), "scoring": None, "use_legacy_attributes": True},
    ),
    EstimatorCase("SoftmaxRegression", fastgd.SoftmaxRegression, {}),
    EstimatorCase("LinearRegression", fastgd.LinearRegression, {}),
    EstimatorCase("Ridge", fastgd.Ridge, {}),
    EstimatorCase("RidgeClassifier", fastgd.RidgeClassifier, {}),
    EstimatorCase("RidgeCV", fastgd.RidgeCV, {}),
    EstimatorCase("RidgeClassifierCV", fastgd.RidgeClassifierCV, {}),
    EstimatorCase("Lasso", fastgd.Lasso, {"alpha": 0.01}),
    EstimatorCase("LassoCV", fastgd.LassoCV, {"alphas": 10}),
    EstimatorCase("ElasticNetCV", fastgd.ElasticNetCV, {"alphas": 10}),
    EstimatorCase("MultiTaskLasso", fastgd.MultiTaskLasso, {"alpha": 0.01}),
    EstimatorCase("MultiTaskElasticNet", fastgd.MultiTaskElasticNet, {"alpha": 0.01}),
    EstimatorCase("MultiTaskLassoCV", fastgd.MultiTaskLassoCV, {"alphas": 10}),
    EstimatorCase("MultiTaskElasticNetCV", fastgd.MultiTaskElasticNetCV, {"alphas": 10}),
    EstimatorCase("ElasticNet", fastgd.ElasticNet, {"alpha": 0.01}),
    EstimatorCase("LinearSVC", fastgd.LinearSVC, {}),
    EstimatorCase("LinearSVR", fastgd.LinearSVR, {}),
    EstimatorCase("HuberRegressor", fastgd.HuberRegressor, {}),
    EstimatorCase("QuantileRegressor", fastgd.QuantileRegressor, {"alpha": 0.01}),
    EstimatorCase("PoissonRegressor", fastgd.PoissonRegressor, {"alpha": 0.01}),
    EstimatorCase("GammaRegressor", fastgd.GammaRegressor, {"alpha": 0.01}),
    EstimatorCase("TweedieRegressor", fastgd.TweedieRegressor, {"alpha": 0.01}),
]

SOLVER_CASES = [case for case in ESTIMATOR_CASES if hasattr(case.kind, "_solve")]

NEWTON = {"solver": "newton-cholesky", "tol": 1e-12, "max_iter": 1000}
SAGA = {"solver": "saga", "tol": 1e-9, "max_iter": 100_000, "random_state": 0}
DESCENT = {"tol": 1e-14, "max_iter": 1_000_000}
PRIMAL = {"dual": False, "tol": 1e-12, "max_iter": 100_000, "random_state": 0}
DUAL = {"dual": True, "tol": 1e-10, "max_iter": 10_000_000, "random_state": 0}


def _solved(
    kind: type, exact: dict[str, Any], targets: str, objective: Any, **kwargs: Any
) -> SolvedCase:
    said = [f"{key}:{value}" for key, value in kwargs.items()]
    peer = getattr(linear_model, kind.__name__, None) or getattr(svm, kind.__name__, None)
    peer = peer or linear_model.LogisticRegression
    name = "-".join(
        [
            kind.__name__,
            *([targets] if objective in (of_logistic, of_svc, of_ridge_classes) else []),
            *said,
        ]
    )
    return SolvedCase(name, kind, kwargs, peer, exact, targets, objective)


def _solved_cases() -> list[SolvedCase]:
    logistic, softmax = fastgd.LogisticRegression, fastgd.SoftmaxRegression
    svc, svr = fastgd.LinearSVC, fastgd.LinearSVR
    poisson, gamma = fastgd.PoissonRegressor, fastgd.GammaRegressor
    tweedie, quantile = fastgd.TweedieRegressor, fastgd.QuantileRegressor
    insensitive = {"loss": "squared_epsilon_insensitive", "epsilon": 0.3}
    return [
        *(
            row
            for kind, targets in ((logistic, "binary"), (logistic, "classes"), (softmax, "classes"))
            for row in (
                _solved(kind, NEWTON, targets, of_logistic, C=0.5, l1_ratio=0.0),
                _solved(kind, SAGA, targets, of_logistic, C=0.5, l1_ratio=1.0),
                _solved(kind, SAGA, targets, of_logistic, C=0.5, l1_ratio=0.3),
                _solved(kind, NEWTON, targets, of_logistic, C=np.inf),
            )
        ),
        _solved(fastgd.LinearRegression, {}, "numbers", of_squares),
        _solved(fastgd.LinearRegression, {}, "numbers", of_squares, positive=True),
        _solved(fastgd.Ridge, {"solver": "cholesky"}, "numbers", of_squares, alpha=2.0),
        _solved(fastgd.Ridge, {"tol": 1e-12}, "numbers", of_squares, alpha=2.0, positive=True),
        *(
            _solved(fastgd.RidgeClassifier, kwargs, targets, of_ridge_classes, **own)
            for targets in ("binary", "classes")
            for kwargs, own in (
                ({"solver": "cholesky"}, {"alpha": 2.0}),
                ({"tol": 1e-12}, {"alpha": 2.0, "positive": True}),
            )
        ),
        _solved(fastgd.Lasso, DESCENT, "numbers", of_squares, alpha=0.3),
        _solved(fastgd.Lasso, DESCENT, "numbers", of_squares, alpha=0.3, positive=True),
        _solved(fastgd.ElasticNet, DESCENT, "numbers", of_squares, alpha=0.3),
        _solved(fastgd.ElasticNet, DESCENT, "numbers", of_squares, alpha=0.3, l1_ratio=0.0),
        _solved(svc, PRIMAL, "binary", of_svc, C=0.5),
        _solved(svc, PRIMAL, "classes", of_svc, C=0.5, intercept_scaling=3.0),
        _solved(svc, PRIMAL, "binary", of_svc, C=0.5, penalty="l1"),
        _solved(svc, DUAL, "binary", of_svc, C=0.5, loss="hinge"),
        _solved(svr, DUAL, "numbers", of_svr, C=0.5),
        _solved(svr, DUAL, "numbers", of_svr, C=0.5, epsilon=0.3),
        _solved(svr, PRIMAL, "numbers", of_svr, C=0.5, **insensitive),
        _solved(fastgd.HuberRegressor, {"tol": 1e-10, "max_iter": 10_000}, "numbers", of_huber),
        _solved(quantile, {"solver": "highs"}, "numbers", of_quantile, alpha=0.0),
        _solved(quantile, {"solver": "highs"}, "numbers", of_quantile, alpha=0.1, quantile=0.8),
        _solved(poisson, NEWTON, "counts", of_glm(1.0), alpha=0.1),
        _solved(poisson, NEWTON, "counts", of_glm(1.0), alpha=0.0),
        _solved(gamma, NEWTON, "positive", of_glm(2.0), alpha=0.1),
        _solved(tweedie, NEWTON, "numbers", of_glm(0.0, identity=True), alpha=0.1),
        _solved(tweedie, NEWTON, "positive", of_glm(0.0), alpha=0.1, power=0.0, link="log"),
        _solved(tweedie, NEWTON, "counts", of_glm(1.5), alpha=0.1, power=1.5),
        _solved(tweedie, NEWTON, "positive", of_glm(3.0), alpha=0.1, power=3.0),
    ]


SOLVED_CASES = _solved_cases()


def over(cases: Iterable[Any], name: str = "case") -> pytest.MarkDecorator:
    """Return the mark that runs a test once for each row of a table, under the row's name."""
    rows = list(cases)
    return pytest.mark.parametrize(name, rows, ids=[str(row[0]).replace(" ", "_") for row in rows])


def over_product(often: Callable[..., bool], **axes: Iterable[Any]) -> pytest.MarkDecorator:
    """Return the mark that runs a test over all combinations of the values of its arguments.

    Those of which ``often`` is true are run by default. The others compile the same again for
    other types, so they are marked ``full``.
    """
    rows = list(itertools.product(*axes.values()))
    marks = [() if often(*row) else pytest.mark.full for row in rows]
    params = [
        pytest.param(*row, marks=mark, id="-".join(map(_id_of, row)))
        for row, mark in zip(rows, marks, strict=True)
    ]
    return pytest.mark.parametrize(tuple(axes), params)


def _id_of(value: Any) -> str:
    """Name a value in a test's id: a row of a table, a class or function, or what prints well."""
    if hasattr(value, "_fields") and value and isinstance(value[0], str | None):
        return str(value[0]).replace(" ", "_")
    return getattr(value, "__name__", str(value))
