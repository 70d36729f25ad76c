"""What the estimators without a learning rate share: their parameters, and the way to a solver."""

import math
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from fastgd._data.arrays import is_plain
from fastgd._data.parts import is_collection, is_in_parts, learn_columns
from fastgd._data.shards import Shards
from fastgd._data.validation import as_rows, check_weight, refuse_extreme_weight
from fastgd._export.hooks import OnnxExport
from fastgd._export.notebook import NotebookView
from fastgd._monitoring.sklearn_callbacks import CallbackSupport
from fastgd._monitoring.watching import SolvingWatch
from fastgd._parameters.checked_once import CheckedOnce
from fastgd._runtime.devices import ALLOWED, HeldRows
from fastgd._runtime.threads import in_threads, one_blas_thread
from fastgd._runtime.warned import warn
from fastgd._solvers._auto import SOLVERS, solve
from fastgd._solvers._device import Device, device_of
from fastgd._solvers._idle_rows import without_idle_rows
from fastgd._solvers._kinks_shards import kinks_by_shards
from fastgd._solvers._problem import objective_of
from fastgd._solvers._shard_sums import Kind, Look
from fastgd._solvers._sharded import ShardedTask, by_shards, look, with_more_rows
from fastgd._solvers._stored_shards import as_stored_in_parts
from fastgd._solvers._task import Options, Solution, State, Task
from fastgd._solvers._together import together
from fastgd.kernels.losses import is_piecewise_linear

FLOATS = [np.float64, np.float32]
MAX_SEED = np.iinfo(np.int32).max
TINY = 1e-300
PACKAGE = f"{Path(__file__).parent.parent}{os.sep}"
SMALL = 100_000  # entries of X up to which a hand-off to threads costs more than it saves
NON_NEGATIVE = Interval(Real, 0, None, closed="left")


def solver_names(*foreign: str) -> list[Any]:
    """Return what ``solver`` may be: ours, and the names that the estimator in scikit-learn has.

    Those mean "auto"; ``solver_`` says what was chosen.
    """
    return [StrOptions({"auto", *SOLVERS, *foreign})]


class SolvedModel(NotebookView, OnnxExport, CallbackSupport, CheckedOnce):
    """Base class of the estimators that a solver fits.

    A subclass says what is minimised, as ``Task`` has it; here a solver is asked, and what it
    found is reported.
    """

    _watch: SolvingWatch  # while a fit runs
    _device: Device | None = None  # the same
    _parts_on_host = False  # whether the passes over data in parts have no form for a device

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "tol": [NON_NEGATIVE],
        "fit_intercept": ["boolean"],
        "max_iter": [Interval(Integral, 0, None, closed="left"), None],
        "solver": solver_names(),
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "callbacks": [list, tuple, None],
        "device": ALLOWED,
    }

    def _check_weight(self, sample_weight: Any, X: Any) -> NDArray[Any]:
        """Return the rows' weights, which must not be negative; none are an empty array."""
        weight = check_weight(sample_weight, X, np.float64)
        if sample_weight is None:
            return weight
        if np.any(weight < 0.0):
            raise ValueError(f"sample_weight must not be negative, got {weight.min()}.")
        refuse_extreme_weight(weight)
        return weight

    def _task(
        self,
        X: Any,
        y: NDArray[Any],
        weight: NDArray[Any],
        loss: Any,
        penalty: tuple[float, float],
        **more: Any,
    ) -> Task:
        """Return what to minimise; ``penalty`` is (l1, l2) of the mean loss."""
        given = weight if weight.shape[0] > 0 else None
        more.setdefault("fit_intercept", bool(self.fit_intercept))
        more.setdefault("dtype", X.dtype)
        rows = as_rows(X)
        if self._device is not None:
            more.setdefault("device", self._device)
            self._device.passes(rows, X.shape[1])  # first, of the rows that the user has there
        return without_idle_rows(Task(rows, y, given, loss, *penalty, X.shape[1], **more))

    def _solve_each(
        self, tasks: Sequence[Callable[[], Task]], starts: Sequence[Any]
    ) -> list[Solution]:
        """Solve tasks that have nothing to do with each other, in threads.

        A task is made when its turn comes, so that not all of their targets exist at once.
        """
        options_of_outputs = [self._options() for _ in tasks]  # seeds are drawn in order

        def solved(task: Callable[[], Task], start: Any, options: Options) -> Solution:
            return self._solve(task(), start, options)

        with one_blas_thread():  # once for all: one task must not free it while another runs
            # observers are notified of one task after the other, and a device has one queue
            is_in_turn = self._watch.is_watching or self._device is not None
            if is_in_turn or math.prod(self._watch.given.X.shape) <= SMALL:
                return list(map(solved, tasks, starts, options_of_outputs))
            return in_threads(solved, tasks, starts, options_of_outputs)

    def _solve(self, task: Task, start: Any = None, options: Options | None = None) -> Solution:
        """Ask the solver that the parameters name."""
        asked = getattr(self, "solver", "auto")
        name = asked if asked in SOLVERS else "auto"
        if getattr(self, "warm_start", False):
            # a dual start is made for its labels; coefficients would do for any
            before, self._targets = getattr(self, "_targets", None), _fingerprint(task)
            if hasattr(start, "dual") and before != self._targets:
                start = None
        found = solve(task, self._options() if options is None else options, name, start)
        solution = self._watch.finished(found)
        if solution is not found:  # what a callback kept; SDCA's passes know estimates
            objective = objective_of(task, solution.coef, solution.intercept)
            solution = solution._replace(objective=objective)
        return solution._replace(is_penalised=task.l1 > 0.0 or task.l2 > 0.0)

    # -- rows in parts ---------------------------------------------------------------------------

    def _look(self, shards: Shards, *, classifies: bool, loss: Any = None) -> tuple[Look, Kind]:
        """Take the pass that tells what rows there are; learn their columns."""
        self._refuse_warm_start()
        seen, kind = look(shards, classifies=classifies, loss=loss, seed=self._seed())
        learn_columns(self, shards.names, seen.mean.shape[0])
        return seen, kind

    def _refuse_warm_start(self) -> None:
        """Refuse to begin where a fit before has ended."""
        if getattr(self, "warm_start", False):
            raise ValueError(
                "warm_start=True goes with rows in memory; a data set in parts begins from the "
                "optimum of a sample."
            )

    def _solve_all_shards(self, tasks: Sequence[ShardedTask]) -> list[Solution]:
        """Solve tasks over the same rows; each pass serves all, unless somebody is notified."""
        options = [self._options() for _ in tasks]  # seeds are drawn in order
        seen = with_more_rows(tasks[0]).look
        tasks = [task._replace(look=seen) for task in tasks]
        if len(tasks) == 1 or self._watch.is_watching:
            return list(map(self._solve_shards, tasks, options))

        def solver(task: ShardedTask, own: Options) -> Callable[[Shards], Solution]:
            return lambda shards: self._solve_shards(task._replace(shards=shards), own)

        with one_blas_thread():
            return together(tasks[0].shards, list(map(solver, tasks, options)))

    def _solve_shards(self, task: ShardedTask, options: Options | None = None) -> Solution:
        """Solve a task whose rows are in shards, by descent."""
        self._refuse_solver_of_rows()
        options = self._options() if options is None else options
        method = kinks_by_shards if is_piecewise_linear(task.loss) else by_shards
        found = self._watch.finished(method(task, options, solve))
        found = as_stored_in_parts(task, found, options.tol)
        return found._replace(is_penalised=task.l1 > 0.0 or task.l2 > 0.0, solver="gd")

    def _refuse_solver_of_rows(self) -> None:
        """Refuse the name of a solver that looks at one row after the other."""
        asked = getattr(self, "solver", "auto")
        if asked in ("saga", "sdca"):
            raise ValueError(
                f"solver={asked!r} needs all rows in memory; data sets in parts are solved by "
                "solver='gd', which 'auto' means for them."
            )

    def _lacks_on_cuda(self, X: Any) -> str | None:
        """Return what of this estimator has no form for a device; None where all has."""
        asked = getattr(self, "solver", "auto")
        if asked in ("saga", "sdca"):
            return f"solver={asked!r}, which looks at one row after the other"
        if self._parts_on_host and is_in_parts(X):
            return "data in parts, which this estimator has on the processor"
        return "a cluster's partitions" if is_collection(X) else None

    def _needs_rows(self) -> bool:
        """Tell whether what is asked for needs the solvers of rows in host memory."""
        return self._parts_on_host or bool(getattr(self, "warm_start", False))

    @contextmanager
    def _on_device(self, X: Any) -> Iterator[None]:
        """Let tasks be solved where the model is to be fitted to X, while the block runs."""
        self._device = device_of(self, X)
        try:
            yield
        finally:
            self.__dict__.pop("_device", None)

    def _options(self) -> Options:
        most = 1000 if self.max_iter is None else int(self.max_iter)
        return Options(float(self.tol), most, self._seed(), self._watch)

    def _seed(self) -> int:
        """Return a seed; None means a fixed one, so that the same data give the same model."""
        state = getattr(self, "random_state", None)
        return 0 if state is None else int(check_random_state(state).randint(MAX_SEED))

    def _start(self) -> Any:
        """Return where a warm start begins: from ``coef_``, which the user may have changed."""
        if not (getattr(self, "warm_start", False) and hasattr(self, "coef_")):
            return None
        state = getattr(self, "_state", None)
        if hasattr(state, "dual") and self._reported is self.coef_:
            return state
        coef = self.coef_.toarray() if sp.issparse(self.coef_) else self.coef_
        coef, intercept = np.array(coef, np.float64), np.array(self.intercept_, np.float64)
        if coef.ndim == 2 and coef.shape[0] == 1:
            coef = coef[0]
        if coef.ndim == 1:
            intercept = intercept.reshape(-1)[0]
        return State(coef, intercept)

    def _remember(self, solution: Solution) -> None:
        """Keep what a warm start needs beyond ``coef_``, which the user may change."""
        if getattr(self, "warm_start", False):
            self._state, self._reported = solution.state, self.coef_

    def _report(self, found: list[Solution]) -> None:
        """Set what is known about the fit; many solutions are those of many outputs."""
        self._refuse_not_finite()
        self._describe(found)
        self.solver_ = found[0].solver
        self._warn_if_unfinished(found)
        self._watch.end()

    def _refuse_not_finite(self) -> None:
        """Raise ValueError where what was found is no model: the estimator stays as it was."""
        known = vars(self)
        for name in ("coef_", "intercept_", "scale_"):
            if name in known and not np.isfinite(known[name]).all():
                raise ValueError(
                    f"{type(self).__name__} found no finite {name}: the numbers in X, y or "
                    "sample_weight, or the penalty, are too large or too small for float64. "
                    "Multiply X or y by a constant, or penalise more."
                )

    def _describe(self, found: list[Solution]) -> None:
        """Set how good the fit is."""
        self.objective_ = _one_or_all([s.objective for s in found])
        self.gap_ = _one_or_all([s.gap for s in found])
        self.history_ = found[0].history if len(found) == 1 else [s.history for s in found]

    def _warn_if_unfinished(self, found: list[Solution]) -> None:
        """Warn where a fit is not known to be within ``tol``, and say what to do."""
        n_passes, watch = sum(solution.n_iter for solution in found), self._watch
        if watch.warn_if_interrupted(f"after {n_passes} passes", 6) or watch.was_notified:
            return
        unfinished = [solution for solution in found if not solution.converged]
        if not unfinished:
            return
        worst = max(unfinished, key=lambda s: s.suboptimality / max(abs(s.objective), TINY))
        message = f"{type(self).__name__} {self._reason(worst)}"
        warn(message, ConvergenceWarning, stacklevel=level_of_the_user())

    def _reason(self, solution: Solution) -> str:
        """Say how far an unfinished fit may be from its optimum, why it ended, and what helps."""
        most = 1000 if self.max_iter is None else int(self.max_iter)
        far = f"may be {solution.suboptimality:.1e} above the optimum"
        if not np.isfinite(solution.suboptimality):
            far = "is at an unknown distance from the optimum"
        text = (
            f"stopped after {solution.n_iter} passes over the data (max_iter={most}). Its "
            f"objective of {solution.objective:.6g} {far}; tol={self.tol} asks for "
            f"{float(self.tol) * abs(solution.objective):.1e}. "
        )
        if solution.n_iter >= most:
            text += "Increase max_iter or tol."
        else:
            text += (
                "No lower point was found: rounding hides the rest. Increase tol, pass X as "
                "float64, or bring its columns to similar scales."
            )
        if not solution.is_penalised:
            text += " Without a penalty there may be no optimum"
            text += ", as for separable classes" if is_classifier(self) else ""
            text += ": a penalty, even a weak one, gives one."
        return text

    def _raw(self, X: Any) -> NDArray[Any]:
        """Return X @ coef.T + intercept."""
        if "coef_" not in vars(self):  # scikit-learn's own check takes as long as to predict
            check_is_fitted(self)
        if isinstance(X, HeldRows):
            return X.raw(self)
        if not is_plain(self, X, "numeric", reset=False):
            X = validate_data(self, X, accept_sparse=["csr", "csc", "coo"], reset=False)
        return self._raw_of(X)

    def _raw_of(self, X: Any) -> NDArray[Any]:
        """Return the same for X that is known to be right."""
        coef = self.coef_.T
        is_dense = isinstance(X, np.ndarray) and isinstance(coef, np.ndarray)
        raw = X @ coef if is_dense else safe_sparse_dot(X, coef, dense_output=True)
        shifted: NDArray[Any] = raw + self.intercept_
        return shifted

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _fingerprint(task: Task) -> tuple[str, int, int, int]:
    """Return what distinguishes one task's targets from another's."""
    y = np.ascontiguousarray(task.y)
    return type(task.loss).__name__, task.n_outputs, y.shape[0], zlib.crc32(y.data)


def _one_or_all(values: list[float]) -> Any:
    return values[0] if len(values) == 1 else np.array(values)


def level_of_the_user() -> int:
    """Return the stack level at which a warning shows the line that called the library."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None:
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGE) and f"{os.sep}sklearn{os.sep}base.py" not in name:
            break
        level, frame = level + 1, frame.f_back
    return level
