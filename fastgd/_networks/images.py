"""Rows of several axes, images and sequences: laid flat for the kernels, which know their shape."""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp


class Images(NamedTuple):
    """How rows are read.

    has_axes : bool, whether rows may have several axes
    channels_first : bool, whether X is (n, channels, height, width), or (n, channels, length)
    adds_channel : bool, whether an image of two axes lacks that of its one channel
    """

    has_axes: bool
    channels_first: bool = False
    adds_channel: bool = False

    def flat(self, estimator: Any, X: Any, *, first: bool) -> Any:
        """Return X with one axis for each row, and learn or compare the rows' shape.

        Raises
        ------
        ValueError
            If rows have another shape than those of the first call.
        """
        if not self.has_axes or sp.issparse(X) or (not hasattr(X, "shape") and not _is_nested(X)):
            return X
        array = X if hasattr(X, "shape") else np.asarray(X)
        if len(array.shape) < 3:
            shape: tuple[int, ...] = tuple(array.shape[1:])
        else:
            array = np.asarray(array)
            if self.channels_first:
                array = np.moveaxis(array, 1, -1)
            shape = array.shape[1:]
            if self.adds_channel and len(shape) == 2:
                shape = (*shape, 1)
            array = array.reshape(array.shape[0], -1)
        if first:
            estimator._row_shape = shape
        elif shape != getattr(estimator, "_row_shape", shape) and len(shape) > 1:
            raise ValueError(
                f"X has rows of shape {shape}; {type(estimator).__name__} was fitted with rows of "
                f"shape {estimator._row_shape}."
            )
        return array


def _is_nested(X: Any) -> bool:
    """Tell whether X is a list of lists of lists."""
    try:
        return isinstance(X[0][0], (list, tuple, np.ndarray))
    except (TypeError, IndexError, KeyError):
        return False
