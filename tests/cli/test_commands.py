"""inspect, report, search, and trainings that go on."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression as TheirLogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from fastgd.cli import _archive

N = 150


@pytest.fixture
def data(tmp_path, rng):
    frame = pd.DataFrame(rng.normal(size=(N, 3)), columns=["a", "b", "<b>"])
    frame["color"] = rng.choice(["red", "blue"], N)
    raw = frame["a"] - 3 * frame["b"] + 2 * (frame["color"] == "red") + 0.5 * rng.normal(size=N)
    frame["y"] = np.where(raw > 1, "yes", "no")
    frame["three"] = np.digitize(raw, [-1, 1])
    frame["raw"] = raw
    frame.to_csv(tmp_path / "data.csv", index=False)
    return frame


LINE = "train data.csv --target y --model logistic --drop raw --drop three --quiet -o m.fastgd"

# -- inspect -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("data")
def test_coefficients_by_name_the_strongest_first(run):
    assert run(LINE)[0] == 0
    status, out, err = run("inspect m.fastgd --json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    model = _archive.load(Path("m.fastgd"))[1]["model"]
    names = ["a", "b", "<b>", "color = blue", "color = red"]
    values = {one["name"]: one["value"] for one in found["coefficients"]}
    assert values == dict(zip(names, model.coef_[0].tolist(), strict=True))
    sizes = [abs(one["value"]) for one in found["coefficients"]]
    assert sizes == sorted(sizes, reverse=True)
    assert found["coefficients"][0] == {"name": "b", "class": "yes", "value": values["b"]}
    assert found["intercept"] == model.intercept_.tolist()
    status, out, _ = run("inspect m.fastgd --top 2")
    lines = out.splitlines()
    assert lines[0] == "m.fastgd (LogisticRegression), for yes, against no"
    assert [line.split()[0] for line in lines[1:]] == ["b", lines[2].split()[0], "(intercept)"]


@pytest.mark.full
@pytest.mark.usefixtures("data")
def test_each_class_has_its_coefficients(run):
    line = "train data.csv --target three --model logistic --drop y --drop raw --quiet -o m.fastgd"
    assert run(line)[0] == 0
    found = json.loads(run("inspect m.fastgd --json")[1])["coefficients"]
    assert {one["class"] for one in found} == {0, 1, 2}
    assert "  2\n" in run("inspect m.fastgd")[1]


def test_features_of_a_matrix_are_numbered_as_in_the_file(run):
    Path("data.svm").write_text("1 1:1 3:2\n0 2:1\n" * 9)
    assert run("train data.svm --model logistic --quiet -o m.fastgd")[0] == 0
    found = json.loads(run("inspect m.fastgd --json")[1])["coefficients"]
    assert {one["name"] for one in found} <= {"feature 1", "feature 2", "feature 3"}
    assert found[0]["name"] == "feature 3"


@pytest.mark.usefixtures("data")
def test_words_of_text_are_names(run, data):
    data.assign(t=np.where(data["y"] == "yes", "lovely film", "awful film")).to_csv(
        "text.csv", index=False
    )
    line = "train text.csv --target y --model logistic --text t --drop raw --drop three --quiet"
    assert run(f"{line} -o m.fastgd")[0] == 0
    found = json.loads(run("inspect m.fastgd --json")[1])["coefficients"]
    assert {"t: lovely", "t: awful"} <= {one["name"] for one in found[:4]}


@pytest.mark.usefixtures("data")
def test_coefficients_as_a_picture(run):
    pytest.importorskip("matplotlib")
    assert run(LINE)[0] == 0
    assert run("inspect m.fastgd --plot c.png")[:2] == (0, "")
    assert Path("c.png").read_bytes().startswith(b"\x89PNG")
    status, _, err = run("inspect m.fastgd --plot c.xyz")
    assert (status, "--plot c.xyz" in err) == (1, True)


# -- report ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("data")
def test_a_report_is_one_page_that_needs_nothing_else(run):
    assert run(LINE)[0] == 0
    status, out, err = run("report m.fastgd data.csv")
    assert (status, out) == (0, "")
    assert err.startswith("report: m.html")
    page = Path("m.html").read_text()
    for text in ("LogisticRegression", "150 rows", "accuracy", "<polyline", "color = red"):
        assert text in page
    assert "objective" in page
    assert "distance from the optimum" in page
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "<script" not in page
    assert "http" not in page
    assert run("report m.fastgd -o -")[1].startswith("<!DOCTYPE html>")


@pytest.mark.usefixtures("data")
def test_a_report_does_not_overwrite_what_is_read(run):
    assert run(LINE)[0] == 0
    assert run("report m.fastgd -o m.fastgd")[0] == 2
    status, _, err = run("inspect m.fastgd --plot m.fastgd")
    assert (status, "--plot m.fastgd would overwrite m.fastgd" in err) == (2, True)


@pytest.mark.usefixtures("data")
def test_a_report_on_stdin_names_it(run, monkeypatch):
    assert run(LINE)[0] == 0
    with Path("data.csv").open() as rows:
        monkeypatch.setattr("sys.stdin", rows)
        assert run("report m.fastgd -")[0] == 0
    page = Path("m.html").read_text()
    assert "<h2>On stdin</h2>" in page
    assert "fastgd-" not in page


@pytest.mark.usefixtures("data")
def test_a_report_shows_what_no_encoding_has(run):
    assert run(LINE)[0] == 0
    with zipfile.ZipFile("m.fastgd") as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    card = json.loads(held[_archive.CARD])
    card["settings"]["C"] = "\ud800<script>"
    with zipfile.ZipFile("m.fastgd", "w") as archive:
        for name, content in (held | {_archive.CARD: json.dumps(card)}).items():
            archive.writestr(name, content)
    assert run("report m.fastgd")[0] == 0
    page = Path("m.html").read_text(encoding="utf-8")
    assert "\\ud800&lt;script&gt;" in page


# -- search ------------------------------------------------------------------------------------


def test_a_search_chooses_what_cross_validation_says(run, data):
    line = "search data.csv --target y --model logistic --drop raw --drop three -o best.fastgd"
    status, out, err = run(f"{line} --grid C=0.001,1 --folds 3 --seed 0 --numeric a --drop color")
    assert (status, err) == (0, "")
    rows = [row.split() for row in out.splitlines() if row.startswith("  ")]
    assert rows[0] == ["C", "accuracy", "deviation"]
    X, y = data[["a", "b", "<b>"]].to_numpy(), data["y"]
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    for row, C in zip(rows[1:], (0.001, 1.0), strict=True):
        theirs = TheirLogisticRegression(C=C, tol=1e-8)
        expected = cross_val_score(theirs, X, y, cv=folds).mean()
        assert float(row[1]) == pytest.approx(expected, abs=1.1 / N)
    assert rows[2][-1] == "best"
    assert _archive.read_card(Path("best.fastgd")).settings["C"] == "1"
    assert run("evaluate best.fastgd data.csv")[0] == 0


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("--grid D=1", 2, "--grid D: logistic (LogisticRegression) has no such parameter."),
        ("--grid c=1", 2, "has no such parameter. Is 'C' meant?"),
        ("--grid C", 2, "--grid takes NAME=VALUE"),
        ("--grid C=-1,1", 2, "--grid: "),
        ("--grid C=1 --grid C=2", 2, "a parameter is there twice"),
        ("--grid C=1 --set C=2", 2, "either one or the other"),
        ("--ngrams 1-2", 2, "--ngrams is for columns that --text names, and there is none."),
        ("--characters", 2, "--characters is for columns that --text names"),
        ("--text-encoding hashing", 2, "--text-encoding is for columns that --text names"),
        ("--scoring best", 2, "--scoring 'best': known are "),
        (
            "--model ridge --target three --scoring accuracy --grid alpha=1",
            1,
            "--scoring accuracy does not suit ridge, which predicts numbers: ",
        ),
        ("--folds 1000", 1, "--folds 1,000: each fold takes rows of each class, and no class has"),
        ("--set C=1", 2, "--grid is needed: logistic has no C and no alpha to choose"),
    ],
)
@pytest.mark.usefixtures("data")
def test_what_is_said_of_searches(words, status, said, run):
    usual = "--target y --model logistic --drop raw --drop three"
    line = f"search data.csv {'' if '--target' in words else usual} -o m {words}"
    done = run(line)
    assert (done[0], said in done[2]) == (status, True)
    assert not Path("m").exists()


# -- resume ------------------------------------------------------------------------------------


SGD = "--target y --model sgd-classifier --set tol=none --drop raw --drop three"


@pytest.mark.usefixtures("data")
def test_one_pass_that_was_asked_for_is_not_too_few(run):
    line = "train data.csv --target y --model sgd-classifier --drop raw --drop three -o m.fastgd"
    for chunks in ("", "--chunk-rows 50"):
        assert "Maximum number of iteration" not in run(f"{line} --epochs 1 {chunks}")[2]
        assert "Maximum number of iteration" in run(f"{line} --epochs 2 {chunks}")[2]


@pytest.mark.usefixtures("data")
def test_a_training_goes_on(run):
    assert run(f"train data.csv {SGD} --epochs 2 --seed 0 --quiet -o m.fastgd")[0] == 0
    before = _archive.load(Path("m.fastgd"))[1]["model"]
    status, out, err = run("train data.csv --resume m.fastgd --epochs 3 -o n.fastgd")
    assert (status, err) == (0, "")
    card, pipeline = _archive.load(Path("n.fastgd"))
    after = pipeline["model"]
    assert (card.model, after.warm_start, after.max_iter) == ("sgd-classifier", False, 3)
    assert not np.array_equal(before.coef_, after.coef_)
    expected = _archive.load(Path("m.fastgd"))[1]
    frame = pd.read_csv("data.csv")
    X = expected["prepare"].transform(frame)
    expected["model"].set_params(warm_start=True, max_iter=3).fit(X, frame["y"].to_numpy())
    np.testing.assert_allclose(after.coef_, expected["model"].coef_, rtol=1e-12)
    assert "3 epochs" in out


@pytest.mark.usefixtures("data")
def test_what_is_refused_where_a_training_goes_on(run, data):
    assert run(LINE)[0] == 0
    for words, status, said in (
        ("--target y", 2, "--target and --resume: the model has it already."),
        ("--ngrams 1-2", 2, "--ngrams and --resume: the model has it already."),
        ("--epochs 2", 2, "--epochs: logistic finds its own end"),
        ("--model ridge", 2, "m.fastgd is logistic, and stays it."),
        ("--chunk-rows 9", 1, "--resume needs all rows in memory"),
        ("--set C=x", 2, "--set"),
    ):
        done = run(f"train data.csv --resume m.fastgd {words} -o n.fastgd")
        assert (done[0], said in done[2]) == (status, True), done
    data.assign(y=np.where(data["a"] > 0, "yes", "maybe")).to_csv("other.csv", index=False)
    status, _, err = run("train other.csv --resume m.fastgd -o n.fastgd")
    assert (status, "and the model knows no, yes. They must be the same." in err) == (1, True)
    assert not Path("n.fastgd").exists()


@pytest.mark.usefixtures("data")
def test_a_model_is_needed_unless_one_is_there(run):
    status, _, err = run("train data.csv --target y -o m.fastgd")
    assert (status, "--model is needed" in err) == (2, True)
