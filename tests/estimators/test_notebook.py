"""What notebooks show: scikit-learn's diagram, and below it what a fit has found."""

import importlib.metadata
import re
from email.message import Message

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastgd
from fastgd._export import notebook

BOX = '<details class="fastgd-fit"'


@pytest.fixture
def frame(rng):
    """Return a table with a column that would be a script, and labels that would be one, too."""
    X = pd.DataFrame(rng.normal(size=(40, 3)), columns=["age", "<script>x</script>", "height"])
    return X, np.where(X["height"] > 0, "<b>tall</b>", "small")


def test_a_fit_is_shown_once_there_is_one(frame):
    model = fastgd.LogisticRegression()
    assert BOX not in model._repr_html_()
    shown = model.fit(*frame)._repr_html_()
    assert shown.startswith("<style>"), "scikit-learn's diagram"
    box = shown[shown.index(BOX) :]
    assert f"objective</th><td>{model.objective_:.6g}" in box
    assert f"passes</th><td>{model.n_iter_[0]}" in box
    assert "distance from the optimum, at most" in box
    strongest = re.findall(r"<th>([^<]+)</th><td>([+-][^<]+)</td><td class=\"bar\">", box)
    assert strongest[0] == ("height", f"{model.coef_[0, 2]:+.6g}")


def test_what_data_hold_is_escaped(frame):
    X, y = frame
    y = np.where(X["age"] > 0.5, "<i>old</i>", y)  # three classes: their names are shown
    shown = fastgd.SoftmaxRegression().fit(X, y)._repr_html_()
    box = shown[shown.index(BOX) :]
    assert "&lt;script&gt;x&lt;/script&gt; [&lt;b&gt;tall&lt;/b&gt;]" in box
    assert "<script>" not in box
    assert "<b>" not in box
    assert "<i>" not in box


@pytest.mark.parametrize(
    "model",
    [fastgd.SGDClassifier(max_iter=3, tol=None), fastgd.RidgeCV(), fastgd.Lasso(0.01)],
    ids=lambda model: type(model).__name__,
)
def test_every_kind_of_estimator_shows_its_fit(model, rng):
    X = rng.normal(size=(40, 3))
    shown = model.fit(X, (X[:, 0] > 0).astype(int))._repr_html_()
    assert BOX in shown
    assert "<th>x0</th>" in shown


def test_coefficients_that_are_all_zero_are_said_to_be(rng):
    X = rng.normal(size=(40, 3))
    assert "All coefficients are zero." in fastgd.Lasso(9.0).fit(X, X[:, 0])._repr_html_()


def test_coefficients_that_are_sparse_are_shown_as_dense_ones_are(rng):
    X = rng.normal(size=(40, 3))
    model = fastgd.SGDClassifier(max_iter=3, tol=None, random_state=0)
    dense = notebook.fit_as_html(model.fit(X, np.arange(40) % 3))
    assert "<th>x0 [" in dense
    assert notebook.fit_as_html(model.sparsify()) == dense


@pytest.mark.nojit
def test_a_pipeline_is_shown_as_scikit_learn_shows_it():
    assert (
        "LogisticRegression"
        in make_pipeline(StandardScaler(), fastgd.LogisticRegression())._repr_html_()
    )


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("urls", "link"),
    [
        ([], ""),
        (
            ["Source, https://a.example/src", "Documentation, https://docs.example/fastgd/"],
            "https://docs.example/fastgd/generated/api/fastgd.Ridge.html",
        ),
    ],
)
def test_the_diagram_links_to_the_pages_that_the_package_names(urls, link, monkeypatch):
    about = Message()
    for url in urls:
        about["Project-URL"] = url
    monkeypatch.setattr(importlib.metadata, "metadata", lambda _: about)
    notebook.documentation.cache_clear()
    assert fastgd.Ridge()._get_doc_link() == link
    notebook.documentation.cache_clear()
