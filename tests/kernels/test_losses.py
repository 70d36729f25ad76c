"""Losses, their derivatives and their inverse links."""

import numpy as np
import pytest
import sklearn._loss.loss as of_sklearn
from sklearn.linear_model import _sgd_fast

from fastgd._parameters.resolve import in_dtype
from fastgd.kernels import losses
from fastgd.kernels._jit import helper
from tests import naive as plain
from tests.tables import LOSS_CASES, SCALAR_LOSSES, LossCase, over, over_product

FAR = [1e4, -1e4]
DTYPES = [np.float32, np.float64]
SOFTMAX = next(case for case in LOSS_CASES if case.name == "softmax")
SMOOTHED = LossCase("label smoothing", losses.Softmax(0.2), plain.softmax(0.2))
TWEEDIES = [
    LossCase(f"power {power:g}", losses.Tweedie(power), plain.tweedie(power))
    for power in (-1.25, 0.0, 1.0, 1.25, 2.0, 2.5, 3.0)  # float32 holds them all
]
OFTEN_NARROW = ("log_loss", "epsilon_insensitive", "tweedie", *(case.name for case in TWEEDIES))


@helper
def evaluate(loss, y_true, raw, out):
    for i in range(raw.shape[0]):
        out[i, 0] = losses.value(loss, y_true[i], raw[i])
        out[i, 1] = losses.gradient(loss, y_true[i], raw[i])
        out[i, 2] = losses.curvature(loss, y_true[i], raw[i])
        out[i, 3] = losses.inverse_link(loss, raw[i])


@helper
def evaluate_rows(loss, y_true, raw, out):
    for i in range(raw.shape[0]):
        out[0, i, 0] = losses.value_row(loss, y_true[i], raw[i])
        out[1, i, 0] = losses.gradient_row(loss, y_true[i], raw[i], out[2, i])
        losses.inverse_link_row(loss, raw[i], out[3, i])
        losses.gradient_row(loss, y_true[i], raw[i], raw[i])


def points(case, extra=()):
    """Return every target with raws on both sides of every breakpoint, but none at one."""
    raw = np.concatenate([np.linspace(-6, 6, 121) + 0.013, extra])
    y = np.repeat(case.targets, raw.size)
    return y, np.tile(raw, len(case.targets))


def compiled(case, y, raw, dtype=np.float64):
    """Return value, gradient, curvature and inverse link, each an array."""
    out = np.empty((raw.size, 4), dtype)
    evaluate(in_dtype(case.spec, np.dtype(dtype)), y.astype(dtype), raw.astype(dtype), out)
    return out.T


def derivative(function, y, raw):
    step = 1e-6 * np.maximum(np.abs(raw), 1.0)
    return (function(y, raw + step) - function(y, raw - step)) / (2 * step)


def is_usual(case, dtype):
    """Tell of float64, and of the losses of which float32 is compiled by default."""
    return dtype is np.float64 or case.name in OFTEN_NARROW


@pytest.mark.nojit
@over_product(is_usual, case=[*SCALAR_LOSSES, *TWEEDIES], dtype=DTYPES)
def test_agrees_with_naive(case, dtype):
    y, raw = points(case, FAR)
    y, raw = y.astype(dtype).astype(float), raw.astype(dtype).astype(float)
    expected = (
        case.naive.value(y, raw),
        case.naive.gradient(y, raw),
        case.naive.curvature(y, raw),
        case.naive.inverse_link(raw),
    )
    # float32 specs round epsilon, which a large residual multiplies
    rtol, atol = (1e-12, 1e-14) if dtype is np.float64 else (1e-5, 1e-6)
    for ours, naive in zip(compiled(case, y, raw, dtype), expected, strict=True):
        np.testing.assert_allclose(ours, naive, rtol=rtol, atol=atol)


@over([*SCALAR_LOSSES, *TWEEDIES])
def test_gradient_is_the_derivative_of_the_value(case):
    y, raw = points(case, FAR)
    slope = derivative(lambda y, raw: compiled(case, y, raw)[0], y, raw)
    np.testing.assert_allclose(compiled(case, y, raw)[1], slope, rtol=1e-7, atol=1e-8)


@over([*SCALAR_LOSSES, *TWEEDIES])
def test_curvature_is_the_derivative_of_the_gradient(case):
    y, raw = points(case, FAR)
    bend = derivative(lambda y, raw: compiled(case, y, raw)[1], y, raw)
    np.testing.assert_allclose(compiled(case, y, raw)[2], bend, rtol=1e-7, atol=1e-8)


@over_product(
    is_usual,
    case=[case for case in [*SCALAR_LOSSES, *TWEEDIES] if losses.link_of(case.spec) == losses.LOG],
    dtype=DTYPES,
)
def test_a_log_link_far_out_is_finite_and_leads_back(case, dtype):
    """The convex losses everywhere; the others on the side where they grow."""
    y, raw = points(case, [*FAR, 90.0, -90.0, 800.0, -800.0])
    for numbers in compiled(case, y, raw, dtype):
        assert np.isfinite(numbers).all()
    y = np.array([2.5, 1e6])
    power = getattr(case.spec, "power", 1.5)
    if power <= 2:
        assert (compiled(case, y, np.full(2, 1e4), dtype)[1] > 0).all()
    if power >= 1:
        assert (compiled(case, y, np.full(2, -1e4), dtype)[1] < 0).all()


def test_the_exponential_has_no_jump_where_it_is_continued():
    x, near = np.array([60.0 - 1e-9, 60.0 + 1e-9]), {"rtol": 1e-8}
    for function in (losses.growth, losses.growth_slope, losses.growth_bend):
        np.testing.assert_allclose([function(at, 60.0) for at in x], np.exp(60.0), **near)


def test_small_logistic_losses_keep_their_digits():
    """A raw of 40 on the right side costs e^-40, not 0: what is left of log(1 + e^-40)."""
    case = next(case for case in SCALAR_LOSSES if case.name == "log_loss")
    y, raw = np.array([1.0, 0.0]), np.array([40.0, -40.0])
    value, gradient, curvature, _ = compiled(case, y, raw)
    np.testing.assert_allclose(value, np.exp(-40), rtol=1e-14)
    np.testing.assert_allclose(curvature, np.exp(-40), rtol=1e-14)
    np.testing.assert_allclose(gradient, [-np.exp(-40), np.exp(-40)], rtol=1e-14)
    # log(1 + e^-40) + its conjugate at e^-40 is that times the raw prediction
    conjugates = [losses.conjugate(case.spec, *pair) for pair in zip(y, gradient, strict=True)]
    np.testing.assert_allclose(conjugates, -41.0 * np.exp(-40), rtol=1e-14)


def test_small_losses_of_softmax_keep_their_digits():
    raw, y = np.array([[50.0, 7.0, 5.0], [-3.0, 6.0, 46.0]]), np.array([0, 2])
    value, same, gradient, _ = compiled_rows(y, raw)
    others = np.array([np.exp(-43.0) + np.exp(-45.0), np.exp(-49.0) + np.exp(-40.0)])
    for found in (value, same, -gradient[[0, 1], y]):
        np.testing.assert_allclose(found, others, rtol=1e-14)


@pytest.mark.parametrize("name", ["hinge", "perceptron"])
@pytest.mark.parametrize("y", [-1.0, 1.0])
def test_a_hinge_at_its_breakpoint_pulls(name, y):
    """scikit-learn's choice of subgradient: a perceptron starts at raw = 0, and must move."""
    case = next(case for case in SCALAR_LOSSES if case.name == name)
    assert losses.gradient(case.spec, y, y * case.spec.margin) == -y


@pytest.mark.parametrize("loss", [losses.Quantile(0.3), losses.AbsoluteError()])
def test_a_row_at_the_breakpoint_of_a_quantile_stays(loss):
    assert losses.gradient(loss, 2.0, 2.0) == 0.0


def test_focal_without_its_exponent_is_log_loss():
    case = next(case for case in SCALAR_LOSSES if case.name == "log_loss")
    y, raw = points(case, FAR)
    plain_focal = LossCase("focal", losses.Focal(0.0), plain.focal(0.0))
    np.testing.assert_allclose(
        compiled(plain_focal, y, raw), compiled(case, y, raw), rtol=1e-13, atol=1e-300
    )


def test_focal_is_not_convex_on_the_wrong_side():
    bends = [losses.curvature(losses.Focal(2.0), 1.0, raw) for raw in (-2.8, -2.7, 0.0, 5.0)]
    assert np.sign(bends).tolist() == [-1, 1, 1, 1]


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e6])
def test_log_cosh_keeps_its_digits_at_every_scale(scale):
    """Near the target it is half the square (to z^2 / 6), far from it a line."""
    loss, near, far = losses.LogCosh(scale), 1e-7 * scale, 1e7 * scale
    np.testing.assert_allclose(losses.value(loss, 2.0, 2.0 + near), near**2 / 2, rtol=1e-2)
    np.testing.assert_allclose(losses.value(loss, 0.0, near), near**2 / 2, rtol=1e-12)
    np.testing.assert_allclose(losses.gradient(loss, 0.0, near), near, rtol=1e-12)
    line = scale * (far - scale * np.log(2))
    np.testing.assert_allclose(losses.value(loss, 0.0, -far), line, rtol=1e-12)
    assert losses.gradient(loss, 0.0, -far) == -scale


@pytest.mark.parametrize("at", [0.75 - 1e-12, 0.75 + 1e-12])
def test_the_two_forms_of_log_cosh_meet(at):
    value = losses.value(losses.LogCosh(), 0.0, at)
    np.testing.assert_allclose(value, np.log(np.cosh(at)), rtol=1e-14)


@over(SCALAR_LOSSES)
def test_a_steep_slope_is_bounded(case):
    y = case.targets[0]
    slope = losses.slope(case.spec, y, 1e15)
    assert slope == np.clip(losses.gradient(case.spec, y, 1e15), -1e12, 1e12)


SKLEARN = {
    "squared_error": of_sklearn.HalfSquaredError(),
    "absolute_error": of_sklearn.AbsoluteError(),
    "huber": of_sklearn.HuberLoss(delta=0.7),
    "quantile": of_sklearn.PinballLoss(quantile=0.3),
    "poisson": of_sklearn.HalfPoissonLoss(),
    "gamma": of_sklearn.HalfGammaLoss(),
    "tweedie": of_sklearn.HalfTweedieLoss(power=1.5),
    **{case.name: of_sklearn.HalfTweedieLoss(power=case.spec.power) for case in TWEEDIES},
    "log_loss": of_sklearn.HalfBinomialLoss(),
    "epsilon_insensitive": _sgd_fast.EpsilonInsensitive(0.2),
    "squared_epsilon_insensitive": _sgd_fast.SquaredEpsilonInsensitive(0.2),
    "hinge": _sgd_fast.Hinge(1.0),
    "perceptron": _sgd_fast.Hinge(0.0),
    "squared_hinge": _sgd_fast.SquaredHinge(1.0),
    "modified_huber": _sgd_fast.ModifiedHuber(),
}


@over(case for case in [*SCALAR_LOSSES, *TWEEDIES] if case.name in SKLEARN)
def test_agrees_with_scikit_learn(case):
    has_log_link = losses.link_of(case.spec) == losses.LOG
    y, raw = points(case, [15.0, -15.0] if has_log_link else FAR)  # theirs overflows
    theirs = SKLEARN[case.name]
    if hasattr(theirs, "py_loss"):
        value = [theirs.py_loss(p, t) for p, t in zip(raw, y, strict=True)]
        gradient = [theirs.py_dloss(p, t) for p, t in zip(raw, y, strict=True)]
    else:
        value = theirs.loss(y_true=y, raw_prediction=raw)
        gradient = theirs.gradient(y_true=y, raw_prediction=raw)
    ours = compiled(case, y, raw)
    np.testing.assert_allclose(ours[0], value, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(ours[1], gradient, rtol=1e-12, atol=1e-12)
    if has_log_link:
        hessian = theirs.gradient_hessian(y_true=y, raw_prediction=raw)[1]
        np.testing.assert_allclose(ours[2], hessian, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(ours[3], theirs.link.inverse(raw), rtol=1e-12)


# -- softmax ---------------------------------------------------------------------------------


def rows_of(dtype, n_classes=4, scale=1.0):
    rng = np.random.default_rng(n_classes)
    raw = scale * rng.normal(size=(9, n_classes)).astype(dtype)
    return rng.integers(n_classes, size=9), raw.astype(dtype)


def compiled_rows(y, raw, case=SOFTMAX):
    """Return values, values as returned with the gradients, gradients, probabilities."""
    out = np.zeros((4, *raw.shape), raw.dtype)
    in_place = raw.copy()
    evaluate_rows(in_dtype(case.spec, raw.dtype), y, in_place, out)
    np.testing.assert_allclose(in_place, out[2], rtol=1e-5, atol=1e-7)
    return out[0, :, 0], out[1, :, 0], out[2], out[3]


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@over([SOFTMAX, SMOOTHED])
@pytest.mark.parametrize(("n_classes", "scale"), [(1, 1.0), (2, 3.0), (5, 1.0), (4, 1e4)])
def test_softmax_agrees_with_naive(dtype, n_classes, scale, case):
    y, raw = rows_of(dtype, n_classes, scale)
    truth, exact = np.eye(n_classes)[y], raw.astype(float)
    value, same, gradient, probabilities = compiled_rows(y, raw, case)
    rtol, atol = (1e-12, 1e-14) if dtype is np.float64 else (1e-5, 1e-6)
    for ours, function in ((value, "value"), (same, "value"), (gradient, "gradient")):
        naive = [getattr(case.naive, function)(*row) for row in zip(truth, exact, strict=True)]
        np.testing.assert_allclose(ours, naive, rtol=rtol, atol=atol)
    naive = [case.naive.inverse_link(row) for row in exact]
    np.testing.assert_allclose(probabilities, naive, rtol=rtol, atol=atol)


@over([SOFTMAX, SMOOTHED])
def test_softmax_gradient_is_the_derivative_of_the_value(case):
    y, raw = rows_of(np.float64)
    for k in range(raw.shape[1]):
        step = 1e-6 * np.eye(raw.shape[1])[k]
        up, down = (compiled_rows(y, raw + change, case)[0] for change in (step, -step))
        gradient = compiled_rows(y, raw, case)[2][:, k]
        np.testing.assert_allclose(gradient, (up - down) / 2e-6, atol=1e-8)


def test_softmax_agrees_with_scikit_learn():
    y, raw = rows_of(np.float64)
    theirs = of_sklearn.HalfMultinomialLoss(n_classes=4)
    value, _, gradient, probabilities = compiled_rows(y, raw)
    arrays = {"y_true": y.astype(float), "raw_prediction": raw}
    np.testing.assert_allclose(value, theirs.loss(**arrays), rtol=1e-12)
    np.testing.assert_allclose(gradient, theirs.gradient(**arrays), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(probabilities, theirs.predict_proba(raw), rtol=1e-12)


def test_two_classes_of_softmax_are_one_log_loss():
    raw = np.array([[0.0, 1.7], [0.4, -2.0]])
    value, _, gradient, _ = compiled_rows(np.array([1, 1]), raw)
    binary = next(case for case in SCALAR_LOSSES if case.name == "log_loss")
    expected = compiled(binary, np.ones(2), raw[:, 1] - raw[:, 0])
    np.testing.assert_allclose(value, expected[0], rtol=1e-14)
    np.testing.assert_allclose(gradient[:, 1], expected[1], rtol=1e-14)
