"""Newton's steps of dual coordinate ascent, for the derivatives that no bound holds.

Where a loss has kinks, or is flat on one side, most r_i of ``sdca`` end at a bound or at zero, and
passes soon know which. The others, the face F, then solve linear equations, which steps of one row
at a time approach as slowly as Gauss-Seidel does. A step of r_i would be free where its row alone
moved; with e_i the error of its raw prediction, loss*'(r_i) + e_i = raw_i, and c_i = loss*''(r_i),
all of F move together by

    c_i dr_i + 1/(S l2) sum_F s_j dr_j x_i x_j = e_i,    i in F

which conjugate gradients solve without a matrix; a product reads the rows of F twice. What would
cross a bound or zero ends there, and the step is halved until the dual objective falls: gradient
projection and conjugate gradients in turn [1]_, with passes of ``sdca`` in place of the first.
Without an intercept that is free, and without l1.

References
----------
.. [1] More & Toraldo, "On the solution of large quadratic programming problems with bound
   constraints", 1991.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels import losses
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.sdca import add_row, raw_and_square, row_dot

HALVINGS = 12
SOLVED = 1e-8  # of the first residual's square
LITTLE = 1e-3  # of the largest gain: the face's optimum matters less than what bounds it


class Face(NamedTuple):
    """What is known of the rows of F, of which there are at most n; float64 but the first.

    row : int32, their numbers
    error : e_i less what steps have changed of it
    bend : c_i
    square : s_i |x_i|^2 / (S l2)
    step, towards, product : dr_i, the direction, and the matrix's product with it
    """

    row: np.ndarray
    error: np.ndarray
    bend: np.ndarray
    square: np.ndarray
    step: np.ndarray
    towards: np.ndarray
    product: np.ndarray


@kernel(allocates=True)
def face_step(rows, samples, rule, memory, most, reads):
    """Move the free derivatives together.

    Parameters
    ----------
    rows, samples, rule, memory : as in ``sdca_pass``; ``dual`` and ``params`` are changed
    most : int, products at most
    reads : float, how often all rows may be read for products

    Returns
    -------
    share : float
        What was taken of the step: 1 where no bound was in its way, 0 where nothing was gained.
    reads : float
        How often all rows would have been read in that time.
    """
    n = samples.y.shape[0]
    row, wide = np.empty(n, np.int32), np.zeros((6, n))
    face = Face(row, wide[0], wide[1], wide[2], wide[3], wide[4], wide[5])
    image = np.zeros(memory.params.shape[0])
    count = _find(rows, samples, rule, memory, face)
    part = float(count) / n
    most = min(most, int(reads / max(part, 1.0 / n)))
    products = _solve(rows, samples.weight, rule, face, count, image, most)
    share = _take(rows, samples, rule, memory, face, count, image) if products > 0 else 0.0
    return share, 1.0 + part * products


@helper()
def _find(rows, samples, rule, memory, face):
    """Find the rows whose own step is free; return how many there are."""
    y, weight, dual, count = samples.y, samples.weight, memory.dual, 0
    for k in range(y.shape[0]):
        i = np.uint64(k)
        s = weight[i] if weight.shape[0] > 0 else 1.0
        raw, square = raw_and_square(rows, i, memory.params, 0.0)
        q = rule.scale * s * square
        new, response = losses.dual_step(rule.loss, y[i], raw, dual[i], q)
        if response > 0.0 and q > 0.0 and dual[i] * new > 0.0:
            face.row[count] = k
            face.error[count] = (new - dual[i]) / response
            face.bend[count] = max(1.0 / response - q, 0.0)
            face.square[count] = q
            count += 1
    return count


@helper()
def _solve(rows, weight, rule, face, count, image, most):
    """Solve for ``step`` by conjugate gradients, in the inner product that s_i weights.

    Returns how many products with the matrix were taken.
    """
    left, products, most_gained = _turn(weight, face, count, 0.0), 0, 0.0
    first = left
    while products < most and left > SOLVED * first:
        bend = _multiply(rows, weight, rule, face, count, image)
        if not bend > 0.0:
            break
        length, before = left / bend, left
        for k in range(count):
            face.step[k] += length * face.towards[k]
            face.error[k] -= length * face.product[k]
        left = _turn(weight, face, count, before)
        products += 1
        most_gained = max(most_gained, length * before)
        if length * before < LITTLE * most_gained:
            break
    return products


@helper()
def _turn(weight, face, count, before):
    """Turn to the next direction; return the preconditioned errors' square, ``before`` the last."""
    left = 0.0
    for k in range(count):
        s = weight[face.row[k]] if weight.shape[0] > 0 else 1.0
        left += s * face.error[k] * face.error[k] / (face.bend[k] + face.square[k])
    ratio = left / before if before > 0.0 else 0.0
    for k in range(count):
        own = face.error[k] / (face.bend[k] + face.square[k])
        face.towards[k] = own + ratio * face.towards[k]
    return left


@helper()
def _multiply(rows, weight, rule, face, count, image):
    """Multiply the matrix by the direction; return the direction's curvature."""
    image[:] = 0.0
    for k in range(count):
        i = np.uint64(face.row[k])
        s = weight[i] if weight.shape[0] > 0 else 1.0
        add_row(rows, i, image, s * face.towards[k])
    bend = 0.0
    for k in range(count):
        i = np.uint64(face.row[k])
        s = weight[i] if weight.shape[0] > 0 else 1.0
        moved = rule.scale * row_dot(rows, i, image)
        face.product[k] = face.bend[k] * face.towards[k] + moved
        bend += s * face.towards[k] * face.product[k]
    return bend


@helper()
def _take(rows, samples, rule, memory, face, count, image):
    """Take as much of the step as lowers the dual objective; return how much."""
    params, share = memory.params, 1.0
    for _ in range(HALVINGS):
        if _change(rows, samples, rule, memory, face, count, share, image) < 0.0:
            for k in range(count):
                i = face.row[k]
                new = memory.dual[i] + share * face.step[k]
                memory.dual[i] = _within(rule.loss, samples.y[i], memory.dual[i], new)
            for j in range(params.shape[0] - 1):
                params[j] += image[j]
            return share
        share *= 0.5
    return 0.0


@helper()
def _change(rows, samples, rule, memory, face, count, share, image):
    """Return what a share of the step adds to the dual objective, times -1; ``image``, to v."""
    loss, dual, params, change = rule.loss, memory.dual, memory.params, 0.0
    image[:] = 0.0
    for k in range(count):
        i = np.uint64(face.row[k])
        y, s = samples.y[i], samples.weight[i] if samples.weight.shape[0] > 0 else 1.0
        new = _within(loss, y, dual[i], dual[i] + share * face.step[k])
        change += s * (losses.conjugate(loss, y, new) - losses.conjugate(loss, y, dual[i]))
        add_row(rows, i, image, -rule.scale * s * (new - dual[i]))
    for j in range(params.shape[0] - 1):
        change += image[j] * (params[j] + 0.5 * image[j]) / rule.scale
    return change


@helper()
def _within(loss, y_true, old, new):
    """Return a derivative that leaves neither its bounds nor its sign."""
    low, high = losses.dual_bounds(loss, y_true)
    low, high = (max(low, 0.0), high) if old > 0.0 else (low, min(high, 0.0))
    return min(max(new, low), high)
