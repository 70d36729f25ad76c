"""Rows and targets whose squares would leave float64, in units of powers of two.

With X = 2^x X', Y = 2^y Y' and W = 2^(y - x) W', half the mean square of Y - X W is 2^(2 y) times
that of Y' - X' W', l1 |W| is 2^(y - x) l1 |W'| and l2 |W|^2 / 2 is 2^(2 y - 2 x) l2 |W'|^2 / 2. All
of it is exact but for numbers that are far below the largest one.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PLAIN = 256, 100  # of X and targets within 2^+- so much, squares and products need no care
PLAIN_SINGLE = 50  # of X in float32
TOO_SMALL = 2.0**-500  # of the largest number: a square that keeps no digits
LARGEST_STRENGTH = 1e300  # that squares can be multiplied by, and divided by its inverse
STRONG = 2.0**500  # times the squares: a strength of l2 that leaves nothing else to be kept


class Magnitudes(NamedTuple):
    """The exponents of X and of the targets; zeros where they are taken as they are."""

    x: int = 0
    y: int = 0

    def of_rows(self, X: Any) -> Any:
        """Return X in own units, a copy unless these are the user's."""
        if self.x == 0:
            return X
        if not sp.issparse(X):
            return np.ldexp(np.asarray(X, np.float64), -self.x)
        own = X.astype(np.float64)
        own.data = np.ldexp(own.data, -self.x)
        return own

    def of_targets(self, Y: Floats) -> Floats:
        """Return targets in own units."""
        return Y if self.y == 0 else np.ldexp(Y, -self.y)

    def of_l1(self, alphas: Floats) -> Floats:
        """Return strengths of l1 in own units."""
        return _strengths(alphas, -self.x - self.y)

    def of_l2(self, alphas: Floats) -> Floats:
        """Return strengths of l2 in own units."""
        return _strengths(alphas, -2 * self.x)

    def for_l2(self, alphas: Floats) -> "Magnitudes":
        """Return the user's units of X, where strengths of l2 or coefficients leave float64 in own.

        That is where X is tiny, and its squares are nothing beside a strength.
        """
        with np.errstate(over="ignore"):
            is_strong = np.any(np.ldexp(alphas, -2 * self.x) > STRONG)
        return self._replace(x=0) if self.x < 0 and is_strong else self

    def of_coef(self, coef: Floats) -> Floats:
        """Return coefficients in own units."""
        with np.errstate(over="ignore"):
            return np.ldexp(coef, self.x - self.y)

    def user_l1(self, strengths: Floats) -> Floats:
        """Return strengths of l1 in the user's units."""
        with np.errstate(over="ignore"):
            return np.ldexp(strengths, self.x + self.y)

    def user_coef(self, coef: Floats) -> Floats:
        """Return coefficients in the user's units."""
        with np.errstate(over="ignore"):
            return np.ldexp(coef, self.y - self.x)

    def user_intercept(self, intercept: Any) -> Any:
        """Return intercepts in the user's units."""
        return np.ldexp(intercept, self.y)

    def figure(self, values: Any) -> Any:
        """Return objectives, or parts of them, in the user's units."""
        with np.errstate(over="ignore"):
            return np.ldexp(values, 2 * self.y)


def _strengths(alphas: Floats, exponent: int) -> Floats:
    if exponent == 0:
        return alphas
    with np.errstate(over="ignore"):
        own = np.ldexp(alphas, exponent)
    return np.where(alphas > 0.0, np.clip(own, 1.0 / LARGEST_STRENGTH, LARGEST_STRENGTH), own)


def magnitudes_of(X: Any, Y: Floats) -> Magnitudes:
    """Return the exponents of what is too large or too small to be squared.

    Raises
    ------
    ValueError
        If columns of X are so far apart that no unit suits all of them.
    """
    values = X.data if sp.issparse(X) else X
    plain = PLAIN_SINGLE if values.dtype == np.float32 else PLAIN[0]
    x = _exponent(_largest(values), plain)
    if x > 0:
        peak = abs(X).max(axis=0).toarray() if sp.issparse(X) else np.abs(X).max(axis=0)
        _refuse_far_apart(np.ravel(peak).astype(np.float64))
    return Magnitudes(x, _exponent(_largest(Y), PLAIN[1]))


def magnitudes_of_peaks(columns: Floats, targets: Floats) -> Magnitudes:
    """Return the same of the largest magnitudes of each column, and of each target.

    Raises
    ------
    ValueError
        If columns are so far apart that no unit suits all of them.
    """
    x = _exponent(_largest(columns), PLAIN[0])
    if x > 0:
        _refuse_far_apart(columns)
    return Magnitudes(x, _exponent(_largest(targets), PLAIN[1]))


def _largest(values: NDArray[Any]) -> float:
    return max(float(np.max(values, initial=0.0)), -float(np.min(values, initial=0.0)))


def _exponent(largest: float, plain: int) -> int:
    exponent = int(np.frexp(largest)[1])
    return 0 if largest == 0.0 or abs(exponent) <= plain else exponent


def _refuse_far_apart(peak: Floats) -> None:
    least = float(np.min(peak, where=peak > 0.0, initial=np.inf))
    if least <= TOO_SMALL * peak.max():
        raise ValueError(
            f"X holds columns too far apart for one penalty: column {int(np.argmax(peak))} reaches "
            f"{peak.max():.3g}, column {int(np.flatnonzero(peak == least)[0])} {least:.3g}. Divide "
            "such columns by a constant."
        )
