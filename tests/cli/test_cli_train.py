"""Models from files: train, predict and evaluate, beside the same models fitted in Python."""

import csv
import gzip
import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.compose import ColumnTransformer
from sklearn.datasets import dump_svmlight_file
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastgd import LogisticRegression, Ridge, SGDClassifier
from fastgd._data.chunks import BatchChunks
from fastgd._readers import reader
from fastgd.cli import _archive
from fastgd.schedules import Cosine

ROWS = 120


@pytest.fixture
def frame(rng):
    """Numbers with gaps, words with a gap, and two targets that depend on them."""
    a, b = rng.normal(size=ROWS), rng.normal(50.0, 10.0, size=ROWS)
    color = rng.choice(["red", "green", "blue, dark"], ROWS).astype(object)
    raw = a + 0.1 * (b - 50.0) + (color == "red") + rng.normal(scale=0.5, size=ROWS)
    frame = pd.DataFrame({"a": a, "b": b, "color": pd.Series(color, dtype=object)})
    frame.loc[3, "a"] = frame.loc[5, "b"] = np.nan
    frame.loc[7, "color"] = None
    frame["label"] = np.where(raw > 0.3, "yes", "no")
    frame["amount"] = 100.0 + 7.0 * raw
    return frame


@pytest.fixture
def matrix(rng):
    """A matrix, half of it zeros, and labels 0 and 1."""
    X = rng.normal(size=(ROWS, 6)) * (rng.random((ROWS, 6)) < 0.5)
    return X, (X @ np.arange(6.0) > 0.5).astype(int)


def written(run, line):
    """Return the table that ``predict`` writes."""
    status, out, _ = run(line)
    assert status == 0
    header, *rows = csv.reader(out.splitlines())
    return header, [list(column) for column in zip(*rows, strict=True)]


def in_python(numbers, categories, model):
    """Return the pipeline that a user of scikit-learn would write."""
    gaps = SimpleImputer()
    words = OneHotEncoder(handle_unknown="ignore", categories=[["blue, dark", "green", "red"]])
    parts = [("numbers", gaps, numbers), ("words", words, categories)]
    return make_pipeline(ColumnTransformer(parts), model)


WRITERS = {
    "data.csv": lambda frame, path: frame.to_csv(path, index=False),
    "data.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "data.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "data.parquet": lambda frame, path: frame.to_parquet(path, index=False),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_table_gives_the_model_that_python_gives(name, frame, run):
    WRITERS[name](frame, name)
    status, out, err = run(
        f"train {name} --target label --model logistic --drop amount -o m.fastgd"
    )
    assert (status, err) == (0, "")
    assert "120 rows, 3 columns (2 numeric, 1 categorical), 2 classes" in out
    model = in_python(["a", "b"], ["color"], LogisticRegression())
    model.fit(frame[["a", "b", "color"]], frame["label"])

    header, (predicted, p_no, p_yes) = written(run, f"predict m.fastgd {name} --proba")
    assert header == ["prediction", "probability of no", "probability of yes"]
    assert predicted == model.predict(frame).tolist()
    expected = model.predict_proba(frame)
    np.testing.assert_allclose(np.array([p_no, p_yes], float).T, expected, atol=1e-6)

    status, out, _ = run(f"evaluate m.fastgd {name} --json --chunk-rows 50")
    scores = json.loads(out)
    assert scores["rows"] == ROWS
    assert scores["accuracy"] == model.score(frame, frame["label"])
    assert scores["log loss"] == pytest.approx(log_loss(frame["label"], expected), abs=1e-6)
    assert 0.9 < scores["ROC AUC"] <= 1.0


def sparse_archive(X, y, path):
    csr = sp.csr_matrix(X)
    arrays = {name: getattr(csr, name) for name in ("data", "indices", "indptr", "shape")}
    np.savez(path, **arrays, y=y)


def zipped_text(X, y, path):
    dump_svmlight_file(X, y, "plain.svm", zero_based=False, comment="a comment")
    with open("plain.svm", "rb") as plain, gzip.open(path, "wb") as file:
        file.write(plain.read() + b"\n")


MATRICES = {
    "data.npz": lambda X, y, path: np.savez(path, X=X, y=y),
    "packed.npz": lambda X, y, path: np.savez_compressed(path, X=np.asfortranarray(X), y=y),
    "sparse.npz": sparse_archive,
    "data.svm": lambda X, y, path: dump_svmlight_file(X, y, path, zero_based=True),
    "data.svmlight.gz": zipped_text,
}


@pytest.mark.parametrize("name", MATRICES)
def test_a_matrix_gives_the_model_that_python_gives(name, matrix, run):
    X, y = matrix
    MATRICES[name](X, y, name)
    status, _, err = run(f"train {name} --model logistic --set C=3 --quiet -o m.fastgd")
    assert (status, err) == (0, "")
    model = LogisticRegression(C=3).fit(X, y)
    _, (predicted, _, p_one) = written(run, f"predict m.fastgd {name} --proba --chunk-rows 50")
    assert predicted == [str(label) for label in model.predict(X)]
    np.testing.assert_allclose(np.array(p_one, float), model.predict_proba(X)[:, 1], atol=1e-6)
    _, out, _ = run(f"evaluate m.fastgd {name} --json")
    assert json.loads(out)["accuracy"] == model.score(X, y)


def test_chunks_are_what_the_library_is_given(frame, run):
    """The first pass learns means and categories; then SGD is fitted to what was prepared."""
    frame.to_csv("data.csv", index=False)
    status, out, _ = run(
        "train data.csv --target label --model logistic --set C=2 --drop amount --chunk-rows 50 "
        "--seed 4 -o m.fastgd"
    )
    assert status == 0
    assert "3 chunks of up to 50 rows: SGDClassifier is fitted instead of LogisticRegression" in out
    _, pipeline = _archive.load(Path("m.fastgd"))

    numbers = make_pipeline(StandardScaler(), SimpleImputer(strategy="constant", fill_value=0.0))
    words = OneHotEncoder(handle_unknown="ignore", categories=[["blue, dark", "green", "red"]])
    prepare = ColumnTransformer([("n", numbers, ["a", "b"]), ("w", words, ["color"])]).fit(frame)
    np.testing.assert_allclose(
        pipeline["prepare"].transform(frame), prepare.transform(frame), atol=1e-12
    )
    model = SGDClassifier(
        loss="log_loss",
        alpha=1 / (2 * ROWS),
        l1_ratio=0.0,
        optimizer="adam",
        batch_size=64,
        learning_rate=Cosine(eta0=0.05, length=10 * 2, unit="step"),
        random_state=4,
        max_iter=10,
        tol=None,
    )
    y = frame["label"].to_numpy().astype(str)
    X = pipeline["prepare"].transform(frame)
    parts = [slice(0, 50), slice(50, 100), slice(100, 120)]
    model._fit_in_chunks(BatchChunks([(X[rows], y[rows]) for rows in parts]), classes=["no", "yes"])
    np.testing.assert_array_equal(pipeline["model"].coef_, model.coef_)
    np.testing.assert_array_equal(pipeline["model"].intercept_, model.intercept_)


def test_a_regression_in_chunks_comes_near_the_optimum(frame, run):
    frame.to_parquet("data.parquet", index=False, row_group_size=30)
    line = "train data.parquet --target amount --model ridge --drop label --standardize -o"
    assert run(f"{line} whole.fastgd")[0] == 0
    assert run(f"{line} chunks.fastgd --chunk-rows 40 --epochs 60")[0] == 0
    scores = [
        json.loads(run(f"evaluate {name} data.parquet --json")[1])
        for name in ("whole.fastgd", "chunks.fastgd")
    ]
    assert scores[0]["R2"] > 0.8
    assert scores[1]["R2"] == pytest.approx(scores[0]["R2"], abs=1e-3)


def test_three_classes_and_one_that_is_new(run, rng):
    X = rng.normal(size=(90, 2))
    y = np.argmax(X @ [[1.0, -1.0, 0.0], [0.0, 0.5, 1.0]], axis=1)
    np.savez("data.npz", X=X, y=y)
    assert run("train data.npz --model softmax -o m.fastgd")[0] == 0
    scores = json.loads(run("evaluate m.fastgd data.npz --json")[1])
    assert scores["accuracy"] > 0.9
    assert 0.9 < scores["ROC AUC (one vs rest)"] <= 1.0
    np.savez("new.npz", X=X, y=np.where(np.arange(90) < 30, 7, y))
    new = json.loads(run("evaluate m.fastgd new.npz --json")[1])
    assert new["accuracy"] < 0.7
    assert "log loss" not in new, "there is no probability of a class that the model does not know"
    np.savez("none.npz", X=X[:0], y=y[:0])
    said = refused_after_header(run, "evaluate m.fastgd none.npz")
    assert said == "there are no rows to measure by."


def test_progress_is_for_terminals(matrix, run, monkeypatch):
    np.savez("data.npz", X=matrix[0], y=matrix[1])
    line = "train data.npz --model logistic --chunk-rows 60 -o m.fastgd"
    assert run(line)[2] == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    shown = run(line)[2]
    assert "looking at the data" in shown
    assert re.search(r"training:.*/1\.20k .*row/s, epoch=\d+, loss=0\.\d+", shown)
    assert run(f"{line} --quiet") == (0, "", "")


def test_gaps_in_a_matrix_are_filled_with_the_mean(matrix, run):
    X, y = matrix
    X[4, 2] = np.nan
    np.savez("data.npz", X=X, y=y)
    run("train data.npz --model logistic -o m.fastgd")
    model = make_pipeline(SimpleImputer(), LogisticRegression()).fit(X, y)
    _, (_, _, p_one) = written(run, "predict m.fastgd data.npz --proba")
    np.testing.assert_allclose(np.array(p_one, float), model.predict_proba(X)[:, 1], atol=1e-6)
    X[4, 2] = 0.0
    np.savez("full.npz", X=X, y=y)
    run("train full.npz --model logistic -o m.fastgd")
    said = refused_after_header(run, "predict m.fastgd data.npz")
    assert said == "the model refuses the data: Input X contains NaN."


def test_memory_decides_on_chunks(matrix, run, monkeypatch):
    np.savez("data.npz", X=matrix[0], y=matrix[1])
    monkeypatch.setattr(reader, "_free_memory", lambda: 4000)
    monkeypatch.setattr(reader, "FEWEST_ROWS", 50)
    _, out, _ = run("train data.npz --model logistic -o m.fastgd")
    assert "3 chunks of up to 50 rows: SGDClassifier is fitted" in out


def test_rows_held_out_are_not_trained_on(matrix, run):
    X, y = matrix
    np.savez("data.npz", X=X, y=y)
    _, out, _ = run("train data.npz --model logistic --validation 0.25 --seed 1 -o m.fastgd")
    held = np.random.default_rng([1, 0]).random(ROWS) < 0.25
    model = LogisticRegression().fit(X[~held], y[~held])
    assert f"on {held.sum()} rows held out: accuracy {model.score(X[held], y[held]):.4g}" in out
    np.savez("other.npz", X=X[held], y=y[held])
    np.savez("rest.npz", X=X[~held], y=y[~held])
    _, again, _ = run("train rest.npz --model logistic --validation other.npz -o m.fastgd")
    assert out.splitlines()[-2] == again.splitlines()[-2]


def test_sgd_stops_by_the_rows_held_out(matrix, run):
    X, y = matrix
    np.savez("data.npz", X=X, y=y)
    np.savez("other.npz", X=X[:40], y=y[:40])
    words = "--model sgd-classifier --set loss=log_loss --no-standardize --seed 0"
    assert run(f"train data.npz {words} --validation other.npz -o m.fastgd")[0] == 0
    model = SGDClassifier(loss="log_loss", learning_rate="auto", random_state=0)
    model.fit(X, y, X_val=X[:40], y_val=y[:40])
    _, pipeline = _archive.load(Path("m.fastgd"))
    np.testing.assert_array_equal(pipeline["model"].coef_, model.coef_)


def test_one_class_needs_no_target(frame, run):
    frame.to_csv("data.csv", index=False)
    line = "train data.csv --model one-class --set nu=0.2 --drop label --drop color --epochs 20"
    status, out, _ = run(f"{line} -o m.fastgd --seed 0")
    assert status == 0
    assert "share of outliers 0." in out
    _, (predicted,) = written(run, "predict m.fastgd data.csv")
    assert set(predicted) == {"1", "-1"}
    _, out, _ = run("evaluate m.fastgd data.csv")
    assert re.search(r"rows +120\n +share of outliers +0\.\d", out)


def test_columns_are_taken_as_wished(frame, run):
    frame["hour"] = np.arange(ROWS) % 24
    frame["nothing"] = np.nan
    frame.to_csv("data.csv", index=False)
    words = "--model ridge --categorical hour --drop label --show-columns"
    status, out, err = run(f"train data.csv --target amount {words} -o m.fastgd")
    assert status == 0
    assert "  hour   category  string, 24: 0, 1, 10, 11, 12 and 19 more\n" in out
    assert err == "left out, because they are empty: nothing\n"
    card = json.loads(run("info m.fastgd --json")[1])
    kinds = {column["name"]: column["kind"] for column in card["layout"]["columns"]}
    assert kinds == {"a": "number", "b": "number", "color": "category", "hour": "category"}
    shuffled = frame[["hour", "color", "b", "a"]].iloc[::-1]
    shuffled.to_csv("new.csv", index=False)  # another order, no target, no empty column
    _, (new,) = written(run, "predict m.fastgd new.csv")
    _, (old,) = written(run, "predict m.fastgd data.csv")
    np.testing.assert_allclose(np.array(new[::-1], float), np.array(old, float))
    model = make_pipeline(
        ColumnTransformer(
            [("n", SimpleImputer(), ["a", "b"]), ("w", OneHotEncoder(), ["color", "hour"])]
        ),
        Ridge(),
    )
    model.fit(frame.fillna({"color": "red"}), frame["amount"])  # one gap, filled otherwise here
    assert (
        np.corrcoef(np.array(old, float), model.predict(frame.fillna({"color": "red"})))[0, 1]
        > 0.99
    )


def test_categories_that_are_new_count_as_none(frame, run):
    frame.to_csv("data.csv", index=False)
    run("train data.csv --target amount --model ridge --drop label -o m.fastgd")
    rows = pd.DataFrame({"a": [0.0, 0.0], "b": [50.0, 50.0], "color": ["unheard of", None]})
    rows.to_csv("new.csv", index=False)
    _, (predicted,) = written(run, "predict m.fastgd new.csv")
    assert predicted[0] == predicted[1]


def test_predictions_go_to_a_file(matrix, run):
    np.savez("data.npz", X=matrix[0], y=matrix[1])
    run("train data.npz --model logistic -o m.fastgd")
    status, out, err = run("predict m.fastgd data.npz -o p.csv")
    assert (status, out, err) == (0, "", "120 predictions in p.csv\n")
    assert Path("p.csv").read_text() == run("predict m.fastgd data.npz")[1]
    assert run("predict m.fastgd data.npz -o p.csv --quiet") == (0, "", "")


def test_whole_numbers_stay_labels_and_text_stays_text(run, rng):
    codes = rng.choice(["007", "1", "2"], 60)
    pd.DataFrame({"x": rng.normal(size=60), "code": codes}).to_csv("data.csv", index=False)
    words = "--target code --model logistic -o m.fastgd"
    run(f"train data.csv {words} --categorical code")
    assert json.loads(run("info m.fastgd --json")[1])["classes"] == ["007", "1", "2"]
    run(f"train data.csv {words}")
    assert json.loads(run("info m.fastgd --json")[1])["classes"] == [1, 2, 7]


# -- what is said of bad data ------------------------------------------------------------------

GOOD = "a,b,color,label\n" + "1,2,red,no\n3,4,green,yes\n" * 10


def refused(run, line, status=1):
    """Return the one line that says what is wrong."""
    got, out, err = run(line)
    assert (got, out) == (status, ""), err
    assert err.count("\n") == 1
    return err.split(": ", 1)[1].rstrip("\n")


TRAIN = "train data.csv --target label --model logistic -o m.fastgd"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "1,oops,red,no\n", "data.csv, line 22, column 'b': 'oops' is not a number."),
        (GOOD + '1,2,"red\ndark",no\nx,1,red,no\n', "data.csv, line 24, column 'a': 'x' is not"),
        (GOOD + "1,2,red\n", "data.csv, line 22 has 3 fields, the first line has 4."),
        (GOOD + "1,2,red,no,5\n", "data.csv, line 22 has 5 fields, the first line has 4."),
        (GOOD + "1,inf,red,no\n", "data.csv, line 22, column 'b': an infinite number."),
        (GOOD + "\n1,2,red,\n", "data.csv, line 23, column 'label': the target is missing."),
        ("a,b,label\n", "data.csv has a line of names, and no rows."),
        ("", "data.csv is empty."),
        ("a,a,label\n1,2,no\n", "data.csv has more than one column named 'a'."),
        (
            "a,label\n1,no\n2,no\n",
            "data.csv: all rows are of one class, 'no'. logistic tells classes apart, and ",
        ),
        ("label\nno\nyes\n", "data.csv has no column beside the target to predict from."),
        ("a,label\n,no\n,yes\n", "data.csv: all columns beside the target are empty."),
        ("a,b\n1,2\n", "data.csv has no column 'label' (the target). Its columns are a, b."),
    ],
)
@pytest.mark.parametrize("chunks", ["", " --chunk-rows 7"])
def test_bad_csv_is_named_by_line_and_column(text, said, chunks, run):
    Path("data.csv").write_text(text)
    assert refused(run, TRAIN + chunks).startswith(said)
    assert not Path("m.fastgd").exists()


def test_text_that_is_not_utf8_is_reported(run):
    Path("data.csv").write_bytes(GOOD.replace("green", "gr\xfcn").encode("latin1"))
    assert refused(run, TRAIN).startswith("data.csv is not UTF-8.")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 1:2 2:3\n-1 1:x 2:1\n", "data.svm, line 2: 'x' is not a number."),
        ("1 1:2\n\n# note\n-1 word\n", "data.svm, line 4: 'word' is not index:value."),
        (
            "1 1:2\n-1 2:1 1:1\n",
            "data.svm, line 2: feature 1 is there twice, or after",
        ),
        ("1 1:2\n-1 1:nan\n", "data.svm, line 2: not a finite number."),
        ("", "data.svm is empty."),
        ("1\n0\n", "data.svm holds no features."),
    ],
)
def test_bad_svmlight_is_named_by_line(text, said, run):
    Path("data.svm").write_text(text)
    assert refused(run, "train data.svm --model logistic -o m.fastgd").startswith(said)


def test_features_that_the_model_does_not_know_are_named(run, matrix):
    dump_svmlight_file(*matrix, "data.svm", zero_based=False)
    run("train data.svm --model logistic -o m.fastgd")
    Path("new.svm").write_text("1 1:1\n0 7:1\n")
    said = refused_after_header(run, "predict m.fastgd new.svm")
    assert said == "new.svm, line 2: there is a feature 7, and the model knows 1 to 6."


def refused_after_header(run, line):
    status, _, err = run(line)
    assert status == 1
    return err.split(": ", 1)[1].rstrip("\n")


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": np.ones(3)}, "data.npz holds x; needed is X, or data, indices, indptr, shape"),
        ({"X": np.ones((3, 2))}, "data.npz has no array 'y' (the target). It holds X."),
        ({"X": np.ones((3, 2)), "y": np.ones(4)}, "data.npz: y has the shape (4,), and there are"),
        ({"X": np.ones(3), "y": np.ones(3)}, "data.npz: X must have two dimensions"),
        (
            {"X": np.array([[object()]], object), "y": np.ones(1)},
            "data.npz, array 'X': it holds Python objects",
        ),
        (
            {"X": np.array([[1.0], [np.inf]]), "y": np.arange(2)},
            "data.npz, row 2: an infinite number.",
        ),
    ],
)
def test_bad_npz_is_reported(arrays, said, run):
    np.savez("data.npz", **arrays)
    assert refused(run, "train data.npz --model logistic -o m.fastgd").startswith(said)


def test_parquet_of_times_or_words_is_reported(run):
    frame = pd.DataFrame({"when": pd.to_timedelta([1, 2, 3], unit="D"), "y": [0, 1, 1]})
    frame["word"] = ["1", "2", "three"]
    frame.to_parquet("data.parquet", index=False)
    line = "train data.parquet --target y --model logistic -o m.fastgd"
    said = refused(run, line)
    assert said.startswith("data.parquet, column 'when' holds duration")
    assert said.endswith("--drop when")
    said = refused(run, f"{line} --drop when --numeric word")
    assert said.startswith("data.parquet, row 3, column 'word': 'three' is not a number.")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("--target amount --model logistic", 1, "data.csv: the target holds numbers such as"),
        ("--target label --model ridge", 1, "data.csv: the target 'label' holds words"),
        ("--target label --model logistic --drop c", 1, "data.csv has no column 'c' (--drop)."),
        ("--model logistic", 2, "--target is needed"),
        ("--target label --model logistic --drop label", 2, "--drop label: that is the target."),
        ("--target label --model logistic --set c=1", 2, "--set c: logistic (LogisticRegression)"),
        ("--target label --model logistic --set C", 2, "--set takes NAME=VALUE, got 'C'."),
        ("--target label --model logistic --set C=-1", 2, "--set: The 'C' parameter"),
        ("--target label --model logistic --epochs 3", 2, "--epochs: logistic finds its own end"),
        ("--target label --model svc --set warm_start=true", 2, "--set warm_start"),
        ("--target b --model huber --chunk-rows 9", 2, "huber cannot be trained in chunks."),
        (
            "--target b --model ridge --set solver=gd --chunk-rows 9",
            2,
            "--set solver: ridge has it",
        ),
        ("--target b --model ridge --set what=1 --chunk-rows 9", 2, "--set what: ridge (in chunks"),
        ("--target b --model one-class --validation 0.5", 2, "--validation: one-class has no"),
    ],
)
def test_what_does_not_go_together_is_reported(words, status, said, run, frame):
    frame.to_csv("data.csv", index=False)
    line = f"train data.csv -o m.fastgd {words}"
    got, _, err = run(line)
    assert got == status
    assert err.split(": ", 1)[1].startswith(said)


def test_files_that_are_not_there_are_reported(run, frame):
    words = "--target label --model logistic"
    assert refused(run, f"train data.csv {words} -o m") == "there is no file data.csv"
    assert refused(run, f"train data.csv {words} -o no/m") == "there is no folder no"
    assert refused(run, "predict m data.csv") == "there is no model m"
    frame.to_csv("data.dat")
    assert "cannot be told from its name" in refused(run, f"train data.dat {words} -o m")
    frame.to_csv("data.csv")
    assert refused(run, f"train data.csv {words} --separator ;; -o m").startswith(
        "--separator must"
    )


def test_another_table_than_the_model_expects_is_reported(run, frame, matrix):
    frame.to_csv("data.csv", index=False)
    np.savez("data.npz", X=matrix[0], y=matrix[1])
    np.savez("wide.npz", X=np.ones((3, 7)))
    run("train data.csv --target amount --model ridge --drop label -o table.fastgd")
    run("train data.npz --model logistic -o matrix.fastgd")
    frame[["a"]].to_csv("few.csv", index=False)
    for line, said in (
        ("predict table.fastgd few.csv", "few.csv lacks columns 'b', 'color'. Its columns are a."),
        ("evaluate table.fastgd few.csv", "few.csv lacks columns 'b', 'color', 'amount'."),
        ("predict table.fastgd data.npz", "data.npz has no named columns, and the model expects a"),
        ("predict matrix.fastgd data.csv", "data.csv is a table, and the model expects a matrix"),
        ("predict matrix.fastgd wide.npz", "wide.npz has 7 columns, the model expects 6."),
        ("predict table.fastgd data.csv --proba", "table.fastgd (Ridge) has no probabilities"),
    ):
        assert refused_after_header(run, line).startswith(said), line


def test_a_missing_extra_is_named(run, frame, monkeypatch):
    frame.to_csv("data.csv", index=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    said = refused(run, TRAIN)
    assert said == (
        'reading .csv files needs pyarrow, which is not installed: pip install "fastgd[cli]"'
    )


def test_many_words_are_saved_as_one_array_and_gaps_are_none_of_them(run, rng):
    words = np.array([f"w{i}" for i in range(80)], object)
    column = rng.choice(words, 400)
    column[:3] = None
    frame = pd.DataFrame({"a": rng.normal(size=400), "w": pd.Series(column, dtype=object)})
    frame["y"] = frame["a"] + [0.0 if w is None else int(w[1:]) / 40 for w in column]
    frame.to_parquet("data.parquet")
    run("train data.parquet --target y --model ridge -o m.fastgd")
    _, pipeline = _archive.load(Path("m.fastgd"))
    (known,) = pipeline["prepare"].named_transformers_["categories"].categories_
    assert known.dtype.kind == "U"
    encoder = OneHotEncoder(handle_unknown="ignore", categories=[known.astype(object)])
    model = make_pipeline(
        ColumnTransformer([("n", SimpleImputer(), ["a"]), ("w", encoder, ["w"])]), Ridge()
    ).fit(frame, frame["y"])
    new = frame.head(6).copy()
    new.loc[3, "w"], new.loc[4, "w"], new.loc[5, "w"] = "new", "None", "a much longer word"
    new.to_parquet("new.parquet")
    for name, rows in (("data", frame), ("new", new)):
        _, (predicted,) = written(run, f"predict m.fastgd {name}.parquet")
        np.testing.assert_allclose(np.array(predicted, float), model.predict(rows), atol=1e-8)
