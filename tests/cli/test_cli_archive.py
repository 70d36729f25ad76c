"""Model files: what they hold, and what is not opened."""

import io
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.pipeline import Pipeline

from fastgd import LogisticRegression, cli
from fastgd._readers.errors import UserError
from fastgd.cli import _archive
from fastgd.cli._names import MODELS


@pytest.fixture
def saved(rng, tmp_path):
    """Train on a small matrix; return the model's file, with the data beside it."""
    X = rng.normal(size=(60, 3))
    np.savez(tmp_path / "data.npz", X=X, y=(X[:, 0] > 0).astype(int))
    path = tmp_path / "model.fastgd"
    words = ["train", str(tmp_path / "data.npz"), "--model", "logistic", "--quiet"]
    assert cli.main([*words, "-o", str(path)]) == 0
    return path


def test_the_command_does_not_walk_scikit_learn_for_names_that_it_does_not_trust(saved):
    code = (
        "import sys; from fastgd.cli import main\n"
        "sys.argv = ['fastgd', *sys.argv[1:]]\n"
        "status = main()\n"
        "print('sklearn.gaussian_process' in sys.modules, 'skops.io' in sys.modules, status)\n"
        "from sklearn.utils import all_estimators\n"
        "print(len(all_estimators()) > 100)"
    )
    words = ["evaluate", str(saved), str(saved.with_name("data.npz"))]
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == ["False True 0", "True"]
    assert "accuracy" in done.stdout


def rewrite(path, card=None, pipeline=None):
    """Exchange a part of a model file."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    if card is not None:
        changed = {**json.loads(parts[_archive.CARD]), **card}
        parts[_archive.CARD] = json.dumps(changed).encode()
    if pipeline is not None:
        parts[_archive.PIPELINE] = pipeline
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def predict(path, capsys):
    status = cli.main(["predict", str(path), str(path.parent / "data.npz")])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_a_model_file_holds_no_pickle(saved):
    with zipfile.ZipFile(saved) as archive:
        assert sorted(archive.namelist()) == [_archive.CARD, _archive.PIPELINE]
        inner = zipfile.ZipFile(io.BytesIO(archive.read(_archive.PIPELINE)))
    with inner:
        assert all(name.endswith((".json", ".npy")) for name in inner.namelist())


def test_info_reads_the_card_alone(saved, capsys):
    rewrite(saved, pipeline=b"nothing of use")
    assert cli.main(["info", str(saved)]) == 0
    printed = capsys.readouterr().out
    assert "logistic (LogisticRegression, classification)" in printed
    assert "60 rows of 3 columns (dense)" in printed
    assert predict(saved, capsys)[2].endswith("its pipeline.skops is damaged, or not skops'.\n")


class Malicious:
    """Its pickle makes a folder when it is loaded."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_a_pickle_is_refused_and_not_executed(saved, tmp_path, capsys):
    folder = tmp_path / "made"
    saved.write_bytes(pickle.dumps(Malicious(str(folder))))
    status, out, err = predict(saved, capsys)
    assert (status, out) == (1, "")
    assert err == (
        f"fastgd predict: {saved} is no model that fastgd saved. Pickles are not opened: they can "
        "run any code.\n"
    )
    assert not folder.exists()
    pickle.loads(saved.read_bytes())  # it would have
    assert folder.exists()


def described(tree):
    """Return a skops archive of such a description, and nothing else."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("schema.json", json.dumps(tree))
    return memory.getvalue()


@pytest.mark.parametrize(
    ("loader", "module", "name"),
    [
        ("FunctionNode", "os", "mkdir"),
        ("ObjectNode", "os", "mkdir"),
        ("MethodNode", "builtins", "str"),
        ("OperatorFuncNode", "operator", "call"),
        ("ObjectNode", "builtins", "dict"),
        ("TypeNode", "os", "system"),
        ("ObjectNode", "sklearn.preprocessing._function_transformer", "FunctionTransformer"),
        ("ObjectNode", "sklearn.linear_model._logistic", "LogisticRegression"),
    ],
)
def test_types_that_no_model_needs_are_refused(loader, module, name, saved, capsys):
    inner = {"__loader__": loader, "__module__": module, "__class__": name, "content": {}}
    tree = {**inner, "__loader__": "ListNode", "__module__": "builtins", "__class__": "list"}
    rewrite(saved, pipeline=described({**tree, "content": [inner]}))
    status, out, err = predict(saved, capsys)
    assert (status, out) == (1, "")
    assert f"it names {module}.{name}, which no model of fastgd's consists of" in err


def test_an_object_of_skops_own_making_is_refused(saved, capsys):
    from sklearn.preprocessing import FunctionTransformer

    pipeline = Pipeline([("run", FunctionTransformer(os.mkdir)), ("model", LogisticRegression())])
    rewrite(saved, pipeline=skops.io.dumps(pipeline))
    assert "FunctionTransformer" in predict(saved, capsys)[2]


def test_a_file_without_a_pipeline_is_damaged(saved, capsys):
    rewrite(saved, pipeline=skops.io.dumps([1, 2]))
    assert predict(saved, capsys)[2].endswith("is damaged: it holds no pipeline.\n")


def test_a_newer_format_is_refused(saved, capsys):
    rewrite(saved, card={"format": 3, "fastgd": "9.0", "what": "is new"})
    for command in ("predict", "info"):
        rest = [str(saved.parent / "data.npz")] if command == "predict" else []
        assert cli.main([command, str(saved), *rest]) == 1
        assert "has format 3, and fastgd" in capsys.readouterr().err


def test_other_versions_are_warned_of(saved, capsys):
    rewrite(saved, card={"scikit_learn": "1.0"})
    status, out, err = predict(saved, capsys)
    assert status == 0
    assert len(out.splitlines()) == 61
    assert f"warning: {saved} was saved with scikit-learn 1.0, and" in err


@pytest.mark.parametrize(
    "card",
    [
        {"layout": None},
        {"layout": {"form": "table"}},
        {"model": "tree"},
        {"estimator": "Ridge"},
        {"format": "1"},
        {"color": "red"},
    ],
)
def test_a_damaged_card_is_reported(card, saved, capsys):
    rewrite(saved, card=card)
    status, _, err = predict(saved, capsys)
    assert status == 1
    assert "its card.json is damaged" in err


def test_other_files_are_no_models(saved, capsys):
    status, _, err = predict(saved.parent / "data.npz", capsys)
    assert status == 1
    assert err.endswith("data.npz is no model that fastgd saved.\n")


@pytest.mark.parametrize("cut", [10, -30])
def test_half_a_file_is_no_model(saved, cut, capsys):
    saved.write_bytes(saved.read_bytes()[:cut])
    assert predict(saved, capsys)[0] == 1


def test_a_model_that_cannot_be_written_leaves_the_old_one(saved):
    before = saved.read_bytes()

    def fail():
        with _archive.replacing(saved) as file:
            file.write(b"half")
            raise UserError("stop")

    with pytest.raises(UserError, match="stop"):
        fail()
    assert saved.read_bytes() == before
    assert sorted(path.name for path in saved.parent.iterdir()) == ["data.npz", "model.fastgd"]


def test_all_types_that_are_trusted_exist():
    """So a class that moves does not make its models unreadable."""
    import importlib

    for names in _archive.trusted_types().values():
        for name in names:
            module, _, kind = name.rpartition(".")
            assert isinstance(getattr(importlib.import_module(module), kind), type), name


def test_a_classifier_of_several_classes_trained_in_chunks_is_opened_again(rng, tmp_path, capsys):
    """Its optimizer's state has three axes."""
    X, path = rng.normal(size=(90, 3)), tmp_path / "model.fastgd"
    np.savez(tmp_path / "data.npz", X=X, y=np.argmax(X, axis=1))
    data = str(tmp_path / "data.npz")
    words = ["--model", "logistic", "-o", str(path), "--chunk-rows", "40"]
    assert cli.main(["train", data, *words]) == 0
    capsys.readouterr()
    assert predict(path, capsys)[0] == 0


@pytest.mark.thorough
@pytest.mark.parametrize("chunks", [[], ["--chunk-rows", "40"]], ids=["whole", "chunks"])
@pytest.mark.parametrize("model", MODELS)
def test_each_model_is_saved_and_opened(model, chunks, rng, tmp_path, capsys):
    X = rng.normal(size=(90, 3))
    y = np.rint(np.exp(0.3 * X[:, 0] + 0.5)) + 1.0
    np.savez(tmp_path / "data.npz", X=X, y=y)
    data, path = str(tmp_path / "data.npz"), tmp_path / "model.fastgd"
    status = cli.main(["train", data, "--model", model, "-o", str(path), "--seed", "0", *chunks])
    if chunks and (MODELS[model].instead or MODELS[model].is_network):
        assert status == 2
        return
    assert status == 0
    capsys.readouterr()
    assert predict(path, capsys)[0] == 0


@pytest.mark.parametrize("model", ["ridge-cv", "lasso-cv", "elasticnet-cv", "ridge-classifier-cv"])
def test_a_model_with_a_chosen_strength_is_saved_and_opened(model, rng, tmp_path, capsys):
    X = rng.normal(size=(90, 3))
    y = np.rint(np.exp(0.3 * X[:, 0] + 0.5)) + 1.0
    np.savez(tmp_path / "data.npz", X=X, y=y)
    data, path = str(tmp_path / "data.npz"), tmp_path / "model.fastgd"
    words = ["--validation", "0.2", "-o", str(path)]
    assert cli.main(["train", data, "--model", model, *words]) == 0
    assert re.search(r"alpha [\d.e+-]+ chosen", capsys.readouterr().out)
    assert predict(path, capsys)[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.stderr, "isatty", lambda: True)
        assert cli.main(["train", data, "--model", model, "-o", str(path)]) == 0


@pytest.mark.parametrize("words", [("no", "yes"), ("a", "bb", "ccc"), (1, 4)])
def test_a_model_that_names_scores_by_labels_is_opened(words, rng, tmp_path, capsys):
    pytest.importorskip("pandas")
    X, path = rng.normal(size=(90, 3)), tmp_path / "model.fastgd"
    y = np.array(words)[np.argmax(X[:, : len(words)], axis=1)]
    rows = [f"{a},{b},{c},{label}" for (a, b, c), label in zip(X, y, strict=True)]
    (tmp_path / "data.csv").write_text("\n".join(["a,b,c,y", *rows]))
    data = str(tmp_path / "data.csv")
    train = ["train", data, "--target", "y", "--model", "logistic-cv"]
    assert cli.main([*train, "-o", str(path)]) == 0
    capsys.readouterr()
    assert cli.main(["evaluate", str(path), data]) == 0


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("logistic", "C=0.1"),
        ("ridge-classifier", "alpha=50"),
        ("softmax", "C=0.1"),
        ("svc", "C=0.02"),
        ("svr", "C=0.05"),
        ("linear", "fit_intercept=true"),
        ("ridge", "alpha=100"),
        ("lasso", "alpha=0.2"),
        ("elasticnet", "alpha=0.3"),
        ("quantile", "alpha=0.1"),
        ("poisson", "alpha=0.3"),
        ("gamma", "alpha=0.3"),
        ("tweedie", "power=1.5"),
    ],
)
def test_chunks_come_to_the_same_model(model, words, rng, tmp_path):
    """Rows in chunks, by SGD, minimise what all rows at once do: a penalty that is felt tells."""
    X = rng.normal(size=(600, 4)) * [1.0, 2.0, 0.5, 1.0]
    raw = X @ [0.5, -0.2, 0.3, 0.0] + 0.5
    y = np.exp(raw + rng.normal(scale=0.3, size=600))
    if MODELS[model].task == "classification":
        y = np.digitize(y, [1.0, 2.5] if model == "softmax" else [1.5])
    np.savez(tmp_path / "data.npz", X=X, y=y)
    line = f"train {tmp_path}/data.npz --model {model} --set {words} --standardize --quiet -o"
    raws = []
    for more in ("", " --chunk-rows 200 --epochs 150"):
        assert cli.main(f"{line} {tmp_path}/m.fastgd{more}".split()) == 0
        _, pipeline = _archive.load(tmp_path / "m.fastgd")
        Z = pipeline["prepare"].transform(X)
        raws.append(Z @ np.atleast_2d(pipeline["model"].coef_).T)
    raws = [raw - raw.mean(axis=1, keepdims=True) if raw.shape[1] > 1 else raw for raw in raws]
    assert np.linalg.norm(raws[1] - raws[0]) < 0.03 * np.linalg.norm(raws[0])


def test_help_is_quick_because_nothing_heavy_is_imported():
    program = (
        "import sys; from fastgd.cli import main\n"
        "try: main(['train', '--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'numba', 'numpy', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "fastgd train flights.csv --target late --model logistic" in done.stdout


def test_a_model_that_is_not_named_is_missed_before_anything_heavy_is_imported():
    program = (
        "import sys; from fastgd.cli import main\n"
        "assert main(['train', 'a.csv', '-o', 'm.fastgd']) == 2\n"
        "assert not {'numba', 'numpy', 'sklearn', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    said = "fastgd train: --model is needed: fastgd train --help lists the models.\n"
    assert (done.returncode, done.stderr) == (0, said)


def test_the_collector_is_paused_while_a_command_is_imported(tmp_path):
    program = (
        "import gc, sys\n"
        "from fastgd.cli import main\n"
        "before = gc.get_stats()[2]['collections']\n"
        "sys.argv[1:] = ['inspect', 'none.fastgd']\n"
        "assert main() == 1\n"
        "assert 'sklearn' in sys.modules\n"
        "assert gc.get_stats()[2]['collections'] == before\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 10_000"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr.count("\n")) == (0, 1), done.stderr


@pytest.mark.parametrize("package", ["fastgd"])
def test_names_come_when_they_are_asked_for(package):
    module = __import__(package)
    assert {"LogisticRegression", "to_sklearn", "schedules", "__version__"} <= set(dir(module))
    assert module.losses.Quantile(0.5).q == 0.5
    with pytest.raises(AttributeError, match="module 'fastgd' has no attribute 'Logistic'"):
        _ = module.Logistic
    assert Path(module.__file__).name == "__init__.py"


def test_numbers_are_kept_as_they_are_and_zeros_packed(rng):
    many = 1 << 20
    assert _archive._packing_of(rng.normal(size=many).tobytes()) == zipfile.ZIP_STORED
    assert _archive._packing_of(bytes(many)) == zipfile.ZIP_DEFLATED
    assert _archive._packing_of(b"few") == zipfile.ZIP_DEFLATED
