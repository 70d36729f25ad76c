"""Everything that is compiled, and nothing else.

Imported as ``fastgd.kernels``: a top-level module named ``kernels`` would collide with another
distribution, and the repository's root would load every kernel twice.
"""

if __name__ == "kernels":
    raise ImportError("import fastgd.kernels, not the source folder 'kernels'")
