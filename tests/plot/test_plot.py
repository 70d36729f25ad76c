"""Displays show what was trained, say what they cannot show, and leave estimators as they were."""

import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
from sklearn import linear_model
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastgd
from fastgd import plot
from fastgd._networks.assembly import Assembly
from fastgd.layers import Conv2D, Dense, MaxPool2D
from fastgd.neural_network import MLPClassifier, NetworkClassifier
from fastgd.plot import _path, _style
from fastgd.plot._estimators import named

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402

DISPLAYS = [getattr(plot, name) for name in plot.__all__]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture(scope="module")
def fitted(cancer):
    return fastgd.SGDClassifier(early_stopping=True, random_state=0).fit(*cancer)


@pytest.fixture(scope="module")
def solved(cancer):
    return fastgd.LogisticRegression().fit(*cancer)


def drawn(display):
    """Draw all of it, as a file does, and return what is written."""
    display.figure_.canvas.draw()
    return [text.get_text() for text in display.figure_.findobj(matplotlib.text.Text)]


def names_in_legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def state_of(estimator):
    return pickle.dumps(estimator)


# -- all ------------------------------------------------------------------------------------------


def test_importing_needs_no_matplotlib():
    program = "import sys, fastgd.plot; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_without_matplotlib_the_error_says_what_gets_it(monkeypatch, cancer, fitted):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    model = fastgd.SGDClassifier()
    calls = {
        "LossCurveDisplay": lambda: plot.LossCurveDisplay.from_estimator(fitted),
        "ConvergenceDisplay": lambda: plot.ConvergenceDisplay.from_estimator(model, *cancer),
        "LearningRateDisplay": lambda: plot.LearningRateDisplay.from_estimator(model, *cancer),
        "CoefficientPathDisplay": lambda: plot.CoefficientPathDisplay.from_estimator(
            model, *cancer
        ),
        "DescentPathDisplay": lambda: plot.DescentPathDisplay.from_estimator(model, *cancer),
        "GradientFlowDisplay": lambda: plot.GradientFlowDisplay({"gradient_norm/0": [1.0]}).plot(),
        "NetworkDisplay": lambda: plot.NetworkDisplay(np.ones((1, 2, 2))).plot(),
    }
    assert set(calls) == set(plot.__all__)
    for name, call in calls.items():
        with pytest.raises(ImportError, match=rf'{name} needs matplotlib: pip install "fastgd\[pl'):
            call()


def test_axes_must_be_axes(fitted):
    with pytest.raises(TypeError, match="ax must be matplotlib's Axes or None, got list"):
        plot.LossCurveDisplay.from_estimator(fitted, ax=[1, 2])


def test_styles_differ():
    styles = [tuple(map(str, _style.style_of(number).values())) for number in range(35)]
    assert len(set(styles)) == 35


def test_legends_make_room(fitted):
    alone = plot.LossCurveDisplay.from_estimator(fitted).ax_
    drawn_above = alone.get_legend().get_window_extent().y0
    assert drawn_above >= alone.get_window_extent().y1
    _, titled = pyplot.subplots()
    titled.set_title("a title")
    plot.LossCurveDisplay.from_estimator(fitted, ax=titled)
    assert titled.get_legend().get_window_extent().y1 <= titled.get_window_extent().y1
    many = plot.LossCurveDisplay({f"curve {k}": {"objective": [2.0, 1.0]} for k in range(5)}).plot()
    box = many.ax_.get_legend().get_window_extent()
    assert box.y0 >= many.ax_.get_window_extent().y1


def test_estimators_get_names():
    one, other = fastgd.Ridge(), make_pipeline(StandardScaler(), fastgd.Ridge())
    assert list(named([one, fastgd.Lasso(), other])) == ["Ridge 1", "Lasso", "Ridge 2"]
    assert named({"a": one}) == {"a": one}
    for nothing in ([], {}):
        with pytest.raises(ValueError, match="estimators is empty"):
            named(nothing)
    for wrong in (one, "Ridge", other):
        with pytest.raises(TypeError, match="a dict of names to estimators or a list"):
            named(wrong)
    with pytest.raises(TypeError, match="got the class Ridge"):
        named([fastgd.Ridge])
    with pytest.raises(TypeError, match="got 3"):
        named([3])


@pytest.mark.full
def test_the_page_draws_its_figures():
    from docs.make_pictures import PAGE, pictures

    drawn_by_page = dict(pictures())
    assert len(drawn_by_page) == len(plot.__all__)
    assert set(drawn_by_page) == set(re.findall(r"\]\((figures/[^)]+)\)", PAGE.read_text()))
    for name, figure in drawn_by_page.items():
        kept = (PAGE.parent / name).read_text(encoding="utf-8")
        assert len(kept) < 200_000
        for label in {ax.get_xlabel() for ax in figure.axes} - {""}:
            assert f"<!-- {label} -->" in kept, "python docs/make_pictures.py draws it anew"


def test_clones_are_quiet_and_pipelines_may_be_short(cancer, capsys):
    model = fastgd.SGDClassifier(verbose=2, max_iter=3, tol=None, random_state=0)
    for estimator in (model, make_pipeline(model)):
        plot.ConvergenceDisplay.from_estimator(estimator, *cancer)
    assert capsys.readouterr() == ("", "")


# -- loss curves ----------------------------------------------------------------------------------


def test_a_loss_curve_is_the_history(fitted):
    before = state_of(fitted)
    display = plot.LossCurveDisplay.from_estimator(fitted)
    history = fitted.history_
    (line,), (scores,) = display.lines_, display.score_lines_
    np.testing.assert_array_equal(line.get_ydata(), history["objective"])
    np.testing.assert_array_equal(line.get_xdata(), np.arange(1, fitted.n_iter_ + 1))
    np.testing.assert_array_equal(scores.get_ydata(), history["validation_score"])
    assert scores.axes is display.score_ax_
    assert display.score_ax_ is not display.ax_
    assert scores.get_color() == line.get_color()
    assert display.figure_ is display.ax_.figure
    written = drawn(display)
    assert {"epoch", "objective", "validation score", "SGDClassifier"} <= set(written)
    assert names_in_legend(display.ax_)[1] == "SGDClassifier, validation score (right)"
    assert state_of(fitted) == before


def test_a_solver_s_curve_has_no_second_axis(solved):
    display = plot.LossCurveDisplay.from_estimator(solved, color="black")
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), solved.history_["objective"])
    assert display.lines_[0].get_color() == "black"
    assert display.score_ax_ is None
    assert display.score_lines_ == []
    assert display.ax_.get_xlabel() == "pass over the data"


def test_what_a_solver_by_sdca_notes_is_drawn(cancer):
    model = fastgd.LogisticRegression(solver="sdca").fit(*cancer)
    display = plot.LossCurveDisplay.from_estimator(model)
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), model.history_["loss_estimate"])
    assert display.ax_.get_ylabel() == "loss estimate"


def test_curves_share_axes_and_differ(fitted):
    first = plot.LossCurveDisplay.from_estimator(fitted, name="one")
    second = plot.LossCurveDisplay.from_estimator(fitted, name="two", ax=first.ax_)
    assert second.score_ax_ is first.score_ax_
    assert second.lines_[0].get_color() != first.lines_[0].get_color()
    assert [line.get_label() for line in first.ax_.lines] == ["one", "two"]
    assert len(names_in_legend(first.ax_)) == 4
    other = pyplot.figure().subplots(1, 2)
    right = plot.LossCurveDisplay.from_estimator(fitted, ax=other[1])
    left = plot.LossCurveDisplay.from_estimator(fitted, ax=other[0])
    assert left.score_ax_ is not right.score_ax_


def test_several_estimators(fitted, solved):
    models = {"sgd": make_pipeline(fitted), "newton": solved}
    display = plot.LossCurveDisplay.from_estimators(models)
    assert [line.get_label() for line in display.lines_] == ["sgd", "newton"]
    assert len(display.score_lines_) == 1
    assert display.ax_.get_xlabel() == "pass over the data"


def test_each_target_has_a_curve(rng):
    X = rng.normal(size=(40, 3))
    model = fastgd.Ridge().fit(X, X @ rng.normal(size=(3, 2)))
    display = plot.LossCurveDisplay.from_estimator(model)
    assert [line.get_label() for line in display.lines_] == ["Ridge, output 0", "Ridge, output 1"]
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), model.history_[1]["objective"])


def test_the_best_of_a_search_is_drawn(cancer):
    X, y = cancer
    search = GridSearchCV(fastgd.SGDClassifier(random_state=0), {"alpha": [1e-3]}, cv=2).fit(X, y)
    display = plot.LossCurveDisplay.from_estimator(search)
    history = search.best_estimator_.history_
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), history["objective"])


def test_quantities_and_scales(fitted):
    display = plot.LossCurveDisplay.from_estimator(fitted, quantity="coef_norm", log_scale=True)
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), fitted.history_["coef_norm"])
    assert display.ax_.get_ylabel() == "coef norm"
    assert display.ax_.get_yscale() == "log"
    for values, scale in (([5.0, 0.1], "log"), ([5.0, 4.0], "linear"), ([5.0, -1.0], "linear")):
        display = plot.LossCurveDisplay.from_history({"objective": values}, name="mine")
        assert display.ax_.get_yscale() == scale
        assert names_in_legend(display.ax_) == ["mine"]


def test_what_has_no_curve_is_reported(fitted, cancer):
    with pytest.raises(NotFittedError):
        plot.LossCurveDisplay.from_estimator(fastgd.SGDClassifier())
    with pytest.raises(NotFittedError):
        plot.LossCurveDisplay.from_estimators([fitted, fastgd.Lasso()])
    theirs = linear_model.SGDClassifier(random_state=0).fit(*cancer)
    with pytest.raises(TypeError, match="SGDClassifier has no history_: only estimators of fastgd"):
        plot.LossCurveDisplay.from_estimator(theirs)
    with pytest.raises(ValueError, match=r"SGDClassifier has no 'gap'; it has 'objective', 'loss'"):
        plot.LossCurveDisplay.from_estimator(fitted, quantity="gap")
    with pytest.raises(ValueError, match="no 'objective' or 'loss_estimate'; it has nothing"):
        plot.LossCurveDisplay.from_history({"objective": []})
    with pytest.raises(ValueError, match="histories is empty"):
        plot.LossCurveDisplay({})


# -- convergence ----------------------------------------------------------------------------------


def test_convergence_of_all_kinds(cancer):
    X, y = cancer
    models = {
        "sgd": fastgd.SGDClassifier(
            loss="log_loss", alpha=1 / len(y), max_iter=3, tol=None, random_state=0
        ),
        "newton": make_pipeline(StandardScaler(), fastgd.LogisticRegression(tol=1e-8)),
        "theirs": linear_model.LogisticRegression(tol=1e-8),
    }

    def objective(model):
        raw = X @ model.coef_[0] + model.intercept_[0]
        loss = np.logaddexp(0.0, -(2 * y - 1) * raw).mean()
        return loss + np.square(model.coef_).sum() / (2 * len(y))

    before = state_of(models)
    display = plot.ConvergenceDisplay.from_estimators(models, X, y, objective=objective)
    assert state_of(models) == before
    sgd, newton, theirs = display.traces.values()
    np.testing.assert_array_equal(sgd.passes, [1, 2, 3])
    once = models["sgd"].set_params(monitor=True).fit(X, y)
    np.testing.assert_allclose(sgd.objective, once.history_["true_objective"])
    solved = models["newton"].fit(X, y)[-1]
    assert newton.objective[-1] == pytest.approx(solved.objective_)
    assert newton.objective[-1] == pytest.approx(objective(solved))
    assert theirs.objective[-1] == pytest.approx(newton.objective[-1], rel=1e-6)
    for trace in display.traces.values():
        assert (np.diff(trace.seconds) >= 0).all()
        assert (np.diff(trace.passes) > 0).all()
    assert display.best_ == min(trace.objective.min() for trace in display.traces.values())
    np.testing.assert_allclose(display.lines_[0].get_ydata(), sgd.objective - display.best_)
    assert display.ax_.get_xscale() == display.ax_.get_yscale() == "log"
    assert {"passes over the data", "objective minus the lowest"} <= set(drawn(display))
    display.plot(against="seconds")
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), sgd.seconds)
    assert display.ax_.get_xlabel() == "seconds"


def test_convergence_of_a_history(solved):
    history = {"objective": [3.0, 2.0, 1.5], "seconds": [0.1, 0.2, 0.3]}
    display = plot.ConvergenceDisplay.from_history(history, best=1.0, against="seconds")
    np.testing.assert_allclose(display.lines_[0].get_xdata(), [0.1, 0.3, 0.6])
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), [2.0, 1.0, 0.5])
    assert display.best_ == 1.0
    display = plot.ConvergenceDisplay.from_history(solved.history_)
    lowest = np.argmin(solved.history_["objective"])
    assert np.isnan(display.lines_[0].get_ydata()[lowest]), "zero has no place on a log axis"
    with pytest.raises(ValueError, match="It is not known how many seconds objective took"):
        display.plot(against="seconds")


def test_what_cannot_be_compared_is_reported(cancer):
    from_estimator = plot.ConvergenceDisplay.from_estimator
    with pytest.raises(ValueError, match="does not report its objective: pass objective="):
        from_estimator(linear_model.LogisticRegression(), *cancer)
    with pytest.raises(TypeError, match="LinearRegression has no max_iter"):
        from_estimator(linear_model.LinearRegression(), *cancer)
    with pytest.raises(ValueError, match="holds rows out, and so minimises another objective"):
        from_estimator(fastgd.SGDClassifier(early_stopping=True), *cancer)
    with pytest.raises(ValueError, match="against must be 'passes' or 'seconds', got 'epochs'"):
        from_estimator(fastgd.LogisticRegression(), *cancer, against="epochs")
    with pytest.raises(ValueError, match="no 'objective', or it is empty"):
        plot.ConvergenceDisplay.from_history({"loss": [1.0]})
    with pytest.raises(ValueError, match="traces is empty"):
        plot.ConvergenceDisplay({})
    with pytest.raises(ValueError, match="1-d arrays of one length"):
        plot.ConvergenceDisplay({"a": ([1.0], [1.0, 2.0], [1.0])})
    with pytest.raises(ValueError, match="no finite objective"):
        plot.ConvergenceDisplay({"a": ([1.0], [1.0], [np.nan])})
    with pytest.raises(ValueError, match="best must be a finite number"):
        plot.ConvergenceDisplay({"a": ([1.0], [1.0], [1.0])}, best=np.inf)


# -- learning rates -------------------------------------------------------------------------------


def test_a_rate_is_suggested_that_trains_well(cancer):
    X, y = cancer
    model = fastgd.SGDClassifier(batch_size=32, class_weight="balanced", random_state=0)
    before = state_of(model)
    display = plot.LearningRateDisplay.from_estimator(model, X, y)
    assert state_of(model) == before
    rates = display.rates
    np.testing.assert_allclose(rates, np.geomspace(1e-6, 10.0, 100)[: rates.size])
    np.testing.assert_array_equal(display.line_.get_xdata(), rates)
    np.testing.assert_array_equal(display.line_.get_ydata(), display.smoothed_)
    np.testing.assert_array_equal(display.points_.get_ydata(), display.losses)
    np.testing.assert_array_equal(display.suggestion_line_.get_xdata(), [display.suggestion_] * 2)
    assert display.suggestion_ == pytest.approx(rates[np.argmin(display.smoothed_)] / 3)
    assert display.ax_.get_xscale() == "log"
    assert {"learning rate", "objective of the rows"} <= set(drawn(display))
    kwargs = {"learning_rate": "constant", "max_iter": 5, "tol": None}
    model.set_params(eta0=display.suggestion_, **kwargs).fit(X, y)
    assert model.score(X, y) > 0.95
    again = plot.LearningRateDisplay.from_estimator(model, X, y, random_state=0)
    np.testing.assert_array_equal(again.losses[:3], display.losses[:3])


def test_a_ramp_ends_where_it_explodes():
    X, y = load_diabetes(return_X_y=True)
    model = make_pipeline(StandardScaler(), fastgd.SGDRegressor())
    display = plot.LearningRateDisplay.from_estimator(model, X, y, name="diabetes")
    assert display.rates[-1] < 1.0
    assert np.isfinite(display.losses).all()
    assert display.losses.max() <= 4 * display.losses.min() or (
        display.losses.max() < 1.5 * display.losses[0]
    )
    assert names_in_legend(display.ax_)[0].startswith("diabetes: eta0 = ")
    two = plot.LearningRateDisplay(display.rates, display.losses).plot(display.ax_)
    assert len(names_in_legend(two.ax_)) == 2
    with pytest.raises(ValueError, match="explodes at the first rates from 10 on: scale the feat"):
        plot.LearningRateDisplay.from_estimator(
            fastgd.SGDRegressor(), X * 1e4, y, start=10.0, stop=1e6
        )


def test_rows_without_a_target_and_full_batches(cancer):
    X, _ = cancer
    display = plot.LearningRateDisplay.from_estimator(
        fastgd.SGDOneClassSVM(batch_size="full"), X, n_rates=12, start=1e-3
    )
    assert 2 <= display.rates.size <= 12


def test_lots_are_rounds_over_all_rows():
    from fastgd.plot._learning_rate import _lots

    lots = _lots(300, 100, np.random.RandomState(0))
    met = np.concatenate([next(lots) for _ in range(3)])
    assert met.size == 900
    for first in (0, 300, 600):
        np.testing.assert_array_equal(np.sort(met[first : first + 300]), np.arange(300))
    assert next(_lots(1000, 100, np.random.RandomState(0))).size == 300
    assert next(_lots(1000, "full", np.random.RandomState(0))).size == 1000


def test_what_has_no_rate_is_reported(cancer):
    from_estimator = plot.LearningRateDisplay.from_estimator
    with pytest.raises(TypeError, match="LogisticRegression has no learning rate to look for"):
        from_estimator(fastgd.LogisticRegression(), *cancer)
    for start, stop in ((1.0, 1.0), (0.0, 1.0), (1.0, np.inf), ("a", 1.0)):
        with pytest.raises(ValueError, match="0 < start < stop is needed"):
            from_estimator(fastgd.SGDClassifier(), *cancer, start=start, stop=stop)
    with pytest.raises(ValueError, match="n_rates must be an integer >= 10, got 3"):
        from_estimator(fastgd.SGDClassifier(), *cancer, n_rates=3)
    with pytest.raises(ValueError, match="of one length, 2 or more; got shapes"):
        plot.LearningRateDisplay([1.0], [1.0])
    with pytest.raises(ValueError, match="rates must be positive, finite and rising"):
        plot.LearningRateDisplay([1.0, 0.5], [1.0, 2.0])
    with pytest.raises(ValueError, match="losses must be finite"):
        plot.LearningRateDisplay([1.0, 2.0], [1.0, np.nan])


# -- coefficients ---------------------------------------------------------------------------------


def test_the_path_of_the_lasso():
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    model = fastgd.Lasso(tol=1e-9)
    before = state_of(model)
    display = plot.CoefficientPathDisplay.from_estimator(model, X, y)
    assert state_of(model) == before
    assert display.coefs.shape == (60, 10)
    np.testing.assert_array_equal(display.coefs[0], 0.0)
    assert (display.coefs[1] != 0).sum() >= 1, "the first strength is the least that makes zeros"
    for place in (20, 59):
        alone = fastgd.Lasso(display.strengths[place], tol=1e-9).fit(X, y)
        np.testing.assert_allclose(display.coefs[place], alone.coef_, atol=1e-2)
    for line, coef in zip(display.lines_, display.coefs.T, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), display.strengths)
        np.testing.assert_array_equal(line.get_ydata(), coef)
    assert display.ax_.get_xscale() == "log"
    left, right = display.ax_.get_xlim()
    assert left > right, "the penalty weakens to the right"
    assert {text.get_text() for text in display.labels_} == set(X.columns)
    drawn(display)
    boxes = [text.get_window_extent() for text in display.labels_]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    norms = np.abs(display.coefs).sum(axis=1)
    display.plot(against="l1_norm")
    np.testing.assert_array_equal(display.lines_[0].get_xdata(), norms)
    assert display.ax_.get_xscale() == "linear"


def test_the_path_of_a_classifier_in_a_pipeline(cancer):
    X, y = cancer
    model = make_pipeline(StandardScaler(), fastgd.LogisticRegression())
    strengths = [1.0, 0.01, 0.1]
    display = plot.CoefficientPathDisplay.from_estimator(
        model, X, y, strengths=strengths, n_labels=3, sample_weight=np.ones(len(y))
    )
    np.testing.assert_array_equal(display.strengths, [0.01, 0.1, 1.0])
    alone = fastgd.LogisticRegression(C=1.0).fit(StandardScaler().fit_transform(X), y)
    np.testing.assert_allclose(display.coefs[2], alone.coef_[0], rtol=1e-2, atol=1e-3)
    largest = set(np.argsort(-np.abs(display.coefs[2]))[:3])
    named = {int(text.get_text().removeprefix("x")) for text in display.labels_}
    assert named == largest
    pale = [j for j, line in enumerate(display.lines_) if line.get_color() == "0.78"]
    assert set(pale) == set(range(30)) - largest
    assert display.ax_.get_xlabel().startswith("C (")
    assert display.ax_.get_xlim() == (0.01, 1.0)
    names = [f"feature {j}" for j in range(30)]
    display = plot.CoefficientPathDisplay.from_estimator(
        model, X, y, strengths=[0.1, 1.0], feature_names=names
    )
    assert list(display.feature_names) == names


def test_default_strengths():
    X, y = load_diabetes(return_X_y=True)
    of = _path._default
    for model, factor in ((fastgd.Lasso(), 1.0), (fastgd.ElasticNet(l1_ratio=0.5), 2.0)):
        strengths = of(model, "alpha", X, y)
        assert strengths[0] == pytest.approx(factor * np.abs(X.T @ (y - y.mean())).max() / len(y))
        assert strengths[0] / strengths[-1] == pytest.approx(1e3)
        np.testing.assert_array_equal(model.set_params(alpha=strengths[0]).fit(X, y).coef_, 0.0)
    np.testing.assert_allclose(of(fastgd.Ridge(2.0), "alpha", X, y)[[0, -1]], [0.02, 2000.0])
    np.testing.assert_allclose(of(fastgd.LinearSVC(), "C", X, y)[[0, -1]], [1e-3, 100.0])
    weight, lasso = np.arange(1.0, len(y) + 1), fastgd.Lasso(fit_intercept=False)
    lasso.set_params(alpha=of(lasso, "alpha", X, y, weight)[0])
    np.testing.assert_array_equal(lasso.fit(X, y, sample_weight=weight).coef_, 0.0)
    lasso.set_params(alpha=0.99 * lasso.alpha)
    assert lasso.fit(X, y, sample_weight=weight).coef_.any()
    sgd = fastgd.SGDRegressor(penalty="l1")
    assert of(sgd, "alpha", X, y)[0] == pytest.approx(of(fastgd.Lasso(), "alpha", X, y)[0])


@pytest.mark.parametrize("n_labels", [0, 1, 30])
def test_labels_stay_apart(n_labels, rng):
    places = np.sort(rng.uniform(0.4, 0.5, n_labels))[::-1]
    moved = _path._apart(places, 0.05)
    assert (np.diff(moved) <= -0.05 + 1e-12).all()
    if n_labels > 0:
        assert moved.mean() == pytest.approx(places.mean())
    np.testing.assert_allclose(_path._apart(np.array([0.9, 0.1]), 0.05), [0.9, 0.1])


def test_what_has_no_path_is_reported(cancer):
    X, y = cancer
    from_estimator = plot.CoefficientPathDisplay.from_estimator
    for model in (fastgd.LinearRegression(), linear_model.Lasso()):
        with pytest.raises(TypeError, match="has no penalty whose strength is alpha or C"):
            from_estimator(model, X, y)
    with pytest.raises(ValueError, match="output must be at least 0 and less than 1, got 1"):
        from_estimator(fastgd.Ridge(), X, y, output=1)
    for strengths in ([1.0], [0.0, 1.0], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="strengths must be 1-d, two or more numbers > 0"):
            from_estimator(fastgd.Ridge(), X, y, strengths=strengths)
    with pytest.raises(ValueError, match="strengths must be finite"):
        from_estimator(fastgd.Ridge(), X, y, strengths=[1.0, np.inf])
    display = plot.CoefficientPathDisplay([2.0, 1.0], np.zeros((2, 3)))
    with pytest.raises(ValueError, match="against must be 'strength' or 'l1_norm', got 'alpha'"):
        display.plot(against="alpha")
    with pytest.raises(ValueError, match=r"coefs must have shape \(2, n_features\)"):
        plot.CoefficientPathDisplay([2.0, 1.0], np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"feature_names must have shape \(3,\), got \(1,\)"):
        plot.CoefficientPathDisplay([2.0, 1.0], np.zeros((2, 3)), feature_names=["a"])
    with pytest.raises(ValueError, match="strength_name must be 'alpha' or 'C'"):
        plot.CoefficientPathDisplay([2.0, 1.0], np.zeros((2, 3)), strength_name="lambda")


# -- descent --------------------------------------------------------------------------------------

STEPS = {"batch_size": "full", "learning_rate": "constant", "random_state": 0}


@pytest.fixture(scope="module")
def petals():
    X = load_iris().data
    return X[:, 2:3], X[:, 3]


def test_paths_are_those_of_the_estimators(petals):
    X, y = petals
    models = {
        "sgd": fastgd.SGDRegressor(eta0=0.05, **STEPS),
        "adam": fastgd.SGDRegressor(eta0=0.2, optimizer="adam", **STEPS),
    }
    before = state_of(models)
    display = plot.DescentPathDisplay.from_estimators(models, X, y, start=(-1, 2), n_epochs=9)
    assert state_of(models) == before
    for (name, model), line in zip(models.items(), display.lines_, strict=True):
        model.set_params(max_iter=9, tol=None).fit(X, y, coef_init=[-1.0], intercept_init=[2.0])
        path = display.paths[name]
        assert path.shape == (10, 2)
        np.testing.assert_array_equal(path[0], [-1.0, 2.0])
        np.testing.assert_allclose(path[-1], [model.coef_[0], model.intercept_[0]])
        np.testing.assert_array_equal(line.get_xydata(), path)
    assert {"coefficient", "intercept", "start", "sgd", "adam"} <= set(drawn(display))


def test_contours_are_those_of_the_objective(petals):
    X, y = petals
    model = fastgd.SGDRegressor(alpha=0.3, eta0=0.05, **STEPS)
    display = plot.DescentPathDisplay.from_estimator(
        model, X, y, n_epochs=1, limits=[(-1, 1), (-2, 2)]
    )
    first, second, values = display.surface
    assert (first[0], first[-1], second[0], second[-1]) == (-1, 1, -2, 2)
    raw = first[7] * X[:, 0] + second[3]
    expected = 0.5 * np.mean((raw - y) ** 2) + 0.15 * first[7] ** 2
    assert values[3, 7] == pytest.approx(expected)
    levels = display.contours_.levels - values.min()
    np.testing.assert_allclose(levels[1:] / levels[:-1], levels[1] / levels[0])


def test_the_minimum_is_shown_where_there_is_one(petals):
    X, y = petals
    model = fastgd.SGDRegressor(alpha=0.0, eta0=0.05, **STEPS)
    from_estimator = plot.DescentPathDisplay.from_estimator
    display = from_estimator(model, X, y, n_epochs=40, start=(0.0, -0.8))
    best = linear_model.LinearRegression().fit(X, y)
    np.testing.assert_allclose(display.minimum, [best.coef_[0], best.intercept_], atol=1e-4)
    ((x, height),) = display.minimum_.get_xydata()
    assert (x, height) == display.minimum
    assert "minimum" in names_in_legend(display.ax_)
    far = from_estimator(model, X, y, n_epochs=1, limits=[(-9, -8), (-9, -8)])
    assert far.minimum_ is None
    bounded = fastgd.SGDRegressor(penalty="l1", positive=True, eta0=0.05, **STEPS)
    assert from_estimator(bounded, X, y, n_epochs=1).minimum is None
    labels = load_iris().target > 0  # separable: the logistic loss has no minimum
    free = fastgd.SGDClassifier(loss="log_loss", alpha=0.0, eta0=0.5, **STEPS)
    display = from_estimator(free, X, labels, n_epochs=3)
    assert display.minimum_ is None
    assert names_in_legend(display.ax_) == ["SGDClassifier", "start"]


def test_classes_and_two_coefficients():
    X, y = load_iris(return_X_y=True)
    X, y = X[:100, :2] - X[:100, :2].mean(axis=0), np.array(["a", "b"])[y[:100]]
    model = fastgd.SGDClassifier(loss="log_loss", fit_intercept=False, eta0=1.0, **STEPS)
    display = plot.DescentPathDisplay.from_estimators([model], X, y, n_epochs=5)
    first, second, values = display.surface
    raw = X @ [first[2], second[9]]
    expected = np.logaddexp(0, -np.where(y == "b", raw, -raw)).mean()
    expected += 0.5 * model.alpha * (first[2] ** 2 + second[9] ** 2)
    assert values[9, 2] == pytest.approx(expected)
    assert display.ax_.get_ylabel() == "second coefficient"
    model.set_params(class_weight={"a": 1.0, "b": 3.0})
    display = plot.DescentPathDisplay.from_estimator(model, X, y, n_epochs=2)
    first, second, values = display.surface
    raw, weight = X @ [first[2], second[9]], np.where(y == "b", 3.0, 1.0)
    expected = np.mean(weight * np.logaddexp(0, -np.where(y == "b", raw, -raw)))
    expected += 0.5 * model.alpha * (first[2] ** 2 + second[9] ** 2)
    assert values[9, 2] == pytest.approx(expected)
    assert np.linalg.norm(display.paths["SGDClassifier"][-1]) > 0.1


def test_a_path_that_explodes_is_cut(petals):
    model = fastgd.SGDRegressor(eta0=1e300, **STEPS)
    display = plot.DescentPathDisplay.from_estimator(
        model, *petals, n_epochs=50, limits=[(-1, 1), (-1, 1)]
    )
    assert 1 < len(display.paths["SGDRegressor"]) < 10


def test_what_cannot_be_descended_is_reported(petals):
    X, y = petals
    from_estimator = plot.DescentPathDisplay.from_estimator
    model = fastgd.SGDRegressor(eta0=0.05, **STEPS)
    with pytest.raises(TypeError, match="SGDClassifier or SGDRegressor is needed, got Ridge"):
        from_estimator(fastgd.Ridge(), X, y)
    with pytest.raises(ValueError, match="Two parameters are needed, got 2 coefficients and an in"):
        from_estimator(model, np.hstack([X, X]), y)
    with pytest.raises(ValueError, match="y must be one target, or labels of two classes"):
        from_estimator(fastgd.SGDClassifier(), X, load_iris().target)
    with pytest.raises(ValueError, match="start must be two finite numbers, got 3"):
        from_estimator(model, X, y, start=3)
    with pytest.raises(ValueError, match="n_epochs must be at least 1, got 0"):
        from_estimator(model, X, y, n_epochs=0)
    with pytest.raises(ValueError, match="limits must be"):
        from_estimator(model, X, y, n_epochs=1, limits=[(1, 0), (0, 1)])
    others = {"one": model, "two": fastgd.SGDRegressor(alpha=0.5, **STEPS)}
    with pytest.raises(ValueError, match="two does not minimise the same objective as one"):
        plot.DescentPathDisplay.from_estimators(others, X, y, n_epochs=1)
    flat = ([0.0, 1.0], [0.0, 1.0], np.zeros((2, 2)))
    with pytest.raises(ValueError, match="The objective is the same everywhere"):
        plot.DescentPathDisplay({"a": [(0, 0)]}, flat).plot()
    with pytest.raises(ValueError, match="paths is empty"):
        plot.DescentPathDisplay({}, flat)
    with pytest.raises(ValueError, match=r"The path of a must have shape \(n, 2\), got \(2,\)"):
        plot.DescentPathDisplay({"a": (0, 0)}, flat)
    with pytest.raises(ValueError, match=r"surface must have values of shape \(1, 2\)"):
        plot.DescentPathDisplay({"a": [(0, 0)]}, ([0.0, 1.0], [0.0], np.zeros((2, 2))))


# -- gradients of layers --------------------------------------------------------------------------


FLOW = {"objective": [2.0, 1.0], "gradient_norm/0": [0.5, 0.2], "gradient_norm/2": [1.0, 0.4]}
FLOW |= {"dead/0": [0.0, 0.25]}


def test_a_curve_for_each_layer():
    display = plot.GradientFlowDisplay(FLOW).plot()
    assert [line.get_label() for line in display.lines_] == ["layer 0", "layer 2"]
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), [1.0, 0.4])
    assert display.ax_.get_yscale() == "log"
    dead = plot.GradientFlowDisplay(FLOW, quantity="dead").plot(ax=display.ax_)
    assert dead.ax_ is display.ax_
    assert len(dead.lines_) == 1


def test_what_a_history_does_not_have_is_said():
    with pytest.raises(ValueError, match="train a network with monitor=True"):
        plot.GradientFlowDisplay({"objective": [1.0]})
    with pytest.raises(ValueError, match="quantity must be one of"):
        plot.GradientFlowDisplay(FLOW, quantity="gradients")


# -- networks as images ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    """Return a small network of images, and its rows."""
    X, y = load_digits(return_X_y=True)
    images = X[:200].reshape(-1, 8, 8) / 16
    layers = [Conv2D(4, 3, activation="relu"), MaxPool2D(2), Dense(10)]
    model = NetworkClassifier(layers, max_iter=2, tol=None, batch_size=32, random_state=0)
    return model.fit(images, y[:200]), images


def test_filters_are_the_weights_of_a_convolution(network):
    model, _ = network
    display = plot.NetworkDisplay.from_estimator(model)
    drawn(display)
    assert len(display.images_) == len(display.axes_) == 4
    for k, image in enumerate(display.images_):
        np.testing.assert_array_equal(image.get_array(), model.coefs_[0][:, k].reshape(3, 3))
    assert "layers[0]" in display.figure_.get_suptitle()


def test_maps_are_what_a_layer_makes_of_an_input(network):
    model, images = network
    display = plot.NetworkDisplay.from_estimator(model, kind="maps", X=images)
    drawn(display)
    window, filters = images[0, 2:5, 1:4].ravel(), model.coefs_[0]
    for k, image in enumerate(display.images_):
        expected = max(window @ filters[:, k] + model.intercepts_[0][k], 0.0)
        assert image.get_array()[2, 1] == pytest.approx(expected)
        assert image.get_array().shape == (6, 6)
    pooled = plot.NetworkDisplay.from_estimator(model, kind="maps", X=images, layer=1)
    np.testing.assert_array_equal(
        pooled.images[0], display.images[0].reshape(3, 2, 3, 2).max(axis=(1, 3))
    )


def test_colors_and_dense_layers():
    display = plot.NetworkDisplay(np.zeros((2, 4, 5, 3)), shared=False).plot()
    drawn(display)
    assert display.images_[0].get_array().shape == (4, 5, 3)
    model = MLPClassifier()
    model.n_features_in_ = 12
    model._network = Assembly([Dense(3), "relu", Dense(2)], (12,))
    model._params = np.arange(float(model._network.n_params))
    with pytest.raises(ValueError, match="12 numbers, which is no square"):
        plot.NetworkDisplay.from_estimator(model)
    shown = plot.NetworkDisplay.from_estimator(model, image_shape=(3, 4), most=2)
    np.testing.assert_array_equal(
        shown.images[1], np.arange(36.0).reshape(12, 3)[:, 1].reshape(3, 4)
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "weights"}, "kind must be one of"),
        ({"kind": "maps"}, "pass X"),
        ({"kind": "maps", "X": np.zeros((1, 8, 8)), "layer": 2}, "puts out no images"),
        ({"layer": 1}, "has no weights"),
        ({"layer": 2}, "has no images"),
        ({"most": 0}, "most must be from 1 to 64"),
    ],
)
def test_what_has_no_image_is_said(given, said, network):
    with pytest.raises(ValueError, match=said):
        plot.NetworkDisplay.from_estimator(network[0], **given)


def test_only_networks_and_images_are_drawn():
    with pytest.raises(TypeError, match="takes a network"):
        plot.NetworkDisplay.from_estimator(StandardScaler())
    with pytest.raises(ValueError, match="images must have shape"):
        plot.NetworkDisplay(np.zeros((3, 4)))
