"""Where models that were saved by version 0.1 look for their progress."""

from fastgd._training.progress import Progress, Reference

__all__ = ["Progress", "Reference"]
