"""Processes that compile side by side: numba compiles one function at a time in each."""

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

# Imported in a new process before numba: nothing here imports it.


@contextmanager
def compilers(
    n_jobs: int, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> Iterator[ProcessPoolExecutor]:
    """Yield processes that compile what they are given to call, without a word.

    Parameters
    ----------
    n_jobs : int
        How many, at least 1.
    environment : mapping of str to str, optional
        Their environment variables, beside this process's.
    folder : Path, optional
        Where they keep what they compile for other machines; None: in the user's cache.
    """
    context = multiprocessing.get_context("spawn")
    variables = {**(environment or {}), "FASTGD_QUIET": "1"}
    with (
        _set_in_environment(variables),
        ProcessPoolExecutor(n_jobs, context, initializer=_begin, initargs=(folder,)) as processes,
    ):
        yield processes


@contextmanager
def _set_in_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process, which new ones inherit.

    A new process runs the user's script before anything of ours, and may import numba there, which
    reads the processor's name once.
    """
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin(folder: Path | None) -> None:
    if folder is not None:
        from fastgd.kernels._jit import fill

        fill(folder)
