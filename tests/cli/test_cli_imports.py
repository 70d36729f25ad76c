"""What a command imports: little, and nothing of it half."""

import subprocess
import sys

import pytest

import fastgd.linear_model
from fastgd._on_demand import Names
from fastgd._runtime.postponed import postponed

OWN = "from fastgd._runtime.postponed import UNUSED, imported, own_process; own_process()\n"


def run(program, **options):
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def rows(tmp_path):
    lines = [f"{k % 2} 1:{k / 7:.3g} {2 + k % 3}:1 5:{(-1) ** k}" for k in range(1, 60)]
    (tmp_path / "rows.svm").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_a_command_does_not_import_what_it_does_not_use(rows):
    line = "train rows.svm --model sgd-classifier -o m.fastgd --quiet"
    program = (
        "import sys; from fastgd.cli import main\n"
        f"sys.argv[1:] = {line.split()}\n"
        "assert main() == 0\n"
    )
    run(program, cwd=rows)  # compiles, for which numba is needed whole
    program += (
        "unused = {'pandas', 'pyarrow', 'scipy.stats', 'sklearn.linear_model', 'sklearn.metrics',\n"
        "          'sklearn.model_selection', 'sklearn.compose', 'sklearn.tree', 'yaml',\n"
        "          'scipy.special', 'scipy.linalg', 'scipy.sparse.linalg', 'narwhals', 'rich',\n"
        "          'numba.np.linalg', 'fastgd._networks.assembly', 'fastgd.kernels.network'}\n"
        "assert unused & set(sys.modules) == set()"
    )
    run(program, cwd=rows)


def test_what_stood_in_for_modules_hands_on_and_leaves():
    program = (
        f"import sys; {OWN}"
        "imported('fastgd:SGDClassifier')\n"
        "assert set(UNUSED) & set(sys.modules) == set()\n"
        "import scipy, sklearn.utils.fixes as fixes, sklearn.linear_model._base as base\n"
        "kept = fixes.pd\n"
        "import pandas, scipy.stats, sklearn.linear_model\n"
        "assert sys.modules['pandas'] is pandas and kept is not pandas\n"
        "assert kept.DataFrame is pandas.DataFrame and kept.__version__ == pandas.__version__\n"
        "assert scipy.stats.rankdata([3, 1]).tolist() == [2, 1]\n"
        "assert sklearn.linear_model.LinearRegression is base.LinearRegression\n"
        "assert base.optimize.nnls is __import__('scipy.optimize').optimize.nnls"
    )
    run(program)


def test_a_module_that_is_used_while_others_wait_is_imported():
    program = (
        f"import sys; {OWN}"
        "from fastgd._runtime.postponed import postponed\n"
        "with postponed():\n"
        "    from scipy.stats import rankdata\n"
        "    import scipy.stats\n"
        "    assert scipy.stats.rankdata is rankdata\n"
        "assert sys.modules['scipy.stats'].rankdata is rankdata\n"
        "assert scipy.stats.__spec__.loader is not None"
    )
    run(program)


def test_functions_that_wait_are_the_modules_own():
    program = (
        f"import sys; {OWN}"
        "from fastgd._runtime.postponed import postponed\n"
        "import numpy as np\n"
        "with postponed():\n"
        "    import sklearn.linear_model._base as base, sklearn.preprocessing._data as data\n"
        "    import sklearn.utils.sparsefuncs as sparse\n"
        "assert not {'scipy.special', 'scipy.sparse.linalg'} & set(sys.modules)\n"
        "found = base.lsqr(np.eye(2), np.array([3.0, 4.0]))[0]\n"
        "operator = sparse.LinearOperator((2, 2), lambda v: 2 * v)\n"
        "import scipy.sparse.linalg, scipy.special, scipy.stats\n"
        "assert found.round(9).tolist() == [3, 4]\n"
        "assert isinstance(operator, scipy.sparse.linalg.LinearOperator)\n"
        "assert data.boxcox(3.0, 2.0) == scipy.special.boxcox(3.0, 2.0) > 3.9\n"
        "assert scipy.special._ufuncs.expit(0.0) == scipy.special.expit(0.0) == 0.5\n"
        "assert scipy.stats.norm.cdf(0.0) == 0.5\n"
        "import sklearn.linear_model, narwhals.stable.v2\n"
        "assert hasattr(narwhals.stable.v2, 'DataFrame')"
    )
    run(program)


@pytest.mark.parametrize(
    "name", ["sklearn.linear_model._coordinate_descent", "scipy.stats._stats_py", "pandas.io"]
)
def test_a_file_is_imported_with_its_package_as_ever(name):
    """Files import each other in an order that their package begins."""
    program = (
        f"import sys; {OWN}"
        "from importlib import import_module\n"
        "from fastgd._runtime.postponed import StandIn, postponed\n"
        "with postponed():\n"
        "    import pandas, scipy.stats, sklearn.linear_model as waiting\n"
        "    assert type(waiting) is StandIn\n"
        f"    file = import_module('{name}')\n"
        f"    package = sys.modules['{name.rpartition('.')[0]}']\n"
        "    assert type(package) is not StandIn\n"
        f"assert sys.modules['{name}'] is file is import_module('{name}')\n"
        f"assert getattr(package, '{name.rpartition('.')[2]}') is file\n"
        f"assert file.__spec__.name == '{name}' and file.__spec__.origin == file.__file__"
    )
    run(program)


def test_nothing_waits_in_a_process_that_is_not_the_commands_own():
    before = list(sys.meta_path)
    with postponed():
        assert sys.meta_path == before


@pytest.mark.parametrize(
    "used", ["", "skops.io._general", pytest.param("skops.utils", marks=pytest.mark.full)]
)
def test_models_are_saved_and_opened_as_by_all_of_skops(rows, used):
    """Also where skops is made in another way, of a file or a package that is left out."""
    changed = f"S._LEFT_OUT = ('{used}', *S._LEFT_OUT)\n" if used else ""
    program = (
        "import sys; from fastgd.cli import main, _skops as S\n"
        f"{changed}"
        "for line in ('train rows.svm --model logistic -o m.fastgd --quiet',\n"
        "             'predict m.fastgd rows.svm -o p.csv --quiet'):\n"
        "    sys.argv[1:] = line.split()\n"
        "    assert main() == 0\n"
        "print(hasattr(sys.modules['skops.io._trusted_types'], 'NUMPY_DTYPE_TYPE_NAMES'),\n"
        "      'sklearn.tree' in sys.modules)"
    )
    assert run(program, cwd=rows).split() == ["True", str(used != "")]
    whole = (
        "from fastgd.cli import main\n"
        "assert main('predict m.fastgd rows.svm -o q.csv --quiet'.split()) == 0"
    )
    run(whole, cwd=rows)
    assert (rows / "p.csv").read_text() == (rows / "q.csv").read_text()


def test_every_name_of_the_linear_models_is_found():
    found = [getattr(fastgd.linear_model, name) for name in fastgd.linear_model.__all__]
    assert [one.__name__ for one in found] == fastgd.linear_model.__all__
    where = {f"{one.__module__}.{one.__qualname__}" for one in found}
    assert where == set(fastgd.linear_model._names.qualified())
    assert set(fastgd.linear_model.__all__) <= set(dir(fastgd.linear_model))


def test_a_name_that_is_not_there_is_an_error_of_the_package():
    names = Names("fastgd.linear_model", {"_sgd_classifier": ("SGDClassifier",)})
    assert names.found("SGDClassifier") is fastgd.linear_model.SGDClassifier
    with pytest.raises(AttributeError, match=r"module 'fastgd.linear_model' has no attribute 'X'"):
        names.found("X")
