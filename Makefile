# make demo: restore real photographs.  make test: every check that CI runs.  make check: all but the slow tests.
# make site: the documentation as pages, into site/.  make fuzz: thousands of bad inputs, which takes an hour on two cores.
PYTHON ?= python3
VENV ?= .venv
# extra arguments for installing torch, e.g. TORCH_ARGS="--index-url <an index with CPU builds>"
TORCH_ARGS ?=

.PHONY: demo check test fuzz install site clean
demo: install
	$(VENV)/bin/xhat demo -o demo_out

check: install
	PATH="$(abspath $(VENV))/bin:$$PATH" scripts/check --fast

test: install
	PATH="$(abspath $(VENV))/bin:$$PATH" scripts/check

fuzz: install
	$(VENV)/bin/python -m tests.fuzz

site: install
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	PATH="$(abspath $(VENV))/bin:$$PATH" scripts/build-site

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt $(TORCH_ARGS) torch
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,cluster]'
	touch $@

clean:
	rm -rf $(VENV) demo_out dist site
