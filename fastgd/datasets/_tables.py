"""Tables into numbers, and numbers into what scikit-learn's loaders return."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch


def encode(
    frame: Any, numeric: list[str], categorical: list[str]
) -> tuple[NDArray[np.float32], list[str]]:
    """Return numbers as they are, missing ones as the median, and a column for each category.

    A category that is missing has zeros in all its columns.

    Returns
    -------
    X : ndarray of shape (n_samples, n_columns)
    names : list of str
        The columns' names.
    """
    import pandas as pd

    numbers = frame[numeric].fillna(frame[numeric].median())
    if not categorical:
        return numbers.to_numpy(np.float32), list(numeric)
    dummies = pd.get_dummies(frame[categorical], columns=categorical, dtype=np.float32)
    X = np.hstack([numbers.to_numpy(np.float32), dummies.to_numpy(np.float32)])
    return X, [*numeric, *dummies.columns]


def bundled(
    X: NDArray[Any],
    y: NDArray[Any],
    about: dict[str, Any],
    *,
    return_X_y: bool,
    as_frame: bool,
) -> Any:
    """Return a data set as scikit-learn's loaders do.

    ``about`` has ``feature_names``, ``target_names`` and ``DESCR``. The target is named "target".
    """
    frame, data, target = None, X, y
    if as_frame:
        import pandas as pd

        data = pd.DataFrame(X, columns=about["feature_names"])
        target = pd.Series(y, name="target")
        frame = data.assign(target=target)
    if return_X_y:
        return data, target
    return Bunch(data=data, target=target, frame=frame, **about)
