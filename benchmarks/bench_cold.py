"""What a new process waits for: the import, and the first fit with and without a filled cache.

Each measurement is a process of its own; the interpreter's own start is not in it.
"""

import json
import os
import subprocess
import sys
import tempfile

IMPORT = "import fastgd"

FIT = """
import numpy as np
from fastgd import SGDClassifier
X = np.random.default_rng(0).standard_normal((100, 5), dtype=np.float32)
SGDClassifier(loss="log_loss", batch_size=16).fit(X, X[:, 0] > 0)
"""

# Prints the seconds of a first and of a second fit of a process.
TWO_FITS = """
import json, time
import numpy as np
from scipy import sparse
from fastgd import LogisticRegression, SGDClassifier
X = np.random.default_rng(0).standard_normal((100, 5), dtype=np.float32)
model = {model}
def seconds():
    started = time.perf_counter()
    model.fit(X, {target})
    return time.perf_counter() - started
print(json.dumps([seconds(), seconds()]))
"""

MODELS = {
    "SGDClassifier()": ("SGDClassifier(random_state=0)", "X[:, 0] > 0"),
    "softmax by Adam": (
        "SGDClassifier(loss='log_loss', optimizer='adam', batch_size=16, random_state=0)",
        "np.arange(100) % 3",
    ),
    "LogisticRegression()": ("LogisticRegression()", "X[:, 0] > 0"),
}


class _Cold:
    number = 1
    rounds = 1
    repeat = (3, 5, 10.0)
    warmup_time = 0
    timeout = 600


class Import(_Cold):
    """The import, beside that of scikit-learn's counterpart, which is a part of it."""

    def timeraw_fastgd(self):
        return IMPORT

    def timeraw_scikit_learn(self):
        return "import sklearn.linear_model"


class FirstFit(_Cold):
    """Import and fit, when nothing was compiled before."""

    def timeraw_first_process(self):
        # Numba reads the variable on import, hence within the measured process and before it.
        return (
            FIT,
            "import os, tempfile\n"
            "folder = tempfile.TemporaryDirectory()\n"
            "os.environ['NUMBA_CACHE_DIR'] = folder.name\n",
        )


class Compile:
    """The first fit of a process beyond a second one: what is compiled, then what is read."""

    params = list(MODELS)
    param_names = ("model",)
    timeout = 600

    def setup(self, name):
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self, name):
        self.folder.cleanup()

    def track_compile_time(self, name):
        return self.extra(name)

    def track_load_time(self, name):
        self.extra(name)
        return min(self.extra(name) for _ in range(3))

    def extra(self, name):
        model, target = MODELS[name]
        command = [sys.executable, "-c", TWO_FITS.format(model=model, target=target)]
        environment = {**os.environ, "NUMBA_CACHE_DIR": self.folder.name}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        first, second = json.loads(done.stdout)
        return first - second

    track_compile_time.unit = track_load_time.unit = "seconds"
