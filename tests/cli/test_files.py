"""Files are seen whole or not at all, and a process that is killed leaves nothing behind."""

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import fastgd
from fastgd.callbacks import Checkpoint
from fastgd.kernels import _files
from fastgd.kernels._files import remove_stale, whole_file

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="files without names are Linux's")
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals, and file modes, of POSIX")
HEX = "0123456789abcdef" * 2


@pytest.fixture(params=["nameless", "named", "copied"])
def way(request, monkeypatch):
    """Each way in which a file comes to its place."""
    if request.param == "named":
        monkeypatch.setattr(_files, "_nameless", lambda folder: None)  # noqa: ARG005
    elif request.param == "copied":

        def forbidden(*_, **__):
            raise PermissionError("links are forbidden")

        monkeypatch.setattr(os, "link", forbidden)
    return request.param


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("relative", [False, True])
def test_a_file_takes_its_place_when_it_is_complete(relative, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("model") if relative else tmp_path / "model"
    path.write_bytes(b"old")
    with whole_file(path) as file:
        file.write(b"new" * 10_000)
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new" * 10_000
    assert names(tmp_path) == ["model"]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_what_was_there(error, tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"old")

    def half():
        with whole_file(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)):
        half()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["model"]


@POSIX
@pytest.mark.usefixtures("way")
def test_a_file_has_the_mode_that_the_user_asks_for(tmp_path):
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "model") as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o640


@pytest.mark.usefixtures("way")
def test_many_may_write_one_file(tmp_path):
    path, texts = tmp_path / "model", [bytes([65 + k]) * 100_000 for k in range(8)]

    def write(text):
        for _ in range(20):
            with whole_file(path) as file:
                file.write(text)

    workers = [threading.Thread(target=write, args=[text]) for text in texts]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        assert not path.exists() or path.read_bytes() in texts
    assert names(tmp_path) == ["model"]


def test_only_old_files_of_ours_are_removed(tmp_path):
    left = [f"model.pkl.{HEX}.tmp", f"model.pkl.{HEX[::-1]}.tmp", f"other.pkl.{HEX}.tmp"]
    for name in [*left, "model.pkl", "model.pkl.tmp", f"model.pkl.{HEX[1:]}.tmp"]:
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (1e9, 1e9))
    os.utime(tmp_path / left[1])  # someone may be writing it
    before = set(names(tmp_path))
    remove_stale(tmp_path, "model.pkl".__eq__)
    assert before - set(names(tmp_path)) == {left[0]}
    remove_stale(tmp_path / "nowhere", "model.pkl".__eq__)


def test_a_checkpoint_removes_what_earlier_ones_have_left(tmp_path):
    left = [f"m-0007-1.pkl.{HEX}.tmp", f"m-12-0.pkl.{HEX}.tmp"]
    others = [f"m-x-1.pkl.{HEX}.tmp", f"m-1-1.joblib.{HEX}.tmp"]
    for name in left + others:
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (1e9, 1e9))
    X = np.random.default_rng(0).normal(size=(20, 2))
    watch = [Checkpoint(tmp_path / "m-{epoch:04d}-{target}.pkl")]
    fastgd.SGDClassifier(max_iter=1, tol=None, callbacks=watch).fit(X, X[:, 0] > 0)
    assert names(tmp_path) == sorted([*others, "m-0001-0.pkl"])


KILLED = """
import os, signal, sys
import numpy as np
from fastgd import SGDClassifier, callbacks

def half(model, file):
    file.write(b"half" * 100_000)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

X = np.random.default_rng(0).normal(size=(20, 2))
model = SGDClassifier(max_iter=3, tol=None, callbacks=[callbacks.Checkpoint(sys.argv[1])])
model.fit(X, X[:, 0] > 0)
callbacks._WRITERS[".pkl"] = half
model.fit(X, X[:, 0] > 0)
"""


@LINUX
def test_a_kill_in_the_middle_of_a_checkpoint_leaves_the_last_one(tmp_path):
    path = tmp_path / "model.pkl"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert names(tmp_path) == ["model.pkl"]
    with open(path, "rb") as file:
        assert file.read(4) != b"half"
