"""Processes that compile side by side: numba compiles one function at a time in each."""

import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

# Imported in a new process before numba, which reads the environment once: nothing here imports it.


def compilers(
    n_jobs: int, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> ProcessPoolExecutor:
    """Return processes that compile what they are given to call, without a word.

    Parameters
    ----------
    n_jobs : int
        How many.
    environment : mapping of str to str, optional
        Their environment variables, beside this process's.
    folder : Path, optional
        Where they keep what they compile for other machines; None: in the user's cache.
    """
    variables = {**(environment or {}), "FASTGD_QUIET": "1"}
    return ProcessPoolExecutor(
        n_jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(variables, folder),
    )


def _begin(environment: Mapping[str, str], folder: Path | None) -> None:
    os.environ.update(environment)
    if folder is not None:
        from fastgd.kernels._jit import fill

        fill(folder)
