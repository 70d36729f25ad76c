"""The best model that can be found, by solvers that share no code with ours.

scikit-learn's solvers give a start each; Newton's method in standardised columns goes on from the
best of them and from our own model. Piecewise linear losses end in a linear program, or in the
quadratic one that remains when the rows at a breakpoint are known. Whatever it finds is only an
upper bound of the optimum, so that a model worse than it is worse for certain.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg as sl
from scipy.optimize import linprog
from sklearn import linear_model, svm

from tests.fuzz.cases import CLASSIFIERS, Case
from tests.fuzz.objectives import Params, Pose, Wide, losses, params_of, scaled_loss, value

Floats = Any
NEWTON = {"solver": "newton-cholesky", "tol": 1e-10, "max_iter": 200}
EXACT: dict[str, dict[str, Any]] = {
    "LinearRegression": {},
    "Ridge": {"tol": 1e-10, "max_iter": 5000},
    "RidgeClassifier": {"tol": 1e-10, "max_iter": 5000},
    "Lasso": {"tol": 1e-13, "max_iter": 5000},
    "ElasticNet": {"tol": 1e-13, "max_iter": 5000},
    "LogisticRegression": NEWTON,
    "LinearSVC": {"tol": 1e-9, "max_iter": 200_000, "random_state": 0},
    "LinearSVR": {"tol": 1e-9, "max_iter": 200_000, "random_state": 0},
    "HuberRegressor": {"tol": 1e-10, "max_iter": 2000},
    "QuantileRegressor": {"solver": "highs"},
    "PoissonRegressor": NEWTON,
    "GammaRegressor": NEWTON,
    "TweedieRegressor": NEWTON,
}


class Found(NamedTuple):
    """A model for each output, and who found it."""

    objective: Floats
    params: Params
    by: list[str]


def best_of(case: Case, pose: Pose, models: dict[str, Any]) -> Found:
    """Return the best of fitted models of ours, of scikit-learn's, and of what both lead to."""
    starts = {name: params_of(model) for name, model in models.items()}
    peer = peer_of(case)
    if peer is not None:
        starts["scikit-learn"] = peer
    starts["null"] = _null(case, pose, next(iter(starts.values())))
    found = _choose(case, pose, starts)
    is_small = case.X.size <= 40_000
    if pose.loss is not None and not pose.loss.is_smooth:
        finished = {"breakpoints": finish_pieces(case, pose, found.params)} if is_small else {}
        if is_small and pose.l2 == 0.0:
            finished["linear program"] = linear_program(case, pose)
        finished = {name: params for name, params in finished.items() if params is not None}
    else:
        finished = {"newton": newton(case, pose, found.params)}
        if is_small and found.by[0] != "null":
            finished["newton from null"] = newton(case, pose, starts["null"])
    return _choose(case, pose, {**_by_name(found, starts), **finished})


def _by_name(found: Found, starts: dict[str, Params]) -> dict[str, Params]:
    return {name: starts[name] for name in dict.fromkeys(found.by)}


def _null(case: Case, pose: Pose, like: Params) -> Params:
    """Return the model that predicts one number."""
    zeros = Params(np.zeros_like(like.coef), np.zeros_like(like.intercept), like.scale)
    if not pose.fit_intercept or pose.scaling is not None:
        return zeros
    s = Wide(1) * case.s / case.s.max()
    mean = (s / s.sum()) @ pose.targets
    if pose.loss is None or (pose.targets.min() == -1 and case.name == "LogisticRegression"):
        share = np.clip(mean if pose.loss is None else (1 + mean) / 2, 1e-12, 1 - 1e-12)
        return zeros._replace(
            intercept=np.log(share) if pose.loss is None else np.log(share / (1 - share))
        )
    return zeros._replace(intercept=np.log(mean) if is_log(case) else mean)


def is_log(case: Case) -> bool:
    """Tell whether predictions are e^raw."""
    if case.name == "TweedieRegressor":
        return bool(case.kwargs.get("power", 0.0) > 0.0 or case.kwargs.get("link") == "log")
    return case.name in ("PoissonRegressor", "GammaRegressor")


def _choose(case: Case, pose: Pose, candidates: dict[str, Params]) -> Found:
    """Return the best of each output."""
    names = list(candidates)
    with np.errstate(all="ignore"):
        tried = np.array([value(case, pose, candidates[name]).objective for name in names])
    if pose.positive:
        tried[[bool((candidates[name].coef < 0).any()) for name in names]] = np.inf
    tried = np.where(np.isfinite(tried), tried, np.inf)
    which = tried.argmin(axis=0)
    coef = [candidates[names[k]].coef[j] for j, k in enumerate(which)]
    intercept = [candidates[names[k]].intercept[j] for j, k in enumerate(which)]
    if pose.loss is None:  # all outputs belong together
        best = candidates[names[which[0]]]
        return Found(tried.min(axis=0), best, [names[which[0]]])
    scale = candidates[names[which[0]]].scale
    params = Params(np.array(coef), np.array(intercept), scale)
    return Found(tried.min(axis=0), params, [names[k] for k in which])


def peer_of(case: Case) -> Params | None:
    """Return scikit-learn's parameters; None where it has no such model, or fails."""
    name = "LogisticRegression" if case.name == "SoftmaxRegression" else case.name
    if case.name == "SoftmaxRegression" and np.unique(case.y).size == 2:
        return None
    kind = getattr(linear_model, name, None) or getattr(svm, name)
    known = kind().get_params()
    kwargs = {k: v for k, v in {**case.kwargs, **EXACT[name]}.items() if k in known}
    if "solver" not in EXACT[name]:
        kwargs.pop("solver", None)
    if kwargs.get("l1_ratio", 0.0) > 0.0 and name == "LogisticRegression":
        kwargs.update(solver="saga", tol=1e-8, max_iter=_passes(case), random_state=0)
    if kwargs.get("penalty") == "l1" and kwargs.get("loss") == "hinge":
        return None
    if name.startswith("LinearSV") and not kwargs.get("loss", "squared").startswith("squared"):
        kwargs["dual"] = True
        kwargs["max_iter"] = 10_000 if case.X.size > 10_000 else 200_000
    elif name.startswith("LinearSV"):
        kwargs["dual"] = kwargs.get("penalty") != "l1" and case.X.shape[0] < case.X.shape[1]
        if kwargs.get("loss") is None and name == "LinearSVR":
            kwargs["dual"] = True
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return params_of(kind(**kwargs).fit(case.X, case.y, case.weight))
    except (ValueError, TypeError, np.linalg.LinAlgError, OverflowError):
        return None


def _passes(case: Case) -> int:
    """Return how many passes of a slow solver a case is worth."""
    return max(20, min(1000, 2_000_000 // case.X.size))


# -- Newton's method -------------------------------------------------------------------------------


class Frame(NamedTuple):
    """Standardised columns: w = u / std, b = c - center w; the intercept's column is last."""

    A: Floats
    center: Floats
    std: Floats
    threshold: Floats  # l1 of each u
    weight: Floats  # l2 of each u


def _frame(case: Case, pose: Pose) -> Frame:
    s = Wide(1) * case.s / case.s.max()
    s = s / s.sum()
    X = Wide(1) * case.X
    is_free = pose.fit_intercept and pose.scaling is None
    center = s @ X if is_free else np.zeros(X.shape[1], Wide)
    size = np.abs(X).max(axis=0)
    constant = is_free & (np.ptp(X, axis=0) <= 1e-18 * size)
    A = X - np.where(constant, X[0], center)
    std = np.sqrt(s @ A**2)
    usable = (std > 0) & ~constant
    A = np.where(usable, A / np.where(usable, std, 1), 0)
    std = np.where(usable, std, np.inf)
    l1, l2 = pose.l1 / std, pose.l2 / std**2
    last = np.ones((X.shape[0], 1), Wide) * (pose.scaling or 1.0) * pose.fit_intercept
    own = (pose.l1, pose.l2) if pose.scaling is not None else (0.0, 0.0)
    return Frame(np.hstack([A, last]), center, std, np.append(l1, own[0]), np.append(l2, own[1]))


def newton(case: Case, pose: Pose, start: Params) -> Params:
    """Go on from a model by Newton's steps, proximal ones under l1 or bounds."""
    frame = _frame(case, pose)
    with np.errstate(all="ignore"):
        if pose.loss is None:
            return _newton_softmax(case, pose, frame, start)
        if pose.epsilon is not None:
            return _newton_huber(case, pose, frame, start)
        found = [_newton_one(case, pose, frame, start, j) for j in range(pose.targets.shape[1])]
    return Params(np.array([w for w, _ in found]), np.array([b for _, b in found]))


def _into(pose: Pose, frame: Frame, params: Params, j: int) -> Floats:
    usable = np.isfinite(frame.std)
    w = params.coef[j]
    u = np.where(usable, w * np.where(usable, frame.std, 0), 0)
    b = params.intercept[j]
    if pose.scaling is not None:
        return np.append(u, b / Wide(pose.scaling))
    return np.append(
        u, b + frame.center @ np.where(usable, w, 0) if pose.fit_intercept else Wide(0)
    )


def _out_of(pose: Pose, frame: Frame, u: Floats) -> tuple[Floats, Floats]:
    w = u[:-1] / frame.std
    if pose.scaling is not None:
        return w, u[-1] * Wide(pose.scaling)
    return w, (u[-1] - frame.center @ w if pose.fit_intercept else Wide(0))


def _newton_one(case: Case, pose: Pose, frame: Frame, start: Params, j: int) -> Any:
    assert pose.loss is not None
    y, loss, A = pose.targets[:, j], pose.loss, frame.A
    s = Wide(1) * case.s / case.s.max()
    s = s / s.sum()

    def objective(u: Floats) -> Floats:
        smooth = s @ loss.value(y, A @ u) + frame.weight @ u**2 / 2
        return smooth + frame.threshold @ np.abs(u)

    low = np.full(A.shape[1], -np.inf)
    if pose.positive:
        low[:-1] = 0.0
    u = np.maximum(_into(pose, frame, start, j), low)
    is_bounded = pose.positive or bool((frame.threshold > 0).any())
    for _ in range(60):
        raw = A @ u
        g = A.T @ (s * loss.gradient(y, raw)) + frame.weight * u
        h = s * np.maximum(loss.curvature(y, raw), 1e-30)
        H = np.asarray((A * h[:, None]).T @ A, np.float64)
        H[np.diag_indices_from(H)] += np.asarray(frame.weight, np.float64)
        if is_bounded:
            p = _proximal_step(H, np.asarray(g, np.float64), u, frame.threshold, low)
        else:
            p = -_solve(H, np.asarray(g, np.float64))
        following = _search(objective, u, p)
        if following is None:
            break
        u = following
    return _out_of(pose, frame, u)


def _solve(H: Floats, g: Floats) -> Floats:
    """Solve with the diagonal scaled to one, and least norm where it is singular."""
    diagonal = np.sqrt(np.maximum(np.diag(H), 1e-300))
    scaled = H / diagonal[:, None] / diagonal
    if not (np.isfinite(scaled).all() and np.isfinite(g).all()):
        return np.zeros_like(g)
    try:
        return np.linalg.lstsq(scaled, g / diagonal, rcond=1e-13)[0] / diagonal
    except np.linalg.LinAlgError:  # its iterations have no end for some matrices
        return sl.lstsq(scaled, g / diagonal, cond=1e-13, lapack_driver="gelsy")[0] / diagonal


def _search(objective: Any, u: Floats, p: Floats) -> Floats | None:
    """Return the longest of halved steps that lowers the objective."""
    here = objective(u)
    for k in range(30):
        following = u + Wide(0.5) ** k * p
        there = objective(following)
        if np.isfinite(there) and there < here - 1e-18 * abs(here):
            return following
    return None


def _proximal_step(H: Floats, g: Floats, u: Floats, threshold: Floats, low: Floats) -> Floats:
    """Minimise g p + p H p / 2 + threshold |u + p| over u + p >= low, coordinate by coordinate."""
    at, there = np.asarray(u, np.float64), np.asarray(u, np.float64).copy()
    th, slope = np.asarray(threshold, np.float64), g.copy()
    diagonal = np.maximum(np.diag(H), 1e-300)
    sweeps = 200 if H.shape[0] < 100 else 30
    for _ in range(sweeps):
        moved = 0.0
        for j in range(H.shape[0]):
            z = there[j] - slope[j] / diagonal[j]
            new = np.sign(z) * max(abs(z) - th[j] / diagonal[j], 0.0)
            step = max(new, low[j]) - there[j]
            if step != 0.0:
                there[j] += step
                slope += step * H[j]
                moved = max(moved, abs(step) * np.sqrt(diagonal[j]))
        if moved < 1e-15:
            break
    free = (there != 0.0) | (th == 0.0) & (low == -np.inf)
    if free.any():  # exactly, where the signs are known
        sides = np.sign(there[free]) * th[free]
        exact = at.copy()
        exact[~free] = there[~free]
        rest = g[free] + H[np.ix_(free, ~free)] @ (there - at)[~free] + sides
        exact[free] = at[free] - _solve(H[np.ix_(free, free)], rest)
        if (np.sign(exact[free]) == np.sign(there[free]))[th[free] > 0].all() and (
            exact >= low
        ).all():
            there = exact
    return there - at


def _newton_softmax(case: Case, pose: Pose, frame: Frame, start: Params) -> Params:
    A, k = frame.A, pose.targets.shape[1]
    s = Wide(1) * case.s / case.s.max()
    s = s / s.sum()
    d = A.shape[1]
    if d * k > 400:
        return start
    U = np.array([_into(pose, frame, start, j) for j in range(k)])
    weight, threshold = np.tile(frame.weight, k), np.tile(frame.threshold, k)

    def objective(u: Floats) -> Floats:
        value = s @ losses(pose, A @ u.reshape(k, d).T, 1)[:, 0]
        return value + weight @ u**2 / 2 + threshold @ np.abs(u)

    u, is_bounded = U.ravel(), bool((threshold > 0).any())
    A64 = np.asarray(A, np.float64)
    for _ in range(60):
        raw = A @ u.reshape(k, d).T
        P = np.exp(raw - raw.max(axis=1, keepdims=True))
        P = P / P.sum(axis=1, keepdims=True)
        g = ((P - pose.targets) * s[:, None]).T @ A
        g = g.ravel() + weight * u
        H = np.zeros((k * d, k * d))
        for a in range(k):
            for b in range(a + 1):
                c = np.asarray(s * P[:, a] * ((a == b) - P[:, b]), np.float64)
                block = (A64 * c[:, None]).T @ A64
                H[a * d : a * d + d, b * d : b * d + d] = block
                H[b * d : b * d + d, a * d : a * d + d] = block.T
        H[np.diag_indices_from(H)] += np.asarray(weight, np.float64)
        g64 = np.asarray(g, np.float64)
        if is_bounded:
            p = _proximal_step(H, g64, u, threshold, np.full(u.size, -np.inf))
        else:
            p = -_solve(H, g64)
        following = _search(objective, u, p)
        if following is None:
            break
        u = following
    found = [_out_of(pose, frame, row) for row in u.reshape(k, d)]
    return Params(np.array([w for w, _ in found]), np.array([b for _, b in found]))


def _newton_huber(case: Case, pose: Pose, frame: Frame, start: Params) -> Params:
    """Newton's steps in coefficients and scale together: the objective is convex in both."""
    A, y, epsilon = frame.A, pose.targets[:, 0], pose.epsilon
    s = Wide(1) * case.s / case.s.max()
    s = s / s.sum()

    def objective(v: Floats) -> Floats:
        if v[-1] <= 0:
            return Wide(np.inf)
        raw = (A @ v[:-1])[:, None]
        return s @ losses(pose, raw, v[-1])[:, 0] + frame.weight @ v[:-1] ** 2 / 2

    v = np.append(_into(pose, frame, start, 0), max(start.scale, Wide(1e-30)))
    for _ in range(80):
        r, sigma = A @ v[:-1] - y, v[-1]
        inside = np.abs(r) < epsilon * sigma
        slope = np.where(inside, 2 * r / sigma, 2 * epsilon * np.sign(r))
        own = np.where(inside, 1 - (r / sigma) ** 2, 1 - epsilon**2)
        g = np.append(A.T @ (s * slope) + frame.weight * v[:-1], s @ own)
        B = np.hstack([A, -(r / sigma)[:, None]]) * np.sqrt(2 * s * inside / sigma)[:, None]
        H = np.asarray(B.T @ B, np.float64)
        H[np.arange(A.shape[1]), np.arange(A.shape[1])] += np.asarray(frame.weight, np.float64)
        p = -_solve(H, np.asarray(g, np.float64))
        following = _search(objective, v, p)
        if following is None:
            break
        v = following
    w, b = _out_of(pose, frame, v[:-1])
    return Params(w[None], np.array([b]), v[-1])


# -- piecewise linear losses -----------------------------------------------------------------------


def linear_program(case: Case, pose: Pose) -> Params | None:
    """Return what a linear program finds, in standardised columns, where all is piecewise linear.

    Targets are counted from their median where an intercept is free, in units of their range.
    """
    assert pose.loss is not None
    frame = _frame(case, pose)
    s = case.s / case.s.max()
    s = s / s.sum()
    is_free = pose.fit_intercept and pose.scaling is None and case.name not in CLASSIFIERS
    found = []
    for j in range(pose.targets.shape[1]):
        y = pose.targets[:, j]
        center = np.median(y) if is_free else Wide(0)
        size = Wide(1) if case.name in CLASSIFIERS else max(np.abs(y - center).max(), Wide(1e-300))
        scaled = pose.loss if size == 1 else scaled_loss(case, size)
        u = _vertex(frame, scaled, (y - center) / size, s)
        if u is None:
            return None
        u = size * u
        u[-1] += center
        found.append(_out_of(pose, frame, u))
    return Params(np.array([w for w, _ in found]), np.array([b for _, b in found]))


def _vertex(frame: Frame, loss: Any, y: Floats, s: Floats) -> Floats | None:
    """Minimise s loss(y, A u) + threshold |u|: each loss is a number above its lines."""
    A, th = np.asarray(frame.A, np.float64), np.asarray(frame.threshold, np.float64)
    n = A.shape[0]
    lines = [(np.asarray(h, np.float64), np.asarray(t, np.float64)) for h, t in loss.pieces(y)]
    above = np.vstack([np.hstack([t[:, None] * A, -t[:, None] * A, -np.eye(n)]) for _, t in lines])
    heights = np.concatenate([-h for h, _ in lines])
    cost = np.concatenate([th, th, s])
    found = linprog(cost, A_ub=above, b_ub=heights, method="highs")
    d = A.shape[1]
    return None if found.x is None else Wide(1) * (found.x[:d] - found.x[d : 2 * d])


def finish_pieces(case: Case, pose: Pose, start: Params) -> Params:
    """Solve the quadratic program of the rows at a breakpoint, for each guess of which are."""
    best = start
    for j in range(pose.targets.shape[1]):
        if pose.l2 > 0.0:
            coef, intercept = _finished_output(case, pose, start, j)
            best = best._replace(coef=best.coef.copy(), intercept=best.intercept.copy())
            best.coef[j], best.intercept[j] = coef, intercept
    return best


def _finished_output(case: Case, pose: Pose, start: Params, j: int) -> tuple[Floats, Floats]:
    assert pose.loss is not None
    assert pose.loss.breakpoints is not None
    frame = _frame(case, pose)
    A, y = frame.A, pose.targets[:, j]
    s = Wide(1) * case.s / case.s.max()
    s = s / s.sum()
    D = np.asarray(np.maximum(frame.weight, 1e-300), np.float64)

    def objective(u: Floats) -> Floats:
        return s @ pose.loss.value(y, A @ u) + frame.weight @ u**2 / 2

    u = _into(pose, frame, start, j)
    for share in (1e-12, 1e-9, 1e-6, 1e-4, 1e-2):
        raw = A @ u
        scale = np.abs(raw).max() + np.abs(y).max()
        breakpoints = np.array(pose.loss.breakpoints(y))
        near = np.abs(raw - breakpoints).argmin(axis=0)
        at = breakpoints[near, np.arange(y.size)]
        on = np.abs(raw - at) <= share * scale
        g = np.asarray(A[~on].T @ (s * pose.loss.gradient(y, raw))[~on], np.float64)
        # minimise g u + u D u / 2 with A_on u = at_on: u = -D^-1 (g + A' m)
        B = np.asarray(A[on], np.float64) / np.sqrt(D)
        m = np.linalg.lstsq(B @ B.T, -np.asarray(at[on], np.float64) - B @ (g / np.sqrt(D)))[0]
        candidate = Wide(1) * -(g / np.sqrt(D) + B.T @ m) / np.sqrt(D)
        if objective(candidate) < objective(u):
            u = candidate
    return _out_of(pose, frame, u)
