"""The linear engine on a CUDA device: the same steps, queued one after the other.

Rows, parameters and the optimizer's state lie on the device while an epoch runs. The host queues a
few drivers for each step (``fastgd.kernels.cuda``) and waits for none; once a call of ``run`` it
reads back what the trainer looks at. What is asked for seldom, the objective of all rows, is the
processor's.
"""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgd._data.source import Block, Source
from fastgd._engines.cuda_parameters import DeviceParameters
from fastgd._engines.cuda_rows import RowsOnDevice, Visit, lie_there
from fastgd._engines.cuda_steps import Turn, take_steps
from fastgd._engines.linear import LinearEngine
from fastgd._engines.protocol import Evaluation, Gradient, Plan, Sums
from fastgd._training.progress import Progress
from fastgd.kernels import losses
from fastgd.kernels.rows import Dense
from fastgd.kernels.sgd import Rule

ALL_STEPS = 1 << 40  # of an epoch are queued together
PERSISTS = True  # whether a launch may have many steps
# of a launch: a display's driver ends one after two seconds, and nothing else runs meanwhile
STEPS_AT_ONCE, BYTES_AT_ONCE = 1 << 12, 1 << 33


class _OnHost:
    """A source whose rows are in host memory: those on a device are copied."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def blocks(self) -> Iterator[Block]:
        """Yield all rows."""
        from fastgd.kernels.cuda import memory

        for block in self._source.blocks():
            rows = block.rows
            if lie_there(rows):
                block = block._replace(rows=Dense(memory.download(rows.values)))
            yield block


class CudaLinearEngine(LinearEngine):
    """A linear model on a CUDA device.

    Parameters
    ----------
    rule : Rule
        Its optimizer one that does not look at rows.
    """

    steps_at_once = ALL_STEPS

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self._rows: RowsOnDevice | None = None
        self._together: int | None = None

    def allocate(self, progress: Progress, source: Source, batch_size: int) -> None:
        """Take the arrays of a training, and make those that it needs on the device."""
        super().allocate(progress, source, batch_size)
        self.repeats, self.uses_blas = False, False
        params, is_one = progress.params, progress.params.ndim == 1
        n_outputs = 1 if is_one else params.shape[1]
        self._shape = params.shape[0], n_outputs
        if self._rows is None:
            by_class = not is_one and not self.is_one_problem
            sizes = {"n_features": params.shape[0] - 1, "dtype": params.dtype}
            self._rows = RowsOnDevice(by_class=by_class, **sizes)
        sizes = {"n_trained": params.size, "first_free": params.size - n_outputs}
        counts = {"n_outputs": n_outputs, "n_columns": n_outputs}
        self._there = DeviceParameters(self._rule, progress, **sizes, **counts)
        self._single = params.dtype == np.float32
        self._own_rates = self._of_rows_read(is_sparse=source.is_sparse)
        self._make_room(min(batch_size, source.n_rows), is_sparse=source.is_sparse)

    def _of_rows_read(self, *, is_sparse: bool) -> Any:
        """Return what queues steps without a learning rate; None where there is one."""
        if not getattr(self._rule.optimizer, "reads_rows", False):
            return None
        from fastgd.kernels.cuda.own_rates import OwnRates

        there = self._there
        return OwnRates(there.rule, self._rule.outputs, there.there, is_sparse=is_sparse)

    def _make_room(self, size: int, *, is_sparse: bool) -> None:
        """Make the arrays that passes over batches of up to ``size`` rows write."""
        from fastgd.kernels.cuda import memory, passes, steps

        n_columns, n_outputs = self._shape
        dtype = self._params.dtype
        self._is_shared = losses.kind_of(self._rule.loss) == losses.MULTINOMIAL
        n_blocks = passes.blocks_up_to(size, steps.MOST_BLOCKS)  # the last batch is smaller
        width = n_outputs * (1 if is_sparse else n_columns)
        keeps = is_sparse or self._is_shared or self._own_rates is not None
        n_kept = size if keeps else 0
        self._out = passes.Out(
            memory.zeros((n_blocks * passes.BLOCK, n_outputs)),
            memory.zeros((n_blocks * passes.GROUPS, width), dtype),
            memory.zeros((n_kept, n_outputs), dtype),
            memory.zeros(0, dtype),
        )
        self._units = memory.zeros((n_columns - 1 if is_sparse else 0, n_outputs), np.int64)
        self._largest = memory.zeros(n_outputs)

    def run(self, block: Block, plan: Plan) -> Sums:
        """Take the steps of a plan; the host waits for the last one only."""
        self._begin()
        coefs = self._coefs(plan)
        assert self._rows is not None
        for visit in self._rows.visits(block, plan.batch_size):
            most = self._most_together(visit, coefs, plan)
            if most > 0:
                self._steps_at_once(visit, coefs, plan, most)
                continue
            if self._own_rates is not None:
                self._own_rates.make_room(visit.sent, plan.batch_size)
            take_steps(functools.partial(self._step, visit, coefs, plan), visit, plan)
        return self._read_back()

    def _begin(self) -> None:
        from fastgd.kernels.cuda import vectors

        self._there.begin()
        losses_of_threads = self._out.loss.reshape(-1)
        vectors.fill.spread(losses_of_threads.shape[0], losses_of_threads, 0.0)
        if self._own_rates is not None:
            self._own_rates.begin()

    def _coefs(self, plan: Plan) -> Any:
        from fastgd.kernels.cuda import memory

        return memory.upload(plan.coefficients.astype(self._params.dtype))

    def _step(self, visit: Visit, coefs: Any, plan: Plan, turn: Turn) -> None:
        """Queue a step: the batch's gradient, and what it does to the parameters."""
        from fastgd.kernels.cuda import passes, steps

        size, sent = turn.size, visit.sent
        n_blocks, per_block = passes.grid_of(size, steps.MOST_BLOCKS)
        n_lines = n_blocks * passes.GROUPS
        step = self._there.step(coefs, turn.t, size, plan.unit, n_lines=n_lines)
        span = passes.Span(visit.order, turn.start, turn.stop, per_block)
        given = steps.Batch(sent.samples, self._there.rule, step)
        params = self._there.there.params.reshape(self._shape)
        driver = passes.pass_shared if self._is_shared else passes.pass_apart
        if self._own_rates is not None:
            self._own_rates.look(sent, span)
        met = (sent.rows, sent.dense, given, params, span, self._out)
        driver.launch(n_blocks, passes.BLOCK, *met, single=self._single)
        if sent.rows.is_sparse:
            self._gather(sent, span, step)
        elif self._own_rates is not None:
            gathered = (self._there.rule, step, self._out.partial, self._there.there.gradient, 0)
            steps.write_gradient.spread(params.size, *gathered, single=self._single)
        if self._own_rates is not None:
            self._step_by_own_rates(step, span, plan, turn)
        elif sent.rows.is_sparse:
            self._there.take_gradient(step, turn)
        else:
            self._there.take(step, self._out.partial, turn)

    def _step_by_own_rates(self, step: Any, span: Any, plan: Plan, turn: Turn) -> None:
        """Queue what a batch's gradient does to the parameters without a learning rate."""
        there, own = self._there, self._own_rates
        own.learn(self._out, step.size)
        own.centre()
        there.transform(step, turn)
        adapted = own.adapt(step, span, plan.unit)
        there.move(adapted, turn, between=own.step_intercepts)

    def _most_together(self, visit: Visit, coefs: Any, plan: Plan) -> int:
        """Return how many blocks take steps together in one launch; 0 where each step has its own.

        Steps of the second kind have more parts than a pass and an update of each parameter.
        """
        if visit.sent.rows.is_sparse or self._there.has_parts or not PERSISTS:
            return 0
        if self._together is None:
            from fastgd.kernels.cuda import epoch, passes

            taken = self._of_epoch(visit, coefs, plan, (0, 1))
            together = epoch.epoch_steps.most_together(passes.BLOCK, *taken, single=self._single)
            self._together = together
        return self._together

    def _of_epoch(self, visit: Visit, coefs: Any, plan: Plan, span: tuple[int, int]) -> Any:
        """Return what a launch of the steps from ``span[0]`` to ``span[1]`` is told."""
        from fastgd.kernels.cuda import epoch

        size, last = plan.batch_size, visit.n_visited - (visit.n_steps - 1) * plan.batch_size
        usual = self._there.step(coefs, visit.first, min(size, visit.n_visited), plan.unit)
        ending = self._there.step(coefs, visit.first, last, plan.unit)
        own, average = self._there.there.memory, self._there.there.average
        table = own.params.reshape(self._shape)
        where = (table, average, visit.order, visit.n_visited, size, *span)
        steps = epoch.Epoch(*where, usual, ending, int(min(plan.average_from, ALL_STEPS)))
        return visit.sent.rows, visit.sent.samples, self._there.rule, steps, own, self._out

    def _steps_at_once(self, visit: Visit, coefs: Any, plan: Plan, most: int) -> None:
        """Queue the steps of a visit, many in a launch."""
        from fastgd.kernels.cuda import epoch, passes, steps

        size = min(plan.batch_size, visit.n_visited)
        n_blocks, _ = passes.grid_of(size, min(most, steps.MOST_BLOCKS))
        of_batch = max(size * visit.sent.rows.values.shape[1] * self._params.itemsize, 1)
        at_once = max(min(BYTES_AT_ONCE // of_batch, STEPS_AT_ONCE), 1)
        for first in range(0, visit.n_steps, at_once):
            span = first, min(first + at_once, visit.n_steps)
            arguments = self._of_epoch(visit, coefs, plan, span)
            epoch.epoch_steps.launch(n_blocks, passes.BLOCK, *arguments, single=self._single)

    def _gather(self, sent: Any, span: Any, step: Any) -> None:
        """Queue the sums of a batch's sparse columns."""
        from fastgd.kernels.cuda import passes, sparse, steps

        gradient, largest = self._there.there.gradient, self._largest
        n_outputs, first = self._shape[1], step.first_free
        slopes, size = self._out.slopes, step.size
        sparse.largest_of_columns.launch(n_outputs, passes.BLOCK, slopes, size, largest)
        added = (sent.rows, span, slopes, largest, sent.peaks, self._units)
        n_blocks = min(-(-size // passes.GROUPS), passes.MOST_BLOCKS)
        sparse.scatter.launch(n_blocks, passes.BLOCK, *added)
        units = (self._units, largest, sent.peaks, size, gradient, 0)
        sparse.from_units.spread(max(first, 1), *units)
        intercepts = (self._there.rule, step, self._out.partial, gradient, first)
        steps.write_gradient.spread(n_outputs, *intercepts, single=self._single)

    def _read_back(self) -> Sums:
        """Return the sums of the steps, as numbers or of each output."""
        of_batches = self._out.loss if self._own_rates is None else self._own_rates.loss
        sums = self._there.read_back(of_batches)
        return Sums(*((float(one[0]) for one in sums) if self._params.ndim == 1 else sums))

    def evaluate(self, source: Source, params: NDArray[Any]) -> Evaluation:
        """Return the objective of all rows, and its gradient, computed on the host."""
        return super().evaluate(_OnHost(source), params)

    def objective(self, source: Source, params: NDArray[Any]) -> float:
        """Return the objective of all rows, computed on the host."""
        return super().objective(_OnHost(source), params)

    def is_finite(self) -> bool:
        """Tell whether all parameters are finite numbers: a flag of the device's."""
        return self._there.is_finite

    def apply(self, gradient: Gradient, plan: Plan) -> None:
        """Take one step from a gradient, on the host; the device goes on from there."""
        super().apply(gradient, plan)
        self._there.send()
