"""Print what ``docs/scikit-learn.md`` says of scikit-learn's tests: python -m tests.acceptance."""

from tests.acceptance.table import MODULES, Module


def section(module: Module) -> str:
    """Return a module's part of the page."""
    rows = [f"| `{pattern}` | {why} |" for pattern, why in module.reasons.items()]
    name = module.name.removeprefix("sklearn.").replace(".tests.", ".")
    if not rows:
        return f"### {name}\n\nNone.\n"
    return "\n".join([f"### {name}", "", "| test | because |", "|---|---|", *rows, ""])


if __name__ == "__main__":
    print("\n".join(section(module) for module in MODULES))
