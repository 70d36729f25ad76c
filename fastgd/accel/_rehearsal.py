"""What scikit-learn warns of an estimator's parameters, in its own words.

Where parameters are deprecated or contradict each other, scikit-learn's ``fit`` warns before it
looks at the data. It is called on four rows, of an estimator of the same parameters, which takes
a millisecond.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastgd.accel._call import Call, defaults


def never(call: Call) -> bool:  # noqa: ARG001
    """Tell that scikit-learn never warns of the parameters alone."""
    return False


def always(call: Call) -> bool:  # noqa: ARG001
    """Tell that scikit-learn may warn whatever the parameters are."""
    return True


def for_logistic(call: Call) -> bool:
    """Tell whether an argument is given that may be deprecated, or not go with the solver."""
    usual = defaults(call.kind)
    if call.model.solver == "liblinear":
        return True
    names = [name for name in ("penalty", "n_jobs", "l1_ratio", "dual") if name in usual]
    return any(getattr(call.model, name) != usual[name] for name in names)


def for_path(call: Call) -> bool:
    """Tell whether the strengths are given in a way that may be deprecated."""
    usual = defaults(call.kind)
    is_default = getattr(call.model, "n_alphas", None) == usual.get("n_alphas")
    return call.model.alphas is None or not is_default


def rehearse(original: Callable[..., Any], call: Call) -> None:
    """Call scikit-learn's method on four rows."""
    params = call.parameters
    fewer: dict[str, Any] = {"cv": 2, "class_weight": None, "random_state": 0, "alphas": [1.0]}
    if params.get("alphas") is None or isinstance(params["alphas"], str):
        fewer.pop("alphas")
    if "Cs" in params:  # a grid, in this process
        fewer |= {"Cs": [1.0], "n_jobs": None}
    if params.get("scoring") not in (None, "warn"):
        fewer["scoring"] = "accuracy"
    params |= {name: value for name, value in fewer.items() if name in params}
    labels = np.array([0.0, 1.0, 1.0, 0.0])
    is_table = np.ndim(call.y) == 2
    original(call.kind(**params), np.array([[0.0], [1.0], [0.0], [1.0]]), _column(labels, is_table))


def _column(labels: Any, is_table: bool) -> Any:
    return labels[:, np.newaxis] if is_table else labels
