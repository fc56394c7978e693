# Each target works alone on a machine that has Python >= 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
# three processes of one thread fill two cores: a test now and then waits
TESTED := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 3 --dist loadfile

# the newest patch release of every floor in pyproject.toml; PyTorch stays that of constraints.txt
OLDEST := .venv-oldest/bin/python

.PHONY: run test unit notebooks test-oldest test-avx2 test-browser bench fuzz student page lab check clean

run: $(INSTALLED)  ## train on the bundled corpus, test on unseen voices, draw the pictures
	$(BIN)/accentlib run --data data/accents_mini

test: unit notebooks  ## unit tests, then every notebook against its committed outputs

unit: $(INSTALLED)
	$(TESTED)

notebooks: $(INSTALLED)
	$(TESTED) --nbval --nbval-sanitize-with tests/nbval.cfg notebooks

test-oldest:  ## unit tests with the oldest dependencies that pyproject.toml allows
	$(PYTHON) -m venv --clear .venv-oldest
	$(PYTHON) tests/oldest.py > .venv-oldest/floors.txt
	$(OLDEST) -m pip install --quiet -c .venv-oldest/floors.txt -e ".[test]"
	OMP_NUM_THREADS=1 $(OLDEST) -m pytest -q -n 3 --dist loadfile

test-avx2: $(INSTALLED)  ## unit tests as on a processor with AVX2 but without AVX-512 or bfloat16, as in most laptops
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 $(TESTED)

test-browser: $(INSTALLED)  ## the map, the page and every notebook in a real browser; needs chromium (apt install chromium)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[browser]"
	$(BIN)/python -m pytest -q tests/browser

bench: $(INSTALLED)  ## speed against the published way, 20 min: benchmarks.json and a table; let nothing else run
	mkdir -p runs
	$(BIN)/python -m pytest -q tests/benchmarks/bench_*.py --benchmark-json=runs/benchmarks_raw.json --benchmark-columns=median
	$(BIN)/python tests/benchmarks/ratios.py runs/benchmarks_raw.json benchmarks.json

fuzz: $(INSTALLED)  ## 10,000 inputs for every reader of files, 11 min
	FUZZ=10000 $(TESTED) --dist load tests/test_fuzz.py

student: $(INSTALLED)  ## notebooks without outputs and answers, and a worksheet to print: runs/student
	$(BIN)/python notebooks/handouts.py runs/student

page: $(INSTALLED)  ## the shipped model as a web page that answers: site/index.html, for any static host
	$(BIN)/accentlib page --output site/index.html

lab: $(INSTALLED)  ## open the first notebook in JupyterLab
	$(BIN)/jupyter lab --allow-root notebooks/00_start_here.ipynb

check: $(INSTALLED)  ## format, lint (notebooks too) and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:  ## runs/ stays: the models in it are yours
	rm -rf .venv .venv-oldest

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with make PYTHON=python3.11")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test]"
	touch $(INSTALLED)
