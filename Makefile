PYTHON ?= python

.PHONY: check lint test test-thorough test-nojit bench peers docs docs-catalogue

check: lint test test-nojit

lint:
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest -n auto --dist worksteal

test-thorough:  ## the products that compile for minutes
	$(PYTHON) -m pytest -n auto --dist worksteal -m thorough

test-nojit:
	NUMBA_DISABLE_JIT=1 $(PYTHON) -m pytest -n auto --dist worksteal -m nojit

bench:
	$(PYTHON) -m asv --config benchmarks/asv.conf.json machine --yes
	$(PYTHON) -m asv --config benchmarks/asv.conf.json run --quick 'HEAD^!'

peers:
	mkdir -p build
	$(PYTHON) benchmarks/peers.py --all-offline --markdown --fstar build/fstar.json \
		--json build/peers.json --plot build/peers.png

docs:  ## the site, in build/html; it runs the examples
	$(PYTHON) -m sphinx -W --keep-going -b html docs build/html
	$(PYTHON) docs/check_links.py build/html

docs-catalogue:
	$(PYTHON) docs/make_catalogue.py
	$(PYTHON) docs/make_figures.py
	$(PYTHON) docs/make_pictures.py
