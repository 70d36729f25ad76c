"""What outputs are: the hooks by which kernels call ``sgd_outputs.OneOutput`` and its like."""

from fastgd.kernels._hook import hook


@hook
def count(outputs):
    """Return the number of outputs: a constant to the compiler where there is one."""
    return type(outputs).count(outputs)


@hook
def evaluate_batch(outputs, rule, rows, samples, share, store, memory):
    """Write a batch's slopes, their sums and its gradient; add its weighted losses to the sums."""
    return type(outputs).evaluate_batch(outputs, rule, rows, samples, share, store, memory)


@hook
def accumulate_slopes(outputs, rows, batch, slopes, memory):
    """Add X_b' slopes to the gradient."""
    return type(outputs).accumulate_slopes(outputs, rows, batch, slopes, memory)


@hook
def descend_columns(outputs, store, rule, step_coefs, memory, n_touched):
    """Step each coefficient that a batch touches by its gradient; leave a gradient of zero.

    Writes the sums of the coefficients' shares of the penalty into ``memory.shares``.
    """
    return type(outputs).descend_columns(outputs, store, rule, step_coefs, memory, n_touched)


@hook
def scatter_rows(outputs, store, rule, rows, batch, step_coefs, memory):
    """As ``descend_columns``, by one row after another, straight from the slopes."""
    return type(outputs).scatter_rows(outputs, store, rule, rows, batch, step_coefs, memory)


@hook
def slope_of(outputs, memory, o, k):
    """Return a row's share in the batch's gradient of output k, which ``evaluate_batch`` wrote."""
    return type(outputs).slope_of(outputs, memory, o, k)


@hook
def target_of(outputs, samples, i, k):
    """Return row i's target of output k; 0 where it is a class's number."""
    return type(outputs).target_of(outputs, samples, i, k)
