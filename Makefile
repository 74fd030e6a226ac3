# Two commands do everything on a fresh machine with Python 3.11: make demo, make test.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
BENCH_DATASET ?= demo

.PHONY: demo serve test lint type docs bench
.DEFAULT_GOAL := demo

# torch first and pinned: any other way pip may fetch gigabytes of CUDA.
$(STAMP): pyproject.toml constraints.txt
	command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is needed: make PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fast,report,tune,llm,gym,serve,console,telemetry,ray,test]'
	$(BIN)/pip install --quiet --disable-pip-version-check 'pip>=25.1'  # which knows groups
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt --group docs
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/proactrec run --dataset demo --n-targets 20 --leaving 0.05 --set encoder_options.stopping.patience=5 --out runs/demo
	@echo "open runs/demo/report.html in a browser"

# A service with a demo campaign that simulated shoppers visit over HTTP, and its console, until Ctrl-C.
serve: $(STAMP)
	$(BIN)/proactrec serve --demo runs/shop

# One thread: toy tensors only lose by two, most of all beside other work. Two processes; a file's
# tests stay in one, as most of what is trained for tests is trained for those of one file; slow files
# come first (tests/conftest.py).
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(STAMP)
	$(BIN)/mypy

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
