"""The map of cliffs: its tables are what they say, and a cell reads right."""

import os
from unittest import mock

import numpy as np
import pytest
import scipy.sparse as sp

with mock.patch.dict(os.environ):  # the package holds benchmarks to one thread; not the tests
    from benchmarks import cliffs


@pytest.mark.parametrize("name", ["tiny", "onehot_500", "text_small"])
def test_tables_are_what_they_say(name):
    table, X = cliffs.TABLES[name], cliffs.draw(cliffs.TABLES[name])
    assert X.shape == (table.rows, table.columns)
    if table.per_row:
        assert sp.issparse(X)
        assert 0.5 * table.per_row < X.nnz / table.rows <= table.per_row
    if table.kind == "onehot":
        np.testing.assert_array_equal(np.diff(X.indptr), table.per_row)
        assert set(X.data) == {1.0}


@pytest.mark.parametrize("loss", cliffs.LOSSES)
def test_targets_are_of_the_loss_s_kind(loss):
    y = cliffs.targets(cliffs.draw(cliffs.TABLES["small"]), loss)
    n_values = np.unique(y).shape[0]
    if loss == "softmax":
        assert n_values == cliffs.N_CLASSES
    elif loss in ("logistic", "linear_svc"):
        assert n_values == 2
    else:
        assert n_values > 2
    assert loss != "poisson" or y.min() >= 0.0


def test_a_cell_is_measured(capsys):
    cell = cliffs.measure("tiny", "ridge", cap=1.0)
    capsys.readouterr()
    assert cell.peer.startswith("sk-")
    assert cell.ratio == pytest.approx(cell.ours / cell.theirs)
    assert 0.0 <= cell.suboptimality < 1e-4
    assert len(cliffs.told(cell)) == len(cliffs.HEAD)


def test_what_is_a_cliff():
    cell = cliffs.Cell("t", "l", 1.0, 0.0, "sk", 0.9, 1.1, 1.1, 0.0, 0.0, "gd", 1)
    assert not cell.is_cliff
    assert cell._replace(ours=2.0, ratio=2.2).is_cliff
    assert cell._replace(ours=0.002, theirs=0.0012, ratio=1.7).is_cliff  # however short it is
    assert cell._replace(memory=11.0).is_cliff


def test_a_seed_draws_another_table_of_the_same_shape():
    table = cliffs.TABLES["tiny"]
    first, other = cliffs.draw(table), cliffs.draw(table, cliffs.options_from(["--seed", "3"]).seed)
    assert first.shape == other.shape
    assert not np.array_equal(first, other)
    assert cliffs.options_from([]).seed == 0


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit):
        cliffs.options_from(["--tables", "nowhere"])
    assert "nowhere" in capsys.readouterr().err
