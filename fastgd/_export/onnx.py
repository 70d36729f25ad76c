"""``to_onnx``, and what skl2onnx calls."""

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from fastgd._export.graph import NEEDS, Graph, counter, onnx_module
from fastgd._export.hooks import OnnxExport
from fastgd._export.onnx_models import append, meaning

OPSET, OPSET_ML = 17, 1  # 17: the first with LayerNormalization
IR_VERSION = 8  # of files that runtimes of the same year read


def to_onnx(estimator: Any, *, dtype: Any = np.float32) -> Any:
    """Return a fitted model as ONNX, which onnxruntime and other runtimes compute.

    The input is "X". A classifier's outputs are "label" and "probabilities" (raw predictions where
    it has no probabilities), a regressor's is "variable", an outlier detector's are "label" and
    "scores": names and shapes are skl2onnx's. Rows of a network of images are (height, width,
    channels), or (channels, height, width) with ``channels_first=True``, the axis of channels
    included.

    Parameters
    ----------
    estimator : estimator of fastgd, or a Pipeline that ends with one
        Fitted. A pipeline is converted by skl2onnx, which takes estimators of fastgd as it takes
        scikit-learn's: ``skl2onnx.to_onnx(pipeline, X)`` works as well.
    dtype : {float32, float64}, default=float32
        Of X and of what is computed. onnxruntime has some operators in float32 only: of networks
        with convolutions and pools.

    Returns
    -------
    model : onnx.ModelProto
        ``model.SerializeToString()`` is what files hold.

    Raises
    ------
    ImportError
        If onnx, or for a pipeline skl2onnx, is not installed.
    TypeError
        If it is no such estimator, or has a layer, an activation or a loss of a user's own.
    ValueError
        For another dtype.
    sklearn.exceptions.NotFittedError
        If it has not been fitted.

    Examples
    --------
    >>> from fastgd import LogisticRegression, to_onnx
    >>> model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    >>> to_onnx(model).graph.output[0].name  # doctest: +SKIP
    'label'
    """
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, got {dtype}.")
    if isinstance(estimator, Pipeline):
        check_is_fitted(estimator)
        return _pipeline(estimator, dtype)
    if not isinstance(estimator, OnnxExport):
        raise TypeError(
            f"to_onnx takes an estimator of fastgd or a Pipeline, got {type(estimator).__name__}."
        )
    check_is_fitted(estimator)
    return _model(estimator, dtype)


def _pipeline(pipeline: Pipeline, dtype: Any) -> Any:
    try:
        from skl2onnx import to_onnx as of_scikit_learn
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
    except ImportError:
        raise ImportError(NEEDS) from None
    kind = FloatTensorType if dtype == np.float32 else DoubleTensorType
    types = [("X", kind([None, pipeline.n_features_in_]))]
    options = {"zipmap": False} if is_classifier(pipeline) else None
    return of_scikit_learn(pipeline, initial_types=types, options=options, target_opset=OPSET)


def _model(estimator: Any, dtype: Any) -> Any:
    onnx = onnx_module()
    graph = Graph(dtype, counter())
    said, x = meaning(estimator), "X"
    if getattr(estimator, "channels_first", False) and len(estimator._row_shape) > 1:
        axes = len(estimator._row_shape)
        x = graph.node("Transpose", x, perm=[0, *range(2, axes + 1), 1])
    for found, name in zip(append(graph, estimator, x), said.names, strict=True):
        graph.named(found, name)
    number = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    inputs = [onnx.helper.make_tensor_value_info("X", number, ["n", *_row_shape(estimator)])]
    made = onnx.helper.make_graph(
        graph.nodes, type(estimator).__name__, inputs, _outputs(said, number), graph.initializers
    )
    opsets = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid("ai.onnx.ml", OPSET_ML)]
    model = onnx.helper.make_model(
        made, opset_imports=opsets, ir_version=IR_VERSION, producer_name="fastgd"
    )
    onnx.checker.check_model(model)
    return model


def _row_shape(estimator: Any) -> list[int]:
    """Return the shape of a row as users give it."""
    shape = list(getattr(estimator, "_row_shape", (estimator.n_features_in_,)))
    first = getattr(estimator, "channels_first", False) and len(shape) > 1
    return [shape[-1], *shape[:-1]] if first else shape


def _outputs(said: Any, number: int) -> list[Any]:
    """Return the outputs' names, types and shapes."""
    onnx = onnx_module()
    label = onnx.TensorProto.STRING if said.labels_are_text else onnx.TensorProto.INT64
    shapes = [["n"], ["n", said.width]]
    if said.kind in ("table", "outliers"):
        shapes[0] = ["n", said.n_outputs]
    described = list(zip((label, number), shapes, strict=True))[-len(said.names) :]
    return [
        onnx.helper.make_tensor_value_info(name, kind, shape)
        for name, (kind, shape) in zip(said.names, described, strict=True)
    ]


# -- what skl2onnx calls --------------------------------------------------------------------------


def register(kind: type) -> None:
    """Tell skl2onnx of a class, and of the options that it may be given."""
    from skl2onnx import update_registered_converter

    is_labelled = issubclass(kind, ClassifierMixin)
    options = {"zipmap": [True, False, "columns"]} if is_labelled else None
    name = f"Fastgd{kind.__name__}"
    update_registered_converter(kind, name, tell_shapes, convert, overwrite=True, options=options)


def tell_shapes(operator: Any) -> None:
    """Write the types and shapes of the outputs of an operator of skl2onnx's."""
    from skl2onnx.common import data_types

    said, n = meaning(operator.raw_operator), operator.inputs[0].get_first_dimension()
    is_double = isinstance(operator.inputs[0].type, data_types.DoubleTensorType)
    number = data_types.DoubleTensorType if is_double else data_types.FloatTensorType
    label = data_types.StringTensorType if said.labels_are_text else data_types.Int64TensorType
    operator.outputs[-1].type = number([n, said.width])
    if len(said.names) > 1:
        several = said.kind in ("table", "outliers")
        operator.outputs[0].type = label([n, said.n_outputs] if several else [n])


def convert(scope: Any, operator: Any, container: Any) -> None:
    """Append a model to a graph of skl2onnx's."""
    from skl2onnx.common.data_types import DoubleTensorType

    onnx, opset = onnx_module(), container.target_opset
    is_double = isinstance(operator.inputs[0].type, DoubleTensorType)
    graph = Graph(np.float64 if is_double else np.float32, scope.get_unique_variable_name)
    to = onnx.helper.np_dtype_to_tensor_dtype(graph.dtype)
    columns = [graph.node("Cast", given.full_name, to=to) for given in operator.inputs]
    x = columns[0] if len(columns) == 1 else graph.node("Concat", *columns, axis=1)
    found = append(graph, operator.raw_operator, x)
    for name, out in zip(found, operator.outputs, strict=True):
        graph.named(name, out.full_name)
    for array in graph.initializers:
        values = onnx.numpy_helper.to_array(array)
        flat = [v.encode() if isinstance(v, str) else v for v in values.ravel().tolist()]
        container.add_initializer(array.name, array.data_type, list(values.shape), flat)
    for node in graph.nodes:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        container.add_node(
            node.op_type,
            list(node.input),
            list(node.output),
            op_domain=node.domain,
            op_version=opset,
            name=scope.get_unique_operator_name(node.name),
            **attributes,
        )
