"""The page on the command line: its commands run, and print what it says."""

import re
import shlex
from pathlib import Path

import pytest

from fastgd import cli
from fastgd.cli import _parser, _showing
from fastgd.cli._names import MODELS

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")


def without_numbers(text):
    return re.sub(r"[\d,.]*\d", "#", text).splitlines()


def test_the_commands_print_what_the_page_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_showing, "PATIENCE", 1e6)  # however long a first call compiles
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
        exec(compile(block, "docs/command-line.md", "exec"), {})
    page = PAGE.replace("\\\n", " ")
    shown = re.findall(r"```console\n\$ fastgd (.*?)\n(.*?)```", page, re.S)
    assert len(shown) == 5
    for command, expected in shown:
        assert cli.main(shlex.split(command)) == 0, command
        captured = capsys.readouterr()
        printed = captured.out + captured.err
        assert without_numbers(printed) == without_numbers(expected), command
        for count in re.findall(r"\d+ (?:rows|predictions|columns)", expected):
            assert count in printed


def test_the_page_names_all_models_and_commands():
    named = set(re.findall(r"`([\w-]+)`", PAGE))
    assert set(MODELS) <= named
    assert set(_parser.EXAMPLES) <= named


@pytest.mark.parametrize("command", _parser.EXAMPLES)
def test_examples_in_the_help_are_commands(command):
    text = _parser.EXAMPLES[command].replace("\\\n", " ")
    for line in text.splitlines():
        words = shlex.split(re.split(r" [|>] ", line)[0])
        assert words[:2] == ["fastgd", command]
        assert _parser.parser().parse_args(words[1:]).command == command
