"""The parameter ``device`` where there is no device, and arrays that say they lie on one."""

import importlib.util
import json
import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numba import config
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

import fastgd
from fastgd import kernels, layers, neural_network
from fastgd._engines.cuda_layers import lacks
from fastgd._networks.assembly import Assembly
from fastgd._runtime import devices
from fastgd.kernels.layers import Sizes
from tests.cuda import cases
from tests.tables import ESTIMATOR_CASES, EstimatorCase

SOLVED = (
    *("LogisticRegression", "SoftmaxRegression", "LinearRegression", "Ridge", "Lasso"),
    *("ElasticNet", "PoissonRegressor", "GammaRegressor", "TweedieRegressor"),
    *("LinearSVC", "LinearSVR", "HuberRegressor", "QuantileRegressor", "RidgeClassifier"),
)
TRAINED = (
    *("SGDClassifier", "SGDRegressor", "SGDOneClassSVM", "Perceptron"),
    *("PassiveAggressiveClassifier", "PassiveAggressiveRegressor"),
    *("MLPClassifier", "MLPRegressor"),
)
GIVEN = cases.table(n=20, d=3)


def make(name, **options):
    return getattr(fastgd, name, getattr(neural_network, name, None))(**options)


@pytest.fixture
def _without_numba_cuda(monkeypatch):
    if config.ENABLE_CUDASIM:
        pytest.skip("the simulator needs no device")
    monkeypatch.setattr(devices, "find_spec", lambda _: None)


@pytest.mark.parametrize("name", [*SOLVED, *TRAINED])
def test_every_estimator_has_a_device(name):
    model = make(name)
    assert model.get_params()["device"] == "auto"
    model.set_params(device="gpu")
    with pytest.raises(InvalidParameterError, match=r"'device'.*'cuda'.*Got 'gpu' instead"):
        model.fit(GIVEN.X, GIVEN.labels)


@pytest.mark.nojit
@pytest.mark.parametrize("name", [*SOLVED, *TRAINED])
def test_models_that_were_pickled_without_a_device_have_the_default(name):
    model = make(name)
    del model.device
    again = pickle.loads(pickle.dumps(model))
    assert again.get_params() == make(name).get_params()
    assert repr(clone(again)) == repr(make(name))


@pytest.mark.usefixtures("_without_numba_cuda")
@pytest.mark.parametrize("name", [*SOLVED, *TRAINED])
def test_without_numba_cuda_it_says_what_to_install(name):
    model = make(name, device="cuda")
    with pytest.raises(ImportError, match=r'numba-cuda: pip install "fastgd\[cuda12\]"') as caught:
        model.fit(GIVEN.X, np.abs(GIVEN.labels) + 1.0 if "Gamma" in name else GIVEN.labels)
    assert "its min and max take one argument only" in str(caught.value)
    assert not hasattr(model, "coef_")
    assert not hasattr(model, "n_features_in_")


@pytest.mark.skipif(
    config.ENABLE_CUDASIM or importlib.util.find_spec("numba_cuda") is None,
    reason="needs numba-cuda, and not its simulator",
)
def test_without_a_device_it_says_so():
    from fastgd.kernels.cuda import memory

    if memory.is_available():
        pytest.skip("there is a device")
    with pytest.raises(RuntimeError, match="found no CUDA device"):
        fastgd.Ridge(device="cuda").fit(GIVEN.X, GIVEN.numbers)


REFUSED = [
    (fastgd.LogisticRegression(solver="saga"), "solver='saga'"),
    (fastgd.LinearSVC(solver="sdca"), "solver='sdca', which looks at one row"),
    (fastgd.LinearSVC(multi_class="crammer_singer"), "multi_class='crammer_singer', whose solver"),
]


@pytest.mark.parametrize(("model", "what"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_of_an_estimator_has_no_form_is_named(model, what):
    with pytest.raises(ValueError, match=f"is not there yet for {what}"):
        model.set_params(device="cuda").fit(GIVEN.X, GIVEN.labels)


def test_partitions_are_refused_rather_than_left_on_the_processor():
    class Partitions:
        def to_delayed(self):
            raise AssertionError

    model = fastgd.LogisticRegression(device="cuda")
    with pytest.raises(ValueError, match="is not there yet for a cluster's partitions"):
        model.fit(Partitions())
    assert not hasattr(model, "coef_")


class OfAll(NamedTuple):
    """A user's own optimizer, to which the whole gradient matters."""

    n_slots = 0
    eta0 = 0.1

    @staticmethod
    def step_coefficients(*_):
        return np.zeros((1, 4))

    @staticmethod
    def update(*_):
        return 0.0, 0.0

    @staticmethod
    def step_of_all(*_):
        return 0.0


class OfNoLayer(NamedTuple):
    """A user's own layer, that copies."""

    @staticmethod
    def sizes(layer, shape):  # noqa: ARG004
        return Sizes(shape)


def test_steps_and_layers_of_a_users_own_are_named():
    with pytest.raises(ValueError, match=r"for optimizer=OfAll.*, a step of all coefficients of"):
        fastgd.SGDRegressor(optimizer=OfAll(), device="cuda").fit(GIVEN.X, GIVEN.numbers)
    placed = Assembly([OfNoLayer()], (3,))
    assert lacks(placed) == "layers[0], OfNoLayer"
    assert lacks(Assembly([layers.Dense(2)], (3,))) is None


@pytest.mark.parametrize("weight", [None, GIVEN.weight])
def test_the_processor_copies_arrays_from_a_device(cupy, weight):
    X, y = cupy.asarray(GIVEN.X), cupy.asarray(GIVEN.numbers)
    own = None if weight is None else cupy.asarray(weight)
    there = fastgd.Ridge(device="cpu").fit(X, y, sample_weight=own)
    here = fastgd.Ridge().fit(GIVEN.X, GIVEN.numbers, sample_weight=weight)
    np.testing.assert_array_equal(there.coef_, here.coef_)
    predicted = there.predict(X)
    assert type(predicted) is cupy.ndarray
    np.testing.assert_allclose(predicted.get(), here.predict(GIVEN.X), rtol=1e-12)


def test_a_mixture_of_devices_is_brought_together(cupy):
    here = fastgd.Ridge().fit(GIVEN.X, GIVEN.numbers)
    for X, y in ((cupy.asarray(GIVEN.X), GIVEN.numbers), (GIVEN.X, cupy.asarray(GIVEN.numbers))):
        there = fastgd.Ridge(device="cpu").fit(X, y)
        np.testing.assert_array_equal(there.coef_, here.coef_)


FEW = (
    "LogisticRegression",
    "Ridge",
    "PoissonRegressor",
    "SGDRegressor",
    "RidgeCV",
    "MLPClassifier",
)
SCORED = [
    pytest.param(case, marks=[] if case.name in FEW else pytest.mark.full, id=case.name)
    for case in (
        *ESTIMATOR_CASES,
        EstimatorCase("MLPClassifier", neural_network.MLPClassifier, {"max_iter": 2, "tol": None}),
        EstimatorCase("MLPRegressor", neural_network.MLPRegressor, {"max_iter": 2, "tol": None}),
    )
    if hasattr(case.kind, "score")
]


@pytest.mark.parametrize("case", SCORED)
def test_scores_take_arrays_from_a_device(case, cupy):
    y = case.targets(GIVEN.labels + 1)
    model = case.kind(**case.kwargs)
    if "device" in model.get_params():
        model.set_params(device="cpu")
    here = model.fit(GIVEN.X, y)
    for weight in (None, GIVEN.weight):
        expected = here.score(GIVEN.X, y, sample_weight=weight)
        there = None if weight is None else cupy.asarray(weight)
        given = cupy.asarray(GIVEN.X), cupy.asarray(y)
        assert here.score(*given, sample_weight=there) == expected
        assert here.score(given[0], y, sample_weight=weight) == expected
        assert here.score(GIVEN.X, given[1], sample_weight=there) == expected


def test_a_scorer_of_the_users_own_is_given_rows_of_the_host(cupy):
    def largest(model, X, y):
        return float(np.abs(X[model.predict(X) == y]).max())

    y = GIVEN.labels
    here = fastgd.LogisticRegressionCV(Cs=2, cv=2, scoring=largest).fit(GIVEN.X, y)
    assert here.score(cupy.asarray(GIVEN.X), cupy.asarray(y)) == here.score(GIVEN.X, y)


def test_labels_that_are_words_come_back_as_they_are(cupy):
    words = np.array(["no", "yes"])[GIVEN.labels]
    model = fastgd.LogisticRegression(device="cpu").fit(cupy.asarray(GIVEN.X), words)
    assert model.predict(cupy.asarray(GIVEN.X)).dtype.kind == "U"


def test_auto_copies_for_what_has_no_form_and_says_so(cupy):
    there = fastgd.LogisticRegression(solver="saga")
    with pytest.warns(UserWarning, match="was copied to the processor: solver='saga', which"):
        there.fit(cupy.asarray(GIVEN.X), GIVEN.labels)
    here = fastgd.LogisticRegression(solver="saga").fit(GIVEN.X, GIVEN.labels)
    np.testing.assert_array_equal(there.coef_, here.coef_)


@pytest.mark.usefixtures("_without_numba_cuda")
def test_arrays_of_numpy_stay_on_the_processor():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fastgd.Ridge().fit(GIVEN.X, GIVEN.numbers)
    assert type(model.predict(GIVEN.X)) is np.ndarray


def test_an_array_that_cannot_be_copied_is_named():
    class Strange:
        __cuda_array_interface__ = None

    with pytest.raises(TypeError, match=r"Strange lies on a CUDA device and cannot be copied"):
        devices.to_host(Strange())


CHILD = """
import json, os, sys, time
path, done = sys.argv[2], int(sys.argv[4])

def tell(**words):
    with open(path, "a") as file:
        file.write(json.dumps(words) + "\\n")

tell(about={"device": "none"})
for count in range(done + 1, 5):
    item = [f"task {count}", "somebody"]
    tell(begins=count, item=item, most=0.0)
    if count == 2:
        time.sleep(60)
    if count == 3:
        os._exit(7)
    row = dict(task=item[0], contender=item[1], first=1.0, seconds=0.5, figure=float("inf"))
    tell(ends=count, row=row)
"""


def test_what_does_not_end_is_one_row_of_the_benchmark(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import devices as benchmark

    monkeypatch.setattr(benchmark, "GRACE", 1.0)
    watch = benchmark.Watch(str(tmp_path / "found"), [sys.executable, "-c", CHILD])
    watch.run()
    assert [row.task for row in watch.rows] == [f"task {count}" for count in range(1, 5)]
    told = ["", "did not end within its time", "the process ended with 7", ""]
    assert [row.note for row in watch.rows] == told
    assert [row.seconds == 0.5 for row in watch.rows] == [True, False, False, True]
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["about"] == {"device": "none"}
    assert [row["seconds"] for row in found["rows"]] == [0.5, None, None, 0.5]
    assert found["rows"][0]["figure"] is None
    assert "| task 4 | somebody | 1 | 0.5 | inf |  |" in (tmp_path / "found.md").read_text()


def test_a_benchmark_that_cannot_begin_ends(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import devices as benchmark

    watch = benchmark.Watch(str(tmp_path / "found"), [sys.executable, "-c", "raise SystemExit(5)"])
    watch.run()
    assert [row.note for row in watch.rows] == ["a child ended with 5; its errors are above"]


def test_what_devices_run_can_be_imported_where_there_is_none():
    """In the simulator, which comes with numba: a fault of an import is seen on every machine."""
    names = sorted(path.stem for path in Path(kernels.__path__[0], "cuda").glob("[!_]*.py"))
    lines = "\n".join(f"import fastgd.kernels.cuda.{name}" for name in names)
    switches = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", lines], check=True, env=os.environ | switches)
