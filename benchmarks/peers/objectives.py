"""What the solvers minimise: losses of raw predictions, and an objective of a fitted model."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.special import logsumexp, xlogy

BLOCK = 2**22  # numbers of a dense X that are read as float64 at once

Loss = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Objective(NamedTuple):
    """Mean of loss(y, raw) + l1 |W|_1 + l2/2 |W|^2, and l2/2 of the intercept's square if asked."""

    loss: Loss
    l1: float = 0.0
    l2: float = 0.0
    intercept_too: bool = False

    def __call__(self, X: Any, y: np.ndarray, model: Any) -> float:
        """Return the objective of a fitted model."""
        W, b = coefficients(model, X.shape[1])
        squares = np.sum(W * W) + (np.sum(b * b) if self.intercept_too else 0.0)
        penalty = self.l1 * np.sum(np.abs(W)) + 0.5 * self.l2 * squares
        return mean_loss(self.loss, X, y, W, b) + float(penalty)


def coefficients(model: Any, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Return W of shape (K, n_features) and b of shape (K,), in float64."""
    W = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))
    b = np.ravel(np.asarray(model.intercept_, dtype=np.float64))
    return W[:, :n_features], b[: len(W)]  # Snap ML may append the intercept to coef_


def mean_loss(loss: Loss, X: Any, y: np.ndarray, W: np.ndarray, b: np.ndarray) -> float:
    """Return the mean over the rows, a block of them at a time."""
    n_rows = X.shape[0]
    step = max(1, BLOCK // X.shape[1]) if not sp.issparse(X) else 65_536
    total = 0.0
    for start in range(0, n_rows, step):
        rows = slice(start, start + step)
        raw = np.asarray(X[rows] @ W.T) + b
        with np.errstate(over="ignore", invalid="ignore"):  # a diverged model is reported as such
            total += float(np.sum(loss(y[rows], raw if len(W) > 1 else raw[:, 0])))
    return total / n_rows


def log_loss(y: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Return -log of the probability of y: of two classes if raw is 1d, else by the softmax."""
    if raw.ndim == 1:
        return np.logaddexp(0.0, raw) - y * raw
    return logsumexp(raw, axis=1) - raw[np.arange(len(y)), y]


def squared_error(y: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Return half the square of the residual."""
    return 0.5 * (y - raw) ** 2


def huber_loss(y: np.ndarray, raw: np.ndarray, sigma: float, epsilon: float) -> np.ndarray:
    """Return scikit-learn's sigma + H((raw - y) / sigma) sigma, a function of sigma, too."""
    z = np.abs(raw - y) / sigma
    return sigma * (1.0 + np.where(z < epsilon, z * z, 2.0 * epsilon * z - epsilon**2))


def half_poisson_deviance(y: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Return half the deviance, whose least value is 0."""
    return np.exp(raw) - y * raw + xlogy(y, y) - y


def half_gamma_deviance(y: np.ndarray, raw: np.ndarray) -> np.ndarray:
    """Return half the deviance, whose least value is 0."""
    return y * np.exp(-raw) + raw - np.log(y) - 1.0


def pinball(y: np.ndarray, raw: np.ndarray, quantile: float) -> np.ndarray:
    """Return quantile times what y is above raw, or 1 - quantile times what it is below."""
    return np.maximum(quantile * (y - raw), (quantile - 1.0) * (y - raw))


def hinge(y: np.ndarray, raw: np.ndarray, power: int) -> np.ndarray:
    """Return max(0, 1 - raw) to a power, with the sign of raw turned for class 0."""
    return np.maximum(0.0, 1.0 - (2 * y - 1) * raw) ** power


def epsilon_insensitive(y: np.ndarray, raw: np.ndarray, epsilon: float, power: int) -> np.ndarray:
    """Return by how much the residual exceeds epsilon, to a power."""
    return np.maximum(0.0, np.abs(y - raw) - epsilon) ** power


def huber_objective(X: Any, y: np.ndarray, model: Any, epsilon: float, alpha: float) -> float:
    """Return scikit-learn's objective over coefficients and scale, divided by the rows."""
    loss = partial(huber_loss, sigma=float(model.scale_), epsilon=epsilon)
    return Objective(loss, l2=2.0 * alpha / X.shape[0])(X, y, model)
