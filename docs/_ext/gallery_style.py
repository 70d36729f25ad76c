"""One look for the pictures of all examples; without it they have matplotlib's own."""

from typing import Any

# Okabe and Ito's colours, which the colour-blind tell apart, the darker ones first
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]

STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "font.size": 10.5,
    "grid.color": "0.92",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "savefig.dpi": 110,
}


def reset(gallery_conf: dict[str, Any], fname: str) -> None:  # noqa: ARG001 - sphinx-gallery's
    """Set the style anew before each example."""
    import matplotlib
    from cycler import cycler

    matplotlib.rcParams.update(STYLE)
    matplotlib.rcParams["axes.prop_cycle"] = cycler(color=COLORS)
