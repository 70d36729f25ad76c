"""What a transform is: its static methods, and the hooks by which kernels call them."""

from typing import NamedTuple

from fastgd.kernels._hook import hook


@hook
def transform(spec, store, rule, memory, n_touched, draw):
    """Transform the gradient of a batch in place.

    Parameters
    ----------
    memory : has ``gradient``, whose last entries, the intercepts', are zero before and after;
        ``residual``, as ``gradient``, what a quantizer has not sent yet, empty for one without
        error feedback; and ``sums``: the intercepts' gradients are changed in its row TOTAL, and
        to CLIPPED one is added for each problem that was, in the place of its first output
    n_touched : int, columns whose gradient may differ from zero; ``stores.column`` tells which
    draw : (int, int), seed and number of the step, which name its random numbers
    """
    return type(spec).transform(spec, store, rule, memory, n_touched, draw)


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
def clip(spec, store, rule, gradient, n_touched, first, width):
    """Clip the gradient of ``width`` outputs from ``first`` on; return 1 if that changed it."""
    return type(spec).clip(spec, store, rule, gradient, n_touched, first, width)


class Identity(NamedTuple):
    """No transform; also no clipping, or no quantizer, of a ``Transform``."""

    feeds_back = False
    is_identity = True

    @staticmethod
    def transform(spec, store, rule, memory, n_touched, draw):
        pass

    @staticmethod
    def clip_row(spec, rows, i, delta, fit_intercept):
        return delta, 0

    @staticmethod
    def clipped_entry(spec, g, factor):
        return g

    @staticmethod
    def clip(spec, store, rule, gradient, n_touched, first, width):
        return 0

    @staticmethod
    def compress(quantizer, gradient, key):
        pass
