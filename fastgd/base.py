"""What the stochastic estimators share: parameters, and the way from ``fit`` to the trainer."""

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.base import is_classifier, is_regressor
from sklearn.linear_model._base import SparseCoefMixin
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted

from fastgd._data.parts import chunks_of, is_in_parts
from fastgd._data.source import Data
from fastgd._data.targets import NONE, Targets
from fastgd._data.validation import check_weight, check_X, check_X_y, refuse_no_weight
from fastgd._engines.cuda_parameters import has_form
from fastgd._engines.protocol import LINEAR
from fastgd._monitoring.undo import or_as_before
from fastgd._monitoring.watching import Given, TrainingWatch, watched
from fastgd._parameters import resolve
from fastgd._runtime.devices import ALLOWED, HeldRows, chosen
from fastgd._runtime.threads import threads
from fastgd._training.estimator import (
    FLOATS,
    Call,
    StoppedByScore,
    Validation,
    seed_of,
)
from fastgd._training.linear import in_memory, train
from fastgd._training.parts import TrainedOnParts
from fastgd._training.progress import Progress, Settings
from fastgd._training.stopping import Score
from fastgd.kernels.losses import LOSSES
from fastgd.kernels.optimizers import OPTIMIZERS
from fastgd.kernels.sgd import Rule
from fastgd.kernels.transforms import TRANSFORMS
from fastgd.schedules import SCHEDULES

PASSIVE_AGGRESSIVE = ("pa1", "pa2")
LEAST_BATCH = 4096  # rows of a step from which on "auto" leaves them on a device
ROWS_AVERAGED = 600.0  # by learning_rate="auto", at most
OWN_OPTIMIZERS = (*PASSIVE_AGGRESSIVE, resolve.AUTO)  # "learning rates" that are optimizers


class BaseSGD(SparseCoefMixin, TrainedOnParts):
    """Base class of the stochastic linear estimators: how coefficients are started and reported."""

    _default_learning_rate: ClassVar[str]
    _passive_aggressive_loss: ClassVar[str] = "hinge"
    _intercept_name: ClassVar[str] = "intercept_"
    _intercept_at_start: ClassVar[float] = 0.0
    _learned = frozenset(
        {
            *("coef_", "intercept_", "offset_", "classes_", "t_", "n_iter_", "history_"),
            *("_progress", "_held_out", "_is_multilabel", "_n_targets", "_balance"),
            *("n_features_in_", "feature_names_in_"),
        }
    )

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "penalty": [
            StrOptions({"l2", "l1", "elasticnet"}),
            HasMethods(["value", "proximal"]),
            None,
        ],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both"), None],
        "fit_intercept": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "shuffle": ["boolean"],
        "verbose": ["verbose"],
        "callbacks": [list, tuple, None],
        "device": ALLOWED,
        "epsilon": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "learning_rate": [StrOptions({*SCHEDULES, *OWN_OPTIMIZERS}), callable],
        "eta0": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, None, None, closed="neither")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "average": [Interval(Integral, 0, None, closed="neither"), "boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"full"})],
        "optimizer": [StrOptions(set(OPTIMIZERS)), HasMethods(["update", "step_coefficients"])],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "clip_value": [Interval(Real, 0, None, closed="neither"), None],
        "quantize": [StrOptions(set(TRANSFORMS)), Integral, tuple, None],
        "on_divergence": [StrOptions({"raise", "backoff", "warn"})],
        "monitor": ["boolean"],
        "positive": ["boolean"],
        "intercept_rate": [Interval(Real, 0, None, closed="neither")],
    }

    # -- fit and partial_fit --------------------------------------------------------------------

    def _fit(
        self, X: Any, y: Any, starts: tuple[Any, Any], sample_weight: Any, held_out: Validation
    ) -> None:
        """Fit anew, or from the last coefficients if ``warm_start`` says so."""
        if is_in_parts(X):
            self._fit_parts(chunks_of(X, y, sample_weight), held_out, starts)
            return
        device = chosen(self, X)
        # the watch comes first: what scikit-learn sets for callbacks outlives a fit that fails
        with watched(TrainingWatch, self), or_as_before(self, self._forget()):
            X, y = self._check_X_y(X, y, first=True, dtype=FLOATS)
            self._learn_targets(y)
            targets = self._targets()
            self._take_starts(*starts, targets.shape(X.shape[1]))
            weight = check_weight(sample_weight, X, X.dtype, all_zero=True)
            codes = targets.encode(y)
            rows, score = self._stop_by(targets, Given(X, codes, weight), held_out)
            refuse_no_weight(weight)
            data = self._rows_of(targets, X, codes, weight)._replace(rows=rows)
            rule, progress = self._rule_and_progress(targets, X)
            settings = self._settings(data.n_visited, self.max_iter, self.tol, rule)
            given, source = Given(X, y, sample_weight), in_memory(data, settings)
            n_held_out = y.shape[0] - data.n_visited
            call = Call(given, targets, source, rule, settings, score, n_held_out, device=device)
            self._train(call, progress)

    def _rule_and_progress(
        self, targets: Targets, X: Any, *, first: bool = True
    ) -> tuple[Rule, Progress]:
        """Return what a step does, and where the training stands that it begins or goes on with."""
        rule = self._rule(targets.loss, sparse=not isinstance(X, np.ndarray))
        if not first:
            return rule, self._continue(rule)
        return rule, self._begin(targets.shape(X.shape[1]), X.dtype, rule)

    # -- rows in chunks -------------------------------------------------------------------------

    def _rows_of(self, targets: Targets, X: Any, codes: NDArray[Any], weight: NDArray[Any]) -> Data:
        return targets.data(X, codes, weight, self._unit(weight))

    def _raw_at(self, params: NDArray[Any], X: Any, targets: Targets) -> NDArray[Any]:  # noqa: ARG002
        return _raw_of(X, params)

    def _stop_by(
        self, _targets: Targets, _given: Given, _held_out: Validation
    ) -> tuple[NDArray[Any], Score | None]:
        """Return the rows to train on (empty: all), and the score that stops training, if any."""
        return NONE, None

    def _check_X_y(self, X: Any, y: Any, *, first: bool, dtype: Any) -> tuple[Any, Any]:
        """Validate training data."""
        return check_X_y(self, X, y, reset=first, dtype=dtype)

    def _take_starts(self, coef_init: Any, intercept_init: Any, shape: tuple[int, ...]) -> None:
        """Make ``coef_init`` and ``intercept_init`` where training starts; they are not changed."""
        n_features, n_outputs = shape[0] - 1, (shape[1] if len(shape) == 2 else 1)
        coef_shape, name = (n_outputs, n_features), self._intercept_name
        if coef_init is not None:
            coef = np.array(coef_init, dtype=np.float64)
            _refuse_what_is_no_number("coef_init", coef)
            if coef.shape != coef_shape and coef.shape != (n_features,) * (n_outputs == 1):
                raise ValueError(
                    f"Provided coef_init does not match dataset: it has shape {coef.shape} and "
                    f"should have {coef_shape}."
                )
            self.coef_ = coef.reshape(coef_shape)
        if intercept_init is not None:
            intercept = np.array(intercept_init, dtype=np.float64)
            _refuse_what_is_no_number(f"{name[:-1]}_init", intercept)
            if intercept.size != n_outputs:
                raise ValueError(
                    f"Provided {name[:-1]}_init does not match dataset: it has shape "
                    f"{intercept.shape} and should have {(n_outputs,)}."
                )
            setattr(self, name, intercept.reshape(n_outputs))
        if coef_init is not None and getattr(self, name, None) is None:
            setattr(self, name, np.zeros(n_outputs))
        if intercept_init is not None and getattr(self, "coef_", None) is None:
            self.coef_ = np.zeros(coef_shape)

    # -- parameters -------------------------------------------------------------------------------

    def _settings(
        self,
        n_visited: int,
        max_iter: int,
        tol: float | None,
        rule: Rule,
        *,
        full_batch: int | None = None,
    ) -> Settings:
        """Return how to train on this many rows, by default with all of them in a full batch."""
        full = n_visited if full_batch is None else full_batch
        batch_size = full if self.batch_size == "full" else min(self.batch_size, n_visited)
        # by the constructor's max_iter, so that partial_fit of 2 + 3 epochs goes on as of 5
        schedule = resolve.schedule(
            self, rule.loss, rule.optimizer, -(-n_visited // batch_size), self.max_iter
        )
        return Settings(
            batch_size=int(batch_size),
            schedule=schedule,
            shuffle=bool(self.shuffle),
            average=int(self.average),
            max_iter=int(max_iter),
            tol=tol,
            n_iter_no_change=int(self.n_iter_no_change),
            on_divergence=self.on_divergence,
            monitor=bool(self.monitor),
            schedule_tol=self.tol,
        )

    def _rule(self, loss: Any, *, sparse: bool) -> Rule:
        """Return what a step does, from the constructor's parameters."""
        penalty = self._penalty_spec()
        optimizer = self._optimizer_spec(loss, penalty, sparse=sparse)
        transform = resolve.transform(self.clip_norm, self.clip_value, self.quantize)
        rate = float(self.intercept_rate)
        if rate != 1.0 and resolve.steps_as_a_whole(optimizer):
            raise ValueError(
                f"intercept_rate={rate!r} does not go with {type(optimizer).__name__}, which "
                "steps all parameters as a whole."
            )
        rule = Rule(loss, penalty, optimizer, bool(self.fit_intercept), transform)
        return rule._replace(intercept_rate=rate)

    def _optimizer_spec(self, loss: Any, penalty: Any, *, sparse: bool) -> Any:
        """Return the optimizer; scikit-learn calls the passive-aggressive ones learning rates."""
        name = self.learning_rate if isinstance(self.learning_rate, str) else None
        if name not in OWN_OPTIMIZERS:
            return resolve.optimizer(self.optimizer, sparse=sparse, penalty_spec=penalty)
        is_auto = name == resolve.AUTO
        if not is_auto and type(loss) is not type(LOSSES[self._passive_aggressive_loss]):
            raise ValueError(
                f"Learning rate '{name}' only works with loss '{self._passive_aggressive_loss}'."
            )
        if self.optimizer != "sgd" and not getattr(self.optimizer, "is_plain", False):
            advice = "; 'prodigy' is an Adam that finds its rate" if is_auto else ""
            raise ValueError(
                f"Learning rate '{name}' is an optimizer of its own and goes with "
                f"optimizer='sgd'; got {self.optimizer!r}{advice}."
            )
        if not is_auto:
            return resolve.passive_aggressive(name)
        return resolve.rate_free(
            loss,
            penalty,
            has_targets=is_regressor(self),
            is_centred=bool(self.fit_intercept) and not sparse,
            n_averaged=self._n_averaged(),
        )

    def _n_averaged(self) -> float:
        """Return over how many steps ``learning_rate="auto"`` averages, by itself."""
        if self.average > 0 or self.batch_size == "full":
            return 0.0
        return ROWS_AVERAGED / self.batch_size

    def _lacks_on_cuda(self, X: Any) -> str | None:
        """Return what of a training has no form for a device; None where all has."""
        if not has_form(resolve.optimizer(self.optimizer, sparse=sp.issparse(X))):
            return f"optimizer={self.optimizer!r}, a step of all coefficients of your own"
        return None

    def _loses_on_cuda(self, X: Any) -> str | None:  # noqa: ARG002
        """Return why the processor is faster, None where it is not."""
        if self.batch_size == "full" or self.batch_size >= LEAST_BATCH:
            return None
        return (
            f"batch_size={self.batch_size} is less work than a device takes to begin a step: from "
            f"{LEAST_BATCH} on it pays. X was copied to the processor; device='cuda' trains where "
            "it lies."
        )

    def _penalty_spec(self) -> Any:
        """Return the penalty's strengths, and its bounds."""
        spec = resolve.penalty(self.penalty, self.alpha, self.l1_ratio)
        if not self.positive:
            return spec
        if not hasattr(type(spec), "above"):
            raise ValueError(
                "positive=True goes with penalty 'l2', 'l1', 'elasticnet', None or an ElasticNet; "
                f"got {self.penalty!r}. Bounded(low=0.0) is an object that does the same."
            )
        return type(spec).above(spec, 0.0)

    def _unit(self, weight: NDArray[Any]) -> float:
        """Return the mean weight that gradients are divided by.

        One row at a time a weight multiplies the step, as scikit-learn has it; in a batch the mean
        weight of the call is divided out, so that the full batch equals repeated rows.
        """
        if weight.shape[0] == 0 or self.batch_size == 1:
            return 1.0
        mean = float(np.mean(weight, dtype=np.float64))
        if mean < 0.0 or (mean == 0.0 and weight.any()):
            raise ValueError(
                "The mean of sample_weight must be > 0 where batch_size is more than 1, got "
                f"{mean}."
            )
        return mean or 1.0

    # -- parameters and progress ----------------------------------------------------------------

    def _begin(self, shape: tuple[int, ...], dtype: Any, rule: Rule) -> Progress:
        """Return a new training that starts from ``coef_`` and ``intercept_``, or from zero."""
        params = np.zeros(shape, dtype)
        params[LINEAR.free] = self._intercept_at_start
        if getattr(self, "coef_", None) is not None:
            self._write_params(params)
        seed = seed_of(self.random_state)
        return Progress.begin(params, rule.optimizer, average=self.average > 0, seed=seed)

    def _write_params(self, params: NDArray[Any]) -> None:
        """Write ``coef_`` and ``intercept_`` into parameters of their shape."""
        coef = self.coef_.toarray() if hasattr(self.coef_, "toarray") else self.coef_
        intercept = self._intercept()
        penalised, free = params[LINEAR.penalised], params[LINEAR.free]
        if np.size(coef) != penalised.size or np.size(intercept) != free.size:
            raise ValueError(_mismatch(self, np.shape(coef), np.size(intercept), params.shape))
        penalised[...] = np.reshape(coef, (-1, penalised.shape[0])).T.reshape(penalised.shape)
        free[...] = np.reshape(intercept, free.shape)

    def _intercept(self) -> Any:
        """Return the fitted intercept, as the kernels have it."""
        return self.intercept_

    def _run(self, call: Call, progress: Progress) -> tuple[Progress, int]:
        arguments = (call.source, call.rule, progress, call.settings, call.score, self._watch)
        of_rows = self.batch_size == 1  # which threads do not share
        with threads(None if of_rows else getattr(self, "n_jobs", None)):
            return train(*arguments, call.device)

    def _take_over(self, call: Call, progress: Progress, n_iter: int) -> None:
        """Report what was trained."""
        self.n_iter_ = n_iter
        self._progress = progress
        counts_rows = call.settings.batch_size == 1  # scikit-learn counts the rows held out as well
        self._held_out = getattr(self, "_held_out", 0) + call.n_held_out * n_iter * counts_rows
        self.t_ = 1.0 + progress.steps + self._held_out
        for name, value in call.targets.report(progress.reported()).items():
            setattr(self, name, value)

    def _warn(self, n_iter: int, settings: Settings) -> None:
        """Say what a user may not expect of what was trained."""
        super()._warn(n_iter, settings)
        if self.power_t < 0:
            warnings.warn(
                "Negative values for `power_t` are deprecated, as they are in scikit-learn 1.8, "
                "and will raise an error. Use values in the range [0.0, inf) instead.",
                FutureWarning,
                stacklevel=2,
            )

    def _kept(self) -> set[str]:
        return {"coef_", self._intercept_name}

    def _raw(self, X: Any) -> NDArray[Any]:
        """Return x @ coef + intercept for each row."""
        if "coef_" not in vars(self):  # scikit-learn's own way to tell takes as long as to predict
            check_is_fitted(self)
        if isinstance(X, HeldRows):
            return X.raw(self)
        X, coef = check_X(self, X, reset=False), self.coef_.T
        is_dense = isinstance(X, np.ndarray) and isinstance(coef, np.ndarray)
        raw = X @ coef if is_dense else safe_sparse_dot(X, coef, dense_output=True)
        return raw + self.intercept_


class SupervisedSGD(StoppedByScore, BaseSGD):
    """Base class of those that have targets, and so a score by which training may stop."""

    def _score_on(
        self, targets: Targets, X: Any, codes: NDArray[Any], weight: NDArray[Any] | None
    ) -> Score:
        def score(params: NDArray[Any]) -> NDArray[np.float64]:
            return np.array([targets.score(codes, _raw_of(X, params), weight)])

        return score


def _raw_of(X: Any, params: NDArray[Any]) -> NDArray[Any]:
    """Return the raw predictions of these parameters."""
    raw: NDArray[Any] = safe_sparse_dot(X, params[LINEAR.penalised], dense_output=True) + params[-1]
    return raw


def _mismatch(model: Any, coef: tuple[int, ...], n_intercepts: int, params: tuple[int, ...]) -> str:
    """Say in what the coefficients that training would start from differ from the data."""
    n_features, n_outputs = params[0] - 1, params[1] if len(params) == 2 else 1
    had_outputs, had_features = (1, 1, *coef)[-2:]
    found, needed = [], []
    if had_features != n_features:
        found.append(f"{had_features} features")
        needed.append(f"{n_features} features")
    if had_outputs != n_outputs:
        found.append(_counted_outputs(model, had_outputs))
        needed.append(_counted_outputs(model, n_outputs))
    if not found:
        found.append(f"a shape of {coef} with {n_intercepts} numbers in {model._intercept_name}")
        needed.append(f"{n_outputs} x {n_features}, and as many intercepts as outputs")
    had, have = " and ".join(found), " and ".join(needed)
    if model.warm_start:
        return (
            f"warm_start=True goes on from the last fit, whose coef_ has {had}; these data have "
            f"{have}. Use warm_start=False, or a new estimator."
        )
    return f"Training goes on from coef_, which has {had}; it should have {have}."


def _counted_outputs(model: Any, number: int) -> str:
    """Return what a number of outputs stands for."""
    if not is_classifier(model):
        return f"{number} {'target' if number == 1 else 'targets'}"
    if getattr(model, "_is_multilabel", False):
        return f"{number} labels"
    return f"{max(number, 2)} classes"


def _refuse_what_is_no_number(name: str, values: NDArray[Any]) -> None:
    if not np.isfinite(values).all():
        raise ValueError(f"{name} contains NaN or infinity.")
