"""What the tests of the command line share."""

import pytest

from fastgd import cli


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Run the command in a folder of its own; return its status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(line):
        status = cli.main(line.split())
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call
