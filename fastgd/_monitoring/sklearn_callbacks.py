"""scikit-learn's callbacks, which it has from 1.9 on: an epoch is a task of the fit's.

Their protocol is SLEP023's: https://scikit-learn-enhancement-proposals.readthedocs.io
"""

import inspect
from typing import Any

__all__ = ["CallbackSupport", "Tasks", "has_tasks"]

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn 1.7 and 1.8

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in for what this scikit-learn lacks."""


class CallbackSupport(CallbackSupportMixin):
    """What can be watched while it is fitted, and copied and pickled all the same."""

    def __getstate__(self) -> Any:
        """Return what is pickled: not who watches a fit that runs in another thread."""
        # first a copy, which nothing interrupts: the other thread may be setting attributes
        state = dict(super().__getstate__())
        state.pop("_watch", None)
        return state

    def __setstate__(self, state: Any) -> None:
        """Take what was pickled; parameters that there were not yet have their defaults."""
        super().__setstate__(state)
        own = vars(self)
        for parameter in inspect.signature(type(self).__init__).parameters.values():
            if parameter.default is not inspect.Parameter.empty and parameter.name not in own:
                setattr(self, parameter.name, parameter.default)


def has_tasks(estimator: Any) -> bool:
    """Tell whether an estimator was given callbacks of scikit-learn's, or is handed some."""
    return bool(getattr(estimator, "_skl_callbacks", None))


class Tasks:
    """Hands epochs on to scikit-learn's callbacks; one of our callbacks itself.

    A task must begin before anyone knows whether there is another epoch, so that the last one may
    be empty, as that of scikit-learn's own LogisticRegression.
    """

    def __init__(self, estimator: Any, task: str) -> None:
        self._estimator = estimator
        self._root = estimator._init_callback_context(task_name=task, max_subtasks=None)
        self._now: Any = None
        self._n_begun = 0

    def on_fit_begin(self, view: Any) -> None:
        """Begin the fit's task, and that of the first epoch."""
        X, y, weight = view._watch.given
        metadata = None if weight is None else {"sample_weight": weight}
        self._given = {"estimator": self._estimator, "X": X, "y": y, "metadata": metadata}
        first = view.epoch
        self._root.max_subtasks = self._most = view.n_targets * (view.max_epochs - first)
        self._root.call_on_fit_task_begin(**self._given)
        self._begin()

    def _begin(self) -> None:
        """Begin an epoch's task, if there may be another epoch."""
        self._now = None
        if self._n_begun < self._most:
            self._n_begun += 1
            self._now = self._root.subcontext(task_name="epoch")
            self._now.call_on_fit_task_begin(**self._given)

    def on_epoch_end(self, view: Any) -> bool:
        """End the epoch's task; return whether a callback wants to stop."""
        if self._now is None:
            return False
        reported: bool = self._now.call_on_fit_task_end(
            **self._given, reconstruction_attributes=lambda: _learned(view.model)
        )
        self._begin()
        return reported

    def on_fit_end(self, view: Any) -> None:
        """End the empty task, and the fit's."""
        if self._now is not None:
            self._now.call_on_fit_task_end(estimator=self._estimator)
        self._root.call_on_fit_task_end(
            **self._given, reconstruction_attributes=lambda: _learned(view.model)
        )


def _learned(model: Any) -> dict[str, Any]:
    """Return what makes a copy of the estimator that model."""
    return {**vars(model), "_watch": None}
