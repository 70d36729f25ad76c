"""Score and Fisher information of a block of rows, for each family of models.

With raw predictions eta_i of r numbers (one, or the classes' but for the reference), a row has the
score x_i e_i' and the information x_i x_i' (x) W_i, both of the sum of s_i loss_i, where

    squared error     e = s (eta - y)                   W = s
    log link          e = s (mu - y) mu^(1 - power)     W = s mu^(2 - power)
    classes           e = s (p - 1[y = k])              W = s (diag(p) - p p')

(McCullagh and Nelder 1989, section 2.5; W is the expected second derivative.) W = root' root, and
for classes root = (I - u u' / (1 + sqrt(p_ref))) diag(u) with u = sqrt(p), which is exact however
near p comes to 0 or 1.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from fastgd.inference._stated import CLASSES, LOG, Floats, Stated


class Block(NamedTuple):
    """Of m rows: score e (m, r), root (m, r, r), Pearson's chi-squared, and rows fitted wrongly."""

    score: Floats
    root: Floats
    pearson: float
    n_wrong: int


def block_of(stated: Stated, raw: Floats, y: NDArray[Any], weight: Floats) -> Block:
    """Return scores and information of rows; ``raw`` and, but for classes, y are (m, r)."""
    if stated.family == CLASSES:
        return _of_classes(raw, y, weight)
    s = weight[:, None]
    if stated.family == LOG:
        mean = np.exp(raw)
        residual = mean - y
        score = s * residual * mean ** (1.0 - stated.power)
        root = np.sqrt(s * mean ** (2.0 - stated.power))
        pearson = float(np.sum(s * residual**2 / mean**stated.power))
        return Block(score, root[:, :, None], pearson, 1)
    residual = raw - y
    return Block(s * residual, np.sqrt(s)[:, :, None], float(np.sum(s * residual**2)), 1)


def _of_classes(raw: Floats, y: NDArray[Any], weight: Floats) -> Block:
    """Return the block of classes; those of ``y`` are numbers, the reference is 0."""
    m = raw.shape[0]
    all_raw = np.column_stack([np.zeros(m), raw])
    log_p = log_softmax(all_raw, axis=1)
    p = np.exp(log_p)
    own = np.arange(1, all_raw.shape[1]) == y[:, None]
    score = weight[:, None] * (p[:, 1:] - own)
    u = np.sqrt(p)
    share = u[:, 1:] / (1.0 + u[:, :1])
    root = -share[:, :, None] * p[:, None, 1:]
    diagonal = np.arange(raw.shape[1])
    root[:, diagonal, diagonal] += u[:, 1:]
    root *= np.sqrt(weight)[:, None, None]
    best = np.take_along_axis(all_raw, y[:, None], axis=1) > _best_other(all_raw, y)
    pearson = float(weight @ np.expm1(-log_p[np.arange(m), y]))  # sum_k (1[y = k] - p_k)^2 / p_k
    return Block(score, root, pearson, int(np.sum(~best[:, 0] & (weight > 0.0))))


def _best_other(raw: Floats, y: NDArray[Any]) -> Floats:
    """Return the largest raw prediction of the classes that are not a row's own."""
    others = raw.copy()
    np.put_along_axis(others, y[:, None], -np.inf, axis=1)
    best: Floats = others.max(axis=1, keepdims=True)
    return best
