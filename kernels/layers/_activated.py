"""What layers of units share: biases and activations, each array in one pass.

Arrays are (rows, units), where the rows of a convolution are all positions of all images.
"""

import numpy as np

from fastgd.kernels._jit import helper
from fastgd.kernels._views import line_in, table_in
from fastgd.kernels.activations import gradient, value


@helper(inlined=False)
def activate(activation, bias, out, sums):
    """Add the biases to the products in ``out``, and put the activation's values in their place.

    ``bias`` may be empty. The weighted sums are kept in ``sums``, unless that has no columns.
    """
    if bias.shape[0] > 0 and sums.shape[1] == 0:
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] = value(activation, out[i, j] + bias[j])
        return
    for i in range(out.shape[0]):
        for j in range(bias.shape[0]):
            out[i, j] += bias[j]
        for j in range(sums.shape[1]):
            sums[i, j] = out[i, j]
        for j in range(out.shape[1]):
            out[i, j] = value(activation, out[i, j])


@helper(inlined=False)
def deactivate(activation, out, sums, delta, bias_slopes):
    """Make of the derivatives by the outputs those by the weighted sums, and by the biases.

    ``sums`` has no columns where the activation's derivative goes by its value.
    """
    size = out.shape[0] * out.shape[1]
    slopes, values = line_in(delta, 0, size), line_in(out, 0, size)
    weighted = line_in(sums if sums.shape[1] > 0 else out, 0, size)
    for c in range(size):  # all in one loop: rows of few units are shorter than a vector
        slopes[c] *= gradient(activation, weighted[c], values[c])
    if bias_slopes.shape[0] > 0:
        _sum_rows_into(delta, bias_slopes)


@helper(inlined=False)
def _sum_rows_into(table, sums):
    """Write the sum of a table's rows, four at a time: most have few numbers."""
    n_fours, units = table.shape[0] // 4, np.uint64(sums.shape[0])
    fours = table_in(table, 0, n_fours, 4 * sums.shape[0])
    for j in range(sums.shape[0]):
        sums[j] = 0
    for i in range(n_fours):
        for j in range(sums.shape[0]):
            a = np.uint64(j)
            b = a + units
            c = b + units
            sums[a] += (fours[i, a] + fours[i, b]) + (fours[i, c] + fours[i, c + units])
    for i in range(4 * n_fours, table.shape[0]):
        for j in range(sums.shape[0]):
            sums[j] += table[i, j]


@helper()
def copy(source, target):
    """Write a table into another one."""
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] = source[i, j]


@helper()
def add(source, target):
    """Add a table to another one."""
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            target[i, j] += source[i, j]
