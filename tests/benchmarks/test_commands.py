"""Whole commands beside what others write for the same."""

import os
import sys
from unittest import mock

import pytest

with mock.patch.dict(os.environ):  # the package holds benchmarks to one thread; not the tests
    from benchmarks import commands


@pytest.mark.full
def test_both_train_on_the_same_table():
    printed = commands.compared("csv", 500, repeats=1)
    assert "| csv, 500 rows | fastgd |" in printed
    assert "| csv, 500 rows | pandas and scikit-learn |" in printed
    assert printed.endswith("x |")


def test_a_command_that_fails_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="division"):
        commands.cost_of([sys.executable, "-c", "1 / 0"], tmp_path)
