"""What a solver requires of a task: each one declares it, and it is checked here."""

from typing import NamedTuple

from fastgd._solvers._task import Task
from fastgd.kernels import losses


class Requires(NamedTuple):
    """What a solver requires.

    methods : of a loss of one output; those of many outputs are compiled for the softmax
    smooth : bool, a loss whose gradient is continuous
    l2 : bool, an l2 penalty
    free : bool, coefficients without bounds
    """

    methods: tuple[str, ...]
    smooth: bool = False
    l2: bool = False
    free: bool = False


def lacking(task: Task, requires: Requires) -> str:
    """Return what a task lacks, in words; empty where it has all that is required."""
    loss, name = task.loss, type(task.loss).__name__
    is_row = losses.kind_of(loss) == losses.MULTINOMIAL
    methods = () if is_row else requires.methods
    missing = ", ".join(method for method in methods if not losses.has(loss, method))
    has_jumps = requires.smooth and not is_row and not losses.is_smooth(loss)
    asked = {
        "an l2 penalty": requires.l2 and not task.l2 > 0.0,
        f"a smooth loss, which {name} is not": has_jumps,
        f"a loss with {missing}, which {name} has not": bool(missing),
        f"the plain softmax for many outputs, which {loss} is not": is_row
        and not losses.is_cross_entropy(loss),
        "positive=False": requires.free and task.positive,
    }
    return " and ".join(words for words, is_lacking in asked.items() if is_lacking)


def check(task: Task, solver: str, requires: Requires) -> None:
    """Refuse a solver that cannot solve a task.

    Raises
    ------
    ValueError
        If the task lacks something; the message says what.
    """
    what = lacking(task, requires)
    if what:
        raise ValueError(
            f"solver={solver!r} needs {what}; use solver='auto', or SGDClassifier or SGDRegressor, "
            "which need no more of a loss than value and gradient."
        )
