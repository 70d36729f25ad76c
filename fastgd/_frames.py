"""Which frame (``fastgd.kernels.frames``) keeps the coefficients while a rule takes its steps."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgd._progress import Progress
from fastgd._resolve import in_dtype
from fastgd.kernels import frames, optimizers, penalties
from fastgd.kernels.optimizers import LazyAdam, Momentum, Sgd, backward_coasts
from fastgd.kernels.sgd import Rule
from fastgd.kernels.transforms import Identity


class Frames:
    """How the coefficients are kept during a span: see ``fastgd.kernels.frames``."""

    def __init__(self, rule: Rule, rows: Any, progress: Progress) -> None:
        self._rule = rule
        averages = progress.average.size > 0
        n_features = progress.params.shape[0] - 1
        kind: Any = kind_of_frame(rule, averages=averages, sparse=rows.is_sparse)
        self._kind = kind
        self._behind = np.zeros(progress.params[:-1].size if averages else 0)
        if kind not in (frames.Plain, frames.Scaled, frames.Averaged):
            self._touched = np.zeros(n_features, np.int32)
        if kind in (frames.Lazy, frames.Stepped):
            self._seen = np.zeros(n_features, np.int64)
            self._owed = np.zeros(progress.params[-1].size)

    def of_span(self, paces: NDArray[np.float64]) -> Any:
        """Return the frame for a span of steps with these paces."""
        if self._kind is frames.Plain:
            return frames.Plain()
        if self._kind in (frames.Scaled, frames.Averaged):
            return self._kind(np.array([1.0, 0.0]), self._behind)
        if self._kind in (frames.Gathered, frames.GatheredAveraged):
            return self._kind(np.array([1.0, 0.0]), self._behind, self._touched)
        times = self._times(paces)
        if self._kind is frames.Stepped or self._outshrinks_velocity(times):
            return frames.Stepped(self._touched, self._seen, times, paces, self._owed)
        coasts = self._coasts(paces, times)
        return frames.Lazy(self._touched, self._seen, times, coasts, self._owed)

    def _outshrinks_velocity(self, times: NDArray[np.float64]) -> bool:
        """Tell whether a step shrinks coefficients about as fast as momentum fades, or faster.

        The backward sum of what velocity is still worth, each term over a shrinkage, then grows
        without bound; steps that long are taken one by one.
        """
        optimizer, penalty = self._rule.optimizer, _in_float64(self._rule.penalty)
        if not isinstance(optimizer, Momentum):
            return False
        shrinkage = float(np.exp(-penalty.l2 * np.max(np.diff(times))))
        return shrinkage < (1.0 + float(optimizer.momentum)) / 2.0

    def _times(self, paces: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the penalty's time after each step."""
        times = np.zeros(paces.shape[0] + 1)
        if isinstance(self._rule.optimizer, LazyAdam):
            np.cumsum(paces[:, 0], out=times[1:])  # each coefficient has a clock of its own speed
        else:
            lengths = type(self._rule.optimizer).lengths(self._rule.optimizer, paces)
            optimizers.cumulative_times(_in_float64(self._rule.penalty), lengths, times)
        return times

    def _coasts(self, paces: NDArray[np.float64], times: NDArray[np.float64]) -> Any:
        """Return how far velocity carries from each step on; nothing without momentum."""
        coasts = np.zeros(paces.shape[0] + 1)
        optimizer = self._rule.optimizer
        if isinstance(optimizer, Momentum):
            momentum = float(optimizer.momentum)
            reach = paces[:, 0] * momentum * (momentum if optimizer.nesterov else 1.0)
            penalty = _in_float64(self._rule.penalty)
            backward_coasts(penalty, momentum, reach, times, coasts)
        return coasts


def _in_float64(penalty: Any) -> penalties.ElasticNet:
    return in_dtype(penalty, np.dtype(np.float64))


def kind_of_frame(rule: Rule, *, averages: bool, sparse: bool) -> type:
    """Choose how coefficients are kept; each choice gives the same model, to rounding."""
    absolute = rule.penalty.l1 > 0
    transforms = not isinstance(rule.transform, Identity)
    if transforms and not isinstance(rule.transform.quantize, Identity):
        return frames.Plain  # what is sent, of all coordinates, is not zero where the gradient is
    if not sparse or not hasattr(rule.optimizer, "catch_up"):  # Adam has no closed form of a rest
        return frames.Plain
    if isinstance(rule.optimizer, Sgd) and not absolute and transforms:
        return frames.GatheredAveraged if averages else frames.Gathered
    if isinstance(rule.optimizer, Sgd) and not absolute:
        return frames.Averaged if averages else frames.Scaled
    if averages:
        return frames.Plain  # the mean of such paths has no closed form: every step, everywhere
    if isinstance(rule.optimizer, Momentum) and absolute:
        return frames.Stepped
    return frames.Lazy
