# make demo: restore real photographs.  make test: every check that CI runs.  make check: what takes under 3 minutes.
# make release-check: all that a release needs; RELEASE.md.
# make site: the documentation as pages, into site/.  make fuzz: thousands of bad inputs, which takes 6 minutes on two cores.
PYTHON ?= python3
VENV ?= .venv
# extra arguments for installing torch, e.g. TORCH_ARGS="--index-url <an index with CPU builds>"
TORCH_ARGS ?=

.PHONY: demo check test fuzz install site release-check release clean
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

# RELEASE.md tells what these do.
release-check: test
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[release]'
	PATH="$(abspath $(VENV))/bin:$$PATH" TORCH_ARGS="$(TORCH_ARGS)" scripts/check-wheel
	@if command -v uv >/dev/null; then scripts/check-lowest; else echo "uv is missing: the lowest versions were not tried"; fi
	git rev-parse HEAD > dist/checked
	@! grep -q '^Repository.*\.example' pyproject.toml || echo "note: [project.urls] has no public address yet: RELEASE.md"

release:
	@! grep -q '^Repository.*\.example' pyproject.toml || { echo "[project.urls] has no public address yet: RELEASE.md"; exit 1; }
	@[ -z "$$(git status --porcelain)" ] && [ "$$(cat dist/checked)" = "$$(git rev-parse HEAD)" ] \
	    || { echo "make release-check has not passed on this very commit"; exit 1; }
	git tag -a "v$$($(VENV)/bin/xhat --version | cut -d' ' -f2)" -m "xhat $$($(VENV)/bin/xhat --version | cut -d' ' -f2)"

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt $(TORCH_ARGS) torch
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,cluster]'
	touch $@

clean:
	rm -rf $(VENV) demo_out dist site
