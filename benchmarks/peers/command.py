"""The command line of the comparison."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from ._data import data, machine
from .contenders import TASKS
from .drawing import draw
from .report import PEERS, TARGETS, as_json, markdown, overall, print_result
from .timing import DTYPES, Lowest, Result, rows_of

cores = machine.cores  # that this process may use


def options_from(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="peers",
        description="Time to suboptimality of fastgd and its peers.",
        epilog=f"data sets: {', '.join(data.SOURCES)}",
    )
    add = parser.add_argument
    add("names", nargs="*", help="data sets, or names of files in --data")
    add("--task", choices=TASKS, default="logistic")
    add("--data", type=Path, metavar="DIR", help="read NAME.npz of this folder")
    add("--all-offline", action="store_true", help="every set that needs no network and fits")
    add("--std", action="store_true", help="standardise columns (CSR: variances only)")
    add("--dtype", choices=DTYPES, default="both", help="of X (default: both, from float32)")
    add("--only", type=names_in, default=(), metavar="A,B", help="no solvers but these")
    add("--skip", type=names_in, default=(), metavar="A,B", help="all solvers but these")
    add("--cap", type=float, default=30.0, help="no tighter setting after a fit of so many seconds")
    add("--repeat", type=int, help="fits of each setting (default: 3, of half a second or more 1)")
    add("--threads", type=int, default=cores(), help="threads of BLAS and OpenMP (default: cores)")
    add("--fstar", type=Path, metavar="FILE", help="keep f* between runs (default: in --data)")
    add("--json", type=Path, metavar="FILE", help="write everything that was measured")
    add("--markdown", action="store_true", help="print the summary as a table, too")
    add("--verbose", action="store_true", help="report every fit as it ends, on stderr")
    add("--plot", type=Path, metavar="FILE", help="draw suboptimality against time")
    options = parser.parse_args(arguments)
    if options.all_offline:
        options.names += data.offline_names(TASKS[options.task].kind, options.data)
    if not options.names:
        parser.error("name a data set, or take --all-offline")
    if options.fstar is None and options.data is not None:
        options.fstar = options.data / "fstar.json"
    return options


def names_in(text: str) -> tuple[str, ...]:
    """Split a list at its commas."""
    return tuple(text.split(","))


def compare(name: str, lowest: Lowest, options: argparse.Namespace) -> Result:
    """Measure all contenders on a data set, and print what came out."""
    X, y = data.load(name, options.data, options.std, DTYPES[options.dtype][0])
    task = TASKS[options.task]
    if data.kind_of(y) != task.kind:
        raise data.Unavailable(f"{options.task} needs {task.kind}, which {name} has not")
    layout = f"CSR, {X.nnz} non-zeros" if sp.issparse(X) else "dense"
    columns = "standardised" if options.std else "raw"
    print(f"\n{name}: {X.shape[0]} x {X.shape[1]}, {layout}, {columns}", flush=True)
    problem = task.problem(X, y)
    print(f"  {problem.text}", flush=True)
    rows = list(rows_of(problem, options))
    result = Result(name, problem.text, rows, lowest.update(problem, rows))
    print_result(result)
    return result


def write_files(results: Sequence[Result], options: argparse.Namespace) -> None:
    """Write the files that were asked for."""
    if options.json is not None:
        options.json.write_text(as_json(results, options) + "\n", encoding="utf-8")
    if options.plot is not None:
        draw(results, options.plot)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare on one data set after another; files are brought up to date after each."""
    options = options_from(arguments)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(options.threads)  # for what is not imported yet
    lowest, results = Lowest(options.fstar), []
    with threadpool_limits(options.threads):  # for what is
        print(machine.describe(*PEERS), end="")
        for name in options.names:
            try:
                results.append(compare(name, lowest, options))
            except data.Unavailable as error:
                print(error, file=sys.stderr)
                return 1
            write_files(results, options)
    print("\nHow many times as long the fastest peer took:")
    for target in TARGETS:
        print(overall(results, target))
    if options.markdown:
        print(f"\n{markdown(results)}")
    return 0
