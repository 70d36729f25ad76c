"""Check that all links inside the built site lead somewhere: pages, anchors, pictures, scripts.

    python docs/check_links.py build/html

It needs no network: links to other sites are left alone.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """What a page offers to link to, and what it links to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note ids, names, and what is referred to."""
        del tag
        for name, value in attrs:
            if value and name in ("id", "name"):
                self.anchors.add(value)
            elif value and name in ("href", "src"):
                self.links.add(value)


def broken_links(folder: Path) -> list[str]:
    """Return a line for each link of a folder's pages that leads nowhere."""
    paths = [path for path in folder.rglob("*.html") if "_static" not in path.parts]  # templates
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in paths}
    broken = []
    for path, page in sorted(pages.items()):
        for link in sorted(page.links):
            why = _why_broken(path, link, pages)
            if why:
                broken.append(f"{path.relative_to(folder.resolve())}: {link}: {why}")
    return broken


def _why_broken(path: Path, link: str, pages: dict[Path, Page]) -> str:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return ""
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.exists():
        return "no such file"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return "no such anchor"
    return ""


if __name__ == "__main__":
    found = broken_links(Path(sys.argv[1]))
    print("\n".join(found) or "All links inside the site lead somewhere.")
    sys.exit(bool(found))
