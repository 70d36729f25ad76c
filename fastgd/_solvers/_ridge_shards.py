"""Ridge regression for many strengths, of rows in shards: ``_spectrum`` by sums over their parts.

Products of columns and their eigenvectors are had once; errors of leave-one-out take a further
pass, which needs no more of a row than its eigen coordinates, and so does the proof of the last
fit: its residuals are those of all rows, not of sums.
"""

from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from fastgd._data.shards import Rows, Shards, added
from fastgd._runtime.threads import one_blas_thread
from fastgd._solvers._product_shards import Frame, SummedTable, blocks_of
from fastgd._solvers._spectrum import Fitted, Spectrum, gap_of, is_sharp

Floats = NDArray[np.float64]
MOST_REFINEMENTS = 3
ENOUGH = 1e-9  # of the objective: a gap that needs no refinement


class Totals(NamedTuple):
    """An array that is added up."""

    values: Floats


class RidgeOfSums:
    """Least squares with an l2 penalty, of sums over shards.

    Parameters
    ----------
    shards : Shards
    table : SummedTable
    frame : Frame
        With which it was made.
    """

    def __init__(self, shards: Shards, table: SummedTable, frame: Frame) -> None:
        self.shards, self.table, self.frame = shards, table, frame
        self.trace: list[tuple[Floats, Floats]] = []  # objectives and gaps of residuals' passes

    @cached_property
    def whole(self) -> Spectrum:
        """The eigenvectors of all rows' products."""
        return self.spectrum(0)

    def spectrum(self, f: int) -> Spectrum:
        """Return the eigenvectors of a fold's products; 0 is all rows."""
        blocks, mass = self.table.blocks(f), self.table.fit_sums[f].mass
        values, basis = scipy.linalg.eigh(blocks.matrix * mass, overwrite_a=True)
        values = np.maximum(values, 0.0)
        return Spectrum(values, basis, basis.T @ (blocks.along.T * mass), False)

    def is_sharp(self, weakest: float) -> bool:
        """Tell whether the rounding of products is small beside the least strength."""
        return is_sharp(self.whole.values, weakest)

    def paths(self, f: int, alphas: Floats) -> Floats:
        """Return a fold's coefficients for each strength, (n_alphas, n_targets, n_features)."""
        found = self.whole if f == 0 else self.spectrum(f)
        inverse = 1.0 / (found.values[:, None] + alphas)
        scaled = found.along[:, :, None] * inverse[:, None, :]
        return np.ascontiguousarray(np.einsum("dr,rka->akd", found.basis, scaled))

    def left_out_squares(self, alphas: Floats) -> Floats:
        """Return the sum of squares of leave-one-out's errors, (n_targets, n_alphas): a pass."""
        mean, level = self.table.means(0)
        frame = self.frame._replace(center=self.frame.center + mean, level=self.frame.level + level)
        mass = self.table.fit_sums[0].mass if self.table.fit_intercept else np.inf
        part = partial(_left_out_squares, frame=frame, found=self.whole, alphas=alphas, mass=mass)
        with one_blas_thread():
            return np.asarray(self.shards.total(part, added).values)

    def right_at(self, alphas: Floats) -> Floats:
        """Return the weight of held-out rows with the right class, (n_folds, n_alphas): a pass.

        The largest of many targets, or a positive single one, is the class.
        """
        folds = range(1, len(self.table.folds))
        coefs = np.stack([self.paths(f, alphas) for f in folds])
        shifts = np.stack(
            [
                self.table.means(f)[1] - coef @ self.table.means(f)[0]
                for f, coef in zip(folds, coefs, strict=True)
            ]
        )
        part = partial(_right_of_held_out, frame=self.frame, coefs=coefs, shifts=shifts)
        with one_blas_thread():
            return np.asarray(self.shards.total(part, added).values)

    def fit_at(self, alpha: Floats) -> Fitted:
        """Return the model for one strength a target, refined with the residuals of all rows."""
        found = self.whole
        inverse = 1.0 / (found.values[:, None] + alpha)
        best = self.with_status(found.basis @ (found.along * inverse), alpha)
        for _ in range(MOST_REFINEMENTS):
            coef, slope, objective, gap = best
            if np.all(gap <= ENOUGH * objective):
                break
            tried = self.with_status(
                coef + found.basis @ ((found.basis.T @ slope) * inverse), alpha
            )
            if not np.sum(tried[3]) < 0.25 * np.sum(gap):
                best = tried if np.sum(tried[3]) < np.sum(gap) else best
                break
            best = tried
        coef, slope, objective, gap = best
        with np.errstate(over="ignore", invalid="ignore"):
            sharper = gap_of(found, slope, alpha) / (2.0 * self.table.fit_sums[0].mass)
        gap = np.fmin(np.fmin(gap, sharper), objective)  # which is no sum of negative terms
        intercept = self.table.intercepts(0, coef.T[None])[0]
        return Fitted(coef, intercept, objective, gap)

    def with_status(self, coef: Floats, alpha: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return coefficients, minus half the gradient, objectives and gaps: a pass."""
        mean, level = self.table.means(0)
        frame = self.frame._replace(center=self.frame.center + mean, level=self.frame.level + level)
        part = partial(_residuals, frame=frame, coef=coef)
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = self.shards.total(part, added).values
            slope = found[:-1] - alpha * coef
            total = found[-1] + alpha * np.sum(coef**2, axis=0)
            gap = np.sum(slope**2, axis=0) / alpha
        mass = 2.0 * self.table.fit_sums[0].mass
        self.trace.append((total / mass, gap / mass))
        return coef, slope, total / mass, gap / mass

    def along(self, directions: Floats, coef: Floats) -> tuple[Floats, Floats]:
        """Return P'P and P'r over the mass, P = Z V along some directions: a pass.

        Predictions of rows have all digits of a direction of which products of columns have none.
        """
        mean, level = self.table.means(0)
        frame = self.frame._replace(center=self.frame.center + mean, level=self.frame.level + level)
        part = partial(_along, frame=frame, directions=directions, coef=coef)
        with one_blas_thread():
            found = self.shards.total(part, added).values / self.table.fit_sums[0].mass
        return found[:, : directions.shape[1]], found[:, directions.shape[1] :]


def _along(rows: Rows, frame: Frame, directions: Floats, coef: Floats) -> Totals:
    total = np.zeros((directions.shape[1], directions.shape[1] + coef.shape[1]))
    for z, t, weight, _ in blocks_of(rows, frame):
        predicted = z @ directions
        weighted = weight[:, None] * predicted
        total += weighted.T @ np.hstack((predicted, t - z @ coef))
    return Totals(total)


def _left_out_squares(
    rows: Rows, frame: Frame, found: Spectrum, alphas: Floats, mass: float
) -> Totals:
    inverse = 1.0 / (found.values[:, None] + alphas)
    n_targets = found.along.shape[1]
    scaled = (found.along[:, :, None] * inverse[:, None, :]).reshape(inverse.shape[0], -1)
    total = np.zeros((n_targets, alphas.shape[0]))
    for z, t, weight, _ in blocks_of(rows, frame):
        basis = z @ found.basis
        linear = (basis @ scaled).reshape(-1, n_targets, alphas.shape[0])
        kept = 1.0 - weight[:, None] * ((basis * basis) @ inverse + 1.0 / mass)
        errors = (t[:, :, None] - linear) / kept[:, None, :]
        total += np.einsum("i,ika->ka", weight, errors**2)
    return Totals(total)


def _right_of_held_out(rows: Rows, frame: Frame, coefs: Floats, shifts: Floats) -> Totals:
    n_folds, n_alphas, n_targets, d = coefs.shape
    total = np.zeros((n_folds, n_alphas))
    for block in blocks_of(rows, frame):
        for f in np.unique(block.folds):
            z, t, weight, _ = block.of_fold(int(f))
            raw = z @ coefs[f].reshape(-1, d).T
            raw = raw.reshape(-1, n_alphas, n_targets) + shifts[f]
            if n_targets == 1:
                right = (raw[:, :, 0] > 0.0) == (t > 0.0)
            else:
                right = raw.argmax(axis=2) == t.argmax(axis=1)[:, None]
            total[f] += weight @ right
    return Totals(total)


def _residuals(rows: Rows, frame: Frame, coef: Floats) -> Totals:
    """Return Z' r of the residuals, and their sums of squares in a last row."""
    total = np.zeros((coef.shape[0] + 1, coef.shape[1]))
    for z, t, weight, _ in blocks_of(rows, frame):
        residual = t - z @ coef
        weighted = weight[:, None] * residual
        total[:-1] += z.T @ weighted
        total[-1] += np.sum(weighted * residual, axis=0)
    return Totals(total)
