"""The passes of the solvers that work on rows in host memory, made on a CUDA device.

A solver of ``_solvers`` meets X in few ways: loss and gradient at some parameters, raw predictions,
products of the columns with slopes, and with each other. ``DevicePasses`` has these four, and a
``Problem`` that holds it asks it in place of the processor's kernels; steps, line searches, dual
points and certificates are the same code. The rows stay in host memory as well: samples of them,
and what is read once or twice in a fit, are the processor's.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgd._runtime.devices import chosen, dtype_of, is_plain_there, is_there
from fastgd._solvers._device_rows import (
    DeviceRows,
    matrix_of,
    pass_over,
    product_over,
    raw_over,
    standardise,
    sums_with,
    weighted,
)
from fastgd._solvers._problem import Floats, Problem
from fastgd.kernels.rows import Dense

MOST_HELD = 2  # sets of rows that a fit meets: the user's, and those counted from their means


class Device:
    """What a fit has on a device.

    Parameters
    ----------
    foreign : the user's rows where they lie there already, or None
    """

    def __init__(self, foreign: Any = None) -> None:
        self._foreign = foreign
        self._held: list[tuple[Any, DevicePasses]] = []

    def passes(self, rows: Any, n_features: int) -> "DevicePasses":
        """Return the passes over rows, Dense or CSR, which are sent when the first one is made."""
        array = rows.values if isinstance(rows, Dense) else rows.data
        for known, passes in self._held:
            if _is_same(known, array):
                return passes
        foreign = None
        if not self._held and self._foreign is not None:
            is_same = isinstance(rows, Dense) and tuple(self._foreign.shape) == array.shape
            foreign = self._foreign if is_same and dtype_of(self._foreign) == array.dtype else None
        n_rows = array.shape[0] if isinstance(rows, Dense) else rows.indptr.shape[0] - 1
        passes = DevicePasses(DeviceRows(matrix_of(rows, (n_rows, n_features)), foreign))
        self._held = [*self._held[-MOST_HELD + 1 :], (array, passes)]
        return passes


def _is_same(known: NDArray[Any], array: NDArray[Any]) -> bool:
    """Tell whether two arrays are one place in memory."""
    return known.ctypes.data == array.ctypes.data and known.shape == array.shape


def device_of(model: Any, X: Any) -> Device | None:
    """Return the device on which a model is fitted to X; None for the processor.

    Raises
    ------
    ImportError, RuntimeError, ValueError
        If a device is asked for that cannot be used.
    """
    if not is_there(chosen(model, X)):
        return None
    return Device(X if is_plain_there(X) else None)


class There:
    """Numbers of the rows that stay on the device until somebody asks for them."""

    def __init__(self, parts: list[Any]) -> None:
        self.parts = parts
        self.shape = (sum(part.shape[0] for part in parts),)
        self.size = self.shape[0]
        self._copied: Floats | None = None

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        """Return a copy in host memory, made once."""
        from fastgd.kernels.cuda import memory

        if self._copied is None:
            self._copied = np.concatenate([memory.download(part) for part in self.parts])
        return np.array(self._copied, dtype=dtype, copy=copy)

    def __getitem__(self, at: Any) -> Any:
        """Return some of them, in host memory."""
        return np.asarray(self)[at]


class DevicePasses:
    """Passes over the rows of a problem."""

    def __init__(self, rows: DeviceRows) -> None:
        self._rows = rows

    def over(self, rows: Any, shape: tuple[int, int]) -> "DevicePasses":
        """Return the passes over other rows, those of some columns."""
        return DevicePasses(DeviceRows(matrix_of(rows, shape)))

    def evaluate(self, problem: Problem, u: Floats) -> tuple[float, Floats, Any]:
        """Return the mean loss, its gradient, and the weighted curvatures of one output."""
        total, gradient, bends = 0.0, np.zeros_like(u), []
        for chunk in self._rows.chunks():
            targets = self._rows.targets(chunk, problem.y, problem.weight)
            found = pass_over(chunk, targets, problem, u, wants_curvature=True)
            total += found.loss
            gradient += found.gradient
            bends.append(found.out.curvature)
        return total, gradient, There(bends) if problem.n_outputs == 0 else np.empty(0)

    def predictions(self, problem: Problem, u: Floats) -> Floats:
        """Return the raw predictions of all rows, (n_samples,) or (n_samples, n_outputs)."""
        return np.concatenate([raw_over(chunk, problem, u) for chunk in self._rows.chunks()])

    def products_with(self, problem: Problem, slopes: Floats) -> Floats:
        """Return sum_i slopes_i (z_i, 1) of the standardised rows; 0 last without an intercept."""
        found = np.zeros((problem.shape[1] + 1, *slopes.shape[1:]))
        for chunk in self._rows.chunks():
            found += sums_with(chunk, slopes[chunk.start : chunk.stop], problem.shape[1])
        standardise(found, problem)
        return found

    def products(self, problem: Problem, weight: Any) -> Floats:
        """Return sum_i h_i (z_i, 1) (z_i, 1)' of the standardised rows."""
        from fastgd.kernels.cuda import memory

        d = problem.shape[1]
        parts, total = getattr(weight, "parts", []), np.zeros((d + 1, d + 1))
        for k, chunk in enumerate(self._rows.chunks()):
            at, n = slice(chunk.start, chunk.stop), chunk.stop - chunk.start
            is_there = k < len(parts) and parts[k].shape[0] == n  # of the same chunks
            own = parts[k] if is_there else memory.upload(weight[at])
            total += weighted(chunk, own, problem.scaler, problem.dtype)
        return total

    def products_of_classes(self, problem: Problem, u: Floats) -> Floats:
        """Return the Hessian of softmax at u without the penalty, classes outermost."""
        total: Any = 0.0
        for chunk in self._rows.chunks():
            targets = self._rows.targets(chunk, problem.y, problem.weight)
            found = pass_over(chunk, targets, problem, u, wants_curvature=True)
            total = total + product_over(chunk, targets, problem, found.out)
        return np.asarray(total)
