"""How coefficients take their steps: which of ``fastgd.kernels.stores`` keeps them meanwhile."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgd._engines.protocol import ParameterLayout
from fastgd._parameters.resolve import in_dtype, is_identity
from fastgd._training.progress import Progress, spare_of
from fastgd.kernels import optimizers, penalties, stores
from fastgd.kernels.gathered import MOST_SLOTS, Gathered
from fastgd.kernels.optimizers import SAME_LENGTH, VELOCITY, skipped_steps_of
from fastgd.kernels.sgd import Rule

DENSE, SCALED = (stores.Plain, stores.Coupled), (stores.Scaled, stores.Averaged)
# How much longer they may be for eight terms of even steps, by the bytes of a number: the ninth is
# below 1e-9 (1e-17) of the first.
EVEN = {4: 100.0, 8: 8.0}
SMALL = 1e-3  # h l2 up to which four terms of log(1 - h l2) are exact, to 2e-13 of what is lost


class Updates:
    """How the coefficients are kept while steps are taken: see ``fastgd.kernels.stores``."""

    def __init__(
        self,
        rule: Rule,
        progress: Progress,
        layout: ParameterLayout,
        *,
        is_sparse: bool,
        batch_size: int = 1,
    ) -> None:
        self._rule = rule
        averages = progress.average.size > 0
        coef = progress.params[layout.penalised]
        self.kind = kind = kind_of_update(rule, averages=averages, sparse=is_sparse)
        if kind is stores.Coupled:
            self._dense: Any = stores.Coupled(np.zeros(progress.params.size, progress.params.dtype))
        else:
            self._dense = stores.Plain()
        self._behind = np.zeros(coef.size if averages else 0)
        if kind not in DENSE:
            self._touched = stores.Touched.of(coef.shape[0])
        if kind not in (*DENSE, *SCALED):
            self._seen = self._marks(progress, coef.shape[0])
            self._pending = np.zeros(progress.params[layout.free].size)
        # of a single row, what is the same for all coefficients is told sooner than gathered
        may_gather = kind is stores.OwnLengths or (batch_size > 1 and _is_of_one_length(kind, rule))
        self.gathers = may_gather and _can_gather(rule, progress)
        if self.gathers:
            self.kind = stores.OwnLengths
        if self.gathers:
            state = progress.state
            self._records, self._slots = Gathered.records_of(state), tuple(range(state.shape[0]))

    def _marks(self, progress: Progress, n_features: int) -> NDArray[np.int32]:
        """Return how many steps each column has taken, none between the runs of a kernel.

        Where a column's numbers are in records, it is beside them.
        """
        progress.lay_state_out(by_parameter=True)
        spare = spare_of(progress.state)
        if spare is None or spare.ndim > 1:
            return np.zeros(n_features, np.int32)
        return spare[:n_features]

    @property
    def touches_few(self) -> bool:
        """Whether a step reads and writes the coefficients of its rows alone."""
        return self.kind not in DENSE

    def everywhere(self) -> Any:
        """Return the store for a step of all coefficients."""
        return self._dense

    def of_steps(self, step_coefficients: NDArray[np.float64]) -> Any:
        """Return the store for steps with these coefficients."""
        if self.kind in DENSE:
            return self._dense
        if self.kind in SCALED:
            is_gathered = not is_identity(self._rule.transform)
            columns = self._touched if is_gathered else stores.Scattered()
            return self.kind(np.array([1.0, 0.0]), self._behind, columns)
        skipped = self._skipped(step_coefficients)
        if self.gathers:
            return skipped
        return stores.Lazy(self._touched, self._seen, self._pending, skipped)

    def _skipped(self, step_coefficients: NDArray[np.float64]) -> Any:
        """Return how skipped steps are made up for."""
        if self.kind is stores.OwnLengths:
            return self._own_lengths(step_coefficients)
        times = self._times(step_coefficients)
        if self.kind is stores.OneByOne or self._outshrinks_velocity(times):
            return stores.OneByOne(times, step_coefficients)
        return stores.ClosedForm(times, self._carries(step_coefficients, times))

    def _outshrinks_velocity(self, times: NDArray[np.float64]) -> bool:
        """Tell whether a step shrinks coefficients about as fast as momentum fades, or faster.

        The backward sum of what velocity is still worth, each term over a shrinkage, then grows
        without bound; steps that long are taken one by one.
        """
        optimizer, penalty = self._rule.optimizer, _in_float64(self._rule.penalty)
        if skipped_steps_of(optimizer) != VELOCITY:
            return False
        shrinkage = float(np.exp(-penalty.l2 * np.max(np.diff(times))))
        return shrinkage < (1.0 + float(optimizer.momentum)) / 2.0

    def _times(self, step_coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the penalty's time after each step."""
        times = np.zeros(step_coefficients.shape[0] + 1)
        optimizer = self._rule.optimizer
        if not hasattr(optimizer, "lengths"):
            np.cumsum(
                step_coefficients[:, 0], out=times[1:]
            )  # the sum of the rates: FTRL's measure
        else:
            lengths = type(optimizer).lengths(optimizer, step_coefficients)
            optimizers.cumulative_times(_in_float64(self._rule.penalty), lengths, times)
        return times

    def _carries(self, step_coefficients: NDArray[np.float64], times: NDArray[np.float64]) -> Any:
        """Return a further measure of the steps; see ``optimizers.SkippedSteps``."""
        optimizer = self._rule.optimizer
        if not hasattr(optimizer, "carries"):
            return np.zeros(step_coefficients.shape[0] + 1)
        return type(optimizer).carries(
            optimizer, _in_float64(self._rule.penalty), step_coefficients, times
        )

    def _own_lengths(self, step_coefficients: NDArray[np.float64]) -> Any:
        """Return the power sums of a chunk of steps, ``OwnLengths`` or ``InBlocks``."""
        optimizer, penalty = self._rule.optimizer, _in_float64(self._rule.penalty)
        own = np.ascontiguousarray(step_coefficients[:, 0])
        times = np.zeros((step_coefficients.shape[0] + 1, 4))
        for k in range(4):
            np.cumsum(penalty.l2**k * own ** (k + 1) / (k + 1), out=times[1:, k])
        carries = self._carries(step_coefficients, times)
        longest = float(penalty.l2 * np.max(own))
        fastest = SMALL / longest if longest > 0 else np.inf
        sums = (times, carries, own, float(fastest))
        is_even = bool(own.size > 0 and own.min() == own.max())
        if self.gathers:
            if is_even:
                fastest *= EVEN[self._records[0].dtype.itemsize]
            skipped = stores.OwnLengths(*sums)
            return Gathered(*self._records, skipped, is_even, float(fastest), self._slots)
        if not (getattr(optimizer, "side_by_side", False) and penalties.is_alike(penalty)):
            return stores.OwnLengths(*sums)
        block = np.zeros(stores.N_LINES * stores.IN_BLOCK)
        return stores.InBlocks(*sums, is_even, block, np.zeros(stores.IN_BLOCK, np.int64))


def _is_of_one_length(kind: type, rule: Rule) -> bool:
    """Tell whether steps of one length may be taken for each coefficient's own, which are 1.

    Without l2 their times are sums; with it, those of long steps would be added up one by one.
    """
    is_plain = skipped_steps_of(rule.optimizer) == SAME_LENGTH
    is_sum = penalties.has_series(rule.penalty) and rule.penalty.l2 == 0
    return kind is stores.ClosedForm and is_plain and is_sum


def _can_gather(rule: Rule, progress: Progress) -> bool:
    """Tell whether ``gathered_batches`` takes steps of each coefficient's own length."""
    optimizer = type(rule.optimizer)
    return (
        progress.params.ndim == 1
        and is_identity(rule.transform)
        and penalties.is_alike(rule.penalty)
        and getattr(rule.optimizer, "side_by_side", False)
        and not getattr(rule.optimizer, "reads_rows", False)
        and not hasattr(optimizer, "keep")
        and progress.state.shape[0] <= MOST_SLOTS
    )


def _in_float64(penalty: Any) -> Any:
    return in_dtype(penalty, np.dtype(np.float64))


def kind_of_update(rule: Rule, *, averages: bool, sparse: bool) -> type:
    """Choose how coefficients are kept; each choice gives the same model, to rounding.

    Returns ``Plain``, ``Coupled``, ``Scaled``, ``Averaged``, or how a ``Lazy`` store makes up
    for skipped steps.
    """
    optimizer, penalty = rule.optimizer, rule.penalty
    if getattr(penalty, "joint", False):
        return stores.Coupled
    if not is_identity(getattr(rule.transform, "quantize", rule.transform)):
        return stores.Plain  # what is sent, of all coordinates, is not zero where the gradient is
    skipped = skipped_steps_of(optimizer) if hasattr(penalty, "skip") else None
    if not sparse or skipped is None:
        return stores.Plain
    if getattr(optimizer, "is_plain", False) and penalties.is_linear(penalty):
        return stores.Averaged if averages else stores.Scaled
    if averages:
        return stores.Plain  # the mean of such paths has no closed form: every step, everywhere
    return _SKIPPED[skipped](penalty)


def _of_own_length(penalty: Any) -> type:
    """Choose for steps of each coefficient's own length: by a series, if time has one."""
    return stores.OwnLengths if penalties.has_series(penalty) else stores.Plain


def _of_same_length(penalty: Any) -> type:
    """Choose for steps of one length, unless a penalty makes them longer for some coefficients."""
    return _of_own_length(penalty) if hasattr(penalty, "penalty_factor") else stores.ClosedForm


def _of_velocity(penalty: Any) -> type:
    """Choose for velocities: their path under a penalty is a sum where that is linear."""
    if hasattr(penalty, "penalty_factor"):
        return stores.Plain
    return stores.ClosedForm if penalties.is_linear(penalty) else stores.OneByOne


def _of_moments(penalty: Any) -> type:
    """Choose for moments that fade: under a penalty each of its steps differs."""
    return stores.ClosedForm if penalties.is_zero(penalty) else stores.Plain


def _of_sums(penalty: Any) -> type:  # noqa: ARG001
    return stores.ClosedForm


_SKIPPED: dict[str, Callable[[Any], type]] = {
    optimizers.SAME_LENGTH: _of_same_length,
    optimizers.OWN_LENGTH: _of_own_length,
    optimizers.VELOCITY: _of_velocity,
    optimizers.MOMENTS: _of_moments,
    optimizers.SUMS: _of_sums,
}
