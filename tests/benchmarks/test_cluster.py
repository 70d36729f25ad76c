"""The simulator of clusters, beside what can be counted by hand."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from fastgd.kernels.transforms import HEADER_BYTES, Qsgd

PATH = Path(__file__).parents[2] / "benchmarks" / "cluster.py"


@pytest.fixture(scope="module")
def cluster():
    spec = importlib.util.spec_from_file_location("simulated_cluster", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def at_once(cluster):
    """Return a network that takes no time."""
    return cluster.Network(latency=0.0, bandwidth=np.inf, task=0.0, jitter=0.0)


@pytest.fixture
def rates(cluster):
    return cluster.Rates(3e-7, 1e-7, 2e-7, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_workers_share_the_work_where_nothing_is_sent(cluster, at_once, rates):
    fit = cluster.Fit(6e6, 50, {"newton": 4.0, "lbfgs": 6.0, "local": 5.0, "batch": 5.0})
    expected = {"newton": 7.2, "lbfgs": 3.6, "local": 6.0, "batch": 6.0}
    for name, seconds in expected.items():
        for workers in (1, 10, 1000):
            found = cluster.simulate(name, fit, workers, at_once, rates)
            assert found == pytest.approx(seconds / workers, rel=1e-6)


def test_passes_are_preceded_by_a_look(cluster, at_once, rates):
    fit = cluster.Fit(6e6, 50, {"newton": 4.0, "local": 5.0})
    looks = rates._replace(look=2e-7)
    assert cluster.simulate("newton", fit, 10, at_once, looks) == pytest.approx(0.72 + 0.12)
    assert cluster.simulate("local", fit, 10, at_once, looks) == pytest.approx(0.6)
    # 16,000 of 20,000 rows from each of two workers, of 50 float32 columns and three numbers more
    assert cluster.sampled(fit._replace(sample=20_000.0), 2) == 16_000 * 28


def test_what_the_client_spends_comes_once_a_round(cluster, at_once, rates):
    fit = cluster.Fit(6e6, 50, {"newton": 4.0, "local": 5.0}, exchanges=3.0)
    for name, field, n_rounds in (("newton", "sum", 4.0 + 1.0), ("local", "exchange", 15.0)):
        own = at_once._replace(**{field: 0.25})
        plain = cluster.simulate(name, fit, 10, at_once, rates)
        assert cluster.simulate(name, fit, 10, own, rates) == plain + 0.25 * n_rounds


def test_times_leave_out_the_first_call(cluster):
    ticks = iter([0.0, 2.0, 10.0, 13.0])
    calls = []
    assert cluster.times_of(lambda: calls.append(1), 2, lambda: next(ticks)) == [2.0, 3.0]
    assert len(calls) == 3


def test_one_link_takes_one_message_after_the_other(cluster):
    assert cluster.served(np.array([0.0, 0.0, 0.0]), 2.0) == 6.0
    assert cluster.served(np.array([10.0, 0.0, 1.0]), 2.0) == 12.0


def test_a_tree_has_as_many_levels_as_it_needs(cluster, at_once, rates):
    network = at_once._replace(latency=1.0)
    for workers, seconds in ((1, 1.0), (8, 8.0 + 1.0), (64, 16.0 + 1.0)):
        assert cluster.tree(np.zeros(workers), 100.0, network, rates) == seconds


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_bytes_are_those_of_the_encoding(bits, cluster):
    for columns in (50, 5000):
        n_scales, n_bytes = Qsgd.layout(Qsgd(bits), columns + 1)
        expected = HEADER_BYTES + 4 * n_scales + n_bytes
        assert expected - 1 <= cluster.bytes_of(columns, bits) <= expected
    assert cluster.bytes_of(50, 32) == 204.0


def test_fewer_bits_help_where_the_link_is_slow(cluster, rates):
    coded = rates._replace(encode=9e-9, decode=4e-9, add=3e-10)
    fit = cluster.Fit(1e6, 1_000_000, {"local": 1.0}, exchanges=100.0)
    seconds = {}
    for bandwidth in (1.25e8, 1.25e10):
        network = cluster.Network(bandwidth=bandwidth)
        for bits in (4, 32):
            own = fit._replace(bits=bits)
            seconds[bandwidth, bits] = cluster.simulate("local", own, 200, network, coded)
    assert seconds[1.25e8, 4] < 0.5 * seconds[1.25e8, 32]
    assert seconds[1.25e10, 4] > seconds[1.25e10, 32]
