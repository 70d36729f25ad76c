"""A call that goes to fastgd: parameters over, fit, attributes back; or the reason why not."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgd.accel import _call
from fastgd.accel import _parameters as parameters
from fastgd.accel import _refusals as refusals
from fastgd.accel._call import Call
from fastgd.accel._rehearsal import rehearse

if TYPE_CHECKING:
    from fastgd._runtime.warned import Heard
    from fastgd.accel._table import Stand

# What a subclass may have of its own without changing what is fitted.
FREE = {"fit", "partial_fit", "score", "transform", "fit_transform", "fit_predict"}
FREE |= {"predict", "predict_proba", "predict_log_proba", "decision_function", "set_params"}
FREE |= {"_parameter_constraints", "_abc_impl"}


def attempt(
    stand: "Stand", kind: type, original: Callable[..., Any], method: str, given: tuple[Any, ...]
) -> str | None:
    """Fit by fastgd; a call that is left to scikit-learn finds everything as it was.

    Parameters
    ----------
    stand : Stand
        The row of the table.
    kind : type
        scikit-learn's class, of which the estimator may be a subclass.
    original : callable
        scikit-learn's method.
    method : {"fit", "partial_fit"}
    given : tuple of (estimator, args, kwargs, least)
        ``least`` takes the place of the row's, unless None, and its ``slower`` is not asked.

    Returns
    -------
    str or None
        Why fastgd did not fit the estimator, which is then as it was; None where it did.
    """
    states = _states(given[0])
    reason = _tried(stand, kind, original, method, given)
    if reason is not None:
        for generator, state in states:
            generator.set_state(state)
    return reason


def _states(model: Any) -> list[tuple[np.random.RandomState, Any]]:
    """Return the generators that a fit draws from, and where they stand."""
    held = (
        getattr(model, "random_state", None),
        getattr(getattr(model, "cv", None), "random_state", None),
    )
    return [(each, each.get_state()) for each in held if isinstance(each, np.random.RandomState)]


def _tried(
    stand: "Stand", kind: type, original: Callable[..., Any], method: str, given: tuple[Any, ...]
) -> str | None:
    """Fit by fastgd, or return why not."""
    model, args, kwargs, least = given
    try:
        call = _call.read(_call.signature(original), kind, model, method, args, kwargs)
        reason = _reason(stand, call, least)
        if reason is None and stand.rehearses(call):
            rehearse(original, call)
        return reason or _fitted(stand, call)
    except Exception as error:  # scikit-learn's own fit refuses it in its own words, or does it
        return refusals.failure(error)


def _reason(stand: "Stand", call: Call, asked: int | None) -> str | None:
    """Return why a call is left to scikit-learn, before anything is fitted."""
    least = stand.least if asked is None else asked
    if call.shape[0] * call.shape[1] < least:
        return f"small: fewer than {least:,} entries of X"
    own = _overridden(type(call.model), call.kind)
    if own:
        return f"a subclass has its own {own}"
    for refusal in (*refusals.COMMON, *stand.refusals):
        reason = refusal(call)
        if reason is not None:
            return reason
    return stand.slower(call) if asked is None else None


def _overridden(subclass: type, kind: type) -> str | None:
    """Return what a subclass does in another way, if anything."""
    if subclass is kind:
        return None
    for between in subclass.__mro__[: subclass.__mro__.index(kind)]:
        for name in vars(between):
            is_free = name in FREE or name.startswith("__") or name.endswith("_request")
            if hasattr(kind, name) and not is_free:
                return name
    return None


def _fitted(stand: "Stand", call: Call) -> str | None:
    """Fit fastgd's estimator, and write what it found into scikit-learn's."""
    import fastgd
    from fastgd._runtime.warned import heard

    made = getattr(fastgd, stand.name, None)
    if made is None:
        return f"fastgd has no {stand.name}"
    names = _call.defaults(made)
    asked = stand.parameters(call)
    ours = made(**{name: value for name, value in asked.items() if name in names})
    with heard() as messages:
        _fit(stand, call, ours)
    reason = _unfinished(stand, messages)
    if reason is None:
        _write_back(stand, call, ours)
    return reason


def _fit(stand: "Stand", call: Call, ours: Any) -> None:
    """Call fastgd's ``fit`` or ``partial_fit``."""
    X = call.X.astype(np.float64) if stand.in_float64 and _is_narrow(call.X) else call.X
    model, more = call.model, dict(call.more)
    more.pop("check_input", None)
    if call.method == "fit":
        if "partial_fit" in stand.methods:
            more = parameters.starts(call)
        elif getattr(model, "warm_start", False) and getattr(model, "coef_", None) is not None:
            ours.coef_, ours.intercept_ = model.coef_, model.intercept_
        ours.fit(X, call.y, **more)
        return
    if not call.is_first:
        if hasattr(model, "classes_"):
            more["classes"] = model.classes_
        _go_on(model, ours)
    ours.partial_fit(X, call.y, **more)


def _is_narrow(X: Any) -> bool:
    """Tell whether X holds float32."""
    kinds = X.dtypes if hasattr(X, "dtypes") else [X.dtype]
    return any(kind == np.float32 for kind in kinds)


def _go_on(model: Any, ours: Any) -> None:
    """Have a training begin where scikit-learn's estimator stands, with its count of steps."""
    name = "offset_" if hasattr(model, "offset_") else "intercept_"
    ours.coef_ = np.array(model.coef_)
    setattr(ours, name, np.array(getattr(model, name)))
    begin, steps = ours._begin, round(model.t_ - 1.0)

    def begin_after(*args: Any) -> Any:
        progress = begin(*args)
        progress.steps = steps
        return progress

    ours._begin = begin_after


def _unfinished(stand: "Stand", messages: "list[Heard]") -> str | None:
    """Return what scikit-learn may do better, of what fastgd would warn of."""
    for message, category in messages:
        if issubclass(category, FutureWarning):  # of parameters: see _rehearsal
            continue
        if "was interrupted" in message:
            raise KeyboardInterrupt
        is_at_rounding = "rounding hides the rest" in message and "no optimum" not in message
        if "partial_fit" not in stand.methods and not is_at_rounding:
            return f"not converged: {message}"
    return None


def _write_back(stand: "Stand", call: Call, ours: Any) -> None:
    """Copy the fitted attributes; on an error the estimator is put back as it was."""
    model = call.model
    before = dict(vars(model))
    try:
        for name in stand.attributes:
            if hasattr(ours, name):
                _set(model, name, getattr(ours, name), in_place=not call.is_first)
        _write_features(call, ours)
        stand.finish(call, ours)
    except BaseException:
        vars(model).clear()
        vars(model).update(before)
        raise


def _set(model: Any, name: str, value: Any, *, in_place: bool) -> None:
    """Set an attribute; a training that goes on keeps the array, as scikit-learn's does."""
    old = vars(model).get(name)
    is_same_kind = isinstance(old, np.ndarray) and isinstance(value, np.ndarray)
    if in_place and is_same_kind and name != "classes_" and old.shape == value.shape:
        old[...] = value
    else:
        setattr(model, name, value)


def _write_features(call: Call, ours: Any) -> None:
    """Set number and names of the features, as scikit-learn's validation does."""
    model = call.model
    model.n_features_in_ = call.shape[1]
    if not call.is_first:
        return
    if hasattr(ours, "feature_names_in_"):
        model.feature_names_in_ = ours.feature_names_in_
    elif hasattr(model, "feature_names_in_"):
        del model.feature_names_in_
