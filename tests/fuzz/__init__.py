"""A seeded fuzzer of the estimators that need no learning rate.

    python -m tests.fuzz --minutes 10 --seed 0        # make fuzz MINUTES=10 SEED=0

``cases`` draws a problem from a number: an estimator and its parameters, X in some layout, scales
that solvers do not like. ``objectives`` writes each objective once more, in numpy's widest float,
and says what rounding allows. ``reference`` looks for the best model that can be found at all, with
scikit-learn's solvers and Newton's method. ``checks`` compares. A finding is reported with a script
that repeats it.
"""
