"""Draw the figures of docs/pictures.md, by running the page's own code.

    python docs/make_pictures.py

A block of code leaves a display in ``display``; the link to a figure after it says which file that
becomes. It needs matplotlib, ``pip install "fastgd[plot]"``.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

PAGE = Path(__file__).parent / "pictures.md"


def pictures() -> Iterator[tuple[str, Figure]]:
    """Yield the file and the figure of each block, in the page's order; all blocks share names."""
    names: dict[str, object] = {}
    text = PAGE.read_text(encoding="utf-8")
    for block, path in re.findall(r"```python\n(.*?)```\n\n!\[[^]]*\]\(([^)]+)\)", text, re.S):
        exec(compile(block, str(PAGE), "exec"), names)
        yield path, names["display"].figure_


if __name__ == "__main__":
    from make_figures import as_svg

    matplotlib.use("Agg")
    for name, figure in pictures():
        (PAGE.parent / name).write_text(as_svg(figure), encoding="utf-8")
        print(PAGE.parent / name)
