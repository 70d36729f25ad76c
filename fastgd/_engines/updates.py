"""How coefficients take their steps: which of ``fastgd.kernels.frames`` keeps them meanwhile."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgd._engines.protocol import ParameterLayout
from fastgd._parameters.resolve import in_dtype, is_identity
from fastgd._training.progress import Progress
from fastgd.kernels import frames, optimizers, penalties
from fastgd.kernels.optimizers import VELOCITY, skipped_steps_of
from fastgd.kernels.sgd import Rule

SMALL = 1e-3  # h l2 up to which four terms of log(1 - h l2) are exact, to 2e-13 of what is lost


class Updates:
    """How the coefficients are kept while steps are taken: see ``fastgd.kernels.frames``."""

    def __init__(
        self, rule: Rule, progress: Progress, layout: ParameterLayout, *, is_sparse: bool
    ) -> None:
        self._rule = rule
        averages = progress.average.size > 0
        coef = progress.params[layout.penalised]
        n_features = coef.shape[0]
        kind: Any = kind_of_frame(rule, averages=averages, sparse=is_sparse)
        self.kind = self._kind = kind
        self._plain = frames.Plain()
        self._behind = np.zeros(coef.size if averages else 0)
        if kind is frames.Tied:
            self._lengths = np.zeros(progress.params.size, progress.params.dtype)
        elif kind not in (frames.Plain, frames.Scaled, frames.Averaged):
            self._touched = np.zeros(n_features, np.int32)
        if kind in (frames.Lazy, frames.Stepped, frames.OwnLengths):
            self._seen = np.zeros(n_features, np.int64)
            self._owed = np.zeros(progress.params[layout.free].size)

    def everywhere(self) -> Any:
        """Return the frame for a step of all coefficients."""
        return frames.Tied(self._lengths) if self._kind is frames.Tied else self._plain

    def of_steps(self, step_coefficients: NDArray[np.float64]) -> Any:
        """Return the frame for steps with these coefficients."""
        if self._kind is frames.Plain:
            return self._plain
        if self._kind is frames.Tied:
            return frames.Tied(self._lengths)
        if self._kind in (frames.Scaled, frames.Averaged):
            return self._kind(np.array([1.0, 0.0]), self._behind)
        if self._kind in (frames.Gathered, frames.GatheredAveraged):
            return self._kind(np.array([1.0, 0.0]), self._behind, self._touched)
        if self._kind is frames.OwnLengths:
            return self._own_lengths(step_coefficients)
        times = self._times(step_coefficients)
        if self._kind is frames.Stepped or self._outshrinks_velocity(times):
            return frames.Stepped(self._touched, self._seen, times, step_coefficients, self._owed)
        coasts = self._coasts(step_coefficients, times)
        return frames.Lazy(self._touched, self._seen, times, coasts, self._owed)

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

    def _coasts(self, step_coefficients: NDArray[np.float64], times: NDArray[np.float64]) -> Any:
        """Return a further measure of the steps; see ``optimizers.SkippedSteps``."""
        optimizer = self._rule.optimizer
        if not hasattr(optimizer, "coasts"):
            return np.zeros(step_coefficients.shape[0] + 1)
        return type(optimizer).coasts(
            optimizer, _in_float64(self._rule.penalty), step_coefficients, times
        )

    def _own_lengths(self, step_coefficients: NDArray[np.float64]) -> frames.OwnLengths:
        """Return the frame with the power sums of a span."""
        penalty = _in_float64(self._rule.penalty)
        own = np.ascontiguousarray(step_coefficients[:, 0])
        times = np.zeros((step_coefficients.shape[0] + 1, 4))
        for k in range(4):
            np.cumsum(penalty.l2**k * own ** (k + 1) / (k + 1), out=times[1:, k])
        coasts = self._coasts(step_coefficients, times)
        longest = float(penalty.l2 * np.max(own))
        fastest = SMALL / longest if longest > 0 else np.inf
        return frames.OwnLengths(
            self._touched, self._seen, times, coasts, self._owed, own, float(fastest)
        )


def _in_float64(penalty: Any) -> Any:
    return in_dtype(penalty, np.dtype(np.float64))


def kind_of_frame(rule: Rule, *, averages: bool, sparse: bool) -> type:
    """Choose how coefficients are kept; each choice gives the same model, to rounding."""
    optimizer, penalty = rule.optimizer, rule.penalty
    transforms = not is_identity(rule.transform)
    if getattr(penalty, "joint", False):
        return frames.Tied
    if transforms and not is_identity(rule.transform.quantize):
        return frames.Plain  # what is sent, of all coordinates, is not zero where the gradient is
    skipped = skipped_steps_of(optimizer) if hasattr(penalty, "skip") else None
    if not sparse or skipped is None:
        return frames.Plain
    if getattr(optimizer, "is_plain", False) and penalties.is_linear(penalty):
        if transforms:
            return frames.GatheredAveraged if averages else frames.Gathered
        return frames.Averaged if averages else frames.Scaled
    if averages:
        return frames.Plain  # the mean of such paths has no closed form: every step, everywhere
    return _FRAMES[skipped](penalty)


def _of_own_length(penalty: Any) -> type:
    """Choose for steps of each coefficient's own length: by a series, if time has one."""
    return frames.OwnLengths if penalties.has_series(penalty) else frames.Plain


def _of_same_length(penalty: Any) -> type:
    """Choose for steps of one length, unless a penalty makes them longer for some coefficients."""
    return _of_own_length(penalty) if hasattr(penalty, "stretch") else frames.Lazy


def _of_velocity(penalty: Any) -> type:
    """Choose for velocities: their path under a penalty is a sum where that is linear."""
    if hasattr(penalty, "stretch"):
        return frames.Plain
    return frames.Lazy if penalties.is_linear(penalty) else frames.Stepped


def _of_moments(penalty: Any) -> type:
    """Choose for moments that fade: under a penalty each of its steps differs."""
    return frames.Lazy if penalties.is_zero(penalty) else frames.Plain


def _of_sums(penalty: Any) -> type:  # noqa: ARG001
    return frames.Lazy


_FRAMES: dict[str, Callable[[Any], type]] = {
    optimizers.SAME_LENGTH: _of_same_length,
    optimizers.OWN_LENGTH: _of_own_length,
    optimizers.VELOCITY: _of_velocity,
    optimizers.MOMENTS: _of_moments,
    optimizers.SUMS: _of_sums,
}
