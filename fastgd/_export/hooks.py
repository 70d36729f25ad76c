"""What skl2onnx asks a model that it does not know: it needs no registration of ours."""

from collections.abc import Callable
from typing import Any


class OnnxExport:
    """Lets skl2onnx convert an estimator, alone, in a pipeline or in a search.

    ``skl2onnx.to_onnx(pipeline, X)`` finds these methods; it is imported by whoever calls that.
    """

    def onnx_parser(self) -> None:
        """Let skl2onnx name the outputs; it asks this first, and learns of the options here."""
        from fastgd._export.onnx import register

        register(type(self))

    def onnx_shape_calculator(self) -> Callable[[Any], None]:
        """Return what tells skl2onnx the types and shapes of the outputs.

        Returns
        -------
        callable
            Of an operator of skl2onnx's.
        """
        from fastgd._export.onnx import tell_shapes

        return tell_shapes

    def onnx_converter(self) -> Callable[[Any, Any, Any], None]:
        """Return what appends the model to the graph that skl2onnx makes.

        Returns
        -------
        callable
            Of a scope, an operator and a container of skl2onnx's.
        """
        from fastgd._export.onnx import convert

        return convert
