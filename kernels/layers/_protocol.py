"""What a layer is: its static methods, and the hooks by which kernels call them.

A layer is a ``NamedTuple`` of what the user says of it. Compiled code sees its *spec*, a
``NamedTuple`` of the form

``forward(layer, at, own, x, out, notes, now)``
    Write the outputs of a batch; of a layer of units, the weighted sums without biases.
``backward(layer, at, own, slopes, tape, delta, before)``
    From ``delta``, the derivatives of the loss with respect to the outputs, write those with
    respect to the layer's own parameters into ``slopes`` and those with respect to its inputs into
    ``before``, which is empty for the first layer. ``delta`` is scratch afterwards.
``forward_sparse(layer, at, own, rows, batch, out)``,
``backward_sparse(layer, at, slopes, rows, batch, delta)``
    The same, where the layer comes first and rows are sparse; for those that can.
``add_sparse(layer, at, slopes, rows, batch, delta)``
    As ``backward_sparse`` where the slopes were zero before: it costs O(non-zeros). For layers
    whose weights are (N_IN, N_OUT), a row for each feature, with slopes of zero for features
    without an entry.

with, for a batch of m rows,

at : ndarray of int64, the layer's row of the network's table; its columns are named below
own : Part, the layer's part of the flat parameters
slopes : Part, the same part of the flat gradient; not zero before, to be written, not added to
x : (m, N_IN), out, delta : (m, N_OUT), before : (m, N_IN)
notes : (m, N_NOTES), what backward needs to be told by forward
tape : Tape, what forward saw and wrote
now : Now, whether this is training, and what it draws its random numbers by

and in plain Python

``spec(layer)``
    The spec; by default the layer itself, for one whose fields are all numbers or specs.
``sizes(layer, shape)``
    ``Sizes`` for inputs of this shape, one row's; ValueError for a shape that it cannot take.

Biases and the activation of a layer of units (``Sizes.units``) are not its business: they come
after ``forward`` and before ``backward``, in one pass each, whatever the layer.

A table of integers holds where each layer's numbers lie, and tuples hold the specs and activations
that differ: a network of another depth or width is other data for the same machine code.
"""

from typing import NamedTuple

import numpy as np

from fastgd.kernels._hook import hook, optional

SPEC, N_IN, N_OUT, N_NOTES = 0, 1, 2, 3
WEIGHTS, N_WEIGHTS, FREE, N_FREE, RUNNING, N_RUNNING = 4, 5, 6, 7, 8, 9
VALUES, NOTES = 10, 11  # where outputs and notes begin, in numbers of a row
ADDS, ADDED = 12, 13  # the layer whose output is added to this one's, and to which it is added
ACTIVATION, UNITS, HAS_BIAS, SUMS, N_SUMS = 14, 15, 16, 17, 18  # sums: what is activated, if kept
HEIGHT, WIDTH, CHANNELS = 19, 20, 21  # of an input row
NEW_HEIGHT, NEW_WIDTH, NEW_CHANNELS = 22, 23, 24
WINDOW_HEIGHT, WINDOW_WIDTH, STRIDE_HEIGHT, STRIDE_WIDTH = 25, 26, 27, 28
PAD_TOP, PAD_LEFT = 29, 30
N_COLUMNS = 31
NOBODY, INPUT = -2, -1  # in ADDS and ADDED: no layer; in ADDS: the network's input
NONE = -1  # in ACTIVATION: no units
N_NUMBERS = 2  # of a layer's numbers that are no integers


class Part(NamedTuple):
    """A layer's part of a flat array: views.

    weights : (N_WEIGHTS,), what penalties act on
    free : (N_FREE,), biases and the like, which have none
    running : (N_RUNNING,), what is kept beside the parameters and not trained; empty in a gradient
    """

    weights: np.ndarray
    free: np.ndarray
    running: np.ndarray


class Tape(NamedTuple):
    """What a layer saw and wrote on its way forward, and with what."""

    x: np.ndarray
    out: np.ndarray
    notes: np.ndarray
    now: NamedTuple


class Now(NamedTuple):
    """What is the same for all rows of a batch.

    is_training : bool
    key : uint64, names the layer's random numbers
    numbers : (N_NUMBERS,), the layer's hyperparameters, float64
    patch : scratch of at least ``Sizes.patch`` numbers
    """

    is_training: bool
    key: np.uint64
    numbers: np.ndarray
    patch: np.ndarray


class Sizes(NamedTuple):
    """What a layer needs, of a row or of a network.

    shape : tuple of int, of an output row
    weights : tuple of int, their shape; () for none
    units : int, the last axis of the outputs where biases and an activation follow; 0: they do not
    fans : (int, int), inputs and outputs that a weight's variance is chosen by
    free : ndarray, the numbers that the free parameters start with; biases, where there are units
    running : ndarray, the same of the running statistics
    notes : int, numbers that are kept of each row
    patch : int, scratch numbers
    table : dict of int to int, further columns of the layer's row
    numbers : tuple of float, at most ``N_NUMBERS``
    """

    shape: tuple
    weights: tuple = ()
    units: int = 0
    fans: tuple = (1, 1)
    free: np.ndarray = np.zeros(0)
    running: np.ndarray = np.zeros(0)
    notes: int = 0
    patch: int = 0
    table: dict = {}  # noqa: RUF012
    numbers: tuple = ()


@hook
def forward(layer, at, own, x, out, notes, now):
    """Write the outputs of a batch."""
    return type(layer).forward(layer, at, own, x, out, notes, now)


@hook
def backward(layer, at, own, slopes, tape, delta, before):
    """Write the derivatives by the parameters and by the inputs."""
    return type(layer).backward(layer, at, own, slopes, tape, delta, before)


@optional
def forward_sparse(layer, at, own, rows, batch, out):
    """Write the outputs of a batch of sparse rows."""


@optional
def backward_sparse(layer, at, slopes, rows, batch, delta):
    """Write the derivatives by the parameters of a layer whose inputs are sparse rows."""


@optional
def add_sparse(layer, at, slopes, rows, batch, delta):
    """Add the derivatives by the parameters of such a layer to slopes that are zero."""


def spec_of(layer):
    """Return what compiled code sees of a layer."""
    return type(layer).spec(layer) if hasattr(type(layer), "spec") else layer


def flat_size(shape):
    """Return how many numbers an array of a shape has."""
    return int(np.prod(shape, dtype=np.int64))
