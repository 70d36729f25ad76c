"""The tables of docs/accel.md follow from the code."""

import importlib.util
from pathlib import Path

PATH = Path(__file__).parents[2] / "docs" / "make_accel.py"


def test_the_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("make_accel", PATH)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    text = made.PAGE.read_text(encoding="utf-8")
    assert made.written(text) == text, "run: python docs/make_accel.py"
    assert "| `LogisticRegression` |" in text
