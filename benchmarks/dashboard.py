"""Publish the results of asv as a page that needs no network, and serve it.

    python benchmarks/dashboard.py              # make dashboard: html/, on http://localhost:8000
    python benchmarks/dashboard.py --no-serve

The page that asv writes loads jQuery, flot and a few more from other hosts. npm fetches the same
versions once, to .asv/vendor/, and the page is made to read those. Where that cannot be done, the
page stays as asv wrote it, and this says so.
"""

import argparse
import functools
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).parent
CONFIG = HERE / "asv.conf.json"
HTML = HERE.parent / "html"
VENDOR = HERE.parent / ".asv" / "vendor"

# What the page asks for by its file's name: a package of npm's, and a file in it.
FILES = {
    "jquery-3.3.1.min.js": ("jquery@3.3.1", "dist/jquery.min.js"),
    "jquery.flot.min.js": ("flot@0.8.3", "jquery.flot.js"),
    "jquery.flot.time.min.js": ("flot@0.8.3", "jquery.flot.time.js"),
    "jquery.flot.selection.min.js": ("flot@0.8.3", "jquery.flot.selection.js"),
    "jquery.flot.categories.min.js": ("flot@0.8.3", "jquery.flot.categories.js"),
    "jquery.flot.orderBars.js": ("flot-orderbars@1.0.0", "js/jquery.flot.orderBars.js"),
    "stupidtable.min.js": ("stupid-table-plugin@1.1.3", "stupidtable.min.js"),
    "md5.min.js": ("blueimp-md5@2.19.0", "js/md5.min.js"),
    "bootstrap.min.js": ("bootstrap@3.1.1", "dist/js/bootstrap.min.js"),
    "bootstrap.min.css": ("bootstrap@3.1.1", "dist/css/bootstrap.min.css"),
}

# <script src="https://..." integrity=...></script> and <link href="https://..." ...>
REMOTE = re.compile(r'<(script|link)\b[^>]*\b(?:src|href)="https://[^"]*/([^"/]+)"[^>]*>')


class Unavailable(Exception):
    """The scripts cannot be had here and now; the message says why."""


def publish(config: Path = CONFIG, html: Path = HTML) -> None:
    """Write asv's page, of all results that there are."""
    options = ["--config", str(config), "publish", "--no-pull", "--html-dir", str(html)]
    subprocess.run([sys.executable, "-m", "asv", *options], check=True)


def make_local(html: Path = HTML, vendor: Path = VENDOR) -> None:
    """Make the page read its scripts from beside itself.

    Raises
    ------
    Unavailable : npm is missing, it has no network, or asv asks for a file that is not known here.
    """
    page = html / "index.html"
    text = page.read_text(encoding="utf-8")
    unknown = {name for _, name in REMOTE.findall(text)} - FILES.keys()
    if unknown:
        raise Unavailable(f"asv's page asks for {', '.join(sorted(unknown))}, which FILES lacks")
    fetch(vendor)
    shutil.copytree(vendor, html / "vendor", dirs_exist_ok=True)
    page.write_text(REMOTE.sub(_local_tag, text), encoding="utf-8")


def _local_tag(match: re.Match[str]) -> str:
    kind, name = match.groups()
    if kind == "script":
        return f'<script src="vendor/{name}" onerror="js_load_failure()">'
    return f'<link rel="stylesheet" href="vendor/{name}">'


def fetch(vendor: Path = VENDOR) -> None:
    """Bring the scripts to a folder, by npm, unless they are there."""
    missing = [name for name in FILES if not (vendor / name).exists()]
    vendor.mkdir(parents=True, exist_ok=True)
    for package in dict.fromkeys(FILES[name][0] for name in missing):
        with tempfile.TemporaryDirectory() as folder, _pack(package, folder) as archive:
            for name in missing:
                if FILES[name][0] == package:
                    source = archive.extractfile(f"package/{FILES[name][1]}")
                    (vendor / name).write_bytes(source.read())


def _pack(package: str, folder: str) -> tarfile.TarFile:
    """Download a package of npm's and open it."""
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("npm, which fetches the page's scripts, is not installed")
    command = [npm, "pack", package, "--silent", "--pack-destination", folder]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"npm could not fetch {package}: {done.stderr.strip() or 'no network'}")
    (path,) = Path(folder).glob("*.tgz")
    return tarfile.open(path)


class _Quiet(SimpleHTTPRequestHandler):
    """A server of files that prints nothing for each."""

    def log_message(self, *_):
        """Say nothing."""


def server(html: Path = HTML, port: int = 0) -> ThreadingHTTPServer:
    """Return a server of the page on this machine only; port 0 takes a free one."""
    handler = functools.partial(_Quiet, directory=str(html))
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


def main() -> None:
    """Publish and serve, until the keyboard interrupts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s")
    parser.add_argument("--no-serve", action="store_true", help="only write html/")
    chosen = parser.parse_args()
    publish()
    try:
        make_local()
    except Unavailable as error:
        print(f"The page will load its scripts from the network: {error}.", file=sys.stderr)
    if not chosen.no_serve:
        with server(port=chosen.port) as http:
            print(f"http://localhost:{http.server_port}  (end with Ctrl-C)", flush=True)
            try:
                http.serve_forever()
            except KeyboardInterrupt:
                print()


if __name__ == "__main__":
    main()
