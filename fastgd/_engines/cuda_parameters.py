"""The parameters of a training on a CUDA device, and what a gradient does to them.

A step queues drivers and waits for none; what the trainer looks at is read back once a call, all
sums and the flag that says whether the parameters are finite in one array.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastgd._engines.cuda_steps import Turn
from fastgd._parameters import resolve
from fastgd._training.progress import Progress
from fastgd.kernels import penalties

WHOLE = ("Prodigy", "Muon", "OfMatrices")  # those of ``kernels.cuda.whole``


class OnDevice(NamedTuple):
    """What outlives a step, on the device.

    params : (n_params,), of which those that are trained come first
    state : (n_slots, n_params)
    gradient : (n_trained,)
    average : (n_params,), float64, or (0,)
    residual : (n_trained,), or (0,)
    memory : steps.Memory, of what is trained
    """

    params: Any
    state: Any
    gradient: Any
    average: Any
    residual: Any
    memory: Any


class DeviceParameters:
    """Parameters on a device, and their steps.

    Parameters
    ----------
    rule : Rule or NetworkRule
        In the parameters' dtype.
    progress : Progress
        Whose arrays are copied there, and written when they are read back.
    n_trained, first_free : int
        How many parameters are trained, and the first of them without a penalty.
    n_outputs : int
        Outputs that have a loss of their own; 1 where they share one.
    n_columns : int
        Columns of the parameters, each of which has its sum of penalties.
    """

    def __init__(
        self,
        rule: Any,
        progress: Progress,
        *,
        n_trained: int,
        first_free: int,
        n_outputs: int,
        n_columns: int,
    ) -> None:
        from fastgd.kernels.cuda import memory, steps

        self._rule, self._progress = rule, progress
        self._n_columns, self._first_free = n_columns, first_free
        specs = (with_arrays_there(spec) for spec in (rule.loss, rule.penalty, rule.optimizer))
        size, dtype = progress.params.size, progress.params.dtype
        rate = dtype.type(rule.intercept_rate)
        self.rule = steps.Rule(*specs, rule.fit_intercept, rate)
        self._single = dtype == np.float32
        params = memory.upload(progress.params.reshape(-1))
        state = memory.upload(progress.state.reshape(progress.state.shape[0], size))
        costs, gradient = memory.zeros(n_trained), memory.zeros(n_trained, dtype)
        average = memory.upload(progress.average.reshape(-1))
        residual = memory.upload(progress.residual.reshape(-1)[:n_trained])
        self._reads_rows = bool(getattr(rule.optimizer, "reads_rows", False))
        is_tied = getattr(rule.penalty, "joint", False)
        lengths = memory.zeros(n_trained if is_tied else 0, dtype)
        self._groups = _groups_of(rule.penalty, n_trained, n_columns) if is_tied else None
        of_trained = steps.Memory(params[:n_trained], state, costs, lengths)
        self.there = OnDevice(params, state, gradient, average, residual, of_trained)
        self._places = n_outputs, n_outputs + n_columns  # of the sums of penalties, and of clipped
        self._report = memory.zeros(2 * n_outputs + n_columns + 1)
        n_sent = n_trained if rule.fit_intercept else first_free
        self._transform = _Transform(rule.transform, self.there, n_outputs, n_sent)
        self._whole = _whole_for(rule.optimizer, self)
        self.is_finite = True

    @property
    def gathers(self) -> bool:
        """Whether a step needs the gradient in one array, and not in lines."""
        return self._transform.acts or self._whole is not None or self._reads_rows

    @property
    def has_parts(self) -> bool:
        """Whether a step is more than what a thread does to one parameter by its gradient."""
        return self.gathers or self._groups is not None

    @property
    def report(self) -> Any:
        """The array on the device that is read back: losses, penalties, clipped steps, a flag."""
        return self._report

    def begin(self) -> None:
        """Set the sums of a call to zero."""
        from fastgd.kernels.cuda import vectors

        vectors.fill.spread(self._report.shape[0], self._report, 0.0)
        costs = self.there.memory.penalties
        vectors.fill.spread(costs.shape[0], costs, 0.0)

    def step(
        self, coefs: Any, t: int, size: int, unit: float, *, n_lines: int = 1, l2: float = 0.0
    ) -> Any:
        """Return what a driver is told of step t.

        Parameters
        ----------
        coefs : (n_steps, 4), on the device
        t : int
        size : int, rows of the batch
        unit : float, their mean weight
        n_lines : int, of the gradient
        l2 : float, of a penalty 1/2 l2 |w|^2 of the sum over a batch
        """
        from fastgd.kernels.cuda import steps

        number = self._progress.params.dtype.type
        share, strength = number(1.0 / (size * unit)), number(l2 / (size * unit))
        return steps.Step(coefs, t, share, size, n_lines, self._first_free, strength)

    def take(self, step: Any, partial: Any, turn: Turn) -> None:
        """Queue the step by a gradient in lines.

        Parameters
        ----------
        step : steps.Step
        partial : (n_lines or more, n_trained)
        turn : Turn
        """
        from fastgd.kernels.cuda import steps

        there = self.there
        if self.gathers:
            gradient = there.gradient
            gathered = (self.rule, step, partial, gradient, 0)
            steps.write_gradient.spread(gradient.shape[0], *gathered, single=self._single)
            self.take_gradient(step, turn)
            return
        self._update(step, partial, counts=True)
        self._add_to_average(turn)

    def take_gradient(self, step: Any, turn: Turn) -> None:
        """Queue the step by what lies in ``there.gradient``."""
        self.transform(step, turn)
        self.move(step, turn)

    def transform(self, step: Any, turn: Turn) -> None:
        """Queue what makes of the gradient of a batch that which a step goes by."""
        from fastgd.kernels.cuda import steps

        if not self.gathers:
            return
        params, gradient = self.there.memory.params, self.there.gradient
        if step.strength:
            steps.add_strength.spread(
                gradient.shape[0], step, params, gradient, single=self._single
            )
        clipped = self._report[self._places[1] : -1]
        self._transform(clipped, turn.seed, turn.number)

    def move(self, step: Any, turn: Turn, between: Any = None) -> None:
        """Queue the step by what ``transform`` has made.

        ``between``, a function of the step, is called before parameters are added to their average.
        """
        from fastgd.kernels.cuda import steps

        there = self.there
        gradient, size = there.gradient, there.gradient.shape[0]
        if self.gathers:  # the penalty is in the gradient
            self._add_penalties(step)
            step = step._replace(strength=step.strength * 0)
        if self._whole is not None:
            steps.add_pull.spread(size, self.rule, step, gradient, single=self._single)
            self._whole(step)
        else:
            line = gradient.reshape(1, size)
            self._update(step._replace(n_lines=1), line, counts=not self.gathers)
        if between is not None:
            between(step)
        self._add_to_average(turn)

    def _update(self, step: Any, partial: Any, *, counts: bool) -> None:
        """Queue the steps of all parameters, and what ties them together afterwards.

        An optimizer that reads rows has steps of its own for intercepts.
        """
        from fastgd.kernels.cuda import steps

        rule, own, groups = self.rule, self.there.memory, self._groups
        if self._reads_rows:
            rule = rule._replace(fit_intercept=False)
        if groups is not None:
            costs = (rule, step, own, groups)
            steps.add_costs_of_ties.spread(groups.count, *costs, single=self._single)
        updated = (rule, step, partial, own, counts)
        steps.update.spread(own.params.shape[0], *updated, single=self._single)
        if groups is not None:
            steps.tie.spread(groups.count, rule, own, groups, single=self._single)

    def _add_penalties(self, step: Any) -> None:
        from fastgd.kernels.cuda import steps

        there = self.there
        size = there.gradient.shape[0]
        steps.add_penalties.spread(size, self.rule, step, there.memory, single=self._single)

    def _add_to_average(self, turn: Turn) -> None:
        from fastgd.kernels.cuda import vectors

        if turn.averages:
            total = self.there.average
            vectors.add_to.spread(total.shape[0], self.there.params, total)

    def read_back(self, losses: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Copy to the host what the trainer looks at; return losses, penalties, clipped steps.

        Parameters
        ----------
        losses : (n_threads, n_outputs), float64, each thread's, on the device
        """
        from fastgd.kernels.cuda import memory, vectors
        from fastgd.kernels.cuda._compiler import BLOCK

        there, report, (first, second) = self.there, self._report, self._places
        vectors.add_up.launch(losses.shape[1], BLOCK, losses, report, 0)
        costs = there.memory.penalties.reshape(-1, self._n_columns)
        vectors.add_up.launch(self._n_columns, BLOCK, costs, report, first)
        last = report.shape[0] - 1
        flagged = (there.params, report, last)
        vectors.flag_what_is_not_finite.spread(there.params.shape[0], *flagged)
        sums = memory.download(report)
        self.is_finite = not sums[last]
        self._write(self._progress.params, there.params)
        self._write(self._progress.state, there.state)
        self._write(self._progress.average, there.average)
        self._write(self._progress.residual, there.residual)
        return sums[:first], sums[first:second], sums[second:last]

    def send(self) -> None:
        """Copy what the host has changed to the device."""
        from fastgd.kernels.cuda import memory

        there, progress = self.there, self._progress
        pairs = (there.params, progress.params), (there.state, progress.state)
        for array, values in (*pairs, (there.average, progress.average)):
            if values.size > 0:
                memory.overwrite(array, values.reshape(array.shape))

    @staticmethod
    def _write(values: NDArray[Any], array: Any) -> None:
        """Copy an array from the device, if there is anything in it.

        It may be shorter than ``values``. The state of sparse rows has the numbers of a coefficient
        side by side, so that it cannot be written as a flat array.
        """
        from fastgd.kernels.cuda import memory

        if array.size == 0:
            return
        found = memory.download(array).reshape(-1)
        if values.flags.c_contiguous:
            values.reshape(-1)[: array.size] = found
        else:
            values[...] = found.reshape(values.shape)


def _groups_of(penalty: Any, n_params: int, n_outputs: int) -> Any:
    """Return which parameters, (n_features + 1, n_outputs) in a row, a joint penalty ties."""
    from fastgd.kernels.cuda.steps import Groups

    found = penalties.ties(penalty)
    if found == penalties.OF_FEATURE:
        return Groups(n_params // n_outputs - 1, n_outputs, 2 * n_outputs, 1, n_outputs)
    if found == penalties.OF_OUTPUT:
        return Groups(n_outputs, 1, n_params, n_outputs, 1)
    return Groups(1, 0, n_params, 1, n_outputs)


def with_arrays_there(spec: Any) -> Any:
    """Return a spec whose arrays are on the device, and that a driver can be launched with.

    numba-cuda compiles for None, and then refuses to hand it over. What may be None says how the
    processor treats sparse rows, and no driver asks for it.
    """
    from fastgd.kernels.cuda import memory

    if isinstance(spec, np.ndarray):
        return memory.upload(spec)
    if spec is None:
        return False
    if hasattr(spec, "_fields"):
        return type(spec)(*map(with_arrays_there, spec))
    return spec


# -- clipping and quantizing -----------------------------------------------------------------------


class _Transform:
    """What happens to a gradient before the optimizer is handed it; see ``kernels.transforms``."""

    def __init__(self, spec: Any, there: OnDevice, n_problems: int, n_sent: int) -> None:
        from fastgd.kernels.cuda import memory, quantizers, vectors

        self._gradient, self.acts = there.gradient, not resolve.is_identity(spec)
        if not self.acts:
            return
        n_problems = 1 if spec.is_shared else n_problems
        clips = not resolve.is_identity(spec.clip)
        self._value = float(spec.clip.value) if clips else math.inf
        self._norm = float(spec.clip.norm) if clips else math.inf
        self._changed = memory.zeros(n_problems)
        self._factors = memory.zeros(n_problems, there.gradient.dtype)
        self._partial = memory.empty((vectors.SHARDS, 2 * n_problems))
        self._sent, self._residual = there.gradient[:n_sent], there.residual[:n_sent]
        self._compressor = quantizers.compressor_of(spec.quantize, self._sent)

    def __call__(self, clipped: Any, seed: np.uint64, number: Any) -> None:
        """Queue it, with random numbers that seed and step's number name."""
        if not self.acts:
            return
        if math.isfinite(self._value) or math.isfinite(self._norm):
            self._clip(clipped[: self._changed.shape[0]])
        self._compressor(self._sent, self._residual, seed, number)

    def _clip(self, clipped: Any) -> None:
        from fastgd.kernels.cuda import vectors
        from fastgd.kernels.cuda._compiler import BLOCK

        gradient, changed, factors = self._gradient, self._changed, self._factors
        size, n_problems = gradient.shape[0], changed.shape[0]
        if math.isfinite(self._value):
            vectors.limit.spread(size, self._value, gradient, changed)
        n_shards = min(-(-size // (BLOCK * n_problems)), vectors.SHARDS)
        partial = self._partial[:n_shards]
        vectors.add_squares.launch((n_shards, n_problems), BLOCK, gradient, partial)
        found = (partial, float(self._norm), changed, factors, clipped)
        vectors.write_factors.spread(n_problems, *found)
        if math.isfinite(self._norm):
            vectors.scale.spread(size, gradient, factors)


# -- optimizers that need the whole gradient -------------------------------------------------------


def has_form(optimizer: Any) -> bool:
    """Tell whether an optimizer can step on a device: all do whose steps are of one parameter.

    Those that need the whole gradient have drivers of their own.
    """
    if not resolve.steps_as_a_whole(optimizer):
        return True
    return type(optimizer).__name__ in WHOLE and type(optimizer).__module__.startswith("fastgd")


def _whole_for(optimizer: Any, parameters: DeviceParameters) -> Any:
    """Return what takes the step of an optimizer to which the whole gradient matters; else None."""
    if not resolve.steps_as_a_whole(optimizer):
        return None
    from fastgd.kernels.cuda import whole

    return whole.stepper_of(parameters.rule, optimizer, parameters.there)
