"""From what a user writes of a layer to what is meant: "relu" -> ReLU()."""

from typing import Any

from fastgd._parameters import fields
from fastgd.initializers import INITIALIZERS, GlorotUniform, HeUniform, Normal
from fastgd.kernels.activations import ACTIVATIONS
from fastgd.kernels.layers import LAYERS, Embedding

_COUNT = fields.whole(1, 2**31 - 1)
_WINDOW = fields.Allowed("a whole number >= 1, or two of them", lambda value: _is_window(value))
_OF_LAYERS = {
    "units": _COUNT,
    "filters": _COUNT,
    "n_values": _COUNT,
    "kernel_size": _WINDOW,
    "size": _WINDOW,
    "stride": fields.Allowed(
        "a whole number >= 1, or two of them", lambda value: value is None or _is_window(value)
    ),
    "padding": fields.Allowed("'valid' or 'same'", lambda value: value in ("valid", "same")),
    "rate": fields.BELOW_ONE,
    "epsilon": fields.POSITIVE,
    "momentum": fields.number("in (0, 1]", lambda x: 0 < x <= 1),
    "bias": fields.Allowed("a bool", lambda value: isinstance(value, bool)),
    "layers": fields.Allowed(
        "a list of layers", lambda value: isinstance(value, (list, tuple)) and len(value) > 0
    ),
}
_OF_ACTIVATIONS = {"slope": fields.POSITIVE, "scale": fields.POSITIVE}


def _is_window(value: Any) -> bool:
    pair = value if isinstance(value, (list, tuple)) else (value, value)
    return len(pair) == 2 and all(map(_COUNT.test, pair))


def is_activation(layer: Any) -> bool:
    """Tell an activation from a layer."""
    return hasattr(type(layer), "value") and hasattr(type(layer), "gradient")


def does_nothing(activation: Any) -> bool:
    """Tell whether an activation is the identity."""
    return bool(getattr(activation, "is_identity", False))


def activation(word: Any, place: str) -> Any:
    """Return the activation of a name; an object is returned once it is checked.

    Raises
    ------
    ValueError
        If there is no such activation, or for a number that it cannot have.
    """
    fields.refuse_class(f"{place}", word)
    if isinstance(word, str):
        if word not in ACTIVATIONS:
            raise ValueError(
                f"{place} must be one of {sorted(ACTIVATIONS)} or an object of "
                f"fastgd.activations, got {word!r}."
            )
        return ACTIVATIONS[word]
    if not isinstance(word, tuple) or not is_activation(word):
        raise ValueError(
            f"{place} must be one of {sorted(ACTIVATIONS)} or an object of fastgd.activations, "
            f"got {word!r}."
        )
    own: Any = word
    fields.check("activation", own, own._asdict(), _OF_ACTIVATIONS)
    return own


def initializer(word: Any, place: str) -> Any:
    """Return the initializer of a name; None stays None, an object is returned as it is.

    Raises
    ------
    ValueError
        If there is no such initializer.
    """
    if word is None:
        return None
    fields.refuse_class(f"init of {place}", word)
    if isinstance(word, str) and word in INITIALIZERS:
        return INITIALIZERS[word]
    if isinstance(word, str) or not hasattr(word, "draw"):
        raise ValueError(
            f"init of {place} must be one of {sorted(INITIALIZERS)} or an object of "
            f"fastgd.initializers, got {word!r}."
        )
    return word


def usual_init(layer: Any) -> Any:
    """Return what suits a layer whose user has not said it."""
    if isinstance(layer, Embedding):
        return Normal(1.0)
    is_one_sided = getattr(getattr(layer, "activation", None), "is_one_sided", False)
    return HeUniform() if is_one_sided else GlorotUniform()


def resolved(layer: Any, place: str) -> Any:
    """Return a layer with objects in place of names.

    Raises
    ------
    ValueError
        If it is no layer, or a field holds what it must not.
    """
    if isinstance(layer, str) or is_activation(layer):
        return activation(layer, place)
    fields.refuse_class(place, layer)
    if not isinstance(layer, tuple) or not hasattr(layer, "_fields"):
        raise ValueError(
            f"{place} must be an object of fastgd.layers or fastgd.activations, got {layer!r}."
        )
    own: Any = layer
    if isinstance(layer, LAYERS):
        try:
            fields.check("layer", layer, own._asdict(), _OF_LAYERS)
        except ValueError as fault:
            raise ValueError(f"{place}: {fault}") from None
        changes = {}
        if "activation" in own._fields:
            changes["activation"] = activation(own.activation, f"activation of {place}")
        if "init" in own._fields:
            changes["init"] = initializer(own.init, place)
        return own._replace(**changes)
    if not hasattr(layer, "sizes"):
        raise ValueError(f"{place}, {type(layer).__name__}, has no method sizes(layer, shape).")
    return layer


class Rates:
    """What schedules are told of a learning rate, by the names that ``resolve.schedule`` knows."""

    _default_learning_rate = None  # ``eta0`` is always the user's
    alpha = 0.0

    def __init__(self, learning_rate: Any, eta0: float, power_t: float) -> None:
        self.learning_rate, self.eta0, self.power_t = learning_rate, eta0, power_t
