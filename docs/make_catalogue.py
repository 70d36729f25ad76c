"""Write docs/catalogue.md: every loss, penalty, optimizer, schedule and gradient transform.

    python docs/make_catalogue.py

Names, fields and defaults come from the registries, descriptions and papers from the docstrings.
The formulas stand here, as Python that tests/documents/test_catalogue.py compares with the kernels,
so the page cannot differ from them. A registered name without a formula is refused.
"""

import dataclasses
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from fastgd import (
    activations,
    initializers,
    layers,
    losses,
    optimizers,
    penalties,
    schedules,
    transforms,
)

ACTIVATION_HEADINGS = ["`activation=`", "description", "value", "derivative", "object", "paper"]
PAGE = Path(__file__).parent / "catalogue.md"

# What formulas of losses may use besides raw, y and the fields.
LETTERS = {
    "r": "raw - y",
    "z": "y * raw",
    "p": "sigma(raw) if y == 1 else sigma(-raw)",
    "t": "(1 - label_smoothing) * onehot(y) + label_smoothing / K",
}

_ADAM_MOMENTS = (
    "m = beta_1 * m + (1 - beta_1) * g",
    "v = beta_2 * v + (1 - beta_2) * g**2",
)
_ADAM_STEP = "w = w - rate * m / (1 - beta_1**t) / (sqrt(v / (1 - beta_2**t)) + epsilon)"
_NET_STEP = "w = soft(max(1 - h * l2, 0) * w + d, h * l1)"

# By the registered name, or by the class where there is none. Losses: value and derivative.
# Penalties: value and step. The others: lines that are run in their order.
FORMULAS: dict[str, dict[str, tuple[str, ...]]] = {
    "losses": {
        "squared_error": ("r**2 / 2", "r"),
        "absolute_error": ("abs(r)", "sign(r)"),
        "huber": (
            "r**2 / 2 if abs(r) <= epsilon else epsilon * (abs(r) - epsilon / 2)",
            "min(max(r, -epsilon), epsilon)",
        ),
        "log_cosh": ("scale**2 * log(cosh(r / scale))", "scale * tanh(r / scale)"),
        "epsilon_insensitive": (
            "max(abs(r) - epsilon, 0)",
            "sign(r) if abs(r) > epsilon else 0",
        ),
        "squared_epsilon_insensitive": (
            "max(abs(r) - epsilon, 0)**2",
            "2 * sign(r) * max(abs(r) - epsilon, 0)",
        ),
        "quantile": (
            "q * max(-r, 0) + (1 - q) * max(r, 0)",
            "1 - q if r > 0 else -q if r < 0 else 0",
        ),
        "poisson": ("exp(raw) - y * raw", "exp(raw) - y"),
        "gamma": ("y * exp(-raw) + raw", "1 - y * exp(-raw)"),
        "tweedie": (
            "exp((2 - power) * raw) / (2 - power) - y * exp((1 - power) * raw) / (1 - power)",
            "exp((2 - power) * raw) - y * exp((1 - power) * raw)",
        ),
        "log_loss": ("log(1 + exp(raw)) - y * raw", "sigma(raw) - y"),
        "hinge": ("max(margin - z, 0)", "-y if z <= margin else 0"),
        "perceptron": ("max(-z, 0)", "-y if z <= 0 else 0"),
        "squared_hinge": ("max(1 - z, 0)**2", "-2 * y * max(1 - z, 0)"),
        "smooth_hinge": (
            "max(1 - z, 0)**2 / (2 * smoothing) if z > 1 - smoothing else 1 - z - smoothing / 2",
            "-y * min(max(1 - z, 0) / smoothing, 1)",
        ),
        "modified_huber": (
            "max(1 - z, 0)**2 if z >= -1 else -4 * z",
            "-2 * y * min(max(1 - z, 0), 2)",
        ),
        "focal": (
            "-(1 - p)**gamma * log(p)",
            "(1 - 2 * y) * (1 - p)**gamma * (1 - p - gamma * p * log(p))",
        ),
        "softmax": ("log(sum(exp(raw))) - sum(t * raw)", "exp(raw) / sum(exp(raw)) - t"),
    },
    "penalties": {
        "l2": ("alpha * w**2 / 2", "w = max(1 - h * alpha, 0) * w + d"),
        "l1": ("alpha * abs(w)", "w = soft(w + d, h * alpha)"),
        "elasticnet": (
            "alpha * (l1_ratio * abs(w) + (1 - l1_ratio) * w**2 / 2)",
            "w = soft(max(1 - h * alpha * (1 - l1_ratio), 0) * w + d, h * alpha * l1_ratio)",
        ),
        "None": ("0", "w = w + d"),
        "ElasticNet": ("l1 * abs(w) + l2 * w**2 / 2", _NET_STEP),
        "Bounded": (
            "l1 * abs(w) + l2 * w**2 / 2 if low <= w <= high else inf",
            _NET_STEP,
            "w = min(max(w, low), high)",
        ),
        "Weighted": (
            "factors * (l1 * abs(w) + l2 * w**2 / 2)",
            "w = soft(max(1 - h * factors * l2, 0) * w + d, h * factors * l1)",
        ),
        "MaxNorm": (
            "l1 * sum(abs(w)) + l2 * norm(w)**2 / 2 if norm(w) <= limit else inf",
            _NET_STEP,
            "w = w * min(limit / norm(w), 1)",
        ),
        "GroupLasso": (
            "group * norm(w) + l2 * norm(w)**2 / 2",
            "w = max(1 - h * l2, 0) * w + d",
            "w = max(1 - h * group / norm(w), 0) * w",
        ),
    },
    "optimizers": {
        "sgd": ("w = w - rate * g",),
        "momentum": ("v = momentum * v + g", "w = w - rate * v"),
        "nesterov": ("v = momentum * v + g", "w = w - rate * (g + momentum * v)"),
        "adagrad": ("n = n + g**2", "w = w - rate * g / (sqrt(n) + epsilon)"),
        "adadelta": (
            "v = rho * v + (1 - rho) * g**2",
            "d = g * sqrt(u + epsilon) / sqrt(v + epsilon)",
            "u = rho * u + (1 - rho) * d**2",
            "w = w - rate * d",
        ),
        "rmsprop": (
            "v = rho * v + (1 - rho) * g**2",
            "a = rho * a + (1 - rho) * g if centered else 0",
            "b = momentum * b + g / (sqrt(v - a**2) + epsilon)",
            "w = w - rate * b",
        ),
        "adam": (*_ADAM_MOMENTS, _ADAM_STEP),
        "amsgrad": (
            *_ADAM_MOMENTS,
            "u = max(u, v)",
            "w = w - rate * m / (1 - beta_1**t) / (sqrt(u / (1 - beta_2**t)) + epsilon)",
        ),
        "adamw": (*_ADAM_MOMENTS, "w = w - rate * weight_decay * w", _ADAM_STEP),
        "nadam": (
            *_ADAM_MOMENTS,
            "mu = beta_1 * (1 - 0.96**(t * momentum_decay) / 2)",
            "next_mu = beta_1 * (1 - 0.96**((t + 1) * momentum_decay) / 2)",
            "M = M * mu",
            "d = next_mu * m / (1 - M * next_mu) + (1 - mu) * g / (1 - M)",
            "w = w - rate * d / (sqrt(v / (1 - beta_2**t)) + epsilon)",
        ),
        "adamax": (
            "m = beta_1 * m + (1 - beta_1) * g",
            "u = max(beta_2 * u, abs(g) + epsilon)",
            "w = w - rate * m / (1 - beta_1**t) / u",
        ),
        "lion": (
            "d = sign(beta_1 * m + (1 - beta_1) * g)",
            "m = beta_2 * m + (1 - beta_2) * g",
            "w = w - rate * weight_decay * w - rate * d",
        ),
        "ftrl": (
            "z = z + g - (sqrt(n + g**2) - sqrt(n)) / rate * w",
            "n = n + g**2",
            "w = -soft(z, l1) / ((beta + sqrt(n)) / rate + l2)",
        ),
        "schedule_free_sgd": (
            "z = z - rate * (g + weight_decay * w)",
            "n = n + rate**2",
            "x = x + rate**2 / n * (z - x)",
            "w = (1 - momentum) * z + momentum * x",
        ),
        "schedule_free_adamw": (
            "v = beta_2 * v + (1 - beta_2) * g**2",
            "d = g / (sqrt(v / (1 - beta_2**t)) + epsilon)",
            "z = z - rate * (d + weight_decay * w)",
            "n = n + rate**2",
            "x = x + rate**2 / n * (z - x)",
            "w = (1 - beta_1) * z + beta_1 * x",
        ),
        "prodigy": (
            "d = max(d, d0)",
            "h = rate * d * (sqrt(1 - beta_2**t) / (1 - beta_1**t) if bias_correction else 1)",
            "r = sqrt(beta_2) * r - d / d0 * h * sum(g * w)",
            "s = sqrt(beta_2) * s + d / d0 * (d if safeguard_warmup else h) * g",
            "m = beta_1 * m + (1 - beta_1) * d * g",
            "v = beta_2 * v + (1 - beta_2) * d**2 * g**2",
            "d = max(d, d_coef * r / sum(abs(s)))",
            "w = w - h * weight_decay * w - h * m / (sqrt(v) + d * epsilon)",
        ),
        "muon": (
            "m = momentum * m + (1 - momentum) * g",
            "d = (1 - momentum) * g + momentum * m if nesterov else m",
            "a = 0.2 * sqrt(max(rows, columns)) if match_adam else sqrt(max(columns / rows, 1))",
            "x = polynomial(d / (norm(d) + 1e-7), steps)",
            "w = w - rate * weight_decay * w - rate * a * x",
        ),
        "PassiveAggressive": (
            "slack = 1 / (2 * rate) if squared_slack else 0",
            "tau = loss / (norm(x)**2 + slack)",
            "tau = tau if squared_slack else min(tau, rate)",
            "w = w - tau * sign(slope) * x",
        ),
    },
    "schedules": {
        "constant": ("eta = eta0",),
        "invscaling": ("eta = eta0 / t**power_t",),
        "optimal": ("eta = 1 / (alpha * (t0 + t - 1))",),
        "step": ("eta = eta0 * gamma**floor((t - 1) / every)",),
        "multistep": ("eta = eta0 * gamma**sum([m <= t - 1 for m in milestones])",),
        "exponential": ("eta = eta0 * gamma**(t - 1)",),
        "polynomial": (
            "s = min((t - 1) / length, 1)",
            "eta = end + (eta0 - end) * (1 - s)**power",
        ),
        "cosine": (
            "s = min((t - 1) / length, 1)",
            "eta = eta_min + (eta0 - eta_min) * (1 + cos(pi * s)) / 2",
        ),
        "cosine_restarts": (
            "n = floor(log(1 + (multiplier - 1) * (t - 1) / period) / log(multiplier))",
            "begun = period * (multiplier**n - 1) / (multiplier - 1)",
            "s = (t - 1 - begun) / (period * multiplier**n)",
            "eta = eta_min + (eta0 - eta_min) * (1 + cos(pi * s)) / 2",
        ),
        "one_cycle": (
            "peak = max(share_up * length, 1)",
            "low = eta0 / start_divisor / (1 if t < peak else end_divisor)",
            "s = (peak - t) / (peak - 1) if t < peak else min((t - peak) / (length - peak), 1)",
            "eta = low + (eta0 - low) * (1 + cos(pi * s)) / 2",
        ),
        "inverse_sqrt": ("eta = eta0 * min(t / warm_up, sqrt(warm_up / t))",),
        "adaptive": (
            "n_bad = n_bad + 1 if value > best - tol else 0",
            "best = min(value, best)",
            "due = n_bad >= n_iter_no_change",
            "stop = due and eta <= eta_min",
            "eta = eta / divisor if due and not stop else eta",
            "n_bad = 0 if due else n_bad",
        ),
        "plateau": (
            "better = value < best - threshold * abs(best)",
            "n_bad = 0 if better else n_bad + 1",
            "best = value if better else best",
            "due = n_bad > patience",
            "reduced = max(factor * eta, eta_min)",
            "stop = due and eta - reduced <= 1e-8",
            "eta = reduced if due and not stop else eta",
            "n_bad = 0 if due else n_bad",
        ),
        "WarmUp": (
            "n = ceil(length)",
            "line = schedule(1) * (start + (1 - start) * t / n)",
            "eta = line if t <= n else schedule(t - n)",
        ),
    },
    "transforms": {
        "Clip": (
            "g = min(max(g, -value), value)",
            "sent = g * min(norm / sqrt(sum(g**2)), 1)",
        ),
        "qsgd": (
            "scale = max(abs(g))",
            "s = 2**(bits - 1) - 1",
            "sent = scale * floor(s * g / scale + u) / s",
        ),
        "terngrad": ("scale = max(abs(g))", "sent = scale * floor(g / scale + u)"),
        "sign": (
            "p = g + e",
            "sent = mean(abs(p)) * where(p < 0, -1, 1)",
            "e = p - sent",
        ),
        "topk": (
            "p = g + e",
            "k = max(floor(fraction * size(p) + 1 / 2), 1)",
            "sent = where(rank(abs(p)) <= k, p, 0)",
            "e = p - sent",
        ),
    },
}

# Of networks. Layers: the shape of an output row. Activations: value and derivative. Initializers:
# the variance of an entry.
_WINDOWS = "ceil((height - {0} + 1) / {1}), ceil((width - {0} + 1) / {1})"
_SAME = "(height, width, channels)"
FORMULAS |= {
    "layers": {
        "Dense": ("(units,)",),
        "Conv2D": (f"({_WINDOWS.format('kernel_size', 'stride')}, filters)",),
        "Conv1D": ("(ceil((length - kernel_size + 1) / stride), filters)",),
        "MaxPool2D": (f"({_WINDOWS.format('size', 'size')}, channels)",),
        "AvgPool2D": (f"({_WINDOWS.format('size', 'size')}, channels)",),
        "GlobalAveragePool": ("(channels,)",),
        "Flatten": ("(height * width * channels,)",),
        "Embedding": ("(columns, units)",),
        **dict.fromkeys(("Dropout", "BatchNorm", "LayerNorm", "Residual"), (_SAME,)),
    },
    "activations": {
        "identity": ("z", "1"),
        "logistic": ("1 / (1 + exp(-z))", "h * (1 - h)"),
        "tanh": ("tanh(z)", "1 - h**2"),
        "relu": ("max(z, 0)", "1 if z > 0 else 0"),
        "leaky_relu": ("z if z > 0 else slope * z", "1 if z > 0 else slope"),
        "elu": ("z if z > 0 else scale * (exp(z) - 1)", "1 if z > 0 else h + scale"),
        "gelu": ("z * Phi(z)", "Phi(z) + z * phi(z)"),
        "silu": ("z * sigma(z)", "sigma(z) * (1 + z * (1 - sigma(z)))"),
        "softplus": ("log(1 + exp(z))", "sigma(z)"),
    },
    "initializers": {
        "glorot_uniform": ("2 / (n_in + n_out)",),
        "glorot_normal": ("2 / (n_in + n_out)",),
        "he_uniform": ("2 / n_in",),
        "he_normal": ("2 / n_in",),
        "lecun_uniform": ("1 / n_in",),
        "lecun_normal": ("1 / n_in",),
        "orthogonal": ("gain**2 / max(n_in, n_out)",),
        "zeros": ("0",),
        "Normal": ("deviation**2",),
    },
}

# Papers of names whose docstring has none, in the form of a docstring.
PAPERS = {
    "squared_error": 'Legendre, "Nouvelles méthodes pour la détermination des orbites des comètes",'
    " 1805.",
    "absolute_error": 'Koenker & Bassett, "Regression Quantiles", 1978.',
    "epsilon_insensitive": 'Vapnik, "The Nature of Statistical Learning Theory", 1995.',
    "squared_epsilon_insensitive": 'Ho & Lin, "Large-scale Linear Support Vector Regression",'
    " 2012.",
    "log_loss": 'Cox, "The Regression Analysis of Binary Sequences", 1958.',
    "hinge": 'Cortes & Vapnik, "Support-Vector Networks", 1995.',
    "perceptron": 'Rosenblatt, "The Perceptron: A Probabilistic Model for Information Storage and'
    ' Organization in the Brain", 1958.',
    "squared_hinge": 'Chang, Hsieh & Lin, "Coordinate Descent Method for Large-scale L2-loss Linear'
    ' Support Vector Machines", 2008.',
    "l2": 'Hoerl & Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems",'
    " 1970.",
    "l1": 'Tibshirani, "Regression Shrinkage and Selection via the Lasso", 1996.',
    "elasticnet": 'Zou & Hastie, "Regularization and Variable Selection via the Elastic Net",'
    " 2005.",
    "invscaling": 'Robbins & Monro, "A Stochastic Approximation Method", 1951.',
}

# Where names share a class, and so a docstring.
WORDS = {
    "perceptron": "The hinge without a margin",
    "momentum": "Heavy-ball momentum",
    "nesterov": "Momentum that looks ahead",
}


class Entry(NamedTuple):
    """What one row describes.

    name : the name that the constructor takes, or the class's name
    is_name : whether there is such a name
    kind : the class; None for a penalty's name
    spec : the object that the name means, where there is one
    formula : lines of Python
    """

    name: str
    is_name: bool
    kind: type | None
    spec: Any
    formula: tuple[str, ...]


class Paper(NamedTuple):
    """A reference, taken apart."""

    authors: str
    title: str
    year: str
    arxiv: str | None

    @property
    def short(self) -> str:
        """The form of the tables: first authors and year, linked where that is free to read."""
        names = re.split(r", | & ", self.authors.removesuffix(" et al."))
        few = len(names) <= 2 and names == re.split(r", | & ", self.authors)
        text = f"{' & '.join(names) if few else names[0] + ' et al.'} {self.year}"
        return f"[{text}]({self.link})" if self.arxiv else text

    @property
    def full(self) -> str:
        """The form of the list."""
        text = f"{self.authors}, *{self.title}*, {self.year}."
        return f"{text} [arXiv:{self.arxiv}]({self.link})" if self.arxiv else text

    @property
    def link(self) -> str:
        """Where it is free to read."""
        return f"https://arxiv.org/abs/{self.arxiv}"


# -- what there is --------------------------------------------------------------------------------


def entries(section: str) -> list[Entry]:
    """Return the rows of a section: its names, then the classes that no name means.

    Raises
    ------
    LookupError
        If one of them has no formula, or a formula belongs to none.
    """
    named = list(_named(section))
    formulas = FORMULAS[section]
    missing = [name for name, *_ in named if name not in formulas]
    if missing:
        raise LookupError(
            f"{', '.join(missing)}: no formula. Add one to FORMULAS[{section!r}] in "
            "docs/make_catalogue.py; tests/documents/test_catalogue.py compares it with the code."
        )
    spare = sorted(formulas.keys() - {name for name, *_ in named})
    if spare:
        raise LookupError(f"FORMULAS[{section!r}] has {', '.join(spare)}, which do not exist.")
    return [Entry(*row, formulas[row[0]]) for row in named]


def _named(section: str) -> Iterator[tuple[str, bool, type | None, Any]]:
    """Yield name, is_name, kind and spec of each row."""
    if section == "penalties":
        yield from ((str(given), True, None, None) for given in penalties.PENALTIES)
        yield from ((kind.__name__, False, kind, None) for kind in _classes(penalties))
        return
    module, registry = {
        "losses": (losses, losses.LOSSES),
        "optimizers": (optimizers, optimizers.OPTIMIZERS),
        "schedules": (schedules, schedules.SCHEDULES),
        "transforms": (transforms, transforms.TRANSFORMS),
        "layers": (layers, {}),
        "activations": (activations, activations.ACTIVATIONS),
        "initializers": (initializers, initializers.INITIALIZERS),
    }[section]
    seen = set()
    for name, spec in registry.items():
        kind = spec if isinstance(spec, type) else type(spec)
        seen.add(kind)
        yield name, True, kind, None if kind is spec else spec
    for kind in _classes(module):
        if kind not in seen:
            yield kind.__name__, False, kind, None


def _classes(module: Any) -> list[type]:
    """Return the public classes of a module that a constructor takes objects of."""
    if module is schedules:
        return [kind for kind in vars(module).values() if _is_schedule(kind)]
    public = [getattr(module, name) for name in module.__all__]
    return [kind for kind in public if inspect.isclass(kind)]


def _is_schedule(kind: Any) -> bool:
    base = schedules.Schedule
    is_public = inspect.isclass(kind) and not kind.__name__.startswith("_")
    return is_public and issubclass(kind, base) and kind is not base


# -- what the docstrings say ----------------------------------------------------------------------


def words(entry: Entry) -> str:
    """Return a docstring's first sentence without the formula that it may end or begin with."""
    if entry.name in WORDS:
        return WORDS[entry.name]
    paragraph = " ".join(inspect.getdoc(entry.kind).split("\n\n")[0].split())
    head, _, tail = re.split(r"\.(?: |$)", paragraph)[0].partition(": ")
    is_formula = re.compile(r"\^|=|<-|\||max\(").search
    if not tail or is_formula(tail):
        sentence = head
    else:
        sentence = tail[0].upper() + tail[1:] if is_formula(head) else f"{head}: {tail}"
    sentence = re.sub(r"(, labels in .*|; \w = .*| \[\d\]_)", "", sentence.rstrip(":"))
    return sentence.replace("``", "`").replace("|", r"\|")


def papers(entry: Entry) -> list[Paper]:
    """Return the references of a row."""
    found = re.search(r"References\n-+\n(.*)", inspect.getdoc(entry.kind) or "", re.S)
    texts = re.split(r"\.\. \[\d+\] ", found[1])[1:] if found and entry.kind else []
    if not texts and entry.name in PAPERS:
        texts = [PAPERS[entry.name]]
    return [_paper(" ".join(text.split())) for text in texts]


def _paper(text: str) -> Paper:
    form = re.match(r'(.*?), "(.*?)",.*?\b(\d{4})\b(?:.*arXiv:(\d{4}\.\d{4,5}))?', text)
    if form is None:
        raise ValueError(f"not of the form 'Authors, \"Title\", year': {text}")
    return Paper(*form.groups())


def fields(entry: Entry) -> dict[str, Any]:
    """Return the fields and their defaults; ``inspect.Parameter.empty`` where there is none."""
    if entry.kind is None:
        return {}
    if entry.spec is not None:
        return entry.spec._asdict()
    if dataclasses.is_dataclass(entry.kind):
        parameters = inspect.signature(entry.kind).parameters
        return {name: parameter.default for name, parameter in parameters.items()}
    none = inspect.Parameter.empty
    return {name: entry.kind._field_defaults.get(name, none) for name in entry.kind._fields}


# -- how it is written ----------------------------------------------------------------------------


def _code(lines: Iterable[str]) -> str:
    return "<br>".join(f"`{line}`" for line in lines) or "-"


def _name(entry: Entry) -> str:
    if entry.name == "None":
        return "`None`"
    return f'`"{entry.name}"`' if entry.is_name else f"`{entry.name}`"


def _object(entry: Entry) -> str:
    if entry.kind is None:
        return "-"
    texts = [
        name if default is inspect.Parameter.empty else f"{name}={default!r}"
        for name, default in fields(entry).items()
    ]
    return f"`{entry.kind.__name__}({', '.join(texts)})`"


def _references(entry: Entry) -> str:
    return ", ".join(paper.short for paper in papers(entry)) or "-"


def _targets(entry: Entry) -> str:
    """Return what ``y`` is."""
    kind = entry.kind
    if kind.kind == "multinomial":
        return "0, 1, ... K - 1"
    if kind.kind == "binary":
        return f"{kind.negative:g}, 1"
    if entry.name == "tweedie":
        return "> 0 for `power` >= 2, >= 0 from 1 on, else any"
    return {None: "any", "nonnegative": ">= 0", "positive": "> 0"}[getattr(kind, "domain", None)]


def _table(headings: list[str], rows: Iterable[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _losses() -> str:
    rows = [
        [
            _name(e),
            words(e),
            f"`{e.formula[0]}`",
            f"`{e.formula[1]}`",
            _targets(e),
            _object(e),
            _references(e),
        ]
        for e in entries("losses")
    ]
    return _table(
        ["`loss=`", "description", "value", "derivative by `raw`", "`y`", "object", "paper"], rows
    )


def _penalties() -> str:
    rows = [
        [_name(e), f"`{e.formula[0]}`", _code(e.formula[1:]), _object(e), _references(e)]
        for e in entries("penalties")
    ]
    return _table(["`penalty=`", "value", "step", "object", "paper"], rows)


def _optimizers() -> str:
    rows = [
        [
            _name(e),
            words(e),
            _code(e.formula),
            f"{e.kind.eta0:g}",
            _object(e),
            _references(e),
        ]
        for e in entries("optimizers")
    ]
    return _table(["`optimizer=`", "description", "update", "rate", "object", "paper"], rows)


def _schedules() -> str:
    rows = [
        [_name(e), words(e), _code(e.formula), _object(e), _references(e)]
        for e in entries("schedules")
    ]
    return _table(["`learning_rate=`", "description", "rate", "object", "paper"], rows)


def _transforms() -> str:
    rows = [
        [_name(e), words(e), _code(e.formula), _object(e), _references(e)]
        for e in entries("transforms")
    ]
    return _table(["`quantize=`", "description", "payload", "object", "paper"], rows)


def _of_networks(section: str, headings: list[str]) -> str:
    rows = [
        [_name(e), words(e), *(f"`{line}`" for line in e.formula), _object(e), _references(e)]
        for e in entries(section)
    ]
    return _table(headings, rows)


def _bibliography() -> str:
    found = {
        (paper.authors, paper.title): paper
        for section in FORMULAS
        for entry in entries(section)
        for paper in papers(entry)
    }
    return "\n".join(f"- {found[key].full}" for key in sorted(found))


def page() -> str:
    """Return the text of docs/catalogue.md."""
    letters = "\n".join(f"    {name} = {formula}" for name, formula in LETTERS.items())
    return f"""\
# Catalogue

Every loss, penalty, optimizer, schedule and gradient transform, and every layer, activation and
initializer of networks. `docs/make_catalogue.py` writes
this page from the code; the formulas are Python, and the tests compare them with the kernels. The
first column is the name to give to the constructor, or a class that has no such name. The column
*object* shows the class with its fields and their defaults, to import from `fastgd.losses`,
`fastgd.penalties`, `fastgd.optimizers`, `fastgd.schedules`, `fastgd.transforms`, `fastgd.layers`,
`fastgd.activations` or `fastgd.initializers`.

## Losses

![Each loss and its derivative](figures/losses.svg)

`raw` is x w + b, before any link, and

{letters}

where `p` is the probability of the label in `"focal"`, and `t` the target in `"softmax"`, whose
`raw` has an entry for each of the K classes. `sigma(x)` is `1 / (1 + exp(-x))`. A loss given by
name takes `epsilon` from the constructor. The kernels compute the same in forms that do not
overflow; losses with a log link (`"poisson"`, `"gamma"`, `"tweedie"`) are continued as parabolas
where exponents exceed 60. `"tweedie"` is `"poisson"` for a `power` of 1, `"gamma"` for 2, and half
the squared error of `exp(raw)` for 0.

{_losses()}

## Penalties

![Values, steps and unit balls of the penalties](figures/penalties.svg)

`w` is one coefficient; in `MaxNorm` it is all coefficients of an output, in `GroupLasso` all of a
feature. `h` is the step length, and `d` is the change by the optimizer: `-h * g` for sgd. `soft(x,
a)` is `sign(x) * max(abs(x) - a, 0)`, and `norm(w)` is `sqrt(sum(w**2))`. `alpha` and `l1_ratio`
are arguments of the constructor; objects have strengths of their own. The steps of `MaxNorm` and
`GroupLasso` are written for a common `h`; where each coefficient has its own, as with Adam, see the
docstrings. The intercept is never penalised.

{_penalties()}

## Optimizers

![Paths of the optimizers on a badly scaled quadratic](figures/optimizers.svg)

*60 steps on w_1^2 / 2 + 30 w_2^2 / 2, each optimizer at the best constant rate of a grid whose path
stays within the plot. The valley is parallel to an axis, which favours optimizers with a rate for
each coordinate.*

The update of one coefficient `w` with gradient `g`, before the penalty; `t` counts steps from 1.
All other variables start at 0, except `M`, which starts at 1; `ftrl` is written for a `w` that
starts at 0. `rate` comes from the schedule; the column *rate* has the constant rate that the
default schedule means with this optimizer (with sgd, the default schedule is scikit-learn's).
The `w` of `"schedule_free_sgd"` and `"schedule_free_adamw"` is where gradients are taken; their
`x` predicts. In `"prodigy"` the sums are over all parameters, and `w` is written to start at 0.
`"muon"` is written for a matrix of `rows` and `columns`; `polynomial(X, steps)` applies `X = 3.4445
* X + (-4.775 * X @ X.T + 2.0315 * X @ X.T @ X @ X.T) @ X` so often; what is no matrix goes by
AdamW.
`PassiveAggressive` visits single rows `x`, and updates the whole `w` by the row's `loss` and its
derivative `slope`; `learning_rate="pa1"` and `"pa2"` stand for it with `squared_slack=False` and
`True`. So does `"auto"` for steps without a rate, of classes and targets in any units: see
[the design note](design/rate-free.md).

{_optimizers()}

## Schedules

![Rates of the schedules over a training](figures/schedules.svg)

*60 epochs of 10 steps with `eta0=0.1`; `"adaptive"` (with `n_iter_no_change=5`) and `"plateau"`
follow an objective that no longer falls after epoch 12.*

The rate `eta` of step `t`, counted from 1 in the schedule's own `unit`. With a name, `eta0` is that
of the constructor, and lengths that are `None` follow from `max_iter`. `"adaptive"` and `"plateau"`
start at `eta0`; `best` is the objective of the first epoch (or a score with its sign changed), and
the lines are run after each later epoch, whose objective is `value`. `n_iter_no_change` and `tol`
are arguments of the constructor. `"cosine_restarts"` with a `multiplier` of 1 has `n = floor((t -
1) / period)` and restarts after each `period`. `learning_rate=` also takes any other callable of
`t`.

{_schedules()}

## Gradient transforms

First comes `Clip`, which `clip_norm=` and `clip_value=` stand for, then a quantizer. `g` is the
whole gradient, `e` the residual of earlier steps, 0 at first, and `u` are random numbers, uniform
in [0, 1). `"qsgd"` treats each `bucket` of neighbours separately, and with one bit it rounds to
-scale and scale. `rank(x)` is 1 for the largest entry. See [quantization.md](quantization.md) for
what quantizers cost.

{_transforms()}

## Layers

A row that comes in has the shape `(height, width, channels)`, `(length, channels)` for `Conv1D` and
`(columns,)` for `Embedding`; the column *rows out* is the shape that goes out, with windows that
move in both directions alike and `padding="valid"`. `"same"` gives `ceil(height / stride)`.

{_of_networks("layers", ["layer", "description", "rows out", "object", "paper"])}

## Activations

`z` is a weighted sum, `h` the value; `Phi` and `phi` are the normal distribution function and its
density.

{_of_networks("activations", ACTIVATION_HEADINGS)}

## Initializers

`n_in` and `n_out` are the numbers of a weight's inputs and outputs, of a convolution times the size
of its window.

{_of_networks("initializers", ["`init=`", "description", "variance", "object", "paper"])}

## Papers

{_bibliography()}
"""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
