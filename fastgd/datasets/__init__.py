"""Data sets: made ones that are hard in a known way, and real ones.

Generators have scikit-learn's convention (``random_state``; ``coef=True`` returns the true
coefficients as well), and so have loaders (``return_X_y``, ``as_frame``). ``load_`` reads a package
that is installed, by ``pip install "fastgd[datasets]"``; ``fetch_`` downloads a set once, into the
folder that scikit-learn keeps its own in.
"""

from fastgd._data.row_source import RowSource
from fastgd.datasets._generators import make_ill_conditioned, make_separable, make_sparse
from fastgd.datasets._open import open
from fastgd.datasets._real import (
    fetch_adult,
    fetch_diamonds,
    fetch_letter,
    fetch_mnist,
    fetch_shuttle,
    load_nycflights,
)
from fastgd.datasets._stream import drifting_stream

__all__ = [
    "RowSource",
    "drifting_stream",
    "fetch_adult",
    "fetch_diamonds",
    "fetch_letter",
    "fetch_mnist",
    "fetch_shuttle",
    "load_nycflights",
    "make_ill_conditioned",
    "make_separable",
    "make_sparse",
    "open",
]
