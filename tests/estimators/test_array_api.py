"""Arrays of other libraries, where scikit-learn dispatches by the array API standard."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("array_api_strict")

ROOT = Path(__file__).parents[2]

# SciPy reads SCIPY_ARRAY_API once, on import
PROGRAM = """
import warnings

import array_api_strict as xp
import numpy as np
import sklearn
from sklearn.model_selection import cross_val_score

import fastgd
from fastgd.neural_network import MLPClassifier

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
y = (X[:, 0] > 0).astype(int)
weight = rng.uniform(1, 2, 60)
there = [xp.asarray(values) for values in (X, y, weight)]
seeded = {"random_state": 0, "max_iter": 3, "tol": None}
models = [
    fastgd.LogisticRegression(),
    fastgd.Ridge(),
    fastgd.RidgeClassifier(),
    fastgd.RidgeCV(),
    fastgd.LassoCV(),
    fastgd.PoissonRegressor(),
    fastgd.SGDClassifier(loss="log_loss", **seeded),
    fastgd.SGDRegressor(**seeded),
    fastgd.SGDOneClassSVM(**seeded),
    MLPClassifier((3,), random_state=0, max_iter=2),
]
METHODS = ("predict", "predict_proba", "decision_function", "score_samples")
for model in models:
    weights = () if isinstance(model, MLPClassifier) else (weight, there[2])
    here = sklearn.clone(model).fit(X, y, **({"sample_weight": weights[0]} if weights else {}))
    expected = {name: getattr(here, name)(X) for name in METHODS if hasattr(here, name)}
    with sklearn.config_context(array_api_dispatch=True):
        model.fit(*there[:2], **({"sample_weight": weights[1]} if weights else {}))
        for name, values in expected.items():
            found = getattr(model, name)(there[0])
            assert isinstance(found, type(there[0])), (model, name, type(found))
            np.testing.assert_array_equal(np.asarray(found), values)
        if hasattr(model, "score"):
            assert abs(model.score(*there[:2]) - here.score(X, y)) < 1e-12
            if weights:
                scores = [m.score(*rows) for m, rows in ((here, (X, y, weight)), (model, there))]
                assert abs(scores[0] - scores[1]) < 1e-12
    words = sklearn.clone(model)
    if sklearn.base.is_classifier(model):
        names = np.array(["no", "yes"])[y]
        with sklearn.config_context(array_api_dispatch=True):
            assert set(words.fit(there[0], names).predict(there[0])) <= {"no", "yes"}
with sklearn.config_context(array_api_dispatch=True):
    judged = fastgd.SGDClassifier(loss="log_loss", **seeded)
    judged.fit(*there[:2], X_val=there[0], y_val=there[1])
    assert len(judged.history_["validation_score"]) == 3
print("fine")
"""


@pytest.mark.full
def test_what_comes_out_is_of_the_library_of_what_goes_in():
    environment = {
        **os.environ,
        "SCIPY_ARRAY_API": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.strip() == "fine", done.stderr
