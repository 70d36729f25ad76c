"""What all displays share: axes, colours and dashes, legends."""

from typing import Any

# Okabe and Ito's colours, which the colour-blind tell apart, and dashes for print without colour
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
FEW = 4  # curves whose names find room among them
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (9, 2)))


def axes_or_new(ax: Any, caller: str, size: tuple[float, float] = (6.4, 4.4)) -> Any:
    """Return the axes to draw on; new ones, in a figure of their own, where ``ax`` is None.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If ``ax`` is something else than axes.
    """
    pyplot = _pyplot(caller)
    if ax is None:
        return pyplot.subplots(figsize=size, layout="constrained")[1]
    if not hasattr(ax, "get_xlim"):
        raise TypeError(f"ax must be matplotlib's Axes or None, got {type(ax).__name__}.")
    return ax


def require_matplotlib(caller: str) -> None:
    """Refuse early what could not be drawn in the end.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    _pyplot(caller)


def _pyplot(caller: str) -> Any:
    try:
        import matplotlib.pyplot as pyplot
    except ImportError as error:
        raise ImportError(
            f'{caller} needs matplotlib: pip install "fastgd[plot]" gets it.'
        ) from error
    return pyplot


def style_of(number: int) -> dict[str, Any]:
    """Return the colour and the dashes of a curve, by its number."""
    # 7 colours and 5 dashes: 35 curves that differ
    return {
        "color": COLORS[number % len(COLORS)],
        "linestyle": DASHES[number % len(DASHES)],
        "linewidth": 1.8,
    }


def curves_of(ax: Any) -> list[Any]:
    """Return the lines on these axes that have a name: all but dots, zeros and the like."""
    return [line for line in ax.get_lines() if not str(line.get_label()).startswith("_")]


def legend(ax: Any, handles: list[Any], *, above: bool = False, n_columns: int = 2) -> None:
    """Write a legend: above the axes, where it covers nothing, if asked for or there are many.

    Under a title it stands within the axes.
    """
    titled = any(ax.get_title(loc=place) for place in ("left", "center", "right"))
    if titled or not (above or len(handles) > FEW):
        ax.legend(handles=handles, frameon=titled, framealpha=0.85, edgecolor="none")
        return
    ax.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        borderaxespad=0.3,
        ncols=min(n_columns, len(handles)),
        frameon=False,
    )


def tidy(ax: Any) -> None:
    """Take away what says nothing, and add a grid that does not distract."""
    ax.spines["top"].set_visible(False)
    ax.grid(visible=True, color="0.92")
    ax.set_axisbelow(True)


def plain_ticks(axis: Any, *, minor: bool = False) -> None:
    """Write 0.001, 1 and 100 on a log axis in place of powers of ten.

    ``minor`` names 2 and 5 times these as well, where an axis spans few decades.
    """
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    if minor:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())
