"""Passes for many weightings of the same rows: the folds of a cross-validation, all at once.

Each fold has weights of its own, one or more models of it have coefficients of their own, and a
loss of one output or of K classes. What they share is X: it is read once for all of them, and where
it is dense, their products with a block of rows are one matrix product, which is what BLAS is good
at.
"""

from typing import Any, NamedTuple

import numpy as np

from fastgd.kernels import losses
from fastgd.kernels._hook import hook
from fastgd.kernels._jit import helper, kernel
from fastgd.kernels.objective import (
    add_slopes_of_row,
    coefficients_in_type,
    raw_of_row,
    slopes_of_block,
)
from fastgd.kernels.rows import entries, entry, standardise


class OneOutput(NamedTuple):
    """A loss of one raw prediction a row."""

    loss: Any

    @staticmethod
    def of_block(output, y, weight, intercept, first, raw, sums, bends):
        """Replace w'X_b' by s_i loss'_i; return the weighted loss and add up the slopes."""
        loss, total, slopes = output.loss, 0.0, 0.0
        values, b = raw[0], intercept[0]
        for o in range(values.shape[0]):
            i = first + o
            total += weight[i] * losses.value(loss, y[i], values[o] + b)
        if bends.shape[1] > 0:
            for o in range(values.shape[0]):
                i = first + o
                bends[0, i] = weight[i] * losses.curvature(loss, y[i], values[o] + b)
        for o in range(values.shape[0]):
            i = first + o
            values[o] = weight[i] * losses.gradient(loss, y[i], values[o] + b)
        for o in range(values.shape[0]):
            slopes += values[o]
        sums[0] += slopes
        return total

    @staticmethod
    def of_row(output, y, weight, i, raw, bends):
        """Replace a row's raw prediction by its slope; return the weighted loss."""
        at = raw[0]
        if bends.shape[1] > 0:
            bends[0, i] = weight * losses.curvature(output.loss, y, at)
        raw[0] = weight * losses.gradient(output.loss, y, at)
        return weight * losses.value(output.loss, y, at)


class ManyClasses(NamedTuple):
    """The cross-entropy of a softmax: as many raw predictions a row as there are classes."""

    loss: Any

    @staticmethod
    def of_block(output, y, weight, intercept, first, raw, sums, bends):
        """Do the same for the classes' raw predictions, (n_classes, size)."""
        total = slopes_of_block(y, weight, intercept, first, raw, sums)
        if bends.shape[1] > 0:
            for k in range(raw.shape[0]):
                for o in range(raw.shape[1]):
                    bends[k, first + o] = _bend(raw[k, o], weight[first + o])
        return total

    @staticmethod
    def of_row(output, y, weight, i, raw, bends):
        """Do the same for one row's."""
        loss = losses.gradient_row(output.loss, y, raw, raw)
        for k in range(raw.shape[0]):
            raw[k] *= weight
            if bends.shape[1] > 0:
                bends[k, i] = _bend(raw[k], weight)
        return weight * loss


@helper()
def _bend(slope, weight):
    """Return s p (1 - p) of a slope s p or s (p - 1)."""
    return abs(slope) * (1.0 - abs(slope) / weight) if weight > 0.0 else 0.0


@hook
def of_block(output, y, weight, intercept, first, raw, sums, bends):
    """Turn a block's raw predictions into slopes; return the loss."""
    return type(output).of_block(output, y, weight, intercept, first, raw, sums, bends)


@hook
def of_row(output, y, weight, i, raw, bends):
    """Turn a row's raw predictions into slopes; return the loss."""
    return type(output).of_row(output, y, weight, i, raw, bends)


class FoldTargets(NamedTuple):
    """What comes with the rows of X.

    y : (n_samples,), float64; for softmax the classes' numbers, int32
    weights : (n_folds, n_samples), float64; 0 leaves a row out
    fold_of : (n_models,), int64, which of them each model's are: a fold may have several
    output : OneOutput or ManyClasses
    """

    y: np.ndarray
    weights: np.ndarray
    fold_of: np.ndarray
    output: Any


class FoldSums(NamedTuple):
    """What a pass adds up and writes, in place.

    gradient : like the parameters
    totals : (n_models,), float64, the models' sums of s_i loss_i
    bends : (n_models * K, n_samples), float64, written: s_i times the second derivative by each raw
        prediction alone; or (n_models * K, 0)
    """

    gradient: np.ndarray
    totals: np.ndarray
    bends: np.ndarray


@kernel(allocates=True)
def pass_folds(rows, targets, scaler, params, start, stop, block, sums):
    """Add up losses and gradients of all models, on standardised blocks.

    Parameters
    ----------
    rows : Dense or CSR
    targets : FoldTargets
    scaler : Scaler
    params : (n_models * K, n_features + 1), float64, in the scaler's coordinates, intercepts last
    block : (n_block, n_features), float64, scratch
    sums : FoldSums

    Notes
    -----
    Floor: 4 d K flops a row and model, BLAS's; call it with BLAS held to one thread.
    """
    weights, gradient = targets.weights, sums.gradient
    n_models, last = targets.fold_of.shape[0], params.shape[1] - 1
    K = params.shape[0] // n_models
    coef = coefficients_in_type(params, block)
    for first in range(start, stop, block.shape[0]):
        size = min(first + block.shape[0], stop) - first
        standardise(rows, scaler.center, scaler.inverse_std, first, size, block)
        z = block[:size]
        raw = np.dot(coef, z.T)
        for m in range(n_models):
            own, beyond = m * K, (m + 1) * K
            sums.totals[m] += of_block(
                targets.output,
                targets.y,
                weights[targets.fold_of[m]],
                params[own:beyond, last],
                first,
                raw[own:beyond],
                gradient[own:beyond, last],
                sums.bends[own:beyond],
            )
        _add_products(np.dot(raw, z), gradient)


@helper()
def _add_products(products, gradient):
    for k in range(products.shape[0]):
        for j in range(products.shape[1]):
            gradient[k, j] += products[k, j]


@kernel(allocates=True)
def pass_folds_sparse(rows, targets, params, start, stop, sums):
    """Do the same entry by entry, on raw columns.

    Parameters
    ----------
    rows : CSR
    targets : FoldTargets
    params : (n_features + 1, n_models * K), float64, raw, intercepts last
    sums : FoldSums

    Notes
    -----
    Floor: for each non-zero a read of all coefficients, and a read and a write of all slopes.
    """
    n_models = targets.fold_of.shape[0]
    K = params.shape[1] // n_models
    raw = np.empty(params.shape[1])
    for i in range(start, stop):
        raw_of_row(rows, i, params, raw)
        for m in range(n_models):
            own, beyond = m * K, (m + 1) * K
            weight, bends = targets.weights[targets.fold_of[m], i], sums.bends[own:beyond]
            loss = of_row(targets.output, targets.y[i], weight, i, raw[own:beyond], bends)
            sums.totals[m] += loss
        add_slopes_of_row(rows, i, raw, sums.gradient)


FIVE = 5  # columns at once: as many as folds by default


@kernel()
def write_products(rows, params, start, stop, out):
    """Write X V of the rows ``start`` to ``stop`` into ``out``, all columns of V at once.

    Parameters
    ----------
    rows : CSR
    params : (n_features, m), float64
    out : (n_samples, m), float64, changed in place

    Notes
    -----
    Five columns at once are written out: a loop over any number of them, which the compiler makes
    vector code of, takes twice the time of the reads.
    """
    for i in range(start, stop):
        first = 0
        while first + FIVE <= out.shape[1]:
            _write_five(rows, i, params, first, out)
            first += FIVE
        for k in range(first, out.shape[1]):
            out[i, k] = 0.0
        begin, end = entries(rows, i)
        for at in range(begin, end if first < out.shape[1] else begin):
            j, x = entry(rows, i, at)
            for k in range(first, out.shape[1]):
                out[i, k] += x * params[j, k]


@helper()
def _write_five(rows, i, params, first, out):
    """Write five of a row's products; their sums stay in registers."""
    a = b = c = d = e = 0.0
    k = np.uint64(first)
    begin, end = entries(rows, i)
    for at in range(begin, end):
        j, x = entry(rows, i, at)
        a += x * params[j, k]
        b += x * params[j, k + np.uint64(1)]
        c += x * params[j, k + np.uint64(2)]
        d += x * params[j, k + np.uint64(3)]
        e += x * params[j, k + np.uint64(4)]
    out[i, first], out[i, first + 1] = a, b
    out[i, first + 2], out[i, first + 3], out[i, first + 4] = c, d, e
