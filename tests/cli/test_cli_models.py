"""Short names, ``--set``, what learns from chunks, and the small commands."""

import math
import os
import sys
import types

import numpy as np
import pytest

from fastgd import cli, linear_model
from fastgd._readers.errors import Misuse, UserError
from fastgd._readers.layout import Chunk, Column, Layout
from fastgd._readers.summary import Summary
from fastgd.cli import _bench, _models
from fastgd.cli._names import CLASSIFICATION, MODELS
from fastgd.kernels._jit import _places
from fastgd.losses import Quantile, Tweedie

WITHOUT_A_NAME = {  # a table has one target, and functions are no models
    *("MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV"),
    *("enet_path", "lasso_path"),
}


def test_each_estimator_has_a_short_name():
    named = {model.estimator for model in MODELS.values() if not model.is_network}
    assert named == set(linear_model.__all__) - WITHOUT_A_NAME


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1e-3", 1e-3),
        ("inf", math.inf),
        ("true", True),
        ("False", False),
        ("none", None),
        ("l1", "l1"),
        ("{'a': 2.0}", {"a": 2.0}),
        ("(0.5, 2)", (0.5, 2)),
        ("__import__('os')", "__import__('os')"),
    ],
)
def test_values_are_literals_or_words(text, value):
    assert _models.params_of([f"name={text}"]) == {"name": value}


def summary(y, classifies=False):
    layout = Layout("dense", target=Column("y", "number", "float64"), n_features=1)
    made = Summary(None, layout, classifies=classifies)
    for first in range(0, len(y), 100):
        part = np.array(y[first : first + 100], float)
        made.add(Chunk(np.zeros((len(part), 1)), part, first))
    return made


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("logistic", {"C": 0.1}, {"loss": "log_loss", "penalty": "l2", "alpha": 10 / 250}),
        ("logistic", {"C": math.inf}, {"penalty": None}),
        ("logistic", {"l1_ratio": 0.3}, {"penalty": "elasticnet", "l1_ratio": 0.3}),
        ("softmax", {"l1_ratio": 1.0}, {"penalty": "l1", "alpha": 1 / 250}),
        ("svc", {"loss": "hinge", "C": 2.0}, {"loss": "hinge", "alpha": 1 / 500}),
        ("svr", {"epsilon": 0.5}, {"loss": "epsilon_insensitive", "epsilon": 0.5}),
        ("linear", {}, {"loss": "squared_error", "penalty": None}),
        ("ridge", {"alpha": 5.0}, {"penalty": "l2", "alpha": 5 / 250}),
        ("lasso", {"alpha": 0.2}, {"penalty": "l1", "alpha": 0.2}),
        ("ridge-classifier", {"alpha": 5.0}, {"loss": "squared_error", "alpha": 5 / 250}),
        ("elasticnet", {"l1_ratio": 0.4}, {"penalty": "elasticnet", "l1_ratio": 0.4}),
        ("quantile", {"quantile": 0.9}, {"loss": Quantile(0.9), "penalty": "l1", "alpha": 1.0}),
        ("poisson", {"alpha": 0.0}, {"loss": "poisson", "penalty": None}),
        ("gamma", {}, {"loss": "gamma", "penalty": "l2", "alpha": 1.0}),
        ("tweedie", {"power": 1.5}, {"loss": Tweedie(1.5), "alpha": 1.0}),
        ("tweedie", {}, {"loss": "squared_error", "alpha": 1.0}),
        ("ridge", {"batch_size": 8, "fit_intercept": False}, {"batch_size": 8}),
        ("sgd-regressor", {"loss": "huber"}, {"loss": "huber", "optimizer": "sgd"}),
    ],
)
def test_what_learns_from_chunks_minimises_the_same(name, given, expected):
    y = np.arange(250.0) % 2
    found = summary(y, classifies=MODELS[name].task == CLASSIFICATION)
    _models.check_params_for_chunks(name, given)
    params = _models.chunk_learner(name, given, 0, 4, found).get_params()
    assert {word: params[word] for word in expected} == expected
    assert params["fit_intercept"] == given.get("fit_intercept", True)
    if name != "sgd-regressor":
        rate = params["learning_rate"].bind(
            1.0, -(-250 // params["batch_size"]), params["max_iter"]
        )
        assert rate.length == 4 * -(-250 // params["batch_size"])
        assert (params["max_iter"], params["tol"]) == (4, None)


@pytest.mark.parametrize(
    ("name", "given", "rate"),
    [
        ("sgd-classifier", {}, "auto"),
        ("sgd-regressor", {"loss": "huber", "max_iter": 2}, "auto"),
        ("sgd-classifier", {"learning_rate": "optimal"}, "optimal"),
        ("sgd-classifier", {"optimizer": "adam"}, "optimal"),
        ("sgd-regressor", {"eta0": 0.1}, "invscaling"),
        ("sgd-regressor", {"device": "cuda"}, "invscaling"),
        ("one-class", {}, "optimal"),
    ],
)
def test_sgd_models_need_no_rate_unless_steps_are_asked_for(name, given, rate):
    found = summary(np.arange(10.0) % 2, classifies=MODELS[name].task == CLASSIFICATION)
    assert _models.estimator(name, given, 0).learning_rate == rate
    assert _models.chunk_learner(name, given, 0, 4, found).learning_rate == rate


def test_rates_go_with_the_scale_of_the_targets():
    found = summary([10.0, 30.0] * 50)
    model = _models.chunk_learner("ridge", {}, 0, 1, found)
    assert model.learning_rate.eta0 == pytest.approx(10 * _models.ETA0)
    assert _models.chunk_learner("poisson", {}, 0, 1, found).learning_rate.eta0 == _models.ETA0
    assert _models.start_of("ridge", model, found) == [20.0]
    assert _models.start_of("sgd-regressor", model, found) is None


def test_balanced_classes_are_counted():
    found = summary([0.0, 0.0, 0.0, 1.0], classifies=True)
    given = {"class_weight": "balanced"}
    model = _models.chunk_learner("logistic", given, 0, 1, found)
    assert model.class_weight == {0.0: 4 / 6, 1.0: 2.0}


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("tweedie", {"power": -1}, "power < 0 is not trained in chunks"),
        ("ridge", {"eta0": -1.0}, "eta0"),
        ("ridge", {"batch_size": "many"}, "batch_size"),
        ("ridge", {"alpha": -1.0}, "alpha"),
        ("lasso-cv", {}, "strength of its penalty by all rows.* --model lasso"),
    ],
)
def test_chunks_refuse_what_they_cannot(name, given, said):
    with pytest.raises(Misuse, match=said):
        _models.check_params_for_chunks(name, given)


def test_a_log_link_needs_a_mean_above_zero():
    found = summary([0.0, 0.0])
    model = _models.chunk_learner("poisson", {}, 0, 1, found)
    with pytest.raises(UserError, match="poisson needs targets with a mean above 0, got 0"):
        _models.start_of("poisson", model, found)


# -- the small commands --------------------------------------------------------------------------


EVERYTHING = {
    **{"progress": True, "dtypes": ("float32", "float64"), "sparse": True},
    **{"only": None, "n_jobs": os.cpu_count()},
}


@pytest.fixture
def warmups(monkeypatch):
    """Return the calls of what compiles, which is replaced."""
    calls = []
    module = types.ModuleType("fastgd._runtime.warmup")
    module.warmup = lambda **wanted: calls.append(wanted) or 12
    module.compile_for = lambda *places, **_: calls.append(places) or 3
    module.levels_here = lambda: [_places.Level("high", set()), _places.Level("low", set())]
    monkeypatch.setitem(sys.modules, "fastgd._runtime.warmup", module)
    return calls


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ([], {}),
        (
            ["--quiet", "--dtype", "float64", "--no-sparse", "--only", "Ridge", "--jobs", "3"],
            {
                **{"progress": False, "dtypes": ("float64",), "sparse": False},
                **{"only": ["Ridge"], "n_jobs": 3},
            },
        ),
    ],
)
def test_warmup_compiles_what_is_asked_for(given, asked, warmups, capsys):
    assert cli.main(["warmup", *given]) == 0
    assert warmups == [{**EVERYTHING, **asked}]
    assert capsys.readouterr().out == ("" if "--quiet" in given else "12 kernels compiled\n")


@pytest.mark.parametrize(
    ("given", "levels"),
    [([], ["high", "low"]), (["--cpu", "low", "--cpu", "other"], ["low", "other"])],
)
def test_warmup_compiles_for_other_machines(given, levels, warmups, capsys):
    assert cli.main(["warmup", "--into", "code", *given]) == 0
    assert warmups == [(level, "code") for level in levels]
    said = "".join(f"3 kernels compiled for {level}, in code\n" for level in levels)
    assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--cpu", "low"], "--cpu goes with --into"),
        (["--only", "Rigde"], "only must hold names of estimators, got Rigde"),
        (["--into", "code", "--cpu", "z80"], "the level of processors must be"),
    ],
)
def test_warmup_says_what_it_cannot_do(given, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["warmup", *given]) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh", "fish"])
def test_completion_knows_the_commands(shell, capsys):
    pytest.importorskip("shtab")
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "evaluate" in script
    assert "chunk-rows" in script or "chunk_rows" in script


def test_completion_without_its_package_is_reported(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert cli.main(["completion", "bash"]) == 1
    assert 'pip install "fastgd[cli]"' in capsys.readouterr().err


def test_bench_prints_both_libraries(monkeypatch, capsys, rng):
    X = rng.normal(size=(50, 3))
    contest = _bench.Contest("ridge", "noise", X, X[:, 0], {"alpha": 2.0})
    monkeypatch.setattr(_bench, "_known_data", lambda _: iter([contest]))
    assert cli.main(["bench", "--repeats", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    ours, theirs = (line.split() for line in lines[2:4])
    assert ours[:3] == ["ridge", "fastgd", "noise"]
    assert theirs[:3] == ["ridge", "sklearn", "noise"]
    assert ours[-2:] == theirs[-2:], "loss and score"
    assert max(map(len, lines)) <= 80
    assert "the median of 2 fits" in "\n".join(lines)


def test_bench_has_both_libraries_take_the_same_steps():
    for params in ({}, {"eta0": 0.1}):
        contest = _bench.Contest("sgd-classifier", "none", None, None, params)
        rates = {estimator.learning_rate for _, estimator in _bench._both(contest, 0)}
        assert rates == {"optimal"}


def test_bench_takes_data_of_ones_own(tmp_path, capsys, rng):
    X = rng.normal(size=(80, 3))
    path = tmp_path / "own.npz"
    np.savez(path, X=X, y=(X[:, 0] > 0).astype(int))
    assert cli.main(["bench", str(path), "--model", "logistic", "--repeats", "1"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if "own.npz  " in line]
    assert len(rows) == 2
    assert rows[0].split()[-1] == rows[1].split()[-1], "accuracy"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("bench --model ridge", "--model and --set go with DATA"),
        ("bench x.npz", "--model is needed"),
        ("bench x.npz --model one-class", "one-class has no score"),
    ],
)
def test_bench_says_what_it_needs(given, said, capsys):
    assert cli.main(given.split()) == 2
    assert said in capsys.readouterr().err


def test_an_interruption_is_no_traceback(monkeypatch, capsys):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_bench, "run", interrupt)
    assert cli.main(["bench"]) == 130
    assert capsys.readouterr().err == "fastgd bench: interrupted\n"


@pytest.mark.parametrize(
    "given",
    [
        "train x.csv --model tree -o m",
        "train x.csv --model ridge -o m --chunk-rows 0",
        "train x.csv --model ridge -o m --validation 2",
        "train x.csv --model ridge -o m --seed -1",
        "predict m",
        "predict m x.csv --outptu p.csv",
    ],
)
def test_arguments_that_argparse_refuses(given, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(given.split())
    said = capsys.readouterr().err
    assert said.startswith(f"fastgd {given.split()[0]}: error: ")
    assert said.count("\n") == 1
    assert f"(fastgd {given.split()[0]} --help lists all arguments)" in said
