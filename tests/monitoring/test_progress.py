"""What a fit shows, and what Ctrl-C does to it."""

import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import make_scorer
from sklearn.preprocessing import scale

import fastgd
from fastgd._monitoring import interrupt as _interrupt
from fastgd._training import trainer
from tests.server import serving

ROOT = Path(__file__).parents[2]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals are POSIX's")


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X), y


def trained(n_epochs, **kwargs):
    return fastgd.SGDClassifier(max_iter=n_epochs, tol=None, random_state=0, **kwargs)


# -- bars and lines ---------------------------------------------------------------------------


@pytest.mark.parametrize("model", [trained(3), fastgd.LogisticRegression()], ids=str)
def test_a_fit_is_silent_by_default(model, cancer, capfd, caplog):
    model.fit(*cancer)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_a_bar_over_epochs(cancer, capsys):
    model = trained(3, verbose=1).fit(*cancer)
    shown = capsys.readouterr().err
    assert "SGDClassifier: 100%" in shown
    last = {name: values[-1] for name, values in model.history_.items()}
    assert f"objective={last['objective']:.6g}, rate={last['learning_rate']:.3g}" in shown
    assert f"|update|={last['update_norm']:.3g}" in shown
    assert "3/3" in shown
    model.set_params(monitor=True).partial_fit(*cancer, max_iter=2)
    shown = capsys.readouterr().err
    assert f"|gradient|={model.history_['gradient_norm'][-1]:.3g}" in shown
    assert "|update|" not in shown
    assert "2/2" in shown


def test_a_bar_that_stops_early_is_complete(cancer, capsys):
    model = fastgd.SGDClassifier(random_state=0, verbose=True).fit(*cancer)
    assert f"{model.n_iter_}/{model.n_iter_}" in capsys.readouterr().err


def test_a_bar_over_passes(cancer, capsys):
    model = fastgd.LogisticRegression(verbose=1).fit(*cancer)
    shown = capsys.readouterr().err
    assert f"{model.n_iter_[0]}pass" in shown
    assert f"objective={model.objective_:.6g}, suboptimality=" in shown
    X, y = load_iris(return_X_y=True)
    fastgd.LinearSVC(verbose=1).fit(scale(X), y)
    assert "LinearSVC target 3/3" in capsys.readouterr().err


def test_a_line_an_epoch(cancer, caplog):
    trained(1, monitor=True).fit(*cancer)  # message of compilation is none of these lines
    fastgd.LogisticRegression().fit(*cancer)
    with caplog.at_level(logging.INFO, logger="fastgd"):
        model = trained(2, verbose=2, monitor=True).fit(*cancer)
        assert [record.name for record in caplog.records] == ["fastgd", "fastgd"]
        figures = {name: values[-1] for name, values in model.history_.items()}
        assert caplog.messages[-1].startswith(
            f"SGDClassifier epoch 2: objective {figures['objective']:.6g}, "
            f"rate {figures['learning_rate']:.3g}, |gradient| {figures['gradient_norm']:.3g} ("
        )
        caplog.clear()
        model = fastgd.LogisticRegression(verbose=2).fit(*cancer)
    assert len(caplog.messages) == len(model.history_["objective"])
    objective = model.history_["objective"][0]
    form = rf"LogisticRegression pass 1: objective {objective:.6g}, suboptimality \S+"
    assert re.match(form, caplog.messages[0])


def run(script, *arguments, **kwargs):
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        **kwargs,
    )
    assert done.returncode == 0, done.stderr
    return done


LINES = """
import logging, sys
import numpy as np
import fastgd

X = np.linspace(-1.0, 1.0, 20)[:, None]
model = fastgd.SGDClassifier(max_iter=2, tol=None, verbose=2)
model.fit(X, X[:, 0] > 0)
model.fit(X, X[:, 0] > 0)
logging.basicConfig(format="theirs %(levelname)s %(message)s")
model.fit(X, X[:, 0] > 0)
"""


def test_lines_are_seen_once_whoever_configures_logging():
    shown = run(LINES).stderr.splitlines()
    ours = [line for line in shown if line.startswith("SGDClassifier epoch")]
    theirs = [line for line in shown if line.startswith("theirs INFO SGDClassifier epoch")]
    assert (len(ours), len(theirs)) == (4, 2)
    assert [re.search(r"epoch (\d):", line).group(1) for line in ours] == ["1", "2", "1", "2"]


# -- compilation ------------------------------------------------------------------------------

COMPILE = """
import logging, sys, time
import numpy as np
from fastgd._monitoring import display as _display
from fastgd.kernels.sampling import shuffled_rows, shuffled_runs

verbose, patience, pause, *words = sys.argv[1:]
_display.PATIENCE, _display.PAUSE = float(patience), float(pause)
if "logging" in words:
    logging.basicConfig(level=logging.INFO, format="theirs %(name)s %(levelname)s %(message)s")
if "warnings only" in words:
    logging.basicConfig(format="theirs %(name)s %(levelname)s %(message)s")
if "closed" in words:
    sys.stderr.close()
base, order = np.arange(50), np.arange(50, dtype=np.int32)  # a compilation for each type
shuffled_rows(0, base)
with _display.announcing(int(verbose)):
    shuffled_runs(order[:0], 4, 0, 1, order)
"""
SAID = "fastgd: compiling machine code for this kind of fit"


@pytest.fixture(scope="module")
def server():
    """Return a process that has imported what ``COMPILE`` needs; None where there is no fork."""
    imports = "from fastgd._monitoring import display\nfrom fastgd.kernels import sampling"
    with serving(imports=imports, PYTHONPATH=str(ROOT)) as started:
        yield started


@pytest.fixture
def said(server, tmp_path, fresh):
    """Return what runs ``COMPILE`` and returns its standard error."""

    def call(*arguments, before="", stderr=None, **environment):
        program, environment = before + COMPILE, {**fresh, **environment}
        if server is None:
            return run(program, *arguments, env=environment).stderr
        outputs = tmp_path / "stdout", stderr or tmp_path / "stderr"
        status = server.run(program, list(arguments), environment, ROOT, *outputs)
        shown = "" if stderr else outputs[1].read_text()
        assert status == 0, shown
        return shown

    return call


@pytest.fixture
def in_terminal(said):
    """Return what does that where standard error is a terminal, and returns what that shows."""
    import pty

    def call(*arguments):
        ours, theirs = pty.openpty()
        said(*arguments, stderr=os.ttyname(theirs))
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 4096):
                shown += block
        except OSError:  # Linux's way to say that the other end has closed
            pass
        os.close(ours)
        return shown.decode()

    return call


@pytest.fixture
def fresh(tmp_path):
    """An environment with an empty cache, of a program that no test has started."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    for name in ("PYTEST_CURRENT_TEST", "FASTGD_QUIET"):
        environment.pop(name, None)
    return environment


@POSIX
def test_compilation_is_announced_on_a_terminal(in_terminal):
    shown = in_terminal("0", "0", "5")
    assert SAID + " (shuffled_orders)" in shown
    assert shown.count("fastgd: compiling") == 1  # for kernels that compile one after the other
    # what is read from disk is not compiled
    assert in_terminal("0", "0", "5") == ""


@POSIX
def test_compilation_is_announced_again_on_a_terminal_after_a_pause(in_terminal):
    assert in_terminal("0", "0", "-1").count("fastgd: compiling") == 2


def test_a_file_has_the_announcement_once(said, tmp_path):
    (line,) = said("0", "0", "-1").splitlines()
    assert line.startswith(SAID + " (shuffled_orders)")
    assert f"kept in {tmp_path}" in line
    assert "'fastgd warmup' does it beforehand, FASTGD_QUIET=1 hides this line" in line
    assert said("0", "0", "-1") == ""  # it is kept indeed


@pytest.mark.parametrize("name", ["FASTGD_QUIET", "PYTEST_CURRENT_TEST"])
def test_no_message_of_compilation_where_it_is_not_wanted(name, said):
    assert said("0", "0", "5", **{name: "1"}) == ""


def test_quiet_is_for_verbose_fits_too_and_0_means_no(said, tmp_path):
    assert SAID in said("1", "0", "5", FASTGD_QUIET="0")
    assert said("1", "0", "5", FASTGD_QUIET="1", NUMBA_CACHE_DIR=f"{tmp_path}/2") == ""


def test_what_compiles_quickly_is_not_announced(said):
    assert said("1", "600", "5") == ""


def test_a_verbose_fit_has_each_announcement(said):
    first, second = said("1", "0", "-1").splitlines()
    assert "(shuffled_orders)" in first
    assert "(shuffled_orders)" in second


@pytest.mark.parametrize(
    ("kwargs", "beginning"),
    [("logging", "theirs fastgd INFO compiling machine code"), ("warnings only", SAID)],
)
def test_logging_has_the_announcement_where_it_shows_such_lines(kwargs, beginning, said):
    (line,) = said("0", "0", "5", kwargs).splitlines()
    assert line.startswith(beginning)


def test_a_closed_stream_is_no_reason_to_fail(said):
    assert said("0", "0", "5", "closed") == ""


def test_a_fit_needs_no_thread_to_compile(said):
    no_threads = (
        "def start(self): raise RuntimeError('no threads')\nthreading.Timer.start = start\n"
    )
    assert said("1", "0", "5", before="import threading\n" + no_threads) == ""


def test_warming_up_is_not_announced(fresh):
    script = (
        "from fastgd._monitoring import display\n"
        "from fastgd._runtime import warmup\n"
        "display.PATIENCE = 0.0\n"
        "warmup._usual_fits = lambda: iter([warmup._Fit(warmup.linear_model.Ridge(), 0)])\n"
        "assert warmup.warmup(dtypes=['float64'], sparse=False) > 0"
    )
    assert run(script, env=fresh).stderr == ""


# -- Ctrl-C -----------------------------------------------------------------------------------


@pytest.fixture
def _interruptible(monkeypatch):
    """Give SIGINT the handler that a program has; a test runner may have another."""
    monkeypatch.setattr(_interrupt._Handler, "last", -np.inf)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def presses(at):
    def ctrl_c(view):
        if view.n_passes == at:
            signal.raise_signal(signal.SIGINT)

    return [ctrl_c]


@pytest.mark.usefixtures("_interruptible")
def test_an_interrupted_training_keeps_its_epochs(cancer):
    model = trained(50, callbacks=presses(3))
    with pytest.warns(ConvergenceWarning, match=r"SGDClassifier was interrupted in epoch 3: it"):
        model.fit(*cancer)
    np.testing.assert_array_equal(model.coef_, trained(3).fit(*cancer).coef_)
    assert (model.n_iter_, len(model.history_["objective"])) == (3, 3)
    model.set_params(callbacks=None).partial_fit(*cancer, max_iter=2)
    np.testing.assert_array_equal(model.coef_, trained(5).fit(*cancer).coef_)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("cv", [None, 3, "a search"], ids=str)
def test_an_interrupted_ridge_cv_is_whole_or_as_before(cv, cancer):
    """Before all scores there is nothing to keep; after them, the strengths so far are."""
    X, y = cancer

    def scored(truth, raw):
        signal.raise_signal(signal.SIGINT)
        return -np.mean((truth - raw) ** 2)

    given = {"alphas": [1e3, 1.0, 1e-3], "cv": 3 if cv == "a search" else cv}
    model = fastgd.RidgeCV(**given, callbacks=presses(2))
    with pytest.warns(ConvergenceWarning, match="RidgeCV was interrupted after 2 strengths: it"):
        model.fit(X, y)
    best = fastgd.RidgeCV(**{**given, "alphas": [1e3, 1.0]}).fit(X, y)
    np.testing.assert_array_equal(model.coef_, best.coef_)
    _interrupt._Handler.last = -np.inf
    if cv == "a search":
        scoring = lambda model, X, y: scored(y, model.predict(X))  # noqa: E731
    else:
        scoring = make_scorer(scored)
    model.set_params(callbacks=None, scoring=scoring, alphas=[1e-3])
    model.set_params(cv=None if cv is None else [(np.arange(300), np.arange(300, 500))])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    np.testing.assert_array_equal(model.coef_, best.coef_)


@pytest.mark.usefixtures("_interruptible")
def test_a_training_is_interrupted_within_an_epoch(cancer, monkeypatch):
    monkeypatch.setattr(trainer, "CHUNK_STEPS", 100)
    X, y = cancer

    def rates(t):
        if t[0] == 201:
            signal.raise_signal(signal.SIGINT)
        return 0.01 / np.sqrt(t)

    with pytest.warns(ConvergenceWarning, match="interrupted in epoch 1"):
        model = trained(9, learning_rate=rates, shuffle=False).fit(X, y)
    assert model.t_ == 301
    assert model.history_["samples"] == [300]
    alone = trained(1, learning_rate="invscaling", shuffle=False).fit(X[:300], y[:300])
    np.testing.assert_allclose(model.coef_, alone.coef_, rtol=1e-12)
    np.testing.assert_allclose(model.history_["objective"], alone.history_["objective"])


SOLVED = [
    fastgd.LogisticRegression(),
    fastgd.LogisticRegression(solver="saga"),
    fastgd.LogisticRegression(solver="sdca", l1_ratio=0.5),
    fastgd.LinearSVC(loss="hinge"),
    fastgd.HuberRegressor(),
]


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("model", SOLVED, ids=str)
def test_an_interrupted_solver_keeps_the_best_so_far(model, cancer):
    seen = []
    watch = [lambda view: seen.append(view.coef_)]
    model = clone(model).set_params(callbacks=[*watch, lambda view: _press(view.epoch == 3)])
    with pytest.warns(ConvergenceWarning, match=r"was interrupted after \d+ passes: it has the"):
        model.fit(*cancer)
    assert len(seen) == 3
    if getattr(model, "solver", "auto") != "sdca":  # which moves on while it finds its gap
        np.testing.assert_array_equal(model.coef_, seen[-1])
    assert np.isfinite(model.objective_)
    assert model.score(*cancer) > 0.5


def _press(now):
    if now:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("_interruptible")
def test_an_interrupt_ends_the_fits_of_all_targets():
    X, y = load_iris(return_X_y=True)
    targets = []
    model = fastgd.LinearSVC(callbacks=[lambda view: targets.append(view.target), *presses(2)])
    with pytest.warns(ConvergenceWarning, match="LinearSVC was interrupted"):
        model.fit(scale(X), y)
    assert targets.count(0) == 2
    assert targets.count(1) == targets.count(2) == 1
    assert model.predict(X).shape == y.shape


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("kind", [fastgd.SGDClassifier, fastgd.LogisticRegression])
def test_a_second_one_interrupts_for_real(kind, cancer):
    model = kind(random_state=0).fit(*cancer)
    before = dict(vars(model))
    model.callbacks = [lambda _: (_press(True), _press(True), pytest.fail("still there"))]
    with pytest.raises(KeyboardInterrupt):
        model.fit(*cancer)
    assert {**vars(model), "callbacks": None} == before


@pytest.mark.usefixtures("_interruptible")
def test_a_second_one_is_soon_in_another_fit_too(cancer):
    """As in a search over many short fits."""
    model = trained(2, callbacks=presses(1))
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        model.fit(*cancer)
    with pytest.raises(KeyboardInterrupt):
        clone(model).fit(*cancer)


def test_another_handler_is_left_alone(cancer):
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    try:
        assert trained(3, callbacks=presses(1)).fit(*cancer).n_iter_ == 3
        assert pressed == [1]
    finally:
        signal.signal(signal.SIGINT, before)


LONG = """
import signal, time, warnings
import numpy as np
import fastgd
from fastgd._monitoring import interrupt as _interrupt

def say(view):
    if view.epoch == 5:
        print("goes on", flush=True)
    while view.epoch == 5 and view.estimator.get_params().get("solver") and not view._watch.stops:
        time.sleep(0.01)

signal.signal(signal.SIGINT, signal.default_int_handler)
_interrupt.SOON = 0.0
warnings.simplefilter("always")
rng = np.random.default_rng(0)
X = rng.normal(size=(400, 5))
y = X[:, 0] + rng.normal(size=400) > 0
kwargs = {"max_iter": 10**9, "random_state": 0, "callbacks": [say]}
for model in (
    fastgd.SGDClassifier(tol=None, **kwargs),
    fastgd.LogisticRegression(**kwargs),
):
    model.fit(X, y)
    print("ended with", model.score(X, y) > 0.6, flush=True)
"""


@POSIX
def test_a_long_fit_ends_with_ctrl_c():
    program = [sys.executable, "-c", LONG]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(program, cwd=ROOT, **pipes) as process:
        for _ in range(2):
            assert process.stdout.readline() == "goes on\n"
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "ended with True\n"
        _, warned = process.communicate()
    assert process.returncode == 0
    assert "SGDClassifier was interrupted in epoch" in warned
    assert "LogisticRegression was interrupted after" in warned
