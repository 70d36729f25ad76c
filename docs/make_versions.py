"""Lists the versions of a site: ``versions.json`` for the switch, and a page that leads to one.

    python docs/make_versions.py site https://owner.github.io/fastgd

``site`` has a folder for each version (0.2, 0.3, ...), ``stable`` and ``dev``; the second argument
is the address that it gets.
"""

import json
import re
import sys
from pathlib import Path

REDIRECT = """<!doctype html>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={folder}/index.html">
<title>fastgd</title>
<p><a href="{folder}/index.html">fastgd</a>
"""


def versions(site: Path, address: str) -> list[dict[str, str | bool]]:
    """Return the entries of the switch: stable, then dev, then numbers, the newest first."""
    folders = {path.parent.name for path in site.glob("*/index.html")}
    numbers = sorted((f for f in folders if re.fullmatch(r"\d+\.\d+", f)), key=_key, reverse=True)
    first = [name for name in ("stable", "dev") if name in folders]
    return [
        {"name": name, "version": name, "url": f"{address}/{name}/", "preferred": name == "stable"}
        for name in [*first, *numbers]
    ]


def _key(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def main(site: Path, address: str) -> None:
    """Write both files."""
    found = versions(site, address)
    if not found:
        raise SystemExit(f"{site} has no folder of a version")
    (site / "versions.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    page = REDIRECT.format(folder=found[0]["name"])
    (site / "index.html").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2].rstrip("/"))
