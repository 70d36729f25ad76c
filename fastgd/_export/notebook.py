"""What a notebook shows of an estimator: scikit-learn's diagram, and what its fit has found."""

import functools
import html
import importlib.metadata
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils import estimator_html_repr

from fastgd._export import report

MOST = 10  # coefficients that are shown

_STYLE = """
.fastgd-fit{font:13px/1.4 system-ui,sans-serif;max-width:40rem;margin:.3rem 0}
.fastgd-fit table{border-collapse:collapse;width:100%}
.fastgd-fit th{text-align:left;font-weight:normal;opacity:.75;padding:.1rem 1rem .1rem 0}
.fastgd-fit td{text-align:left}.fastgd-fit .bar{width:40%}
.fastgd-fit .bar span{display:block;height:.7rem;background:#2b6cb0}
.fastgd-fit .bar .down{background:#c0392b}
.fastgd-fit svg{width:100%}.fastgd-fit svg polyline{stroke:#2b6cb0}
.fastgd-fit svg text{font-size:12px;fill:currentColor;opacity:.75}
"""


class NotebookView:
    """Shows what a fit has found below scikit-learn's diagram; links to fastgd's documentation."""

    _doc_link_module = "fastgd"

    @property
    def _doc_link_template(self) -> str:
        """Where the page of a class is; empty where there is no site."""
        site = documentation()
        return f"{site}/generated/api/{{name}}.html" if site else ""

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        """Return the name of this class's page: those of ``fastgd.linear_model`` are fastgd's."""
        module = type(self).__module__.partition("._")[0].removesuffix(".linear_model")
        return {"name": f"{module}.{type(self).__name__}"}

    def _html_repr(self) -> str:
        """Return what notebooks show."""
        diagram: str = estimator_html_repr(self)
        return diagram + fit_as_html(self)


@functools.cache
def documentation() -> str:
    """Return the address of the site, as the installed package names it; "" where it names none."""
    try:
        urls = importlib.metadata.metadata("fastgd").get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        return ""
    named = dict(url.split(", ", 1) for url in urls)
    return named.get("Documentation", "").rstrip("/")


def fit_as_html(model: Any) -> str:
    """Return objective, bound, history and strongest coefficients; "" before the first fit.

    One box that opens on a click; what it takes from the data, names and labels, is escaped.
    """
    figures = report.figures(model)
    if not figures:
        return ""
    said = "; ".join(f"{name} {value}" for name, value in figures.items())
    content = report.table(figures)
    if hasattr(model, "history_"):
        content += report.history(model)
    return (
        f'<details class="fastgd-fit"><style>{_STYLE}</style>'
        f"<summary>The fit: {html.escape(said)}</summary>{content}{_coefficients(model)}</details>"
    )


def _coefficients(model: Any) -> str:
    """Return a table of the strongest, "" where coefficients belong to no columns."""
    coef = getattr(model, "coef_", None)
    if coef is None:
        return ""
    coef = coef if sp.issparse(coef) else np.atleast_2d(coef)  # ``sparsify`` makes it sparse
    if report.entries(coef)[2].shape[0] == 0:
        return "<p>All coefficients are zero.</p>"
    names = getattr(model, "feature_names_in_", None)

    def name_of(column: int) -> str:
        return f"x{column}" if names is None else str(names[column])

    return report.bars(report.strongest(coef, name_of, _labels(model, coef.shape[0]), MOST))


def _labels(model: Any, n_outputs: int) -> list[Any]:
    """Return the class that each row of ``coef_`` speaks for, or its number."""
    classes = list(getattr(model, "classes_", ()))
    return classes if len(classes) == n_outputs else list(range(n_outputs))
