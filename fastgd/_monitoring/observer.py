"""What solvers and the trainer report to: one small object, which may stop them."""

from collections.abc import Callable
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


class Converted(Silenced):
    """Forwards models and figures as well, from the units that a solver is given to the user's.

    Parameters
    ----------
    observer : Observer
    of_model, of_figure : callable
        Return a ``Model``, and an objective or a part of one, in the user's units.
    """

    def __init__(
        self,
        observer: Observer,
        of_model: Callable[[Model], Model],
        of_figure: Callable[[float], float] = float,
    ) -> None:
        super().__init__(observer)
        self._of_model, self._of_figure = of_model, of_figure
        self.is_watching = observer.is_watching

    def passed(
        self, model: Callable[[], Model], figures: dict[str, float], passes: int = 1
    ) -> bool:
        """Hand the model and the figures on."""
        figures = {name: self._of_figure(value) for name, value in figures.items()}
        return self._observer.passed(lambda: self._of_model(model()), figures, passes)


UNWATCHED = Observer()
