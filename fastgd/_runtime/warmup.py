"""Compile what is usually needed, before anybody waits for it."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse as sp
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning
from tqdm.auto import tqdm

from fastgd import linear_model, neural_network
from fastgd._engines.network_shards import LEAST_STRIP
from fastgd._monitoring.display import not_announcing
from fastgd._parameters.resolve import needs_matrices
from fastgd._runtime.compilers import compilers
from fastgd.kernels._jit import compiled_for, count_compiled, known_levels, levels_here
from fastgd.kernels.optimizers import OPTIMIZERS
from fastgd.linear_model._solved import SolvedModel
from fastgd.neural_network._base import BaseNetwork

DTYPES = ("float32", "float64")
USUAL_OPTIMIZERS = ("sgd", "adam")
BATCH_SIZES = (1, 16)
SMALL, LARGE = (48, 4), (512, 128)  # rows and columns; a batch of the second is cut into shards
WIDE = 1024  # units of a network


class _Fit(NamedTuple):
    """A model, how many classes its target has, and the shape of X; 0 stands for numbers."""

    model: Any
    n_classes: int
    shape: tuple[int, int] = SMALL


class _Task(NamedTuple):
    """A fit to rows of a dtype, dense or CSR."""

    fit: _Fit
    dtype: str
    is_sparse: bool


def warmup(
    *,
    progress: bool = False,
    dtypes: Sequence[str] = DTYPES,
    sparse: bool = True,
    only: Sequence[str] | None = None,
    n_jobs: int = 1,
) -> int:
    """Compile the kernels of usual fits, so that later processes read them from disk.

    Every estimator is fitted with its defaults, the stochastic ones with common losses, optimizers
    and batch sizes, too, on a few rows of made-up data; networks of dense layers are, and predict.
    What the cache on disk holds already is read, not compiled. Machine code depends on the
    processor: warm up where the models will run, or see :func:`compile_for`.

    Parameters
    ----------
    progress : bool, default=False
        Draw a progress bar on the standard error stream.
    dtypes : sequence of {"float32", "float64"}, default=("float32", "float64")
        Of X.
    sparse : bool, default=True
        Compile for CSR as well as for dense rows.
    only : sequence of str, optional
        Names of the estimators' classes; None stands for all.
    n_jobs : int, default=1
        Number of processes that compile; 1 is this one. Where there are more, a script calls this
        under ``if __name__ == "__main__":``.

    Returns
    -------
    n_compiled : int
        Number of kernels that were compiled now.

    Raises
    ------
    ValueError
        If ``dtypes`` is empty or holds anything else, if ``only`` holds a name that no estimator
        has, or if ``n_jobs`` is below 1.

    Examples
    --------
    >>> from fastgd._runtime.warmup import warmup
    >>> n_compiled = warmup(dtypes=["float64"], sparse=False)  # doctest: +SKIP
    """
    _check_n_jobs(n_jobs)
    tasks = _tasks(_usual_fits(), dtypes, sparse=sparse, only=only)
    if n_jobs == 1:
        return sum(map(_compile, _shown(tasks, len(tasks), progress)))
    with compilers(n_jobs) as processes:
        return sum(_shown(processes.map(_compile, tasks), len(tasks), progress))


def compile_for(
    level: str,
    folder: str | Path,
    *,
    progress: bool = False,
    dtypes: Sequence[str] = DTYPES,
    sparse: bool = True,
    only: Sequence[str] | None = None,
    n_jobs: int = 1,
) -> int:
    """Compile for a level of processors, into a folder that a wheel can carry.

    All that :func:`warmup` compiles, and each optimizer by name with the commonest losses. The
    kernels are in ``folder / level``; copied to ``kernels/_machine_code`` before a wheel is built,
    they are read by every process of an installation on which a checksum over sources, Python and
    numba agrees. The kernels run while they are compiled: the processor must have the level.

    Parameters
    ----------
    level : str
        "x86-64-v3" (AVX2, FMA), "x86-64-v4" (AVX-512); "generic" on 64-bit ARM, "apple-m1" on
        Apple's.
    folder : str or Path
        It is made where it is missing.
    progress, dtypes, sparse, only, n_jobs
        As in :func:`warmup`; processes of their own compile, so that a script calls this under
        ``if __name__ == "__main__":``.

    Returns
    -------
    n_compiled : int
        Number of kernels that were compiled now.

    Raises
    ------
    ValueError
        If this machine cannot run code of that level, and as in :func:`warmup`.
    OSError
        If the folder cannot be made.
    """
    _check_n_jobs(n_jobs)
    _check_level(level)
    tasks = _tasks([*_usual_fits(), *_fits_by_name()], dtypes, sparse=sparse, only=only)
    folder = Path(folder).resolve()
    (folder / level).mkdir(parents=True, exist_ok=True)
    with compilers(n_jobs, compiled_for(level), folder) as processes:
        return sum(_shown(processes.map(_compile, tasks), len(tasks), progress))


def _check_level(level: str) -> None:
    known = {found.name for found in known_levels()}
    if level not in known:
        names = " or ".join(map(repr, sorted(known))) or "nothing: none is known for this machine"
        raise ValueError(f"the level of processors must be {names}, got {level!r}.")
    if level not in {found.name for found in levels_here()}:
        raise ValueError(
            f"{level!r} cannot be compiled for here: kernels run while they are compiled, and this "
            "processor has not all that is part of that level."
        )


def _check_n_jobs(n_jobs: int) -> None:
    if n_jobs < 1:
        raise ValueError(f"n_jobs must be at least 1, got {n_jobs}.")


def _tasks(
    fits: Iterable[_Fit], dtypes: Sequence[str], *, sparse: bool, only: Sequence[str] | None
) -> list[_Task]:
    """Return what is to be fitted."""
    if not dtypes or not set(dtypes) <= set(DTYPES):
        raise ValueError(f"dtypes must hold 'float32', 'float64' or both, got {dtypes!r}.")
    named = [(type(fit.model).__name__, fit) for fit in fits]
    unknown = set(only or ()) - {name for name, _ in named}
    if unknown:
        raise ValueError(f"only must hold names of estimators, got {', '.join(sorted(unknown))}.")
    kept = [fit for name, fit in named if only is None or name in only]
    layouts = (False, True) if sparse else (False,)
    return [_Task(*parts) for parts in product(kept, dtypes, layouts)]


def _shown(each: Iterable[Any], total: int, progress: bool) -> Iterable[Any]:
    return tqdm(each, "compiling", total=total, unit="fit", disable=not progress)


def _compile(task: _Task) -> int:
    """Fit; return how many kernels that compiled."""
    model, before = task.fit.model, count_compiled()
    with warnings.catch_warnings(), not_announcing():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", FutureWarning)  # of defaults that scikit-learn will change
        for far in (False, True) if isinstance(model, SolvedModel) else (False,):
            X, y = _data(task, far=far)
            if not model.__sklearn_tags__().target_tags.single_output:
                y = np.column_stack([y, y])
            model.fit(X, y)
            if isinstance(model, BaseNetwork):
                model.predict(X)
                if task.fit.shape == SMALL and not task.is_sparse:
                    # a first layer in strips is another kernel
                    wide = clone(model).set_params(hidden_layer_sizes=(WIDE,))
                    wide.fit(np.tile(X, (1, 2 * LEAST_STRIP // (WIDE * SMALL[1]))), y)
    return count_compiled() - before


def _usual_fits() -> Iterator[_Fit]:
    """Yield every estimator as it comes, and what users change first."""
    for name in linear_model.__all__:
        kind = getattr(linear_model, name)
        if not isinstance(kind, type):  # a function
            continue
        model = kind()
        yield from (_Fit(model, n) for n in ((2, 3) if is_classifier(model) else (0,)))
    for optimizer, batch_size in product(USUAL_OPTIMIZERS, BATCH_SIZES):
        params: dict[str, Any] = {
            "optimizer": optimizer,
            "batch_size": batch_size,
            "random_state": 0,
        }
        yield _Fit(linear_model.SGDClassifier(loss="hinge", **params), 2)
        yield _Fit(linear_model.SGDClassifier(loss="log_loss", **params), 2)
        yield _Fit(linear_model.SGDClassifier(loss="log_loss", **params), 3)
        yield _Fit(linear_model.SGDRegressor(**params), 0)
    large: dict[str, Any] = {"batch_size": "full", "max_iter": 2, "random_state": 0}
    yield _Fit(linear_model.SGDClassifier(loss="hinge", **large), 2, LARGE)
    yield _Fit(linear_model.SGDClassifier(loss="log_loss", **large), 2, LARGE)
    yield _Fit(linear_model.SGDClassifier(loss="log_loss", **large), 3, LARGE)
    yield _Fit(linear_model.SGDRegressor(**large), 0, LARGE)
    yield _Fit(linear_model.SGDClassifier("log_loss", learning_rate="auto", random_state=0), 2)
    yield _Fit(linear_model.SGDRegressor(learning_rate="auto", random_state=0), 0)
    for shape, size in ((SMALL, "auto"), (LARGE, LARGE[0])):
        settings: dict[str, Any] = {"batch_size": size, "max_iter": 2, "random_state": 0}
        for n_classes in (2, 3):
            yield _Fit(neural_network.MLPClassifier(**settings), n_classes, shape)
        yield _Fit(neural_network.MLPRegressor(**settings), 0, shape)
    # what solver="auto" means where data are large
    for kind in (linear_model.PoissonRegressor, linear_model.GammaRegressor):
        yield _Fit(kind(alpha=0.0), 0)
    yield _Fit(linear_model.LogisticRegression(solver="sdca"), 2)
    yield _Fit(linear_model.SoftmaxRegression(solver="sdca"), 3)
    yield _Fit(linear_model.LinearSVC(solver="sdca"), 2)
    yield _Fit(linear_model.Ridge(solver="sdca"), 0)


def _fits_by_name() -> Iterator[_Fit]:
    """Yield the optimizers by name, with the losses that people use most, of one output each."""
    of_vectors = [name for name, spec in OPTIMIZERS.items() if not needs_matrices(spec)]
    for optimizer, batch_size in product(of_vectors, BATCH_SIZES):
        settings: dict[str, Any] = {
            "optimizer": optimizer,
            "batch_size": batch_size,
            "random_state": 0,
        }
        yield _Fit(linear_model.SGDClassifier(loss="hinge", **settings), 2)
        yield _Fit(linear_model.SGDClassifier(loss="log_loss", **settings), 2)
        yield _Fit(linear_model.SGDRegressor(**settings), 0)


def _data(task: _Task, *, far: bool) -> tuple[Any, Any]:
    """Return rows, and classes or positive numbers.

    A column ``far`` from zero is what methods for small data leave to those for large data.
    """
    rng, n_classes, shape = np.random.default_rng(0), task.fit.n_classes, task.fit.shape
    X = rng.standard_normal(shape).astype(task.dtype)
    X[:, 0] += 1e4 * far
    y = np.arange(shape[0]) % n_classes if n_classes else rng.uniform(1.0, 2.0, shape[0])
    return (sp.csr_matrix(X) if task.is_sparse else X), y
