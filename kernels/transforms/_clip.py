"""Clipping by value and by norm."""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels._hook import cast
from fastgd.kernels._jit import helper
from fastgd.kernels.rows import entries, entry
from fastgd.kernels.stores import at, column, count

TINY = 2.0**-600  # squares of doubles times this do not overflow


class Clip(NamedTuple):
    """Clip by value, then by norm: g_j to [-value, value], then g to a length of ``norm``.

    Parameters
    ----------
    norm : float, default=inf
        The longest that a gradient may be, > 0.
    value : float, default=inf
        The largest that an entry may be, > 0.

    References
    ----------
    .. [1] Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks",
       2013, Algorithm 1. arXiv:1211.5063
    """

    norm: float = math.inf
    value: float = math.inf

    @staticmethod
    def clip(spec, store, rule, gradient, n_touched, first, width):
        limited, shortened = 0, 0
        if spec.value < np.inf:
            limited = _limit(spec.value, store, rule, gradient, n_touched, first, width)
        if spec.norm < np.inf:
            shortened = _shorten(spec.norm, store, rule, gradient, n_touched, first, width)
        return limited | shortened

    @staticmethod
    def clip_row(spec, rows, i, delta, fit_intercept):
        return _clip_row(spec.norm, spec.value, rows, i, delta, fit_intercept)

    @staticmethod
    def clipped_entry(spec, g, factor):
        return _limited(g, spec.value) * factor


@helper()
def _clip_row(norm, value, rows, i, delta, fit_intercept):
    """Find the factor of a row's gradient from one look at the row; no gradient is written."""
    unit = 1.0
    squares, n_changed = _squares_of_row(unit, value, rows, i, delta, fit_intercept)
    if squares == np.inf:
        unit = TINY
        squares, n_changed = _squares_of_row(unit, value, rows, i, delta, fit_intercept)
    if not squares > (norm * unit) ** 2:
        return cast(1.0, delta), min(n_changed, 1)
    return cast(norm * unit / math.sqrt(squares), delta), 1


@helper()
def _squares_of_row(unit, value, rows, i, delta, fit_intercept):
    """Return the sum of (unit g_j)^2 after clipping by value, and how many entries that changed."""
    begin, end = entries(rows, i)
    total, n_changed = 0.0, 0
    for k in range(begin, end):
        _, x = entry(rows, i, k)
        g = unit * np.float64(_limited(delta * x, value))
        total += g * g
        n_changed += 1 if abs(delta * x) > value else 0
    if fit_intercept:
        g = unit * np.float64(_limited(delta, value))
        total += g * g
        n_changed += 1 if abs(delta) > value else 0
    return total, n_changed


@helper()
def _limited(g, bound):
    """Return g clipped to +-bound; by comparisons, so that NaN stays and a divergence shows."""
    return bound if g > bound else (-bound if g < -bound else g)


@helper()
def _limit(bound, store, rule, gradient, n_touched, first, width):
    """Clip each entry; return 1 if one changed."""
    n_changed = _limit_column(
        bound, gradient, _last(gradient, rule), count(rule.outputs), first, width
    )
    for i in range(n_touched):
        n_changed += _limit_column(
            bound, gradient, column(store.columns, i), count(rule.outputs), first, width
        )
    return min(n_changed, 1)


@helper()
def _limit_column(bound, gradient, j, n_outputs, first, width):
    n_changed = 0
    for output in range(first, first + width):
        g = gradient[at(j, n_outputs, output)]
        gradient[at(j, n_outputs, output)] = _limited(g, bound)
        n_changed += 1 if abs(g) > bound else 0
    return n_changed


@helper()
def _shorten(bound, store, rule, gradient, n_touched, first, width):
    """Scale the gradient to a norm of ``bound`` if its norm is larger; return 1 if it was."""
    unit = 1.0
    squares = _squares(unit, store, rule, gradient, n_touched, first, width)
    if squares == np.inf:
        unit = TINY
        squares = _squares(unit, store, rule, gradient, n_touched, first, width)
    if not squares > (bound * unit) ** 2:
        return 0
    if unit != 1.0:  # one factor for both could be denormal, which some libraries have rounded to 0
        _scale(unit, store, rule, gradient, n_touched, first, width)
    _scale(bound / math.sqrt(squares), store, rule, gradient, n_touched, first, width)
    return 1


@helper()
def _scale(factor, store, rule, gradient, n_touched, first, width):
    """Multiply the gradient by a number."""
    factor = gradient.dtype.type(factor)
    _scale_column(factor, gradient, _last(gradient, rule), count(rule.outputs), first, width)
    for i in range(n_touched):
        _scale_column(factor, gradient, column(store.columns, i), count(rule.outputs), first, width)


@helper()
def _squares(unit, store, rule, gradient, n_touched, first, width):
    """Return the sum of (unit g_j)^2."""
    total = _squares_of_column(
        unit, gradient, _last(gradient, rule), count(rule.outputs), first, width
    )
    for i in range(n_touched):
        j = column(store.columns, i)
        total += _squares_of_column(unit, gradient, j, count(rule.outputs), first, width)
    return total


@helper()
def _squares_of_column(unit, gradient, j, n_outputs, first, width):
    total = 0.0
    for output in range(first, first + width):
        g = unit * np.float64(gradient[at(j, n_outputs, output)])
        total += g * g
    return total


@helper()
def _scale_column(factor, gradient, j, n_outputs, first, width):
    for output in range(first, first + width):
        gradient[at(j, n_outputs, output)] *= factor


@helper()
def _last(gradient, rule):
    """Return the column of the intercepts."""
    return gradient.shape[0] // count(rule.outputs) - 1
