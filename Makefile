# Two commands do everything on a fresh machine with Python 3.11: make demo, make test.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
BENCH_DATASET ?= demo

INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt
EXTRAS := fast,report,tune,llm,gym,serve,console,telemetry,ray
DEMO := --dataset demo --n-targets 20 --leaving 0.05 --set encoder_options.stopping.patience=5
RELEASE := build/release

.PHONY: demo serve test quick test-long lint type docs bench results package package-matrix audit
.DEFAULT_GOAL := demo

# A pip that knows dependency groups; then torch, pinned: any other way pip may fetch gigabytes of CUDA.
$(STAMP): pyproject.toml constraints.txt
	command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is needed: make PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) 'pip>=25.1'
	$(INSTALL) torch==2.13.0
	$(INSTALL) -e '.[$(EXTRAS)]' --group lint --group test --group docs
	touch $(STAMP)

# Three policies with the same users, on both cores; then the report of one of them, from the same stages.
demo: $(STAMP)
	$(BIN)/proactrec benchmark --suite short $(DEMO) --store runs/demo/artefacts --out runs/demo/benchmark
	$(BIN)/proactrec run $(DEMO) --out runs/demo --json >/dev/null
	@echo "open in a browser: runs/demo/benchmark/benchmark.html (all three), runs/demo/report.html (ITMPRec, user by user)"

# A service with a demo campaign that simulated shoppers visit over HTTP, and its console, until Ctrl-C.
serve: $(STAMP)
	$(BIN)/proactrec serve --demo runs/shop

# One thread: toy tensors only lose by two, most of all beside other work. Two processes; a file's
# tests stay in one, as most of what is trained for tests is trained for those of one file; slow files
# come first (tests/conftest.py). Bytecode is kept: the tests start hundreds of interpreters.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile \
	--no-loadscope-reorder

test: $(STAMP)
	$(PYTEST) --durations=20

# What trains, plays and starts nothing and needs no PostgreSQL: a rule, in tests/conftest.py.
quick: $(STAMP)
	$(PYTEST) -m quick

# Property tests with many more cases than `make test` draws: for a night.
test-long: $(STAMP)
	PROACTREC_RAILS_EXAMPLES=600 PROACTREC_HOST_EXAMPLES=60 PROACTREC_CAP_DECISIONS=100000 \
		PROACTREC_BOUND_EXAMPLES=5000 \
		$(PYTEST) --durations=20

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(STAMP)
	$(BIN)/mypy

# The tables of all results and studies, and the pictures of the results, from their JSON.
results: $(STAMP)
	$(BIN)/python benchmarks/index.py
	$(BIN)/python benchmarks/plots.py

# The documentation as a site, in runs/docs/site. Nothing is fetched; what leads nowhere is an error.
docs: $(STAMP)
	$(BIN)/python docs/site/build.py

bench: $(STAMP)
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/guidance_speed.py
	$(BIN)/python benchmarks/encoding.py
	$(BIN)/python benchmarks/retrieval.py runs/retrieval.md
	$(BIN)/python benchmarks/next_items.py
	$(BIN)/python benchmarks/data_import.py
	$(BIN)/python benchmarks/recbole_sasrec.py $(BENCH_DATASET) --only-timing

# Wheel and sdist as they are published, in dist/, and tests of what they hold and do.
package: $(STAMP)
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/python -m pytest -q tests/test_package.py

# The wheel on every Python 3.11 to 3.13 that is here, with the lowest versions that it allows and the
# newest ones. TORCH=... are options of uv, which tell where torch comes from.
TORCH ?= --torch-backend cpu
package-matrix: package
	$(BIN)/python -m venv build/uv
	build/uv/bin/pip install --quiet --disable-pip-version-check uv
	$(BIN)/python tests/package_matrix.py --uv build/uv/bin/uv dist/*.whl -- $(TORCH)

# What `pip install 'proactrec[...]'` brings, with the tested versions: as a software bill of materials
# (CycloneDX), and what is known against any of it. --strict: what nobody could look up is no good news.
audit: package
	rm -rf $(RELEASE) build/audit
	$(PYTHON) -m venv build/audit
	build/audit/bin/pip install --quiet --disable-pip-version-check 'pip>=25.1'
	build/audit/bin/pip install --quiet --disable-pip-version-check --group audit
	$(PYTHON) -m venv --without-pip $(RELEASE)
	build/audit/bin/pip --python $(RELEASE)/bin/python install --quiet -c constraints.txt torch==2.13.0
	build/audit/bin/pip --python $(RELEASE)/bin/python install --quiet -c constraints.txt "$$(ls dist/*.whl)[$(EXTRAS)]"
	build/audit/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o dist/proactrec.cdx.json $(RELEASE)/bin/python
	build/audit/bin/pip --python $(RELEASE)/bin/python list --format=freeze --exclude proactrec | sed 's/+.*//' > build/audit/pins.txt
	build/audit/bin/pip-audit --strict --no-deps --disable-pip -r build/audit/pins.txt
