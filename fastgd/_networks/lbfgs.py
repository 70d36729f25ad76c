"""Full-batch training by L-BFGS: scipy's, on the objective and gradient that the engine gives."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from fastgd._data.source import Source
from fastgd._engines.network import NetworkEngine
from fastgd._runtime.threads import one_blas_thread
from fastgd._training.progress import Progress, Settings


def minimise(
    engine: NetworkEngine,
    source: Source,
    progress: Progress,
    settings: Settings,
    max_fun: int,
    watch: Any,
) -> tuple[Progress, int]:
    """Minimise the objective of all rows; return where training stands, and the iterations.

    Parameters
    ----------
    engine : NetworkEngine
    source : Source
    progress : Progress
        Where to start; it is left as it is.
    settings : Settings
        ``max_iter`` iterations at most; ``tol`` bounds the largest entry of the gradient.
    max_fun : int
        The most evaluations of the objective.
    watch : TrainingWatch
        Is told of each iteration, and may stop it.

    Raises
    ------
    ValueError
        If the objective or the parameters overflow.

    References
    ----------
    .. [1] Liu & Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.
    """
    if watch.resumes:
        raise ValueError("resume=True: solver='lbfgs' cannot go on from a file; 'adam' can.")
    now = progress.copy()
    engine.allocate(now, source, 1)
    dtype, n_trained = now.params.dtype, engine.layout.free.stop
    last: dict[str, float] = {}

    def objective(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        now.params[:n_trained] = values.astype(dtype)
        found = engine.evaluate(source, now.params)
        last.update(loss=found.loss, penalty=found.penalty)
        return found.loss + found.penalty, np.asarray(found.gradient[:n_trained], np.float64)

    def iterated(intermediate_result: Any) -> None:
        now.params[:n_trained] = intermediate_result.x.astype(dtype)
        now.epochs += 1
        now.note(
            {
                "objective": [float(intermediate_result.fun)],
                "loss": [last["loss"]],
                "penalty": [last["penalty"]],
            }
        )
        if watch.epoch_ended(now):
            raise StopIteration

    options = {"maxiter": settings.max_iter, "maxfun": max_fun, "gtol": settings.tol or 0.0}
    start = now.params[:n_trained].astype(np.float64)
    with one_blas_thread():
        found = minimize(
            objective, start, jac=True, method="L-BFGS-B", callback=iterated, options=options
        )
    now.params[:n_trained] = found.x.astype(dtype)
    if not (np.isfinite(found.fun) and engine.is_finite()):
        raise ValueError(
            "The objective or the parameters overflowed under solver='lbfgs'. Scaling input data "
            "with StandardScaler or MinMaxScaler might help, and so might a larger alpha."
        )
    if now.epochs == progress.epochs:
        now.note({"objective": [float(found.fun)]})
    watch.restore(now)
    return now, now.epochs - progress.epochs
