"""Results do not depend on where in memory arrays lie: sums are never beside stores in a loop.

Such a loop is vector code only where the arrays' addresses pass a test, and adds up in another
order where they do not. Small arrays of one fit may lie anywhere, beside each other too.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastgd.kernels.certificate import divergence
from fastgd.kernels.losses import LogLoss
from fastgd.kernels.metric_steps import first_loop, second_loop
from fastgd.kernels.objective import Targets, add_gradient, pass_one, predict_raw
from fastgd.kernels.rows import Dense

N, D = 60, 4
FARTHEST = 40  # numbers between two arrays


def pass_over(place: Callable[..., Any], rng: np.random.Generator) -> list[Any]:
    X, y, s, params = (
        rng.normal(size=(N, D)),
        np.arange(N) % 2.0,
        rng.random(N),
        rng.normal(size=D + 1),
    )
    X, y, s, params, gradient, curvature = place(X, y, s, params, np.zeros(D + 1), np.zeros(N))
    X.flags.writeable = y.flags.writeable = s.flags.writeable = False
    total = pass_one(Dense(X), Targets(y, s), LogLoss(), params, 0, N, gradient, curvature)
    return [total, gradient, curvature]


def slopes_over(place: Callable[..., Any], rng: np.random.Generator) -> list[Any]:
    X, slopes, gradient = place(rng.normal(size=(N, D)), rng.normal(size=N), np.zeros(D + 1))
    X.flags.writeable = False
    add_gradient(Dense(X), slopes, 0, N, gradient)
    return [gradient]


def predicted(place: Callable[..., Any], rng: np.random.Generator) -> list[Any]:
    X, params, raw = place(rng.normal(size=(N, D)), rng.normal(size=D + 1), np.zeros(N))
    X.flags.writeable = False
    predict_raw(Dense(X), params, 0, N, raw)
    return [raw]


def apart(place: Callable[..., Any], rng: np.random.Generator) -> list[Any]:
    given = np.arange(N) % 2.0, rng.random(N), rng.normal(size=N), rng.normal(size=N), np.zeros(N)
    y, s, raw, other, slopes = place(*given)
    return [divergence(LogLoss(), y, s, raw, other, 0, N, slopes), slopes]


def corrected(place: Callable[..., Any], rng: np.random.Generator) -> list[Any]:
    steps, changes = rng.normal(size=(6, 9)), rng.normal(size=(6, 9))
    curvatures = np.sum(steps * changes, axis=1)
    given = place(steps, changes, curvatures, rng.normal(size=9), np.zeros(6))
    steps, changes, curvatures, q, shares = given
    for loop in (first_loop, second_loop):
        loop(steps, changes, curvatures, 3, q, shares)
    return [q, shares]


@pytest.mark.parametrize("call", [pass_over, slopes_over, predicted, apart, corrected])
def test_results_do_not_depend_on_addresses(call):
    def result(seed: int) -> tuple[bytes, ...]:
        where = np.random.default_rng(seed)

        def place(*arrays: np.ndarray) -> list[np.ndarray]:
            """Copy arrays into one, in some order, some distance apart."""
            pool, at = np.zeros(sum(a.size + FARTHEST for a in arrays)), 0
            placed: list[Any] = [None] * len(arrays)
            for k in where.permutation(len(arrays)):
                at += int(where.integers(FARTHEST))
                own = pool[at : at + arrays[k].size].reshape(arrays[k].shape)
                own[...], placed[k], at = arrays[k], own, at + own.size
            return placed

        return tuple(np.asarray(part).tobytes() for part in call(place, np.random.default_rng(0)))

    assert len({result(seed) for seed in range(300)}) == 1
