"""Steps of whole matrices, whose singular values are made alike."""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels import penalties
from fastgd.kernels._hook import cast
from fastgd.kernels._jit import helper
from fastgd.kernels._views import line_in, table_in
from fastgd.kernels.optimizers._adam import _correction
from fastgd.kernels.optimizers._protocol import step_columns

# of the polynomial a x + b x^3 + c x^5, as steep at 0 as convergence near 1 allows
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
SMALLEST_NORM = 1e-7
RMS_OF_ADAM = 0.2  # of an entry of Adam's usual step, by which Liu et al. go


class Muon(NamedTuple):
    """Momentum, orthogonalised: of a matrix's mean gradient all singular values become about 1.

    M <- momentum M + (1 - momentum) G
    D = (1 - momentum) G + momentum M  (M without ``nesterov``)
    X = D / |D|;  five times  X <- a X + (b X X' + c (X X')^2) X
    W <- (1 - rate weight_decay) W - rate scale X

    Matrices are the weights of dense layers and convolutions, the latter as (window x channels,
    filters), without the last layer's and without embeddings; in a linear model the coefficients of
    several outputs, (n_features, n_outputs), are one. Everything else (biases, norms, embeddings,
    the last layer) goes by AdamW with ``companion_rate`` times the rate. A linear model of one
    output has no matrix, and refuses this optimizer.

    ``scale`` is 0.2 sqrt(max(rows, columns)) [2]_, with which an entry's step is about as long as
    Adam's and rates are Adam's; with ``match_adam=False`` it is sqrt(max(1, columns / rows)), the
    first author's, whose rate is 0.02, with a ``companion_rate`` of 0.015.

    Parameters
    ----------
    momentum : float, default=0.95
        Decay of the mean gradient of matrices, in [0, 1).
    nesterov : bool, default=True
        Whether to look ahead.
    steps : int, default=5
        How often the polynomial is applied, >= 1.
    weight_decay : float, default=0.0
        What the rate times a weight is multiplied by, >= 0; biases have none.
    match_adam : bool, default=True
        Which scale steps have, as above.
    companion_rate : float, default=1.0
        AdamW's rate, in units of the rate, > 0.
    beta_1, beta_2, epsilon : float, default=0.9, 0.95, 1e-10
        AdamW's.

    Notes
    -----
    The polynomial is computed in the parameters' dtype (the authors': bfloat16); its fixed points
    lie about 1, and it does not converge to them. A penalty's step is as long as the rate, which
    does not balance at the minimum of an objective: set ``penalty=None``, and decay. On sparse rows
    every step passes over all coefficients. A step of an r x k matrix, r <= k, costs about
    ``steps`` (4 r^2 k + 2 r^3) flops.

    References
    ----------
    .. [1] Jordan, Jin, Boza, You, Cesista, Newhouse & Bernstein, "Muon: An optimizer for hidden
       layers in neural networks", 2024. https://kellerjordan.github.io/posts/muon/
    .. [2] Liu et al., "Muon is Scalable for LLM Training", 2025, equation 4. arXiv:2502.16982
    """

    momentum: float = 0.95
    nesterov: bool = True
    steps: int = 5
    weight_decay: float = 0.0
    match_adam: bool = True
    companion_rate: float = 1.0
    beta_1: float = 0.9
    beta_2: float = 0.95
    epsilon: float = 1e-10

    n_slots = 2
    eta0 = 0.001

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        c1 = _correction(optimizer.beta_1, rates, first)
        c2 = np.sqrt(_correction(optimizer.beta_2, rates, first))
        return step_columns(rates, c2 * optimizer.companion_rate, c2 * optimizer.epsilon, 1.0 / c1)

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        return _companion(optimizer, step_coefs, g, state, j)

    @staticmethod
    def with_matrices(optimizer, matrices):
        """Return the optimizer for flat parameters in which these are matrices.

        matrices : (n, 3), int64: for each its first number, its rows and its columns, ascending
        """
        largest = max((rows * columns for _, rows, columns in matrices), default=0)
        short = max((min(rows, columns) for _, rows, columns in matrices), default=0)
        dtype = np.asarray(optimizer.momentum).dtype
        pair = np.empty((2, largest), dtype)
        return OfMatrices(optimizer, matrices, *pair, *np.empty((2, short * short), dtype))


class OfMatrices(NamedTuple):
    """``Muon``, once it is known where the matrices are.

    matrices : see ``Muon.with_matrices``
    direction, product : (largest,), scratch: X, and what it is multiplied by
    square, polynomial : (shorter side^2,), scratch: X X', and b X X' + c (X X')^2
    """

    optimizer: Muon
    matrices: np.ndarray
    direction: np.ndarray
    product: np.ndarray
    square: np.ndarray
    polynomial: np.ndarray

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        return Muon.step_coefficients(optimizer.optimizer, rates, first)

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        return _companion(optimizer.optimizer, step_coefs, g, state, j)

    @staticmethod
    def step_of_all(optimizer, penalty, step_coefs, params, gradient, state, n_penalised, strength):
        inner, done = optimizer.optimizer, 0
        for number in range(optimizer.matrices.shape[0]):
            first = optimizer.matrices[number, 0]
            rows, columns = optimizer.matrices[number, 1], optimizer.matrices[number, 2]
            _companion_of(inner, penalty, step_coefs, params, gradient, state, (done, first))
            _write_direction(inner, gradient, state, (first, rows, columns), optimizer.direction)
            _orthogonalise(optimizer, min(rows, columns), max(rows, columns))
            _step_of_matrix(optimizer, penalty, step_coefs, params, (first, rows, columns))
            done = first + rows * columns
        _companion_of(inner, penalty, step_coefs, params, gradient, state, (done, n_penalised))
        for c in range(n_penalised, gradient.shape[0]):
            params[c] += _companion(inner, step_coefs, gradient[c], state, c)[0]
        return 0.0


@helper()
def _companion(optimizer, step_coefs, g, state, j):
    """Return Adam's change of a coordinate, and the length of its penalty's step."""
    m = g + optimizer.beta_1 * (state[0, j] - g)
    v = g * g + optimizer.beta_2 * (state[1, j] - g * g)
    state[0, j] = m
    state[1, j] = v
    step = step_coefs[0] * step_coefs[1] / (np.sqrt(v) + step_coefs[2])
    return -step * step_coefs[3] * m, step


@helper()
def _companion_of(optimizer, penalty, step_coefs, params, gradient, state, span):
    """Step the weights of a span that are in no matrix."""
    for c in range(span[0], span[1]):
        _step_beside(optimizer, penalty, step_coefs, params, gradient, state, c)


@helper()
def _step_beside(optimizer, penalty, step_coefs, params, gradient, state, c):
    """Step a weight that is in no matrix."""
    decay = step_coefs[0] * optimizer.companion_rate * optimizer.weight_decay
    change, step = _companion(optimizer, step_coefs, gradient[c], state, c)
    held = params[c] - decay * params[c]
    params[c] = penalties.proximal(penalty, held, change, step, c)


@helper()
def _write_direction(optimizer, gradient, state, matrix, direction):
    """Take a matrix's gradient into its mean; write where it points, its shorter side first."""
    first, rows, columns = matrix
    for i in range(rows):
        for j in range(columns):
            c = first + i * columns + j
            ahead = _ahead(optimizer, gradient[c], state, c)
            direction[i * columns + j if rows <= columns else j * rows + i] = ahead


@helper()
def _ahead(optimizer, g, state, c):
    """Take an entry's gradient into its mean; return where it points."""
    mean = g + optimizer.momentum * (state[0, c] - g)
    state[0, c] = mean
    return g + optimizer.momentum * (mean - g) if optimizer.nesterov else mean


@helper(allocates=True)
def _orthogonalise(optimizer, short, long):
    """Make the singular values of the direction, (short, long), about 1, in place."""
    size = short * long
    X = table_in(optimizer.direction, 0, short, long)
    other = table_in(optimizer.product, 0, short, long)
    square = table_in(optimizer.square, 0, short, short)
    polynomial = table_in(optimizer.polynomial, 0, short, short)
    flat, product = line_in(optimizer.direction, 0, size), line_in(optimizer.product, 0, size)
    total = 0.0
    for k in range(size):
        total += np.float64(flat[k]) * np.float64(flat[k])
    scale = cast(1.0 / (math.sqrt(total) + SMALLEST_NORM), optimizer.optimizer.momentum)
    for k in range(size):
        flat[k] *= scale
    a = cast(COEFFICIENTS[0], scale)
    b = cast(COEFFICIENTS[1], scale)
    c = cast(COEFFICIENTS[2], scale)
    for _ in range(int(optimizer.optimizer.steps)):
        np.dot(X, X.T, square)
        np.dot(square, square, polynomial)
        for i in range(short):
            for j in range(short):
                polynomial[i, j] = b * square[i, j] + c * polynomial[i, j]
        np.dot(polynomial, X, other)
        for k in range(size):
            flat[k] = a * flat[k] + product[k]


@helper()
def _step_of_matrix(optimizer, penalty, step_coefs, params, matrix):
    """Step a matrix along what has become of its direction."""
    (first, rows, columns), inner = matrix, optimizer.optimizer
    length = _length(inner, step_coefs, rows, columns)
    decay = step_coefs[0] * inner.weight_decay
    for i in range(rows):
        for j in range(columns):
            c = first + i * columns + j
            d = optimizer.direction[i * columns + j if rows <= columns else j * rows + i]
            held = params[c] - decay * params[c]
            params[c] = penalties.proximal(penalty, held, -length * d, step_coefs[0], c)


@helper()
def _length(optimizer, step_coefs, rows, columns):
    """Return the length of a matrix's step."""
    if optimizer.match_adam:
        scale = RMS_OF_ADAM * math.sqrt(np.float64(max(rows, columns)))
    else:
        scale = math.sqrt(max(1.0, columns / rows))
    return cast(np.float64(step_coefs[0]) * scale, step_coefs[0])
