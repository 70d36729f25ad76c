"""Epochs of small networks, and their first fit; see ``networks.py``."""

import warnings

import numpy as np
from sklearn.datasets import load_digits

from fastgd.neural_network import MLPClassifier

from .common import Timed
from .networks import cases, ours

CASES = cases(None)
NAMES = [name for name in CASES if " 784" not in name and "28 x 28" not in name]  # made here


class Epochs(Timed):
    """A whole fit of a few epochs."""

    params = NAMES
    param_names = ("network",)

    def setup(self, name):
        warnings.simplefilter("ignore")  # a fixed number of epochs does not converge
        self.case = CASES[name]()
        ours(self.case)  # compiles

    def time_fit(self, name):
        ours(self.case)


class Solvers(Timed):
    """Ten epochs of a network of digits: optimizers that step whole matrices or all weights."""

    params = ("adam", "schedule_free_adamw", "prodigy", "muon")
    param_names = ("solver",)

    def setup(self, solver):
        warnings.simplefilter("ignore")
        X, y = load_digits(return_X_y=True)
        self.X, self.y = (X / 16).astype(np.float32), y
        self.time_fit(solver)  # compiles

    def time_fit(self, solver):
        model = MLPClassifier((64, 64), solver=solver, max_iter=10, tol=None, random_state=0)
        model.set_params(batch_size=32).fit(self.X, self.y)
