"""The network engine: layers of any kind, by the kernels of ``fastgd.kernels.network``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgd._data.source import Block, Source
from fastgd._engines.absent_features import AbsentFeatures
from fastgd._engines.network_shards import n_shards_of, strips_of
from fastgd._engines.protocol import (
    Evaluation,
    Gradient,
    ParameterLayout,
    Plan,
    Sums,
    Trace,
    is_finite,
)
from fastgd._engines.shards import Shards
from fastgd._networks.assembly import Assembly
from fastgd._parameters import resolve
from fastgd._training.progress import History, Progress
from fastgd.kernels import sgd
from fastgd.kernels.network import (
    NetworkMemory,
    NetworkRule,
    Scratch,
    network_gradient,
    network_outputs,
    network_step,
    network_steps,
    warm_blas,
)
from fastgd.kernels.penalties import Unpenalised
from fastgd.kernels.rows import CSR, Dense
from fastgd.kernels.sgd import Samples
from fastgd.kernels.strips import Strips, Whole
from fastgd.kernels.transforms import Identity

EVALUATED_NUMBERS = 1 << 17  # of all layers' outputs that are in cache at a time
MOST_EVALUATED = 1 << 10
SATURATED = 0.01
BLAS_WARMED_FROM = 1 << 14  # weights: smaller products do not show whether BLAS is cold


class NetworkEngine:
    """A network on the processor.

    Parameters
    ----------
    assembly : Assembly
    rule : NetworkRule
        Its numbers in any dtype.
    """

    is_one_problem = True
    repeats = False
    uses_blas = True
    steps_at_once = 1 << 10  # then it can be stopped, or a checkpoint written

    def __init__(self, assembly: Assembly, rule: NetworkRule) -> None:
        self._assembly, self._asked = assembly, rule
        n_weights, n_trained = assembly.n_weights, assembly.n_trained
        self.layout = ParameterLayout(slice(0, n_weights), slice(n_weights, n_trained))
        plain = resolve.is_identity(rule.transform)
        self.clips = not plain and not resolve.is_identity(rule.transform.clip)
        self._seen: NDArray[Any] | None = None
        self._feeds_back = not plain and getattr(rule.transform.quantize, "feeds_back", False)

    def allocate(self, progress: Progress, source: Source, batch_size: int) -> None:
        """Take the arrays of a training, and make those that it needs besides."""
        params, assembly = progress.params, self._assembly
        dtype, n_trained = params.dtype, assembly.n_trained
        rule = self._asked
        resolve.check_together(rule.loss, rule.penalty, rule.optimizer)
        own = in_dtype_of(rule, dtype)
        optimizer = resolve.with_matrices(own.optimizer, assembly.matrices)
        self._absent = None
        averages = progress.average.size > 0
        if source.is_sparse and AbsentFeatures.wait(assembly, own, averages=averages):
            self._absent = AbsentFeatures(assembly, rule)
            optimizer = resolve.inner_of(optimizer)  # features that are present do not wait
        self._rule = own._replace(optimizer=optimizer)
        self._network = assembly.network(dtype, is_training=True)
        shape = (n_trained,) if self._feeds_back else (0,)
        if progress.residual.shape != shape:
            progress.residual = np.zeros(shape)
        progress.residual = progress.residual.astype(dtype, copy=False)
        size, is_sparse = min(batch_size, source.n_rows), source.is_sparse
        strips = strips_of(assembly, own, size, dtype, is_sparse=is_sparse)
        n_shards, n_strips = 1, strips.squares.size if isinstance(strips, Strips) else 0
        if n_strips == 0:
            n_shards = n_shards_of(assembly, size, is_sparse=is_sparse)
        rows = -(-size // n_shards)
        self._memory = NetworkMemory(
            params,
            progress.state,
            np.zeros(n_trained, dtype),
            progress.average,
            progress.residual,
            np.zeros((5, int(np.prod(assembly.output_shape)))),
            scratch(assembly, rows, dtype, is_sparse=is_sparse)._replace(strips=strips),
        )

        def further() -> dict[str, Any]:
            if n_strips > 0:  # of which each writes to its own part of the first thread's
                return {}
            return {"scratch": scratch(assembly, rows, dtype, is_sparse=is_sparse)}

        self._shards = None
        if max(n_shards, n_strips) > 1:
            self._shards = Shards(self._memory, n_shards, rows, further, n_strips)
        if assembly.n_weights >= BLAS_WARMED_FROM:
            warm_blas(np.ones((256, 256)))

    def step_coefficients(self, rates: NDArray[np.float64], first_step: int) -> NDArray[np.float64]:
        """Return what does not depend on the parameters of the steps at these rates, row by row."""
        optimizer = self._rule.optimizer
        found: NDArray[np.float64] = type(optimizer).step_coefficients(optimizer, rates, first_step)
        return found

    def run(self, block: Block, plan: Plan) -> Sums:
        """Take the steps of a plan."""
        kernel_plan = self._kernel_plan(block, plan)
        samples, memory = _samples(block), self._memory
        memory.sums[...] = 0.0
        changes: dict[str, Any] = {}
        if self._absent is not None:
            memory.gradient[...] = 0
            changes["absent"] = self._absent.of_steps(plan, block.n_visited)

        def steps(own: NetworkMemory) -> None:
            network_steps(block.rows, samples, self._rule, kernel_plan, self._network, own)

        if self._shards is None:
            steps(memory._replace(**changes))
        else:
            self._shards.run(steps, **changes)
        return _sums(memory)

    def run_epochs(self, block: Block, plan: Plan, n_epochs: int) -> Trace:
        """Refuse: batches depend on what comes before them in more than the parameters."""
        raise NotImplementedError("a network takes one epoch at a time.")

    def gradient(self, block: Block, plan: Plan) -> Gradient:
        """Return the transformed gradient of a batch, of a plan of one step."""
        kernel_plan = self._kernel_plan(block, plan)
        samples, memory = _samples(block), self._alone()
        memory.sums[...] = 0.0
        network_gradient(block.rows, samples, self._rule, kernel_plan, self._network, memory)
        return Gradient(self._full(memory.gradient), _sums(memory))

    def apply(self, gradient: Gradient, plan: Plan) -> None:
        """Take one step from a gradient."""
        memory = self._alone()
        memory.gradient[...] = gradient.values[: self._assembly.n_trained]
        network_step(self._rule, self._kernel_plan(None, plan), self._network, memory)

    def _alone(self) -> NetworkMemory:
        """Return memory for a batch whose gradient is asked for as a whole, by one thread."""
        memory = self._memory if self._shards is None else self._shards.alone()
        return memory._replace(scratch=memory.scratch._replace(strips=Whole()))

    def evaluate(self, source: Source, params: NDArray[Any]) -> Evaluation:
        """Return the objective of all rows, and its gradient, without random numbers.

        The penalty is that of a full batch.
        """
        assembly, dtype = self._assembly, params.dtype
        size = min(rows_at_once(assembly), source.n_rows)
        memory = self._memory._replace(
            params=params,
            gradient=np.zeros(assembly.n_trained, dtype),
            residual=np.zeros(0, dtype),
            scratch=scratch(assembly, size, dtype, is_sparse=source.is_sparse),
        )
        rule = self._rule._replace(l2=0.0, transform=Identity())
        network = self._network._replace(is_training=False)
        loss, gathered = 0.0, np.zeros(assembly.n_params)
        figures: dict[str, float] = {}
        for block in source.blocks():
            for start in range(0, block.n_visited, size):
                part = block.part(start, min(start + size, block.n_visited))
                plan = sgd.Plan(size, part.n_visited, np.zeros((1, 4), dtype), source.unit, 1, 0, 1)
                memory.sums[...] = 0.0
                network_gradient(part.rows, _samples(part), rule, plan, network, memory)
                loss += _sums(memory).loss
                gathered[: assembly.n_trained] += part.n_visited * memory.gradient
                if not figures:  # of some rows: those that come first
                    figures = self._shares(memory.scratch, part.n_visited)
        weights = params[self.layout.penalised].astype(np.float64)
        strength = float(self._asked.l2) / (source.n_rows * source.unit)
        gathered /= source.n_rows
        gathered[self.layout.penalised] += strength * weights
        penalty = 0.5 * strength * float(weights @ weights)
        figures.update(self._norms(params, gathered))
        return Evaluation(loss / source.unit / source.n_rows, penalty, gathered, figures)

    def _shares(self, space: Scratch, n_rows: int) -> dict[str, float]:
        """Return which shares of each layer's units are dead or saturated, of rows in scratch."""
        assembly, figures = self._assembly, {}
        for number in assembly.layers_with_weights:
            out = assembly.outputs_of(space.values, space.capacity, number, n_rows)
            figures.update(shares_of_units(assembly.activation_of(number), out, number))
        return figures

    def _norms(self, params: NDArray[Any], gradient: NDArray[Any]) -> dict[str, float]:
        """Return the norms of each layer's weights and of their gradient.

        ``update_ratio`` is how far the weights moved since the last look, by their norm.
        """
        figures: dict[str, float] = {}
        before, self._seen = self._seen, params.copy()
        for number in self._assembly.layers_with_weights:
            weights = self._assembly.weights_of(params, number)
            norm = float(np.linalg.norm(weights))
            slope = self._assembly.weights_of(gradient, number)
            figures[f"gradient_norm/{number}"] = float(np.linalg.norm(slope))
            figures[f"weight_norm/{number}"] = norm
            if before is not None:
                moved = np.linalg.norm(weights - self._assembly.weights_of(before, number))
                figures[f"update_ratio/{number}"] = float(moved) / max(norm, 1e-300)
        return figures

    def parameters(self) -> NDArray[Any]:
        """Return the parameters in host memory, a copy."""
        return self._memory.params.copy()

    def is_finite(self) -> bool:
        """Tell whether all parameters are finite numbers."""
        return is_finite(self._memory.params)

    def layer_to_blame(self, figures: History) -> tuple[int, str] | None:
        """Return the layer whose gradient has grown most; of a single epoch, has the most."""
        growth: dict[int, float] = {}
        for number in self._assembly.layers_with_weights:
            norms = np.asarray(figures.get(f"gradient_norm/{number}", []), np.float64)
            norms = norms[np.isfinite(norms)]
            if norms.size > 0:
                growth[number] = norms[-1] / (max(norms[0], 1e-300) if norms.size > 1 else 1.0)
        if not growth:
            return None
        number = max(growth, key=lambda n: growth[n])
        one = self._assembly.placed[number]
        return number, f"{one.name}, {type(one.layer).__name__} (layer {number})"

    def last_decay(self, coefficients: NDArray[np.float64]) -> float:  # noqa: ARG002
        """Return 0: the penalty is a part of the gradient, and no decay."""
        return 0.0

    def _full(self, gradient: NDArray[Any]) -> NDArray[Any]:
        """Return a gradient of the parameters' shape, zero where nothing is trained."""
        full = np.zeros(self._assembly.n_params, gradient.dtype)
        full[: gradient.shape[0]] = gradient
        return full

    def _kernel_plan(self, block: Block | None, plan: Plan) -> sgd.Plan:
        return sgd.Plan(
            plan.batch_size,
            0 if block is None else block.n_visited,
            plan.coefficients.astype(self._memory.params.dtype, copy=False),
            plan.unit,
            plan.average_from,
            plan.seed,
            plan.first_step,
        )


def in_dtype_of(rule: NetworkRule, dtype: Any) -> NetworkRule:
    """Return a rule as the kernels of a dtype take it."""
    return NetworkRule(
        resolve.in_dtype(rule.loss, dtype),
        resolve.in_dtype(rule.penalty, dtype),
        resolve.in_dtype(rule.optimizer, dtype),
        float(rule.l2),
        resolve.transform_in_dtype(rule.transform, dtype, is_shared=True),
        resolve.is_identity(rule.transform) and not resolve.steps_as_a_whole(rule.optimizer),
    )


def rule_of(loss: Any, optimizer: Any, l2: float, transform: Any) -> NetworkRule:
    """Return what a step does."""
    return NetworkRule(loss, Unpenalised(), optimizer, float(l2), transform)


def scratch(assembly: Assembly, size: int, dtype: Any, *, is_sparse: bool) -> Scratch:
    """Return the arrays that passes over batches of up to ``size`` rows write into."""
    n_features = int(np.prod(assembly.shape))
    return Scratch(
        size,
        np.empty((0, 0) if is_sparse else (size, n_features), dtype),
        np.empty(size * assembly.n_values, dtype),
        np.empty(size * assembly.n_values, dtype),
        np.empty(size * assembly.n_sums, dtype),
        np.empty(size * assembly.n_notes, dtype),
        np.empty(assembly.n_patch, dtype),
    )


def rows_at_once(assembly: Assembly) -> int:
    """Return how many rows pass through a network together where nothing is trained."""
    return max(min(EVALUATED_NUMBERS // max(assembly.n_values, 1), MOST_EVALUATED), 16)


def outputs(assembly: Assembly, params: NDArray[Any], rows: Dense | CSR, n: int) -> NDArray[Any]:
    """Return the last layer's outputs for n rows, in the parameters' dtype."""
    dtype = params.dtype
    out = np.empty((n, int(np.prod(assembly.output_shape))), dtype)
    if n == 0:
        return out
    size = min(rows_at_once(assembly), n)
    space = scratch(assembly, size, dtype, is_sparse=rows.is_sparse)
    network = assembly.network(dtype, is_training=False)
    network_outputs(rows, np.empty(0, np.int32), network, params, space, out)
    return out


def outputs_of_layers(assembly: Assembly, params: NDArray[Any], rows: Dense) -> list[NDArray[Any]]:
    """Return what each layer puts out for a few rows, (n, *shape), activations included."""
    n, dtype = rows.values.shape[0], params.dtype
    space = scratch(assembly, n, dtype, is_sparse=False)
    out = np.empty((n, int(np.prod(assembly.output_shape))), dtype)
    network = assembly.network(dtype, is_training=False)
    network_outputs(rows, np.empty(0, np.int32), network, params, space, out)
    return [
        assembly.values_of(space.values, n, number).reshape(n, *one.sizes.shape).copy()
        for number, one in enumerate(assembly.placed)
    ]


def shares_of_units(activation: Any, out: NDArray[Any], number: int) -> dict[str, float]:
    """Return which share of a layer's units is dead, and which share of outputs is saturated.

    A unit is dead where it puts out 0 for every row; an output is saturated where it lies within
    1 % of the end of the activation's range.
    """
    if getattr(activation, "dies", False):
        return {f"dead/{number}": float(np.mean(~out.any(axis=0)))}
    limits = getattr(activation, "limits", None)
    if limits is None:
        return {}
    low, high = limits
    edge = SATURATED * (high - low)
    return {f"saturated/{number}": float(np.mean((out < low + edge) | (out > high - edge)))}


def _sums(memory: NetworkMemory) -> Sums:
    """Return what kernels have added up over some steps."""
    loss, penalty, clipped = memory.sums[:3]
    return Sums(float(loss.sum()), float(penalty[0]), float(clipped[0]))


def _samples(block: Block) -> Samples:
    return Samples(block.y, block.weight, block.order, block.positive_weight)
