"""What models are in ONNX: raw predictions, and from them labels, probabilities or numbers."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier, is_outlier_detector

from fastgd._data.targets import Multilabel, OneVsRest
from fastgd._export.graph import Graph, onnx_module
from fastgd.kernels.losses import LOG, LOGIT, MULTINOMIAL, has, kind_of, link_of
from fastgd.losses import LOSSES, Softmax

TWO, MANY, TABLE, NUMBERS, OUTLIERS = "two", "many", "table", "numbers", "outliers"
SIGMOID, SOFTMAX, CLIPPED, EXP = "sigmoid", "softmax", "clipped", "exp"


class Meaning(NamedTuple):
    """What becomes of raw predictions.

    kind : TWO classes, MANY, a TABLE of labels, NUMBERS, or OUTLIERS
    link : SIGMOID, SOFTMAX, CLIPPED, EXP, or "" where raw predictions have no probabilities
    n_outputs : int, columns of raw predictions
    classes : ndarray or None
    is_shared : whether probabilities of single classes are divided by their sum
    """

    kind: str
    link: str
    n_outputs: int
    classes: NDArray[Any] | None = None
    is_shared: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The outputs' names: skl2onnx's."""
        if self.kind == NUMBERS:
            return ("variable",)
        return ("label", "scores" if self.kind == OUTLIERS else "probabilities")

    @property
    def width(self) -> int:
        """Columns of the last output."""
        return 2 if self.kind == TWO and self.link else self.n_outputs

    @property
    def labels_are_text(self) -> bool:
        """Whether labels are words."""
        return self.classes is not None and self.kind != TABLE and self.classes.dtype.kind in "OUS"


def meaning(model: Any) -> Meaning:
    """Return what becomes of a fitted model's raw predictions.

    Raises
    ------
    TypeError
        If its loss has probabilities of its own.
    """
    n_outputs = _n_outputs(model)
    if is_outlier_detector(model):
        return Meaning(OUTLIERS, "", 1)
    if not is_classifier(model):
        return Meaning(NUMBERS, EXP if _has_log_link(model) else "", n_outputs)
    if hasattr(model, "_targets"):
        return _of_targets(model, n_outputs)
    classes = np.asarray(model.classes_)
    link = ""
    if hasattr(model, "predict_proba"):
        link = SIGMOID if n_outputs == 1 else SOFTMAX
    if getattr(model, "_label_binarizer", None) is not None and n_outputs > 1:
        is_table = model._label_binarizer.y_type_.startswith("multilabel")
        return Meaning(TABLE if is_table else MANY, link, n_outputs, classes)
    return Meaning(TWO if n_outputs == 1 else MANY, link, n_outputs, classes)


def _of_targets(model: Any, n_outputs: int) -> Meaning:
    targets = model._targets()
    loss, classes = targets.loss, np.asarray(model.classes_)
    kind = TWO if n_outputs == 1 else MANY
    kind = TABLE if isinstance(targets, Multilabel) else kind
    return Meaning(kind, _link(loss), n_outputs, classes, isinstance(targets, OneVsRest))


def _link(loss: Any) -> str:
    """Return what makes probabilities of raw predictions."""
    if not has(loss, "probability"):
        return ""
    if kind_of(loss) == MULTINOMIAL and type(loss).probability is Softmax.probability:
        return SOFTMAX
    if link_of(loss) == LOGIT:
        return SIGMOID
    if type(loss).probability is type(LOSSES["modified_huber"]).probability:
        return CLIPPED
    raise TypeError(f"the loss {type(loss).__name__} has probabilities for which ONNX has no name.")


def _has_log_link(model: Any) -> bool:
    if hasattr(model, "_targets"):
        return bool(link_of(model._targets().loss) == LOG)
    return hasattr(model, "_loss") and bool(link_of(model._loss()) == LOG)


def _n_outputs(model: Any) -> int:
    if hasattr(model, "_network"):
        return int(np.prod(model._network.output_shape))
    return int(np.atleast_2d(_dense(model.coef_)).shape[0])


def _dense(coef: Any) -> NDArray[Any]:
    return np.asarray(coef.toarray() if hasattr(coef, "toarray") else coef)


def append(graph: Graph, model: Any, x: str) -> list[str]:
    """Append a model; return the names of its outputs, those of ``Meaning.names``."""
    said = meaning(model)
    raw = _raw(graph, model, x)
    if said.kind == NUMBERS:
        return [graph.node("Exp", raw) if said.link == EXP else raw]
    if said.kind == OUTLIERS:
        return [_signs(graph, raw), raw]
    return [_labels(graph, said, raw), _scores(graph, said, raw)]


def _raw(graph: Graph, model: Any, x: str) -> str:
    if hasattr(model, "_network"):
        from fastgd._export.onnx_layers import raw_outputs

        return raw_outputs(graph, model._network, model._params, x)
    coef = np.atleast_2d(_dense(model.coef_))
    shift = -model.offset_ if hasattr(model, "offset_") else model.intercept_
    shift = np.broadcast_to(np.asarray(shift, float).reshape(-1), (coef.shape[0],))
    product = graph.node("MatMul", x, graph.numbers(coef.T))
    return graph.node("Add", product, graph.numbers(shift))


def _signs(graph: Graph, raw: str) -> str:
    """Return 1 where a row is one of the class, else -1."""
    is_out = graph.node("Less", raw, graph.numbers(0.0))
    one, other = (graph.constant(np.array(k, np.int64)) for k in (1, -1))
    return graph.node("Where", is_out, other, one)


def _labels(graph: Graph, said: Meaning, raw: str) -> str:
    int64 = onnx_module().TensorProto.INT64
    if said.kind == MANY:
        codes = graph.node("ArgMax", raw, axis=1, keepdims=0)
    else:
        codes = graph.node("Cast", graph.node("Greater", raw, graph.numbers(0.0)), to=int64)
        if said.kind == TABLE:
            return codes
        codes = graph.reshaped(codes, -1)
    classes = said.classes
    assert classes is not None
    known = classes.astype(str) if said.labels_are_text else classes.astype(np.int64)
    return graph.node("Gather", graph.constant(known), codes)


def _scores(graph: Graph, said: Meaning, raw: str) -> str:
    """Return probabilities, or raw predictions where there are none."""
    if not said.link:
        return raw
    if said.link == SOFTMAX:
        return graph.node("Softmax", raw, axis=1)
    if said.link == SIGMOID and said.is_shared:
        # sigma / sum of sigma, by logarithms: sigmas in float32 end at 1e-7 in some runtimes
        logarithm = graph.node("Neg", graph.node("Softplus", graph.node("Neg", raw)))
        return graph.node("Softmax", logarithm, axis=1)
    if said.link == SIGMOID:
        positive = graph.node("Sigmoid", raw)
    else:
        within = graph.node("Clip", raw, graph.numbers(-1.0), graph.numbers(1.0))
        shifted = graph.node("Add", within, graph.numbers(1.0))
        positive = graph.node("Mul", shifted, graph.numbers(0.5))
    if said.kind == TWO:
        negative = graph.node("Sub", graph.numbers(1.0), positive)
        return graph.node("Concat", negative, positive, axis=1)
    return _divided(graph, said, positive) if said.is_shared else positive


def _divided(graph: Graph, said: Meaning, positive: str) -> str:
    """Return each class's own by their sum; even shares where that is zero."""
    total = graph.node("MatMul", positive, graph.numbers(np.ones((said.n_outputs, 1))))
    is_nothing = graph.node("Equal", total, graph.numbers(0.0))
    ones, even = graph.numbers(1.0), graph.numbers(1.0 / said.n_outputs)
    shares = graph.node("Div", positive, graph.node("Where", is_nothing, ones, total))
    return graph.node("Where", is_nothing, even, shares)
