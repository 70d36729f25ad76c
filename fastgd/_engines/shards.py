"""Threads that share batches: see ``fastgd.kernels.team`` and ``strips``."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastgd._data.source import Source
from fastgd._runtime.threads import in_threads, n_allowed, one_blas_thread
from fastgd.kernels._atomic import IS_ATOMIC
from fastgd.kernels.team import BOARD, FAILED, Team

MOST = 16  # shards of a batch

# Of linear models: entries and rows of a shard, at least. Either is some 10 microseconds' work, by
# which taking a shard and adding its gradient cost nothing.
LEAST_ENTRIES, LEAST_ROWS = 1 << 15, 1 << 8
LEAST_STORED = 1 << 13
STORED_OF_COLUMN = 4  # entries that are stored, for each column
LEAST_SHARED = 1 << 18  # entries of a call: fewer are computed before a thread has woken up


def n_shards_of_rows(source: Source, size: int) -> int:
    """Return into how many shards a batch of a linear model is cut: a power of two, by sizes alone.

    A shard of sparse rows has a gradient of all columns, so that it has to be larger than those
    are many; where nobody knows how many entries there are, the batch is one.
    """
    least = max(LEAST_ENTRIES, LEAST_ROWS * source.n_features)
    if source.is_sparse:
        least = max(LEAST_STORED, STORED_OF_COLUMN * source.n_features)
    n_shards = min(int(size * entries_of_row(source)) // least, size, MOST)
    return 1 << max(n_shards.bit_length() - 1, 0)


def entries_of_row(source: Source) -> float:
    """Return how many entries a row has on average; 0 where that is not known."""
    found = getattr(source, "entries_of_row", 0.0) if source.is_sparse else source.n_features
    return float(found)


class Shards:
    """The shards of batches, or the strips of their first layer, and the threads that compute them.

    Parameters
    ----------
    memory : NetworkMemory or sgd.Memory
        Of the first thread, its scratch for ``rows`` rows.
    n_shards, rows : int
        Shards of a batch at most, and rows of a shard.
    further : callable
        Returns what a further thread has of its own, by the names of the memory.
    n_strips : int
        Of a layer that is stepped strip by strip, which threads share in place of shards.
    """

    def __init__(
        self,
        memory: Any,
        n_shards: int,
        rows: int,
        further: Callable[[], dict[str, Any]],
        n_strips: int = 0,
    ) -> None:
        team = team_of(memory, n_shards, rows)._replace(most=max(n_shards, n_strips))
        self._board = team.board
        self._memories = [memory._replace(team=team)]
        n_threads = n_allowed() if IS_ATOMIC else 1
        for worker in range(1, min(n_threads, team.most)):
            own = team._replace(worker=worker)
            self._memories.append(memory._replace(team=own, **further()))

    def run(self, steps: Callable[[Any], None], *, is_short: bool = False, **changes: Any) -> None:
        """Have all threads take the same steps, each with its own memory; one, if they are few."""
        self._board[:] = 0
        if len(self._memories) == 1 or is_short:
            steps(self._memories[0]._replace(**changes))
            return

        def take_part(memory: Any) -> None:
            try:
                with one_blas_thread():  # under OpenMP that is each thread's own setting
                    steps(memory._replace(**changes))
            except BaseException:
                self._board[FAILED] = 1  # or the others would wait
                raise

        try:
            in_threads(take_part, self._memories)
        except BaseException:
            self._board[FAILED] = 1
            raise

    def alone(self) -> Any:
        """Return the memory of the first thread, for a batch that it computes by itself."""
        self._board[:] = 0
        return self._memories[0]


def team_of(memory: Any, n_shards: int, rows: int) -> Team:
    """Return the first thread of a team."""
    gradients = np.empty((n_shards - 1, memory.gradient.shape[0]), memory.gradient.dtype)
    losses = np.empty((n_shards, memory.sums.size))
    return Team(np.zeros(BOARD, np.int64), 0, n_shards, rows, gradients, losses)
