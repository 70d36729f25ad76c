"""Names of a package that are imported when they are first asked for."""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from fastgd.kernels._collector import collector_paused


class Names:
    """The public names of a package, for its ``__getattr__``.

    Parameters
    ----------
    package : str
        Its full name.
    modules : mapping of str to sequence of str
        The names of each of its modules.
    """

    def __init__(self, package: str, modules: Mapping[str, Sequence[str]]) -> None:
        self._package = package
        self._modules = {name: module for module, names in modules.items() for name in names}

    def qualified(self) -> list[str]:
        """Return the names, each with its module, which is where a class is made."""
        return [f"{self._package}.{module}.{name}" for name, module in self._modules.items()]

    def found(self, name: str) -> Any:
        """Return what a name stands for, and keep it in the package.

        Raises
        ------
        AttributeError
            If the package has no such name.
        """
        if name not in self._modules:
            raise AttributeError(f"module {self._package!r} has no attribute {name!r}")
        with collector_paused():
            module = import_module(f"{self._package}.{self._modules[name]}")
        value = getattr(module, name)
        setattr(sys.modules[self._package], name, value)
        return value
