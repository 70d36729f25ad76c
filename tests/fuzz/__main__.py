"""Fuzz for some minutes, and report what was found.

python -m tests.fuzz --minutes 10 --seed 0 [--only Ridge Lasso] [--shrink] [--verbose]
"""

import argparse
import sys
import time

from tests.fuzz.cases import DRAWN, case_of
from tests.fuzz.checks import findings_of
from tests.fuzz.shrink import script_of, shrunk


def main() -> int:
    """Draw one case after the other until the time is up; 1 where anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="the first case's number")
    parser.add_argument("--cases", type=int, default=sys.maxsize, help="at most so many")
    parser.add_argument("--only", nargs="*", default=[], choices=sorted(DRAWN), metavar="NAME")
    parser.add_argument("--shrink", action="store_true", help="make what is found small")
    parser.add_argument("--verbose", action="store_true", help="name each case")
    kwargs = parser.parse_args()
    names, end = tuple(kwargs.only), time.monotonic() + 60.0 * kwargs.minutes
    seed, n_found, kinds = kwargs.seed, 0, {}
    while time.monotonic() < end and seed < kwargs.seed + kwargs.cases:
        case = case_of(seed, names)
        if kwargs.verbose:
            print(seed, case.name, case.X.shape, case.layout, case.dtype, case.kwargs, flush=True)
        found = findings_of(case)
        n_found += bool(found)
        for finding in found:
            kinds.setdefault((case.name, finding.kind), []).append(seed)
        if found:
            _report(seed, names, found, is_small=kwargs.shrink)
        seed += 1
    print(f"\n{seed - kwargs.seed} cases from {kwargs.seed} on, {n_found} with findings")
    for (name, kind), seeds in sorted(kinds.items()):
        print(f"{len(seeds):5d}  {name}: {kind}, as in {seeds[:6]}")
    return int(n_found > 0)


def _report(seed: int, names: tuple[str, ...], found: list, *, is_small: bool) -> None:
    case = case_of(seed, names)
    print(f"\n# {seed}: {case.name} {case.X.shape}, {case.layout}, {case.dtype}, {case.kwargs}")
    for finding in found:
        print(f"#   {finding.kind}: {finding.said}")
    if is_small:
        case = shrunk(case, found[0].kind)
    print(script_of(case, seed, names), flush=True)


if __name__ == "__main__":
    sys.exit(main())
