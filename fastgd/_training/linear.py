"""A linear model trained by the processor or on a device: the trainer with its usual parts."""

from typing import Any

from fastgd._data.source import Data, InMemory, Source
from fastgd._engines.cuda_linear import CudaLinearEngine
from fastgd._engines.linear import LinearEngine
from fastgd._engines.protocol import Local
from fastgd._runtime.devices import is_there
from fastgd._training.progress import Progress, Settings
from fastgd._training.stopping import Score, Stopping
from fastgd._training.trainer import Trainer, TrainingObserver
from fastgd.kernels.sgd import Rule


def in_memory(data: Data, settings: Settings) -> InMemory:
    """Return the source of arrays."""
    # the order of the rows within the full batch means nothing
    shuffles = settings.shuffle and settings.batch_size < data.n_visited
    return InMemory(data, shuffles=shuffles, n_epochs=settings.max_iter)


def train(
    source: Source,
    rule: Rule,
    progress: Progress,
    settings: Settings,
    score: Score | None = None,
    observer: Any = None,
    device: str = "cpu",
) -> tuple[Progress, int]:
    """Train a linear model, for ``max_iter`` epochs or until it no longer helps.

    Parameters
    ----------
    source : Source
    rule : Rule
        Loss, penalty, optimizer, whether there is an intercept, the gradient's transform.
    progress : Progress
        Where to start; it is left as it is.
    settings : Settings
    score : callable, default=None
        From parameters to scores on rows held out, one for each thing that stops by itself; the
        best parameters are kept. By default training stops by its objective.
    observer : TrainingObserver, default=None
        Is notified of each epoch, and may stop the training after any chunk of steps.
    device : {"cpu", "cuda"}, default="cpu"

    Returns
    -------
    progress : Progress
    n_iter : int
        Epochs taken.

    Raises
    ------
    Diverged
        If the parameters or the objective explode and ``on_divergence`` is "raise".
    """
    stopping = Stopping(settings, score)
    engine = CudaLinearEngine if is_there(device) else LinearEngine
    parts = (engine(rule), source, Local(), progress.copy(), settings, stopping)
    trainer = Trainer(*parts, observer or TrainingObserver())
    return trainer.train(), trainer.n_taken
