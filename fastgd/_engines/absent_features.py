"""How weights of features that sparse rows lack take their steps: see ``fastgd.kernels.absent``."""

from typing import Any

import numpy as np

from fastgd._engines.protocol import Plan
from fastgd._networks.assembly import Assembly
from fastgd._parameters.resolve import inner_of
from fastgd.kernels.absent import ByFeature, Waiting, recurrence_of
from fastgd.kernels.layers import N_OUT, SPEC
from fastgd.kernels.network import NetworkRule
from fastgd.kernels.optimizers import OWN_LENGTH, forward_decays, skipped_steps_of
from fastgd.kernels.stores import Touched


class AbsentFeatures:
    """What a training on sparse rows keeps of the first layer's features.

    Parameters
    ----------
    assembly : Assembly
        Its first layer reads sparse rows.
    rule : NetworkRule
        In float64, its optimizer in the form that sparse rows call for.
    """

    def __init__(self, assembly: Assembly, rule: NetworkRule) -> None:
        self._rule = rule
        n_features = int(np.prod(assembly.shape))
        self._units = int(assembly.table[0, N_OUT])
        self._touched = Touched.of(n_features)
        self._seen = np.zeros(n_features, np.int64)
        self._squares = np.zeros(1)

    @staticmethod
    def wait(assembly: Assembly, rule: NetworkRule, *, averages: bool) -> bool:
        """Tell whether weights can wait until their feature is read.

        A transform, and an average, need what every step makes of all weights.
        """
        first, optimizer = assembly.specs[assembly.table[0, SPEC]], rule.optimizer
        makes_up = hasattr(optimizer, "recurrence") or skipped_steps_of(optimizer) == OWN_LENGTH
        return hasattr(first, "add_sparse") and rule.is_plain and makes_up and not averages

    def of_steps(self, plan: Plan, n_visited: int) -> ByFeature:
        """Return how weights are kept during the steps of a plan."""
        skipped = self._skipped(plan, n_visited)
        return ByFeature(self._touched, self._seen, self._squares, self._units, skipped)

    def _skipped(self, plan: Plan, n_visited: int) -> Any:
        """Return how skipped steps are made up for."""
        optimizer, coefficients = self._rule.optimizer, plan.coefficients
        sizes = np.full(coefficients.shape[0], plan.batch_size)
        sizes[-1] = n_visited - (sizes.shape[0] - 1) * plan.batch_size
        strengths = self._rule.l2 / (sizes * plan.unit)
        if hasattr(optimizer, "recurrence"):
            return recurrence_of(type(optimizer).recurrence(optimizer, coefficients, strengths))
        times = np.zeros(sizes.shape[0] + 1)
        np.cumsum(coefficients[:, 0] * strengths, out=times[1:])
        decays = hasattr(inner_of(optimizer), "decayed")
        return Waiting(times, forward_decays(coefficients) if decays else np.zeros_like(times))
