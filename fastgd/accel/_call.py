"""A call of ``fit`` or ``partial_fit``, as the rows of the table see it."""

import inspect
from functools import cache
from typing import Any, NamedTuple

import scipy.sparse as sp


class Call(NamedTuple):
    """A call of one of scikit-learn's estimators.

    model : the estimator
    method : "fit" or "partial_fit"
    X, y : as given
    more : further arguments by name, without those that are None
    shape : of X
    kind : scikit-learn's class, of which the estimator may be a subclass
    """

    model: Any
    method: str
    X: Any
    y: Any
    more: dict[str, Any]
    shape: tuple[int, int]
    kind: type

    @property
    def parameters(self) -> dict[str, Any]:
        """Return what scikit-learn's class reads, by name; a subclass may name it otherwise."""
        names = self.kind._get_param_names()  # type: ignore[attr-defined]
        return {name: getattr(self.model, name) for name in names}

    @property
    def is_sparse(self) -> bool:
        """Tell whether X is a sparse matrix."""
        return bool(sp.issparse(self.X))

    @property
    def is_first(self) -> bool:
        """Tell whether there is nothing to go on from."""
        return self.method == "fit" or getattr(self.model, "coef_", None) is None


def read(
    of: inspect.Signature, kind: type, model: Any, method: str, args: Any, kwargs: Any
) -> Call:
    """Return a call by its arguments.

    Raises
    ------
    TypeError
        If they are not those of the method, or X is no array, data frame or sparse matrix.
    """
    given = dict(of.bind(model, *args, **kwargs).arguments)
    given.pop("self", None)
    given.update(given.pop("params", {}))
    X, y = given.pop("X"), given.pop("y", None)
    shape = getattr(X, "shape", None)
    if not isinstance(shape, tuple) or len(shape) != 2:
        raise TypeError("X is no array, data frame or sparse matrix of two dimensions")
    more = {name: value for name, value in given.items() if value is not None}
    return Call(model, method, X, y, more, (int(shape[0]), int(shape[1])), kind)


signature = cache(inspect.signature)


@cache
def _defaults(kind: Any) -> dict[str, Any]:
    parameters = inspect.signature(kind).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}


def defaults(kind: Any) -> dict[str, Any]:
    """Return the defaults of a class's parameters."""
    return _defaults(kind)
