"""Small fits, further calls and predictions, where only the overhead shows; see ``small.py``."""

import warnings

from .common import Timed
from .small import cases


class Small(Timed):
    """Our side of the table that ``small.py`` prints."""

    params = list(cases())
    param_names = ("case",)

    def setup(self, name):
        warnings.simplefilter("ignore")  # few rows do not always converge
        self.call = cases()[name]().ours
        self.call()  # compiles

    def time_call(self, name):
        self.call()
