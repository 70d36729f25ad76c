"""Which coefficients the step of a batch is taken of, and from what."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels._hook import hook
from fastgd.kernels.penalties import at
from fastgd.kernels.rows import entries, entry, row_at
from fastgd.kernels.stores._outputs import (
    accumulate_slopes,
    count,
    descend_columns,
    scatter_rows,
)


@hook
def list_columns(columns, rule, rows, batch, gradient):
    """Return the number of columns that a step touches; ``column`` tells which they are.

    ``gradient`` is all zero, before and after.
    """
    return type(columns).list_columns(columns, rule, rows, batch, gradient)


@hook
def column(columns, i):
    """Return the i-th of the columns that the step at hand touches."""
    return type(columns).column(columns, i)


@hook
def gather(columns, rule, rows, batch, slopes, memory):
    """Add up the gradient of a batch, where a step is taken from it."""
    return type(columns).gather(columns, rule, rows, batch, slopes, memory)


@hook
def step_of_batch(columns, store, rule, rows, batch, step_coefs, memory, n_touched):
    """Step the coefficients of a batch; write the sums of their shares into ``memory.shares``."""
    return type(columns).step_of_batch(
        columns, store, rule, rows, batch, step_coefs, memory, n_touched
    )


class AllColumns(NamedTuple):
    """All of them, from the gradient."""

    @staticmethod
    def column(columns, i):
        return i

    @staticmethod
    def gather(columns, rule, rows, batch, slopes, memory):
        accumulate_slopes(rule.outputs, rows, batch, slopes, memory)

    @staticmethod
    def step_of_batch(columns, store, rule, rows, batch, step_coefs, memory, n_touched):
        descend_columns(rule.outputs, store, rule, step_coefs, memory, n_touched)


class Touched(NamedTuple):
    """Those that have an entry in the batch, from the gradient.

    numbers : (d + 1,), int32, the columns of the batch at hand, and one place more: see
        ``list_columns``
    """

    numbers: np.ndarray

    @classmethod
    def of(cls, n_columns):
        """Plain numpy: return room for the columns of any batch."""
        return cls(np.zeros(n_columns + 1, np.int32))

    gather = AllColumns.gather
    step_of_batch = AllColumns.step_of_batch

    @staticmethod
    def list_columns(columns, rule, rows, batch, gradient):
        # the gradient is zero between steps, so it serves to mark what is listed already; every
        # column is written, and counted if it is new: whether it is nobody can foresee
        n_outputs, n_touched = count(rule.outputs), 0
        for position in range(batch.start, batch.stop):
            i = row_at(batch.order, position)
            begin, end = entries(rows, i)
            for k in range(begin, end):
                j, _ = entry(rows, i, k)
                c = at(j, n_outputs, 0)
                columns.numbers[np.uint64(n_touched)] = j
                n_touched += 1 if gradient[c] == 0 else 0
                gradient[c] = 1
        for i in range(n_touched):
            gradient[at(columns.numbers[i], n_outputs, 0)] = 0
        return n_touched

    @staticmethod
    def column(columns, i):
        return np.uint64(columns.numbers[i])

    @staticmethod
    def column_of(rows, k):
        """Return the k-th of them: they can be read as a sparse row is."""
        return np.uint64(rows.numbers[np.uint64(k)])


class Scattered(NamedTuple):
    """Those of the batch's entries, row by row, straight from the slopes.

    A step of plain sgd is a sum over rows: no gradient is added up, and no columns are listed.
    """

    @staticmethod
    def list_columns(columns, rule, rows, batch, gradient):
        return 0

    @staticmethod
    def gather(columns, rule, rows, batch, slopes, memory):
        pass

    @staticmethod
    def step_of_batch(columns, store, rule, rows, batch, step_coefs, memory, n_touched):
        scatter_rows(rule.outputs, store, rule, rows, batch, step_coefs, memory)
