"""Short names of models, their parameters from the command line, and what learns from chunks."""

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fastgd import linear_model
from fastgd._readers.errors import (
    MOST_OF_AN_ERROR,
    Misuse,
    UserError,
    listed,
    quoted,
    shortened,
)
from fastgd._readers.layout import likeness
from fastgd._readers.summary import Summary
from fastgd._runtime.devices import is_there
from fastgd._runtime.postponed import imported
from fastgd.cli._names import MODELS
from fastgd.kernels.losses import LOG, link_of
from fastgd.losses import LOSSES, Quantile, Tweedie
from fastgd.schedules import Cosine

BATCH_SIZE = 64
ETA0 = 0.05  # of Adam's steps, in columns whose standard deviation is 1; falls to 0 by a cosine

Params = dict[str, Any]


class SgdForm(NamedTuple):
    """How an SGD estimator minimises what an estimator that wants all rows at once does.

    ``params`` makes the one's parameters of the other's and the number of rows; ``means`` lists the
    parameters of the other that it heeds.
    """

    params: Callable[[Mapping[str, Any], int], Params]
    means: tuple[str, ...] = ()


def _inverse(C: float, n_rows: int) -> float:
    return 1.0 / (float(C) * n_rows)


def _penalty(alpha: float, l1_ratio: float = 0.0) -> Params:
    if alpha == 0.0:
        return {"penalty": None}
    named = {0.0: "l2", 1.0: "l1"}.get(l1_ratio, "elasticnet")
    return {"penalty": named, "alpha": alpha, "l1_ratio": l1_ratio}


def _logistic(params: Mapping[str, Any], n_rows: int) -> Params:
    penalty = _penalty(_inverse(params["C"], n_rows), params["l1_ratio"] or 0.0)
    return {"loss": "log_loss", **penalty, "class_weight": params["class_weight"]}


def _ridge_classifier(params: Mapping[str, Any], n_rows: int) -> Params:
    named = {"multi_class": "ovr", "class_weight": params["class_weight"]}
    return {**_squared(params, n_rows, None), **named}


def _svc(params: Mapping[str, Any], n_rows: int) -> Params:
    l1_ratio = 1.0 if params["penalty"] == "l1" else 0.0
    penalty = _penalty(_inverse(params["C"], n_rows), l1_ratio)
    return {"loss": params["loss"], **penalty, "class_weight": params["class_weight"]}


def _svr(params: Mapping[str, Any], n_rows: int) -> Params:
    penalty = _penalty(_inverse(params["C"], n_rows))
    return {"loss": params["loss"], "epsilon": params["epsilon"], **penalty}


def _squared(params: Mapping[str, Any], n_rows: int, l1_ratio: float | None) -> Params:
    alpha = float(params["alpha"])
    if l1_ratio is None:  # ridge: a sum of squares, where the others have half their mean
        return {"loss": "squared_error", **_penalty(alpha / n_rows)}
    return {"loss": "squared_error", **_penalty(alpha, l1_ratio)}


def _glm(loss: Any) -> SgdForm:
    return SgdForm(lambda w, _: {"loss": loss, **_penalty(w["alpha"])}, ("alpha",))


def _tweedie(params: Mapping[str, Any], _: int) -> Params:
    power = float(params["power"])
    if power < 0.0:
        raise Misuse("--set power: tweedie with power < 0 is not trained in chunks.")
    loss = Tweedie(power) if power > 0.0 else "squared_error"
    return {"loss": loss, **_penalty(params["alpha"])}


_SGD_FORMS = {
    "logistic": SgdForm(_logistic, ("C", "l1_ratio", "class_weight")),
    "softmax": SgdForm(_logistic, ("C", "l1_ratio", "class_weight")),
    "svc": SgdForm(_svc, ("C", "loss", "penalty", "class_weight")),
    "ridge-classifier": SgdForm(_ridge_classifier, ("alpha", "class_weight")),
    "svr": SgdForm(_svr, ("C", "loss", "epsilon")),
    "linear": SgdForm(lambda *_: {"loss": "squared_error", "penalty": None}),
    "ridge": SgdForm(lambda w, n: _squared(w, n, None), ("alpha",)),
    "lasso": SgdForm(lambda w, n: _squared(w, n, 1.0), ("alpha",)),
    "elasticnet": SgdForm(lambda w, n: _squared(w, n, w["l1_ratio"]), ("alpha", "l1_ratio")),
    "quantile": SgdForm(
        lambda w, _: {"loss": Quantile(float(w["quantile"])), **_penalty(w["alpha"], 1.0)},
        ("quantile", "alpha"),
    ),
    "poisson": _glm("poisson"),
    "gamma": _glm("gamma"),
    "tweedie": SgdForm(_tweedie, ("power", "alpha")),
}

_RATE_FREE = ("sgd-classifier", "sgd-regressor")
_OF_STEPS = ("learning_rate", "eta0", "power_t", "optimizer")
_ALWAYS_HEEDED = ("fit_intercept", "positive", "random_state")


def params_of(settings: Sequence[str]) -> Params:
    """Return the values of ``--set NAME=VALUE``: numbers, true, false, none, or text.

    Raises
    ------
    Misuse
    """
    params: Params = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise Misuse(f"--set takes NAME=VALUE, got {quoted(setting)}.")
        if name.strip() == "callbacks":
            raise Misuse("--set callbacks: those are objects of Python, which no text stands for.")
        params[name.strip()] = value_of(text.strip())
    return params


def value_of(text: str) -> Any:
    """Return what a word of the command line stands for: a number, true, false, none, or text."""
    small = {"true": True, "false": False, "none": None, "inf": math.inf}
    if text.lower() in small:
        return small[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def estimator(name: str, params: Params, seed: int | None) -> Any:
    """Return the estimator of a short name, whose steps need no rate where it would have one.

    Raises
    ------
    Misuse
        If it has no such parameters, or they no such values.
    """
    return of_defaults(name, _with_rate(name, params), seed)


def of_defaults(name: str, params: Params, seed: int | None) -> Any:
    """Return the estimator of a short name, with its own defaults for what is not given.

    Raises
    ------
    Misuse
        If it has no such parameters, or they no such values.
    """
    kind = imported(f"fastgd.{MODELS[name].package}:{MODELS[name].estimator}")
    return configured(kind(), name, params, seed)


def _with_rate(name: str, params: Params) -> Params:
    """Return parameters with steps that need no rate, unless the user has said how steps are made.

    scikit-learn's default rates are made for columns of unit variance, and end far from the
    optimum on texts. They are left where a CUDA device is asked for: there a step without a rate is
    some twenty launches, and of few rows slower than on the processor.
    """
    is_theirs = is_there(params.get("device")) or any(param in params for param in _OF_STEPS)
    if name not in _RATE_FREE or is_theirs:
        return params
    return {"learning_rate": "auto", **params}


def configured(model: Any, name: str, params: Params, seed: int | None) -> Any:
    """Return an estimator with parameters.

    Raises
    ------
    Misuse
        If it has no such parameters, or they no such values.
    """
    known = model.get_params()
    for param in params:
        if param not in known:
            raise Misuse(_unknown(param, name, type(model).__name__, list(known)))
    if seed is not None and "random_state" in known:
        params = {"random_state": seed, **params}
    model.set_params(**params)
    try:
        model._validate_params()
    except (ValueError, TypeError) as error:
        raise Misuse(f"--set: {shortened(str(error), MOST_OF_AN_ERROR)}") from None
    return model


def _unknown(param: str, name: str, kind: str, known: Sequence[str]) -> str:
    near = likeness(param, known, 0.6)
    return (
        f"--set {param}: {name} ({kind}) has no such parameter.{near} It has "
        f"{listed(sorted(known), most=99)}."
    )


def check_params_for_chunks(name: str, params: Params) -> None:
    """Refuse a model that cannot learn from chunks, or parameters that it has no use for there.

    Raises
    ------
    Misuse
    """
    learns = MODELS[name].in_chunks
    if learns == MODELS[name].estimator:
        estimator(name, params, None)
        return
    if name not in _SGD_FORMS:
        raise Misuse(f"{name} cannot be trained in chunks. {MODELS[name].instead}")
    asked, own = _divided(name, params)
    for param in asked:
        if param not in _heeded(name):
            raise Misuse(
                f"--set {param}: {name} has it, but not where it is trained in chunks; there it "
                f"heeds {listed(_heeded(name))}, and further parameters of {learns}."
            )
    meant = configured(getattr(linear_model, MODELS[name].estimator)(), name, asked, None)
    _SGD_FORMS[name].params(meant.get_params(), 1)
    known = getattr(linear_model, learns)().get_params()
    for param in own:
        if param not in known:
            raise Misuse(_unknown(param, name, f"in chunks {learns}", [*_heeded(name), *known]))
    configured(getattr(linear_model, learns)(), name, own, None)


def chunk_learner(
    name: str, params: Params, seed: int | None, epochs: int, summary: Summary
) -> Any:
    """Return an SGD estimator that learns from chunks what the model of this name does from all.

    Rates that fall to 0 within the epochs end by themselves: ``tol`` is None with them.

    Raises
    ------
    Misuse
        If parameters have values that they cannot have.
    """
    model: Any = getattr(linear_model, MODELS[name].in_chunks)()
    if name not in _SGD_FORMS:
        settings = {**_with_rate(name, params), "max_iter": epochs}
        return _balanced(configured(model, name, settings, seed), summary)
    asked, own = _divided(name, params)
    meant = getattr(linear_model, MODELS[name].estimator)(**asked).get_params()
    settings = {**_SGD_FORMS[name].params(meant, summary.n_rows), "optimizer": "adam"}
    settings |= {param: asked[param] for param in _ALWAYS_HEEDED if param in asked}
    tol = 1e-3 if own.get("early_stopping") else None
    settings |= {"batch_size": BATCH_SIZE, "max_iter": epochs, "tol": tol, **own}
    if "learning_rate" not in own:
        eta0 = float(own.get("eta0", ETA0 * _scale(settings["loss"], summary)))
        settings["learning_rate"] = Cosine(eta0=eta0, unit="step")
    return _balanced(configured(model, name, settings, seed), summary)


def _divided(name: str, params: Params) -> tuple[Params, Params]:
    """Return the parameters of the estimator asked for, and those of the one in its place."""
    known = getattr(linear_model, MODELS[name].estimator)().get_params()
    asked = {param: value for param, value in params.items() if param in known}
    return asked, {param: value for param, value in params.items() if param not in known}


def _heeded(name: str) -> list[str]:
    known = getattr(linear_model, MODELS[name].estimator)().get_params()
    return [*_SGD_FORMS[name].means, *(param for param in _ALWAYS_HEEDED if param in known)]


def _has_log_link(loss: Any) -> bool:
    """Tell whether a prediction is e^raw."""
    return link_of(LOSSES.get(loss, loss)) == LOG


def _scale(loss: Any, summary: Summary) -> float:
    """Return the unit of the raw predictions: coefficients are about that large."""
    if summary.classes or _has_log_link(loss):
        return 1.0
    return float(summary.target.deviation[0]) or 1.0


def _balanced(model: Any, summary: Summary) -> Any:
    """Weigh classes as "balanced" asks for, by what the first pass counted."""
    if getattr(model, "class_weight", None) == "balanced":
        mean = summary.n_rows / len(summary.classes)
        model.class_weight = {label: mean / times for label, times in summary.classes.items()}
    return model


def start_of(name: str, model: Any, summary: Summary) -> list[float] | None:
    """Return the intercept that a regression begins with, which predicts the mean target.

    Adam's steps are short. None stands for the estimator's own.
    """
    if name not in _SGD_FORMS or summary.classes or not model.fit_intercept:
        return None
    mean = float(summary.target.mean[0])
    if _has_log_link(model.loss):
        if mean <= 0.0:
            raise UserError(f"{name} needs targets with a mean above 0, got {mean:.3g}.")
        mean = math.log(mean)
    return [mean]
