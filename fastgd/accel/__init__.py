"""scikit-learn's estimators fitted by fastgd, without a changed line of the code that uses them.

``install()`` replaces ``fit`` and ``partial_fit`` of scikit-learn's linear estimators, in place;
what fastgd cannot do as asked is left to scikit-learn's own. ``python -m fastgd.accel script.py``
runs a script that way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any

from fastgd.accel import _patch, _traceback
from fastgd.accel._report import JOURNAL, table

__all__ = ["enabled", "install", "is_installed", "report", "uninstall"]


def install(*, min_size: int | None = None, verbose: bool | None = None) -> None:
    """Have fastgd fit scikit-learn's linear estimators, in this process and in joblib's workers.

    Imports made before and afterwards are accelerated alike. A second call changes the arguments.

    Parameters
    ----------
    min_size : int or None, default=None
        Entries of X (rows times columns) from which on a fit goes to fastgd. None: for each
        estimator the number from which on it is faster, as measured.
    verbose : bool or None, default=None
        Whether to write a line to standard error for each fit: accelerated, or why not. None
        leaves it as it is, at first False.

    Raises
    ------
    ValueError
        If ``min_size`` is neither None nor an integer >= 0.

    Examples
    --------
    >>> import fastgd.accel
    >>> from sklearn.linear_model import LogisticRegression
    >>> fastgd.accel.install()
    >>> fastgd.accel.is_installed()
    True
    >>> fastgd.accel.uninstall()
    """
    if min_size is not None and (not isinstance(min_size, Integral) or min_size < 0):
        raise ValueError(f"min_size must be None or an integer >= 0, got {min_size!r}.")
    _patch.STATE.least = None if min_size is None else int(min_size)
    _patch.STATE.is_installed = True
    if verbose is not None:
        JOURNAL.is_verbose = bool(verbose)
    _patch.patch_all()
    _traceback.install()


def uninstall() -> None:
    """Give scikit-learn's estimators their own ``fit`` and ``partial_fit`` back."""
    _patch.STATE.is_installed = False
    _patch.restore_all()
    _traceback.uninstall()


def is_installed() -> bool:
    """Tell whether fits go to fastgd."""
    return _patch.STATE.is_installed


@contextmanager
def enabled(*, min_size: int | None = None, verbose: bool | None = None) -> Iterator[None]:
    """Have fastgd fit scikit-learn's linear estimators within a ``with`` statement.

    Parameters
    ----------
    min_size, verbose
        As of ``install``.

    Examples
    --------
    >>> import fastgd.accel
    >>> with fastgd.accel.enabled():
    ...     fastgd.accel.is_installed()
    True
    >>> fastgd.accel.is_installed()
    False
    """
    state = _patch.STATE
    before, least, was_verbose = state.is_installed, state.least, JOURNAL.is_verbose
    install(min_size=min_size, verbose=verbose)
    try:
        yield
    finally:
        state.least, JOURNAL.is_verbose = least, was_verbose
        if not before:
            uninstall()


def report() -> str:
    """Return a table of the fits so far: estimator, calls, rows, seconds, accelerated or why not.

    Returns
    -------
    str
        Fits of worker processes are among them if the process was started by
        ``python -m fastgd.accel --profile``.
    """
    return table(JOURNAL.merged())


def load_ipython_extension(ipython: Any) -> None:  # noqa: ARG001
    """Install: what ``%load_ext fastgd.accel`` calls."""
    install()


def unload_ipython_extension(ipython: Any) -> None:  # noqa: ARG001
    """Uninstall: what ``%unload_ext fastgd.accel`` calls."""
    uninstall()
