"""Folds of rows in parts are scikit-learn's, wherever the parts are cut."""

import functools
import warnings

import numpy as np
import pytest
from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold, check_cv

from fastgd._data.held_out import counts_of, counts_of_both, held_out_by
from fastgd._data.shards import Rows

CUTS = [[], [1], [3, 4, 90], [50, 51, 60, 61]]
SPLITTERS = [None, 2, 7, KFold(3), StratifiedKFold(4)]


def parts(y, cuts):
    pieces = zip([0, *cuts], [*cuts, len(y)], strict=True)
    return [Rows(np.zeros((b - a, 1)), y[a:b], shard=k) for k, (a, b) in enumerate(pieces)]


def folds(y, cuts, cv, *, classifies):
    shards = parts(y, cuts)
    counts = functools.reduce(counts_of_both, [counts_of(rows, classifies) for rows in shards])
    held_out = held_out_by(cv, counts, classifies=classifies)
    return np.concatenate([held_out.folds_of(rows) for rows in shards])


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("cv", SPLITTERS)
@pytest.mark.parametrize("classifies", [True, False])
def test_folds_are_those_of_scikit_learn(cv, cuts, classifies):
    random = np.random.default_rng(len(cuts))
    for y in (random.integers(0, 3, 97), np.sort(random.choice(["c", "b", "a"], 97))[::-1]):
        if isinstance(cv, StratifiedKFold) and not classifies:
            continue
        expected = np.full(97, -1)
        for k, (_, test) in enumerate(check_cv(cv, y, classifier=classifies).split(y, y)):
            expected[test] = k
        np.testing.assert_array_equal(folds(y, cuts, cv, classifies=classifies), expected)


def test_what_folds_cannot_be():
    y = np.repeat([0, 1], [6, 2])
    for cv, message in (
        (KFold(3, shuffle=True, random_state=0), "KFold.k."),
        (ShuffleSplit(3), "memory"),
        (1, "2 folds"),
        (9, "n_splits=9"),
    ):
        for classifies in (True, False):
            with pytest.raises(ValueError, match=message):
                folds(y, [3], cv, classifies=classifies)
    with pytest.raises(ValueError, match="labels"):
        folds(y, [3], StratifiedKFold(2), classifies=False)
    with pytest.warns(UserWarning, match="has only 2 members"):
        found = folds(y, [3], 3, classifies=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k, (_, test) in enumerate(StratifiedKFold(3).split(y, y)):
            assert set(test) == set(np.flatnonzero(found == k))
