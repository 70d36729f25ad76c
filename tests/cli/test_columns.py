"""Columns of text, of dates and of identifiers, and words that are read as codes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from fastgd._readers import encoding
from fastgd._readers.dates import dtype_of, parts_of_dates
from fastgd._readers.encoding import Encoder
from fastgd._readers.layout import Layout, Wishes
from fastgd._readers.opening import open_reader
from fastgd._readers.summary import Summary, preparation
from fastgd.cli import _archive

GOOD = ["a fine and lovely film", "I like it very much", "really lovely and good fun"]
BAD = ["a bad and boring film", "I hate it very much", "really boring and awful stuff"]
N = 120


def reviews(rng):
    y = np.arange(N) % 2
    words = [f"{rng.choice(GOOD if label else BAD)} w{k} again" for k, label in enumerate(y)]
    frame = pd.DataFrame({"review": words, "shop": rng.choice(["north", "south"], N), "y": y})
    frame["a"] = rng.normal(size=N)
    frame.loc[3, "review"] = None
    return frame


TRAIN = "--target y --model logistic -o m.fastgd"


# -- text --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_text_is_weighed_as_scikit_learn_weighs_it(ending, run, rng):
    frame = reviews(rng)
    getattr(frame, f"to_{ending}")(f"data.{ending}", index=False)
    status, out, err = run(f"train data.{ending} --text review --ngrams 1-2 {TRAIN}")
    assert (status, err) == (0, "")
    assert "4 columns" not in out
    assert "3 columns (1 numeric, 1 categorical, 1 of text)" in out
    card, pipeline = _archive.load(Path("m.fastgd"))
    assert card.format == 2
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    expected = vectorizer.fit_transform(frame["review"].fillna(""))
    fitted = {name: part for name, part, _ in pipeline["prepare"].transformers_}["text 0"]
    made = fitted.transform(frame["review"].fillna(""))
    np.testing.assert_allclose(made.toarray(), expected.toarray(), rtol=1e-13)
    status, out, _ = run(f"evaluate m.fastgd data.{ending} --json")
    assert json.loads(out)["accuracy"] > 0.95


def test_the_same_predictions_as_by_the_pipeline_itself(run, rng):
    reviews(rng).to_csv("data.csv", index=False)
    assert run(f"train data.csv --text review --characters --ngrams 2-3 --quiet {TRAIN}")[0] == 0
    _, pipeline = _archive.load(Path("m.fastgd"))
    frame = pd.read_csv("data.csv").fillna({"review": ""})
    expected = pipeline.predict_proba(frame[["a", "shop", "review"]])
    run("predict m.fastgd data.csv --proba -o p.csv")
    np.testing.assert_allclose(pd.read_csv("p.csv").to_numpy()[:, 1:], expected, rtol=1e-12)


def test_text_is_hashed_in_chunks(run, rng):
    reviews(rng).to_csv("data.csv", index=False)
    line = f"train data.csv --text review --chunk-rows 50 {TRAIN}"
    assert run(f"{line} --quiet")[0] == 0
    assert json.loads(run("evaluate m.fastgd data.csv --json")[1])["accuracy"] > 0.8
    status, _, err = run(f"{line} --text-encoding tfidf")
    assert (status, "in chunks, words are hashed" in err) == (2, True)


def test_text_is_suggested_and_left_out_until_then(run, rng):
    reviews(rng).to_csv("data.csv", index=False)
    status, out, err = run(f"train data.csv {TRAIN}")
    assert status == 0
    assert "review seems to hold text, and is left out: --text review learns from its words" in err
    assert "2 columns (1 numeric, 1 categorical)" in out


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("--text reviev", 1, "Is 'review' meant?"),
        ("--text y", 2, "--text y: that is the target."),
        ("--text review --categorical review", 2, "either --categorical or --text, not both."),
        ("--text a --numeric a", 2, "either --numeric or --text, not both."),
    ],
)
def test_what_is_said_of_columns_of_text(words, status, said, run, rng):
    reviews(rng).to_csv("data.csv", index=False)
    done = run(f"train data.csv {words} {TRAIN}")
    assert (done[0], said in done[2]) == (status, True)


def test_text_without_words(run):
    pd.DataFrame({"t": ["-", "+"] * 9, "a": 1.0, "y": [0, 1] * 9}).to_csv("data.csv", index=False)
    status, _, err = run(f"train data.csv --text t {TRAIN}")
    assert (status, "the column 't' holds no words" in err) == (1, True)


# -- dates -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        (["2020-01-02", "1999-12-31"], "date"),
        (["2020-01-02 03:04", "2020-01-02"], "timestamp"),
        (["2020-01-02T03:04:05.25"], "timestamp"),
        (["2020-01-02T03:04:05Z", "2020-01-02 03:04+02:00"], "timestamp, UTC"),
        (["2020-01-02T03:04:05Z", "2020-01-02 03:04"], None),
        (["02.01.2020"], None),
        (["2020-01-02", "soon"], None),
        ([], None),
    ],
)
def test_which_columns_are_dates(cells, dtype):
    assert dtype_of(cells) == dtype


def dated(rng):
    when = pd.Timestamp("2019-11-03") + pd.to_timedelta(rng.integers(0, 10**6, N), unit="min")
    frame = pd.DataFrame({"when": when, "y": (when.day_of_week >= 5).astype(int), "a": 0.5})
    frame.loc[7, "when"] = pd.NaT
    return frame


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_dates_become_numbers_and_categories(ending, tmp_path, rng):
    frame, path = dated(rng), tmp_path / f"data.{ending}"
    getattr(frame, f"to_{ending}")(path, index=False)
    reader = open_reader(path)
    layout = reader.layout(Wishes("y", drop=("a",), dates=True))
    (chunk,) = reader.read(layout, None, target=True)
    when = frame["when"].dt
    np.testing.assert_array_equal(chunk.X["when (year)"], when.year)
    days = (frame["when"] - pd.Timestamp(0)) / pd.Timedelta(days=1)
    np.testing.assert_allclose(chunk.X["when (days)"], days)
    for name, expected in (
        ("month", when.month_name()),
        ("weekday", when.day_name()),
        ("hour", when.hour.map("{:02.0f}".format, na_action="ignore")),
    ):
        made = chunk.X[f"when ({name})"].astype(object)
        np.testing.assert_array_equal(made.fillna("none"), expected.astype(object).fillna("none"))
    assert Layout.from_dict(layout.as_dict()) == layout


def test_a_model_of_dates_predicts_from_either_file(run, rng):
    frame = dated(rng)
    frame.to_csv("data.csv", index=False)
    frame.to_parquet("data.parquet", index=False)
    status, out, err = run(f"train data.csv --set C=100 {TRAIN}")
    assert (status, err) == (0, "")
    assert "2 columns (1 numeric, 0 categorical, 1 of dates)" in out
    scores = [run(f"evaluate m.fastgd data.{end} --json")[1] for end in ("csv", "parquet")]
    assert scores[0] == scores[1]
    assert json.loads(scores[0])["accuracy"] > 0.9


def test_a_cell_that_is_no_date_is_named_by_line(run):
    text = "when,a,y\n" + "2020-01-02,1,0\n2020-02-03,2,1\n" * 6000 + "soon,1,0\n"
    Path("data.csv").write_text(text)
    status, _, err = run(f"train data.csv {TRAIN}")
    assert status == 1
    assert "data.csv, line 12,002, column 'when': 'soon' is not a date." in err
    assert run(f"train data.csv --drop when --quiet {TRAIN}")[0] == 0


def test_dates_can_be_categories(run):
    pd.DataFrame({"when": ["2020-01-02", "2020-01-03"] * 9, "y": [0, 1] * 9}).to_csv(
        "data.csv", index=False
    )
    status, out, _ = run(f"train data.csv --categorical when {TRAIN}")
    assert (status, "1 column (0 numeric, 1 categorical)" in out) == (0, True)


# -- identifiers and targets -------------------------------------------------------------------


def test_identifiers_are_left_out(run, rng):
    frame = reviews(rng)[["shop", "a", "y"]].assign(id=[f"user{k}" for k in range(N)])
    frame["when"] = [f"{1 + k % 28:02}.{1 + k // 28:02}.2020" for k in range(N)]
    frame.to_csv("data.csv", index=False)
    status, out, err = run(f"train data.csv {TRAIN}")
    assert (status, "2 columns" in out) == (0, True)
    assert "id is left out, since it has 120 different values in 120 rows." in err
    assert "when seems to hold dates, such as '" in err
    assert ".2020', and is left out: dates are read where" in err
    assert "3 columns" in run(f"train data.csv --categorical id {TRAIN}")[1]


def test_a_target_of_many_numbers_is_no_set_of_classes(run, rng):
    frame = pd.DataFrame({"a": rng.normal(size=300), "y": np.arange(300)})
    frame.to_csv("data.csv", index=False)
    status, _, err = run(f"train data.csv {TRAIN}")
    assert status == 1
    assert "the target 'y' holds 300 different numbers, and logistic predicts classes." in err
    assert "ridge" in err
    assert err.rstrip().endswith("If they are classes: --categorical y")


# -- codes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("standardize", [True, False])
def test_codes_are_encoded_as_scikit_learn_encodes_words(dense, standardize, tmp_path, rng):
    frame = pd.DataFrame({"a": rng.normal(size=50), "b": rng.integers(0, 3, 50)})
    frame["c"] = rng.choice(["x", "y", None], 50)
    frame["d"] = rng.choice([f"w{k:02}" for k in range(3 if dense else 60)], 50)
    frame["e"] = rng.random(50) < 0.5
    frame.loc[3, "a"] = np.nan
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame[["d", "c", "e", "b", "a"]].iloc[::-1].to_parquet(
        tmp_path / "new.parquet", row_group_size=7
    )
    reader = open_reader(tmp_path / "data.csv")
    layout = reader.layout(Wishes(None))
    summary = Summary(reader, layout, classifies=True)
    (chunk,) = reader.read(layout, None, target=False)
    summary.add(chunk.rows(np.arange(50) < 40))  # the others have words that are not known
    prepare = preparation(layout, summary, standardize=standardize)
    assert prepare.sparse_output_ != dense
    for path in ("data.csv", "new.parquet"):
        for part in open_reader(tmp_path / path).read(layout, 20, target=False):
            words = part.X.astype(dict.fromkeys("cde", object))
            expected, made = prepare.transform(words), Encoder(prepare).transform(part.X)
            if not dense:
                made.check_format(full_check=True)
                expected, made = expected.toarray(), made.toarray()
            np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("days", [20, 10**6], ids=["few days", "each its own"])
def test_parts_of_dates_are_numpys(rng, days):
    elapsed = rng.integers(-days * 86_400_000_000, days * 86_400_000_000, 300)
    elapsed[:2] = -1, 0
    dates = elapsed.view("M8[us]")
    dates[7] = "NaT"
    made = parts_of_dates("t", "timestamp", dates, pd)
    lost, known = np.isnat(dates), np.where(np.isnat(dates), np.datetime64(0, "us"), dates)
    day = known.astype("M8[D]")
    wanted = {
        "t (year)": np.where(lost, np.nan, known.astype("M8[Y]").astype(int) + 1970),
        "t (days)": np.where(lost, np.nan, known.astype(np.int64) / 86_400_000_000),
        "t (month)": np.where(lost, -1, known.astype("M8[M]").astype(int) % 12),
        "t (weekday)": np.where(lost, -1, (day.astype(int) + 3) % 7),
        "t (hour)": np.where(lost, -1, (known - day) // np.timedelta64(1, "h")),
    }
    for name, values in wanted.items():
        np.testing.assert_array_equal(getattr(made[name], "codes", made[name]), values)
    assert set(made) == set(wanted)


@pytest.mark.parametrize("share", [0.1, 0.9], ids=["mostly zeros", "full"])
@pytest.mark.parametrize("has_unknown", [False, True])
def test_rows_are_laid_out_as_dense_ones(rng, share, has_unknown):
    numbers = rng.normal(size=(50, 3)) * (rng.random((50, 3)) < share)
    codes = rng.integers(3, 8, (50, 2)).astype(np.int32)
    codes[:, 1] += 5
    if has_unknown:
        codes[4, 0] = -1
    made, wanted = encoding._sparse(numbers, codes, 13), encoding._dense(numbers, codes, 13)
    np.testing.assert_array_equal(made.toarray(), wanted)
    assert made.has_sorted_indices
    assert made.nnz == (250 if share > 0.5 and not has_unknown else np.count_nonzero(wanted))
