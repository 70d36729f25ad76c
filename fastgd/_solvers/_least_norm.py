"""Of all solutions of a least squares problem, the one of least norm in standardised columns.

Where columns are linearly dependent, a Newton step with a floor leaves some 1e-4 of rounding along
the directions that change no prediction: of these rows, that is, not of others.
"""

import numpy as np

from fastgd._solvers._gd import State
from fastgd._solvers._problem import from_raw, pose, to_raw
from fastgd._solvers._task import Solution, Task
from fastgd._threads import one_blas_thread
from fastgd.kernels.objective import weigh_rows

NEGLIGIBLE = 1e-12  # part of the largest eigenvalue: below it is rounding


def least_norm(task: Task, found: Solution) -> Solution:
    """Take what no row sees off a solution; dense memory for X, and min(n, d)^3 time."""
    with one_blas_thread():
        problem = pose(task)
        n, d = problem.shape
        z = np.empty((n, d + 1))
        weigh_rows(problem.rows, problem.frame, problem.weight, 0, n, z)
        z, u = z[:, :-1], from_raw(problem, found.coef, found.intercept)
        if n < d:
            values, vectors = np.linalg.eigh(z @ z.T)
            seen = values > NEGLIGIBLE * values[-1]
            basis = vectors[:, seen]
            u[:-1] = z.T @ (basis / values[seen] @ (basis.T @ (z @ u[:-1])))
        else:
            values, vectors = np.linalg.eigh(z.T @ z)
            unseen = vectors[:, values <= NEGLIGIBLE * values[-1]]
            u[:-1] -= unseen @ (unseen.T @ u[:-1])
    raw = to_raw(problem, u)
    coef, intercept = raw[:-1], float(raw[-1]) if task.fit_intercept else 0.0
    return found._replace(coef=coef, intercept=intercept, state=State(coef, intercept))
