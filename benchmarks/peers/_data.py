"""The data sets of ``benchmarks/data.py``, which lies beside this package."""

if __package__ == "peers":  # a script of the folder benchmarks was run as a file
    import data
else:
    from .. import data

__all__ = ["data"]
