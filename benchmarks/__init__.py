"""What fastgd costs: seconds, bytes, and what they buy. Run by asv."""

import os

# Before any benchmark imports numpy, which reads them. asv.conf.json sets them for the environments
# that asv makes; this is for an existing one.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
