"""What solvers and the trainer report to: one small object, which may stop them."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from numpy.typing import NDArray


class Model(NamedTuple):
    """A solver's parameters, in raw columns.

    coef : (n_features,) or (n_outputs, n_features)
    intercept : float or (n_outputs,)
    state : what else a fit is made of: Huber's scale
    """

    coef: NDArray[Any]
    intercept: Any
    state: Any = None


class Observer:
    """Is notified of each pass, and says whether to stop; this one neither sees nor stops anything.

    Attributes
    ----------
    stops : bool
        Whether to stop where one is, with the parameters as they are.
    is_watching : bool
        Whether figures are looked at: otherwise what costs work need not be reported.
    """

    stops = False
    is_watching = False

    def passed(
        self,
        model: Callable[[], Model],  # noqa: ARG002
        figures: dict[str, float],  # noqa: ARG002
        passes: int = 1,  # noqa: ARG002
    ) -> bool:
        """Take in what a solver reports after a pass; return whether to stop.

        Parameters
        ----------
        model : callable
            Returns the parameters as they are.
        figures : dict of str to float
            ``objective`` and ``suboptimality``, an estimate, and what else is known.
        passes : int, default=1
            Passes over the rows since the last report.
        """
        return self.stops


class Silenced(Observer):
    """Forwards the wish to stop, and nothing else: for work on the way to a pass."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    @property
    def stops(self) -> bool:  # type: ignore[override]
        """Whether to stop."""
        return self._observer.stops

    def passed(
        self,
        model: Callable[[], Model],  # noqa: ARG002
        figures: dict[str, float],  # noqa: ARG002
        passes: int = 1,  # noqa: ARG002
    ) -> bool:
        """Return whether to stop."""
        return self.stops


class Scaled(Observer):
    """Multiplies figures and models, for a solver that is given the problem in other units."""

    def __init__(self, observer: Observer, factor: float, of_model: float = 1.0) -> None:
        self._observer, self._factor, self._of_model = observer, factor, of_model
        self.is_watching = observer.is_watching

    @property
    def stops(self) -> bool:  # type: ignore[override]
        """Whether to stop."""
        return self._observer.stops

    def passed(
        self, model: Callable[[], Model], figures: dict[str, float], passes: int = 1
    ) -> bool:
        """Hand the figures on."""
        scaled = {name: self._factor * value for name, value in figures.items()}
        return self._observer.passed(partial(self._rescaled, model), scaled, passes)

    def _rescaled(self, model: Callable[[], Model]) -> Model:
        found, factor = model(), self._of_model
        return found._replace(coef=factor * found.coef, intercept=factor * found.intercept)


UNWATCHED = Observer()
