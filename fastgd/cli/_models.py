"""Short names of the models, their words from the command line, and what learns from chunks."""

import ast
import difflib
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
from fastgd.cli._names import MODELS
from fastgd.cli._summary import Summary
from fastgd.losses import Quantile, Tweedie
from fastgd.schedules import Cosine

BATCH_SIZE = 64
ETA0 = 0.05  # of Adam's steps, in columns whose standard deviation is 1; falls to 0 by a cosine

Words = dict[str, Any]


class StandIn(NamedTuple):
    """How an SGD estimator minimises what an estimator that wants all rows at once does.

    ``words`` makes the one's words of the other's and the number of rows; ``means`` lists the
    words of the other that it heeds.
    """

    words: Callable[[Mapping[str, Any], int], Words]
    means: tuple[str, ...] = ()


def _inverse(C: float, n_rows: int) -> float:
    return 1.0 / (float(C) * n_rows)


def _penalty(alpha: float, l1_ratio: float = 0.0) -> Words:
    if alpha == 0.0:
        return {"penalty": None}
    named = {0.0: "l2", 1.0: "l1"}.get(l1_ratio, "elasticnet")
    return {"penalty": named, "alpha": alpha, "l1_ratio": l1_ratio}


def _logistic(words: Mapping[str, Any], n_rows: int) -> Words:
    penalty = _penalty(_inverse(words["C"], n_rows), words["l1_ratio"] or 0.0)
    return {"loss": "log_loss", **penalty, "class_weight": words["class_weight"]}


def _svc(words: Mapping[str, Any], n_rows: int) -> Words:
    l1_ratio = 1.0 if words["penalty"] == "l1" else 0.0
    penalty = _penalty(_inverse(words["C"], n_rows), l1_ratio)
    return {"loss": words["loss"], **penalty, "class_weight": words["class_weight"]}


def _svr(words: Mapping[str, Any], n_rows: int) -> Words:
    penalty = _penalty(_inverse(words["C"], n_rows))
    return {"loss": words["loss"], "epsilon": words["epsilon"], **penalty}


def _squared(words: Mapping[str, Any], n_rows: int, l1_ratio: float | None) -> Words:
    alpha = float(words["alpha"])
    if l1_ratio is None:  # ridge: a sum of squares, where the others have half their mean
        return {"loss": "squared_error", **_penalty(alpha / n_rows)}
    return {"loss": "squared_error", **_penalty(alpha, l1_ratio)}


def _glm(loss: Any) -> StandIn:
    return StandIn(lambda w, _: {"loss": loss, **_penalty(w["alpha"])}, ("alpha",))


def _tweedie(words: Mapping[str, Any], _: int) -> Words:
    power = float(words["power"])
    if power < 0.0:
        raise Misuse("--set power: tweedie with power < 0 is not trained in chunks.")
    loss = Tweedie(power) if power > 0.0 else "squared_error"
    return {"loss": loss, **_penalty(words["alpha"])}


_STAND_INS = {
    "logistic": StandIn(_logistic, ("C", "l1_ratio", "class_weight")),
    "softmax": StandIn(_logistic, ("C", "l1_ratio", "class_weight")),
    "svc": StandIn(_svc, ("C", "loss", "penalty", "class_weight")),
    "svr": StandIn(_svr, ("C", "loss", "epsilon")),
    "linear": StandIn(lambda *_: {"loss": "squared_error", "penalty": None}),
    "ridge": StandIn(lambda w, n: _squared(w, n, None), ("alpha",)),
    "lasso": StandIn(lambda w, n: _squared(w, n, 1.0), ("alpha",)),
    "elasticnet": StandIn(lambda w, n: _squared(w, n, w["l1_ratio"]), ("alpha", "l1_ratio")),
    "quantile": StandIn(
        lambda w, _: {"loss": Quantile(float(w["quantile"])), **_penalty(w["alpha"], 1.0)},
        ("quantile", "alpha"),
    ),
    "poisson": _glm("poisson"),
    "gamma": _glm("gamma"),
    "tweedie": StandIn(_tweedie, ("power", "alpha")),
}

_ALWAYS_HEEDED = ("fit_intercept", "positive", "random_state")


def words_of(settings: Sequence[str]) -> Words:
    """Return the values of ``--set NAME=VALUE``: numbers, true, false, none, or words.

    Raises
    ------
    Misuse
    """
    words: Words = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name:
            raise Misuse(f"--set takes NAME=VALUE, got {quoted(setting)}.")
        if name.strip() == "callbacks":
            raise Misuse("--set callbacks: those are objects of Python, which no word stands for.")
        words[name.strip()] = _value(text.strip())
    return words


def _value(text: str) -> Any:
    small = {"true": True, "false": False, "none": None, "inf": math.inf}
    if text.lower() in small:
        return small[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def estimator(name: str, words: Words, seed: int | None) -> Any:
    """Return the estimator of a short name.

    Raises
    ------
    Misuse
        If it has no such words, or they no such values.
    """
    model = getattr(linear_model, MODELS[name].estimator)()
    return _told(model, name, words, seed)


def _told(model: Any, name: str, words: Words, seed: int | None) -> Any:
    known = model.get_params()
    for word in words:
        if word not in known:
            raise Misuse(_unknown(word, name, type(model).__name__, list(known)))
    if seed is not None and "random_state" in known:
        words = {"random_state": seed, **words}
    model.set_params(**words)
    try:
        model._validate_params()
    except (ValueError, TypeError) as error:
        raise Misuse(f"--set: {shortened(str(error), MOST_OF_AN_ERROR)}") from None
    return model


def _unknown(word: str, name: str, kind: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    meant = f" Is {near[0]} meant?" if near else ""
    return (
        f"--set {word}: {name} ({kind}) has no such parameter.{meant} It has "
        f"{listed(sorted(known), most=99)}."
    )


def check_words_for_chunks(name: str, words: Words) -> None:
    """Refuse a model that cannot learn from chunks, or words that it has no use for there.

    Raises
    ------
    Misuse
    """
    learns = MODELS[name].in_chunks
    if learns == MODELS[name].estimator:
        estimator(name, words, None)
        return
    if name not in _STAND_INS:
        raise Misuse(f"{name} cannot be trained in chunks. {MODELS[name].instead}")
    asked, own = _divided(name, words)
    for word in asked:
        if word not in _heeded(name):
            raise Misuse(
                f"--set {word}: {name} has it, but not where it is trained in chunks; there it "
                f"heeds {listed(_heeded(name))}, and further words of {learns}."
            )
    meant = _told(getattr(linear_model, MODELS[name].estimator)(), name, asked, None)
    _STAND_INS[name].words(meant.get_params(), 1)
    known = getattr(linear_model, learns)().get_params()
    for word in own:
        if word not in known:
            raise Misuse(_unknown(word, name, f"in chunks {learns}", [*_heeded(name), *known]))
    _told(getattr(linear_model, learns)(), name, own, None)


def chunk_learner(name: str, words: Words, seed: int | None, epochs: int, summary: Summary) -> Any:
    """Return an SGD estimator that learns from chunks what the model of this name does from all.

    Rates that fall to 0 within the epochs end by themselves: ``tol`` is None with them.

    Raises
    ------
    Misuse
        If words have values that they cannot have.
    """
    model: Any = getattr(linear_model, MODELS[name].in_chunks)()
    if name not in _STAND_INS:
        return _balanced(_told(model, name, {**words, "max_iter": epochs}, seed), summary)
    asked, own = _divided(name, words)
    meant = getattr(linear_model, MODELS[name].estimator)(**asked).get_params()
    settings = {**_STAND_INS[name].words(meant, summary.n_rows), "optimizer": "adam"}
    settings |= {word: asked[word] for word in _ALWAYS_HEEDED if word in asked}
    tol = 1e-3 if own.get("early_stopping") else None
    settings |= {"batch_size": BATCH_SIZE, "max_iter": epochs, "tol": tol, **own}
    if "learning_rate" not in own:
        eta0 = float(own.get("eta0", ETA0 * _scale(settings["loss"], summary)))
        settings["learning_rate"] = Cosine(eta0=eta0, unit="step")
    return _balanced(_told(model, name, settings, seed), summary)


def _divided(name: str, words: Words) -> tuple[Words, Words]:
    """Return the words of the estimator that was asked for, and those of the one in its place."""
    known = getattr(linear_model, MODELS[name].estimator)().get_params()
    asked = {word: value for word, value in words.items() if word in known}
    return asked, {word: value for word, value in words.items() if word not in known}


def _heeded(name: str) -> list[str]:
    known = getattr(linear_model, MODELS[name].estimator)().get_params()
    return [*_STAND_INS[name].means, *(word for word in _ALWAYS_HEEDED if word in known)]


def _has_log_link(loss: Any) -> bool:
    """Tell whether a prediction is e^raw."""
    return loss in ("poisson", "gamma") or isinstance(loss, Tweedie)


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
    if name not in _STAND_INS or summary.classes or not model.fit_intercept:
        return None
    mean = float(summary.target.mean[0])
    if _has_log_link(model.loss):
        if mean <= 0.0:
            raise UserError(f"{name} needs targets with a mean above 0, got {mean:.3g}.")
        mean = math.log(mean)
    return [mean]
