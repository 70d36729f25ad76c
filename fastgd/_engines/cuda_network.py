"""The network engine on a CUDA device: layer by layer, step after step, queued by the host.

Where each number lies, of parameters and of what passes through the layers, is the processor's
table. Products are cuBLAS's where CuPy is installed (``kernels.cuda.matrices``); what lies between
them is in ``cuda_layers``. Nothing is read back within a call of ``run``.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._data.source import Block, Source
from fastgd._engines.cuda_layers import FORMS, Layer, Now, add_columns
from fastgd._engines.cuda_parameters import DeviceParameters
from fastgd._engines.cuda_rows import RowsOnDevice, Sent, Visit
from fastgd._engines.cuda_steps import Turn, take_steps, turn_of
from fastgd._engines.network import NetworkEngine, rows_at_once, shares_of_units
from fastgd._engines.protocol import Evaluation, Gradient, Plan, Sums
from fastgd._networks.assembly import Assembly
from fastgd._training.progress import Progress
from fastgd.kernels import losses
from fastgd.kernels.layers import (
    ACTIVATION,
    ADDED,
    ADDS,
    FREE,
    HAS_BIAS,
    INPUT,
    N_FREE,
    N_IN,
    N_NOTES,
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
)
from fastgd.kernels.losses import SquaredError
from fastgd.kernels.network import NetworkRule

ALL_STEPS = 1 << 40  # of an epoch are queued together
MOST_SIZES = 4  # of batches whose views are kept
MOST_KEPT = 1 << 7  # arrays of scratch
ROWS_PREDICTED = 1 << 12  # that pass through a network together


class CudaNetworkEngine(NetworkEngine):
    """A network on a CUDA device.

    Parameters
    ----------
    assembly : Assembly
    rule : NetworkRule
    """

    uses_blas = False
    steps_at_once = ALL_STEPS

    def __init__(self, assembly: Assembly, rule: NetworkRule) -> None:
        super().__init__(assembly, rule)
        self._rows: RowsOnDevice | None = None

    def allocate(self, progress: Progress, source: Source, batch_size: int) -> None:
        """Take the arrays of a training, and make those that it needs on the device."""
        super().allocate(progress, source, 1)
        assembly, dtype = self._assembly, progress.params.dtype
        if self._rows is None:
            n_features = int(np.prod(assembly.shape))
            self._rows = RowsOnDevice(by_class=False, n_features=n_features, dtype=dtype)
        n_outputs = int(np.prod(assembly.output_shape))
        sizes = {"n_trained": assembly.n_trained, "first_free": assembly.n_weights}
        counts = {"n_outputs": n_outputs, "n_columns": 1}
        self._there = DeviceParameters(self._rule, progress, **sizes, **counts)
        size = min(batch_size, source.n_rows)
        self._pass = self._pass_over(self._there, size, source)
        self._progress = progress

    def _pass_over(self, there: DeviceParameters, size: int, source: Source) -> "NetworkPass":
        own = there.there.params, there.there.gradient, there.rule
        return NetworkPass(self._assembly, own, size, is_sparse=source.is_sparse)

    def run(self, block: Block, plan: Plan) -> Sums:
        """Take the steps of a plan; the host waits for the last one only."""
        from fastgd.kernels.cuda import memory

        self._begin()
        coefs = memory.upload(plan.coefficients.astype(self._memory.params.dtype))
        assert self._rows is not None
        for visit in self._rows.visits(block, plan.batch_size):
            take_steps(functools.partial(self._step, visit, coefs, plan), visit, plan)
        return self._read_back()

    def _step(self, visit: Visit, coefs: Any, plan: Plan, turn: Turn) -> None:
        self._there.take_gradient(self._meet(visit, coefs, plan, turn), turn)

    def _begin(self) -> None:
        from fastgd.kernels.cuda import vectors

        self._there.begin()
        losses_of_threads = self._pass.out.loss.reshape(-1)
        vectors.fill.spread(losses_of_threads.shape[0], losses_of_threads, 0.0)

    def _meet(self, visit: Visit, coefs: Any, plan: Plan, turn: Turn) -> Any:
        """Queue the gradient of a batch; return the step."""
        l2 = float(self._rule.l2)
        step = self._there.step(coefs, turn.t, turn.size, plan.unit, l2=l2)
        self._pass.gradient(visit, (turn.start, turn.stop), step, Now(True, turn.seed, turn.number))
        return step

    def _read_back(self) -> Sums:
        loss, penalty, clipped = self._there.read_back(self._pass.out.loss)
        return Sums(float(loss.sum()), float(penalty[0]), float(clipped[0]))

    def gradient(self, block: Block, plan: Plan) -> Gradient:
        """Return the transformed gradient of a batch, of a plan of one step."""
        from fastgd.kernels.cuda import memory

        self._begin()
        coefs = memory.upload(plan.coefficients.astype(self._memory.params.dtype))
        assert self._rows is not None
        whole = plan._replace(batch_size=block.n_visited)
        (visit,) = self._rows.visits(block, block.n_visited)
        turn = turn_of(visit, 0, whole)
        self._there.transform(self._meet(visit, coefs, whole, turn), turn)
        sums = self._read_back()
        return Gradient(self._full(memory.download(self._there.there.gradient)), sums)

    def apply(self, gradient: Gradient, plan: Plan) -> None:
        """Take one step from a gradient, on the host; the device goes on from there."""
        super().apply(gradient, plan)
        self._there.send()

    def evaluate(self, source: Source, params: NDArray[Any]) -> Evaluation:
        """Return the objective of all rows, and its gradient, without random numbers."""
        assembly, size = self._assembly, min(rows_at_once(self._assembly), source.n_rows)
        progress = Progress.begin(params, self._rule.optimizer, average=False, seed=0)
        there = DeviceParameters(
            self._rule,
            progress,
            n_trained=assembly.n_trained,
            first_free=assembly.n_weights,
            n_outputs=int(np.prod(assembly.output_shape)),
            n_columns=1,
        )
        passed = self._pass_over(there, size, source)
        loss, gathered, figures = self._added_up(source, there, passed)
        weights = params[self.layout.penalised].astype(np.float64)
        strength = float(self._asked.l2) / (source.n_rows * source.unit)
        gathered /= source.n_rows
        gathered[self.layout.penalised] += strength * weights
        figures.update(self._norms(params, gathered))
        penalty = 0.5 * strength * float(weights @ weights)
        return Evaluation(loss / source.unit / source.n_rows, penalty, gathered, figures)

    def _added_up(
        self, source: Source, there: DeviceParameters, passed: "NetworkPass"
    ) -> tuple[float, NDArray[Any], dict[str, float]]:
        """Return the loss of all rows, their gradient, and what layers put out of the first."""
        from fastgd.kernels.cuda import memory

        gathered = np.zeros(self._assembly.n_params)
        figures: dict[str, float] = {}
        coefs = memory.zeros((1, 4), there.there.gradient.dtype)
        assert self._rows is not None
        there.begin()
        for block in source.blocks():
            for visit in self._rows.visits(block, passed.capacity):
                for t in range(visit.n_steps):
                    start = t * passed.capacity
                    stop = min(start + passed.capacity, visit.n_visited)
                    step = there.step(coefs, 0, stop - start, source.unit)
                    passed.gradient(visit, (start, stop), step, Now(False))
                    gradient = memory.download(there.there.gradient)
                    gathered[: gradient.shape[0]] += (stop - start) * gradient
                    figures = figures or self._shares_there(passed, stop - start)
        loss, *_ = there.read_back(passed.out.loss)
        return float(loss.sum()), gathered, figures

    def _shares_there(self, passed: "NetworkPass", n_rows: int) -> dict[str, float]:
        """Return which shares of each layer's units are dead or saturated, of a batch."""
        from fastgd.kernels.cuda import memory

        assembly, figures = self._assembly, {}
        values = memory.download(passed.values)
        for number in assembly.layers_with_weights:
            out = assembly.outputs_of(values, passed.capacity, number, n_rows)
            figures.update(shares_of_units(assembly.activation_of(number), out, number))
        return figures

    def is_finite(self) -> bool:
        """Tell whether all parameters are finite numbers: a flag of the device's."""
        return self._there.is_finite


class _Batch(NamedTuple):
    """The views that a batch of a size needs.

    layers : list of Layer
    units : list of what follows each: (out, sums, z, delta) as (rows, units), bias and its slopes
    adds, added : lists of the flat arrays to add to a layer's outputs and derivatives, or None
    """

    layers: list[Layer]
    units: list[Any]
    adds: list[Any]
    added: list[Any]


class NetworkPass:
    """A network's passes over batches, on the device.

    Parameters
    ----------
    assembly : Assembly
    own : (params, gradient, rule)
        On the device, and ``steps.Rule``.
    capacity : int, the most rows of a batch
    is_sparse : bool

    Attributes
    ----------
    out : passes.Out, of whose losses each thread has its sum
    values : flat, the layers' outputs of the last batch
    """

    def __init__(
        self, assembly: Assembly, own: tuple[Any, Any, Any], capacity: int, *, is_sparse: bool
    ) -> None:
        from fastgd.kernels.cuda import _compiler, memory, passes

        self._assembly, self.capacity = assembly, capacity
        self._params, self._gradient, self._rule = own
        dtype = self._params.dtype
        self._is_sparse, self._single = is_sparse, dtype == np.float32
        n_features = int(np.prod(assembly.shape))
        rows = 0 if is_sparse else capacity
        self._block = memory.empty((rows, n_features), dtype)
        self.values, self._deltas = (
            memory.empty(capacity * assembly.n_values, dtype) for _ in range(2)
        )
        self._sums = memory.empty(capacity * assembly.n_sums, dtype)
        self._notes = memory.empty(capacity * assembly.n_notes, dtype)
        self._table = memory.upload(assembly.table)
        network = assembly.network(dtype, is_training=True)
        self._activations = network.activations
        self._forms = [FORMS[type(assembly.specs[row[SPEC]])] for row in assembly.table]
        n_outputs = int(np.prod(assembly.output_shape))
        n_threads = _compiler.blocks_for(capacity) * passes.BLOCK
        none = memory.empty(0, dtype)
        empty = memory.empty((0, n_outputs), dtype)
        self.out = passes.Out(memory.zeros((n_threads, n_outputs)), empty, empty, none)
        self._is_shared = losses.kind_of(self._rule.loss) == losses.MULTINOMIAL
        first = assembly.table[0]
        shape = (int(first[N_IN]), int(first[N_OUT])) if is_sparse else (0, 0)
        self._units_of_sparse = memory.zeros(shape, np.int64)
        self._largest = memory.zeros(max(shape[1], 1))
        self._batches: dict[int, _Batch] = {}
        self._room = functools.lru_cache(MOST_KEPT)(memory.empty)  # no step asks for memory
        self._nothing = memory.empty((0, 0), dtype)

    # -- the views of a batch ---------------------------------------------------------------------

    def _batch(self, size: int) -> _Batch:
        """Return the views of a batch, those of the last sizes made once.

        A cache of the method would be a cycle, and hold the device's memory until it is collected.
        """
        if size not in self._batches:
            if len(self._batches) == MOST_SIZES:
                del self._batches[next(iter(self._batches))]
            self._batches[size] = self._views(size)
        return self._batches[size]

    def _views(self, size: int) -> _Batch:
        table = self._assembly.table
        layers = [self._layer(number, size) for number in range(table.shape[0])]
        units = [self._units(layer, size) for layer in layers]
        adds = [self._added_to(int(row[ADDS]), self.values, size, row) for row in table]
        added = [self._added_to(int(row[ADDED]), self._deltas, size, row) for row in table]
        return _Batch(layers, units, adds, added)

    def _of(self, flat: Any, number: int, size: int) -> Any:
        """Return a layer's part of ``values`` or ``deltas``, (size, N_OUT)."""
        row = self._assembly.table[number]
        first, width = int(row[VALUES]) * self.capacity, int(row[N_OUT])
        return flat[first : first + size * width].reshape(size, width)

    def _layer(self, number: int, size: int) -> Layer:
        assembly, row = self._assembly, self._assembly.table[number]
        shape = assembly.placed[number].sizes.weights or (0, 1)
        n_in, n_notes = int(row[N_IN]), int(row[N_NOTES])
        weights, free = _part(row, WEIGHTS, N_WEIGHTS), _part(row, FREE, N_FREE)
        first = int(row[NOTES]) * self.capacity
        if number > 0:
            x = self._of(self.values, number - 1, size).reshape(size, n_in)
            before = self._of(self._deltas, number - 1, size).reshape(size, n_in)
        else:
            x, before = self._block[:size], None
        return Layer(
            number,
            row,
            self._table[number],
            assembly.numbers[number],
            self._params[weights].reshape(*shape),
            self._params[free],
            self._params[_part(row, RUNNING, N_RUNNING)],
            self._gradient[weights].reshape(*shape),
            self._gradient[free],
            x,
            before,
            self._of(self.values, number, size),
            self._of(self._deltas, number, size),
            self._notes[first : first + size * n_notes].reshape(size, n_notes),
            self._single,
            self._room,
        )

    def _units(self, layer: Layer, size: int) -> Any:
        """Return what an activation needs; None where there is none."""
        row = layer.at
        if row[ACTIVATION] == NONE:
            return None
        n_units, keeps = int(row[UNITS]), int(row[N_SUMS]) > 0
        out, delta = layer.out.reshape(-1, n_units), layer.delta.reshape(-1, n_units)
        first, count = int(row[SUMS]) * self.capacity, size * int(row[N_SUMS])
        sums = self._sums[first : first + count].reshape(-1, n_units if keeps else 1)
        n_bias = layer.free.shape[0] if row[HAS_BIAS] else 0
        bias, slopes = layer.free[:n_bias], layer.of_free[:n_bias]
        kept = sums if keeps else self._nothing
        return out, kept, sums if keeps else out, delta, bias, slopes

    def _added_to(self, source: int, flat: Any, size: int, row: Any) -> Any:
        if source == NOBODY:
            return None
        if source == INPUT:
            return self._block[:size].reshape(-1)
        assert self._assembly.table[source][N_OUT] == row[N_OUT]
        return self._of(flat, source, size).reshape(-1)

    # -- passes -----------------------------------------------------------------------------------

    def gradient(self, visit: Visit, ends: tuple[int, int], step: Any, now: Now) -> None:
        """Queue the gradient of a batch's loss, whose losses are added to ``out``.

        Parameters
        ----------
        visit : Visit
        ends : (int, int), where the batch begins and ends
        step : steps.Step
        now : Now
        """
        span = self._span(visit, ends)
        self.forward(visit.sent, span, now)
        self._slopes(visit.sent, span, step)
        self._backward(visit.sent, span, now)

    def _span(self, visit: Visit, ends: tuple[int, int]) -> Any:
        from fastgd.kernels.cuda import passes

        return passes.Span(visit.order, *ends, 0)

    def forward(self, sent: Any, span: Any, now: Now) -> Any:
        """Queue the outputs of all layers; return the last one's."""
        from fastgd.kernels.cuda import layers, sparse, vectors

        size = _size(span)
        batch = self._batch(size)
        if self._is_sparse:
            first = batch.layers[0]
            product = (sent.rows, span, first.weights, first.out)
            sparse.sparse_product.spread(first.out.size, *product, single=self._single)
        else:
            gathered = (sent.dense, span, self._block[:size])
            layers.gather.spread(size * self._block.shape[1], *gathered, single=self._single)
        for number, layer in enumerate(batch.layers):
            if number > 0 or not self._is_sparse:
                self._forms[number].forward(layer, now)
            self._activate(batch.units[number], layer.at)
            if batch.adds[number] is not None:
                vectors.add_to.spread(layer.out.size, batch.adds[number], layer.out.reshape(-1))
        return batch.layers[-1].out

    def _slopes(self, sent: Any, span: Any, step: Any) -> None:
        """Queue the derivatives by the last layer's outputs."""
        from fastgd.kernels.cuda import layers, steps

        last = self._batch(_size(span)).layers[-1]
        layers.copy.spread(last.out.size, last.out.reshape(-1), last.delta.reshape(-1))
        given = steps.Batch(sent.samples, self._rule, step)
        met = (given, span, last.delta, self.out)
        size = last.delta.shape[0]
        if self._is_shared:
            layers.slopes_shared.spread(size, *met, single=self._single)
        else:
            layers.slopes_apart.spread(size, sent.rows, *met, single=self._single)

    def _backward(self, sent: Any, span: Any, now: Now) -> None:
        from fastgd.kernels.cuda import vectors

        batch = self._batch(_size(span))
        for number in range(len(batch.layers) - 1, -1, -1):
            layer = batch.layers[number]
            if batch.added[number] is not None:
                vectors.add_to.spread(layer.out.size, batch.added[number], layer.delta.reshape(-1))
            self._deactivate(batch.units[number], layer)
            if number == 0 and self._is_sparse:
                self._leave(layer, sent, span)
            else:
                self._forms[number].backward(layer, now)

    def _leave(self, layer: Layer, sent: Any, span: Any) -> None:
        """Queue the derivatives by weights whose inputs are sparse rows."""
        from fastgd.kernels.cuda import passes, sparse

        size, units = _size(span), self._units_of_sparse
        n_outputs, largest = layer.delta.shape[1], self._largest
        sparse.largest_of_columns.launch(n_outputs, passes.BLOCK, layer.delta, size, largest)
        n_blocks = min(-(-size // passes.GROUPS), passes.MOST_BLOCKS)
        added = (sent.rows, span, layer.delta, largest, sent.peaks, units)
        sparse.scatter.launch(n_blocks, passes.BLOCK, *added)
        written = (units, largest, sent.peaks, size, layer.of_weights.reshape(-1), 0)
        sparse.from_units.spread(units.size, *written)

    def _activate(self, units: Any, at: Any) -> None:
        from fastgd.kernels.cuda import layers

        if units is not None:
            out, sums, _, _, bias, _ = units
            made = (self._activations[at[ACTIVATION]], bias, out, sums)
            layers.activate.spread(out.size, *made, single=self._single)

    def _deactivate(self, units: Any, layer: Layer) -> None:
        from fastgd.kernels.cuda import layers

        if units is None:
            return
        out, _, z, delta, _, slopes = units
        made = (self._activations[layer.at[ACTIVATION]], z, out, delta)
        layers.deactivate.spread(out.size, *made, single=self._single)
        if slopes.shape[0] > 0:
            add_columns(layer, layers.PLAIN, (delta, delta, slopes), slopes)


def outputs_there(assembly: Assembly, params: NDArray[Any], X: Any) -> NDArray[Any]:
    """Return the last layer's outputs for rows on the device, copied from there.

    Parameters
    ----------
    assembly : Assembly
    params : ndarray
    X : array on a device, of shape (n_samples, n_features)
    """
    from fastgd.kernels.cuda import memory, passes, steps

    values, n = memory.adopt(X), X.shape[0]
    n_outputs, dtype = int(np.prod(assembly.output_shape)), params.dtype
    found = np.empty((n, n_outputs), dtype)
    if n == 0:
        return found
    size = min(ROWS_PREDICTED, n)
    gradient = memory.zeros(assembly.n_trained, dtype)
    rule = steps.Rule(SquaredError(), None, None, True)  # nothing of it is asked for
    passed = NetworkPass(assembly, (memory.upload(params), gradient, rule), size, is_sparse=False)
    sent, as_they_lie = Sent(None, values, None, None), memory.empty(0, np.int64)
    for start in range(0, n, size):
        stop = min(start + size, n)
        out = passed.forward(sent, passes.Span(as_they_lie, start, stop, 0), Now(False))
        found[start:stop] = memory.download(out)
    return found


def _size(span: Any) -> int:
    return int(span.stop) - int(span.start)


def _part(row: Any, first: int, count: int) -> slice:
    """Return where a layer's part of flat parameters lies."""
    return slice(int(row[first]), int(row[first] + row[count]))
