"""The benchmarks' page in a real browser: graphs are drawn, nothing is fetched from elsewhere.

A toy suite stands in for the real one, which takes minutes: what is tested is the way from results
to a page.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITE = """
class Suite:
    params = [1, 2, 4]
    param_names = ("size",)

    def track_size(self, size):
        return size * size

    track_size.unit = "things"
"""


@pytest.fixture(scope="module")
def dashboard():
    """Return benchmarks/dashboard.py, which is a script and no package's part."""
    path = ROOT / "benchmarks" / "dashboard.py"
    spec = importlib.util.spec_from_file_location("dashboard", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _shell(*command: str, cwd: Path) -> str:
    environment = {**os.environ, "HOME": str(cwd)}  # where asv keeps what it knows of machines
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture
def config(tmp_path):
    """Return the configuration of a toy suite with the results of two commits."""
    pytest.importorskip("asv", reason="asv is not installed")
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "__init__.py").write_text("")
    (tmp_path / "suite" / "bench.py").write_text(SUITE)
    settings = {"version": 1, "project": "toy", "repo": ".", "branches": ["HEAD"]}
    settings |= {"environment_type": "virtualenv"}
    settings |= {"benchmark_dir": "suite", "results_dir": ".asv/results", "env_dir": ".asv/env"}
    config = tmp_path / "asv.conf.json"
    config.write_text(json.dumps(settings))
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
    asv = (sys.executable, "-m", "asv", "--config", str(config))
    _shell("git", "init", "-q", cwd=tmp_path)
    _shell(*asv, "machine", "--yes", "--machine", "toy", cwd=tmp_path)
    for message in ("one", "two"):
        _shell(*git, "commit", "-q", "--allow-empty", "-m", message, cwd=tmp_path)
        commit = _shell("git", "rev-parse", "HEAD", cwd=tmp_path)
        run = ("run", "-E", f"existing:{sys.executable}", "--machine", "toy", "--quick")
        _shell(*asv, *run, "--set-commit-hash", commit, cwd=tmp_path)
    return config


@pytest.fixture
def browser():
    """Return a browser without a window, the system's own."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium is installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


DRAWN = """selector => [...document.querySelectorAll(selector)].some(canvas =>
    canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(x => x))"""


@pytest.mark.full
def test_graphs_are_drawn_without_a_network(dashboard, config, browser):
    html = config.parent / "html"
    dashboard.publish(config, html)
    try:
        dashboard.make_local(html)
    except dashboard.Unavailable as error:
        pytest.skip(f"asv's page needs scripts that cannot be had here: {error}")
    page, errors = browser.new_page(), []
    page.on("console", lambda message: errors.append(message.text) * (message.type == "error"))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("requestfailed", lambda request: errors.append(request.url))
    with dashboard.server(html) as http:
        home = f"http://127.0.0.1:{http.server_port}/"
        page.route(lambda url: not url.startswith(home), lambda route: route.abort())
        threading.Thread(target=http.serve_forever, daemon=True).start()
        page.goto(home)
        page.wait_for_selector("#summarygrid-display canvas")
        page.goto(f"{home}#bench.Suite.track_size?x-axis=size")
        page.wait_for_function(DRAWN, arg="#main-graph canvas.flot-base")
        ticks = page.locator("#main-graph .flot-tick-label").all_inner_texts()
        http.shutdown()
    assert errors == []
    assert {"1.0", "4.0", "16.0"} <= set(ticks)


def test_an_unknown_script_is_refused(dashboard, tmp_path):
    """A later asv may load another one; the page then stays as it is."""
    page = tmp_path / "index.html"
    page.write_text('<script src="https://cdn.example/new.min.js" integrity="x"></script>')
    with pytest.raises(dashboard.Unavailable, match=r"asks for new\.min\.js"):
        dashboard.make_local(tmp_path, tmp_path / "vendor")
    assert "cdn.example" in page.read_text()


def test_without_npm_it_says_so(dashboard, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    (tmp_path / "index.html").write_text("")
    with pytest.raises(dashboard.Unavailable, match="npm"):
        dashboard.make_local(tmp_path, tmp_path / "vendor")
