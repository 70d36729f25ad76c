PYTHON ?= python

ASV = FASTGD_QUIET=1 $(PYTHON) -m asv --config benchmarks/asv.conf.json

# What a comparison with BASE runs, and how much slower is slower: see docs/benchmarks.md.
BASE ?= main
BENCH ?= ^bench_(kernels|estimators|scaling).*\.time_
FACTOR ?= 1.2
# How long the fuzzer runs, and the number of its first case
MINUTES ?= 10
SEED ?= 0
# make bench QUICK=1: each benchmark once, to see that it runs
QUICK ?=
# The name under which figures are kept, where runs are on hosts that differ and are to be one graph:
# asv has a graph for each host, system, processor and size of memory.
MACHINE ?=
ALIKE = --os any --arch any --cpu any --num_cpu any --ram any
NAMED = $(if $(MACHINE),--machine $(MACHINE))

.PHONY: check lint test test-full test-thorough test-accept test-accel test-nojit fuzz bench bench-compare dashboard peers docs docs-translate docs-catalogue

check: lint test test-nojit

lint:
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest -n auto --dist worksteal

test-full:  ## what compiles the same again for other types; .ci/run takes a quarter, by the commit
	$(PYTHON) -m pytest -n auto --dist worksteal -m "full and not thorough"

test-thorough:  ## the products that compile for minutes
	$(PYTHON) -m pytest -n auto --dist worksteal -m thorough

test-accept:  ## all of scikit-learn's own tests of what we have; `make test-full` takes a quarter
	ACCEPTANCE_TURN=0/1 $(PYTHON) -m pytest -n auto --dist worksteal -m full -rP tests/estimators/test_acceptance.py

test-accel:  ## scikit-learn's own tests under fastgd.accel, all of them
	$(PYTHON) -m tests.accel.theirs

fuzz:  ## drawn problems, compared with the best known objective; fails where one is not reached
	$(PYTHON) -m tests.fuzz --minutes $(MINUTES) --seed $(SEED) --shrink

test-nojit:
	NUMBA_DISABLE_JIT=1 $(PYTHON) -m pytest -n auto --dist worksteal -m nojit

bench:  ## this commit
	$(ASV) machine --yes $(if $(MACHINE),$(NAMED) $(ALIKE))
	$(ASV) run $(NAMED) $(if $(QUICK),--quick) 'HEAD^!'

bench-compare:  ## this commit with another one: fails where something became slower
	$(ASV) machine --yes $(if $(MACHINE),$(NAMED) $(ALIKE))
	$(ASV) continuous $(NAMED) --factor $(FACTOR) --interleave-rounds --bench '$(BENCH)' $(BASE) HEAD

dashboard: bench  ## and all that was measured before, on localhost
	$(PYTHON) benchmarks/dashboard.py

peers:
	mkdir -p build
	$(PYTHON) benchmarks/peers --all-offline --markdown --fstar build/fstar.json \
		--json build/peers.json --plot build/peers.png

docs:  ## the site, in build/html; it runs the examples; then in Chinese, in build/html/zh
	$(PYTHON) -m sphinx -W --keep-going -b html docs build/html
	$(PYTHON) -m sphinx -W --keep-going -b html -D language=zh_CN docs build/html/zh
	$(PYTHON) docs/check_links.py build/html

docs-translate:  ## what is new on translated pages, into docs/locales; says what to translate
	$(PYTHON) docs/translations.py

docs-catalogue:  ## what is written by scripts: the catalogue, its figures, the traced calls
	$(PYTHON) docs/make_catalogue.py
	$(PYTHON) docs/make_accel.py
	$(PYTHON) docs/make_layers.py
	$(PYTHON) docs/trace_calls.py
	$(PYTHON) docs/make_figures.py
	$(PYTHON) docs/make_pictures.py
