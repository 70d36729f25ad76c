"""Files that are read in chunks: one trainer, one early stopping, one order."""

import gzip
import json
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.datasets import dump_svmlight_file

from fastgd import SGDClassifier, SGDRegressor
from fastgd._readers.errors import BadData
from fastgd._readers.feed import Feed
from fastgd._readers.layout import Wishes
from fastgd._readers.opening import open_reader
from fastgd.cli import _archive, _models

N = 131
NAMES = ["a", "b", "c"]
PARAMS = "--no-standardize --seed 0 --quiet --set shuffle=false --set tol=none"


@pytest.fixture
def rows(rng):
    X = np.round(rng.normal(size=(N, 3)) * (rng.random((N, 3)) < 0.7), 6)
    return X, (X @ [1.0, -2.0, 0.5] > 0.1).astype(int)


def frame(X, y):
    return pd.DataFrame(X, columns=NAMES).assign(y=y)


def text_of_rows(X, y, path):
    dump_svmlight_file(X, y, "plain", zero_based=False)
    content = Path("plain").read_bytes()
    Path(path).write_bytes(gzip.compress(content) if path.endswith(".gz") else content)


def archive_of_csr(X, y, path):
    csr = sp.csr_matrix(X)
    np.savez(path, **{n: getattr(csr, n) for n in ("data", "indices", "indptr", "shape")}, y=y)


WRITERS = {
    "data.csv": lambda X, y, path: frame(X, y).to_csv(path, index=False),
    "data.csv.gz": lambda X, y, path: frame(X, y).to_csv(path, index=False),
    "groups.parquet": lambda X, y, path: frame(X, y).to_parquet(path, row_group_size=17),
    "one.parquet": lambda X, y, path: frame(X, y).to_parquet(path),
    "data.npz": lambda X, y, path: np.savez(path, X=X, y=y),
    "packed.npz": lambda X, y, path: np.savez_compressed(path, X=np.asfortranarray(X), y=y),
    "sparse.npz": archive_of_csr,
    "data.svm": text_of_rows,
    "data.svm.gz": text_of_rows,
}


def target(name):
    return "" if "svm" in name else "--target y "


def fitted(run, name, more):
    status, _, err = run(f"train {name} {target(name)}{more} {PARAMS} -o m.fastgd")
    assert (status, err) == (0, "")
    return _archive.load(Path("m.fastgd"))[1]["model"]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("n_rows", [3, 50, N])
def test_chunks_give_the_model_that_all_rows_give(name, n_rows, rows, run):
    """Batches go on where a chunk ends, so without shuffling the steps are the same: bit for bit.

    On sparse rows Adam's are: plain sgd's keep a common factor, which is multiplied out in turn.
    """
    WRITERS[name](*rows, name)
    line = "--model sgd-classifier --epochs 3 --set loss=log_loss --set batch_size=8"
    line += " --set optimizer=adam"
    whole = fitted(run, name, line)
    model = fitted(run, name, f"{line} --chunk-rows {n_rows}")
    np.testing.assert_array_equal(model.coef_, whole.coef_)
    np.testing.assert_array_equal(model.intercept_, whole.intercept_)
    assert model.t_ == whole.t_ == 1 + 3 * -(-N // 8)
    assert len(model.history_["loss"]) == 3


@pytest.mark.parametrize("name", ["data.csv", "data.npz", "groups.parquet"])
def test_rows_one_at_a_time(name, rows, run):
    WRITERS[name](*rows, name)
    line = "--model sgd-classifier --epochs 3"
    whole = fitted(run, name, line)
    model = fitted(run, name, f"{line} --chunk-rows 40")
    np.testing.assert_array_equal(model.coef_, whole.coef_)


@pytest.mark.parametrize("name", ["data.csv", "data.npz", "groups.parquet"])
def test_shuffled_chunks_are_repeatable(name, rows, run):
    WRITERS[name](*rows, name)
    line = f"train {name} --target y --model sgd-classifier --epochs 3 --chunk-rows 40 --quiet"

    def coef(seed):
        assert run(f"{line} --seed {seed} -o m.fastgd")[0] == 0
        return _archive.load(Path("m.fastgd"))[1]["model"].coef_

    np.testing.assert_array_equal(coef(0), coef(0))
    assert not np.array_equal(coef(0), coef(1))


@pytest.mark.parametrize("numbers", [[0, 1, 2, 3], [1, 3], [2], []])
@pytest.mark.parametrize("name", WRITERS)
def test_readers_read_the_chunks_that_are_asked_for(name, numbers, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = rows
    WRITERS[name](X, y, name)
    reader = open_reader(Path(name))
    layout = reader.layout(Wishes(None if "svm" in name else "y"))
    feed = Feed(reader, layout, 40)
    assert feed.sizes == [40, 40, 40, 11]
    orders = [numbers, numbers[::-1]] if reader.seeks(40) else [numbers]
    for order in orders:
        chunks = list(feed.read(order))
        assert [chunk.first for chunk in chunks] == [40 * k for k in order]
        for chunk, k in zip(chunks, order, strict=True):
            values = chunk.X.toarray() if sp.issparse(chunk.X) else np.asarray(chunk.X)
            np.testing.assert_array_equal(values, X[40 * k : 40 * k + 40])
            np.testing.assert_array_equal(chunk.y, y[40 * k : 40 * k + 40])
    assert reader.seeks(40) == (name.endswith(".npz") or name == "groups.parquet")


def test_training_in_chunks_stops_when_it_no_longer_helps(rows, run):
    WRITERS["data.npz"](*rows, "data.npz")
    line = "train data.npz --model sgd-classifier --no-standardize --seed 0 --epochs 300"
    assert run(f"{line} --set shuffle=false -o whole.fastgd")[0] == 0
    status, out, _ = run(f"{line} --set shuffle=false --chunk-rows 50 -o m.fastgd")
    whole, model = (_archive.load(Path(f))[1]["model"] for f in ("whole.fastgd", "m.fastgd"))
    assert status == 0
    assert 1 < model.n_iter_ == whole.n_iter_ < 300
    assert "SGDClassifier is fitted, in at most 300 epochs" in out
    assert f"SGDClassifier: {model.n_iter_} epochs" in out
    np.testing.assert_array_equal(model.coef_, whole.coef_)


@pytest.mark.parametrize("chunks", ["", " --chunk-rows 30"])
def test_sgd_models_stop_by_the_rows_of_another_file(chunks, rows, run):
    X, y = rows
    WRITERS["data.csv"](X, y, "data.csv")
    WRITERS["data.csv"](X[:45], y[:45], "other.csv")
    line = "train data.csv --target y --model sgd-classifier --no-standardize --seed 0 --epochs 90"
    more = "--set shuffle=false --validation other.csv -o m.fastgd"
    assert run(f"{line}{chunks} {more}")[0] == 0
    model = SGDClassifier(learning_rate="auto", random_state=0, max_iter=90, shuffle=False)
    model.fit(X, y, X_val=X[:45], y_val=y[:45])
    found = _archive.load(Path("m.fastgd"))[1]["model"]
    np.testing.assert_array_equal(found.coef_, model.coef_)
    assert found.n_iter_ == model.n_iter_ < 90
    assert found.history_["validation_score"] == model.history_["validation_score"]


def test_early_stopping_holds_a_tenth_out(rows, run):
    WRITERS["data.csv"](*rows, "data.csv")
    line = "train data.csv --target y --chunk-rows 30 --seed 0 --epochs 50 -o m.fastgd"
    held = sum(
        int(np.sum(np.random.default_rng([0, k]).random(min(30, N - k)) < 0.1))
        for k in range(0, N, 30)
    )
    for model in ("sgd-classifier", "logistic"):
        status, out, _ = run(f"{line} --model {model} --set early_stopping=true")
        assert status == 0
        assert f"{N - held} rows" in out
        assert f"on {held} rows held out: accuracy" in out
        history = _archive.load(Path("m.fastgd"))[1]["model"].history_
        assert len(history["validation_score"]) < 50
    _, out, _ = run(f"{line} --model logistic --set early_stopping=true --validation 0.3")
    assert f"on {held} rows" not in out


def test_sgd_in_the_place_of_a_model_takes_all_their_epochs(rows, run):
    """Their rates fall to 0 by a cosine, which is cut off if training ends earlier."""
    X, y = rows
    WRITERS["data.npz"](X, y.astype(float), "data.npz")
    status, out, err = run("train data.npz --model ridge --chunk-rows 50 --seed 0 -o m.fastgd")
    assert (status, err) == (0, "")
    assert "SGDRegressor is fitted instead of Ridge, in 10 epochs\n" in out
    model = _archive.load(Path("m.fastgd"))[1]["model"]
    rates = model.history_["learning_rate"]
    assert len(rates) == 10
    assert rates[-1] == pytest.approx(0.0, abs=0.02 * rates[0])


def test_epochs_too_few_are_reported(rows, run):
    WRITERS["data.npz"](*rows, "data.npz")
    line = "train data.npz --model sgd-classifier --chunk-rows 50 --epochs 2 --quiet -o m.fastgd"
    status, _, err = run(line)
    assert status == 0
    assert err.startswith("fastgd train: warning: Maximum number of iteration reached")
    assert run(f"{line} --set tol=none") == (0, "", "")


def test_max_iter_is_the_number_of_epochs(rows, run):
    WRITERS["data.npz"](*rows, "data.npz")
    model = fitted(run, "data.npz", "--model sgd-classifier --chunk-rows 50 --set max_iter=4")
    assert (model.n_iter_, model.max_iter) == (4, 4)


def test_a_chunk_that_holds_one_class_only(rows, run):
    X, y = rows
    order = np.argsort(y, kind="stable")
    WRITERS["data.csv"](X[order], y[order], "data.csv")
    line = "train data.csv --target y --model logistic --chunk-rows 20 --seed 0 -o m.fastgd"
    assert run(line)[0] == 0
    scores = json.loads(run("evaluate m.fastgd data.csv --json")[1])
    assert scores["accuracy"] > 0.8


# -- files that change -------------------------------------------------------------------------


def changed(path, how):
    """Return a callback that changes a file after the first epoch."""

    def change(view):
        if view.epoch == 1:
            how(Path(path))

    return change


CHANGES = {
    "longer": lambda path: path.write_bytes(path.read_bytes() + path.read_bytes()[-20:]),
    "shorter": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "nonsense": lambda path: path.write_bytes(b"\0\1" * 100),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("name", ["data.csv", "data.svm", "packed.npz", "one.parquet"])
def test_a_file_that_changes_between_epochs_is_reported(name, how, rows, run, monkeypatch):
    WRITERS[name](*rows, name)
    original = _models.chunk_learner

    def watched(*args):
        return original(*args).set_params(callbacks=[changed(name, CHANGES[how])])

    monkeypatch.setattr(_models, "chunk_learner", watched)
    line = f"train {name} {target(name)}--model logistic --chunk-rows 50 --quiet -o m.fastgd"
    status, out, err = run(line)
    assert (status, out) == (1, "")
    said = "has changed since it was first read" if how != "gone" else "cannot be read any more: No"
    assert re.fullmatch(rf"fastgd train: {re.escape(name)} {said}.*\n", err)
    assert not Path("m.fastgd").exists()


def test_a_change_while_a_chunk_is_read_is_reported(rows, tmp_path):
    path = tmp_path / "data.csv"
    WRITERS["data.csv"](*rows, path)
    reader = open_reader(path)
    feed = Feed(reader, reader.layout(Wishes("y")), 50)
    chunks = iter(feed)
    next(chunks)
    with path.open("a") as file:
        file.write("1,2,3,0\n")
    with pytest.raises(BadData, match="has changed since"):
        list(chunks)


# -- what is shown -----------------------------------------------------------------------------


def test_a_bar_counts_rows(rows, run, monkeypatch):
    WRITERS["data.npz"](*rows, "data.npz")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    line = "train data.npz --model sgd-classifier --chunk-rows 50 --epochs 3 --set tol=none"
    status, _, err = run(f"{line} --set monitor=true -o m.fastgd")
    assert status == 0
    shown = re.findall(r"training:\s+(\d+)%.*?epoch=(\d)", err)
    assert shown[-1] == ("100", "3")
    assert _archive.load(Path("m.fastgd"))[1]["model"].callbacks is None


def test_regression_starts_from_the_mean(rows, run):
    X, _ = rows
    y = 1000.0 + X @ [1.0, 2.0, 3.0]
    WRITERS["data.npz"](X, y, "data.npz")
    assert (
        run("train data.npz --model ridge --chunk-rows 50 --epochs 1 --seed 0 -o m.fastgd")[0] == 0
    )
    model = _archive.load(Path("m.fastgd"))[1]["model"]
    assert abs(model.intercept_[0] - y.mean()) < 2 * y.std()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cold = SGDRegressor(optimizer="adam", batch_size=64, max_iter=1, random_state=0).fit(X, y)
    assert abs(cold.intercept_[0] - y.mean()) > 900


def test_chunks_that_a_held_out_part_leaves_empty(rows, run):
    WRITERS["data.npz"](*rows, "data.npz")
    held = sum(np.random.default_rng([0, k]).random(1)[0] < 0.3 for k in range(N))
    line = "train data.npz --model sgd-classifier --no-standardize --seed 0 --epochs 5"
    status, out, _ = run(f"{line} --chunk-rows 1 --validation 0.3 -o m.fastgd")
    assert status == 0
    assert f"{N - held} rows, 3 features" in out
    assert f"read in {N - held} chunks of up to 1 row:" in out
    assert f"on {held} rows held out: accuracy" in out
    model = _archive.load(Path("m.fastgd"))[1]["model"]
    assert model.t_ == 1 + model.n_iter_ * (N - held)
