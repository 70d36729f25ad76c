"""Epochs of small networks, and their first fit; see ``networks.py``."""

import warnings

from .common import Timed
from .networks import cases, ours

NAMES = [name for name in cases() if not name.startswith("60,000")]


class Epochs(Timed):
    """A whole fit of a few epochs."""

    params = NAMES
    param_names = ("network",)

    def setup(self, name):
        warnings.simplefilter("ignore")  # a fixed number of epochs does not converge
        self.case = cases()[name]()
        ours(self.case)  # compiles

    def time_fit(self, name):
        ours(self.case)
