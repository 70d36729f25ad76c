"""What a fitted estimator has minimised, as far as standard errors need it.

Estimators are told apart by the names in their class's line of ancestors, so that scikit-learn's
own, and subclasses of either, have tables, too.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GAUSSIAN, LOG, CLASSES = "gaussian", "log", "classes"


class Stated(NamedTuple):
    """A model and its penalty: 1/2 l2 |w|^2 beside the sum of s_i loss_i.

    family : GAUSSIAN (squared error), LOG (log link, variance mean^power) or CLASSES
    params : (n_outputs, 1 + n_features), the intercept first; for CLASSES one row a class, those of
        two classes 0 and w
    l2 : (n_outputs,); for CLASSES all the same
    of_intercept : float, the factor of ``l2`` that the intercept has: 0 where it is free
    power : float, of the mean that the variance is
    is_symmetric : bool, whether the penalty counts all classes rather than differences of two
    """

    family: str
    params: Floats
    l2: Floats
    of_intercept: float = 0.0
    power: float = 0.0
    is_symmetric: bool = False


def stated(model: Any, mass: float) -> Stated:
    """Return what a fitted estimator minimises; ``mass`` is the sum of the rows' weights.

    Raises
    ------
    TypeError
        If nothing is known of such an estimator.
    ValueError
        If it has an l1 penalty, or bounds.
    """
    for kind in type(model).__mro__:
        if kind.__name__ in _READERS:
            _refuse_bounds(model)
            return _READERS[kind.__name__](model, mass)
    raise TypeError(
        f"coef_table has no standard errors for {type(model).__name__}; it takes fitted "
        f"{', '.join(sorted(_READERS))}, and the pipelines' last steps of these classes."
    )


def _refuse_bounds(model: Any) -> None:
    if getattr(model, "positive", False):
        raise ValueError(
            f"positive=True of {type(model).__name__}: coefficients that end at their bound have "
            "no normal distribution; fit with positive=False."
        )


def _refuse_l1(model: Any, strength: float) -> None:
    if strength > 0.0:
        raise ValueError(
            f"{type(model).__name__} has an l1 penalty: its coefficients are zero with positive "
            "probability, and have no standard errors. Fit with l2 or without a penalty, on rows "
            "that have not chosen the columns."
        )


def _params(model: Any) -> Floats:
    """Return (n_outputs, 1 + n_features); the intercept is 0 where there is none."""
    coef = model.coef_.toarray() if hasattr(model.coef_, "toarray") else model.coef_
    coef = np.atleast_2d(np.asarray(coef, np.float64))
    intercept = np.broadcast_to(np.asarray(model.intercept_, np.float64), coef.shape[0])
    return np.column_stack([intercept, coef])


def _chosen(model: Any, name: str, default: Any = None) -> Any:
    """Return what cross-validation has chosen for a parameter, or what was given."""
    return getattr(model, f"{name}_", getattr(model, name, default))


def _least_squares(model: Any, _: float) -> Stated:
    params = _params(model)
    return Stated(GAUSSIAN, params, np.zeros(params.shape[0]))


def _ridge(model: Any, _: float) -> Stated:
    params = _params(model)
    alpha = np.asarray(_chosen(model, "alpha"))
    return Stated(GAUSSIAN, params, np.broadcast_to(alpha.astype(float), params.shape[0]))


def _elastic_net(model: Any, mass: float) -> Stated:
    params = _params(model)
    alpha = float(_chosen(model, "alpha"))
    ratio = float(_chosen(model, "l1_ratio", 1.0))
    _refuse_l1(model, alpha * ratio)
    return Stated(GAUSSIAN, params, np.full(params.shape[0], alpha * (1.0 - ratio) * mass))


def _logistic(model: Any, _: float) -> Stated:
    C = float(np.ravel(_chosen(model, "C"))[0])
    penalty = getattr(model, "penalty", "deprecated")
    l2 = 0.0 if penalty is None else 1.0 / C
    ratio = np.ravel(_chosen(model, "l1_ratio"))[0] or 0.0
    share = {"l1": 1.0, "l2": 0.0}.get(penalty, ratio)
    _refuse_l1(model, float(share) * l2)
    params, n_classes = _params(model), model.classes_.shape[0]
    is_symmetric = params.shape[0] == n_classes
    if not is_symmetric:
        params = np.vstack([np.zeros_like(params), params])
    free = 0.0
    if model.solver == "liblinear" and model.fit_intercept:
        free = 1.0 / float(model.intercept_scaling) ** 2
    return Stated(CLASSES, params, np.full(n_classes, l2), free, is_symmetric=is_symmetric)


def _log_link(power: Callable[[Any], float]) -> Callable[[Any, float], Stated]:
    def read(model: Any, mass: float) -> Stated:
        params = _params(model)
        return Stated(LOG, params, np.array([float(model.alpha) * mass]), power=power(model))

    return read


def _tweedie(model: Any, mass: float) -> Stated:
    found = _log_link(lambda tweedie: float(tweedie.power))(model, mass)
    if model.link == "log" or (model.link == "auto" and model.power > 0):
        return found
    if model.power != 0:
        raise ValueError(
            f"{type(model).__name__}(power={model.power!r}) with the identity as its link has no "
            "standard errors here; link='log' has for every power, and the identity for power=0."
        )
    return found._replace(family=GAUSSIAN)


_READERS: dict[str, Callable[[Any, float], Stated]] = {
    "LinearRegression": _least_squares,
    "Ridge": _ridge,
    "RidgeCV": _ridge,
    "ElasticNet": _elastic_net,
    "ElasticNetCV": _elastic_net,
    "Lasso": _elastic_net,
    "LassoCV": _elastic_net,
    "LogisticRegression": _logistic,
    "LogisticRegressionCV": _logistic,
    "PoissonRegressor": _log_link(lambda _: 1.0),
    "GammaRegressor": _log_link(lambda _: 2.0),
    "TweedieRegressor": _tweedie,
}
