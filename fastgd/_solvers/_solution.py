"""What a solver returns."""

from typing import Any, NamedTuple

import numpy as np


class Solution(NamedTuple):
    """A fitted linear model, and how good it is.

    Parameters
    ----------
    coef : ndarray of shape (n_features,) or (n_outputs, n_features)
        float64; for many outputs a view that need not be contiguous.
    intercept : float or ndarray of shape (n_outputs,)
    objective : float
        Mean weighted loss + l1 |w|_1 + l2/2 |w|^2 at this model, the mean over the weights' sum.
    gap : float
        A proven bound of ``objective`` minus the optimum; inf where none is known.
    n_iter : int
        Passes over the data.
    converged : bool
        Whether the bound came below what ``tol`` asks for.
    history : dict of str to list
        Equal-length lists, one entry a pass.
    state : object
        What this solver needs to go on from here; it is passed back as ``start``.
    """

    coef: np.ndarray
    intercept: Any
    objective: float
    gap: float
    n_iter: int
    converged: bool
    history: dict[str, list[float]]
    state: Any = None
