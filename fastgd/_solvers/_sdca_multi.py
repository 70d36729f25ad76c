"""SDCA of softmax: what its passes work on, and how a model is certified."""

from typing import Any

import numpy as np

from fastgd.kernels import sdca, sdca_multi

BALANCE_SHARE = 16  # the first 1/16 of the rows take the change, if they can
MOST_SHIFTED = 0.5
ROUNDINGS = 8.0  # of raw predictions, in units of the last digit


class ManyOutputs:
    """The kernels of many outputs and their memory; see ``OneOutput``.

    Parameters
    ----------
    shape : (n_features, n_outputs)
    dtype : type of the coefficients; all else is float64
    """

    def __init__(
        self,
        rows: Any,
        samples: sdca.Samples,
        rule: sdca.DualProblem,
        shape: tuple[int, int],
        dtype: type,
    ) -> None:
        n_samples, (n_features, n_outputs) = samples.y.shape[0], shape
        width = -(-n_outputs // sdca_multi.LANES) * sdca_multi.LANES
        self.rows, self.samples, self.rule = rows, samples, rule
        self.n_outputs = n_outputs
        self.memory = sdca.Memory(
            np.zeros((n_features + 1, width), dtype),
            np.zeros((n_samples, n_outputs)),
            np.zeros((sdca.N_RUNNING, n_outputs)),
            np.zeros(n_features),
            np.empty(n_samples),
        )

    def penalty(self, coef: np.ndarray, l1: float, l2: float) -> float:
        """Return what the coefficients cost."""
        w = coef if self.rule.threshold > 0.0 else self.memory.params[:-1]
        squares = float(np.einsum("ij,ij->i", w, w).sum(dtype=np.float64))
        return 0.5 * l2 * squares + (l1 * float(np.abs(coef).sum()) if l1 > 0.0 else 0.0)

    def penalty_now(self, l1: float, l2: float) -> float:
        """Return what the coefficients of the last pass cost."""
        v = self.memory.params[:-1, : self.n_outputs]
        return self.penalty(self._shrunk(v.T) if l1 > 0.0 else v, l1, l2)

    def null_model(self) -> tuple[np.ndarray, float]:
        """Return the intercepts of the model without features, and its loss."""
        y, weight = self.samples
        share = np.bincount(y, weight if weight.size else None, self.n_outputs) / self.rule.mass
        log_share = np.log(np.maximum(share, 1e-6 / self.rule.mass))
        if not self.rule.fit_intercept:
            return np.zeros(self.n_outputs), float(np.log(self.n_outputs))
        return log_share - log_share.mean(), float(-(share @ log_share))

    def restore(self, dual: np.ndarray, intercept: np.ndarray) -> None:
        """Continue from a state."""
        self.memory.dual[:] = dual
        self.couple()
        self.set_intercept(intercept)

    def couple(self) -> None:
        """Compute the coefficients from the dual variables."""
        self.memory.params[:-1] = 0.0
        self._move(np.arange(self.memory.dual.shape[0], dtype=np.int32), self.memory.dual)

    def _move(self, order: np.ndarray, change: np.ndarray) -> None:
        """Let v follow a change of some rows' r."""
        args = self.rows, self.samples, self.rule, order, change, self.memory.params
        sdca_multi.add_rows(*args)

    def set_intercept(self, intercept: np.ndarray) -> None:
        """Set b, of a model that has sum_i s_i r_i = 0, and derive what follows from it."""
        params, _, running, mean, _ = self.memory
        running[sdca.SIZE] = mean @ mean
        self._find_middle()
        params[-1, : self.n_outputs] = intercept + running[sdca.MIDDLE]

    def _find_middle(self) -> None:
        params, _, running, mean, _ = self.memory
        if running[sdca.SIZE, 0] > 0.0:
            running[sdca.MIDDLE] = (mean.astype(params.dtype) @ params[:-1])[: self.n_outputs]

    def one_pass(self, order: np.ndarray, is_first: bool) -> tuple[float, float]:
        """Visit the rows; return estimates of the gap, from above, and of the loss."""
        args = self.rows, self.samples, self.rule, self.memory, order, is_first
        return sdca_multi.sdca_multi_pass(*args)

    def estimate(self) -> tuple[np.ndarray, np.ndarray]:
        """Return coefficients and intercepts as they are, without moving anything."""
        params, mean = self.memory.params[:, : self.n_outputs], self.memory.mean
        middle = mean.astype(params.dtype) @ params[:-1]
        return self._shrunk(params[:-1].T.copy()), params[-1] - middle

    def _shrunk(self, v: np.ndarray) -> np.ndarray:
        """Return the coefficients that v stands for."""
        if self.rule.threshold > 0.0:
            return np.copysign(np.maximum(np.abs(v) - self.rule.threshold, 0.0), v)
        return v

    def keep_digits(self) -> bool:
        """Tell whether coefficients were rounded before they were certified: they never are."""
        return False

    def certify(self, order: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Return the coefficients, the intercepts, the loss and the losses' duality gap.

        What rounding does to raw predictions while they are computed is counted.
        """
        memory, rule = self.memory, self.rule
        is_proven = self._balance(order) if rule.fit_intercept else True
        b = memory.params[-1, : self.n_outputs] - memory.running[sdca.MIDDLE]
        loss, gap = sdca_multi.certify_multi(self.rows, self.samples, rule, memory, b)
        coef = self._shrunk(memory.params[:-1, : self.n_outputs].T)
        gap += (ROUNDINGS * float(np.finfo(memory.params.dtype).eps)) * loss
        return coef, b, loss, gap if is_proven else np.inf

    def penalty_gap(self, coef: np.ndarray, l1: float, l2: float) -> float:  # noqa: ARG002
        """Return what the penalties add: nothing that ``certify`` has not counted."""
        return 0.0

    def _balance(self, order: np.ndarray) -> bool:
        """Bring sum_i s_i r_i to zero by moving some rows as the intercepts would move them.

        dr_i = (diag(p_i) - p_i p_i') db to first order: the gap feels only its square.
        """
        memory, (y, weight) = self.memory, self.samples
        s = weight if weight.size else np.ones(y.shape[0])
        for share in (BALANCE_SHARE, 4, 1, 1, 1):
            total = s @ memory.dual
            some = order[: max(order.shape[0] // share, min(order.shape[0], 200))]
            p = memory.dual[some]
            p[np.arange(some.shape[0]), y[some]] += 1.0
            weighted = p * s[some, None]
            hessian = np.diag(weighted.sum(axis=0)) - p.T @ weighted
            hessian += hessian.trace() / self.n_outputs**2  # all intercepts alike: no change
            shift = np.linalg.lstsq(hessian, -total, rcond=1e-12)[0]
            if not np.all(np.isfinite(shift)):  # all rows are predicted with certainty
                break
            largest = np.abs(shift).max()
            if share > 1 and not largest < MOST_SHIFTED:
                continue
            shift *= min(1.0, MOST_SHIFTED / max(largest, 1e-300))
            change = p * (shift - (p @ shift)[:, None])
            memory.dual[some] += change
            self._move(some, change)
            if np.abs(s @ memory.dual).max() <= 1e-13 * self.rule.mass:
                break
        remainder = s @ memory.dual
        memory.running[sdca.PENDING] += (
            memory.running[sdca.TOTAL] - remainder
        )  # moved rows will move back
        memory.running[sdca.TOTAL] = remainder
        self._find_middle()
        return bool(np.abs(memory.running[sdca.TOTAL]).max() <= 1e-12 * self.rule.mass)
