"""Orders of the rows: all of them, seeded, runs kept together, nothing but the arguments."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgd.kernels.sampling import (
    shuffled_epochs,
    shuffled_orders,
    shuffled_rows,
    shuffled_runs,
)

pytestmark = pytest.mark.nojit

AS_THEY_LIE = np.empty(0, np.int32)
LENGTHS = st.integers(0, 200)
RUNS = st.integers(1, 40)
SEEDS = st.integers(0, 2**31 - 1)


@pytest.fixture(autouse=True)
def _arithmetic_modulo_2_to_the_64():
    """Without the compiler numpy warns of what is meant."""
    with np.errstate(over="ignore"):
        yield


ORDER, ORDER_OF_RUNS = [4, 6, 7, 0, 2, 1, 3, 8, 5], [0, 3, 4, 5, 6, 1, 2, 7, 8]


def rows(n, seed, dtype=np.int32):
    out = np.full(n, -1, dtype)
    shuffled_rows(seed, out)
    return out


def runs(n, run_length, seed, epoch, of=AS_THEY_LIE):
    out = np.full(n, -1, np.int32)
    shuffled_runs(of, run_length, seed, epoch, out)
    return out


@given(n=LENGTHS, seed=SEEDS)
def test_rows_are_a_permutation(n, seed):
    assert sorted(rows(n, seed)) == list(range(n))


@given(n=LENGTHS, run_length=RUNS, seed=SEEDS, epoch=st.integers(0, 10**6))
def test_runs_visit_every_row_once(n, run_length, seed, epoch):
    assert sorted(runs(n, run_length, seed, epoch)) == list(range(n))


@given(n=LENGTHS, run_length=RUNS, seed=SEEDS, epoch=st.integers(0, 100))
def test_neighbours_stay_together(n, run_length, seed, epoch):
    order = runs(n, run_length, seed, epoch)
    torn = np.count_nonzero(np.diff(order) != 1)
    assert torn <= n // run_length + 1  # runs, the first and the last of them perhaps short


@given(n=LENGTHS, run_length=RUNS, seed=SEEDS, epoch=st.integers(0, 100))
def test_runs_of_given_rows_are_those_rows_in_the_same_order(n, run_length, seed, epoch):
    """A copy of X in the once shuffled order, read as it lies, visits what gathering visits."""
    once = rows(n, seed)
    gathered = runs(n, run_length, seed, epoch, of=once)
    np.testing.assert_array_equal(gathered, once[runs(n, run_length, seed, epoch)])


@pytest.mark.parametrize("run_length", [1, 7])
def test_epochs_are_runs_of_one_epoch_after_the_other(run_length):
    orders = np.full((3, 50), -1, np.int32)
    shuffled_epochs(AS_THEY_LIE, run_length, 3, 2, orders)
    expected = [runs(50, run_length, 3, epoch) for epoch in (2, 3, 4)]
    np.testing.assert_array_equal(orders, expected)


def test_orders_are_what_they_were():
    """A model that is resumed, or fitted again, visits the rows that it did."""
    assert rows(9, 5).tolist() == ORDER
    assert runs(9, 2, 9, 4).tolist() == ORDER_OF_RUNS


@pytest.mark.skipif(not hasattr(shuffled_orders, "signatures"), reason="of compiled code")
def test_one_kernel_writes_every_order():
    rows(9, 5), runs(9, 2, 9, 4), runs(9, 1, 0, 0, of=rows(9, 5))
    kinds = [str(kind) for kinds in shuffled_orders.signatures for kind in kinds]
    assert kinds.count("array(int32, 2d, C)") == 1


def test_an_order_depends_on_its_arguments_only():
    first = rows(50, 3), runs(50, 7, 3, 2)
    rows(50, 4), runs(50, 7, 3, 5)
    np.testing.assert_array_equal(rows(50, 3), first[0])
    np.testing.assert_array_equal(runs(50, 7, 3, 2), first[1])


@pytest.mark.parametrize("changed", [(50, 8, 3, 2), (50, 7, 4, 2), (50, 7, 3, 3)])
def test_an_order_depends_on_each_argument(changed):
    assert not np.array_equal(runs(50, 7, 3, 2), runs(*changed))


def test_the_borders_of_runs_shift_between_epochs():
    starts = set()
    for epoch in range(200):
        order = runs(64, 8, 0, epoch)
        torn = np.flatnonzero(np.diff(order) != 1)
        starts |= {int(order[i + 1]) % 8 for i in torn if order[i + 1] > 0}
    assert starts == set(range(8))


def test_the_index_dtype_does_not_change_the_order():
    np.testing.assert_array_equal(rows(33, 1), rows(33, 1, np.int64))


@pytest.mark.parametrize("draw", [lambda s: rows(4, s), lambda s: runs(4, 1, s, 0)])
def test_every_permutation_is_as_likely(draw):
    counts = Counter(tuple(draw(seed).tolist()) for seed in range(2400))
    assert set(counts) == set(itertools.permutations(range(4)))
    assert all(50 <= count <= 150 for count in counts.values())  # 100 expected, five sigma


def test_epochs_draw_independently():
    """The row visited first in one epoch says nothing of the next one's."""
    firsts = [int(runs(5, 1, 0, epoch)[0]) for epoch in range(2000)]
    pairs = Counter(itertools.pairwise(firsts))
    assert len(pairs) == 25
    assert all(35 <= count <= 125 for count in pairs.values())  # 80 expected, five sigma


@pytest.mark.parametrize("run_length", [1, 16, 100, 1000])
def test_runs_as_long_as_the_data_are_the_data_or_two_parts_of_it(run_length):
    order = runs(101, run_length, 5, 1)
    torn = np.count_nonzero(np.diff(order) != 1)
    assert torn <= 101 // run_length + 1
