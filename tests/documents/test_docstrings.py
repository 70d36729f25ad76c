"""Docstrings of all that is public say what there is to say, in numpydoc's form."""

import importlib
import inspect
import re

import pytest

from fastgd.callbacks import Callback

validate = pytest.importorskip("numpydoc.validate").validate

MODULES = [
    "fastgd",
    "fastgd.linear_model",
    "fastgd.losses",
    "fastgd.optimizers",
    "fastgd.penalties",
    "fastgd.schedules",
    "fastgd.transforms",
    "fastgd.plot",
    "fastgd.datasets",
    "fastgd.callbacks",
    "fastgd.inference",
]

# numpydoc's codes that are not asked for, and why. RT02 is scikit-learn's choice, too.
LEFT_OUT = {
    "RT02": "a returned object may have a name",
    "ES01": "a summary may say it all",
    "SA01": "what belongs together stands in one module, and on one page of docs/",
    "EX01": "the pages of docs/ have the examples, and a test runs them",
    "PR07": "a parameter that means the same all over needs no sentence: y, sample_weight",
    "RT03": "nor does a type that says what is returned: self, ndarray of shape (n_samples,)",
    "SS02": "a summary may begin with a formula, whose letters have their own case",
    "SS03": "or lead over to one",
}


def is_ours(thing):
    return getattr(thing, "__module__", "").startswith("fastgd")


def public_names():
    """List classes, functions, methods and properties, each where it is found first."""
    seen = set()
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in getattr(module, "__all__", vars(module)):
            thing = getattr(module, name)
            if name.startswith("_") or not is_ours(thing) or thing in seen:
                continue
            if inspect.isclass(thing) or inspect.isfunction(thing):
                seen.add(thing)
                yield f"{module_name}.{name}"
                yield from methods_of(f"{module_name}.{name}", thing)


def methods_of(path, kind):
    """List the methods that a class has from fastgd."""
    if inspect.isfunction(kind) or kind.__module__.startswith("fastgd.kernels"):
        return  # a spec's methods are hooks, which the head of its module explains once
    for name in dir(kind):
        home = next(base for base in kind.__mro__ if name in vars(base))
        is_documented = callable(vars(home)[name]) or isinstance(
            vars(home)[name], property | classmethod | staticmethod
        )
        if not name.startswith("_") and is_ours(home) and is_documented:
            yield f"{path}.{name}"


def found(path):
    """Return the object of a dotted path, and the module's name."""
    module = max((m for m in MODULES if path.startswith(f"{m}.")), key=len)
    thing = importlib.import_module(module)
    for name in path.removeprefix(f"{module}.").split("."):
        thing = getattr(thing, name)
    return thing, module


def documented_elsewhere(path):
    """Return the parameters of the class whose parameters these are, as the docstring says."""
    thing, module = found(path)
    if module == "fastgd.callbacks" and hasattr(Callback, thing.__name__):
        return {"view", "error"}  # as in the hook of the base class, which says what they are
    other = re.search(r"\b(?:those|that)\s+of\s+``(\w+)``", inspect.getdoc(thing) or "")
    if other is None:
        return set()
    text = inspect.getdoc(getattr(importlib.import_module(module), other[1]))
    section = text.split("Parameters\n----------\n")[1].split("\n\n")[0]
    lines = re.findall(r"^([\w, ]+) :", section, re.M)
    return {name for line in lines for name in line.split(", ")}


def errors_of(path):
    """Return what numpydoc finds, without what is left out."""
    for code, message in validate(path)["errors"]:
        if code == "PR01":
            missing = set(re.findall(r"'(\w+|\*+\w+)'", message)) - documented_elsewhere(path)
            message = f"not documented: {sorted(missing)}" if missing else ""
        if code not in LEFT_OUT and message:
            yield f"{code} {message}"


@pytest.mark.parametrize("path", list(public_names()))
def test_docstring(path):
    assert list(errors_of(path)) == []


def test_names_are_found():
    paths = set(public_names())
    assert {"fastgd.Ridge.fit", "fastgd.losses.Huber", "fastgd.schedules.Cosine.bind"} <= paths
    assert {"fastgd.plot.LossCurveDisplay.plot", "fastgd.datasets.fetch_mnist"} <= paths


def test_what_is_left_out_is_known_to_numpydoc():
    from numpydoc.validate import ERROR_MSGS

    assert ERROR_MSGS.keys() > LEFT_OUT.keys()


def test_parameters_of_another_class_count():
    assert {"alpha", "tol"} <= documented_elsewhere("fastgd.Lasso")
    assert documented_elsewhere("fastgd.Ridge") == set()
