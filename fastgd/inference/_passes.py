"""Passes over X for a covariance: the information's factor, then sums of squared scores.

The information F = sum_i W_i (x) x_i x_i' is kept as a triangle R with R'R = F. Of one output and
dense rows, R comes from QR factorisations of blocks of sqrt(W_i) x_i, which are folded into one
another (Golub and Van Loan 2013, section 5.2): they neither square a condition number nor care
about the columns' units. Of classes and sparse rows, F is summed and factorised, which is cheaper,
and R by QR only where that lost digits. The intercept is the first column, of ones.

Blocks are cut by sizes alone and folded in their order: results do not depend on threads.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._runtime.threads import in_threads
from fastgd.inference._families import Block, block_of
from fastgd.inference._stated import LOG, Floats, Stated

ENTRIES, LEAST_ROWS, AT_ONCE = 1 << 17, 256, 16  # blocks that stay in cache
NEARLY_DENSE = 0.2  # share of entries that are stored
LEAST_PIVOT = 1e-3  # of the scaled information: below it a sum of squares has lost six digits


class Data(NamedTuple):
    """Rows and what comes with them; ``X`` without the column of ones.

    y : (n_samples,) or (n_samples, 1), as ``block_of`` takes it
    has_intercept : bool
    repeats : (n_samples,) or None, how many equal rows each stands for, in ``weight`` already; None
        is one
    """

    X: Any
    y: NDArray[Any]
    weight: Floats
    has_intercept: bool
    repeats: Floats | None


class Sums(NamedTuple):
    """What the first pass adds up.

    factor : (q, q), R, for q = r * columns parameters, output by output
    gradient : (q,), of the sum of losses
    pearson : float, Pearson's chi-squared
    n_wrong : int, rows of classes that are not fitted to be of their own
    """

    factor: Floats
    gradient: Floats
    pearson: float
    n_wrong: int


class Covariance(NamedTuple):
    """How ``sandwich`` weighs and groups scores.

    power : of 1 / (1 - leverage): 0, 1/2 (HC2) or 1 (HC3)
    order, groups : (n_samples,), rows sorted by group and their groups' numbers; None is each row
        for itself
    """

    power: float = 0.0
    order: NDArray[np.int64] | None = None
    groups: NDArray[np.int64] | None = None


def add_up(data: Data, stated: Stated, known: Floats | None) -> Sums:
    """Return the sums of the first pass; ``known`` is a factor that need not be computed anew."""
    by_qr = stated.params.shape[0] == 1 and not _is_sparse(data.X)
    if known is not None:
        return _sums(data, stated, None)._replace(factor=known)
    if by_qr:
        return _sums(data, stated, _Triangle)
    found = _sums(data, stated, _Gram)
    if np.isnan(found.factor).any():
        return found._replace(factor=_sums(data, stated, _Triangle).factor)
    return found


def _sums(data: Data, stated: Stated, kind: "type[_Triangle | _Gram] | None") -> Sums:
    q = stated.params[:, _first(data) :].size
    factor = None if kind is None else kind(q)
    gradient, pearson, n_wrong = np.zeros(q), 0.0, 0

    def work(rows: slice) -> tuple[Floats, Block, Any]:
        A, block = _block(data, stated, rows)
        part = None if kind is None else kind.part(A, block.root)
        return np.ravel((A.T @ block.score).T), block._replace(root=np.empty(0)), part

    for own, block, part in _folded(data, stated, work):
        gradient += own
        pearson, n_wrong = pearson + block.pearson, n_wrong + block.n_wrong
        if factor is not None:
            factor.add(part)
    triangle = np.empty((0, 0)) if factor is None else factor.triangle()
    return Sums(triangle, gradient, pearson, n_wrong)


class _Triangle:
    """R by QR factorisations of weighted rows."""

    def __init__(self, q: int) -> None:
        self._factor = np.zeros((0, q))

    @staticmethod
    def part(A: Any, root: Floats) -> Floats:
        dense = A.toarray() if sp.issparse(A) else A
        rows = np.einsum("ijl,ip->ijlp", root, dense)
        return _triangle_of(rows.reshape(rows.shape[0] * rows.shape[1], -1))

    def add(self, part: Floats) -> None:
        self._factor = _triangle_of(np.vstack([self._factor, part]))

    def triangle(self) -> Floats:
        """Return R, with rows of zeros where there are fewer rows than parameters."""
        q = self._factor.shape[1]
        return np.vstack([self._factor, np.zeros((q - self._factor.shape[0], q))])


def _triangle_of(rows: Floats) -> Floats:
    (triangle,) = scipy.linalg.qr(rows, mode="r", overwrite_a=True, check_finite=False)
    upper: Floats = triangle[: rows.shape[1]]
    return upper


class _Gram:
    """R by a Cholesky factorisation of the information; not a number where that lost digits."""

    def __init__(self, q: int) -> None:
        self._sum = np.zeros((q, q))

    @staticmethod
    def part(A: Any, root: Floats) -> Floats:
        information = np.einsum("ijk,ijl->ikl", root, root)
        p, r = A.shape[1], root.shape[2]
        blocks = np.empty((r, p, r, p))
        for k in range(r):
            for m in range(k + 1):
                weighted = _times(A, information[:, k, m])
                product = A.T @ weighted
                block = product.toarray() if sp.issparse(product) else product
                blocks[k, :, m, :], blocks[m, :, k, :] = block, block
        return blocks.reshape(r * p, r * p)

    def add(self, part: Floats) -> None:
        self._sum += part

    def triangle(self) -> Floats:
        scale = np.sqrt(np.diag(self._sum))
        nothing = np.full_like(self._sum, np.nan)
        if not (np.all(np.isfinite(scale)) and np.all(scale > 0.0)):
            return nothing
        try:
            upper = scipy.linalg.cholesky(self._sum / scale / scale[:, None], check_finite=False)
        except np.linalg.LinAlgError:
            return nothing
        return upper * scale if np.diag(upper).min() > LEAST_PIVOT else nothing


def sandwich(data: Data, stated: Stated, inverse: Floats, how: Covariance) -> Floats:
    """Return B M B in the coordinates of ``inverse``: what is between it and its transpose.

    M is sum_g z_g z_g' with z_g the sum of a group's scores, and B the inverse of the Hessian as
    observed, which for log links differs from the expected one by sum_i (1 - power) e_i x_i x_i'.

    Parameters
    ----------
    inverse : (q, rank), U with U U' the inverse of the expected Hessian
    how : Covariance

    Notes
    -----
    A score's leverage is that of the row in the fit, W_i x_i' H^-1 x_i; of classes it is a matrix,
    and a power of I minus it is what the score is multiplied with (Bell and McCaffrey 2002).
    """
    q = inverse.shape[1]
    open_group, hessian = _OpenGroup(q), np.eye(q)

    def work(rows: slice) -> tuple[NDArray[np.int64], Floats, Floats]:
        chosen = rows if how.order is None else how.order[rows]
        z, excess = _scores(data, stated, chosen, inverse, how.power)
        if how.groups is None:
            return np.empty(0, np.int64), z.T @ z, excess
        groups = how.groups[rows]
        firsts = np.flatnonzero(np.diff(groups, prepend=-1))
        return groups[firsts], np.add.reduceat(z, firsts, axis=0), excess

    for groups, sums, excess in _folded(data, stated, work):
        hessian += excess
        open_group.add(groups, sums)
    bread = scipy.linalg.inv(hessian)
    found: Floats = bread @ open_group.total() @ bread
    return found


class _OpenGroup:
    """Sums of products, with the group that may go on in the next block held back."""

    def __init__(self, q: int) -> None:
        self._total, self._carried, self._last = np.zeros((q, q)), np.zeros(q), -1

    def add(self, groups: NDArray[np.int64], sums: Floats) -> None:
        """Add a block's sums of groups; without groups, its sum of products."""
        if groups.shape[0] == 0:
            self._total += sums
            return
        if groups[0] == self._last:
            sums[0] += self._carried
        else:
            self._total += np.outer(self._carried, self._carried)
        self._total += sums[:-1].T @ sums[:-1]
        self._carried, self._last = sums[-1], int(groups[-1])

    def total(self) -> Floats:
        return self._total + np.outer(self._carried, self._carried)


def _scores(
    data: Data, stated: Stated, rows: Any, inverse: Floats, power: float
) -> tuple[Floats, Any]:
    """Return scores (m, q), and what the observed Hessian is more than the expected one."""
    A, block = _block(data, stated, rows)
    score, root = block.score, block.root
    r, p = root.shape[2], A.shape[1]
    rotated = np.stack([A @ inverse[k * p : (k + 1) * p] for k in range(r)], axis=1)
    excess: Any = 0.0
    if stated.family == LOG and stated.power != 1.0:
        excess = rotated[:, 0].T @ ((1.0 - stated.power) * score * rotated[:, 0])
    if data.repeats is not None:  # each of so many rows has its own score
        count = np.sqrt(np.maximum(data.repeats[rows], np.finfo(float).tiny))
        score, root = score / count[:, None], root / count[:, None, None]
    if power > 0.0:
        score = _adjusted(score, root, rotated, power)
    return np.einsum("ik,ikq->iq", score, rotated), excess


def _adjusted(score: Floats, root: Floats, rotated: Floats, power: float) -> Floats:
    """Return (I - W A)^-power e, with A = x' H^-1 x of each pair of outputs and W = root' root.

    With S = root A root', which is symmetric, that is e + root' g(S) root A e for
    g(t) = ((1 - t)^-power - 1) / t.
    """
    hat = np.einsum("ikq,ilq->ikl", rotated, rotated)
    values, vectors = np.linalg.eigh(root @ hat @ root.transpose(0, 2, 1))
    values = np.clip(values, 0.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.expm1(-power * np.log1p(-values)) / values
    change = np.where(values > 1e-300, change, power)
    turned = np.einsum("ijk,ikl,il->ij", root, hat, score)
    turned = np.einsum("ija,ia,ika,ik->ij", vectors, change, vectors, turned, optimize=True)
    adjusted: Floats = score + np.einsum("ijk,ij->ik", root, turned)
    return adjusted


def _folded(data: Data, stated: Stated, work: Callable[[slice], Any]) -> Iterator[Any]:
    """Yield what ``work`` returns for each block of rows, in their order."""
    n, columns = data.X.shape[0], stated.params.shape[1]
    r = _n_outputs(stated)
    size = max(ENTRIES // (columns * r * r), LEAST_ROWS, 2 * columns)
    blocks = [slice(first, min(first + size, n)) for first in range(0, n, size)]
    for first in range(0, len(blocks), AT_ONCE):
        yield from in_threads(work, blocks[first : first + AT_ONCE])


def _block(data: Data, stated: Stated, rows: Any) -> tuple[Any, Block]:
    """Return rows with their column of ones, and their scores."""
    X = data.X[rows]
    if _is_sparse(data.X):
        A = X.astype(np.float64)
        if data.has_intercept:
            A = sp.hstack([np.ones((X.shape[0], 1)), A], format="csr")
    else:
        X = X.toarray() if sp.issparse(X) else X
        A = np.empty((X.shape[0], X.shape[1] + _n_ones(data)))
        A[:, : _n_ones(data)], A[:, _n_ones(data) :] = 1.0, X
    raw = A @ stated.params[:, _first(data) :].T
    return A, block_of(stated, raw, data.y[rows], data.weight[rows])


def _times(A: Any, factors: Floats) -> Any:
    return sp.diags_array(factors) @ A if sp.issparse(A) else factors[:, None] * A


def _n_outputs(stated: Stated) -> int:
    return int(stated.params.shape[0])


def _n_ones(data: Data) -> int:
    return int(data.has_intercept)


def _first(data: Data) -> int:
    return 1 - _n_ones(data)


def _is_sparse(X: Any) -> bool:
    """Tell whether blocks stay sparse; what is nearly dense is computed as such."""
    return bool(sp.issparse(X) and X.nnz < NEARLY_DENSE * X.shape[0] * X.shape[1])
