"""From a list of layers and the shape of a row to what the kernels take.

Each layer says what it needs (``Sizes``); here its numbers get their places in the flat arrays. An
activation that follows a layer of units becomes a part of it, so that each array is passed once.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from fastgd._networks import names
from fastgd._parameters.resolve import in_dtype
from fastgd.kernels.activations import Identity, is_by_value
from fastgd.kernels.layers import (
    ACTIVATION,
    ADDED,
    ADDS,
    FREE,
    HAS_BIAS,
    INPUT,
    N_COLUMNS,
    N_FREE,
    N_IN,
    N_NOTES,
    N_NUMBERS,
    N_OUT,
    N_RUNNING,
    N_SUMS,
    N_WEIGHTS,
    NOBODY,
    NONE,
    NOTES,
    RUNNING,
    SPEC,
    SUMS,
    UNITS,
    VALUES,
    WEIGHTS,
    WINDOW_HEIGHT,
    WINDOW_WIDTH,
    BatchNorm,
    Copied,
    Dropout,
    Embedding,
    Flatten,
    LayerNorm,
    Residual,
    Sizes,
    flat_size,
    spec_of,
)
from fastgd.kernels.network import Network

Shape = tuple[int, ...]
SOON = -1  # in ``Placed.added``, until it is known which row it is


class Placed(NamedTuple):
    """A layer in its place.

    layer : the layer, its names resolved
    name : str, where the user has written it: "layers[2]"
    shape : tuple of int, of an input row
    sizes : Sizes
    adds, added : int, numbers of layers; see ``ADDS`` and ``ADDED``
    """

    layer: Any
    name: str
    shape: Shape
    sizes: Sizes
    adds: int = NOBODY
    added: int = NOBODY


class Assembly:
    """A network in one piece.

    Parameters
    ----------
    layers : iterable of layers and activations
    shape : tuple of int
        Of a row of X, without the axis of the rows.
    name : str, default="layers"
        What the user calls the list, for messages.

    Attributes
    ----------
    placed : list of Placed
    table, numbers : ndarrays, see ``fastgd.kernels.network.Network``
    specs, activations : tuples
    n_weights, n_trained, n_params : int
        Where in the flat parameters penalised weights end, what is trained, and everything.
    n_values, n_notes, n_sums, n_patch : int
        Scratch numbers of a row, and of a layer.
    """

    def __init__(self, layers: Iterable[Any], shape: Shape, name: str = "layers") -> None:
        self.shape, self.name = shape, name
        self.layers = list(layers)
        self.placed: list[Placed] = []
        end = self._place(_fused(list(_named(self.layers, name))), shape)
        self.output_shape = end
        if not self.placed:
            raise ValueError(f"{name} has no layer that computes anything.")
        self._lay_out()

    def __getstate__(self) -> dict[str, Any]:
        """Return what it was made of: what a file says of places in arrays is not to be relied on.

        What weights start with is left out; no network is begun from a pickled assembly.
        """
        layers = [_without_init(layer) for layer in self.layers]
        return {"layers": layers, "shape": self.shape, "name": self.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["layers"], tuple(state["shape"]), state["name"])  # type: ignore[misc]

    def _place(self, named: list[tuple[str, Any]], shape: Shape) -> Shape:
        """Append layers; return the shape of their output."""
        for name, layer in named:
            if isinstance(layer, Residual):
                shape = self._place_residual(name, layer, shape)
            elif isinstance(layer, Flatten):
                shape = (flat_size(shape),)
            else:
                self._refuse_late_embedding(name, layer)
                sizes = self._sizes(name, layer, shape)
                self.placed.append(Placed(layer, name, shape, sizes))
                shape = sizes.shape
        return shape

    def _refuse_late_embedding(self, name: str, layer: Any) -> None:
        """Refuse an ``Embedding`` whose numbers another layer makes: they may be any."""
        if isinstance(layer, Embedding) and self.placed:
            raise ValueError(
                f"{name}, Embedding: it takes whole numbers of X, so it must be the first layer."
            )

    def _place_residual(self, name: str, block: Residual, shape: Shape) -> Shape:
        """Append the layers of a block, and the row that adds their input to their output."""
        if self.placed and self.placed[-1].added != NOBODY:  # a block that begins with a block
            self.placed.append(Placed(Copied(), name, shape, Sizes(shape)))
        source = len(self.placed) - 1  # INPUT where nothing comes before
        if source != INPUT:  # before the layers in between: one of them may be a block as well
            taken = self.placed[source]._replace(added=SOON)
            self.placed[source] = taken
        end = self._place(_fused(list(_named(block.layers, f"{name}.layers"))), shape)
        if end != shape:
            raise ValueError(
                f"{name}, Residual: its layers make {end} of rows of shape {shape}, and what is "
                "added must have one shape."
            )
        self.placed.append(Placed(Copied(), name, shape, Sizes(shape), adds=source))
        if source != INPUT:
            self.placed[source] = self.placed[source]._replace(added=len(self.placed) - 1)
        return shape

    def _sizes(self, name: str, layer: Any, shape: Shape) -> Sizes:
        try:
            sizes: Sizes = type(layer).sizes(layer, shape)
        except ValueError as fault:
            raise ValueError(f"{name}, {type(layer).__name__}: {fault}") from None
        return sizes

    def _lay_out(self) -> None:
        """Give each layer's numbers their places."""
        specs = [spec_of(one.layer) for one in self.placed]
        units = [one.layer.activation if one.sizes.units else None for one in self.placed]
        self.specs = _distinct(specs)
        # one at least: a kernel cannot go through none
        self.activations = _distinct([Identity(), *(one for one in units if one is not None)])
        self.table = np.zeros((len(self.placed), N_COLUMNS), np.int64)
        self.numbers = np.zeros((len(self.placed), N_NUMBERS))
        ends = dict.fromkeys((WEIGHTS, FREE, RUNNING, VALUES, NOTES, SUMS), 0)
        for number, (row, one) in enumerate(zip(self.table, self.placed, strict=True)):
            for column, value in one.sizes.table.items():
                row[column] = value
            row[SPEC] = _place_of(specs[number], self.specs)
            row[N_IN], row[ADDS], row[ADDED] = flat_size(one.shape), one.adds, one.added
            self._describe_units(row, one, units[number])
            for place, (column, count) in _counts(one, keeps_sums=row[N_SUMS] > 0).items():
                row[place], row[column] = ends[place], count
                ends[place] += count
            self.numbers[number, : len(one.sizes.numbers)] = one.sizes.numbers
        self.n_weights = ends[WEIGHTS]
        self.n_trained = self.n_weights + ends[FREE]
        self.n_params = self.n_trained + ends[RUNNING]
        self.table[:, FREE] += self.n_weights
        self.table[:, RUNNING] += self.n_trained
        self.n_values, self.n_notes, self.n_sums = ends[VALUES], ends[NOTES], ends[SUMS]
        self.n_patch = max(one.sizes.patch for one in self.placed)

    def _describe_units(self, row: NDArray[Any], one: Placed, activation: Any) -> None:
        """Write what follows a layer of units."""
        row[ACTIVATION] = NONE
        if activation is not None:
            row[ACTIVATION] = _place_of(activation, self.activations)
            row[UNITS], row[HAS_BIAS] = one.sizes.units, one.sizes.free.size > 0
            row[N_SUMS] = not is_by_value(activation)

    @property
    def looks_up(self) -> bool:
        """Whether X holds whole numbers, of which each names a vector."""
        return isinstance(self.placed[0].layer, Embedding)

    def refuse_what_is_no_input(self, X: Any) -> None:
        """Refuse rows that the first layer cannot read.

        Raises
        ------
        ValueError
            For sparse rows where the first layer takes none, and for numbers that are no values
            of an ``Embedding``.
        """
        first = self.placed[0]
        name = f"{first.name}, {type(first.layer).__name__}"
        if sp.issparse(X):
            if not self.reads_sparse or any(one.adds == INPUT for one in self.placed):
                raise ValueError(
                    f"X is sparse, and {name}, reads dense rows only. Begin with Dense, or pass "
                    "X.toarray()."
                )
        elif self.looks_up and X.size > 0:
            low, high = float(X.min()), float(X.max())
            if low < 0 or high >= first.layer.n_values or np.any(np.floor(X) != X):
                raise ValueError(
                    f"{name}, takes whole numbers from 0 to {first.layer.n_values - 1}; X holds "
                    f"numbers from {low:g} to {high:g}."
                )

    @property
    def draws_or_remembers(self) -> list[str]:
        """Names of the layers that do something else in training than in predictions."""
        return [
            f"{one.name}, {type(one.layer).__name__}"
            for one in self.placed
            if isinstance(one.layer, Dropout) or one.sizes.running.size > 0
        ]

    def refuse_another(self, other: "Assembly") -> None:
        """Refuse to go on with the parameters of a network whose arrays are others.

        Raises
        ------
        ValueError
            What differs.
        """
        own, had = (
            [(one.sizes.weights, one.sizes.free.size, one.sizes.running.size) for one in a.placed]
            for a in (self, other)
        )
        if [x for x in own if any(x)] != [x for x in had if any(x)]:
            raise ValueError(
                f"Training goes on from the last fit, whose network has {other.n_params} "
                f"parameters in layers of {_shapes_of(other)}; for these data and layers it has "
                f"{self.n_params} in layers of {_shapes_of(self)}. Use fit with warm_start=False, "
                "or a new estimator."
            )

    @property
    def layers_with_weights(self) -> list[int]:
        """Numbers of the layers that have weights."""
        return [number for number, one in enumerate(self.placed) if one.sizes.weights]

    @property
    def matrices(self) -> list[tuple[int, int, int]]:
        """Where weights that are matrices begin, their rows and columns.

        Not those of embeddings, and not the last layer's.
        """
        numbers = [n for n in self.layers_with_weights if len(self.placed[n].sizes.weights) == 2]
        numbers = [n for n in numbers if n != self.layers_with_weights[-1]]
        kept = [n for n in numbers if not isinstance(self.placed[n].layer, Embedding)]
        return [(int(self.table[n, WEIGHTS]), *self.placed[n].sizes.weights) for n in kept]

    def window_of(self, number: int) -> tuple[int, int] | None:
        """Return height and width of the window of a layer that moves one, else None."""
        row = self.table[number]
        return (int(row[WINDOW_HEIGHT]), int(row[WINDOW_WIDTH])) if row[WINDOW_WIDTH] else None

    def activation_of(self, number: int) -> Any:
        """Return the activation that follows a layer, in it or in a row of its own; None if none.

        What stands between the two (normalisation) does not matter for what units put out.
        """
        found = self.table[self._activated(number), ACTIVATION]
        return None if found == NONE else self.activations[found]

    def outputs_of(
        self, values: NDArray[Any], capacity: int, number: int, n_rows: int
    ) -> NDArray[Any]:
        """Return what a layer's units put out, (rows, units): a view of flat ``values``."""
        row = self.table[self._activated(number)]
        first, size = row[VALUES] * capacity, n_rows * row[N_OUT]
        units = self.placed[number].sizes.units or int(row[N_OUT])
        return values[first : first + size].reshape(-1, units)

    def values_of(self, values: NDArray[Any], n_rows: int, number: int) -> NDArray[Any]:
        """Return the part of flat ``values`` of n_rows that is a layer's: a view."""
        row = self.table[number]
        return values[row[VALUES] * n_rows : (row[VALUES] + row[N_OUT]) * n_rows]

    def _activated(self, number: int) -> int:
        """Return where the outputs of a layer's units are: where its activation is."""
        own = self.table[number, ACTIVATION]
        if own == NONE or not names.does_nothing(self.activations[own]):
            return number
        for later in range(number + 1, len(self.placed)):
            layer = self.placed[later].layer
            if isinstance(layer, Copied) and layer.activation is not None:
                return later
            if not isinstance(layer, (BatchNorm, LayerNorm)):
                break
        return number

    def rows(self) -> list[tuple[str, str, str]]:
        """Return for each layer what it is, the shape of its output, and its parameters' number."""
        found = []
        for row, one in zip(self.table, self.placed, strict=True):
            count = row[N_WEIGHTS] + row[N_FREE]
            name = "+ input of the block" if one.adds != NOBODY else described(one.layer)
            found.append((name, str(one.sizes.shape), f"{count:,}"))
        return found

    def summary(self) -> str:
        """Return the table of layers, shapes and parameters as text."""
        lines = [("layer", "output", "parameters"), *self.rows()]
        widths = [max(len(line[k]) for line in lines) for k in range(3)]
        text = [
            f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, b, c in lines
        ]
        text.insert(1, "-" * (sum(widths) + 4))
        kept = self.n_params - self.n_trained
        beside = f", and {kept:,} running statistics" if kept else ""
        return "\n".join([*text, f"{self.n_trained:,} parameters{beside}"])

    @property
    def reads_sparse(self) -> bool:
        """Whether the first layer can read sparse rows."""
        return hasattr(self.specs[self.table[0, SPEC]], "forward_sparse")

    def network(self, dtype: Any, *, is_training: bool) -> Network:
        """Return the network as the kernels take it."""
        specs, activations = (
            tuple(in_dtype(spec, np.dtype(dtype)) for spec in kind)
            for kind in (self.specs, self.activations)
        )
        sizes = (self.n_weights, self.n_trained)
        return Network(specs, activations, self.table, self.numbers, *sizes, is_training)

    def starts(self, seed: int) -> NDArray[np.float64]:
        """Return the parameters to begin with: a function of the seed and the layers."""
        rng = np.random.default_rng(seed)
        params = np.empty(self.n_params)
        for row, one in zip(self.table, self.placed, strict=True):
            if one.sizes.weights:
                part = slice(row[WEIGHTS], row[WEIGHTS] + row[N_WEIGHTS])
                params[part] = _drawn(one, rng).ravel()
            params[row[FREE] : row[FREE] + row[N_FREE]] = one.sizes.free
            params[row[RUNNING] : row[RUNNING] + row[N_RUNNING]] = one.sizes.running
        return params

    def weights_of(self, params: NDArray[Any], number: int) -> NDArray[Any]:
        """Return a layer's weights in their shape, a view."""
        row = self.table[number]
        flat = params[row[WEIGHTS] : row[WEIGHTS] + row[N_WEIGHTS]]
        return flat.reshape(self.placed[number].sizes.weights)

    def free_of(self, params: NDArray[Any], number: int) -> NDArray[Any]:
        """Return a layer's parameters without penalty, biases mostly, a view."""
        row = self.table[number]
        return params[row[FREE] : row[FREE] + row[N_FREE]]

    def running_of(self, params: NDArray[Any], number: int) -> NDArray[Any]:
        """Return a layer's running statistics, a view."""
        row = self.table[number]
        return params[row[RUNNING] : row[RUNNING] + row[N_RUNNING]]


def _without_init(layer: Any) -> Any:
    """Return a layer, and the layers in it, without what weights start with."""
    if isinstance(layer, Residual):
        return layer._replace(layers=[_without_init(inner) for inner in layer.layers])
    return layer._replace(init=None) if "init" in getattr(layer, "_fields", ()) else layer


def _shapes_of(assembly: Assembly) -> str:
    """Return the shapes of the weights, in words."""
    found = (one.sizes.weights for one in assembly.placed if one.sizes.weights)
    return ", ".join(" x ".join(map(str, shape)) for shape in found) or "no weights"


def described(layer: Any) -> str:
    """Return a layer as a user would write it, without what was left to be chosen."""
    if isinstance(layer, Copied):
        return "copy" if layer.activation is None else repr(layer.activation)
    usual = layer._field_defaults
    said = {
        name: value
        for name, value in layer._asdict().items()
        # activations without hyperparameters are equal as tuples, whatever their class
        if name != "init" and not names.does_nothing(value) and repr(value) != repr(usual.get(name))
    }
    return f"{type(layer).__name__}({', '.join(f'{k}={v!r}' for k, v in said.items())})"


def _distinct(specs: list[Any]) -> tuple[Any, ...]:
    """Return the specs that differ, in an order of their own: each compiles once."""
    return tuple(dict(sorted((repr(spec), spec) for spec in specs)).values())


def _place_of(spec: Any, distinct: tuple[Any, ...]) -> int:
    return [repr(one) for one in distinct].index(repr(spec))


def _counts(one: Placed, *, keeps_sums: bool) -> dict[int, tuple[int, int]]:
    """Return how many numbers of each kind a layer has, and the column that says so."""
    sizes, n_out = one.sizes, flat_size(one.sizes.shape)
    return {
        WEIGHTS: (N_WEIGHTS, flat_size(sizes.weights) if sizes.weights else 0),
        FREE: (N_FREE, sizes.free.size),
        RUNNING: (N_RUNNING, sizes.running.size),
        VALUES: (N_OUT, n_out),
        NOTES: (N_NOTES, sizes.notes),
        SUMS: (N_SUMS, n_out if keeps_sums else 0),
    }


def _drawn(one: Placed, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a layer's first weights."""
    init = getattr(one.layer, "init", None)
    if init is None:
        init = names.usual_init(one.layer)
    drawn = np.asarray(init.draw(one.sizes.weights, one.sizes.fans, rng))
    if drawn.shape != one.sizes.weights or not np.isfinite(drawn).all():
        raise ValueError(
            f"init of {one.name} must draw finite numbers of shape {one.sizes.weights}, got "
            f"{'shape ' + str(drawn.shape) if drawn.shape != one.sizes.weights else 'others'}."
        )
    return drawn


def _named(layers: Iterable[Any], name: str) -> Iterator[tuple[str, Any]]:
    """Yield each layer with its place in the user's list, its names resolved."""
    for number, layer in enumerate(layers):
        place = f"{name}[{number}]"
        yield place, names.resolved(layer, place)


def _fused(named: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Make activations a part of the layers before them, where those have none yet."""
    found: list[tuple[str, Any]] = []
    for name, layer in named:
        if not names.is_activation(layer):
            found.append((name, layer))
        elif found and names.does_nothing(getattr(found[-1][1], "activation", None)):
            place, before = found[-1]
            found[-1] = (place, before._replace(activation=layer))
        elif not names.does_nothing(layer):
            found.append((name, Copied(layer)))
    return found
