"""Clipping and quantization: against naive references, in trainings and alone, and in bytes."""

from dataclasses import replace

import numpy as np
import pytest

from fastgd._engines import updates
from fastgd._engines.protocol import LINEAR
from fastgd._parameters import resolve as _resolve
from fastgd._training import trainer
from fastgd._training.progress import Progress
from fastgd.kernels import stores, transforms
from fastgd.kernels.sgd import Rule, sgd_batches, sgd_epochs
from fastgd.kernels.transforms import TRANSFORMS, Clip, Identity, Qsgd, TopK, Transform
from fastgd.transforms import decode, encode
from tests import naive
from tests.tables import TRANSFORM_CASES, over, over_product
from tests.training.test_sgd import (
    BATCHES,
    LAYOUTS,
    LOSS,
    MANY,
    OPTIMIZER,
    PENALTY,
    SEED,
    K,
    N,
    assert_same,
    over_layouts,
    problem,
    tolerances,
)

CLIPS = Transform(Clip(1.0), Identity())
TRANSFORM = {case.name: case for case in TRANSFORM_CASES}
BOUNDS = [(0.35, np.inf), (np.inf, 0.25), (0.35, 0.3)]  # each clips some steps and not others
LENGTH = {1: 2.0, 7: 1.0, N: 0.7}  # of a gradient, about, by the batch
SHAPES = [(1, np.float64), (4, np.float32), (513, np.float64), (1000, np.float32)]

over_bounds = pytest.mark.parametrize(("norm", "value"), BOUNDS)


def clipped_by(training, norm=np.inf, value=np.inf):
    """Return a training with its gradients clipped."""
    shared = training.n_classes is None or not hasattr(type(training.loss.spec), "negative")
    shared = shared and training.y.ndim == 1
    return replace(
        training,
        transform=Transform(Clip(norm, value), Identity()),
        naive_transform=naive.Clip(norm, value, shared=shared),
    )


def quantized_by(training, case, clip=None):
    """Return a training with its gradients quantized, perhaps clipped before."""
    quantizer = naive.Quantizer(case.naive, SEED, case.spec.feeds_back)

    def clip_and_quantize(gradient, t):
        return quantizer(gradient if clip is None else naive.Clip(*clip)(gradient, t), t)

    spec = Transform(Identity() if clip is None else Clip(*clip), case.spec)
    return replace(training, transform=spec, naive_transform=clip_and_quantize)


def assert_same_training(training, layout, dtype=np.float64):
    """Compare a training with the naive one, and how often both clipped."""
    rtol, objective_rtol = tolerances(training, layout)
    if dtype == np.float32:
        rtol, objective_rtol = max(rtol, 1e-4), max(objective_rtol, 1e-3)
    progress, reference = training.compiled(layout, dtype), training.naive()
    assert_same(progress, reference, rtol, objective_rtol)
    if isinstance(training.naive_transform, naive.Clip):
        share = np.mean(training.naive_transform.clipped)
        np.testing.assert_allclose(np.mean(progress.history["clipped"]), share, rtol=1e-12)
        training.naive_transform.clipped.clear()
        return share
    return None


REST = sorted(set(TRANSFORMS) - {"qsgd"})


# -- clipping --------------------------------------------------------------------------------


@over_bounds
@over_product(
    lambda layout, batch_size: layout == "dense" or batch_size > 1,
    layout=LAYOUTS,
    batch_size=BATCHES,
)
def test_clipping_of_one_output(batch_size, layout, norm, value):
    kwargs = {"optimizer": OPTIMIZER["sgd"], "penalty": PENALTY["l2"], "batch_size": batch_size}
    training = problem(LOSS["log_loss"], n_epochs=6, **kwargs)
    bounds = LENGTH[batch_size] * norm, LENGTH[batch_size] * value
    share = assert_same_training(clipped_by(training, *bounds), layout)
    assert share > 0
    assert share < 1 or batch_size == N


@pytest.mark.thorough
@over_layouts
@over([PENALTY["elasticnet"], PENALTY[None]], "penalty")
@over([OPTIMIZER[name] for name in ("sgd", "momentum", "lazy adam")], "optimizer")
def test_clipping_in_stores_that_catch_up(optimizer, penalty, layout):
    training = problem(LOSS["squared_error"], optimizer=optimizer, penalty=penalty, batch_size=4)
    assert_same_training(clipped_by(training, 0.5, 0.4), layout)


@pytest.mark.nojit
@over_product(
    lambda layout, kwargs: "average" not in kwargs,  # noqa: ARG005
    layout=LAYOUTS,
    kwargs=[{"average": 3}, {"fit_intercept": False}],
)
def test_clipping_with_an_average_or_without_an_intercept(kwargs, layout):
    training = problem(LOSS["log_loss"], penalty=PENALTY["l2"], batch_size=4, **kwargs)
    assert_same_training(clipped_by(training, 0.15, 0.1), layout)


@pytest.mark.thorough
@over_bounds
@over_layouts
@over(MANY, "loss")
def test_clipping_of_many_outputs(loss, layout, norm, value):
    """One norm under softmax; one for each output that shares nothing with the others."""
    training = problem(loss, n_outputs=K, penalty=PENALTY["l2"], batch_size=4)
    assert assert_same_training(clipped_by(training, norm, value), layout) > 0


@pytest.mark.thorough
@over_layouts
@over([LOSS["log_loss"], LOSS["squared_error"]], "loss")
def test_a_clipped_column_is_what_one_output_makes_of_it(loss, layout):
    training = clipped_by(problem(loss, n_outputs=K, penalty=PENALTY["l2"]), 0.15, 0.1)
    together, clipped = training.compiled(layout), 0.0
    for k in range(K):
        alone = replace(training, y=training.targets[:, k], n_classes=None).compiled(layout)
        np.testing.assert_allclose(together.params[:, k], alone.params, rtol=1e-9, atol=1e-13)
        clipped += np.array(alone.history["clipped"]) / K
    np.testing.assert_allclose(together.history["clipped"], clipped, rtol=1e-12)


@pytest.mark.thorough
@over_layouts
def test_clipping_in_float32(layout):
    training = problem(LOSS["log_loss"], penalty=PENALTY["l2"])
    progress = clipped_by(training, 0.15, 0.1).compiled(layout, np.float32)
    assert progress.params.dtype == np.float32
    assert_same_training(clipped_by(training, 0.15, 0.1), layout, np.float32)


@over_product(
    lambda layout, optimizer: optimizer.name == "sgd" and layout == "csr",
    layout=LAYOUTS,
    optimizer=[OPTIMIZER["sgd"], OPTIMIZER["momentum"]],
)
def test_bounds_that_no_gradient_meets_change_nothing(layout, optimizer):
    training = problem(LOSS["log_loss"], penalty=PENALTY["l2"], optimizer=optimizer)
    plain, clipped = training.compiled(layout), clipped_by(training, 1e3, 1e3).compiled(layout)
    np.testing.assert_allclose(clipped.params, plain.params, rtol=1e-13)
    assert clipped.history["clipped"] == [0.0, 0.0, 0.0]
    assert "clipped" not in plain.history


@pytest.mark.nojit
@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200, 1.7e308])
def test_a_norm_does_not_overflow(size):
    rule = Rule(*(LOSS["log_loss"].spec, PENALTY["l2"].spec, OPTIMIZER["sgd"].spec), True)
    gradient = size * np.array([0.6, 0.0, -0.8])
    with np.errstate(over="ignore"):
        clipped = transforms.clip(Clip(norm=0.5), stores.Plain(), rule, gradient, 2, 0, 1)
    assert clipped == (size >= 1.0)
    expected = np.array([0.3, 0.0, -0.4]) if clipped else size * np.array([0.6, 0.0, -0.8])
    np.testing.assert_allclose(gradient, expected, rtol=1e-14)


@pytest.mark.parametrize(
    "name",
    [
        None,
        pytest.param("qsgd", marks=pytest.mark.full),
        *(pytest.param(n, marks=pytest.mark.thorough) for n in REST),
    ],
)
def test_a_gradient_that_is_not_finite_is_not_hidden(name):
    training = problem(LOSS["log_loss"], penalty=PENALTY["l2"], weight=np.full(N, 1e10))
    training = replace(training, X=training.X * 1e300)
    clip = Clip(1e300, 1e300) if name is None else Identity()
    quantize = Identity() if name is None else TRANSFORMS[name]
    training = replace(training, transform=Transform(clip, quantize))
    with pytest.raises(ValueError, match="under-/overflow occurred at epoch"):
        training.compiled()


@over_layouts
def test_a_second_clipped_training_compiles_nothing(layout, rng):
    first = problem(LOSS["log_loss"], penalty=PENALTY["l2"])
    clipped_by(first, 0.15).compiled(layout)
    clipped_by(replace(first, batch_size=1), 0.15).compiled(layout)
    compiled = len(sgd_batches.signatures), len(sgd_epochs.signatures)
    for batch_size in (1, 4):
        first = replace(first, batch_size=batch_size)
        clipped_by(replace(first, weight=rng.random(N), shuffle=True), 3, 0.1).compiled(layout)
        clipped_by(replace(first, fit_intercept=False), value=1).compiled(layout)
    assert (len(sgd_batches.signatures), len(sgd_epochs.signatures)) == compiled


@pytest.mark.parametrize(
    ("transform", "optimizer", "average", "kinds"),
    [
        (CLIPS, "sgd", False, (stores.Scaled, stores.Touched)),
        (CLIPS, "momentum", False, (stores.Lazy, stores.Touched)),
        (CLIPS, "sgd", True, (stores.Averaged, stores.Touched)),
        (Transform(Identity(), Qsgd()), "sgd", False, (stores.Plain, stores.AllColumns)),
        (Identity(), "sgd", False, (stores.Scaled, stores.Scattered)),
        (Identity(), "sgd", True, (stores.Averaged, stores.Scattered)),
    ],
)
def test_the_store_of_a_transform_on_sparse_rows(transform, optimizer, average, kinds):
    specs = (LOSS["log_loss"].spec, PENALTY["l2"].spec, OPTIMIZER[optimizer].spec)
    rule = Rule(*specs, True, transform)
    progress = Progress.begin(np.zeros(4), rule.optimizer, average=average, seed=0)
    made = updates.Updates(rule, progress, LINEAR, is_sparse=True)
    store = made.of_steps(type(rule.optimizer).step_coefficients(rule.optimizer, np.ones(2), 1))
    assert (type(store), type(store.columns)) == kinds


# -- quantizers alone ------------------------------------------------------------------------


def gradients(size, dtype, n=4):
    """Draw gradients with zeros, equal entries and sizes that differ."""
    rng = np.random.default_rng(3)
    drawn = rng.normal(size=(n, size)) * rng.choice([0.0, 0.1, 1.0, 5.0], (n, size))
    drawn[:, size // 2 :] = np.round(drawn[:, size // 2 :])
    return drawn.astype(dtype)


def sent_by(spec, gradient, seed=7, step=1, residual=None):
    """Return what a quantizer makes of a gradient in place; the memory changes in place."""
    sent = gradient.copy()
    residual = np.zeros(0, gradient.dtype) if residual is None else residual
    with np.errstate(over="ignore"):
        transforms.quantize(spec, sent, residual, seed, step)
    return sent


@pytest.mark.nojit
@pytest.mark.parametrize(("size", "dtype"), SHAPES)
@over(TRANSFORM_CASES)
def test_a_quantizer_step_by_step(case, size, dtype):
    residual = np.zeros(size if case.spec.feeds_back else 0, dtype)
    reference = naive.Quantizer(case.naive, 7, case.spec.feeds_back)
    for t, gradient in enumerate(gradients(size, dtype), start=1):
        sent = sent_by(case.spec, gradient, 7, t, residual)
        assert sent.dtype == dtype
        if case.spec.feeds_back:  # else rounding of memories, not of the gradient, picks others
            reference.memory = reference.memory.astype(dtype) if t > 1 else 0.0
        expected = reference(gradient, t)
        rtol = 1e-12 if dtype == np.float64 else 2e-6
        np.testing.assert_allclose(sent, expected, rtol=rtol, atol=rtol)
        if case.spec.feeds_back:
            reference.memory = residual.copy()


@over([case for case in TRANSFORM_CASES if not case.spec.feeds_back])
def test_the_mean_of_what_is_sent_is_the_gradient(case):
    (gradient,), n_seeds = gradients(40, np.float64, n=1), 20_000
    sent = np.array([sent_by(case.spec, gradient, seed) for seed in range(n_seeds)])
    error, deviation = np.abs(sent.mean(axis=0) - gradient), sent.std(axis=0)
    assert (error <= 5 * deviation / np.sqrt(n_seeds) + 1e-10).all()
    assert deviation.max() > 0


@over([case for case in TRANSFORM_CASES if case.spec.feeds_back])
def test_what_was_sent_and_the_memory_add_up_to_the_gradients(case):
    drawn = gradients(50, np.float64, n=300)
    residual = np.zeros(50)
    sent = [sent_by(case.spec, g, 0, t, residual) for t, g in enumerate(drawn)]
    np.testing.assert_allclose(np.sum(sent, axis=0) + residual, drawn.sum(axis=0), atol=1e-10)
    assert np.abs(residual).max() < 100  # it does not grow


@over([case for case in TRANSFORM_CASES if not case.spec.feeds_back])
def test_a_seed_and_a_step_name_the_random_numbers(case):
    (gradient,) = gradients(200, np.float64, n=1)
    once = sent_by(case.spec, gradient, seed=3, step=5)
    np.testing.assert_array_equal(once, sent_by(case.spec, gradient, seed=3, step=5))
    for seed, step in ((3, 6), (4, 5), (5, 3)):
        assert (once != sent_by(case.spec, gradient, seed, step)).any()


# -- quantizers in trainings -----------------------------------------------------------------


@pytest.mark.parametrize("layout", ["dense", pytest.param("csr", marks=pytest.mark.thorough)])
@over_product(
    lambda case, optimizer: type(case.spec) in (Qsgd, TopK) and optimizer == "sgd",
    case=TRANSFORM_CASES,
    optimizer=["sgd", "momentum"],
)
def test_a_quantized_training(case, optimizer, layout):
    kwargs = {"optimizer": OPTIMIZER[optimizer], "penalty": PENALTY["l2"], "batch_size": 4}
    for more in ({}, {"fit_intercept": False, "shuffle": True}):
        training = problem(LOSS["log_loss"], d=9, density=0.3, **more, **kwargs)
        assert_same_training(quantized_by(training, case), layout)


@pytest.mark.full
@pytest.mark.nojit
def test_a_little_training_of_each_quantizer():
    for case in TRANSFORM_CASES:
        training = quantized_by(problem(LOSS["log_loss"], n=9, d=3, n_epochs=2), case)
        assert_same_training(training, "csr")


@pytest.mark.thorough
@over_layouts
@over([TRANSFORM["qsgd"], TRANSFORM["topk 30 %"]])
def test_a_quantized_training_of_many_outputs(case, layout):
    training = problem(LOSS["softmax"], n_outputs=K, penalty=PENALTY["l2"], batch_size=4)
    assert_same_training(quantized_by(training, case), layout)


@over_product(
    lambda case, optimizer: (case.name, optimizer) == ("sign", "sgd"),
    case=[TRANSFORM["qsgd"], TRANSFORM["sign"]],
    optimizer=["sgd", "adam"],
)
def test_clipping_comes_before_quantization(case, optimizer):
    training = problem(LOSS["log_loss"], batch_size=4, optimizer=OPTIMIZER[optimizer])
    assert_same_training(quantized_by(training, case, clip=(0.15, 0.1)), "dense")


@over_product(
    lambda case: case.name == "topk",
    case=[case for case in TRANSFORM_CASES if case.is_registered],
)
def test_spans_of_steps_and_calls_do_not_show(case, monkeypatch):
    kwargs = {"shuffle": True, "batch_size": 3, "n_epochs": 5}
    whole = quantized_by(problem(LOSS["log_loss"], **kwargs), case)
    expected = whole.compiled()
    two = replace(whole, n_epochs=2).compiled()
    before = two.copy()
    monkeypatch.setattr(trainer, "CHUNK_STEPS", 5)
    five = replace(whole, n_epochs=3).compiled(progress=two)
    for name in ("params", "residual"):
        np.testing.assert_array_equal(getattr(five, name), getattr(expected, name))
        np.testing.assert_array_equal(getattr(two, name), getattr(before, name))
    assert five.residual.shape == (expected.params.shape if case.spec.feeds_back else (0,))
    np.testing.assert_allclose(whole.compiled("csr").params, expected.params, rtol=1e-9)


def test_another_quantizer_starts_without_memory():
    training = problem(LOSS["log_loss"], n_epochs=1)
    progress = quantized_by(training, TRANSFORM["topk"]).compiled()
    assert progress.residual.any()
    assert training.compiled(progress=progress).residual.shape == (0,)


@pytest.mark.thorough
@over([case for case in TRANSFORM_CASES if case.is_registered])
def test_a_quantized_training_in_float32(case):
    training = quantized_by(problem(LOSS["log_loss"], penalty=PENALTY["l2"]), case)
    progress = training.compiled(dtype=np.float32)
    assert progress.params.dtype == np.float32
    assert progress.residual.dtype == np.float32 or not case.spec.feeds_back
    loss = progress.history["objective"]
    assert loss[-1] < loss[0]


# -- bytes -----------------------------------------------------------------------------------


@pytest.mark.nojit
@over_product(
    lambda case, shape: shape[1] == np.float64 or type(case.spec) in (Qsgd, TopK),
    case=TRANSFORM_CASES,
    shape=[(0, np.float64), *SHAPES, (2, np.float32), (511, np.float64)],
)
def test_decoding_gives_bit_for_bit_what_training_uses(case, shape):
    size, dtype = shape
    for step, gradient in enumerate(gradients(size, dtype)):
        before = gradient.copy()
        payload = encode(case.spec, gradient, 3, step)
        assert payload.dtype == np.uint8
        np.testing.assert_array_equal(gradient, before)
        sent = decode(case.spec, payload, size, dtype)
        assert sent.dtype == dtype
        np.testing.assert_array_equal(sent, sent_by(case.spec, gradient, 3, step))
        np.testing.assert_array_equal(sent, decode(case.spec, payload.tobytes(), size, dtype))


@pytest.mark.parametrize(
    ("quantizer", "megabytes"),
    [(4, 0.55), ("qsgd", 0.55), (8, 1.05), (1, 0.141), ("terngrad", 0.21), ("sign", 0.126)],
)
def test_a_million_numbers_in_bytes(quantizer, megabytes, rng):
    gradient = rng.standard_normal(1_000_000)
    payload = encode(quantizer, gradient, 0, 1)
    assert payload.nbytes <= megabytes * 1e6
    spec = _resolve.quantizer(quantizer)
    sent = decode(spec, payload, gradient.size, gradient.dtype)
    np.testing.assert_array_equal(sent, sent_by(spec, gradient, 0, 1))


def test_top_k_sends_eight_bytes_an_entry_of_float32(rng):
    payload = encode("topk", rng.standard_normal(1_000_000).astype(np.float32), 0, 1)
    assert payload.nbytes == 16 + 8 * 10_000


def test_the_bytes_of_a_payload_are_these():
    """The format is fixed: what one version sends another reads."""
    gradient = np.array([1.0, -0.5, 0.0, 0.25, -2.0, 1.0], np.float32)
    payload = encode(TopK(0.3), gradient, 0, 1).tobytes().hex()
    assert payload == "04040001" + "0600000000000000" + "02000000" + "0000803f000000c0" + (
        "0000000004000000"
    )
    payload = encode("sign", gradient, 0, 1).tobytes().hex()
    assert payload == "03040001" + "0600000000000000" + "00000000" + "abaa4a3f" + "12"


@over(TRANSFORM_CASES)
def test_malformed_payloads_are_refused(case, rng):
    payload = encode(case.spec, rng.standard_normal(23), 0, 1)
    for other in (payload[:-1], np.append(payload, np.uint8(0)), payload[:10], payload[:0]):
        with pytest.raises(ValueError, match="bytes"):
            decode(case.spec, other, 23, np.float64)
    for place in (0, 1, 3, 4, 12):
        other = payload.copy()
        other[place] ^= 1
        with pytest.raises(ValueError, match="header"):
            decode(case.spec, other, 23, np.float64)
    with pytest.raises(ValueError, match="bytes"):
        decode(case.spec, payload, 23, np.float32)


@pytest.mark.parametrize(("name", "value"), [("qsgd", 255), ("terngrad", 243), ("topk", 255)])
def test_codes_that_are_never_written_are_refused(name, value, rng):
    payload = encode(name, rng.standard_normal(25), 0, 1)
    payload[-1] = value
    with pytest.raises(ValueError, match="never writes"):
        decode(name, payload, 25, np.float64)


@pytest.mark.parametrize("gradient", [np.arange(3), np.zeros(3, np.float16), np.array(["a"])])
def test_gradients_of_another_dtype_are_refused(gradient):
    with pytest.raises(ValueError, match="float32 or float64"):
        encode("qsgd", gradient, 0, 1)
    with pytest.raises(ValueError, match="float32 or float64"):
        decode("qsgd", b"", 3, gradient.dtype)


# -- parameters ------------------------------------------------------------------------------


def test_parameters_into_a_transform():
    assert _resolve.transform(None, None, None) == Identity()
    assert isinstance(_resolve.transform(None, None, None), Identity)
    assert _resolve.transform(1, None, None) == Transform(Clip(1.0, np.inf), Identity())
    assert _resolve.transform(None, 0.5, None) == Transform(Clip(np.inf, 0.5), Identity())
    assert _resolve.transform(None, None, 3) == Transform(Identity(), Qsgd(3))
    assert _resolve.transform(2.0, 1.0, TopK(1)).quantize == TopK(1.0)
    assert isinstance(_resolve.transform(None, None, TopK(1)).quantize.fraction, float)
    for name, spec in TRANSFORMS.items():
        assert _resolve.transform(None, None, name).quantize == spec


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ((0, None, None), "clip_norm must be None or a number > 0, got 0"),
        ((None, -1.0, None), "clip_value must be"),
        ((float("nan"), None, None), "clip_norm must be"),
        (("1", None, None), "clip_norm must be"),
        ((True, None, None), "clip_norm must be"),
        ((None, None, 0), "bits of the quantizer 'Qsgd' must be a whole number from 1 to 8, got 0"),
        ((None, None, 9), "bits of the quantizer"),
        ((None, None, Qsgd(4.5)), "bits of the quantizer"),
        ((None, None, Qsgd(4, 0)), "bucket of the quantizer"),
        ((None, None, TopK(0.0)), r"fraction of the quantizer 'TopK' must be in \(0, 1\], got 0.0"),
        ((None, None, TopK(1.1)), "fraction of the quantizer"),
        ((None, None, "ternary"), "quantize must be None, a number of bits"),
        ((None, None, True), "quantize must be"),
        ((None, None, Identity()), "quantize must be"),
        ((None, None, 4.0), "quantize must be"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        _resolve.transform(*kwargs)
