# Each target works alone on a machine that has Python >= 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: run test unit notebooks lab check clean

run: $(INSTALLED)  ## train on the bundled corpus, test on unseen voices, draw the pictures
	$(BIN)/accentlib run --data data/accents_mini

test: unit notebooks  ## unit tests, then every notebook against its committed outputs

unit: $(INSTALLED)
	$(BIN)/python -m pytest -q

notebooks: $(INSTALLED)
	$(BIN)/python -m pytest -q --nbval notebooks

lab: $(INSTALLED)  ## open the first notebook in JupyterLab
	$(BIN)/jupyter lab --allow-root notebooks/01_feature_extraction.ipynb

check: $(INSTALLED)  ## format and lint, notebooks too
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

clean:
	rm -rf .venv runs

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with make PYTHON=python3.11")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test]"
	touch $(INSTALLED)
