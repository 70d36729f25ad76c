"""The constructor's parameters that all networks share, in words."""

SHARED = """\
    solver : str or optimizer, default="adam"
        How parameters are stepped: "adam" (with ``beta_1``, ``beta_2``, ``epsilon``), "sgd" (with
        ``momentum``, ``nesterovs_momentum``), any other name or object of ``fastgd.optimizers``
        ("adamw" decays weights apart from the gradient, "muon" steps whole matrices,
        "schedule_free_adamw" averages in place of a schedule, "prodigy" finds its rate), or
        "lbfgs": scipy's L-BFGS-B on all rows, for networks without dropout and batch normalisation,
        without early stopping. On CSR rows the moments of features that a batch lacks wait;
        ``Adam(lazy=False)`` has them fade as on dense rows.
    alpha : float, default=0.0001
        Strength of the l2 penalty alpha / 2 |w|^2 of the weights, for the sum of a batch's losses;
        biases have none.
    batch_size : int, "auto" or "full", default="auto"
        Rows of a step; "auto" is min(200, n_samples).
    learning_rate : str or schedule, default="constant"
        See ``fastgd.schedules``. "auto" finds the rate, by "prodigy" in place of "adam".
    learning_rate_init : float, default=0.001
        The rate that schedules start from. With "prodigy" the default means 1, a factor of the
        rate that it finds; not used by "auto".
    power_t : float, default=0.5
        The exponent of "invscaling".
    max_iter : int, default=200
        Epochs at most; of "lbfgs" iterations.
    shuffle : bool, default=True
        Whether each epoch has an order of its own.
    random_state : int, RandomState instance or None, default=None
        Seed of first weights, orders, dropout and quantizers: the same seed gives the same bits.
    tol : float or None, default=1e-4
        Training ends where the objective (or the score on rows held out) has not improved by
        ``tol`` for ``n_iter_no_change`` epochs; None: it does not end early.
    verbose : int, default=0
        1: a progress bar; 2: a line an epoch.
    warm_start : bool, default=False
        Whether ``fit`` begins with the parameters of the last one.
    momentum, nesterovs_momentum : float, default=0.9; bool, default=True
        For ``solver="sgd"``.
    early_stopping : bool, default=False
        Whether ``validation_fraction`` of the rows is held out, training ends by the score on it,
        and the best parameters are kept.
    validation_fraction : float, default=0.1
    beta_1, beta_2, epsilon : float, default=0.9, 0.999, 1e-8
        For ``solver="adam"``.
    n_iter_no_change : int, default=10
    max_fun : int, default=15000
        Evaluations of the objective at most, for "lbfgs".
    average : bool or int, default=False
        Whether the mean of the iterates is what predicts; a number: from which step on.
    clip_norm, clip_value : float or None, default=None
        The longest that a gradient of all parameters may be, and the largest that an entry may be.
    quantize : str, int, quantizer or None, default=None
        What gradients are rounded to; see ``fastgd.transforms``.
    on_divergence : {"raise", "backoff", "warn"}, default="raise"
        What happens when the objective explodes: an error; smaller steps from the best epoch;
        the best parameters and a warning.
    monitor : bool, default=False
        Whether ``history_`` has the objective of all rows and its gradient's norm, at the price of
        another pass an epoch.
    callbacks : list or None, default=None
        See ``fastgd.callbacks``.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where the network is trained and predicts; "auto": where X lies (docs/gpu.md). Not with
        ``solver="lbfgs"``.
    n_jobs : int or None, default=None
        How many threads share a step that is large enough: the features of a first dense layer with
        65,536 weights or more, or the rows of a batch, from some 4 million flops a thread on. The
        result does not depend on it. None: as many as there are processors, or fewer where
        ``OMP_NUM_THREADS`` or ``FASTGD_NUM_THREADS`` says so. (scikit-learn's networks have no such
        parameter: all threads of BLAS compute their products.)
"""


def filled(cls: type) -> type:
    """Put the shared parameters in a class's docstring, where it says ``{shared}``."""
    if cls.__doc__ is not None:
        cls.__doc__ = cls.__doc__.replace("    {shared}\n", SHARED)
    return cls
