"""What the estimators of networks share: the way from ``fit`` to the trainer."""

from abc import abstractmethod
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from fastgd._data.parts import chunks_of, is_in_parts
from fastgd._data.source import Data
from fastgd._data.targets import NONE, Targets
from fastgd._data.validation import as_rows, check_weight, check_X, check_X_y, refuse_no_weight
from fastgd._engines.cuda_layers import lacks
from fastgd._engines.cuda_network import CudaNetworkEngine
from fastgd._engines.cuda_parameters import has_form
from fastgd._engines.network import NetworkEngine, outputs, rule_of
from fastgd._engines.protocol import Local
from fastgd._monitoring.undo import or_as_before
from fastgd._monitoring.watching import Given, TrainingWatch, watched
from fastgd._networks.assembly import Assembly
from fastgd._networks.drawing import drawn
from fastgd._networks.images import Images
from fastgd._networks.lbfgs import minimise
from fastgd._networks.names import Rates
from fastgd._parameters import resolve
from fastgd._runtime.devices import (
    ALLOWED,
    HeldRows,
    chosen,
    is_on_device,
    is_there,
    not_there,
    to_host,
)
from fastgd._runtime.threads import threads
from fastgd._training.estimator import FLOATS, Call, StoppedByScore, Validation, seed_of
from fastgd._training.labels import dense_labels
from fastgd._training.linear import in_memory
from fastgd._training.parts import TrainedOnParts
from fastgd._training.progress import Progress, Settings
from fastgd._training.stopping import Score, Stopping
from fastgd._training.trainer import Trainer
from fastgd.kernels.optimizers import OPTIMIZERS, Adam, Momentum, Prodigy, Sgd
from fastgd.kernels.penalties import ElasticNet
from fastgd.kernels.transforms import TRANSFORMS
from fastgd.schedules import SCHEDULES

AUTO_BATCH = 200  # scikit-learn's
USUAL_RATE = 0.001  # the default


class BaseNetwork(StoppedByScore, TrainedOnParts):
    """Base class of the networks.

    A subclass says what its layers and its targets are. Whatever a call does, it does to copies:
    one that fails leaves the model as it was.
    """

    _network: Assembly
    _params: NDArray[Any]  # those that predict
    _learned = frozenset(
        {
            *("classes_", "n_iter_", "n_outputs_", "t_", "_progress", "_params", "_network"),
            *("_is_multilabel", "_n_targets", "_row_shape", "n_features_in_", "feature_names_in_"),
            "_balance",
        }
    )

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "solver": [
            StrOptions({*OPTIMIZERS, "lbfgs"}),
            HasMethods(["update", "step_coefficients"]),
        ],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto", "full"})],
        "learning_rate": [StrOptions(({*SCHEDULES} | {resolve.AUTO}) - {"optimal"}), callable],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), None],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "average": [Interval(Integral, 0, None, closed="neither"), "boolean"],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "clip_value": [Interval(Real, 0, None, closed="neither"), None],
        "quantize": [StrOptions(set(TRANSFORMS)), Integral, tuple, None],
        "on_divergence": [StrOptions({"raise", "backoff", "warn"})],
        "monitor": ["boolean"],
        "callbacks": [list, tuple, None],
        "device": ALLOWED,
        "n_jobs": [Integral, None],
    }

    # -- what a subclass says -----------------------------------------------------------------

    @abstractmethod
    def _assemble(self, shape: tuple[int, ...], targets: Targets) -> Assembly:
        """Return the network for rows of this shape."""

    def _images(self) -> Images:
        """Return how rows of several axes are read."""
        return Images(has_axes=False)

    def _multi_output(self, y: Any) -> bool:  # noqa: ARG002
        """Tell whether y may have several columns."""
        return True

    # -- fit and partial_fit --------------------------------------------------------------------

    def _fit(self, X: Any, y: Any, sample_weight: Any, held_out: Validation) -> None:
        """Fit anew, or from the last parameters if ``warm_start`` says so."""
        if is_in_parts(X):
            self._refuse_lbfgs_in_parts()
            self._fit_parts(chunks_of(X, y, sample_weight), held_out)
            return
        before = getattr(self, "_network", None) if self.warm_start else None
        device = chosen(self, X)
        with watched(TrainingWatch, self), or_as_before(self, self._forget()):
            X, y = self._check_X_y(X, y, first=True, dtype=FLOATS)
            self._learn_targets(y)
            targets = self._targets()
            weight = check_weight(sample_weight, X, X.dtype, all_zero=True)
            codes = targets.encode(y)
            assembly = self._assembled(X, targets, before)
            rows, score = self._stop_by(targets, Given(X, codes, weight), held_out)
            refuse_no_weight(weight)
            data = self._rows_of(targets, X, codes, weight)._replace(rows=rows)
            rule = self._rule(targets, sparse=sp.issparse(X))
            progress = self._begin(assembly, X.dtype, rule)
            settings = self._settings(data.n_visited, self.max_iter, self.tol, rule)
            given, source = Given(X, y, sample_weight), in_memory(data, settings)
            call = Call(given, targets, source, rule, settings, score, device=device)
            self._train(call, progress)

    def _rule_and_progress(
        self, targets: Targets, X: Any, *, first: bool = True
    ) -> tuple[Any, Progress]:
        assembly = self._assembled(X, targets, None if first else self._network)
        rule = self._rule(targets, sparse=sp.issparse(X))
        return rule, self._begin(assembly, X.dtype, rule) if first else self._continue(rule)

    def _rows_of(self, targets: Targets, X: Any, codes: NDArray[Any], weight: NDArray[Any]) -> Data:
        """Return what to train on; targets of one output are a table of one column."""
        self._network.refuse_what_is_no_input(X)
        data = targets.data(X, codes, weight, 1.0)
        unit = 1.0
        if data.weight.shape[0] > 0:
            unit = float(np.mean(data.weight, dtype=np.float64)) or 1.0
            if unit < 0.0:
                raise ValueError(f"The mean of sample_weight must be > 0, got {unit}.")
        y = data.y.reshape(-1, 1) if targets.n_outputs is None else data.y
        return data._replace(y=y, unit=unit)

    def _sizes(self, params: NDArray[Any]) -> tuple[slice, int]:  # noqa: ARG002
        return slice(0, self._network.n_weights), self._network.n_trained

    def _raw_at(self, params: NDArray[Any], X: Any, targets: Targets) -> NDArray[Any]:
        return _shaped(outputs(self._network, params, as_rows(X), X.shape[0]), targets)

    def _refuse_lbfgs_in_parts(self) -> None:
        if self.solver == "lbfgs":
            raise ValueError(
                "solver='lbfgs' needs all rows in memory; stochastic solvers, such as 'adam', take "
                "data sets in parts."
            )

    def _check_further(self, max_iter: int) -> None:
        super()._check_further(max_iter)
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit goes with stochastic solvers, not with 'lbfgs'.")

    def _check_X_y(self, X: Any, y: Any, *, first: bool, dtype: Any) -> tuple[Any, Any]:
        """Validate training data, and lay rows of several axes flat."""
        X, y = self._flat(X, first=first), dense_labels(y)
        X, y = check_X_y(self, X, y, reset=first, dtype=dtype, multi_output=self._multi_output(y))
        return X, np.asarray(y)

    def _flat(self, X: Any, *, first: bool) -> Any:
        """Return rows of several axes as rows of numbers, in host memory if there may be such."""
        if is_on_device(X) and self._images().has_axes:  # what layers read is checked on the host
            X = to_host(X)
        return self._images().flat(self, X, first=first)

    def _assembled(self, X: Any, targets: Targets, before: Assembly | None) -> Assembly:
        """Return the network for these rows, which goes on with the parameters of one before."""
        assembly = self._assemble(getattr(self, "_row_shape", (X.shape[1],)), targets)
        assembly.refuse_what_is_no_input(X)
        if before is not None:
            assembly.refuse_another(before)
        if self.solver == "lbfgs" and assembly.draws_or_remembers:
            raise ValueError(
                f"solver='lbfgs' needs a loss that does not change from call to call; "
                f"{assembly.draws_or_remembers[0]}, does something else in training than in "
                "predictions. Use a stochastic solver, such as 'adam'."
            )
        self._network = assembly
        return assembly

    def _stop_by(
        self, targets: Targets, given: Given, held_out: Validation
    ) -> tuple[NDArray[Any], Score | None]:
        if self.solver != "lbfgs":
            return super()._stop_by(targets, given, held_out)
        if held_out.is_given():
            raise ValueError(
                "X_val goes with stochastic solvers; solver='lbfgs' stops by its gradient."
            )
        return NONE, None  # as in scikit-learn, early_stopping is for the others

    def _check_X_val(self, X: Any, dtype: Any) -> Any:
        X = super()._check_X_val(self._flat(X, first=False), dtype)
        self._network.refuse_what_is_no_input(X)
        return X

    def _score_on(
        self, targets: Targets, X: Any, codes: NDArray[Any], weight: NDArray[Any] | None
    ) -> Score:
        def score(params: NDArray[Any]) -> NDArray[np.float64]:
            return np.array([targets.score(codes, self._raw_at(params, X, targets), weight)])

        return score

    # -- settings -------------------------------------------------------------------------------

    def _rule(self, targets: Targets, *, sparse: bool) -> Any:
        """Return what a step does, from the constructor's parameters."""
        transform = resolve.transform(self.clip_norm, self.clip_value, self.quantize)
        optimizer = resolve.optimizer(
            self._optimizer(), sparse=sparse, penalty_spec=ElasticNet(0.0, self.alpha)
        )
        return rule_of(targets.loss, optimizer, self.alpha, transform)

    def _optimizer(self) -> Any:
        """Return the optimizer; momentum and moments are scikit-learn's parameters."""
        if self.learning_rate == resolve.AUTO:
            return self._optimizer_without_rate()
        if self.solver == "sgd":
            return Momentum(self.momentum, self.nesterovs_momentum) if self.momentum > 0 else Sgd()
        if self.solver == "adam":
            return Adam(self.beta_1, self.beta_2, self.epsilon)
        if self.solver == "lbfgs":
            return Sgd()
        return self._optimizer_asked_for()

    def _optimizer_without_rate(self) -> Any:
        """Return an optimizer that finds its rate: Prodigy in place of "adam", which it is one of.

        Raises
        ------
        ValueError
            If the solver needs a rate.
        """
        if self.solver == "adam":
            return Prodigy(self.beta_1, self.beta_2, self.epsilon)
        known = OPTIMIZERS.get(self.solver) if isinstance(self.solver, str) else self.solver
        if not getattr(known, "finds_rate", False):
            raise ValueError(
                f"learning_rate='auto' goes with solver='adam' or 'prodigy', which then find the "
                f"rate; got solver={self.solver!r}."
            )
        return self._optimizer_asked_for()

    def _optimizer_asked_for(self) -> Any:
        """Return the optimizer of a name or an object, if a network can step by it."""
        optimizer = OPTIMIZERS[self.solver] if isinstance(self.solver, str) else self.solver
        if hasattr(type(optimizer), "slope"):
            raise ValueError(
                f"solver={self.solver!r} chooses its steps by the rows of a linear model; a "
                "network has none such. Use 'sgd' or 'adam'."
            )
        return optimizer

    def _settings(
        self,
        n_visited: int,
        max_iter: int,
        tol: float | None,
        rule: Any,
        *,
        full_batch: int | None = None,
    ) -> Settings:
        named: dict[Any, int] = {"auto": AUTO_BATCH, "full": full_batch or n_visited}
        size = named.get(self.batch_size) or self.batch_size
        batch_size = int(min(size, n_visited))
        steps = -(-n_visited // batch_size)
        eta0 = self.learning_rate_init
        if eta0 == USUAL_RATE and getattr(rule.optimizer, "finds_rate", False):
            eta0 = rule.optimizer.eta0
        rates = Rates(self.learning_rate, eta0, self.power_t)
        patience = self.max_iter if self.n_iter_no_change is None else self.n_iter_no_change
        return Settings(
            batch_size=batch_size,
            schedule=resolve.schedule(rates, rule.loss, rule.optimizer, steps, self.max_iter),
            shuffle=bool(self.shuffle),
            average=int(self.average),
            max_iter=int(max_iter),
            tol=tol,
            n_iter_no_change=int(patience),
            on_divergence=self.on_divergence,
            monitor=bool(self.monitor),
            schedule_tol=self.tol,
        )

    # -- parameters and progress ----------------------------------------------------------------

    def _begin(self, assembly: Assembly, dtype: Any, rule: Any) -> Progress:
        """Return a new training, from the last parameters where ``warm_start`` has kept them."""
        seed = seed_of(self.random_state)
        params = getattr(self, "_params", None)
        if params is None:
            params = assembly.starts(seed)
        start = params.astype(dtype)
        return Progress.begin(start, rule.optimizer, average=self.average > 0, seed=seed)

    def _run(self, call: Call, progress: Progress) -> tuple[Progress, int]:
        engine = self._engine(call)
        if self.solver == "lbfgs":
            return minimise(engine, call.source, progress, call.settings, self.max_fun, self._watch)
        stopping = Stopping(call.settings, call.score)
        parts = (engine, call.source, Local(), progress.copy(), call.settings, stopping)
        with threads(self.n_jobs):
            trainer = Trainer(*parts, self._watch)
            return trainer.train(), trainer.n_taken

    def _engine(self, call: Call) -> NetworkEngine:
        """Return what computes the network where it is trained.

        Raises
        ------
        ValueError
            If a layer has no form for a device.
        """
        if not is_there(call.device):
            return NetworkEngine(self._network, call.rule)
        without = lacks(self._network)
        if without is not None:
            raise not_there(self, f"{without}, a layer of your own")
        return CudaNetworkEngine(self._network, call.rule)

    def _lacks_on_cuda(self, X: Any) -> str | None:  # noqa: ARG002
        """Return what of a training has no form for a device; None where all has."""
        if self.solver == "lbfgs":
            return None
        optimizer = self._optimizer()
        return None if has_form(optimizer) else f"solver={self.solver!r}, a step of your own"

    def _loses_on_cuda(self, X: Any) -> str | None:  # noqa: ARG002
        """Return why the processor is faster, None where it is not known to be."""
        return None

    def _take_over(self, call: Call, progress: Progress, n_iter: int) -> None:  # noqa: ARG002
        """Report what was trained."""
        self.n_iter_ = n_iter
        self._progress = progress
        self._params = progress.reported()
        self.t_ = int(progress.history.get("samples", [0.0])[-1])
        self.n_outputs_ = int(np.prod(self._network.output_shape))

    def _kept(self) -> set[str]:
        return {"_params"}

    # -- what was learned -------------------------------------------------------------------------

    @property
    def loss_curve_(self) -> list[float]:
        """The running objective of each epoch, the penalty included."""
        return list(self._fitted_progress("loss_curve_").history["objective"])

    @property
    def loss_(self) -> float:
        """The objective of the last epoch."""
        return self._fitted_progress("loss_").history["objective"][-1]

    @property
    def best_loss_(self) -> float | None:
        """The lowest objective of an epoch; None with ``early_stopping``."""
        progress = self._fitted_progress("best_loss_")
        stops_by_score = "validation_score" in progress.history
        return None if stops_by_score else float(np.min(progress.history["objective"]))

    @property
    def validation_scores_(self) -> list[float] | None:
        """The score on the rows held out, an entry an epoch; None without ``early_stopping``."""
        scores = self._fitted_progress("validation_scores_").history.get("validation_score")
        return None if scores is None else list(scores)

    @property
    def best_validation_score_(self) -> float | None:
        """The best of ``validation_scores_``."""
        scores = self.validation_scores_
        return None if scores is None else float(np.nanmax(scores))

    @property
    def coefs_(self) -> list[NDArray[Any]]:
        """The weights of each layer that has some: views, so that they can be changed in place."""
        self._fitted_progress("coefs_")
        numbers = self._network.layers_with_weights
        return [self._network.weights_of(self._params, number) for number in numbers]

    @property
    def intercepts_(self) -> list[NDArray[Any]]:
        """The biases of each layer that has weights: views; empty where it has none."""
        self._fitted_progress("intercepts_")
        numbers = self._network.layers_with_weights
        return [self._network.free_of(self._params, number) for number in numbers]

    def _fitted_progress(self, name: str) -> Progress:
        if not hasattr(self, "_progress"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        progress: Progress = self._progress
        return progress

    def summary(self) -> str:
        """Return the table of layers, shapes and parameters as text.

        Returns
        -------
        table : str

        Raises
        ------
        NotFittedError
            Before the first fit: shapes depend on X.
        """
        check_is_fitted(self)
        return self._network.summary()

    def _html_repr(self) -> str:
        """Return what notebooks show, and once it is fitted the layers."""
        html: str = super()._html_repr()
        return html + drawn(self._network) if hasattr(self, "_network") else html

    def _raw(self, X: Any) -> NDArray[Any]:
        """Return the last layer's outputs, (n_samples,) where there is one unit for two classes."""
        if isinstance(X, HeldRows):
            check_is_fitted(self)
            return _shaped(X.outputs(self, self._network, self._params), self._targets())
        X = self._checked_rows(X)
        return _shaped(
            outputs(self._network, self._params, as_rows(X), X.shape[0]), self._targets()
        )

    def _checked_rows(self, X: Any) -> Any:
        """Return rows to predict for, validated and laid flat."""
        check_is_fitted(self)
        X = self._flat(X, first=False)
        X = check_X(self, X, reset=False, dtype=self._params.dtype)
        self._network.refuse_what_is_no_input(X)
        return X

    def _refuse_arrays_of_another(self) -> None:
        """Refuse parameters, rows or outputs that do not go with the layers.

        Kernels find parameters by their place and ask nothing; a file may hold any arrays.

        Raises
        ------
        ValueError
        """
        network, params = self._network, self._params
        n_outputs = self._targets().n_outputs or 1
        if (
            params.shape != (network.n_params,)
            or params.dtype not in FLOATS
            or not params.flags.c_contiguous
            or int(np.prod(network.shape)) != self.n_features_in_
            or network.output_shape != (n_outputs,)
        ):
            raise ValueError("the arrays of the network do not go with its layers.")

    def __setstate__(self, state: Any) -> None:
        """Take what was pickled; parameters that were one array are one again."""
        super().__setstate__(state)
        progress = getattr(self, "_progress", None)
        if progress is not None and progress.is_as_reported:
            self._params = progress.params


def _shaped(raw: NDArray[Any], targets: Targets) -> NDArray[Any]:
    return raw.ravel() if targets.n_outputs is None else raw
