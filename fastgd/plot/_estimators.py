"""From what a user hands to a display, to estimators with names."""

from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

QUIET = {"verbose": 0, "callbacks": None}


def final_of(estimator: Any) -> Any:
    """Return the last step of a pipeline, the best estimator of a search, or what was given."""
    while True:
        if isinstance(estimator, Pipeline):
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return estimator


def named(estimators: Any) -> dict[str, Any]:
    """Return estimators by name; of a list, their classes' names, with numbers where they repeat.

    Raises
    ------
    TypeError
        If this is neither a dict nor a sequence of estimators.
    ValueError
        If there are none.
    """
    if isinstance(estimators, Mapping):
        found = {str(name): estimator for name, estimator in estimators.items()}
    elif isinstance(estimators, Sequence) and not isinstance(estimators, str | bytes | Pipeline):
        found = _numbered([(name_of(estimator), estimator) for estimator in estimators])
    else:
        raise TypeError(
            "estimators must be a dict of names to estimators or a list of estimators, got "
            f"{type(estimators).__name__}."
        )
    if not found:
        raise ValueError("estimators is empty: give one or more.")
    for estimator in found.values():
        _check_is_estimator(estimator)
    return found


def _numbered(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    found = {}
    for place, (name, thing) in enumerate(pairs):
        number = f" {names[: place + 1].count(name)}" if names.count(name) > 1 else ""
        found[name + number] = thing
    return found


def name_of(estimator: Any) -> str:
    """Return the class's name, of a pipeline that of its last step."""
    return type(final_of(estimator)).__name__


def _check_is_estimator(estimator: Any) -> None:
    if isinstance(estimator, type) or not isinstance(estimator, BaseEstimator):
        what = f"the class {estimator.__name__}" if isinstance(estimator, type) else repr(estimator)
        raise TypeError(f"An estimator is needed, an instance with fit; got {what}.")


def histories_of(estimator: Any, name: str) -> dict[str, dict[str, list[float]]]:
    """Return what a fitted estimator noted, one history for each target that was fitted by itself.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If it notes no history.
    """
    _check_is_estimator(estimator)
    final = final_of(estimator)
    check_is_fitted(final)
    history = getattr(final, "history_", None)
    if history is None:
        raise TypeError(
            f"{type(final).__name__} has no history_: only estimators of fastgd note one."
        )
    if isinstance(history, Mapping):
        return {name: dict(history)}
    return {f"{name}, output {k}": dict(one) for k, one in enumerate(history)}


def transformed(estimator: Any, X: Any, y: Any) -> tuple[Any, Any, Any]:
    """Return an unfitted clone of the last step, X as the steps before it make it, and their fit.

    The third is None where there are no steps before. The clone is quiet.
    """
    _check_is_estimator(estimator)
    model = clone(final_of(estimator))
    model.set_params(**{name: QUIET[name] for name in QUIET.keys() & model.get_params().keys()})
    steps = clone(estimator[:-1]) if isinstance(estimator, Pipeline) else None
    if not steps:
        return model, X, None
    return model, steps.fit_transform(X, y), steps
