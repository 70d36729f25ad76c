"""Stochastic estimators and networks on a cluster: steps where the rows are, and an exchange.

Estimators without a learning rate take Dask's collections in ``fit``; see :doc:`large-data`.
"""

import copy
import functools
import math
from numbers import Integral, Real
from typing import Any

from fastgd._data.parts import is_collection
from fastgd._distributed.cluster import ClusterLost
from fastgd._monitoring.watching import PASSING
from fastgd._parameters import resolve
from fastgd._training.estimator import Call, Validation
from fastgd._training.parts import TrainedOnParts, chunks_to_stop_by
from fastgd._training.progress import Progress
from fastgd._training.stopping import Stopping

__all__ = ["ClusterLost", "fit"]


def fit(
    model: Any,
    X: Any,
    y: Any = None,
    *,
    rounds: int | str = 1,
    quantize: Any = None,
    rate: float = 1.0,
    momentum: float = 0.5,
    wait: float | None = None,
    X_val: Any = None,
    y_val: Any = None,
) -> Any:
    """Fit an estimator with a learning rate where the rows of a Dask collection are.

    Each partition takes the estimator's own steps, from parameters that all have in common; after a
    part of an epoch it sends how far they have moved, and all go on from the mean of that, weighed
    by rows (local SGD). ``model.fit(X, y)`` brings one partition after the other to the client
    instead: its steps are those of one machine, and all rows are sent in each epoch.

    Parameters
    ----------
    model : estimator
        One of ``fastgd.neural_network``, or ``SGDClassifier``, ``SGDRegressor`` or
        ``SGDOneClassSVM``. ``max_iter``, ``tol``, ``batch_size`` and the others mean what they do;
        its optimizer's state stays with each partition, and so does the schedule, by the
        partition's own steps. ``partial_fit`` goes on with the state of the largest.
    X, y : dask array or dataframe, or list of delayed values or futures
        Of the same partitions. They are kept in the workers' memory during the fit.
    rounds : int or "batch", default=1
        Exchanges an epoch, >= 1. "batch" is one after each batch: with ``momentum=0`` and plain SGD
        the step of the mean gradient of one batch of each partition.
    quantize : int, str or quantizer, default=None
        What is sent is encoded, both ways: 1 to 8 bits (``Qsgd``), "terngrad", "sign", "topk", or
        an object of ``fastgd.transforms``. What those with error feedback have not sent is kept
        with the partition, and sent later. None: floats as they are.
    rate, momentum : float, default=1.0 and 0.5
        Of the step that the common parameters take along the mean (Nesterov's), > 0, and in [0, 1).
        With one exchange an epoch, 0.7 and 0.9 have been found to be faster still.
    wait : float, default=None
        Seconds after which a round goes on without the partitions that have not answered, > 0;
        theirs count in the round when they come. Results then depend on time.
    X_val, y_val : array-like, or rows in parts
        Rows by whose score training stops, read by the client after each epoch.

    Returns
    -------
    model : estimator
        The same, fitted. ``history_`` has an entry an epoch: "objective", "loss" and "penalty" of
        the rows on the way, "bytes" that were sent, "late" answers.

    Raises
    ------
    ValueError
        For arguments out of range, or parameters that look at single epochs of one machine: rates
        that adapt, ``average``, ``early_stopping``, lbfgs, ``on_divergence`` other than "raise".
    TypeError
        If the model has no learning rate, or X is no collection.
    ClusterLost
        If the scheduler no longer answers.

    Notes
    -----
    With ``wait=None`` results have the same bits on any number of workers, and where workers are
    lost: what they had is computed anew, from the first round on. They depend on the partitions,
    and are best where rows are mixed: with steps that adapt ("auto", "adam", ...) a partition of
    one class pulls as hard as all others, whatever ``class_weight`` says: shuffle sorted rows.

    References
    ----------
    .. [1] Stich, "Local SGD Converges Fast and Communicates Little", 2019. arXiv:1805.09767
    .. [2] Wang, Tantia, Ballas & Rabbat, "SlowMo", 2020. arXiv:1910.00643
    .. [3] Alistarh et al., "QSGD", 2017. arXiv:1610.02132

    Examples
    --------
    >>> import dask.array as da  # doctest: +SKIP
    >>> from fastgd import SGDClassifier, distributed  # doctest: +SKIP
    >>> model = SGDClassifier(loss="log_loss", batch_size=64)  # doctest: +SKIP
    >>> distributed.fit(model, X, y, rounds=4, quantize=4)  # doctest: +SKIP
    """
    _check(model, X, rounds, rate, momentum, wait)
    quantizer = None if quantize is None else resolve.quantizer(quantize)
    from fastgd._distributed.collections import DaskChunks
    from fastgd._distributed.rounds import Exchange

    chunks = DaskChunks(X, y)
    exchange = Exchange(rounds, quantizer, float(rate), float(momentum), wait)
    held_out = Validation(X_val, y_val)
    stops_by = chunks_to_stop_by(held_out) if held_out.is_given() else None
    trains = functools.partial(_trained, model, chunks, exchange)
    model._fit_in_chunks(chunks, model._classes_of(chunks), held_out=stops_by, trains=trains)
    return model


def _trained(
    model: Any, chunks: Any, exchange: Any, call: Call, progress: Progress
) -> tuple[Progress, int]:
    """Train by rounds, for ``max_iter`` epochs or until it no longer helps."""
    from fastgd._distributed.rounds import Rounds, Work

    settings, watch = call.settings, model._watch
    _check_call(settings, watch)
    snapshot = copy.copy(model)
    for name in PASSING:
        vars(snapshot).pop(name, None)
    snapshot.callbacks = None
    written = snapshot._written(call.targets, progress.params.dtype)
    penalised, n_trained = model._sizes(progress.params)
    plain = call._replace(source=None, score=None, trains=None)  # type: ignore[arg-type]
    work = Work(snapshot, written, plain, exchange.quantizer, n_trained, penalised)
    stopping, now, ends = Stopping(settings, call.score), progress.copy(), False
    rounds = Rounds(chunks, exchange, work, now)
    while not ends and now.epochs < progress.epochs + settings.max_iter:
        figures = rounds.taken()
        if not math.isfinite(figures["objective"] + figures["coef_norm"]):
            raise ValueError(
                f"Floating-point under-/overflow occurred at epoch #{now.epochs}. A smaller eta0, "
                "or rate, or momentum might help, and so might scaled columns."
            )
        measured = stopping.measured([figures["objective"]], now)
        if call.score is not None:
            figures["validation_score"] = -float(measured[0])
        now.note({name: [value] for name, value in figures.items()})
        ends = stopping.stalled(measured, now)
        ends = watch.epoch_ended(now) or ends
    rounds.end()
    stopping.restore(now)
    watch.restore(now)
    return now, now.epochs - progress.epochs


def _check(model: Any, X: Any, rounds: Any, rate: Any, momentum: Any, wait: Any) -> None:
    """Refuse arguments out of range."""
    if not isinstance(model, TrainedOnParts):
        raise TypeError(
            f"model must be an estimator with a learning rate, got {type(model).__name__}; those "
            "without one take collections in fit."
        )
    if not is_collection(X):
        raise TypeError(f"X must be a collection of Dask's, got {type(X).__name__}; use model.fit.")
    if rounds != "batch" and not (_is(rounds, Integral) and rounds >= 1):
        raise ValueError(f"rounds must be an integer >= 1 or 'batch', got {rounds!r}.")
    if not (_is(rate, Real) and 0 < rate < math.inf):
        raise ValueError(f"rate must be a number > 0, got {rate!r}.")
    if not (_is(momentum, Real) and 0 <= momentum < 1):
        raise ValueError(f"momentum must be in [0, 1), got {momentum!r}.")
    if wait is not None and not (_is(wait, Real) and 0 < wait < math.inf):
        raise ValueError(f"wait must be None or seconds > 0, got {wait!r}.")
    refused = {
        "early_stopping=True holds rows of one machine out; pass X_val and y_val": getattr(
            model, "early_stopping", False
        ),
        "average is of the steps of one machine; use average=False": model.average,
        "solver='lbfgs' has no steps of batches; use 'adam' or 'sgd'": (
            getattr(model, "solver", None) == "lbfgs"
        ),
        "on_divergence must be 'raise'": model.on_divergence != "raise",
        "warm_start must be False": model.warm_start,
    }
    for said, is_so in refused.items():
        if is_so:
            raise ValueError(f"steps on partitions: {said}.")


def _check_call(settings: Any, watch: Any) -> None:
    """Refuse rates that look at single epochs, and checkpoints that a fit would go on from."""
    if getattr(settings.schedule, "begin", lambda _: None)(1) is not None:
        raise ValueError(
            "steps on partitions: learning_rate 'adaptive' and 'plateau' look at the epochs of one "
            "machine; use a schedule of the steps, such as 'constant' or 'cosine'."
        )
    if watch.resumes:
        raise ValueError("resume=True: a fit on partitions cannot go on from a file.")


def _is(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
