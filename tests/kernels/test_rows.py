"""Products with rows: dense and CSR, in place or through an order, against numpy's."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from fastgd._data.validation import as_rows, frozen
from fastgd.kernels import rows as of
from fastgd.kernels._jit import helper
from fastgd.kernels.objective import add_slopes_of_row, raw_of_row
from fastgd.kernels.rows import CSR
from tests.tables import over_product

LAYOUTS = ["dense", "csr32", "csr64"]
over_layouts = pytest.mark.parametrize("layout", LAYOUTS)
over_types = over_product(
    lambda layout, dtype: (dtype is np.float32) == (layout == "csr32"),
    layout=LAYOUTS,
    dtype=[np.float32, np.float64],
)
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-13}


@helper
def one_output(rows, order, start, stop, params, delta, raw, gradient):
    of.margins(rows, order, start, stop, params, raw)
    of.accumulate(rows, order, start, stop, delta, gradient)
    for position in range(start, stop):
        i = of.row_at(order, position)
        raw[position - start] += of.row_dot(rows, i, params)  # twice the margin, then


@helper
def many_outputs(rows, order, start, stop, params, delta, raw, gradient, block, product):
    of.margins_multi(rows, order, start, stop, params, raw, block)
    of.accumulate_multi(rows, order, start, stop, delta, gradient, block, product)


@helper
def rows_of_many_outputs(rows, params, delta, raw, gradient):
    for i in range(raw.shape[0]):
        raw_of_row(rows, i, params, raw[i])
        add_slopes_of_row(rows, i, delta[i], gradient)


@helper
def written_out(rows, out):
    for i in range(out.shape[0]):
        begin, end = of.entries(rows, i)
        for k in range(begin, end):
            j, x = of.entry(rows, i, k)
            out[i, np.int64(j)] += x


def laid_out(X, layout):
    """Return rows of X, read-only as kernels get them."""
    if layout == "dense":
        return as_rows(X)
    matrix = sp.csr_array(X)
    index = np.int32 if layout == "csr32" else np.int64
    indices, indptr = matrix.indices.astype(index), matrix.indptr.astype(index)
    return CSR(frozen(matrix.data), frozen(indices), frozen(indptr))


@st.composite
def problems(draw, n_outputs=None):
    """Draw X with some empty rows and columns, an order (perhaps none), a batch of it."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, d = draw(st.integers(1, 14)), draw(st.integers(1, 9))
    X = rng.normal(size=(n, d)) * (rng.random((n, d)) < draw(st.sampled_from([0.0, 0.4, 1.0])))
    order = rng.integers(n, size=draw(st.sampled_from([0, n]))).astype(np.int32)
    start = draw(st.integers(0, n))
    stop = draw(st.integers(start, n))
    shape = () if n_outputs is None else (draw(st.integers(1, n_outputs)),)
    params = rng.normal(size=(d + 1, *shape))
    delta = rng.normal(size=(stop - start, *shape))
    return X, order, start, stop, params, delta


def visited(X, order, start, stop):
    return (X[order] if order.size > 0 else X)[start:stop]


@pytest.mark.nojit
@over_types
@given(problem=problems())
def test_one_output(layout, dtype, problem):
    X, order, start, stop, params, delta = problem
    batch = visited(X, order, start, stop)
    raw, gradient = np.full(stop - start, 7.0, dtype), np.ones(params.shape, dtype)
    typed = (params.astype(dtype), delta.astype(dtype), raw, gradient)
    one_output(laid_out(X.astype(dtype), layout), order, start, stop, *typed)
    exact = {"rtol": TOLERANCE[dtype], "atol": 10 * TOLERANCE[dtype]}
    np.testing.assert_allclose(raw, 2 * batch @ params[:-1], **exact)
    np.testing.assert_allclose(gradient[:-1], 1 + batch.T @ delta, **exact)
    assert gradient[-1] == 1  # the intercept's is none of the rows' business


@pytest.mark.nojit
@over_types
@given(problem=problems(n_outputs=4), spare_rows=st.integers(0, 5))
def test_many_outputs(layout, dtype, problem, spare_rows):
    X, order, start, stop, params, delta = problem
    batch = visited(X, order, start, stop)
    raw, gradient = np.full(delta.shape, 7.0, dtype), np.ones(params.shape, dtype)
    block = np.empty((stop - start + spare_rows, X.shape[1] if layout == "dense" else 0), dtype)
    product = np.empty((X.shape[1], delta.shape[1]), dtype)
    typed = (params.astype(dtype), delta.astype(dtype), raw, gradient, block, product)
    many_outputs(laid_out(X.astype(dtype), layout), order, start, stop, *typed)
    exact = {"rtol": TOLERANCE[dtype], "atol": 10 * TOLERANCE[dtype]}
    np.testing.assert_allclose(raw, batch @ params[:-1], **exact)
    np.testing.assert_allclose(gradient[:-1], 1 + batch.T @ delta, **exact)
    assert (gradient[-1] == 1).all()


@pytest.mark.parametrize("order", ["none", "runs", "random"])
@pytest.mark.parametrize("width", [30, 230, 300])  # four at a time; one, fetched; one, too wide
def test_rows_that_are_fetched_ahead(width, order, rng):
    n = 1 + (1 << 20) // (8 * width)  # more than lies in cache
    X, params = rng.normal(size=(n, width)), rng.normal(size=width + 1)
    rows = {
        "none": np.empty(0, np.int64),
        "runs": np.roll(np.arange(n), 7),
        "random": rng.permutation(n),
    }
    picked = rows[order]
    raw, gradient, delta = np.empty(n), np.zeros(width + 1), rng.normal(size=n)
    one_output(laid_out(X, "dense"), picked, 0, n, params, delta, raw, gradient)
    batch = visited(X, picked, 0, n)
    np.testing.assert_allclose(raw, 2 * batch @ params[:-1], rtol=1e-12, atol=1e-11)
    np.testing.assert_allclose(gradient[:-1], batch.T @ delta, rtol=1e-12, atol=1e-10)


def test_no_references_are_counted(rng):
    """An atomic addition or more for each array, in loops over rows, is what that would cost."""
    X = rng.normal(size=(4, 3))
    batch = (np.empty(0, np.int64), 0, 4, np.zeros(4), np.zeros(4), np.zeros(4), np.zeros(4))
    one_output(laid_out(X, "dense"), *batch)
    if hasattr(one_output, "inspect_llvm"):  # absent without the compiler
        compiled = one_output._compile_for_args()  # what a call from Python runs
        code = "".join(compiled.inspect_llvm().values())
        assert "fmul" in code  # it is the code, then
        assert "NRT_incref" not in code


@pytest.mark.nojit
@over_layouts
def test_entries_are_the_matrix(layout, rng):
    X = rng.normal(size=(5, 4)) * (rng.random((5, 4)) < 0.5)
    out = np.zeros_like(X)
    written_out(laid_out(X, layout), out)
    np.testing.assert_array_equal(out, X)


def test_arrays_go_to_the_kernels_without_a_copy():
    X = np.arange(6.0).reshape(2, 3)
    assert np.shares_memory(as_rows(X).values, X)
    assert X.flags.writeable  # a view is frozen, not the user's array
    matrix = sp.csr_array(X)
    assert np.shares_memory(as_rows(matrix).data, matrix.data)
    assert not as_rows(matrix).indices.flags.writeable


def test_a_memory_map_runs_the_kernel_of_an_array(tmp_path):
    X = np.ones((6, 3))
    np.save(tmp_path / "X.npy", X)
    arguments = (np.empty(0, np.int32), 0, 6, np.ones(4), np.ones(6))
    for source in (X, np.load(tmp_path / "X.npy", mmap_mode="r")):
        raw, gradient = np.zeros(6), np.zeros(4)
        one_output(as_rows(source), *arguments, raw, gradient)
        np.testing.assert_array_equal(raw, 6)
        compiled = one_output.signatures if source is X else compiled  # noqa: F821
    assert one_output.signatures == compiled


@over_layouts
def test_products_of_rows_with_an_intercept_last(layout, rng):
    X = rng.normal(size=(6, 4)) * (rng.random((6, 4)) < 0.6)
    params, delta = rng.normal(size=(5, 3)), rng.normal(size=(6, 3))
    raw, gradient = np.empty((6, 3)), rng.normal(size=(5, 3))
    with_ones = np.column_stack([X, np.ones(6)])
    expected = gradient + with_ones.T @ delta
    rows_of_many_outputs(laid_out(X, layout), params, delta, raw, gradient)
    np.testing.assert_allclose(raw, with_ones @ params, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(gradient, expected, rtol=1e-13, atol=1e-13)
