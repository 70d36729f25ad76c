"""From a constructor's parameters to what the kernels take: "adam" -> Adam()."""

import functools
import inspect
import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np

from fastgd import schedules
from fastgd._data.validation import frozen
from fastgd._parameters import fields
from fastgd.kernels import penalties
from fastgd.kernels.losses import (
    LOG,
    LOSSES,
    MULTINOMIAL,
    kind_of,
    link_of,
)
from fastgd.kernels.optimizers import (
    MOMENTS,
    OF_LOSS,
    OF_ROW,
    OF_TARGETS,
    ONE,
    OPTIMIZERS,
    LazyMoments,
    PassiveAggressive,
    RateFree,
    skipped_steps_of,
)
from fastgd.kernels.penalties import ElasticNet
from fastgd.kernels.transforms import TRANSFORMS, Clip, Identity, Qsgd, Transform

AUTO = "auto"  # the learning rate of steps that need none
RATE_OF_TARGETS = 1.2  # of these, in units of targets; see docs/design/rate-free.md

Schedule = Callable[[Any], Any]  # from step numbers to their rates, arrays of float64

# A name means the same in all objects of a kind, and so does what is allowed for it. Parameters of
# a constructor are checked by the estimators, and a user's own loss by its user.
_OF_LOSSES = {
    **dict.fromkeys(("epsilon", "gamma"), fields.AT_LEAST_ZERO),
    **dict.fromkeys(("scale", "smoothing", "reach"), fields.POSITIVE),
    "level": fields.number("a finite number", lambda level: abs(level) < np.inf),
    "q": fields.INSIDE,
    "label_smoothing": fields.BELOW_ONE,
    "power": fields.number("<= 0 or >= 1", lambda power: power <= 0 or power >= 1),
}
_OF_PENALTIES = {
    **dict.fromkeys(("l1", "l2", "group"), fields.AT_LEAST_ZERO),
    **dict.fromkeys(("low", "high"), fields.ANY_NUMBER),
    "limit": fields.POSITIVE,
    "factors": fields.Allowed("a 1-d array of finite numbers >= 0", lambda x: _are_factors(x)),
}
_OF_OPTIMIZERS = {
    **dict.fromkeys(("momentum", "beta_1", "beta_2", "rho"), fields.BELOW_ONE),
    **dict.fromkeys(("epsilon", "weight_decay", "momentum_decay"), fields.AT_LEAST_ZERO),
    **dict.fromkeys(("beta", "l1", "l2"), fields.AT_LEAST_ZERO),
    **dict.fromkeys(("d0", "d_coef", "companion_rate"), fields.POSITIVE),
    "growth_rate": fields.number(">= 1", lambda rate: rate >= 1),
    "steps": fields.whole(1, 1000),
}
_OF_QUANTIZERS = {
    "bits": fields.whole(1, 8),
    "bucket": fields.whole(1, 2**31 - 1),
    "fraction": fields.number("in (0, 1]", lambda share: 0 < share <= 1),
}
_OUR_LOSSES = {type(spec) for spec in LOSSES.values()}


def loss(name: Any, epsilon: float) -> Any:
    """Return the loss of a name, its ``epsilon`` filled in; an object is returned as it is.

    Raises
    ------
    ValueError
        If an object holds a number for which there is no such loss.
    """
    fields.refuse_class("loss", name)
    if type(name) in _OUR_LOSSES:
        fields.check("loss", name, name._asdict(), _OF_LOSSES)
    if not isinstance(name, str):
        _check_signature(name)
        return name
    spec = LOSSES[name]
    return spec._replace(epsilon=epsilon) if "epsilon" in spec._fields else spec


def _check_signature(loss_spec: Any) -> None:
    """Refuse a loss of a user's own whose methods the kernels cannot call."""
    row = hasattr(loss_spec, "gradient_row")
    for method in ("value", "gradient") if not row else ():
        names = list(inspect.signature(getattr(loss_spec, method)).parameters)
        if names != ["loss", "y_true", "raw"]:
            raise ValueError(
                f"{method} of the loss {type(loss_spec).__name__} must be a static method of "
                f"(loss, y_true, raw), with these names; got ({', '.join(names)})."
            )


def penalty(name: Any, alpha: float, l1_ratio: float | None) -> Any:
    """Return a penalty's strengths: alpha (l1_ratio |w| + (1 - l1_ratio) w^2 / 2).

    An object holds its own strengths, and is returned as it is.

    Raises
    ------
    ValueError
        If an object holds a number for which there is no such penalty.
    """
    if name is not None and not isinstance(name, str):
        _check_penalty(name)
        return name
    shares = {None: None, "l2": 0.0, "l1": 1.0, "elasticnet": l1_ratio}
    if name == "elasticnet" and l1_ratio is None:
        raise ValueError("l1_ratio must be set when penalty is 'elasticnet'")
    share = shares[name]
    if share is None:
        return ElasticNet(0.0, 0.0)
    return ElasticNet(alpha * share, alpha * (1.0 - share))


def _check_penalty(spec: Any) -> None:
    fields.refuse_class("penalty", spec)
    fields.check("penalty", spec, spec._asdict(), _OF_PENALTIES)
    if hasattr(type(spec), "check"):
        type(spec).check(spec)


def _are_factors(given: Any) -> bool:
    factors = np.asarray(given)
    numbers = factors.ndim == 1 and factors.dtype.kind in "fiu"
    return numbers and bool(np.all((factors >= 0) & np.isfinite(factors)))


def spread(spec: Any, shape: tuple[int, ...]) -> Any:
    """Return a penalty with a factor for each coefficient, of parameters of a shape.

    Raises
    ------
    ValueError
        If there is not one factor for each feature.
    """
    if not hasattr(type(spec), "spread"):
        return spec
    return type(spec).spread(spec, shape[0] - 1, shape[1] if len(shape) > 1 else 1)


def simplest(spec: Any) -> Any:
    """Return an equal penalty whose steps take fewer operations, if it knows one."""
    return type(spec).simplest(spec) if hasattr(type(spec), "simplest") else spec


def start_within(spec: Any, params: np.ndarray, layout: Any) -> None:
    """Move penalised parameters into a penalty's bounds, in place; the others have none."""
    if hasattr(type(spec), "project"):
        type(spec).project(spec, params[layout.penalised])


def largest_l2(spec: Any) -> float:
    """Return the strongest l2 penalty of any coefficient."""
    factors = getattr(spec, "factors", None)
    return float(spec.l2 if factors is None else spec.l2 * np.max(factors))


def check_together(loss_spec: Any, penalty_spec: Any, optimizer_spec: Any) -> None:
    """Refuse a penalty or a loss that lacks what the optimizer requires of it.

    Raises
    ------
    ValueError
        Which one lacks what.
    """
    name = type(optimizer_spec).__name__
    required = {
        "penalty": (penalty_spec, getattr(optimizer_spec, "penalty_methods", ())),
        "loss": (loss_spec, getattr(optimizer_spec, "loss_methods", ())),
    }
    for kind, (spec, methods) in required.items():
        missing = [method for method in methods if not hasattr(type(spec), method)]
        if missing:
            raise ValueError(
                f"The optimizer {name} needs a {kind} with {' and '.join(missing)}, which "
                f"{type(spec).__name__} has not; use another {kind} or another optimizer."
            )
    is_tied = getattr(penalty_spec, "joint", False)
    if is_tied and (steps_as_a_whole(optimizer_spec) or ahead_of(optimizer_spec)):
        raise ValueError(
            f"The optimizer {name} goes with penalties of single coefficients; "
            f"{type(penalty_spec).__name__} ties them together. Use another optimizer."
        )


def steps_as_a_whole(spec: Any) -> bool:
    """Tell whether what an optimizer does to one parameter depends on the gradient of others."""
    return hasattr(type(spec), "step_of_all") or hasattr(type(spec), "with_matrices")


def needs_matrices(spec: Any) -> bool:
    """Tell whether an optimizer steps only where some of the parameters are matrices."""
    return hasattr(type(spec), "with_matrices")


def inner_of(spec: Any) -> Any:
    """Return the optimizer whose moments wait, or the optimizer where none do."""
    return getattr(spec, "optimizer", spec)


def ahead_of(spec: Any) -> float:
    """Return how far what an optimizer trains lies ahead of what predicts; 0 for most."""
    return float(getattr(inner_of(spec), "ahead", 0.0))


def with_matrices(spec: Any, matrices: list[tuple[int, int, int]]) -> Any:
    """Return an optimizer that knows which parameters are matrices, where it asks for that.

    Parameters
    ----------
    spec : optimizer, in the parameters' dtype
    matrices : list of (first number, rows, columns), ascending

    Raises
    ------
    ValueError
        If it asks, and there are none.
    """
    if not hasattr(type(spec), "with_matrices"):
        return spec
    if not matrices:
        raise ValueError(
            f"The optimizer {type(spec).__name__} orthogonalises matrices of parameters, and here "
            "are none: a linear model needs several outputs, a network a layer with weights before "
            "the last one. Use 'adamw' or 'nadam'."
        )
    return type(spec).with_matrices(spec, np.array(matrices, np.int64))


def optimizer(name: Any, *, sparse: bool, penalty_spec: Any = None) -> Any:
    """Return the optimizer of a name or the object, in the form that these rows call for.

    On sparse rows absent features keep their moments where anything else would cost a pass over
    all features in every step: always under Adam and its kind, and under ``RMSprop`` and
    ``Adadelta`` where a penalty leaves no closed form. A user's ``lazy`` is obeyed.
    """
    spec = OPTIMIZERS[name] if isinstance(name, str) else name
    _check_optimizer(spec)
    if not hasattr(spec, "lazy_on_sparse"):
        return spec
    said = getattr(spec, "lazy", None)
    costs_all = spec.lazy_on_sparse or _has_no_closed_form(spec, penalty_spec)
    lazy = sparse and costs_all if said is None else said
    spec = spec._replace(lazy=None) if "lazy" in spec._fields else spec
    return LazyMoments(spec) if lazy else spec


def _has_no_closed_form(spec: Any, penalty_spec: Any) -> bool:
    """Tell whether each skipped step of moments that fade has a penalty of another length."""
    is_penalised = penalty_spec is not None and not penalties.is_zero(penalty_spec)
    return is_penalised and skipped_steps_of(spec) == MOMENTS


def _check_optimizer(spec: Any) -> None:
    """Refuse a class, and numbers for which there is no such optimizer."""
    fields.refuse_class("optimizer", spec)
    missing = [name for name in ("n_slots", "eta0", "_fields") if not hasattr(spec, name)]
    if missing:
        raise ValueError(
            f"optimizer={spec!r} is not of fastgd.optimizers: it has no {' and no '.join(missing)}."
        )
    fields.check("optimizer", spec, spec._asdict(), _OF_OPTIMIZERS)


def passive_aggressive(name: str) -> PassiveAggressive:
    """Return what ``learning_rate="pa1"`` or ``"pa2"`` means; their C is the constant rate."""
    return PassiveAggressive(squared_slack=name == "pa2")


def rate_free(
    loss_spec: Any, penalty_spec: Any, *, has_targets: bool, is_centred: bool, n_averaged: float
) -> RateFree:
    """Return what ``learning_rate="auto"`` means.

    Parameters
    ----------
    loss_spec, penalty_spec : specs
    has_targets : bool
        Whether raw predictions are in the units of the targets, unless the loss has a log link.
    is_centred : bool
        Whether columns are taken from their means.
    n_averaged : float
        Steps that are averaged at most; 0 for none.
    """
    unit, rate = OF_ROW if kind_of(loss_spec) == MULTINOMIAL else OF_LOSS, RateFree().rate
    if has_targets:
        unit, rate = ONE if link_of(loss_spec) == LOG else OF_TARGETS, RATE_OF_TARGETS
    window = 0.0 if getattr(penalty_spec, "joint", False) else n_averaged
    return RateFree(rate=rate, window=window, unit=unit, is_centred=is_centred)


def schedule(
    estimator: Any, loss_spec: Any, optimizer_spec: Any, steps_per_epoch: int, max_iter: int
) -> Schedule:
    """Return the schedule that an estimator's parameters ask for.

    scikit-learn's defaults, "optimal" and "invscaling", are made for plain sgd ("optimal" would
    have Adam take steps of 10): with another optimizer the class's own default means a constant
    rate, ``eta0`` if that was set, or else that optimizer's own. Any other name, and any callable,
    is obeyed. What a schedule leaves open is filled in, its lengths by ``max_iter``.
    """
    rule = estimator.learning_rate
    if isinstance(rule, type):
        raise ValueError(
            f"learning_rate={rule.__name__} is a class; give an object, {rule.__name__}(...)."
        )
    if isinstance(rule, str):
        return _named_schedule(estimator, loss_spec, optimizer_spec, steps_per_epoch, max_iter)
    if hasattr(rule, "bind"):
        return rule.bind(estimator.eta0, steps_per_epoch, max_iter)
    user_s_own: Schedule = rule
    return user_s_own


def _named_schedule(
    estimator: Any, loss_spec: Any, optimizer_spec: Any, steps_per_epoch: int, max_iter: int
) -> Schedule:
    """Return the schedule of a name."""
    rule, eta0 = estimator.learning_rate, estimator.eta0
    is_constant = getattr(optimizer_spec, "rate_is_constant", None)
    if rule == AUTO:
        return schedules.Constant(optimizer_spec.eta0)
    if is_constant:
        return schedules.Constant(eta0)
    if rule == type(estimator)._default_learning_rate and is_constant is None:
        kind: Any = type(estimator)
        own = eta0 == _default_eta0(kind)
        return schedules.Constant(optimizer_spec.eta0 if own else eta0)
    if rule == "optimal":
        return _optimal(float(estimator.alpha), loss_spec)
    power = float(estimator.power_t) if rule == "invscaling" else None
    return _bound(rule, float(eta0), power, steps_per_epoch, max_iter)


@functools.cache
def _default_eta0(kind: Any) -> Any:
    return inspect.signature(kind).parameters["eta0"].default


@functools.lru_cache(maxsize=256)
def _bound(
    name: str, eta0: float, power_t: float | None, steps_per_epoch: int, max_iter: int
) -> Schedule:
    params = {} if power_t is None else {"power_t": power_t}
    return schedules.SCHEDULES[name](eta0=None, **params).bind(eta0, steps_per_epoch, max_iter)


def _optimal(alpha: float, loss_spec: Any) -> Schedule:
    if alpha == 0:
        raise ValueError(
            "alpha must be > 0 since learning_rate is 'optimal'. alpha is used to compute the "
            "optimal learning rate."
        )
    if type(loss_spec) in _OUR_LOSSES:
        return _optimal_of_ours(alpha, type(loss_spec).__name__, loss_spec)
    return schedules.optimal(alpha, loss_spec)


@functools.lru_cache(maxsize=256)
def _optimal_of_ours(alpha: float, _name: str, loss_spec: Any) -> Schedule:
    """Return the schedule; losses of several kinds are equal as tuples, hence the name."""
    return schedules.optimal(alpha, loss_spec)


def transform(clip_norm: float | None, clip_value: float | None, quantize: Any) -> Any:
    """Return what happens to a gradient before the optimizer is handed it.

    Raises
    ------
    ValueError
        If a bound is not a positive number, or for no such quantizer.
    """
    bounds = Clip(_limit("clip_norm", clip_norm), _limit("clip_value", clip_value))
    clip = Identity() if clip_norm is None and clip_value is None else bounds
    sender = Identity() if quantize is None else quantizer(quantize)
    if is_identity(clip) and is_identity(sender):
        return Identity()
    return Transform(clip, sender)


def _limit(name: str, bound: Any) -> float:
    """Return a bound of clipping, inf for None."""
    if bound is None:
        return math.inf
    if isinstance(bound, bool) or not isinstance(bound, Real) or not float(bound) > 0:
        raise ValueError(f"{name} must be None or a number > 0, got {bound!r}.")
    return float(bound)


def quantizer(given: Any) -> Any:
    """Return the quantizer of a name or of a number of bits; an object once it is checked.

    Raises
    ------
    ValueError
        If there is no such quantizer, or an object holds a number that it cannot have.
    """
    if isinstance(given, str) and given in TRANSFORMS:
        return TRANSFORMS[given]
    is_bits = isinstance(given, Integral) and not isinstance(given, bool)
    spec = Qsgd(bits=given) if is_bits else given
    is_quantizer = hasattr(spec, "compress") and hasattr(spec, "_asdict")
    if isinstance(spec, type) or not is_quantizer or is_identity(spec):
        raise ValueError(
            f"quantize must be None, a number of bits from 1 to 8, one of {sorted(TRANSFORMS)} or "
            f"an object of fastgd.transforms, got {given!r}."
        )
    named = spec._asdict()
    fields.check("quantizer", spec, named, _OF_QUANTIZERS)
    kinds = {k: kind for k, kind in type(spec).__annotations__.items() if kind in (int, float)}
    return spec._replace(**{name: kind(named[name]) for name, kind in kinds.items()})


def is_identity(transform: Any) -> bool:
    """Tell whether a transform, a clipping or a quantizer changes nothing."""
    return getattr(type(transform), "is_identity", False)


def transform_in_dtype(spec: Any, dtype: np.dtype, *, is_shared: bool) -> Any:
    """Return a rule's transform as the kernels take it.

    The bounds of clipping are in the kernel's dtype, as all specs of its loops; quantizers compute
    in float64, and keep the numbers that they have.
    """
    if is_identity(spec):
        return spec
    return Transform(in_dtype(spec.clip, dtype), spec.quantize, is_shared)


def in_dtype(spec: Any, dtype: np.dtype) -> Any:
    """Return a spec with all its numbers in the dtype of the kernel that it goes to.

    So nothing in a float32 loop is promoted, and ``Huber(1)`` compiles to what ``Huber(1.0)`` did.
    Arrays become contiguous and read-only, in copies, and specs inside a spec are cast as it is.
    """
    return type(spec)(*(_field_in_dtype(field, dtype) for field in spec))


def _field_in_dtype(field: Any, dtype: np.dtype) -> Any:
    if isinstance(field, tuple):
        return in_dtype(field, dtype)
    if isinstance(field, np.ndarray | list):
        return frozen(np.array(field, dtype, order="C"))
    if isinstance(field, Real) and not isinstance(field, bool | np.bool_):
        return dtype.type(field)
    return field
