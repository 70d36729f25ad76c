"""Newton's step of a fold in the coordinates of the rows, and what it proves.

With w = X'a and raw predictions f = K a + b, any r of the derivatives' range with sum_i s_i r_i = 0
is a dual point, whose coefficients X'a' have a'_i = -s_i r_i / l2. The gap to it is a sum of parts
that are not negative, and that need products with K only:

    gap = sum_i s_i (loss(f_i) + loss*(r_i) - r_i f_i) + l2/2 (a' - a)'K (a' - a)

Of the derivatives themselves the second term is |gradient|^2 / (2 l2), which says little where l2
is small. So they are taken where Newton's step (da, db) leads, r_i + loss''_i (K da + db)_i: then
the gap is about the step's decrement. For a logistic loss the first term is the relative entropy of
both predictions, for many classes as well. The step comes from a matrix of the rows for each class,

    (l2 I + W^1/2 K W^1/2) z = W^-1/2 q,    W = diag(s_i loss''_i),    da = W^1/2 z,

and for many classes, whose Hessian has more, from conjugate gradients that these matrices
precondition, in the inner product p'K q.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from fastgd._solvers._certificates import ACCEPTED, ALLOWANCE
from fastgd._solvers._problem import Floats
from fastgd._solvers._row_pairs import Image

LEAST_CURVATURE = 1e-10  # of a row's weight
MOST_STEPS = 40  # of conjugate gradients
ACCURACY = 1e-4  # of the decrement: what they leave


class Place(NamedTuple):
    """Where a fold stands.

    matrix : (n, n), K
    weight : (n, 1), which sum to 1
    p : (n, K), predictions: of two classes that of the second one, (n, 1)
    missed : (n, K), predictions less targets
    l2 : float
    has_intercept : bool
    """

    matrix: Floats
    weight: Floats
    p: Floats
    missed: Floats
    l2: float
    has_intercept: bool

    def bend(self, moved: Floats) -> Floats:
        """Return the derivatives' relative changes, those of p, where raw predictions move."""
        if self.p.shape[1] == 1:
            return (1.0 - self.p) * moved
        return np.asarray(moved - np.sum(self.p * moved, axis=1, keepdims=True))

    def hessian(self, x: Image) -> Image:
        """Return the Hessian's product, whose image is not asked for."""
        bent = self.weight * self.p * self.bend(x.image + x.level)
        level = bent.sum(axis=0) if self.has_intercept else np.zeros(bent.shape[1])
        return Image(bent + self.l2 * x.own, x.image, level)


class _Factor:
    """The inverse of one class's part of the Hessian."""

    def __init__(self, place: Place, k: int) -> None:
        self.some = np.flatnonzero(place.weight[:, 0] > 0.0)
        s, p = place.weight[self.some, 0], place.p[self.some, k]
        self.root = np.sqrt(s * np.maximum(p * (1.0 - p), LEAST_CURVATURE))
        matrix = place.matrix[np.ix_(self.some, self.some)]
        matrix *= self.root
        matrix *= self.root[:, None]
        matrix.flat[:: self.some.shape[0] + 1] += place.l2
        self.factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
        self.place = place
        self.level = self.root * cho_solve(self.factor, self.root, check_finite=False)

    def solve(self, own: Floats, level: float) -> tuple[Floats, float]:
        """Return coordinates and intercept for a right-hand side."""
        own = own[self.some]
        x = self.root * cho_solve(self.factor, own / self.root, check_finite=False)
        shift = 0.0
        if self.place.has_intercept:
            shift = float(np.sum(x) - (np.sum(own) - level) / self.place.l2)
            shift /= float(np.sum(self.level))
            x -= shift * self.level
        whole = np.zeros(self.place.weight.shape[0])
        whole[self.some] = x
        return whole, shift


def newton_step(place: Place, gradient: Image) -> Image | None:
    """Return Newton's step from a gradient; None where rounding lets none be computed."""
    try:
        factors = [_Factor(place, k) for k in range(gradient.own.shape[1])]
    except LinAlgError:
        return None
    rest = gradient
    x = direction = _conditioned(factors, rest)
    x = Image(*(0.0 * part for part in x))
    first = before = direction.along(rest)
    for _ in range(MOST_STEPS if len(factors) > 1 else 2):
        bent = place.hessian(direction)
        bend = direction.along(bent)
        if not (np.isfinite(bend) and bend > 0.0):
            break
        x, rest = x.plus(direction, before / bend), rest.plus(bent, -before / bend)
        following = _conditioned(factors, rest)
        now = following.along(rest)
        if not now > ACCURACY**2 * first:
            break
        direction, before = following.plus(direction, now / before), now
    return Image(*(-part for part in x)) if np.all(np.isfinite(x.own)) else None


def _conditioned(factors: list[_Factor], rest: Image) -> Image:
    """Return the preconditioner's product."""
    pairs = [f.solve(rest.own[:, k], rest.level[k]) for k, f in enumerate(factors)]
    own = np.stack([pair[0] for pair in pairs], axis=1)
    return Image(own, factors[0].place.matrix @ own, np.array([pair[1] for pair in pairs]))


def _balanced(place: Place, step: Image) -> Image:
    """Return a step whose intercepts let the weighted derivatives sum to zero."""
    if not place.has_intercept:
        return step
    s, p = place.weight, place.p
    rest = (s * (place.missed + p * place.bend(step.image + step.level))).sum(axis=0)
    if p.shape[1] == 1:
        hessian = np.array([[float(np.sum(s * p * (1.0 - p)))]])
    else:
        hessian = np.diag((s * p).sum(axis=0)) - p.T @ (s * p)
    shift = np.linalg.lstsq(hessian, -rest, rcond=1e-14)[0]
    return step._replace(level=step.level + shift)


def gap_of(place: Place, at: Image, step: Image, objective: float) -> float:
    """Return the gap to the dual point where a step leads; inf where that is none."""
    step = _balanced(place, step)
    relative = place.bend(step.image + step.level)
    p = place.p * (1.0 + relative)
    rest: Any = 1.0 - place.p * (step.image + step.level) if p.shape[1] == 1 else 1.0
    if not (np.all(relative > -1.0) and np.all(rest > 0.0)):
        return float("inf")
    slopes = place.weight * (place.missed + place.p * relative)
    imbalance, size = 0.0, max(float(np.sum(np.abs(slopes))), 1e-300)
    if place.has_intercept:
        imbalance = float(np.max(np.abs(slopes.sum(axis=0))))
    if not imbalance <= ACCEPTED * size:
        return float("inf")
    entropy = p * np.log1p(relative)
    if p.shape[1] == 1:
        entropy += (1.0 - place.p) * rest * np.log(rest)
    apart = -slopes / place.l2 - at.own
    square = max(float(np.vdot(apart, place.matrix @ apart)), 0.0)
    found = float(np.sum(place.weight * entropy)) + 0.5 * place.l2 * square
    return max(found, 0.0) + (ALLOWANCE + imbalance / size) * abs(objective)
