"""What layers of units share: biases and activations, each array in one pass.

Arrays are (rows, units), where the rows of a convolution are all positions of all images.
"""

from fastgd.kernels._jit import helper
from fastgd.kernels.activations import gradient, value


@helper()
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


@helper()
def deactivate(activation, out, sums, delta, bias_slopes):
    """Make of the derivatives by the outputs those by the weighted sums, and by the biases.

    ``sums`` has no columns where the activation's derivative goes by its value.
    """
    z = sums if sums.shape[1] > 0 else out
    if bias_slopes.shape[0] == 0:
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                delta[i, j] *= gradient(activation, z[i, j], out[i, j])
        return
    for j in range(bias_slopes.shape[0]):
        bias_slopes[j] = 0
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            slope = delta[i, j] * gradient(activation, z[i, j], out[i, j])
            delta[i, j] = slope
            bias_slopes[j] += slope


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
