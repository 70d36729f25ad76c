"""The linear engine on a CUDA device: the same steps, queued one after the other.

Rows, parameters and the optimizer's state lie on the device while an epoch runs. The host queues
two drivers for each step (``fastgd.kernels.cuda.steps``) and waits for none; once a call of ``run``
it reads back what the trainer looks at. What is asked for seldom, the objective of all rows, is the
processor's.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._data.source import Block, Source
from fastgd._engines.linear import LinearEngine
from fastgd._engines.protocol import Gradient, Plan, Sums
from fastgd._training.progress import Progress
from fastgd.kernels import losses
from fastgd.kernels.rows import Dense
from fastgd.kernels.sgd import Rule


class _Held(NamedTuple):
    """Rows on the device, and what comes with them.

    key : what tells these rows from others: their places in the host's memory
    there : the host's arrays, which are kept so that no others come to lie in their places
    rows : Dense
    samples : steps.Samples
    """

    key: tuple[Any, ...]
    there: tuple[NDArray[Any], ...]
    rows: Dense
    samples: Any


class CudaLinearEngine(LinearEngine):
    """A linear model on a CUDA device, of dense rows.

    Parameters
    ----------
    rule : Rule
        Without a gradient's transform, its penalty not joint, its optimizer one of single
        coefficients.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self._held: _Held | None = None

    def allocate(self, progress: Progress, source: Source, batch_size: int) -> None:
        """Take the arrays of a training, and make those that it needs on the device."""
        from fastgd.kernels.cuda import memory, passes, steps

        super().allocate(progress, source, batch_size)
        self.repeats, self.uses_blas = False, False
        self._progress = progress
        n_outputs = 1 if progress.params.ndim == 1 else progress.params.shape[1]
        shape, dtype = (progress.params.shape[0], n_outputs), progress.params.dtype
        size = min(batch_size, source.n_rows)
        self._device_rule = steps.Rule(
            *map(_with_arrays_there, (self._rule.loss, self._rule.penalty, self._rule.optimizer)),
            self._rule.fit_intercept,
        )
        self._on_device = steps.Memory(
            memory.upload(progress.params.reshape(shape)),
            memory.upload(progress.state.reshape(progress.state.shape[0], progress.params.size)),
            memory.zeros(progress.params.size),
            memory.upload(progress.average.reshape(-1)),
        )
        n_blocks = passes.blocks_up_to(size, steps.MOST_BLOCKS)  # the last batch is smaller
        is_shared = losses.kind_of(self._rule.loss) == losses.MULTINOMIAL
        self._out = passes.Out(
            memory.zeros((n_blocks * passes.BLOCK, n_outputs)),
            memory.zeros((n_blocks * passes.GROUPS, progress.params.size), dtype),
            memory.zeros((size if is_shared else 0, n_outputs), dtype),
            memory.zeros(0, dtype),
        )
        self._gradient_driver = steps.gradient_shared if is_shared else steps.gradient_apart
        self._single = dtype == np.float32

    def run(self, block: Block, plan: Plan) -> Sums:
        """Take the steps of a plan; the host waits for the last one only."""
        from fastgd.kernels.cuda import memory, passes

        rows, samples = self._rows_of(block)
        order = memory.upload(np.asarray(block.order, np.int64))
        dtype = self._params.dtype.type
        coefs = memory.upload(plan.coefficients.astype(dtype))
        memory.overwrite(self._out.loss, np.zeros(self._out.loss.shape))
        memory.overwrite(self._on_device.penalties, np.zeros(self._params.size))
        for t in range(plan.coefficients.shape[0]):
            start = t * plan.batch_size
            stop = min(start + plan.batch_size, block.n_visited)
            self._queue_step(rows, samples, passes.Span(order, start, stop, 0), coefs, t, plan)
        return self._read_back()

    def _queue_step(
        self, rows: Any, samples: Any, span: Any, coefs: Any, t: int, plan: Plan
    ) -> None:
        """Queue the two drivers of a step."""
        from fastgd.kernels.cuda import passes, steps

        size = span.stop - span.start
        n_blocks, per_block = passes.grid_of(size, steps.MOST_BLOCKS)
        share = self._params.dtype.type(1.0 / (size * plan.unit))
        n_lines, averages = n_blocks * passes.GROUPS, t >= plan.average_from
        step = steps.Step(coefs, t, share, size, n_lines, bool(averages))
        span = span._replace(per_block=per_block)
        of_step = (self._device_rule, self._on_device.params, step, span, self._out)
        self._gradient_driver.launch(
            n_blocks, passes.BLOCK, rows, samples, *of_step, single=self._single
        )
        blocks = min(-(-self._params.size // passes.BLOCK), passes.MOST_BLOCKS)
        updated = (self._device_rule, step, self._out.partial, self._on_device)
        steps.update.launch(blocks, passes.BLOCK, *updated, single=self._single)

    def _rows_of(self, block: Block) -> tuple[Any, Any]:
        """Return a block's rows on the device, where they stay for further epochs.

        Raises
        ------
        MemoryError
            If they do not fit: what to do.
        """
        from fastgd.kernels.cuda import memory, steps

        values: NDArray[Any] = block.rows.values
        arrays = (values, block.y, block.weight)
        key = tuple((array.ctypes.data, array.shape) for array in arrays)
        if self._held is None or self._held.key != key:
            self._held = None  # its memory is free before more is asked for
            y = block.y if block.y.ndim == 2 else block.y[:, None]
            is_one = self._params.ndim == 1
            by_class = not is_one and block.y.ndim == 1 and not self.is_one_problem
            positive = np.asarray(block.positive_weight, self._params.dtype)
            weight = np.asarray(block.weight, self._params.dtype)
            try:
                sent = map(memory.upload, (y, weight, positive))
                samples = steps.Samples(*sent, by_class)
                self._held = _Held(key, arrays, Dense(memory.upload(values)), samples)
            except Exception as error:
                if not memory.is_out_of_memory(error):
                    raise
                raise MemoryError(
                    f"X takes {values.nbytes / 2**30:.3g} GiB, of which the device has "
                    f"{memory.free_bytes() / 2**30:.3g} free. Use device='cpu', or an estimator "
                    "without a learning rate, which is sent its rows in chunks."
                ) from error
        return self._held.rows, self._held.samples

    def _read_back(self) -> Sums:
        """Copy to the host what the trainer looks at; return the sums of the steps."""
        from fastgd.kernels.cuda import memory

        progress, there = self._progress, self._on_device
        progress.params[...] = memory.download(there.params).reshape(progress.params.shape)
        if progress.state.size > 0:
            state = memory.download(there.state)
            progress.state[...] = state.reshape(progress.state.shape)
        if progress.average.size > 0:
            average = memory.download(there.average)
            progress.average[...] = average.reshape(progress.average.shape)
        loss = memory.download(self._out.loss).sum(axis=0)
        penalty = memory.download(there.penalties).reshape(-1, loss.shape[0]).sum(axis=0)
        if progress.params.ndim == 1:
            return Sums(float(loss[0]), float(penalty[0]), 0.0)
        return Sums(loss, penalty, np.zeros_like(loss))

    def apply(self, gradient: Gradient, plan: Plan) -> None:
        """Take one step from a gradient, on the host; the device goes on from there."""
        from fastgd.kernels.cuda import memory

        super().apply(gradient, plan)
        there = self._on_device
        memory.overwrite(there.params, self._params.reshape(there.params.shape))
        if there.state.size > 0:
            memory.overwrite(there.state, self._progress.state.reshape(there.state.shape))


def _with_arrays_there(spec: Any) -> Any:
    """Return a spec whose arrays are on the device."""
    from fastgd.kernels.cuda import memory

    if isinstance(spec, np.ndarray):
        return memory.upload(spec)
    if hasattr(spec, "_fields"):
        return type(spec)(*map(_with_arrays_there, spec))
    return spec
