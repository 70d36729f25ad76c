"""What a solver is given, and what it returns."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._monitoring.observer import UNWATCHED, Observer


class Task(NamedTuple):
    """A linear model to fit: minimise over w and b

        sum_i s_i loss(y_i, x_i w + b) / sum_i s_i + l1 |w|_1 + l2/2 |w|^2

    rows : Dense or CSR
    y : (n_samples,), as the loss wants it: 0 and 1, -1 and 1, numbers, or the classes' numbers
    weight : (n_samples,), s; None means 1
    loss : a spec of ``fastgd.kernels.losses``
    l1, l2 : float, of the raw coefficients
    n_features : int
    n_outputs : int, the number of classes for softmax, else 1
    fit_intercept : bool; the intercept is not penalised
    positive : bool, w >= 0
    dtype : the type in which coefficients are kept: bounds count what rounding to it costs
    device : ``_device.Device`` on which passes are made; None for the processor
    """

    rows: Any
    y: NDArray[Any]
    weight: NDArray[Any] | None
    loss: Any
    l1: float
    l2: float
    n_features: int
    n_outputs: int = 1
    fit_intercept: bool = True
    positive: bool = False
    dtype: Any = np.float64
    device: Any = None


class Options(NamedTuple):
    """How far a solver goes.

    tol : float
        It stops when the suboptimality is at most ``tol`` times F, or as small as rounding.
    max_iter : int
        Passes over all rows at most, those of line searches included. Passes over samples, and
        sums of products for a Hessian, are not counted.
    seed : int
        Of samples and of the order of the rows.
    observer : Observer
        Is notified of each pass, and may stop it there.
    """

    tol: float = 1e-4
    max_iter: int = 1000
    seed: int = 0
    observer: Observer = UNWATCHED


class Solution(NamedTuple):
    """A fitted linear model, and how good it is.

    coef : (n_features,) or (n_outputs, n_features)
        float64; for many outputs a view that need not be contiguous.
    intercept : float or (n_outputs,)
    objective : float
        What ``Task`` minimises, at this model.
    gap : float
        A proven bound of ``objective`` minus the optimum; inf where none is known. Both are of
        the coefficients as ``Task.dtype`` keeps them.
    suboptimality : float
        What stopped the solver: ``gap``, or an estimate of the suboptimality.
    n_iter : int
        Passes over the data, the one to the first point not counted: the length of the lists in
        ``history``.
    converged : bool
        Whether ``suboptimality`` came below what ``Options.tol`` asks for.
    history : dict of str to list
        Equal-length lists, one entry a pass.
    state : object
        What this solver needs to go on from here; it is passed back as ``start``.
    solver : str
    is_penalised : bool
        Whether the objective has a penalty.
    in_float64 : bool
        Whether the model is kept in float64, whatever ``Task.dtype``: rounded to it, it would not
        be within what ``Options.tol`` asks for.
    """

    coef: np.ndarray
    intercept: Any
    objective: float
    gap: float
    suboptimality: float
    n_iter: int
    converged: bool
    history: dict[str, list[float]]
    state: Any = None
    solver: str = "gd"
    is_penalised: bool = True
    in_float64: bool = False


def dtype_of(found: Iterable[Solution], dtype: Any) -> Any:
    """Return the type that coefficients of solutions are kept in, ``dtype`` if it will do."""
    return np.float64 if any(solution.in_float64 for solution in found) else dtype


class State(NamedTuple):
    """What continues a fit."""

    coef: NDArray[np.float64]
    intercept: Any
