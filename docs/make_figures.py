"""Draw docs/figures: losses, penalties, optimizers and schedules, as the kernels compute them.

    python docs/make_figures.py

It needs matplotlib, ``pip install "fastgd[plot]"``. What is registered gets a panel of its own.
"""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from fastgd import schedules
from fastgd._parameters.resolve import ahead_of, with_matrices
from fastgd.kernels import losses, optimizers, penalties
from fastgd.kernels.losses import LOSSES, MULTINOMIAL, REGRESSION
from fastgd.kernels.optimizers import OPTIMIZERS
from fastgd.kernels.penalties import Bounded, ElasticNet, GroupLasso, MaxNorm
from fastgd.schedules import SCHEDULES

FOLDER = Path(__file__).parent / "figures"

# Okabe and Ito's colours, which the colour-blind tell apart
BLUE, RED, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"

STYLE = {
    "svg.hashsalt": "fastgd",  # the same names inside the file each time
    "figure.facecolor": "white",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.92",
    "lines.linewidth": 1.8,
    "legend.frameon": False,
}


def _grid(n_panels: int, n_columns: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """Return a figure of small panels, each of a size in inches."""
    n_rows = -(-n_panels // n_columns)
    figure = Figure(figsize=(size[0] * n_columns, size[1] * n_rows), layout="constrained")
    panels = list(figure.subplots(n_rows, n_columns, squeeze=False).flat)
    for panel in panels[n_panels:]:
        panel.set_axis_off()
    return figure, panels


def _legend(figure: Figure, panel: Axes) -> None:
    """Write a panel's legend above all panels, where it covers nothing."""
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))


# -- losses ---------------------------------------------------------------------------------------

# Numbers that show the shape; defaults would hide it.
SHOWN = {
    "huber": {"epsilon": 1.0},
    "epsilon_insensitive": {"epsilon": 1.0},
    "squared_epsilon_insensitive": {"epsilon": 1.0},
    "quantile": {"q": 0.8},
}


def draw_losses() -> Figure:
    """Draw each loss and its derivative against raw."""
    figure, panels = _grid(len(LOSSES), 6, (2.15, 2.0))
    for panel, (name, spec) in zip(panels, LOSSES.items(), strict=False):
        _draw_loss(panel, name, spec._replace(**SHOWN.get(name, {})))
    _legend(figure, panels[0])
    return figure


def _draw_loss(panel: Axes, name: str, spec: Any) -> None:
    kind, raw = type(spec), np.linspace(-3.0, 3.0, 241) + 1e-9
    y = 0.0 if kind.kind == REGRESSION and not hasattr(kind, "link") else 1.0
    value, slope = np.array([_value_and_slope(spec, y, x) for x in raw]).T
    jumps = np.abs(np.diff(slope, append=slope[-1])) > 0.15 + 0.05 * np.abs(slope)
    panel.axhline(0.0, color="0.75", linewidth=0.8)
    panel.plot(raw, value, color=BLUE, label="loss")
    dashes = (0, (3.5, 1.2))
    slope = np.where(jumps, np.nan, slope)
    panel.plot(raw, slope, color=RED, linestyle=dashes, label="its derivative by raw")
    panel.set_title(name, fontsize=8.5 if len(name) > 20 else None)
    unit = 2.2 if value[40] > 5.5 else 1.0  # what is steep is drawn smaller
    ticks = [-4, 0, 4, 8] if unit > 1 else [-2, 0, 2, 4]
    panel.set(xlim=(-3, 3), ylim=(-2.6 * unit, 4.4 * unit), xticks=[-2, 0, 2], yticks=ticks)
    panel.set_xlabel(_words_of_loss(spec, y))


def _words_of_loss(spec: Any, y: float) -> str:
    if type(spec).kind == MULTINOMIAL:
        return "raw of the true class"
    fields = "".join(f", {field} = {number:g}" for field, number in spec._asdict().items())
    return f"raw; y = {y:g}{fields}"


def _value_and_slope(spec: Any, y: float, x: float) -> tuple[float, float]:
    """Return a loss and its derivative; of softmax beside two other classes at 0."""
    if type(spec).kind != MULTINOMIAL:
        return losses.value(spec, y, x), losses.gradient(spec, y, x)
    out = np.empty(3)
    value = losses.gradient_row(spec, 0, np.array([x, 0.0, 0.0]), out)
    return value, out[0]


# -- penalties ------------------------------------------------------------------------------------

H = 0.5  # the length of the steps
LINES = {
    "l1": (ElasticNet(1.0, 0.0), BLUE, "-"),
    "elasticnet, half and half": (ElasticNet(0.5, 0.5), GREEN, (0, (5, 1.5))),
    "l2": (ElasticNet(0.0, 1.0), RED, (0, (1.5, 1.2))),
}


def draw_penalties() -> Figure:
    """Draw values, steps and unit balls, and what steps of two coefficients do to them."""
    figure, panels = _grid(6, 3, (3.6, 3.3))
    _draw_values(panels[0])
    _draw_steps(panels[1])
    _draw_balls(panels[2])
    moves = [
        ("l1: each coefficient by itself", ElasticNet(1.0), 1),
        ("GroupLasso: both or none", GroupLasso(1.0), 2),
        ("MaxNorm: onto the ball", MaxNorm(1.0), 1),
    ]
    for panel, (title, spec, n_outputs) in zip(panels[3:], moves, strict=True):
        _draw_moves(panel, spec, n_outputs)
        panel.set_title(title)
    panels[5].add_patch(Ellipse((0, 0), 2, 2, fill=False, edgecolor="0.45"))
    panels[0].plot([], [], "D", color=RED, markersize=5, label="step to an exact zero")
    _legend(figure, panels[0])
    return figure


def _draw_values(panel: Axes) -> None:
    w = np.linspace(-2.5, 2.5, 201)
    for name, (spec, color, dashes) in LINES.items():
        values = [penalties.value(spec, x, 0) for x in w]
        panel.plot(w, values, color=color, linestyle=dashes, label=f"{name}, alpha = 1")
    panel.set(title="value", xlabel="w", ylabel="penalty")


def _draw_steps(panel: Axes) -> None:
    w = np.linspace(-2.5, 2.5, 201)
    panel.plot(w, w, color="0.75", linewidth=1.0)
    panel.annotate("no penalty", (1.8, 2.0), ha="right", color="0.4")
    for spec, color, dashes in LINES.values():
        steps = [penalties.proximal(spec, x, 0.0, H, 0) for x in w]
        panel.plot(w, steps, color=color, linestyle=dashes)
    bounded = [penalties.proximal(Bounded(low=-1.9), x, 0.0, H, 0) for x in w[w <= -1.6]]
    panel.plot(w[w <= -1.6], bounded, color=PURPLE, linewidth=2.2)
    panel.annotate("Bounded(low=-1.9)", (-1.75, -2.05), color="#8A3F69", va="center")
    panel.set(title=f"step of length {H}", xlabel="w before", ylabel="w after")


def _draw_balls(panel: Axes) -> None:
    axis = np.linspace(-1.6, 1.6, 161)
    first, second = np.meshgrid(axis, axis)
    for spec, color, dashes in LINES.values():
        one = np.array([penalties.value(spec, x, 0) for x in axis])
        total = one[None, :] + one[:, None]
        panel.contour(first, second, total, [1.0], colors=color, linestyles=[dashes])
    panel.set(title="where the value is 1", xlabel="first coefficient", aspect="equal")
    panel.set_ylabel("second coefficient")


def _draw_moves(panel: Axes, spec: Any, n_outputs: int) -> None:
    """Draw an arrow from pairs of coefficients to where a step takes them."""
    axis = np.linspace(-1.75, 1.75, 8)
    before = np.array([(x, y) for x in axis for y in axis])
    after = np.array([_moved(spec, pair, n_outputs) for pair in before])
    style = {"angles": "xy", "scale_units": "xy", "scale": 1.0, "width": 0.007}
    panel.scatter(*before.T, s=12, color="0.5", linewidths=0)
    panel.quiver(*before.T, *(after - before).T, color=BLUE, **style)
    zeros = after[(after == 0).any(axis=1)]
    panel.scatter(*zeros.T, s=22, color=RED, marker="D", linewidths=0, zorder=3)
    panel.set(xlabel="first coefficient", ylabel="second coefficient", aspect="equal")


def _moved(spec: Any, pair: np.ndarray, n_outputs: int) -> np.ndarray:
    """Return two coefficients after a step without a gradient."""
    params = np.array([*(penalties.proximal(spec, w, 0.0, H, 0) for w in pair), *[0.0] * n_outputs])
    if spec.joint:
        penalties.joint_proximal(spec, params, np.full(params.size, H), n_outputs)
    return params[:2]


# -- optimizers -----------------------------------------------------------------------------------

CURVATURES = np.array([1.0, 30.0])
START = np.array([-4.0, 1.4])
N_STEPS = 60
RATES = np.geomspace(0.001, 100.0, 51)
FRAME = np.array([[-4.8, 2.6], [-1.9, 1.9]])  # what is drawn, of either parameter


def draw_optimizers() -> Figure:
    """Draw the path of each optimizer at its best rate, on a badly scaled quadratic."""
    figure, panels = _grid(len(OPTIMIZERS), 5, (2.5, 2.2))
    for panel, (name, spec) in zip(panels, OPTIMIZERS.items(), strict=False):
        rate, path = best_path(spec)
        _draw_path(panel, path)
        panel.set_title(f"{name}, rate {float(f'{rate:.2g}'):g}")
    _legend(figure, panels[0])
    return figure


def objective(path: np.ndarray) -> np.ndarray:
    """Return the quadratic's values."""
    return 0.5 * (np.square(path) @ CURVATURES)


def path_of(spec: Any, rate: float) -> np.ndarray:
    """Return the two parameters before and after each step."""
    state, w = np.zeros((max(spec.n_slots, 1), 2)), START.copy()
    path, placed = [w.copy()], with_matrices(spec, [(0, 2, 1)])
    for step_coefs in spec.step_coefficients(spec, np.full(N_STEPS, rate), 1):
        gradient = CURVATURES * w
        optimizers.step_of_all(placed, ElasticNet(), tuple(step_coefs), w, gradient, state, 2, 0.0)
        path.append(w - ahead_of(spec) * state[0])
    return np.array(path)


def best_path(spec: Any) -> tuple[float, np.ndarray]:
    """Return the rate that ends lowest of those that stay within the frame, and its path."""
    best_rate, best, lowest = 0.0, START[None], np.inf
    for rate in RATES:
        with np.errstate(over="ignore", invalid="ignore"):
            path = path_of(spec, rate)
        is_within = ((path >= FRAME[:, 0]) & (path <= FRAME[:, 1])).all()
        if is_within and objective(path[-5:]).mean() < lowest:
            best_rate, best, lowest = rate, path, objective(path[-5:]).mean()
    return best_rate, best


def _draw_path(panel: Axes, path: np.ndarray) -> None:
    for level in np.geomspace(0.3, 80, 3):
        width, height = 2.0 * np.sqrt(2.0 * level / CURVATURES)
        panel.add_patch(Ellipse((0, 0), width, height, fill=False, edgecolor="0.82"))
    words = f"{N_STEPS} steps"
    panel.plot(*path.T, color=BLUE, linewidth=1.2, marker="o", markersize=2.6, label=words)
    panel.plot(*path[0], "s", color="black", markersize=6, label="start")
    panel.plot(*path[-1], "D", color=RED, markersize=6, label="end")
    panel.plot(0, 0, "+", color="black", markersize=10, markeredgewidth=1.5, label="minimum")
    panel.set(xlim=FRAME[0], ylim=FRAME[1], xticks=[-4, -2, 0, 2], yticks=[-1, 0, 1])
    panel.grid(visible=False)
    panel.set_xlabel(f"value at the end {objective(path[-1:])[0]:.1g}")


# -- schedules ------------------------------------------------------------------------------------

ETA0, EPOCHS, STEPS_PER_EPOCH = 0.1, 60, 10
NOTES = {
    "optimal": "; alpha = 0.01",
    "adaptive": "; stalls after 12",
    "plateau": "; stalls after 12",
}


def draw_schedules() -> Figure:
    """Draw the rates of each schedule over a training, as its name means it."""
    rates = rates_by_name()
    figure, panels = _grid(len(rates), 5, (2.4, 1.9))
    epochs = np.arange(EPOCHS * STEPS_PER_EPOCH) / STEPS_PER_EPOCH
    for panel, (name, values) in zip(panels, rates.items(), strict=False):
        panel.plot(epochs, values, color=BLUE)
        panel.set(title=name, xlim=(0, EPOCHS), xticks=[0, 20, 40, 60])
        panel.set_xlabel(f"epoch{NOTES.get(name, '')}")
        panel.set_ylim(0.0, 1.08 * max(ETA0, values.max()))
    for panel in panels[::5]:
        panel.set_ylabel("rate")
    return figure


def rates_by_name() -> dict[str, np.ndarray]:
    """Return the rates of all steps."""
    warm_up = schedules.WarmUp(schedules.Cosine(), length=10)
    made: dict[str, Callable[[], Any]] = {**SCHEDULES, "WarmUp(Cosine(), 10)": lambda: warm_up}
    return {name: _rates(name, make) for name, make in made.items()}


def _rates(name: str, make: Callable[..., Any]) -> np.ndarray:
    n_steps = EPOCHS * STEPS_PER_EPOCH
    if name == "optimal":
        return schedules.optimal(0.01, LOSSES["log_loss"]).values(n_steps)
    open_rate = {"eta0": None} if hasattr(make, "eta0") else {}
    schedule = make(**open_rate).bind(ETA0, STEPS_PER_EPOCH, EPOCHS)
    rates = schedule.values(n_steps)
    course = schedule.begin(1)
    if course is None:
        return rates
    factors = []
    for value in _stalling():
        factors.append(course.factor[0])
        course = schedule.after_epoch(course, np.array([value]), 1e-3, 5)
    return rates * np.repeat(factors, STEPS_PER_EPOCH)


def _stalling() -> np.ndarray:
    """Return the objectives of a training that stalls after epoch 12."""
    return np.maximum(1.0 - 0.05 * np.arange(EPOCHS), 0.4)


# -- files ----------------------------------------------------------------------------------------

FIGURES: dict[str, Callable[[], Figure]] = {
    "losses": draw_losses,
    "penalties": draw_penalties,
    "optimizers": draw_optimizers,
    "schedules": draw_schedules,
}


def draw(name: str) -> Figure:
    """Return a figure."""
    with matplotlib.rc_context(STYLE):
        return FIGURES[name]()


def as_svg(figure: Figure) -> str:
    """Return a figure as SVG without a date, in hundredths of a point, without trailing blanks."""
    file = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(file, format="svg", metadata={"Date": None})
    places = re.compile(r'(?<= )(?:d|x|y)="[^"]*"')  # and no scales
    text = places.sub(lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), file.getvalue())
    return re.sub(r" +\n", "\n", text)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for figure_name in FIGURES:
        path = FOLDER / f"{figure_name}.svg"
        path.write_text(as_svg(draw(figure_name)), encoding="utf-8")
        print(path)
