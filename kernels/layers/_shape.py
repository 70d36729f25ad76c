"""Layers without arithmetic of their own: whoever plans a network reads them."""

from typing import Any, NamedTuple

from fastgd.kernels.layers._activated import copy
from fastgd.kernels.layers._protocol import Sizes, flat_size


class Flatten(NamedTuple):
    """All axes become one: rows of shape (height, width, channels) are rows of numbers."""

    @staticmethod
    def sizes(layer, shape):
        return Sizes((flat_size(shape),))


class Residual(NamedTuple):
    """Layers whose output is added to their input: x + f(x) [1]_.

    Parameters
    ----------
    layers : list of layers
        Their output must have the shape of their input.

    References
    ----------
    .. [1] He, Zhang, Ren & Sun, "Deep residual learning for image recognition", 2016, equation 1.
       arXiv:1512.03385
    """

    layers: Any


class Copied(NamedTuple):
    """A layer whose output is its input.

    What whoever passes from layer to layer does with it makes the difference: an activation that
    stands alone, or the end of a ``Residual``, to which ``ADDS`` is added.
    """

    activation: Any = None

    @staticmethod
    def spec(layer):
        return Copy()

    @staticmethod
    def sizes(layer, shape):
        return Sizes(shape, units=0 if layer.activation is None else flat_size(shape))


class Copy(NamedTuple):
    """The spec of ``Copied``."""

    @staticmethod
    def forward(layer, at, own, x, out, notes, now):
        copy(x, out)

    @staticmethod
    def backward(layer, at, own, slopes, tape, delta, before):
        if before.shape[0] > 0:
            copy(delta, before)
