# make demo: a sparse network trained in minutes.  make test: everything CI checks.  make clean: as if never built.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
NATIVE_BUILD ?= build/native
# Installation is repeated only when what it depends on changed (Python sources are used in place).
STAMP := $(VENV)/.tamis-installed
SOURCES := pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/*.cpp csrc/*.h csrc/kernels/*.cpp csrc/kernels/*.h)

.PHONY: demo test lint types contracts native pytest docs clean

demo: $(STAMP)
	$(BIN)/tamis demo

test: lint types contracts native pytest

$(STAMP): $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch scikit-build-core cmake ninja
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation -c constraints.txt -e ".[dev]"
	touch $@

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports

native: $(STAMP)
	mkdir -p $(dir $(NATIVE_BUILD))
	$(BIN)/cmake -S . -B $(NATIVE_BUILD) -G Ninja -DCMAKE_MAKE_PROGRAM=$(abspath $(BIN))/ninja \
	    -DTAMIS_NATIVE_TESTS=ON -DTAMIS_EXTENSION=OFF > $(NATIVE_BUILD).log 2>&1 || (cat $(NATIVE_BUILD).log; false)
	$(BIN)/cmake --build $(NATIVE_BUILD)
	$(BIN)/ctest --test-dir $(NATIVE_BUILD) --output-on-failure

pytest: $(STAMP)
	$(BIN)/python -m pytest

docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]" --no-build-isolation
	$(BIN)/sphinx-build -W -b html docs docs/_build/html

clean:
	rm -rf $(VENV) build dist runs docs/_build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
