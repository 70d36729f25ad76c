"""The columns that a batch of sparse rows touches."""

from typing import NamedTuple

import numpy as np

from fastgd.kernels._jit import helper
from fastgd.kernels.frames._protocol import n_outputs_of
from fastgd.kernels.penalties import at
from fastgd.kernels.rows import entries, entry, row_at


class Listed(NamedTuple):
    """Columns in an array, as ``column_of`` gives them of sparse rows."""

    columns: np.ndarray

    @staticmethod
    def column_of(rows, k):
        return np.uint64(rows.columns[np.uint64(k)])


@helper()
def list_columns(frame, rule, rows, batch, gradient):
    """List the batch's columns once each, and return their number.

    The gradient is zero between steps, so it serves to mark what is listed already.
    """
    n_outputs, n_touched = n_outputs_of(rule), 0
    for position in range(batch.start, batch.stop):
        i = row_at(batch.order, position)
        begin, end = entries(rows, i)
        for k in range(begin, end):
            j, _ = entry(rows, i, k)
            if gradient[at(j, n_outputs, 0)] == 0:
                gradient[at(j, n_outputs, 0)] = 1
                frame.touched[n_touched] = j
                n_touched += 1
    for i in range(n_touched):
        gradient[at(frame.touched[i], n_outputs, 0)] = 0
    return n_touched
