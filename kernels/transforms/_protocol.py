"""What a transform is: its static methods, and the hooks by which kernels call them."""

from typing import NamedTuple

from fastgd.kernels._hook import hook


@hook
def transform(spec, frame, rule, memory, total, n_touched, draw):
    """Transform the gradient of one output in place.

    Parameters
    ----------
    memory : has ``gradient``, (d + 1,), its last entry zero, before and after; and ``residual``, as
        ``gradient``, what a quantizer has not sent yet, empty for one without error feedback
    total : float, the intercept's gradient
    n_touched : int, columns whose gradient may differ from zero; ``frames.column`` tells which
    draw : (int, int), seed and number of the step, which name its random numbers

    Returns
    -------
    total : float
    clipped : int, 1 if clipping changed something
    """
    return type(spec).transform(spec, frame, rule, memory, total, n_touched, draw)


@hook
def transform_multi(spec, frame, rule, memory, n_touched, draw):
    """As ``transform``, for the flat gradient of many outputs.

    ``memory.totals``, the intercepts' gradients, are changed in place; to ``memory.clipped`` one is
    added for each problem that was clipped, in the place of its first output.
    """
    return type(spec).transform_multi(spec, frame, rule, memory, n_touched, draw)


@hook
def clip_row(spec, rows, i, delta, fit_intercept):
    """Return what the gradient of one row is to be scaled by, and 1 if clipping changes it.

    Its entries are delta x_j, and delta for the intercept; ``clipped_entry`` makes use of it.
    """
    return type(spec).clip_row(spec, rows, i, delta, fit_intercept)


@hook
def clipped_entry(spec, g, factor):
    """Return an entry of a row's clipped gradient, ``factor`` from ``clip_row``."""
    return type(spec).clipped_entry(spec, g, factor)


@hook
def clip(spec, frame, rule, gradient, n_touched, first, width):
    """Clip the gradient of ``width`` outputs from ``first`` on; return 1 if that changed it."""
    return type(spec).clip(spec, frame, rule, gradient, n_touched, first, width)


class Identity(NamedTuple):
    """No transform; also no clipping, or no quantizer, of a ``Transform``."""

    feeds_back = False
    is_identity = True

    @staticmethod
    def transform(spec, frame, rule, memory, total, n_touched, draw):
        return total, 0

    @staticmethod
    def transform_multi(spec, frame, rule, memory, n_touched, draw):
        pass

    @staticmethod
    def clip_row(spec, rows, i, delta, fit_intercept):
        return delta, 0

    @staticmethod
    def clipped_entry(spec, g, factor):
        return g

    @staticmethod
    def clip(spec, frame, rule, gradient, n_touched, first, width):
        return 0

    @staticmethod
    def compress(quantizer, gradient, key):
        pass
