"""From a constructor's words to what the kernels take: "adam" -> Adam()."""

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from fastgd import schedules
from fastgd.kernels.losses import (
    LOSSES,
    EpsilonInsensitive,
    Focal,
    Huber,
    LogCosh,
    Quantile,
    SmoothHinge,
    Softmax,
    SquaredEpsilonInsensitive,
    Tweedie,
)
from fastgd.kernels.optimizers import OPTIMIZERS, Adam, LazyAdam, Sgd
from fastgd.kernels.penalties import ElasticNet

Schedule = Callable[[Any], Any]  # from step numbers to their rates, arrays of float64

_AT_LEAST_ZERO = (">= 0", lambda number: 0 <= number < np.inf)
_POSITIVE = ("> 0", lambda number: 0 < number < np.inf)

# What the numbers in a loss object may be; words of a constructor are checked by the estimators.
_ALLOWED: dict[type, tuple[str, str, Callable[[Any], bool]]] = {
    Huber: ("epsilon", *_AT_LEAST_ZERO),
    EpsilonInsensitive: ("epsilon", *_AT_LEAST_ZERO),
    SquaredEpsilonInsensitive: ("epsilon", *_AT_LEAST_ZERO),
    LogCosh: ("scale", *_POSITIVE),
    Quantile: ("q", "in (0, 1)", lambda number: 0 < number < 1),
    Tweedie: ("power", "<= 0 or >= 1", lambda number: number <= 0 or number >= 1),
    SmoothHinge: ("smoothing", *_POSITIVE),
    Focal: ("gamma", *_AT_LEAST_ZERO),
    Softmax: ("label_smoothing", "in [0, 1)", lambda number: 0 <= number < 1),
}


def loss(name: Any, epsilon: float) -> Any:
    """Return the loss of a name, its ``epsilon`` filled in; an object is returned as it is.

    Raises
    ------
    ValueError
        If an object holds a number for which there is no such loss.
    """
    if type(name) in _ALLOWED:
        field, words, is_allowed = _ALLOWED[type(name)]
        number = getattr(name, field)
        if not is_allowed(number):
            raise ValueError(
                f"{field} of the loss {type(name).__name__!r} must be {words}, got {number}."
            )
    if not isinstance(name, str):
        return name
    tag = LOSSES[name]
    return tag._replace(epsilon=epsilon) if "epsilon" in tag._fields else tag


def penalty(name: str | None, alpha: float, l1_ratio: float | None) -> ElasticNet:
    """Return a penalty's strengths: alpha (l1_ratio |w| + (1 - l1_ratio) w^2 / 2)."""
    shares = {None: None, "l2": 0.0, "l1": 1.0, "elasticnet": l1_ratio}
    if name == "elasticnet" and l1_ratio is None:
        raise ValueError("l1_ratio must be set when penalty is 'elasticnet'")
    share = shares[name]
    if share is None:
        return ElasticNet(0.0, 0.0)
    return ElasticNet(alpha * share, alpha * (1.0 - share))


def optimizer(name: Any, *, sparse: bool) -> Any:
    """Return the optimizer of a name or the object, in the form that these rows call for."""
    tag = OPTIMIZERS[name] if isinstance(name, str) else name
    if isinstance(tag, Adam) and (sparse if tag.lazy is None else tag.lazy):
        return LazyAdam(tag.beta_1, tag.beta_2, tag.epsilon)
    return tag


def schedule(
    estimator: Any, loss_tag: Any, optimizer_tag: Any, steps_per_epoch: int, max_iter: int
) -> Schedule:
    """Return the schedule that an estimator's words ask for.

    scikit-learn's defaults, "optimal" and "invscaling", are made for plain sgd ("optimal" would
    have Adam take steps of 10): with another optimizer the class's own default means that
    optimizer's constant rate. Any other word, and any callable, is obeyed. What a schedule leaves
    open is filled in, its lengths by ``max_iter``.
    """
    rule = estimator.learning_rate
    if isinstance(rule, type):
        raise ValueError(
            f"learning_rate={rule.__name__} is a class; give an object, {rule.__name__}(...)."
        )
    if hasattr(rule, "bind"):
        return rule.bind(estimator.eta0, steps_per_epoch, max_iter)
    if callable(rule):
        return rule
    if rule == type(estimator)._default_learning_rate and not isinstance(optimizer_tag, Sgd):
        return schedules.Constant(type(optimizer_tag).eta0)
    if rule == "optimal":
        return _optimal(estimator, loss_tag)
    words = {"power_t": estimator.power_t} if rule == "invscaling" else {}
    named = schedules.SCHEDULES[rule](eta0=None, **words)
    return named.bind(estimator.eta0, steps_per_epoch, max_iter)


def _optimal(estimator: Any, loss_tag: Any) -> Schedule:
    if estimator.alpha == 0:
        raise ValueError(
            "alpha must be > 0 since learning_rate is 'optimal'. alpha is used to compute the "
            "optimal learning rate."
        )
    return schedules.optimal(estimator.alpha, loss_tag)


def in_dtype(tag: Any, dtype: np.dtype) -> Any:
    """Return a tag with all its numbers in the dtype of the kernel that it goes to.

    So nothing in a float32 loop is promoted, and ``Huber(1)`` compiles to what ``Huber(1.0)`` did.
    """
    fields = (
        dtype.type(field) if isinstance(field, Real) and not isinstance(field, bool) else field
        for field in tag
    )
    return type(tag)(*fields)
