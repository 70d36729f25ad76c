"""What was measured, as lines, a table and JSON: for each target the fastest peer and fastgd."""

import argparse
import contextlib
import importlib.metadata
import json
import math
import platform
import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

import fastgd

from ._data import machine
from .contenders import OURS
from .timing import Result, Row, as_text

TARGETS = (1e-2, 1e-3, 1e-4, 1e-6)
PEERS = ("snapml", "glum", "celer", "skglm")  # packages, beside scikit-learn


class Comparison(NamedTuple):
    """The fastest peer in hindsight, and fastgd, for one target on one data set."""

    target: float
    peer: Row | None
    ours: Row | None

    @property
    def ratio(self) -> float | None:
        """How many times as long the peer took."""
        return self.peer.seconds / self.ours.seconds if self.peer and self.ours else None


def comparisons(result: Result) -> list[Comparison]:
    """Return what a result says about each target."""
    return [Comparison(t, result.fastest(t, False), result.fastest(t, True)) for t in TARGETS]


def print_result(result: Result) -> None:
    """Print every row, and the summary of the targets."""
    for row in result.rows:
        reached = f"{row.seconds:10.4f} s  {result.suboptimality(row):9.2e}"
        print(f"  {row.contender:19s} {row.dtype:8s} {row.setting:20s}{reached}")
    for comparison in comparisons(result):
        line = f"  within {comparison.target:.0e}: peers {as_text(comparison.peer)}"
        ratio = f"; ratio {comparison.ratio:.2f}" if comparison.ratio else ""
        print(f"{line}; ours {as_text(comparison.ours)}{ratio}", flush=True)
    doubt = lonely(result)
    if doubt:
        print(doubt)


def lonely(result: Result) -> str:
    """Return a caution if a single solver knows how low the objective falls."""
    best: dict[str, float] = {}
    for row in result.rows:
        value = result.suboptimality(row)
        best[row.contender] = min(value, best.get(row.contender, math.inf))
    near = [name for name, value in best.items() if value <= TARGETS[-1] / 10]
    if len(near) > 1:
        return ""
    who = f"only {near[0]}" if near else "no solver of this run"
    return f"  caution: {who} came within {TARGETS[-1] / 10:.0e} of f*, which may lie lower still"


def overall(results: Sequence[Result], target: float) -> str:
    """Return the mean over the data sets, and the worst of them."""
    pairs = [next(v for v in comparisons(r) if v.target == target) for r in results]
    ratios = [pair.ratio for pair in pairs if pair.ratio]
    alone = sum(p.ours is not None and p.peer is None for p in pairs)
    beaten = sum(p.ours is None and p.peer is not None for p in pairs)
    line = f"within {target:.0e}: "
    if ratios:
        mean = statistics.geometric_mean(ratios)
        line += f"geometric mean {mean:.2f}, worst {min(ratios):.2f} "
    return (
        f"{line}({len(ratios)} of {len(pairs)} sets; {OURS} alone {alone}, a peer alone {beaten})"
    )


def markdown(results: Sequence[Result]) -> str:
    """Return the summary as a table."""
    head = ("data", "within", "fastest peer", "set to", "seconds", OURS, "ratio")
    lines = [head, ("---",) * len(head)]
    for result in results:
        for target, peer, us in comparisons(result):
            ratio = f"{peer.seconds / us.seconds:.2f}" if peer and us else ""
            theirs = ("none", "", "")
            if peer:
                theirs = (peer.contender, f"{peer.setting}, {peer.dtype}", f"{peer.seconds:.4f}")
            mine = f"{us.seconds:.4f}" if us else "not reached"
            lines.append((result.name, f"{target:.0e}", *theirs, mine, ratio))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def as_json(results: Sequence[Result], options: argparse.Namespace) -> str:
    """Return all that was measured, and where."""
    about = {
        "task": options.task,
        "std": options.std,
        "threads": options.threads,
        "platform": platform.platform(),
        "machine": machine.describe(),
        "versions": versions(),
    }
    return json.dumps({**about, "sets": [as_dict(result) for result in results]}, indent=1)


def as_dict(result: Result) -> dict[str, Any]:
    """Return a result with its suboptimalities and comparisons, in JSON's own types."""
    rows = [{**row._asdict(), "suboptimality": result.suboptimality(row)} for row in result.rows]
    summary = [
        {
            "target": comparison.target,
            "peer": comparison.peer and comparison.peer._asdict(),
            OURS: comparison.ours and comparison.ours._asdict(),
            "ratio": comparison.ratio,
        }
        for comparison in comparisons(result)
    ]
    return {**result._asdict(), "rows": rows, "summary": summary}


def versions() -> dict[str, str]:
    """Return the versions of what takes part."""
    found = {"python": platform.python_version(), OURS: fastgd.__version__}
    for name in (*machine.PACKAGES, *PEERS):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
