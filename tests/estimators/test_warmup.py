"""Compiling beforehand: every estimator, counted, and nothing twice."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

import fastgd
from fastgd import linear_model
from fastgd._engines.linear import LinearEngine
from fastgd._engines.network_shards import LEAST_STRIP
from fastgd._engines.shards import n_shards_of_rows
from fastgd._runtime import warmup as _warmup
from fastgd.kernels._jit import _cache, _places
from fastgd.kernels.optimizers import OPTIMIZERS
from fastgd.neural_network import MLPRegressor


@pytest.fixture
def few(monkeypatch):
    """Warm up one small model in place of all."""
    fits = [_warmup._Fit(fastgd.SGDClassifier(), 2)]
    monkeypatch.setattr(_warmup, "_usual_fits", lambda: iter(fits))


@pytest.mark.nojit
def test_every_estimator_is_warmed_up():
    fits = list(_warmup._usual_fits())
    kinds = {name for name in linear_model.__all__ if isinstance(getattr(linear_model, name), type)}
    networks = {"MLPClassifier", "MLPRegressor"}
    assert {type(fit.model).__name__ for fit in fits} == kinds | networks
    stochastic = [fit.model for fit in fits if isinstance(fit.model, fastgd.SGDClassifier)]
    assert {model.batch_size for model in stochastic} >= {1, 16}
    assert {model.optimizer for model in stochastic} >= {"sgd", "adam"}
    assert any(fit.shape == _warmup.LARGE for fit in fits)


@pytest.mark.nojit
@pytest.mark.parametrize("is_sparse", [False, True])
def test_large_batches_are_those_that_threads_share(is_sparse):
    rows, columns = _warmup.LARGE
    facts = {"is_sparse": is_sparse, "entries_of_row": float(columns)}
    assert n_shards_of_rows(SimpleNamespace(n_features=columns, **facts), rows) > 1


@pytest.mark.nojit
@pytest.mark.parametrize("is_sparse", [False, True])
def test_optimizers_by_name_are_those_that_one_output_goes_with(is_sparse, monkeypatch):
    """Each fit comes to its first step; one that is refused would end the whole build."""

    class Reached(Exception):
        pass

    def reach(*_):
        raise Reached

    for name in ("run", "run_epochs"):
        monkeypatch.setattr(LinearEngine, name, reach)
    fits = list(_warmup._fits_by_name())
    assert {fit.model.optimizer for fit in fits} == OPTIMIZERS.keys() - {"muon"}
    for fit in fits:
        X, y = _warmup._data(_warmup._Task(fit, "float64", is_sparse), far=False)
        with pytest.raises(Reached):
            fit.model.fit(X, y)


@pytest.mark.usefixtures("few")
def test_it_counts_what_it_compiles(monkeypatch):
    monkeypatch.setattr(_cache.Cache, "n_compiled", 7)

    def compile_two(*_):
        _cache.Cache.n_compiled += 2

    monkeypatch.setattr(fastgd.SGDClassifier, "fit", compile_two)
    assert _warmup.warmup(dtypes=["float64"], sparse=False) == 2


def test_networks_are_warmed_up_with_a_wide_first_layer(monkeypatch):
    seen = []
    monkeypatch.setattr(MLPRegressor, "fit", lambda self, X, _: seen.append((self, X.shape[1])))
    monkeypatch.setattr(MLPRegressor, "predict", lambda *_: None)
    for is_sparse in (False, True):
        _warmup._compile(_warmup._Task(_warmup._Fit(MLPRegressor(), 0), "float32", is_sparse))
    (_, narrow), (model, wide), (_, sparse_columns) = seen
    assert narrow == sparse_columns < wide
    assert wide * model.hidden_layer_sizes[0] == 2 * LEAST_STRIP


@pytest.mark.usefixtures("few")
def test_a_second_time_compiles_nothing():
    assert _warmup.warmup(dtypes=["float64"], sparse=False) >= 0
    assert _warmup.warmup(dtypes=["float64"], sparse=False) == 0


@pytest.mark.usefixtures("few")
def test_dtypes_and_layouts_are_those_asked_for(monkeypatch):
    seen = []

    def fit(_, X, *__):
        seen.append((X.dtype.name, sparse.issparse(X)))

    monkeypatch.setattr(fastgd.SGDClassifier, "fit", fit)
    _warmup.warmup(dtypes=["float32"])
    assert seen == [("float32", False), ("float32", True)]
    _warmup.warmup(dtypes=["float64"], sparse=False)
    assert seen[2:] == [("float64", False)]


@pytest.mark.usefixtures("few")
def test_a_bar_is_drawn_only_on_request(monkeypatch, capsys):
    monkeypatch.setattr(fastgd.SGDClassifier, "fit", lambda *_: None)
    _warmup.warmup(sparse=False)
    assert capsys.readouterr().err == ""
    _warmup.warmup(progress=True, sparse=False)
    assert "2/2" in capsys.readouterr().err


@pytest.mark.nojit
@pytest.mark.parametrize("dtypes", [[], ["float16"], "float32", [np.float32]])
def test_other_dtypes_are_refused(dtypes):
    with pytest.raises(ValueError, match="dtypes must hold 'float32', 'float64' or both, got"):
        _warmup.warmup(dtypes=dtypes)


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"only": ["Ridge", "Rigde"]}, "only must hold names of estimators, got Rigde"),
        ({"n_jobs": 0}, "n_jobs must be at least 1, got 0"),
    ],
)
def test_other_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        _warmup.warmup(**arguments)


@pytest.mark.nojit
def test_a_level_that_this_processor_lacks_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(_warmup, "known_levels", lambda: (_places.Level("future", {"wings"}),))
    with pytest.raises(ValueError, match="'future' cannot be compiled for here: kernels run"):
        _warmup.compile_for("future", tmp_path / "code")
    with pytest.raises(ValueError, match="must be 'future', got 'past'"):
        _warmup.compile_for("past", tmp_path / "code")
    assert not (tmp_path / "code").exists()
    with pytest.raises(ValueError, match="n_jobs must be at least 1, got 0"):
        _warmup.compile_for("future", tmp_path / "code", n_jobs=0)


@pytest.mark.nojit
def test_processes_read_their_environment_before_a_script_imports_numba(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os\n"
        "from numba.core import config\n"
        "from fastgd._runtime.compilers import compilers\n"
        "def name():\n"
        "    return config.CPU_NAME\n"
        "if __name__ == '__main__':\n"
        "    with compilers(1, {'NUMBA_CPU_NAME': 'another'}) as processes:\n"
        "        found = processes.submit(name).result()\n"
        "    print(found, os.getenv('NUMBA_CPU_NAME'))\n"
    )
    environment = {n: v for n, v in os.environ.items() if n != "NUMBA_CPU_NAME"}
    run = {"capture_output": True, "check": True, "text": True, "timeout": 300}
    done = subprocess.run([sys.executable, script], env=environment, **run)
    assert done.stdout.split() == ["another", "None"]


@pytest.mark.full
@pytest.mark.usefixtures("few")
@pytest.mark.skipif(not _places.levels_here(), reason="no level of processors is known here")
def test_kernels_are_compiled_for_others_side_by_side(monkeypatch, tmp_path):
    monkeypatch.setattr(_warmup, "_fits_by_name", lambda: iter(()))
    level = _places.levels_here()[-1].name
    n_compiled = _warmup.compile_for(level, tmp_path, dtypes=["float64"], n_jobs=2)
    kept = list((tmp_path / level).glob("*.nbc"))
    assert n_compiled >= len(kept) > 0  # two processes may compile the same
    assert _warmup.compile_for(level, tmp_path, dtypes=["float64"], n_jobs=2) == 0


@pytest.mark.thorough
def test_all_usual_fits_run_and_are_cached():
    _warmup.warmup()
    assert _warmup.warmup() == 0
