"""What a new process waits for: the import, and the first fit with and without a filled cache.

Each measurement is a process of its own; the interpreter's own start is not in it.
"""

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


class _Cold:
    number = 1
    rounds = 1
    repeat = (3, 5, 20.0)
    warmup_time = 0
    timeout = 300


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


class SecondFit(_Cold):
    """Import and fit, when another process has compiled."""

    def setup(self):
        self.folder = tempfile.TemporaryDirectory()
        environment = {**os.environ, "NUMBA_CACHE_DIR": self.folder.name}
        subprocess.run([sys.executable, "-c", FIT], env=environment, check=True)

    def teardown(self):
        self.folder.cleanup()

    def timeraw_second_process(self):
        return FIT, f"import os; os.environ['NUMBA_CACHE_DIR'] = {self.folder.name!r}"
