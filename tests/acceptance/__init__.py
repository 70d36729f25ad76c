"""scikit-learn's own tests of the estimators that we have, run on ours.

``plugin`` replaces the classes, ``table`` names the modules and, of each, the tests that are meant
to fail with their reasons; ``run`` runs one module in a process of its own.
"""
