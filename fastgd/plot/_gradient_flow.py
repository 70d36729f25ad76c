"""GradientFlowDisplay: how gradients, weights and units fare, layer by layer."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastgd.plot._style import axes_or_new, legend, style_of, tidy

QUANTITIES = {
    "gradient_norm": "norm of the gradient",
    "weight_norm": "norm of the weights",
    "update_ratio": "update / weights",
    "dead": "share of dead units",
    "saturated": "share of saturated outputs",
}


class GradientFlowDisplay:
    """A curve for each layer of a network, over the epochs of its training.

    Where gradients of the first layers are many times smaller than those of the last, they vanish
    on their way back; where they are many times larger, they explode. It is recommended to use
    ``from_estimator`` to create a display.

    Parameters
    ----------
    history : dict of str to list
        ``history_`` of a network that was trained with ``monitor=True``.
    quantity : str, default="gradient_norm"
        "gradient_norm", "weight_norm", "update_ratio" (how far an epoch moved the weights, by their
        norm), "dead" (the share of units that put out 0 for all rows) or "saturated" (the share of
        outputs within 1 % of the end of their range).

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One for each layer that has weights, the first layer first.

    Raises
    ------
    ValueError
        For another quantity, or if the history has nothing of it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastgd.neural_network import MLPClassifier
    >>> from fastgd.plot import GradientFlowDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> model = MLPClassifier((16, 16), monitor=True, max_iter=5, tol=None).fit(X / 16, y)
    >>> display = GradientFlowDisplay.from_estimator(model)  # doctest: +SKIP
    """

    def __init__(
        self, history: Mapping[str, list[float]], *, quantity: str = "gradient_norm"
    ) -> None:
        if quantity not in QUANTITIES:
            raise ValueError(f"quantity must be one of {sorted(QUANTITIES)}, got {quantity!r}.")
        self.quantity = quantity
        self.curves = {
            int(name.split("/")[1]): np.asarray(values, np.float64)
            for name, values in history.items()
            if name.startswith(f"{quantity}/")
        }
        if not self.curves:
            raise ValueError(
                f"the history has no {quantity!r} of layers: train a network with monitor=True; "
                "'dead' goes with relu, 'saturated' with tanh and logistic."
            )

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, quantity: str = "gradient_norm", ax: Any = None
    ) -> "GradientFlowDisplay":
        """Draw the curves of a fitted network.

        Parameters
        ----------
        estimator : a network of ``fastgd.neural_network``, trained with ``monitor=True``
        quantity : str, default="gradient_norm"
            See the class.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : GradientFlowDisplay
        """
        return cls(estimator.history_, quantity=quantity).plot(ax=ax)

    def plot(self, ax: Any = None) -> "GradientFlowDisplay":
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        self : GradientFlowDisplay
        """
        self.ax_ = axes_or_new(ax, "GradientFlowDisplay")
        self.figure_ = self.ax_.figure
        self.lines_: list[Any] = []
        for number, values in sorted(self.curves.items()):
            epochs, style = np.arange(1, len(values) + 1), style_of(len(self.lines_))
            self.lines_ += self.ax_.plot(epochs, values, label=f"layer {number}", **style)
        if self.quantity not in ("dead", "saturated"):
            self.ax_.set_yscale("log")
        self.ax_.set(xlabel="epochs", ylabel=QUANTITIES[self.quantity])
        legend(self.ax_, self.lines_)
        tidy(self.ax_)
        return self
