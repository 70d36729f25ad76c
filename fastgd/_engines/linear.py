"""The linear engine: raw = X W + b, by the fused kernels of ``fastgd.kernels.sgd``.

One output and many have kernels of their own, and arrays of their own for them; what differs is in
``_OneOutput`` and ``_ManyOutputs``, which have the same methods.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgd._data.source import Block, Source
from fastgd._engines.protocol import (
    LINEAR,
    Evaluation,
    Gradient,
    Plan,
    Sums,
    Trace,
    is_finite,
    total,
)
from fastgd._engines.updates import Updates
from fastgd._parameters import resolve
from fastgd._training.progress import Progress
from fastgd.kernels import sgd, sgd_multi
from fastgd.kernels.frames import Plain, Scaled, Tied
from fastgd.kernels.gradient import (
    gradient_of_rows,
    gradient_of_rows_multi,
    step_from_gradient,
)
from fastgd.kernels.optimizers import Sgd
from fastgd.kernels.sgd import Rule

BLOCK_ROWS = 256  # dense rows of a many-output batch gathered at a time
EVALUATED_ROWS = 1 << 12  # whose raw predictions are in memory at a time


class LinearEngine:
    """A linear model on the processor.

    Parameters
    ----------
    rule : Rule
        Loss, penalty, optimizer, whether there is an intercept, the gradient's transform.
    """

    layout = LINEAR

    def __init__(self, rule: Rule) -> None:
        self._asked = rule
        plain = resolve.is_identity(rule.transform)
        self.clips = not plain and not resolve.is_identity(rule.transform.clip)
        self._quantizes = not plain and not resolve.is_identity(rule.transform.quantize)
        self._rule: Any = None

    def allocate(self, progress: Progress, source: Source, batch_size: int) -> None:
        """Take the arrays of a training, and make those that it needs besides."""
        params, dtype = progress.params, progress.params.dtype
        if self._rule is None:
            self._resolve(params.shape, dtype)
        resolve.start_within(self._asked.penalty, params, self.layout)
        self._remember(progress)
        kind = _OneOutput if params.ndim == 1 else _ManyOutputs
        self.uses_blas = kind is _ManyOutputs or batch_size > 1
        size = min(batch_size, source.n_rows)
        self._outputs = kind(progress, size, source.is_sparse)
        self._updates = Updates(self._rule, progress, self.layout, is_sparse=source.is_sparse)
        everywhere = self._updates.kind in (Plain, Tied) and source.is_sparse
        by_rows = batch_size == 1 and not everywhere and not self._quantizes
        has_state = progress.state.size > 0 or progress.average.size > 0
        keeps = self._updates.kind in (Plain, Scaled)
        self.repeats = by_rows and keeps and not has_state and params.ndim == 1
        self._outputs.choose(by_rows=by_rows, repeats=self.repeats)
        self._coefficient_dtype = dtype

    def _resolve(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Make of the rule what kernels of this dtype take."""
        rule = self._asked
        resolve.check_together(rule.loss, rule.penalty, rule.optimizer)
        self.is_one_problem = len(shape) == 1 or hasattr(rule.loss, "gradient_row")
        penalty = resolve.spread(rule.penalty, shape)
        specs = [resolve.in_dtype(spec, dtype) for spec in (rule.loss, penalty, rule.optimizer)]
        self._rule = Rule(
            *specs,
            rule.fit_intercept,
            resolve.transform_in_dtype(rule.transform, dtype, is_shared=self.is_one_problem),
        )
        if len(shape) == 2:
            self._rule = _many(self._rule, shape[1])

    def _remember(self, progress: Progress) -> None:
        """Give a quantizer with error feedback its residual, unless it has one; take it else."""
        feeds_back = self._quantizes and self._rule.transform.quantize.feeds_back
        shape = progress.params.shape if feeds_back else (0,)
        if progress.residual.shape != shape:
            progress.residual = np.zeros(shape)
        progress.residual = progress.residual.astype(progress.params.dtype, copy=False)

    def step_coefficients(self, rates: NDArray[np.float64], first_step: int) -> NDArray[np.float64]:
        """Return what does not depend on the parameters of the steps at these rates, row by row."""
        optimizer = self._rule.optimizer
        coefficients: NDArray[np.float64] = type(optimizer).step_coefficients(
            optimizer, rates, first_step
        )
        return coefficients

    def run(self, block: Block, plan: Plan) -> Sums:
        """Take the steps of a plan: gradient, transform and step in one pass over the rows."""
        store = self._updates.of_steps(plan.coefficients)
        return self._outputs.run(block, self._rule, self._kernel_plan(block, plan), store)

    def run_epochs(self, block: Block, plan: Plan, n_epochs: int) -> Trace:
        """Take the steps of several epochs, whose rows are in one block, one after the other."""
        store = self._updates.of_steps(plan.coefficients)
        kernel_plan = self._kernel_plan(block, plan)
        n_rows = kernel_plan.step_coefficients.shape[0]  # in batches of one
        kernel_plan = kernel_plan._replace(n_visited=n_rows)
        assert isinstance(self._outputs, _OneOutput)
        return self._outputs.run_epochs(block, self._rule, kernel_plan, store, n_epochs)

    def _kernel_plan(self, block: Block, plan: Plan) -> sgd.Plan:
        return sgd.Plan(
            plan.batch_size,
            block.n_visited,
            plan.coefficients.astype(self._coefficient_dtype, copy=False),
            plan.unit,
            plan.average_from,
            plan.seed,
            plan.first_step,
        )

    def gradient(self, block: Block, plan: Plan) -> Gradient:
        """Return the transformed gradient of a batch, of a plan of one step."""
        sums = self._outputs.gradient(block, self._rule, self._kernel_plan(block, plan))
        values = self._outputs.memory.gradient.copy()
        self._outputs.memory.gradient[...] = 0
        n_rows = block.n_visited
        return Gradient(values, sums._replace(penalty=n_rows * sums.penalty))

    def apply(self, gradient: Gradient, plan: Plan) -> None:
        """Take one step from a gradient."""
        memory = self._outputs.memory
        memory.gradient[...] = gradient.values
        store = self._updates.everywhere()
        kernel_plan = self._kernel_plan(_NOTHING, plan)
        step_from_gradient(self._rule, kernel_plan, memory, store)

    def evaluate(self, source: Source, params: NDArray[Any]) -> Evaluation:
        """Return the objective of all rows, and its gradient."""
        penalty = self._asked.penalty
        plain = LinearEngine(Rule(self._asked.loss, penalty, Sgd(), self._asked.fit_intercept))
        progress = Progress.begin(params, Sgd(), average=False, seed=0)
        plain.allocate(progress, source, min(source.n_rows, EVALUATED_ROWS))
        length = 1.0 / max(1.0, 2.0 * resolve.largest_l2(penalty))
        step = Plan(1, plain.step_coefficients(np.array([length]), 1), 1, 1, 0, source.unit)
        loss, cost = plain._add_up(source, step)
        before = progress.params.copy()
        step_from_gradient(
            plain._rule,
            plain._kernel_plan(_NOTHING, step),
            plain._outputs.memory,
            plain._updates.everywhere(),
        )
        return Evaluation(
            loss / source.unit / source.n_rows, cost, (before - progress.params) / length
        )

    def _add_up(self, source: Source, step: Plan) -> tuple[float, float]:
        """Leave the gradient of all rows in memory; return the sum of losses, and the penalty."""
        loss = penalty = 0.0
        gradient = self._outputs.memory.gradient
        gathered = np.zeros_like(gradient)
        for block in source.blocks():
            sums = self._outputs.gradient(block, self._rule, self._kernel_plan(block, step))
            loss += total(sums.loss)
            penalty = total(sums.penalty)
            gathered += block.n_visited / source.n_rows * gradient
            gradient[...] = 0
        gradient[...] = gathered
        return loss, penalty

    def parameters(self) -> NDArray[Any]:
        """Return the parameters in host memory, a copy."""
        return self._outputs.params.copy()

    def is_finite(self) -> bool:
        """Tell whether all parameters are finite numbers."""
        return is_finite(self._outputs.memory.params)

    def last_decay(self, coefficients: NDArray[np.float64]) -> float:
        """Return which share of a coefficient the last step's decay asks for; 0 if unknown."""
        optimizer = self._asked.optimizer
        strength = resolve.largest_l2(self._asked.penalty)
        if strength == 0.0 or not hasattr(optimizer, "lengths"):
            return 0.0
        return float(type(optimizer).lengths(optimizer, coefficients[-1:])[0]) * strength


def _many(rule: Rule, n_outputs: int) -> sgd_multi.MultiRule:
    loss, penalty, optimizer, fit_intercept, transform = rule
    return sgd_multi.MultiRule(loss, penalty, optimizer, fit_intercept, n_outputs, transform)


_NOTHING = Block(None, np.empty(0), np.empty(0), np.empty(0), np.empty(0))


class _OneOutput:
    """Arrays and kernels for parameters of shape (n_features + 1,)."""

    def __init__(self, progress: Progress, size: int, is_sparse: bool) -> None:  # noqa: ARG002
        self.params = params = progress.params
        margin, target, weight = np.empty((3, size), params.dtype)
        arrays = (params, progress.state, np.zeros_like(params), margin, target, weight)
        self.memory = sgd.Memory(*arrays, progress.average, progress.residual, np.empty(1))

    def choose(self, *, by_rows: bool, repeats: bool) -> None:
        """Choose the kernel of ``run``."""
        self._repeats = repeats
        self._steps = sgd.sgd_rows if by_rows else sgd.sgd_batches

    def run(self, block: Block, rule: Any, plan: sgd.Plan, store: Any) -> Sums:
        if self._repeats:  # the kernel that is compiled in any case
            return Sums(*self.run_epochs(block, rule, plan, store, 1).sums[0].tolist())
        samples = sgd.Samples(block.y, block.weight, block.order)
        return Sums(*self._steps(block.rows, samples, rule, plan, self.memory, store))

    def run_epochs(
        self, block: Block, rule: Any, plan: sgd.Plan, store: Any, n_epochs: int
    ) -> Trace:
        samples = sgd.Samples(block.y, block.weight, block.order)
        iterates = np.empty((n_epochs, self.params.shape[0]), self.params.dtype)
        trace = sgd.Trace(np.empty((n_epochs, 3)), iterates)
        sgd.sgd_epochs(block.rows, samples, rule, plan, self.memory, store, trace)
        return Trace(*trace)

    def gradient(self, block: Block, rule: Any, plan: sgd.Plan) -> Sums:
        samples = sgd.Samples(block.y, block.weight, block.order)
        sums = gradient_of_rows(block.rows, samples, rule, plan, self.memory, Plain())
        return Sums(*map(float, sums))


class _ManyOutputs:
    """Arrays and kernels for parameters of shape (n_features + 1, n_outputs)."""

    def __init__(self, progress: Progress, size: int, is_sparse: bool) -> None:
        self.params = table = progress.params
        (n_rows, n_outputs), dtype, gradient = table.shape, table.dtype, np.zeros_like(table)
        block = (0, 0) if is_sparse else (min(size, BLOCK_ROWS), n_rows - 1)
        product = (0, 0) if is_sparse else (n_rows - 1, n_outputs)
        self.memory = sgd_multi.MultiMemory(
            params=table.reshape(-1),
            state=progress.state.reshape(progress.state.shape[0], table.size),
            gradient=gradient.reshape(-1),
            table=table,
            gradient_table=gradient,
            margin=np.empty((size, n_outputs), dtype),
            block=np.empty(block, dtype),
            product=np.empty(product, dtype),
            average=progress.average.reshape(-1),
            losses=np.zeros(n_outputs),
            penalties=np.zeros(n_outputs),
            residual=progress.residual.reshape(-1),
            clipped=np.zeros(n_outputs),
            costs=np.empty(n_outputs),
            totals=np.empty(n_outputs),
            shares=np.zeros(n_outputs, dtype),
        )

    def _samples(self, block: Block) -> sgd_multi.MultiSamples:
        return sgd_multi.MultiSamples(block.y, block.weight, block.order, block.positive_weight)

    def _from_zero(self) -> Sums:
        sums = Sums(self.memory.losses, self.memory.penalties, self.memory.clipped)
        for one in sums:
            one[:] = 0.0
        return sums

    def choose(self, *, by_rows: bool, repeats: bool) -> None:
        """Choose the kernel of ``run``: there is one."""

    def run(self, block: Block, rule: Any, plan: sgd.Plan, store: Any) -> Sums:
        sums = self._from_zero()
        sgd_multi.sgd_batches_multi(
            block.rows, self._samples(block), rule, plan, self.memory, store
        )
        return Sums(*(one.copy() for one in sums))

    def gradient(self, block: Block, rule: Any, plan: sgd.Plan) -> Sums:
        sums = self._from_zero()
        gradient_of_rows_multi(block.rows, self._samples(block), rule, plan, self.memory, Plain())
        return Sums(*(one.copy() for one in sums))
