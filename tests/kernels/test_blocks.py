"""Block coordinate descent against plain loops in numpy."""

import numpy as np
import pytest

from fastgd.kernels.blocks import Blocks, Columns, Penalty, descend_blocks, descend_columns


def problem(n_targets, rng, shape=(30, 8)):
    """Return weights that sum to 1, centered columns and targets."""
    n, m = shape
    weight = rng.uniform(0.5, 2.0, n)
    weight[3] = 0.0
    weight /= weight.sum()
    Z, T = rng.normal(size=(n, m)) + 4.0, rng.normal(size=(n, n_targets))
    Z[:, 2] = 7.0
    T += Z[:, :3] @ rng.normal(size=(3, n_targets))
    return weight, Z, Z - weight @ Z, T - weight @ T


def objective(weight, Z, T, W, penalty):
    """The mean of squares and both norms, of W (K, m)."""
    residual = T - Z @ W.T
    norms = np.sqrt((W**2).sum(axis=0)).sum()
    square = 0.5 * np.sum(weight[:, None] * residual**2)
    return square + penalty.l1 * norms + 0.5 * penalty.l2 * np.sum(W**2)


def naive_descent(weight, Z, T, penalty, sweeps):
    """Cyclic block coordinate descent, one column after the other, until nothing changes."""
    W = np.zeros((T.shape[1], Z.shape[1]))
    for _ in range(sweeps):
        before = W.copy()
        for j in range(Z.shape[1]):
            size = weight @ Z[:, j] ** 2
            if size < 1e-12:
                continue
            rest = T - Z @ W.T + np.outer(Z[:, j], W[:, j])
            rho = (weight * Z[:, j]) @ rest
            rho = np.maximum(rho, 0.0) if penalty.positive else rho
            norm = np.linalg.norm(rho)
            W[:, j] = max(0.0, 1.0 - penalty.l1 / norm) * rho / (size + penalty.l2) if norm else 0.0
        if np.abs(W - before).max() <= 1e-16 * np.abs(W).max():
            break
    return W


PENALTIES = [
    (1, Penalty(0.1, 0.0, False)),
    (1, Penalty(0.1, 0.3, False)),
    (1, Penalty(0.1, 0.0, True)),
    (3, Penalty(0.2, 0.0, False)),
    (3, Penalty(0.2, 0.1, False)),
    (2, Penalty(0.0, 0.5, False)),
]


def blocks_of(weight, Z, T):
    size = weight @ Z**2
    matrix = Z.T @ (weight[:, None] * Z)
    matrix[size < 1e-12] = 0.0
    return Blocks(matrix, (weight[:, None] * T).T @ Z, float(np.sum(weight[:, None] * T**2)))


def columns_of(weight, raw, Z, T):
    size = weight @ Z**2
    size[size < 1e-12] = 0.0
    values, targets = np.ascontiguousarray(raw.T), np.ascontiguousarray(T.T)
    return Columns(values, weight, weight @ raw, size, targets)


@pytest.mark.parametrize(("n_targets", "penalty"), PENALTIES, ids=str)
@pytest.mark.parametrize("kind", ["blocks", "columns"])
def test_descent_ends_where_plain_loops_do(kind, n_targets, penalty, rng):
    weight, raw, Z, T = problem(n_targets, rng)
    wanted = naive_descent(weight, Z, T, penalty, 3000)
    coef, slope = np.zeros_like(wanted), np.empty_like(wanted)
    if kind == "blocks":
        given, descend = blocks_of(weight, Z, T), descend_blocks
    else:
        given, descend = columns_of(weight, raw, Z, T), descend_columns
    gap, found, sweeps = descend(given, penalty, 1e-12, 0.0, 10_000, coef, slope)
    best = objective(weight, Z, T, wanted, penalty)
    assert sweeps > 0
    assert gap <= 1e-12 * found
    np.testing.assert_allclose(found, best, rtol=1e-10)
    np.testing.assert_allclose(coef, wanted, atol=1e-5)
    np.testing.assert_allclose(slope, (weight[:, None] * (T - Z @ coef.T)).T @ Z, atol=1e-9)


@pytest.mark.parametrize(("n_targets", "penalty"), PENALTIES, ids=str)
def test_the_gap_bounds_the_suboptimality_anywhere(n_targets, penalty, rng):
    weight, raw, Z, T = problem(n_targets, rng)
    best = objective(weight, Z, T, naive_descent(weight, Z, T, penalty, 3000), penalty)
    for scale in (0.0, 0.1, 1.0, 10.0):
        coef = scale * rng.normal(size=(n_targets, 8))
        coef = np.abs(coef) if penalty.positive else coef
        coef[:, 2], slope = 0.0, np.empty_like(coef)
        gaps = []
        for given, descend in (
            (blocks_of(weight, Z, T), descend_blocks),
            (columns_of(weight, raw, Z, T), descend_columns),
        ):
            gap, found, sweeps = descend(given, penalty, 0.0, 0.0, 0, coef, slope)
            assert sweeps == 0
            np.testing.assert_allclose(found, objective(weight, Z, T, coef, penalty), rtol=1e-9)
            assert gap >= found - best - 1e-9 * found
            gaps.append(gap)
        np.testing.assert_allclose(*gaps, rtol=1e-8)
