"""SDCA with one output: what its passes work on, and how a model is certified."""

import math
from typing import Any

import numpy as np

from fastgd._data.validation import in_dtype
from fastgd._solvers._certificates import penalty_terms
from fastgd.kernels import losses, sdca
from fastgd.kernels.sdca_face import face_step


class OneOutput:
    """The kernels of one output and their memory.

    Parameters
    ----------
    rows : Dense or CSR
    samples : kernels.sdca.Samples
    rule : kernels.sdca.DualProblem
    n_features : int
    dtype : type
        What coefficients are rounded to before they are certified: the one they are kept in,
        unless rounding alone costs more than what is asked for.
    """

    def __init__(
        self,
        rows: Any,
        samples: sdca.Samples,
        rule: sdca.DualProblem,
        n_features: int,
        dtype: Any = np.float64,
    ) -> None:
        n_samples = samples.y.shape[0]
        self.rows, self.samples, self.rule, self._dtype = rows, samples, rule, dtype
        self.memory = sdca.Memory(
            np.zeros(n_features + 1),
            np.zeros(n_samples),
            np.zeros(sdca.N_RUNNING),
            np.zeros(n_features),
            np.empty(n_samples),
        )

    def penalty(self, coef: np.ndarray, l1: float, l2: float) -> float:
        """Return what the coefficients cost."""
        of_l1 = l1 * float(np.abs(coef).sum()) if l1 > 0.0 else 0.0
        return 0.5 * l2 * float(coef @ coef) + of_l1

    def penalty_now(self, l1: float, l2: float) -> float:
        """Return what the coefficients of the last pass cost."""
        return self.penalty(self._shrunk(self.memory.params[:-1]), l1, l2)

    def null_model(self) -> tuple[float, float]:
        """Return the intercept of the model without features, and its loss."""
        y, weight = self.samples
        if losses.kind_of(self.rule.loss) == losses.BINARY:  # two rows say all
            is_one = y > 0
            ones = float(weight[is_one].sum()) if weight.size else float(np.count_nonzero(is_one))
            y = np.array([1.0, losses.negative(self.rule.loss)])
            weight = np.array([ones, self.rule.mass - ones])
        return sdca.null_model(self.rule, y, weight)

    def couple(self) -> None:
        """Compute the coefficients from the dual variables."""
        sdca.restore(self.rows, self.samples, self.rule, self.memory)

    def restore(self, dual: np.ndarray, intercept: float) -> None:
        """Continue from a state."""
        self.memory.dual[:] = dual
        self.couple()
        self.set_intercept(intercept)

    def set_intercept(self, intercept: float) -> None:
        """Set b, of a model that has sum_i s_i r_i = 0, and derive what follows from it."""
        _, _, running, mean, _ = self.memory
        running[sdca.MIDDLE] = mean @ self.memory.params[:-1]
        running[sdca.SIZE] = mean @ mean
        self.memory.params[-1] = intercept + running[sdca.MIDDLE]

    def one_pass(self, order: np.ndarray, is_first: bool) -> tuple[float, float]:
        """Visit the rows; return estimates of the gap, from above, and of the loss."""
        return sdca.sdca_pass(self.rows, self.samples, self.rule, self.memory, order, is_first)

    @property
    def has_faces(self) -> bool:
        """Whether derivatives that no bound holds can be moved together, and are a part of all."""
        rule, loss = self.rule, self.rule.loss
        is_flat = losses.has_jumps(loss) or not losses.is_smooth(loss)
        return is_flat and not rule.fit_intercept and rule.threshold == 0.0

    def move_face(self, most: int, reads: int) -> tuple[float, int]:
        """Move them; return the share taken of the step, and for how many passes that counts."""
        share, done = face_step(self.rows, self.samples, self.rule, self.memory, most, float(reads))
        return share, min(math.ceil(done), 1 + reads)  # their number may be rounded up

    def estimate(self) -> tuple[np.ndarray, float]:
        """Return coefficients and intercept as they are, without moving anything."""
        params, mean = self.memory.params, self.memory.mean
        return self._shrunk(params[:-1]), float(params[-1] - mean @ params[:-1])

    def penalty_gap(self, coef: np.ndarray, l1: float, l2: float) -> float:
        """Return sum_j h(w_j) + h*(l2 v_j) - l2 v_j w_j: what rounding of coefficients costs."""
        v = self.memory.params[:-1]
        if l1 == 0.0:
            lost = coef - v
            return 0.5 * l2 * float(lost @ lost)
        return float(np.sum(penalty_terms(coef, -l2 * v, l1, l2)))

    def _shrunk(self, v: np.ndarray) -> np.ndarray:
        """Return the coefficients that v stands for, as a copy."""
        if self.rule.threshold > 0.0:
            return np.copysign(np.maximum(np.abs(v) - self.rule.threshold, 0.0), v)
        return v.copy()

    def keep_digits(self) -> bool:
        """Certify coefficients in float64 from here on; tell whether they were rounded so far."""
        was_rounded = np.dtype(self._dtype) != np.float64
        self._dtype = np.float64
        return was_rounded

    def certify(self, order: np.ndarray) -> tuple[np.ndarray, float, float, float]:
        """Return the coefficients, the intercept, the loss and the losses' duality gap."""
        memory, rule = self.memory, self.rule
        is_proven = True
        if rule.fit_intercept:
            is_proven = sdca.balance(self.rows, self.samples, rule, memory, order)
            memory.running[sdca.MIDDLE] = memory.mean @ memory.params[:-1]
        params = memory.params.copy()
        params[-1] -= memory.running[sdca.MIDDLE]
        params[:-1] = in_dtype(self._shrunk(params[:-1]), self._dtype)
        margin = np.empty(memory.dual.shape[0])
        b, loss, gap = sdca.certify(self.rows, self.samples, rule, memory, params, margin)
        return params[:-1], b, loss, gap if is_proven else np.inf
