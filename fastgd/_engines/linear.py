"""The linear engine: raw = X W + b, by the fused kernels of ``fastgd.kernels.sgd``.

What differs between one output and many is in ``fastgd.kernels.outputs``.
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
from fastgd._engines.shards import LEAST_SHARED, Shards, entries_of_row, n_shards_of_rows
from fastgd._engines.updates import Updates
from fastgd._parameters import resolve
from fastgd._training.progress import Progress
from fastgd.kernels import optimizers, sgd
from fastgd.kernels.dense_rows import ROWS_TOGETHER, AheadScratch
from fastgd.kernels.gathered import GatheredScratch, gathered_batches
from fastgd.kernels.gradient import gradient_of_rows, objective_of_rows, step_from_gradient
from fastgd.kernels.optimizers import Sgd
from fastgd.kernels.outputs import EARLIER, ManyOutputs, ManyScratch, OneScratch
from fastgd.kernels.penalties import is_alike, is_square
from fastgd.kernels.rate_free import rate_free_batches
from fastgd.kernels.rate_free_rows import RowScratch, rate_free_rows
from fastgd.kernels.sgd import Rule
from fastgd.kernels.stores import Coupled, Plain, Scaled
from fastgd.kernels.whole import whole_batches, whole_step

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
        self._cast: Any = (None, None)  # step coefficients, and the same in X's dtype
        self._room_for: Any = None  # pointers of the rows that there is scratch for

    def allocate(self, progress: Progress, source: Source, batch_size: int) -> None:
        """Take the arrays of a training, and make those that it needs besides."""
        size = min(batch_size, source.n_rows)
        reads_rows = getattr(self._asked.optimizer, "reads_rows", False)  # of the whole batch
        n_shards = 1 if reads_rows else n_shards_of_rows(source, size)
        self._allocate(progress, source, batch_size, n_shards)

    def _allocate(self, progress: Progress, source: Source, batch_size: int, n_shards: int) -> None:
        """Do so for batches of up to ``n_shards`` shards."""
        params, dtype = progress.params, progress.params.dtype
        if self._rule is None:
            self._resolve(params.shape, dtype)
        resolve.start_within(self._asked.penalty, params, self.layout)
        self._remember(progress)
        self.uses_blas = params.ndim == 2 or batch_size > 1
        self._params, is_sparse = params, source.is_sparse
        touches_few = is_sparse and n_shards == 1  # a batch with shards has nearly all columns
        self._updates = Updates(
            self._rule, progress, self.layout, is_sparse=touches_few, batch_size=batch_size
        )
        progress.lay_state_out(by_parameter=self._updates.touches_few)
        rows = -(-min(batch_size, source.n_rows) // n_shards)
        self._memory, self._room_for = _memory_of(progress, rows, is_sparse=is_sparse), None
        if batch_size == 1 and not is_sparse and self._looks_ahead(params):
            scratch = AheadScratch.of(params.shape[0] - 1, dtype)
            margin = np.empty(ROWS_TOGETHER, dtype)
            self._memory = self._memory._replace(margin=margin, scratch=scratch)
        self._shards = None
        if n_shards > 1:
            self._entries_of_row = entries_of_row(source)
            self._shards = Shards(
                self._memory, n_shards, rows, lambda: _of_thread(progress, rows, is_sparse)
            )
        self._choose_kernel(progress, batch_size, is_sparse=is_sparse)
        self._coefficient_dtype = dtype

    def _choose_kernel(self, progress: Progress, batch_size: int, *, is_sparse: bool) -> None:
        """Choose what takes the steps."""
        everywhere = self._updates.kind in (Plain, Coupled) and is_sparse
        one = progress.params.ndim == 1
        by_rows = one and batch_size == 1 and not everywhere and not self._quantizes
        has_state = progress.state.size > 0 or progress.average.size > 0
        self.repeats = by_rows and self._updates.kind in (Plain, Scaled) and not has_state
        self._is_whole = resolve.steps_as_a_whole(self._rule.optimizer)
        self._steps = sgd.sgd_rows if by_rows else sgd.sgd_batches
        if self._is_whole:
            self._steps, self.repeats = whole_batches, False
        elif getattr(self._rule.optimizer, "reads_rows", False):
            is_plain = resolve.is_identity(self._rule.transform)
            of_rows = by_rows and is_sparse and is_plain and is_alike(self._rule.penalty)
            self._steps, self.repeats = rate_free_rows if of_rows else rate_free_batches, False
        elif self._updates.gathers:
            self._steps = gathered_batches

    def _looks_ahead(self, params: NDArray[Any]) -> bool:
        """Tell whether steps on single dense rows take their raw predictions ahead."""
        rule = self._rule
        return (
            params.ndim == 1
            and bool(getattr(rule.optimizer, "is_plain", False))
            and is_square(rule.penalty)
            and resolve.is_identity(rule.transform)
        )

    def _resolve(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Make of the rule what kernels of this dtype take."""
        rule = self._asked
        resolve.check_together(rule.loss, rule.penalty, rule.optimizer)
        self.is_one_problem = len(shape) == 1 or hasattr(rule.loss, "gradient_row")
        penalty = resolve.simplest(resolve.spread(rule.penalty, shape))
        specs = [resolve.in_dtype(spec, dtype) for spec in (rule.loss, penalty, rule.optimizer)]
        self._rule = Rule(
            *specs,
            rule.fit_intercept,
            resolve.transform_in_dtype(rule.transform, dtype, is_shared=self.is_one_problem),
            intercept_rate=rule.intercept_rate,
        )
        if len(shape) == 2:
            self._rule = self._rule._replace(outputs=ManyOutputs(shape[1]))
        matrices = [(0, shape[0] - 1, shape[1])] if len(shape) == 2 else []
        optimizer = resolve.with_matrices(self._rule.optimizer, matrices)
        self._rule = self._rule._replace(optimizer=optimizer)

    def _remember(self, progress: Progress) -> None:
        """Give a quantizer with error feedback its residual, unless it has one; take it else."""
        feeds_back = self._quantizes and self._rule.transform.quantize.feeds_back
        shape = progress.params.shape if feeds_back else (0,)
        if progress.residual.shape != shape:
            progress.residual = np.zeros(shape)
        progress.residual = progress.residual.astype(progress.params.dtype, copy=False)

    @property
    def follows_rates(self) -> bool:
        """Whether step coefficients depend on the rates alone."""
        return optimizers.follows_rates(self._rule.optimizer)

    def step_coefficients(self, rates: NDArray[np.float64], first_step: int) -> NDArray[np.float64]:
        """Return what does not depend on the parameters of the steps at these rates, row by row."""
        optimizer = self._rule.optimizer
        coefficients: NDArray[np.float64] = type(optimizer).step_coefficients(
            optimizer, rates, first_step
        )
        self._cast = None, None  # of what may be the same array, filled anew
        # plans have slices of it, by whose base ``_in_own_dtype`` knows them
        return coefficients if coefficients.base is None else coefficients.copy()

    def run(self, block: Block, plan: Plan) -> Sums:
        """Take the steps of a plan: gradient, transform and step in one pass over the rows."""
        if self.repeats:  # the kernel that is compiled in any case
            return Sums(*self.run_epochs(block, plan, 1).sums[0].tolist())
        self._memory.sums[...] = 0.0
        if self._steps in (rate_free_rows, gathered_batches):
            self._fit_scratch(block, plan)
        arguments = (block.rows, _samples(block), self._rule, self._kernel_plan(block, plan))
        store = self._updates.of_steps(plan.coefficients)
        if self._shards is None:
            self._steps(*arguments, self._memory, store)
        else:
            is_short = block.n_visited * self._entries_of_row < LEAST_SHARED
            self._shards.run(lambda own: self._steps(*arguments, own, store), is_short=is_short)
        return self._sums()

    def _fit_scratch(self, block: Block, plan: Plan) -> None:
        """Have scratch for the entries of these rows, of any batch of them."""
        if block.rows.indptr is self._room_for:
            return
        self._room_for = block.rows.indptr
        lengths, scratch = np.diff(self._room_for), self._memory.scratch
        if self._steps is rate_free_rows:
            scratch = RowScratch.of(int(lengths.max(initial=0)))
        else:
            size = min(plan.batch_size, lengths.size)
            most = int(np.partition(lengths, -size)[-size:].sum()) if size > 0 else 0
            # a row that repeats columns, although its matrix says it does not, must find room
            widest = max(self._params.shape[0] - 1, int(lengths.max(initial=0)))
            scratch = GatheredScratch.of(*scratch[:2], most, widest)
        self._memory = self._memory._replace(scratch=scratch)

    def run_epochs(self, block: Block, plan: Plan, n_epochs: int) -> Trace:
        """Take the steps of several epochs, whose rows are in one block, one after the other."""
        n_rows = plan.coefficients.shape[0]  # in batches of one
        arguments = (_samples(block), self._rule, self._kernel_plan(block, plan, n_rows))
        iterates = np.empty((n_epochs, self._params.shape[0]), self._params.dtype)
        trace = sgd.Trace(np.empty((n_epochs, 3)), iterates)
        store = self._updates.of_steps(plan.coefficients)
        sgd.sgd_epochs(block.rows, *arguments, self._memory, store, trace)
        return Trace(*trace)

    def _sums(self) -> Sums:
        """Return what kernels have added up, as numbers or of each output."""
        sums = self._memory.sums[:3]
        return Sums(*(sums[:, 0].tolist() if self._params.ndim == 1 else sums.copy()))

    def _kernel_plan(self, block: Block, plan: Plan, n_visited: int | None = None) -> sgd.Plan:
        return sgd.Plan(
            plan.batch_size,
            block.n_visited if n_visited is None else n_visited,
            self._in_own_dtype(plan.coefficients),
            plan.unit,
            plan.average_from,
            plan.seed,
            plan.first_step,
        )

    def _in_own_dtype(self, coefficients: NDArray[np.float64]) -> NDArray[Any]:
        """Return step coefficients in X's dtype; those of steps that are alike are cast once."""
        whole = coefficients if coefficients.base is None else coefficients.base
        if whole.ndim != 2 or self._coefficient_dtype == np.float64:
            return coefficients.astype(self._coefficient_dtype, copy=False)
        if self._cast[0] is not whole:
            self._cast = whole, whole.astype(self._coefficient_dtype)
        first = (coefficients.ctypes.data - whole.ctypes.data) // whole.strides[0]
        return self._cast[1][first : first + coefficients.shape[0]]

    def gradient(self, block: Block, plan: Plan) -> Gradient:
        """Return the transformed gradient of a batch, of a plan of one step."""
        sums = self._add_gradient(block, plan)
        values = self._memory.gradient.copy()
        self._memory.gradient[...] = 0
        return Gradient(values, sums._replace(penalty=block.n_visited * sums.penalty))

    def _add_gradient(self, block: Block, plan: Plan) -> Sums:
        """Add the gradient of a batch to that in memory; the penalty is counted once."""
        self._memory.sums[...] = 0.0
        arguments = (_samples(block), self._rule, self._kernel_plan(block, plan), self._memory)
        gradient_of_rows(block.rows, *arguments, Plain())
        return self._sums()

    def apply(self, gradient: Gradient, plan: Plan) -> None:
        """Take one step from a gradient."""
        self._memory.gradient[...] = gradient.values
        self._step_from_gradient(plan)

    def _step_from_gradient(self, plan: Plan) -> None:
        kernel_plan = self._kernel_plan(_NOTHING, plan)
        step = whole_step if self._is_whole else step_from_gradient
        step(self._rule, kernel_plan, self._memory, self._updates.everywhere())

    def evaluate(self, source: Source, params: NDArray[Any]) -> Evaluation:
        """Return the objective of all rows, and its gradient."""
        plain, progress = self._to_evaluate(source, params)
        length = 1.0 / max(1.0, 2.0 * resolve.largest_l2(self._asked.penalty))
        step = Plan(1, plain.step_coefficients(np.array([length]), 1), 1, 1, 0, source.unit)
        loss, cost = plain._add_up(source, step)
        before = progress.params.copy()
        plain._step_from_gradient(step)
        return Evaluation(
            loss / source.unit / source.n_rows, cost, (before - progress.params) / length
        )

    def objective(self, source: Source, params: NDArray[Any]) -> float:
        """Return the objective of all rows alone."""
        if params.ndim > 1:
            found = self.evaluate(source, params)
            return found.loss + found.penalty
        plain, _ = self._to_evaluate(source, params)
        loss = penalty = 0.0
        for block in source.blocks():
            given = plain._rule, plain._memory.params, block.n_visited
            of_block, penalty = objective_of_rows(block.rows, _samples(block), *given)
            loss += of_block
        return float(loss / source.unit / source.n_rows + penalty)

    def _to_evaluate(self, source: Source, params: NDArray[Any]) -> tuple["LinearEngine", Progress]:
        """Return what evaluates the objective: plain gradient descent, at some parameters."""
        loss, penalty, fit_intercept = (
            self._asked.loss,
            self._asked.penalty,
            self._asked.fit_intercept,
        )
        plain = LinearEngine(Rule(loss, penalty, Sgd(), fit_intercept))
        progress = Progress.begin(params, Sgd(), average=False, seed=0)
        plain._allocate(progress, source, min(source.n_rows, EVALUATED_ROWS), n_shards=1)
        return plain, progress

    def _add_up(self, source: Source, step: Plan) -> tuple[float, float]:
        """Leave the gradient of all rows in memory; return the sum of losses, and the penalty."""
        loss = penalty = 0.0
        gradient = self._memory.gradient
        gathered = np.zeros_like(gradient)
        for block in source.blocks():
            sums = self._add_gradient(block, step)
            loss += total(sums.loss)
            penalty = total(sums.penalty)
            gathered += block.n_visited / source.n_rows * gradient
            gradient[...] = 0
        gradient[...] = gathered
        return loss, penalty

    def parameters(self) -> NDArray[Any]:
        """Return the parameters in host memory, a copy."""
        return self._params.copy()

    @property
    def has_rate(self) -> bool:
        """Whether the user's ``eta0`` is a factor of the steps."""
        facts = ("finds_rate", "rate_is_constant")
        return not all(getattr(self._asked.optimizer, fact, None) for fact in facts)

    def is_finite(self) -> bool:
        """Tell whether all parameters are finite numbers, and what is known of the rows, too."""
        if not is_finite(self._memory.params):
            return False
        if not getattr(self._asked.optimizer, "reads_rows", False):
            return True
        if self._steps is rate_free_rows:  # which has looked
            return bool(np.isfinite(self._memory.sums[EARLIER, 0]))
        return is_finite(self._memory.state.ravel("K"))

    def last_decay(self, coefficients: NDArray[np.float64]) -> float:
        """Return which share of a coefficient the last step's decay asks for; 0 if unknown."""
        optimizer = self._asked.optimizer
        strength = resolve.largest_l2(self._asked.penalty)
        if strength == 0.0 or not hasattr(optimizer, "lengths"):
            return 0.0
        return float(type(optimizer).lengths(optimizer, coefficients[-1:])[0]) * strength


_NOTHING = Block(None, np.empty(0), np.empty(0), np.empty(0), np.empty(0))


def _samples(block: Block) -> sgd.Samples:
    return sgd.Samples(block.y, block.weight, block.order, block.positive_weight)


def _memory_of(progress: Progress, rows: int, *, is_sparse: bool) -> sgd.Memory:
    """Return the arrays of a training, and those that its kernels need besides.

    rows : int, of a batch, or of a shard of it
    """
    params, dtype = progress.params, progress.params.dtype
    n_outputs = 1 if params.ndim == 1 else params.shape[1]
    return sgd.Memory(
        params=params.reshape(-1),
        state=progress.state.reshape(progress.state.shape[0], params.size),
        gradient=np.zeros(params.size, dtype),
        average=progress.average.reshape(-1),
        residual=progress.residual.reshape(-1),
        sums=np.zeros((8, n_outputs)),
        shares=np.zeros(n_outputs, np.float64 if params.ndim == 1 else dtype),
        **_of_thread(progress, rows, is_sparse),
    )


def _of_thread(progress: Progress, rows: int, is_sparse: bool) -> dict[str, Any]:
    """Return the arrays that each thread has of its own."""
    params, dtype = progress.params, progress.params.dtype
    if params.ndim == 1:
        margin, *of_rows = np.empty((3, rows), dtype)
        return {"margin": margin, "scratch": OneScratch(*of_rows)}
    n_features, n_outputs = params.shape[0] - 1, params.shape[1]
    block = (0, 0) if is_sparse else (min(rows, BLOCK_ROWS), n_features)
    product = (0, 0) if is_sparse else (n_features, n_outputs)
    scratch = ManyScratch(params, np.empty(block, dtype), np.empty(product, dtype))
    return {"margin": np.empty((rows, n_outputs), dtype), "scratch": scratch}
