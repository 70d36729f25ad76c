"""What each estimator minimises, once more, in numpy's widest float."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tests.fuzz.cases import Case

Wide = np.longdouble
Floats = Any


class Loss(NamedTuple):
    """A loss of (targets, raw predictions), and its two derivatives by the raw prediction.

    breakpoints : of targets, where the loss is not smooth
    pieces : of targets, lines (height at raw = 0, slope) the highest of which is the loss
    """

    value: Callable[..., Floats]
    gradient: Callable[..., Floats]
    curvature: Callable[..., Floats]
    is_smooth: bool = True
    breakpoints: Callable[..., Floats] | None = None
    pieces: Callable[..., Any] | None = None


class Pose(NamedTuple):
    """A case as the mean loss of rows with penalties, one target a column, each on its own.

    scaling : float or None
        The intercept is the coefficient of a column of this number, penalised with the others.
    """

    loss: Loss | None  # None: softmax over the columns; "huber" has a scale besides
    targets: Floats
    l1: float
    l2: float
    fit_intercept: bool
    scaling: float | None = None
    positive: bool = False
    epsilon: float | None = None  # of Huber's loss


class Params(NamedTuple):
    """Raw coefficients (outputs, columns), intercepts (outputs,) and Huber's scale."""

    coef: Floats
    intercept: Floats
    scale: Floats = Wide(1)


class Value(NamedTuple):
    """An objective, and how much of it the rounding of the coefficients may change."""

    objective: Floats
    rounding: Floats


def pose_of(case: Case) -> Pose:
    """Return what the case minimises, divided by the weights' sum (and C)."""
    kwargs = case.make().get_params()
    mass = float(case.s.sum())
    y, fit_intercept = case.y, bool(kwargs["fit_intercept"])
    if case.name in ("LogisticRegression", "SoftmaxRegression", "LinearSVC"):
        return _classifier(case, kwargs, mass)
    if case.name == "RidgeClassifier":
        classes = np.unique(y)
        side = 2 * Wide(1) * (y[:, None] == classes) - 1
        y = side[:, 1:] if classes.size == 2 else side
    l1, l2 = _regression_penalty(case.name, kwargs, mass)
    more: dict[str, Any] = {"positive": bool(kwargs.get("positive", False))}
    if case.name == "LinearSVR" and fit_intercept:
        more["scaling"] = float(kwargs["intercept_scaling"])
    if case.name == "HuberRegressor":
        more["epsilon"] = float(kwargs["epsilon"])
    loss = _regression_loss(case.name, kwargs)
    return Pose(loss, Wide(1) * y.reshape(len(y), -1), l1, l2, fit_intercept, **more)


def _classifier(case: Case, kwargs: dict[str, Any], mass: float) -> Pose:
    classes = np.unique(case.y)
    one_of = Wide(1) * (case.y[:, None] == classes)
    strength, fit_intercept = 1.0 / (kwargs["C"] * mass), bool(kwargs["fit_intercept"])
    if case.name == "LinearSVC":
        side = 2 * one_of - 1
        side = side[:, 1:] if classes.size == 2 else side
        is_l1 = kwargs["penalty"] == "l1"
        penalty = (strength, 0.0) if is_l1 else (0.0, strength)
        scaling = float(kwargs["intercept_scaling"]) if fit_intercept else None
        loss = HINGE if kwargs["loss"] == "hinge" else SQUARED_HINGE
        return Pose(loss, side, *penalty, fit_intercept, scaling)
    share = kwargs["l1_ratio"]
    penalty = (share * strength, (1 - share) * strength)
    if case.name == "LogisticRegression" and classes.size == 2:
        return Pose(LOGISTIC, 2 * one_of[:, 1:] - 1, *penalty, fit_intercept)
    return Pose(None, one_of, *penalty, fit_intercept)


def _regression_penalty(name: str, kwargs: dict[str, Any], mass: float) -> tuple[float, float]:
    if name == "LinearSVR":
        return 0.0, 1.0 / (kwargs["C"] * mass)
    alpha = float(kwargs.get("alpha", 0.0))
    if name in ("LinearRegression", "Ridge", "RidgeClassifier"):
        return 0.0, alpha / mass
    if name == "HuberRegressor":
        return 0.0, 2 * alpha / mass
    if name == "QuantileRegressor":
        return alpha, 0.0
    if name in ("Lasso", "ElasticNet"):
        share = 1.0 if name == "Lasso" else kwargs["l1_ratio"]
        return alpha * share, alpha * (1 - share)
    return 0.0, alpha


def _regression_loss(name: str, kwargs: dict[str, Any]) -> Loss:
    if name == "LinearSVR":
        epsilon = Wide(kwargs["epsilon"])
        is_squared = kwargs["loss"] == "squared_epsilon_insensitive"
        return squared_tube(epsilon) if is_squared else tube(epsilon)
    if name == "QuantileRegressor":
        return pinball(Wide(kwargs["quantile"]))
    powers = {"PoissonRegressor": 1.0, "GammaRegressor": 2.0, "TweedieRegressor": 0.0}
    power = kwargs.get("power", powers.get(name, 0.0))
    is_linear = power == 0.0 and kwargs.get("link") != "log"
    return SQUARE if is_linear else deviance(Wide(power))


def scaled_loss(case: Case, size: Floats) -> Loss:
    """Return a piecewise linear loss for targets that are counted in units of ``size``."""
    kwargs = case.make().get_params()
    if "epsilon" in kwargs:
        kwargs = {**kwargs, "epsilon": Wide(kwargs["epsilon"]) / size}
    return _regression_loss(case.name, kwargs)


def _expit(raw: Floats) -> Floats:
    small = np.exp(-np.abs(raw))
    return np.where(raw > 0, 1, small) / (1 + small)


SQUARE = Loss(
    lambda y, raw: (raw - y) ** 2 / 2, lambda y, raw: raw - y, lambda _, raw: np.ones_like(raw)
)
LOGISTIC = Loss(
    lambda y, raw: np.maximum(-y * raw, 0) + np.log1p(np.exp(-np.abs(raw))),
    lambda y, raw: -y * _expit(-y * raw),
    lambda _, raw: _expit(raw) * _expit(-raw),
)
HINGE = Loss(
    lambda y, raw: np.maximum(1 - y * raw, 0),
    lambda y, raw: np.where(y * raw < 1, -y, 0),
    lambda _, raw: np.zeros_like(raw),
    is_smooth=False,
    breakpoints=lambda y: [y],
    pieces=lambda y: [(0 * y, 0 * y), (0 * y + 1, -y)],
)
SQUARED_HINGE = Loss(
    lambda y, raw: np.maximum(1 - y * raw, 0) ** 2,
    lambda y, raw: -2 * y * np.maximum(1 - y * raw, 0),
    lambda y, raw: np.where(y * raw < 1, Wide(2), Wide(0)),
)


def tube(epsilon: Floats) -> Loss:
    """Return the distance from a tube about the targets."""
    return Loss(
        lambda y, raw: np.maximum(np.abs(raw - y) - epsilon, 0),
        lambda y, raw: np.where(np.abs(raw - y) > epsilon, np.sign(raw - y), 0),
        lambda _, raw: np.zeros_like(raw),
        is_smooth=False,
        breakpoints=lambda y: [y - epsilon, y + epsilon] if epsilon > 0 else [y],
        pieces=lambda y: [
            (0 * y, 0 * y),
            (-y - epsilon, 0 * y + 1),
            (y - epsilon, 0 * y - 1),
        ],
    )


def squared_tube(epsilon: Floats) -> Loss:
    """Return its square."""
    return Loss(
        lambda y, raw: np.maximum(np.abs(raw - y) - epsilon, 0) ** 2,
        lambda y, raw: 2 * np.sign(raw - y) * np.maximum(np.abs(raw - y) - epsilon, 0),
        lambda y, raw: np.where(np.abs(raw - y) > epsilon, Wide(2), Wide(0)),
    )


def pinball(q: Floats) -> Loss:
    """Return the quantile's loss."""
    return Loss(
        lambda y, raw: np.maximum(q * (y - raw), (q - 1) * (y - raw)),
        lambda y, raw: np.where(y > raw, -q, 1 - q),
        lambda _, raw: np.zeros_like(raw),
        is_smooth=False,
        breakpoints=lambda y: [y],
        pieces=lambda y: [(q * y, 0 * y - q), ((q - 1) * y, 0 * y + 1 - q)],
    )


def deviance(power: Floats) -> Loss:
    """Return half the unit deviance of a mean e^raw."""

    def term(y: Floats, raw: Floats, p: Floats) -> Floats:
        """Return the integral of (mu - y) mu^(1 - p) over raw, from log y where y > 0."""
        if p == 0:
            return (np.exp(raw) - y) ** 2 / 2
        if p == 1:
            log_y = np.log(np.where(y > 0, y, 1))
            return np.exp(raw) - y - y * np.where(y > 0, raw - log_y, 0)
        if p == 2:
            distance = raw - np.log(y)
            return distance + np.expm1(-distance)
        at_y = np.where(y > 0, y, 1) ** (2 - p) * (y > 0) / ((1 - p) * (2 - p))
        return at_y - y * np.exp((1 - p) * raw) / (1 - p) + np.exp((2 - p) * raw) / (2 - p)

    return Loss(
        lambda y, raw: term(y, raw, power),
        lambda y, raw: np.exp((2 - power) * raw) - y * np.exp((1 - power) * raw),
        lambda y, raw: (
            (2 - power) * np.exp((2 - power) * raw) - (1 - power) * y * np.exp((1 - power) * raw)
        ),
    )


def softmax_loss(one_of: Floats, raw: Floats) -> Floats:
    """Return the cross-entropy of each row."""
    top = raw.max(axis=1, keepdims=True)
    return np.log(np.exp(raw - top).sum(axis=1)) + top[:, 0] - (one_of * raw).sum(axis=1)


def huber_loss(y: Floats, raw: Floats, scale: Floats, epsilon: Floats) -> Floats:
    """Return scale (1 + H(r / scale))."""
    r = np.abs(y - raw)
    z = r / scale
    inside = r * np.where(z < epsilon, z, 0)
    return scale + np.where(z < epsilon, inside, epsilon * (2 * r - epsilon * scale))


def losses(pose: Pose, raw: Floats, scale: Floats) -> Floats:
    """Return each row's loss, (rows, outputs)."""
    if pose.loss is None:
        return softmax_loss(pose.targets, raw)[:, None]
    if pose.epsilon is not None:
        return huber_loss(pose.targets, raw, scale, pose.epsilon)
    return pose.loss.value(pose.targets, raw)


def penalty(pose: Pose, params: Params) -> Floats:
    """Return the penalty of each output; of softmax, of all together."""
    coef = params.coef
    if pose.scaling is not None:
        coef = np.hstack([coef, params.intercept[:, None] / Wide(pose.scaling)])
    each = pose.l1 * np.abs(coef).sum(axis=1) + pose.l2 / Wide(2) * (coef**2).sum(axis=1)
    return each.sum(keepdims=True) if pose.loss is None else each


def raw_of(case: Case, params: Params) -> Floats:
    """Return the raw predictions."""
    return Wide(1) * case.X @ params.coef.T + params.intercept


def value(case: Case, pose: Pose, params: Params, precision: float | None = None) -> Value:
    """Return the objective at a model, and what rounding to ``precision`` may change of it.

    The rounding is that of coefficients and of the numbers summed: a raw prediction is known to
    epsilon (|x| |w| + |b|), and a loss changes by as much as such a change of its argument makes.
    """
    s = (Wide(1) * case.s / case.s.max())[:, None]
    s = s / s.sum()
    raw = raw_of(case, params)
    objective = (s * losses(pose, raw, params.scale)).sum(axis=0) + penalty(pose, params)
    if precision is None:
        return Value(objective, np.zeros_like(objective))
    slack = precision * (
        np.abs(Wide(1) * case.X) @ np.abs(params.coef).T + np.abs(params.intercept)
    )
    base = losses(pose, raw, params.scale)
    change = np.maximum(
        np.abs(losses(pose, raw + slack, params.scale) - base),
        np.abs(losses(pose, raw - slack, params.scale) - base),
    )
    eps = np.finfo(np.float64).eps
    of_penalty = 4 * precision * penalty(pose, params)
    if pose.loss is None:  # any class's error may add to any other's
        change = 2 * slack.max(axis=1, keepdims=True)
    return Value(objective, (s * change).sum(axis=0) + of_penalty + 8 * eps * np.abs(objective))


def summed(case: Case, pose: Pose, params: Params) -> Floats:
    """Return the mean size of what a solver sums: it knows its objective to 1e-16 of that."""
    s = (Wide(1) * case.s / case.s.max())[:, None]
    s = s / s.sum()
    raw = raw_of(case, params)
    size = np.abs(losses(pose, raw, params.scale))
    if case.name in ("PoissonRegressor", "GammaRegressor", "TweedieRegressor"):
        power = float(case.kwargs.get("power", 1.0 if case.name == "PoissonRegressor" else 2.0))
        y = pose.targets
        if power != 0.0:
            size = size + np.abs(y * np.exp((1 - power) * raw)) + np.exp((2 - power) * raw)
            size = size + np.where(
                y > 0, np.abs(np.log(np.where(y > 0, y, 1))) * y ** (2 - power), 0
            )
    return (s * size).sum(axis=0)


def params_of(model: Any) -> Params:
    """Return a fitted model's parameters, ours or scikit-learn's."""
    coef = Wide(1) * np.atleast_2d(np.asarray(model.coef_, np.float64))
    intercept = Wide(1) * np.zeros(coef.shape[0]) + np.asarray(model.intercept_, np.float64)
    return Params(coef, intercept, Wide(getattr(model, "scale_", 1.0)))
