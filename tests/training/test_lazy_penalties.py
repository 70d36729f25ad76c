"""Penalties of coefficients whose steps have lengths of their own, on sparse rows."""

import numpy as np
import pytest

from fastgd._parameters import resolve
from fastgd.kernels.optimizers import Adam, LazyMoments, RMSprop
from fastgd.kernels.penalties import ElasticNet
from fastgd.kernels.stores import OwnLengths
from fastgd.kernels.stores._lazy import time_of_steps


@pytest.mark.nojit
@pytest.mark.parametrize("name", ["rmsprop", "adadelta", RMSprop(centered=True)])
def test_moments_wait_where_every_step_would_pass_over_all_features(name):
    penalised, free = ElasticNet(0.0, 1e-4), ElasticNet(0.0, 0.0)
    on_sparse = resolve.optimizer(name, sparse=True, penalty_spec=penalised)
    assert isinstance(on_sparse, LazyMoments)
    for sparse, penalty in ((True, free), (False, penalised)):
        exact = resolve.optimizer(name, sparse=sparse, penalty_spec=penalty)
        assert not isinstance(exact, LazyMoments)


@pytest.mark.nojit
def test_a_user_may_ask_for_the_exact_path():
    penalty = ElasticNet(0.0, 1e-4)
    for exact in (RMSprop(lazy=False), Adam(lazy=False)):
        spec = resolve.optimizer(exact, sparse=True, penalty_spec=penalty)
        assert type(spec) is type(exact)


def rates(kind, n_steps):
    """Constant, falling, or first steps of Adam."""
    t = np.arange(1, n_steps + 1, dtype=np.float64)
    if kind == "adam":
        return 0.01 * np.sqrt(-np.expm1(t * np.log(0.999)))
    return {"constant": np.full(n_steps, 0.01), "falling": 0.1 / np.sqrt(t)}[kind]


@pytest.mark.nojit
@pytest.mark.parametrize("speed", [1.0, 100.0, 1e5, 1e8])
@pytest.mark.parametrize("kind", ["constant", "falling", "adam"])
def test_the_time_of_long_steps_is_their_sum(kind, speed):
    penalty, own = ElasticNet(0.0, 1e-3), rates(kind, 2000)
    times = np.zeros((2001, 4))
    for k in range(4):
        np.cumsum(penalty.l2**k * own ** (k + 1) / (k + 1), out=times[1:, k])
    skipped = OwnLengths(times, np.zeros(2001), own, 0.0)
    for since, t in ((0, 2000), (3, 4), (10, 1500), (1999, 2000), (7, 7)):
        found = time_of_steps(penalty, skipped, since, t, speed)
        shrinkages = np.maximum(1.0 - speed * own[since:t] * penalty.l2, 0.0)
        np.testing.assert_allclose(
            np.exp(-penalty.l2 * found), np.prod(shrinkages), rtol=1e-7, atol=1e-25
        )
