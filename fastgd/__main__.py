"""``python -m fastgd`` is the command ``fastgd``."""

from fastgd.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
