"""``python benchmarks/peers`` and ``python -m benchmarks.peers``."""

import sys
from pathlib import Path

if __package__:
    from .command import main
else:  # run as a folder, which then is the first place where modules are looked for
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from peers.command import main

if __name__ == "__main__":
    sys.exit(main())
