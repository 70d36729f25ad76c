"""Tests of ``fastgd.accel``; ``theirs`` runs scikit-learn's own tests under it."""
