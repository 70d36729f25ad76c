"""Steps of optimizers to which the whole gradient matters (``optimizers.step_of_all``).

What is one loop on the processor is here a driver for each part of it, around the same functions.
"""

import math
from typing import Any

import numpy as np

from fastgd.kernels import penalties
from fastgd.kernels.cuda import memory
from fastgd.kernels.cuda._compiler import BLOCK, cuda, driver
from fastgd.kernels.cuda.matrices import multiply
from fastgd.kernels.cuda.steps import coefs_of
from fastgd.kernels.cuda.vectors import SHARDS, add_up, block_sum
from fastgd.kernels.optimizers import Prodigy
from fastgd.kernels.optimizers._muon import (
    COEFFICIENTS,
    SMALLEST_NORM,
    _ahead,
    _companion,
    _length,
    _step_beside,
)
from fastgd.kernels.optimizers._prodigy import (
    _estimate,
    _factors_of_step,
    _factors_of_sums,
    _found,
    _step_of_one,
    _take_in,
)

# -- Prodigy ---------------------------------------------------------------------------------------


@driver
def take_in(optimizer, step, gradient, state, partial):
    """Take a gradient into moments and sums; write each block's <g, w - w_0> and |s|_1.

    Parameters
    ----------
    optimizer : Prodigy
    step : steps.Step
    gradient : (P,)
    state : (n_slots, P), changed in place
    partial : (n_blocks, 2), float64
    """
    scratch = cuda.shared.array(BLOCK, np.float64)
    coefs = coefs_of(step)
    d = _estimate(optimizer, state)
    sizes = d, d * np.float64(coefs[0]) * np.float64(coefs[1])
    factors = _factors_of_sums(optimizer, sizes, gradient[0])
    inner, total = np.float64(0), np.float64(0)
    if coefs[0] != 0:
        for c in range(cuda.grid(1), gradient.shape[0], cuda.gridsize(1)):
            along, size = _take_in(optimizer, factors, gradient[c], state, c)
            inner -= along
            total += size
    inner = block_sum(scratch, inner)
    total = block_sum(scratch, total)
    if cuda.threadIdx.x == 0:
        partial[cuda.blockIdx.x, 0] = inner
        partial[cuda.blockIdx.x, 1] = total


@driver
def estimate(optimizer, step, sums, state, sizes):
    """Write d, the step's length and the next d, which is remembered; a thread.

    Parameters
    ----------
    optimizer, step, state : as for ``take_in``
    sums : (2,), float64, of its lines
    sizes : (3,), float64; the last is 0 where there is no step
    """
    if cuda.grid(1) == 0:
        d, coefs = _estimate(optimizer, state), coefs_of(step)
        length = d * np.float64(coefs[0]) * np.float64(coefs[1])
        sizes[0], sizes[1], sizes[2] = d, length, 0.0
        if coefs[0] != 0:
            sizes[2] = _found(optimizer, (d, length), sums[0], sums[1], state)


@driver
def step_by_estimate(optimizer, penalty, step, params, state, sizes, n_penalised):
    """Step all coordinates by what ``estimate`` has found."""
    if sizes[2] != 0.0:
        factors = _factors_of_step(optimizer, (sizes[0], sizes[1], sizes[2]), coefs_of(step))
        for c in range(cuda.grid(1), params.shape[0], cuda.gridsize(1)):
            _step_of_one(penalty, factors, params, state, c, c < n_penalised)


# -- Muon ------------------------------------------------------------------------------------------


@driver
def step_beside(optimizer, penalty, step, params, gradient, state, span, n_penalised):
    """Step the parameters of a span that are in no matrix.

    Parameters
    ----------
    optimizer : Muon
    step : steps.Step
    span : (int, int)
    n_penalised : int
    """
    coefs = coefs_of(step)
    for c in range(span[0] + cuda.grid(1), span[1], cuda.gridsize(1)):
        if c < n_penalised:
            _step_beside(optimizer, penalty, coefs, params, gradient, state, c)
        else:
            params[c] += _companion(optimizer, coefs, gradient[c], state, c)[0]


@driver
def write_direction(optimizer, gradient, state, matrix, direction):
    """Take a matrix's gradient into its mean; write where it points, its shorter side first.

    Parameters
    ----------
    optimizer : Muon
    matrix : (int, int, int), its first number, its rows and its columns
    direction : (rows * columns,)
    """
    first, rows, columns = matrix
    for number in range(cuda.grid(1), rows * columns, cuda.gridsize(1)):
        i, j = number // columns, number % columns
        place = number if rows <= columns else j * rows + i
        direction[place] = _ahead(optimizer, gradient[first + number], state, first + number)


@driver
def add_shards_of_squares(values, partial):
    """Write sums of v^2 over parts of an array, a block for each part."""
    scratch = cuda.shared.array(BLOCK, np.float64)
    total = np.float64(0)
    for c in range(cuda.grid(1), values.shape[0], cuda.gridsize(1)):
        total += np.float64(values[c]) * np.float64(values[c])
    total = block_sum(scratch, total)
    if cuda.threadIdx.x == 0:
        partial[cuda.blockIdx.x, 0] = total


@driver
def normalise(direction, squares):
    """Divide by the root of what ``squares`` holds."""
    for c in range(cuda.grid(1), direction.shape[0], cuda.gridsize(1)):
        direction[c] *= 1.0 / (math.sqrt(squares[0]) + SMALLEST_NORM)


@driver
def combine(a, values, b, others):
    """Write a times one array plus b times another in the place of the second."""
    for c in range(cuda.grid(1), values.shape[0], cuda.gridsize(1)):
        others[c] = a * values[c] + b * others[c]


@driver
def step_of_matrix(optimizer, penalty, step, params, direction, matrix):
    """Step a matrix along what has become of its direction."""
    (first, rows, columns), coefs = matrix, coefs_of(step)
    length, decay = _length(optimizer, coefs, rows, columns), coefs[0] * optimizer.weight_decay
    for number in range(cuda.grid(1), rows * columns, cuda.gridsize(1)):
        i, j, c = number // columns, number % columns, first + number
        d = direction[number if rows <= columns else j * rows + i]
        held = params[c] - decay * params[c]
        params[c] = penalties.proximal(penalty, held, -length * d, coefs[0], c)


# -- what queues them ------------------------------------------------------------------------------


def stepper_of(rule: Any, optimizer: Any, there: Any) -> Any:
    """Return what queues a step, a function of ``steps.Step``, by the gradient in ``there``.

    Parameters
    ----------
    rule : steps.Rule
    optimizer : Prodigy or OfMatrices, its arrays in host memory
    there : what has ``params``, ``gradient``, ``state`` and ``memory`` of parameters on the device
    """
    of_kind = _Estimated if type(optimizer) is Prodigy else _Orthogonalised
    return of_kind(rule, optimizer, there)


class _Estimated:
    """Steps of ``Prodigy``."""

    def __init__(self, rule: Any, optimizer: Any, there: Any) -> None:
        self._rule, self._optimizer, self._there = rule, optimizer, there
        self._partial = memory.empty((_shards(there.gradient), 2))
        self._sums, self._sizes = memory.zeros(2), memory.zeros(3)

    def __call__(self, step: Any) -> None:
        optimizer, there, sums, sizes = self._optimizer, self._there, self._sums, self._sizes
        params, gradient, state = there.memory.params, there.gradient, there.state
        given, n_blocks = (optimizer, step, gradient, state), self._partial.shape[0]
        take_in.launch(n_blocks, BLOCK, *given, self._partial)
        add_up.launch(2, BLOCK, self._partial, sums, 0)
        estimate.launch(1, 1, optimizer, step, sums, state, sizes)
        stepped = (params, state, sizes, step.first_free)
        size = params.shape[0]
        step_by_estimate.spread(size, optimizer, self._rule.penalty, step, *stepped)


class _Orthogonalised:
    """Steps of ``Muon``."""

    def __init__(self, rule: Any, optimizer: Any, there: Any) -> None:
        self._rule, self._there = rule, there
        self._optimizer, self._matrices = optimizer.optimizer, optimizer.matrices.tolist()
        dtype, squares = there.gradient.dtype, optimizer.square.shape[0]
        size = optimizer.direction.shape[0]
        self._direction, self._other = (memory.empty(size, dtype) for _ in range(2))
        self._square, self._polynomial = (memory.empty(squares, dtype) for _ in range(2))
        self._partial, self._sum = memory.empty((SHARDS, 1)), memory.zeros(1)

    def __call__(self, step: Any) -> None:
        there, done, optimizer = self._there, 0, self._optimizer
        given = (there.memory.params, there.gradient, there.state)
        for matrix in map(tuple, self._matrices):
            first, rows, columns = matrix
            self._beside(step, given, (done, first))
            size = rows * columns
            direction = self._direction[:size]
            turned = (there.gradient, there.state, matrix, direction)
            write_direction.spread(size, optimizer, *turned)
            self._orthogonalise(direction, min(rows, columns), max(rows, columns))
            stepped = (self._rule.penalty, step, given[0], direction, matrix)
            step_of_matrix.spread(size, optimizer, *stepped)
            done = first + size
        self._beside(step, given, (done, there.gradient.shape[0]))

    def _beside(self, step: Any, given: Any, span: tuple[int, int]) -> None:
        if span[1] > span[0]:
            of_span = (self._optimizer, self._rule.penalty, step, *given, span, step.first_free)
            step_beside.spread(span[1] - span[0], *of_span)

    def _orthogonalise(self, direction: Any, short: int, long: int) -> None:
        """Make the singular values of the direction, (short, long), about 1."""
        number = direction.dtype.type
        a, b, c = map(number, COEFFICIENTS)
        n_shards = _shards(direction)
        partial = self._partial[:n_shards]
        add_shards_of_squares.launch(n_shards, BLOCK, direction, partial)
        add_up.launch(1, BLOCK, partial, self._sum, 0)
        normalise.spread(direction.shape[0], direction, self._sum)
        flat, square = self._other[: short * long], self._square[: short * short]
        polynomial = self._polynomial[: short * short]
        X, other = direction.reshape(short, long), flat.reshape(short, long)
        table, of_square = square.reshape(short, short), polynomial.reshape(short, short)
        for _ in range(int(self._optimizer.steps)):
            multiply(X, X, table, right_turned=True)
            multiply(table, table, of_square)
            combine.spread(short * short, b, square, c, polynomial)
            multiply(of_square, X, other)
            combine.spread(short * long, number(1), flat, a, direction)


def _shards(values: Any) -> int:
    return max(min(-(-values.shape[0] // BLOCK), SHARDS), 1)
