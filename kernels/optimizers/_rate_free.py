"""Steps without a learning rate: by what columns, targets and losses turn out to be like."""

import math
from typing import NamedTuple

import numpy as np

from fastgd.kernels import penalties
from fastgd.kernels._hook import cast
from fastgd.kernels._jit import helper
from fastgd.kernels.elementary import expm1
from fastgd.kernels.optimizers._protocol import OWN_LENGTH, step_columns

OF_LOSS, OF_ROW, OF_TARGETS, ONE = range(4)  # what ``RateFree.unit`` may be
YOUNG = 16.0  # an average is of the last of so many parts of all steps, until these are ``window``

LAG, SPREAD, SQUARES, LARGEST, PLACE, ROOT = range(6)  # slots of a coefficient's state
ROWS = ROOT  # at the last intercept


class RateFree(NamedTuple):
    """What ``learning_rate="auto"`` means: normalised adaptive steps of each coefficient.

    ``fastgd.kernels.rate_free`` has the steps, which look at the rows besides their gradient, and
    the formulas; here is what becomes of one coefficient. The state's slots are, of a coefficient:

    LAG : how far it lies ahead of its average
    SPREAD : s^2, the root mean square times the largest magnitude of the column's values
    SQUARES : the sum of (g / unit)^2
    LARGEST : the largest magnitude, at the column's first output
    PLACE : the column's mean, or how many of its values were not zero; at its first output
    ROOT : s sqrt(G), of which the length of a step is made

    and of the intercepts LAG and SQUARES likewise; SPREAD of the last one is the mean number of
    values in a row, ROWS of the last one the number of rows, LARGEST and PLACE of each are what
    its unit is computed from.

    Parameters
    ----------
    rate : float
        Factor of all steps.
    window : float
        Steps that are averaged at most; 0 for none.
    unit : int
        Unit of raw predictions: OF_LOSS and OF_ROW the mean loss over the mean slope (of each
        output, or of the whole row), OF_TARGETS the targets' standard deviation, or ONE.
    is_centred : bool
        Whether the mean of each column counts as its zero: dense rows with an intercept.
    """

    rate: float = 0.9
    window: float = 600.0
    unit: int = OF_LOSS
    is_centred: bool = False

    n_slots = 6
    eta0 = 1.0
    skipped_steps = OWN_LENGTH
    reads_rows = True
    rate_is_constant = True
    finds_rate = True
    side_by_side = True

    @property
    def ahead(self):
        """How far what is trained lies ahead of its average, in units of the first slot."""
        return 1.0 if self.window > 0 else 0.0

    @property
    def reads_state_as(self):
        """What the slots mean, which have means of dense columns and counts of sparse ones."""
        return f", unit {self.unit}, {'means' if self.is_centred else 'counts'}"

    @staticmethod
    def step_coefficients(optimizer, rates, first):
        return step_columns(rates * optimizer.rate, _kept(optimizer, rates, first))

    @staticmethod
    def carries(optimizer, penalty, step_coefficients, times):
        logs = np.zeros(step_coefficients.shape[0] + 1)
        np.cumsum(np.log(np.maximum(step_coefficients[:, 1], 1e-30)), out=logs[1:])
        return logs

    @staticmethod
    def update(optimizer, step_coefs, g, state, j):
        step = _length(step_coefs, state, j)
        change = -step * g
        state[LAG, j] = step_coefs[1] * (state[LAG, j] + change)
        return change, step

    @staticmethod
    def move(optimizer, penalty, step_coefs, param, g, state, c):
        step = _length(step_coefs, state, c)
        # a longer one would leave the loss's pull alone, many times what the penalty balances
        step = min(step, cast(penalties.longest_step(penalty, c), step))
        after = penalties.proximal(penalty, param, -step * g, step, c)
        state[LAG, c] = step_coefs[1] * (state[LAG, c] + (after - param))
        return after, step

    @staticmethod
    def recall(optimizer, state, j):
        return np.float64(state[LAG, j]), np.float64(state[ROOT, j])

    @staticmethod
    def keep(optimizer, state, j, slot):
        state[LAG, j] = slot[0]

    @staticmethod
    def penalty_rate(optimizer, slot):
        return 1.0 / slot[1] if slot[1] > 0 else 0.0

    @staticmethod
    def common_speed(optimizer, state):
        n_columns = np.float64(state[SPREAD, np.uint64(state.shape[1] - 1)])
        return 1.0 / math.sqrt(n_columns) if n_columns > 0 else 0.0

    @staticmethod
    def catch_up(optimizer, penalty, param, slot, skipped, c):
        after = penalties.skip(penalty, param, skipped.time)
        faded = skipped.carry_before - skipped.carry_after
        change = penalties.faded_change(penalty, param, after, skipped.time, faded)
        return after, (slot[0] + expm1(-faded) * slot[0] + change, slot[1])


def _kept(optimizer, rates, first):
    """Return what each step leaves of a coefficient's lag."""
    if optimizer.window == 0:
        return np.zeros(rates.shape[0])
    t = np.arange(first, first + rates.shape[0], dtype=np.float64)
    n_averaged = np.minimum(np.maximum(t / YOUNG, 1.0) + 1.0, max(float(optimizer.window), 1.0))
    return 1.0 - 1.0 / n_averaged


@helper()
def _length(step_coefs, state, j):
    """Return the length of a coefficient's step."""
    root = state[ROOT, j]
    return step_coefs[0] / root if root > 0 else cast(0.0, root)
