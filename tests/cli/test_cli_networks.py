"""Networks from the command line: which one, in which units, and what their files hold."""

import io
import json
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.preprocessing import StandardScaler

from fastgd import cli
from fastgd._readers.errors import UserError
from fastgd.cli import _archive, _train
from fastgd.cli._parser import parser

N_ROWS = 60


@pytest.fixture
def data(rng, tmp_path):
    """Write a table with a target of words, one of few and one of many numbers."""
    X = rng.normal(size=(N_ROWS, 2))
    y = 1e5 + 2e4 * X[:, 0]
    columns = [*X.T, y, (X[:, 0] > 0).astype(int), np.where(X[:, 0] > 0, "high", "low")]
    lines = [
        "a,b,amount,count,word",
        *(",".join(map(str, row)) for row in zip(*columns, strict=True)),
    ]
    (tmp_path / "data.csv").write_text("\n".join(lines))
    return tmp_path


def train(folder, target, *words, model="mlp"):
    others = [w for name in {"amount", "count", "word"} - {target} for w in ("--drop", name)]
    line = ["train", str(folder / "data.csv"), "--model", model, "--target", target, *others]
    return cli.main([*line, "-o", str(folder / "model.fastgd"), "--seed", "0", *words])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("target", "estimator"),
    [("word", "MLPClassifier"), ("count", "MLPClassifier"), ("amount", "MLPRegressor")],
)
def test_the_target_chooses_the_network(target, estimator, data, capsys):
    assert train(data, target, "--hidden", "6,4", "--epochs", "3") == 0
    assert f"{estimator} is fitted" in capsys.readouterr().err
    card, pipeline = _archive.load(data / "model.fastgd")
    assert card.estimator == type(pipeline["model"]).__name__ == estimator
    assert [W.shape[1] for W in pipeline["model"].coefs_[:2]] == [6, 4]
    path, rows = str(data / "model.fastgd"), str(data / "data.csv")
    for command in (["predict", path, rows], ["evaluate", path, rows], ["info", path]):
        assert cli.main(command) == 0
    assert "hidden_layer_sizes=(6, 4)" in capsys.readouterr().out


def test_a_regressor_predicts_in_the_targets_own_unit(data, capsys):
    assert (
        train(
            data,
            "amount",
            "--hidden",
            "6,4",
            "--epochs",
            "60",
            "--set",
            "batch_size=5",
            "--set",
            "learning_rate_init=0.01",
            "--set",
            "tol=none",
        )
        == 0
    )
    assert cli.main(["evaluate", str(data / "model.fastgd"), str(data / "data.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.partition("{")[2].join("{ "))["R2"] > 0.9


def test_a_unit_is_put_in_and_back():
    class Model:
        pass

    model, y = Model(), np.array([10.0, 30.0])
    model.coefs_, model.intercepts_ = [np.ones((2, 1)), np.full((2, 1), 0.5)], [np.ones(1)] * 2
    unit = _train._unit_of(y)
    assert tuple(unit) == (20.0, 10.0)
    np.testing.assert_array_equal(unit.scaled(y), [-1, 1])
    raw = unit.scaled(y)
    predicted = raw * model.coefs_[-1][0]
    unit.put_back(model)
    np.testing.assert_allclose(
        raw * model.coefs_[-1][0] + model.intercepts_[-1],
        (predicted + 1.0) * unit.deviation + unit.mean,
    )
    unit.put_in(model)
    np.testing.assert_allclose(model.coefs_[-1], 0.5)
    np.testing.assert_allclose(model.intercepts_[-1], 1.0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_regressor_goes_on_from_where_it_was(data):
    path, rows = data / "model.fastgd", str(data / "data.csv")
    assert train(data, "amount", "--hidden", "6,4", "--epochs", "3") == 0
    before = [np.copy(W) for W in _archive.load(path)[1]["model"].coefs_]
    line = ["train", rows, "--resume", str(path), "--epochs", "3", "-o", str(path)]
    assert cli.main([*line, "--set", "learning_rate_init=1e-12"]) == 0
    for W, old in zip(_archive.load(path)[1]["model"].coefs_, before, strict=True):
        np.testing.assert_allclose(W, old, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("loss", ["squared_error", "huber"])
def test_a_search_fits_regressors_as_a_training_does(loss, data):
    line = ["train", str(data / "data.csv"), "--target", "amount", "--model", "mlp-regressor"]
    args = parser().parse_args([*line, "--set", f"loss={loss}", "-o", "m.fastgd"])
    found = _train.Session(args).candidate({"hidden_layer_sizes": (6, 4)})
    if loss == "huber":  # a loss whose parameters have the targets' unit
        assert found.hidden_layer_sizes == (6, 4)
    else:
        assert found.regressor.hidden_layer_sizes == (6, 4)
        assert isinstance(found.transformer, StandardScaler)


@pytest.mark.parametrize(
    ("sizes", "said"), [("6,0", "whole number from 1 on"), ("many", "list of whole numbers")]
)
def test_sizes_of_hidden_layers_are_whole_numbers(sizes, said, data, capsys):
    with pytest.raises(SystemExit):
        train(data, "word", "--hidden", sizes)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--chunk-rows", "20"], "Networks are trained on rows in memory"),
        (["--set", "dropout=2"], "dropout"),
    ],
)
def test_what_a_network_cannot_be_told(words, said, data, capsys):
    assert train(data, "word", *words) == 2
    assert said in capsys.readouterr().err


def test_the_networks_parameters_are_those_that_the_target_asks_for(data, capsys):
    """A loss of numbers is no fault of the network of classes, which is not to be fitted."""
    assert train(data, "amount", "--set", "loss=absolute_error", "--set", "dropout=2") == 2
    said = capsys.readouterr().err
    assert "dropout" in said
    assert "loss" not in said


def test_hidden_layers_are_for_networks(data, capsys):
    assert train(data, "word", "--hidden", "6", model="logistic") == 2
    assert "logistic has no hidden layers; mlp has" in capsys.readouterr().err


def changed(path, change):
    """Rewrite a model file after a change of its network."""
    with zipfile.ZipFile(path) as archive:
        card, content = archive.read(_archive.CARD), archive.read(_archive.PIPELINE)
    trusted = sorted(set().union(*_archive.trusted_types().values()))
    pipeline = skops.io.loads(content, trusted=trusted)
    change(pipeline["model"])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(_archive.CARD, card)
        archive.writestr(_archive.PIPELINE, skops.io.dumps(pipeline))


def _shorter(model):
    model._params = model._params[:-1].copy()
    model._progress.averaged = 1  # so that parameters stay as they are


def _wider(model):
    model.n_features_in_ += 1


def _other_layers(model):
    model._network.layers = [layer for layer in model._network.layers if not isinstance(layer, str)]
    model._network.layers[0] = model._network.layers[0]._replace(units=60_000)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_file_whose_arrays_do_not_go_with_its_layers_is_refused(data):
    assert train(data, "word", "--hidden", "6,4", "--epochs", "3", "--quiet") == 0
    path = data / "model.fastgd"
    whole = path.read_bytes()
    for change in (_shorter, _wider, _other_layers):
        path.write_bytes(whole)
        changed(path, change)
        with pytest.raises(UserError, match="do not go with its layers"):
            _archive.load(path)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_file_says_nothing_of_places_in_arrays(data):
    assert train(data, "word", "--hidden", "6,4", "--epochs", "3", "--quiet") == 0
    with zipfile.ZipFile(data / "model.fastgd") as archive:
        inner = zipfile.ZipFile(io.BytesIO(archive.read(_archive.PIPELINE)))
    with inner:
        schema = inner.read(_archive.SCHEMA).decode()
    assert "fastgd._networks.assembly" in schema
    assert '"table"' not in schema
