"""What a release consists of: workflows, versions of the site, citation, recipe."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from docs import make_versions

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def test_versions_of_the_site_are_listed(tmp_path):
    for folder in ("0.2", "0.10", "0.9", "dev", "stable", "speed"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "index.html").touch()
    make_versions.main(tmp_path, "https://a.b/c")
    listed = json.loads((tmp_path / "versions.json").read_text())
    assert [entry["version"] for entry in listed] == ["stable", "dev", "0.10", "0.9", "0.2"]
    assert listed[2]["url"] == "https://a.b/c/0.10/"
    assert "url=stable/index.html" in (tmp_path / "index.html").read_text()


def test_a_site_without_versions_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="no folder of a version"):
        make_versions.main(tmp_path, "https://a.b/c")


def test_the_recipe_has_the_dependencies_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    recipe = (ROOT / "conda/meta.yaml").read_text()
    listed = {line.strip("- ").replace(" ", "") for line in recipe.splitlines()}
    assert set(project["dependencies"]) <= listed
    assert f"python{project['requires-python']}" in listed


@pytest.mark.parametrize("path", WORKFLOWS, ids=[path.stem for path in WORKFLOWS])
def test_a_workflow_says_what_it_may_do_and_when_it_gives_up(path):
    text = path.read_text(encoding="utf-8")
    assert "\npermissions:\n" in text
    jobs = re.findall(r"^    runs-on:", text, re.M)
    assert len(re.findall(r"^    timeout-minutes:", text, re.M)) == len(jobs) > 0
