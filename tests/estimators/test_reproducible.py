"""The same seed gives the same bits: compiled here, read from the cache, in any process."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp

import fastgd
from tests.tables import over_product

# Prints a digest of the coefficients for each model; the allocations before each fit move arrays.
SCRIPT = """
import hashlib, json, sys, warnings
import numpy as np
import fastgd

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X = rng.normal(size=(2000, 17))
raw = X @ rng.normal(size=17)
classes = np.digitize(raw, [-2.0, 2.0])
kwargs = {"max_iter": 4, "tol": None, "random_state": 0}
models = {
    "softmax": (fastgd.SGDClassifier("log_loss", batch_size=16, **kwargs), classes),
    "adam": (fastgd.SGDClassifier("log_loss", optimizer="adam", batch_size=32, **kwargs), raw > 0),
    "many classes, float32": (fastgd.LogisticRegression(), classes),
}
digests = {}
for name, (model, y) in models.items():
    data = X.astype(np.float32) if "float32" in name else X
    sizes = rng.integers(1, 3000, int(sys.argv[1]))
    scattered = [np.empty(int(size), np.uint8) for size in sizes]
    coef = model.fit(data, y).coef_
    digests[name] = hashlib.sha256(coef.tobytes()).hexdigest()
print(json.dumps(digests))
"""


def digests(folder, n_scattered):
    command = [sys.executable, "-c", SCRIPT, str(n_scattered)]
    env = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
@pytest.mark.parametrize("folder", ["the tests'", pytest.param("empty", marks=pytest.mark.full)])
def test_who_compiles_and_who_reads_the_cache_get_the_same_bits(folder, tmp_path):
    """In the tests' own folder, other processes may have compiled some of it."""
    folder = tmp_path if folder == "empty" else os.environ["NUMBA_CACHE_DIR"]
    compiled = digests(folder, 0)
    assert len(compiled) == 3
    assert digests(folder, 77) == compiled


@over_product(
    lambda sparse, dtype: dtype is np.float64 and not sparse,
    sparse=[False, True],
    dtype=[np.float32, np.float64],
)
def test_n_jobs_changes_nothing(sparse, dtype, rng):
    X = rng.normal(size=(300, 5)).astype(dtype)
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    X = sp.csr_array(X) if sparse else X
    kwargs = {"random_state": 0, "max_iter": 5, "tol": None}
    models = [
        fastgd.SGDClassifier(n_jobs=n_jobs, **kwargs).fit(X, y) for n_jobs in (None, 1, 2, -1)
    ]
    for model in models[1:]:
        np.testing.assert_array_equal(model.coef_, models[0].coef_)
        np.testing.assert_array_equal(model.intercept_, models[0].intercept_)
