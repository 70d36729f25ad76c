"""BFGS's corrections in the coordinates of the rows, by inner products of all kept vectors.

Vectors are kept with their images, so that an inner product is a product of two arrays. Those of
the kept vectors are remembered: a correction asks for the products of the newest three with all
others, one product of matrices, and ends with one combination. What is between is arithmetic on a
few dozen numbers ("Large-scale L-BFGS using MapReduce", Chen, Wang & Zhou, 2014, algorithm 3).
"""

from typing import NamedTuple

import numpy as np

from fastgd._solvers._problem import Floats

MEMORY = 30  # pairs
GROWTH = 10  # pairs for which memory is taken at once


class Image(NamedTuple):
    """A vector, its image under K, and its part of the intercepts.

    own, image : (n, K)
    level : (K,)
    """

    own: Floats
    image: Floats
    level: Floats

    def plus(self, other: "Image", factor: float) -> "Image":
        """Return the sum with another one, times a factor."""
        return Image(*(a + factor * b for a, b in zip(self, other, strict=True)))

    def along(self, other: "Image") -> float:
        """Return the inner product."""
        return float(np.vdot(self.image, other.own) + self.level @ other.level)


class RowPairs:
    """The last steps and what they changed of the gradient.

    Parameters
    ----------
    n, n_outputs : int
        The shape of a vector.

    Notes
    -----
    Slot i has its step in row 2 i of the arrays, and its change in row 2 i + 1. ``_products`` has
    the inner products of all rows but for the intercepts' part, for a penalty, which does not
    touch intercepts, changes these products by one another.
    """

    def __init__(self, n: int, n_outputs: int) -> None:
        self._shape = n, n_outputs
        self._own = self._image = np.zeros((0, n * n_outputs))
        self._level, self._products = np.zeros((0, n_outputs)), np.zeros((0, 0))
        self._order: list[int] = []  # of slots, the oldest first

    def add_ridge(self, more: float) -> None:
        """Let changes be those of an objective with more of an l2 penalty."""
        for vectors in (self._own, self._image):
            vectors[1::2] += more * vectors[::2]
        for products in (self._products, self._products.T):
            products[1::2] += more * products[::2]

    def add(self, step: Image, change: Image) -> None:
        """Remember a pair, in place of the oldest if need be."""
        if len(self._order) < MEMORY:
            slot = len(self._order)
            if 2 * slot == self._own.shape[0]:
                self._grow()
        else:
            slot = self._order.pop(0)
        self._order.append(slot)
        for at, vector in ((2 * slot, step), (2 * slot + 1, change)):
            self._own[at], self._image[at] = vector.own.ravel(), vector.image.ravel()
            self._level[at] = vector.level

    def _grow(self) -> None:
        rows = 2 * min(GROWTH, MEMORY - len(self._order))
        self._own = np.vstack([self._own, np.zeros((rows, self._own.shape[1]))])
        self._image = np.vstack([self._image, np.zeros((rows, self._own.shape[1]))])
        self._level = np.vstack([self._level, np.zeros((rows, self._level.shape[1]))])
        self._products = np.pad(self._products, (0, rows))

    def corrected(self, gradient: Image, curvature: float, *, is_new: bool) -> Image:
        """Multiply by L-BFGS's inverse Hessian.

        Parameters
        ----------
        gradient : Image
        curvature : float
            The objective's second derivative along the gradient: it says how long a first step is.
        is_new : bool
            Whether a pair was added since the last call.

        Returns
        -------
        Image
        """
        if not self._order:
            size = gradient.along(gradient) / max(curvature, 1e-300)
            return Image(*(size * part for part in gradient))
        along = self._along(gradient, is_new=is_new)
        products = self._products + self._level @ self._level.T
        shares = self._shares(products, along)
        own, image = shares[:-1] @ self._own, shares[:-1] @ self._image
        return Image(
            own.reshape(self._shape) + shares[-1] * gradient.own,
            image.reshape(self._shape) + shares[-1] * gradient.image,
            shares[:-1] @ self._level + shares[-1] * gradient.level,
        )

    def _along(self, gradient: Image, *, is_new: bool) -> Floats:
        """Return the gradient's products with all rows; bring those of a new pair up to date."""
        rows = 2 * self._order[-1] + np.arange(2 * is_new)
        others = np.vstack([self._own[rows], gradient.own.ravel()])
        found = self._image @ others.T
        if is_new:
            self._products[:, rows] = found[:, :2]
            self._products[rows] = found[:, :2].T
        along: Floats = found[:, -1] + self._level @ gradient.level
        return along

    def _shares(self, products: Floats, along: Floats) -> Floats:
        """Return what rows, and the gradient, last, make of the product (Nocedal & Wright, 7.4)."""
        shares, taken = np.zeros(along.shape[0] + 1), {}
        shares[-1] = 1.0
        for slot in reversed(self._order):
            step, change = 2 * slot, 2 * slot + 1
            taken[slot] = products[step] @ shares[:-1] + shares[-1] * along[step]
            taken[slot] /= products[step, change]
            shares[change] -= taken[slot]
        newest = 2 * self._order[-1]
        bend = max(products[newest + 1, newest + 1], 1e-300)
        shares *= products[newest, newest + 1] / bend
        for slot in self._order:
            step, change = 2 * slot, 2 * slot + 1
            share = products[change] @ shares[:-1] + shares[-1] * along[change]
            shares[step] += taken[slot] - share / products[step, change]
        return shares
