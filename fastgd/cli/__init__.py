"""The command ``fastgd``: models from files, without a line of Python."""

from fastgd.cli._main import main

__all__ = ["main"]
