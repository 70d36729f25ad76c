"""The columns that a path is solved on: which ones, how they are descended on, and Newton's step.

Descent keeps correlations of columns with residuals, by products of columns (``ByProducts``), or
residuals (``ByResiduals``): a step costs the number of columns or of rows. Where rows are few, each
fold has columns of its own (``OwnColumns``), since folds choose different ones of many; else their
products are sums that folds share, and so are the columns (``SharedColumns``).
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from fastgd._solvers._chosen_columns import Chosen, least_on_columns
from fastgd.kernels.blocks import Blocks, Columns, Penalty, descend_blocks, descend_columns

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

CONSTANT = 1e-14  # a mean square below this part of what is taken off is rounding
MOST_OF_ROWS = 4  # columns for each row, from which on descent keeps residuals
MOST_PRODUCTS = 2000  # columns, from which on it does so because of memory: 32 MB a fold
MOST_DROPPED = 30  # times that coefficients become zero
NEARLY_SINGULAR = 1e-11


class ByProducts(NamedTuple):
    """Columns that are known by their products."""

    blocks: Blocks

    def descend(
        self, penalty: Penalty, tol: float, floor: float, most: int, coef: Floats, slope: Floats
    ) -> tuple[float, float, int]:
        """Descend in place; see ``kernels.blocks``."""
        return descend_blocks(self.blocks, penalty, tol, floor, most, coef, slope)

    def of(self, some: Places) -> tuple[Floats, Floats]:
        """Return the products of some columns with each other and with the targets, as copies."""
        return self.blocks.matrix[np.ix_(some, some)], self.blocks.along[:, some]

    @property
    def length(self) -> int:
        """What a step over one column costs."""
        return int(self.blocks.matrix.shape[0])


class ByResiduals(NamedTuple):
    """Columns as they are."""

    columns: Columns

    def descend(
        self, penalty: Penalty, tol: float, floor: float, most: int, coef: Floats, slope: Floats
    ) -> tuple[float, float, int]:
        """Descend in place; see ``kernels.blocks``."""
        return descend_columns(self.columns, penalty, tol, floor, most, coef, slope)

    def of(self, some: Places) -> tuple[Floats, Floats]:
        """Return the products of some columns with each other and with the targets, as copies."""
        values, weight, mean, _, targets = self.columns
        root = np.sqrt(weight)
        own = (values[some] - mean[some, None]) * root
        return own @ own.T, (targets * root) @ own.T

    @property
    def length(self) -> int:
        """What a step over one column costs."""
        return int(self.columns.weight.shape[0])


class SharedColumns:
    """All of a table's columns, by sums that its folds share.

    Parameters
    ----------
    table : Table
    f : int
        The fold's number.
    """

    places: Any = slice(None)

    def __init__(self, table: Any, f: int) -> None:
        self._table, self._f = table, f

    def take(self, places: Places) -> None:
        """All columns are taken at any time."""

    def parts(self) -> ByProducts:
        """Return what is descended on."""
        return ByProducts(self._table.blocks(self._f))


class OwnColumns:
    """Some of a table's columns, for one fold; they only become more.

    Parameters
    ----------
    table : Table
    f : int
        The fold's number.

    Attributes
    ----------
    places : (m,), int64
        Of the columns among the table's, in the order in which they came.
    """

    def __init__(self, table: Any, f: int) -> None:
        self._table, self._f = table, f
        self.places: Places = np.empty(0, np.int64)
        self._matrix: Floats = np.empty((0, 0))
        self._parts: ByProducts | ByResiduals | None = None

    def take(self, places: Places) -> None:
        """Take further columns in."""
        new = np.setdiff1d(places, self.places)
        if new.shape[0] > 0:
            self.places, self._parts = np.append(self.places, new), None

    def parts(self) -> ByProducts | ByResiduals:
        """Return what is descended on."""
        if self._parts is None:
            columns = self._table.columns_of(self._f, self.places)
            most = min(MOST_OF_ROWS * columns.weight.shape[0], MOST_PRODUCTS)
            if self.places.shape[0] > most:
                self._parts, self._matrix = ByResiduals(columns), np.empty((0, 0))
            else:
                self._parts = ByProducts(self._blocks(columns))
        return self._parts

    def _blocks(self, columns: Columns) -> Blocks:
        """Return products; those that are known are not computed again."""
        old, m = self._matrix.shape[0], self.places.shape[0]
        constant = columns.size == 0.0
        weighted = (columns.values[old:] - columns.mean[old:, None]) * columns.weight
        weighted[constant[old:]] = 0.0
        matrix = np.empty((m, m))
        matrix[:old, :old] = self._matrix
        matrix[old:] = weighted @ columns.values.T  # adds up to zero: others need no centering
        matrix[old:, constant] = 0.0
        matrix[:old, old:] = matrix[old:, :old].T
        self._matrix = matrix
        targets = columns.targets * columns.weight
        along = np.where(constant, 0.0, targets @ columns.values.T)
        return Blocks(matrix, along, float(np.vdot(targets, columns.targets)))


def on_support(parts: ByProducts | ByResiduals, penalty: Penalty, coef: Floats) -> Floats | None:
    """Return the least point of coefficients (K, m) on the columns that they have.

    Of one target, with the signs that they have, or zero. None where there is no coefficient.
    """
    active = np.flatnonzero(np.any(coef, axis=0))
    if active.shape[0] == 0:
        return None
    matrix, along = parts.of(active)
    # more columns than rows make it singular: then a step is long, and ends at a zero
    matrix[np.diag_indices_from(matrix)] *= 1.0 + NEARLY_SINGULAR
    found = coef.copy()
    if coef.shape[0] > 1:
        chosen = Chosen(matrix, along, penalty.l1, penalty.l2)
        found[:, active] = least_on_columns(chosen, coef[:, active])
        return found
    matrix[np.diag_indices_from(matrix)] += penalty.l2
    found[0, active] = with_these_signs(matrix, along[0], penalty.l1, coef[0, active])
    return found


def with_these_signs(matrix: Floats, along: Floats, l1: float, coef: Floats) -> Floats:
    """Minimise w'M w / 2 - w'b + l1 |w|_1 over w whose signs are those of ``coef``, or zero.

    Newton's step leads there at once, if no coefficient changes its sign. Those that do become
    zero, all together if that is lower, else the first on the way; then the others step anew.
    """
    coef = coef.copy()
    for _ in range(MOST_DROPPED):
        kept = np.flatnonzero(coef)
        if kept.shape[0] == 0:
            return coef
        own, signs = coef[kept], np.sign(coef[kept])
        some = matrix if kept.shape[0] == coef.shape[0] else matrix[np.ix_(kept, kept)]
        pull = along[kept] - l1 * signs
        try:
            factor = scipy.linalg.cho_factor(some, lower=True, check_finite=False)
        except scipy.linalg.LinAlgError:
            return coef
        solved = scipy.linalg.cho_solve(factor, pull, check_finite=False)
        crosses = np.sign(solved) != signs
        if not np.any(crosses):
            coef[kept] = solved
            return coef
        clipped = np.where(crosses, 0.0, solved)
        both = np.stack([own, clipped])
        values = np.sum(both * (0.5 * (both @ some) - pull), axis=1)
        if values[1] < values[0]:
            coef[kept] = clipped
            continue
        shares = np.where(crosses, own / np.where(crosses, own - solved, 1.0), np.inf)
        first = int(np.argmin(shares))
        coef[kept] = own + shares[first] * (solved - own)
        coef[kept[first]] = 0.0
    return coef
