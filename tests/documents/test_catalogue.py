"""The catalogue is what its generator writes today, and its formulas are what trains."""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from docs import make_catalogue as catalogue
from fastgd import initializers, layers, schedules
from fastgd._networks.assembly import Assembly
from fastgd._parameters.resolve import with_matrices
from fastgd.initializers import INITIALIZERS
from fastgd.kernels import losses, optimizers, penalties, rows, transforms
from fastgd.kernels.activations import ACTIVATIONS
from fastgd.kernels.losses import MULTINOMIAL, LogLoss
from fastgd.kernels.optimizers import OPTIMIZERS, _protocol
from fastgd.kernels.penalties import Bounded, ElasticNet, GroupLasso, MaxNorm, Weighted
from fastgd.kernels.transforms import Qsgd
from fastgd.kernels.transforms._rounding import _noise
from fastgd.layers import Dropout
from fastgd.schedules import SCHEDULES
from fastgd.transforms import TRANSFORMS, decode, encode
from tests.tables import LOSS_CASES, PENALTY_CASES, over

NEAR = {"rtol": 1e-10, "atol": 1e-12}
FUNCTIONS = {
    **{name: getattr(np, name) for name in ("sqrt", "exp", "log", "cosh", "tanh", "sign", "where")},
    **{name: getattr(np, name) for name in ("floor", "ceil", "cos", "pi", "inf", "sum", "mean")},
    "abs": np.abs,
    "size": np.size,
    "max": lambda *x: np.maximum(*x) if len(x) > 1 else np.max(x[0]),
    "min": lambda *x: np.minimum(*x),
    "norm": lambda w: np.sqrt(np.sum(np.square(w))),
    "soft": lambda x, a: np.sign(x) * np.maximum(np.abs(x) - a, 0),
    "rank": lambda x: 1 + np.argsort(np.argsort(-x, kind="stable")),
    "sigma": lambda x: 1 / (1 + np.exp(-x)),
    "Phi": lambda z: 0.5 * (1.0 + math.erf(z / math.sqrt(2.0))),
    "phi": lambda z: math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi),
    "polynomial": lambda x, steps: _polynomial(x, steps),
}


def _polynomial(x, steps):
    """Apply Muon's polynomial to a matrix of one column."""
    for _ in range(steps):
        square = np.sum(x**2)
        x = (3.4445 - 4.775 * square + 2.0315 * square**2) * x
    return x


def formula(section, name):
    return {entry.name: entry.formula for entry in catalogue.entries(section)}[name]


def run(lines, names):
    """Run the lines of a formula on these letters, which they change."""
    # one namespace: a comprehension does not see the locals of exec
    everything = {**FUNCTIONS, "__builtins__": {}, **names}
    exec("\n".join(lines), everything)
    names.update({name: everything[name] for name in everything.keys() - FUNCTIONS.keys()})
    return names


def evaluate(expression, **names):
    return eval(expression, {**FUNCTIONS, **names, "__builtins__": {}})


# -- the page -------------------------------------------------------------------------------------


def test_the_page_is_what_the_generator_writes():
    written = catalogue.PAGE.read_text(encoding="utf-8")
    assert written == catalogue.page(), "python docs/make_catalogue.py writes it anew"


@pytest.mark.parametrize("section", catalogue.FORMULAS)
def test_each_name_has_a_row_and_each_row_its_columns(section):
    page = catalogue.page()
    for entry in catalogue.entries(section):
        assert len(re.findall(rf"^\| {re.escape(catalogue._name(entry))} \|", page, re.M)) >= 1
    tables = re.findall(r"(?:^\|.*\|\n)+", page, re.M)
    assert len(tables) == len(catalogue.FORMULAS)
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1


@pytest.mark.parametrize(
    ("section", "registry"),
    [
        ("losses", losses.LOSSES),
        ("penalties", map(str, penalties.PENALTIES)),
        ("optimizers", OPTIMIZERS),
        ("schedules", SCHEDULES),
        ("transforms", TRANSFORMS),
        ("layers", ()),
        ("activations", ACTIVATIONS),
        ("initializers", INITIALIZERS),
    ],
)
def test_the_names_are_those_of_the_registry(section, registry):
    assert [e.name for e in catalogue.entries(section) if e.is_name] == list(registry)


def test_a_loss_without_a_formula_is_refused(monkeypatch):
    monkeypatch.setitem(losses.LOSSES, "cubic", LogLoss())
    with pytest.raises(LookupError, match="cubic: no formula"):
        catalogue.page()


def test_a_formula_of_nothing_is_refused(monkeypatch):
    monkeypatch.setitem(catalogue.FORMULAS["losses"], "cubic", ("r**3", "3 * r**2"))
    with pytest.raises(LookupError, match="cubic"):
        catalogue.page()


# -- losses ---------------------------------------------------------------------------------------


def letters(y, raw, fields):
    """Return what a loss's formula may use."""
    names = {"y": y, "raw": raw, **fields}
    for name in "rzp":
        names[name] = evaluate(catalogue.LETTERS[name], **names)
    return names


@over(case for case in LOSS_CASES if type(case.spec).kind != MULTINOMIAL)
def test_the_formulas_of_a_loss_are_its_kernels(case):
    value, derivative = formula("losses", case.name)
    for y in case.targets:
        for raw in np.linspace(-3, 3, 23) + 0.013:
            names = letters(y, raw, case.spec._asdict())
            np.testing.assert_allclose(
                [evaluate(value, **names), evaluate(derivative, **names)],
                [losses.value(case.spec, y, raw), losses.gradient(case.spec, y, raw)],
                **NEAR,
            )


@pytest.mark.parametrize("label_smoothing", [0.0, 0.3])
def test_the_formulas_of_softmax_are_its_kernels(label_smoothing, rng):
    value, derivative = formula("losses", "softmax")
    spec, raw, y, out = losses.Softmax(label_smoothing), rng.normal(size=5), 2, np.empty(5)
    names = {"raw": raw, "y": y, "K": 5, "onehot": lambda y: np.eye(5)[y], **spec._asdict()}
    names["t"] = evaluate(catalogue.LETTERS["t"], **names)
    expected = losses.gradient_row(spec, y, raw, out)
    np.testing.assert_allclose(evaluate(value, **names), expected, **NEAR)
    np.testing.assert_allclose(evaluate(derivative, **names), out, **NEAR)


# -- penalties ------------------------------------------------------------------------------------

SMALL = np.array([-0.7, -0.02, 0.0, 0.05, 0.9])
PENALTIES = [
    *((str(case.given), case.spec, {"alpha": case.l1 + case.l2}) for case in PENALTY_CASES),
    ("ElasticNet", ElasticNet(0.2, 0.3), {}),
    ("Bounded", Bounded(0.2, 0.3, -0.7, 0.9), {}),
    ("Weighted", Weighted(0.2, 0.3, np.array([0.0, 1.0, 2.0, 0.5, 1.5])), {}),
    ("MaxNorm", MaxNorm(0.8, 0.02, 0.3), {}),
    ("MaxNorm", MaxNorm(80.0, 0.02, 0.3), {}),
    ("GroupLasso", GroupLasso(0.4, 0.3), {}),
]


def strengths(spec, kwargs):
    """Return what a penalty's formula may use of its fields, or of the constructor's parameters."""
    if not kwargs:
        return spec._asdict()
    return {**kwargs, "l1_ratio": spec.l1 / kwargs["alpha"] if kwargs["alpha"] else 0.0}


def stepped(spec, w, d, h, n_outputs):
    """Return the coefficients after one step of the kernels, the intercepts left out."""
    moved = [penalties.proximal(spec, w[c], d[c], h, c) for c in range(w.size)]
    if not spec.joint:
        return np.array(moved)
    flat = np.array([*moved, *np.ones(n_outputs)])
    penalties.joint_proximal(spec, flat, np.full(flat.size, h), n_outputs)
    return flat[: w.size]


@pytest.mark.parametrize(("name", "spec", "kwargs"), PENALTIES)
def test_the_step_of_a_penalty_is_its_kernels(name, spec, kwargs, rng):
    _, *lines = formula("penalties", name)
    d, h = rng.normal(scale=0.3, size=SMALL.size), 0.25
    names = {**strengths(spec, kwargs), "w": SMALL, "d": d, "h": h}
    n_outputs = SMALL.size if name == "GroupLasso" else 1
    after = stepped(spec, SMALL, d, h, n_outputs)
    np.testing.assert_allclose(run(lines, names)["w"], after, **NEAR)


@pytest.mark.parametrize(("name", "spec", "kwargs"), PENALTIES)
def test_the_value_of_a_penalty_is_its_kernels(name, spec, kwargs):
    expression, *_ = formula("penalties", name)
    names, n_outputs = strengths(spec, kwargs), SMALL.size if name == "GroupLasso" else 1
    w = 0.5 * SMALL  # within the bounds
    ours = [penalties.value(spec, x, c) for c, x in enumerate(w)]
    if spec.joint:
        flat = np.array([*w, *np.ones(n_outputs)])
        joint_value = sum(
            penalties.joint_value(spec, flat, n_outputs, output) for output in range(n_outputs)
        )
        np.testing.assert_allclose(
            evaluate(expression, w=w, **names), sum(ours) + joint_value, **NEAR
        )
    elif name == "Weighted":
        np.testing.assert_allclose(evaluate(expression, w=w, **names), ours, **NEAR)
    else:
        np.testing.assert_allclose([evaluate(expression, w=x, **names) for x in w], ours, **NEAR)


# -- optimizers -----------------------------------------------------------------------------------

VARIANTS = [
    ("rmsprop", optimizers.RMSprop(centered=True)),
    ("rmsprop", optimizers.RMSprop(0.9, momentum=0.8)),
    ("adamw", optimizers.AdamW(0.3)),
    ("lion", optimizers.Lion(weight_decay=0.3)),
    ("ftrl", optimizers.Ftrl(0.5, 0.2, 0.1)),
    ("schedule_free_sgd", optimizers.ScheduleFreeSGD(0.7, 0.1)),
    ("schedule_free_adamw", optimizers.ScheduleFreeAdamW(0.1, 0.7)),
    ("prodigy", optimizers.Prodigy(d0=1e-3, d_coef=2.0, bias_correction=True)),
    ("prodigy", optimizers.Prodigy(weight_decay=0.1, safeguard_warmup=True)),
    ("muon", optimizers.Muon(nesterov=False, weight_decay=0.1, match_adam=False)),
]


@pytest.mark.parametrize(("name", "spec"), [*OPTIMIZERS.items(), *VARIANTS])
def test_the_update_of_an_optimizer_is_its_kernels(name, spec, rng, monkeypatch):
    in_python = getattr(_protocol.step_of_each, "py_func", _protocol.step_of_each)
    monkeypatch.setattr(_protocol, "step_of_each", in_python)  # compiled, it takes seconds
    rates = np.full(30, 0.1)
    state, w = np.zeros((max(spec.n_slots, 1), 2)), np.zeros(2)
    names = {**dict.fromkeys("abdmnrsuvwxz", 0.0), "M": 1.0, **spec._asdict(), "rate": 0.1}
    names |= {"rows": 2, "columns": 1}
    placed = with_matrices(spec, [(0, 2, 1)])
    for t, step_coefs in enumerate(spec.step_coefficients(spec, rates, 1), start=1):
        names.update(g=rng.normal(size=2), t=t)
        coefs = tuple(step_coefs)
        optimizers.step_of_all(placed, ElasticNet(), coefs, w, names["g"], state, 2, 0.0)
        np.testing.assert_allclose(run(formula("optimizers", name), names)["w"], w, **NEAR)


@pytest.mark.parametrize("squared_slack", [False, True])
@pytest.mark.parametrize("loss", [0.0, 0.3, 40.0])
@pytest.mark.parametrize("slope", [-1.0, 2.5])
def test_passive_aggressive_steps_are_their_kernels(squared_slack, loss, slope, rng):
    x, w, spec = rng.normal(size=4), rng.normal(size=4), optimizers.PassiveAggressive(squared_slack)
    names = {"x": x, "w": w, "rate": 0.7, "loss": loss, "slope": slope, **spec._asdict()}
    of_row = optimizers.slope(spec, (0.7, 0.0, 0.0, 0.0), rows.Dense(x[None]), 0, loss, slope)
    after = run(formula("optimizers", "PassiveAggressive"), names)["w"]
    np.testing.assert_allclose(after, w - 0.7 * of_row * x, **NEAR)


# -- schedules ------------------------------------------------------------------------------------

STATEFUL = {"adaptive", "plateau"}
BOUND = [
    ("optimal", schedules.optimal(1e-3, LogLoss())),
    ("cosine_restarts", schedules.CosineRestarts(0.3, 0.01, 6.3, 1.5).bind(0.3, 1, 80)),
    ("polynomial", schedules.Polynomial(power=2.0, end=0.01).bind(0.3, 1, 60)),
    ("inverse_sqrt", schedules.InverseSquareRoot(warm_up=7).bind(0.3, 1, 80)),
    ("WarmUp", schedules.WarmUp(schedules.InvScaling(0.3), 8.5, 0.1).bind(0.3, 1, 80)),
    *(
        (name, kind().bind(0.3, 2, 41.3))
        for name, kind in SCHEDULES.items()
        if name != "optimal" and name not in STATEFUL
    ),
]


def field_values(schedule):
    """Return a schedule's fields; those of an inner one as a function of a number."""
    names = dict(vars(schedule))
    if "schedule" in names:
        names["schedule"] = lambda t: schedule.schedule(np.array([float(t)]))[0]
    return names


@pytest.mark.parametrize(("name", "schedule"), BOUND)
def test_the_rates_of_a_schedule_are_its_formula(name, schedule):
    lines = formula("schedules", name)
    fields = field_values(schedule)
    ours = [run(lines, {**fields, "t": float(t)})["eta"] for t in range(1, 96)]
    np.testing.assert_allclose(ours, schedule.values(95), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("adaptive", schedules.Adaptive(0.3, 3.0, 0.02)),
        ("plateau", schedules.ReduceOnPlateau(0.3, 0.4, 2, 0.05, 0.02)),
    ],
)
def test_the_course_of_a_schedule_is_its_formula(name, schedule, rng):
    values = 2 / np.arange(1, 60) + 0.3 * rng.random(59) + 0.1
    names = {**vars(schedule), "eta": schedule.eta0, "n_bad": 0, "best": values[0]}
    names |= {"tol": 0.01, "n_iter_no_change": 3}
    course = schedule.after_epoch(schedule.begin(1), values[:1], 0.01, 3)
    for value in values[1:]:
        course = schedule.after_epoch(course, np.array([value]), 0.01, 3)
        names["value"] = value
        run(formula("schedules", name), names)
        assert math.isclose(names["eta"], course.eta[0], rel_tol=1e-12)
        assert bool(names["stop"]) == course.stop
        if course.stop:
            return
    pytest.fail("the training never ended")


# -- gradient transforms --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "spec"),
    [*TRANSFORMS.items(), ("qsgd", Qsgd(3)), ("topk", transforms.TopK(0.3))],
)
def test_what_a_quantizer_sends_is_its_formula(name, spec, rng):
    g, e = rng.normal(size=40), 0.1 * rng.normal(size=40)
    key = transforms.key_of(7, 3)
    u = np.array([_noise(key, c) for c in range(g.size)])
    names = run(formula("transforms", name), {**spec._asdict(), "g": g, "e": e, "u": u})
    given = names.get("p", g)  # a quantizer with a memory is handed the sum
    sent = decode(spec, encode(spec, given, 7, 3), g.size, np.float64)
    np.testing.assert_allclose(names["sent"], sent, **NEAR)


def test_clipping_is_its_formula(rng):
    x, delta, spec = rng.normal(size=(1, 6)), 1.5, transforms.Clip(norm=1.2, value=0.8)
    factor, _ = transforms.clip_row(spec, rows.Dense(x), 0, delta, False)
    ours = [transforms.clipped_entry(spec, g, factor) for g in delta * x[0]]
    names = run(formula("transforms", "Clip"), {**spec._asdict(), "g": delta * x[0]})
    np.testing.assert_allclose(names["sent"], ours, **NEAR)


# -- of networks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", catalogue.FORMULAS["activations"])
def test_an_activation_is_its_formula(name):
    spec = ACTIVATIONS[name]
    value, derivative = formula("activations", name)
    for z in (-3.0, -0.4, 0.3, 2.5):
        names = {**spec._asdict(), "z": z}
        h = type(spec).value(spec, z)
        np.testing.assert_allclose(evaluate(value, **names), h, **NEAR)
        ours = type(spec).gradient(spec, z, h)
        np.testing.assert_allclose(evaluate(derivative, h=h, **names), ours, **NEAR)


@pytest.mark.parametrize("name", catalogue.FORMULAS["initializers"])
def test_the_variance_of_an_initializer_is_its_formula(name, rng):
    spec = INITIALIZERS[name] if name in INITIALIZERS else getattr(initializers, name)(0.3)
    (variance,) = formula("initializers", name)
    drawn = spec.draw((300, 200), (300, 200), rng)
    expected = evaluate(variance, **spec._asdict(), n_in=300, n_out=200)
    np.testing.assert_allclose(np.mean(drawn**2), expected, rtol=0.03)
    assert abs(np.mean(drawn)) < 0.02


@pytest.mark.parametrize("name", catalogue.FORMULAS["layers"])
def test_the_shape_that_a_layer_makes_is_its_formula(name):
    given = {"units": 5, "filters": 6, "kernel_size": 3, "n_values": 7, "layers": [Dropout()]}
    kind = getattr(layers, name)
    layer = kind(**{k: v for k, v in given.items() if k in kind._fields})
    shape = {"Conv1D": (10, 2), "Embedding": (4,)}.get(name, (10, 8, 2))
    axes = {1: ("columns",), 2: ("length", "channels"), 3: ("height", "width", "channels")}
    names = dict(zip(axes[len(shape)], shape, strict=True)) | layer._asdict()
    (written,) = formula("layers", name)
    assert evaluate(written, **names) == Assembly([layer, "tanh"], shape).output_shape


# -- figures --------------------------------------------------------------------------------------


@pytest.fixture
def figures():
    pytest.importorskip("matplotlib")
    from docs import make_figures

    return make_figures


NAMES = [
    *(("losses", name) for name in losses.LOSSES),
    *(("optimizers", name) for name in OPTIMIZERS),
    *(("schedules", name) for name in SCHEDULES),
    *(("penalties", name) for name in ("l1", "elasticnet", "l2", "GroupLasso", "MaxNorm")),
]


@pytest.mark.parametrize("figure", ["losses", "penalties", "optimizers", "schedules"])
def test_a_figure_has_all_names(figure):
    path = catalogue.PAGE.parent / "figures" / f"{figure}.svg"
    assert f"](figures/{figure}.svg)" in catalogue.page()
    assert 10_000 < path.stat().st_size < 300_000
    text = path.read_text(encoding="utf-8")
    assert ElementTree.fromstring(text).tag.endswith("svg")
    for of, name in NAMES:  # matplotlib writes each text into a comment, too
        assert of != figure or f"<!-- {name}" in text, "python docs/make_figures.py draws it anew"


@pytest.mark.parametrize("figure", ["losses", "penalties", "optimizers", "schedules"])
def test_a_figure_can_be_drawn(figure, figures, monkeypatch):
    monkeypatch.setattr(figures, "RATES", [0.003])
    monkeypatch.setattr(figures, "N_STEPS", 3)
    drawn = figures.draw(figure)
    titled = [panel for panel in drawn.axes if panel.get_title()]
    assert len(titled) >= 6
    assert all(panel.has_data() for panel in titled)


def test_a_drawing_becomes_a_file(figures):
    text = figures.as_svg(figures.draw("schedules"))
    assert "<!-- cosine -->" in text
    assert ElementTree.fromstring(text).tag.endswith("svg")
