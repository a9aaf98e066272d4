# Two commands matter: `make quickstart` runs the main job, `make test` passes the tests.
# Both set up .venv when it is missing and leave it alone when it is current.

# The first of these that is Python 3.11 or newer; `make PYTHON=...` names another one.
PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11 python3.14,$(if $(shell \
	$(p) -c 'import sys; print(int(sys.version_info >= (3, 11)) or "")' 2>/dev/null),$(p))))
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2
PYTEST_ARGS ?=

.PHONY: quickstart test test-isa test-browser test-oldest test-newest mutants perf reproduce lint docs release-check clean

quickstart: $(STAMP)
	$(BIN)/fusionbench quickstart

# Tests start hundreds of processes: each of them is faster where compiled modules may be kept.
test: lint
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --max-worker-restart 0 $(PYTEST_ARGS)

# Training, gradients, metrics and the bytes of data sets as on other x86-64 processors, with one and with two threads:
# tools/with_isa.py tells every numerical library which instructions to use. FULL=1 adds the presets of 18 million
# parameters to the check of gradients, which takes an hour.
ISAS := SSE41 AVX2 default
THREADS := 1 2
ISA_TESTS := tests/training/test_gradient_check.py tests/training/test_safe_convolutions.py tests/models tests/metrics tests/training/test_loop.py tests/training/test_averaging.py \
	tests/training/test_schedule.py tests/evaluation/test_masked.py tests/evaluation/test_pairs.py tests/evaluation/test_image_files.py \
	tests/contracts/test_models.py tests/contracts/test_metrics.py tests/synth tests/data/shards tests/data/test_build.py
test-isa: $(STAMP)
	for isa in $(ISAS); do for threads in $(THREADS); do \
	  echo "tests with $$isa on $$threads threads" >&2; \
	  FUSIONBENCH_FULL_GRADIENTS=$(FULL) $(BIN)/python tools/with_isa.py $$isa --threads $$threads -- \
	  $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --max-worker-restart 0 $(ISA_TESTS) $(PYTEST_ARGS) || exit 1; \
	done; done

# Needs Chromium, for example Debian's package; `make test` runs these too where it is installed.
test-browser: $(STAMP)
	$(BIN)/python -m pytest -m browser tests/board $(PYTEST_ARGS)

# Every speed claim, measured again on this machine: half an hour on two quiet cores, most of it for pair_models. FUSIONBENCH_DATA adds
# what needs real files. Figures go to benchmarks/perf/figures, a text file a script.
PERF := startup generate degradations storage remote pairs metrics stats gate train evaluate classical stacks board pair_models allocator
perf: $(STAMP)
	mkdir -p benchmarks/perf/figures
	for name in $(PERF); do \
	  test -f benchmarks/perf/$$name.py || continue; \
	  case "$$name:$(FUSIONBENCH_DATA)" in \
	    generate:?*) set -- --source-dir "$(FUSIONBENCH_DATA)/mnist";; \
	    storage:?*) set -- --celeba-half "$(FUSIONBENCH_DATA)/celeba";; \
	    pairs:?*) set -- --source-dir "$(FUSIONBENCH_DATA)/roadscene";; \
	    *) set --;; \
	  esac; \
	  echo "perf: $$name" >&2; \
	  OMP_NUM_THREADS=1 $(BIN)/python -W ignore benchmarks/perf/$$name.py "$$@" > benchmarks/perf/figures/$$name.txt || exit 1; \
	done

# The shipped results, measured again and compared: all that can be made from what is here. FUSIONBENCH_DATA names a folder
# with a folder for each source, which takes hours on two cores; REPRODUCE_ARGS="--limit 8" scores the first images only.
# On one thread, as the shipped rows were made; SSE4.1 was not compared with them.
reproduce: $(STAMP)
	mkdir -p build
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/fusionbench reproduce benchmarks/results --skip-missing \
	  $(if $(FUSIONBENCH_DATA),--source-dir "$(FUSIONBENCH_DATA)" --weights "$(FUSIONBENCH_DATA)/fused") -o build/reproduce.json \
	  $(REPRODUCE_ARGS)

# The tests of the generator, models, training, scoring and metrics with the oldest releases that setup.cfg allows; all of
# them have wheels for Python 3.11. For a torch without CUDA install the one of constraints-oldest.txt into .venv-oldest first.
test-oldest:
	test -x .venv-oldest/bin/python || python3.11 -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet -c constraints-oldest.txt -e '.[torchmetrics]' pytest hypothesis
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	.venv-oldest/bin/python -m pytest tests/synth tests/data/shards tests/sources tests/data/test_build.py tests/data/test_dataset.py \
	tests/data/test_verify.py tests/data/test_recipes.py tests/data/test_preprocessing.py tests/data/test_self_test.py tests/metrics tests/models \
	tests/contracts/test_metrics.py tests/contracts/test_models.py tests/evaluation/test_curves.py tests/cli/test_diagnostics.py tests/cli/test_machine.py \
	tests/evaluation/test_masked.py tests/evaluation/test_pairs.py tests/project/test_import_time.py tests/data/test_package_probes.py \
	tests/training/test_averaging.py tests/training/test_batches.py tests/training/test_runtime.py tests/training/test_schedule.py tests/training/test_loop.py $(PYTEST_ARGS)

# All tests with what `pip install` gives today, beside no list of ours: what a new user gets. A new release of a library
# that breaks something shows here first.
test-newest:
	test -x .venv-newest/bin/python || $(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager -e '.[dev]'
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	.venv-newest/bin/python -m pytest -n $(WORKERS) --dist loadfile --max-worker-restart 0 $(PYTEST_ARGS)

# Tests of the tests: a fixed sample of small changes of the core files, each of which a test has to notice: 24 changes of
# each of 14 files, run on one core. 60 changes of one light file took 2.5 to 4 minutes; the sample has more than five times
# as many, some with slower tests. MUTANTS_ARGS='--minutes 15' stops in time, FULL=1 tries all changes, which takes hours.
# The score goes to benchmarks/mutants.json.
mutants: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[mutants]'
	$(BIN)/python tools/mutants.py $(if $(FULL),--full) $(MUTANTS_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	found=$$($(BIN)/lint-imports --no-logo --cache-dir=build/import-linter 2>&1) || { echo "$$found"; exit 1; }

# The documentation site, in build/site: every link and reference is checked, and nothing is fetched.
docs: $(STAMP)
	PYTHONPATH=. OMP_NUM_THREADS=1 NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true \
	$(BIN)/python -m mkdocs build --strict

# docs/releasing.md; RELEASE_TAG names the tag that is published, RELEASE_DIST a folder that keeps sdist and wheel.
release-check: $(STAMP)
	$(BIN)/python tools/release_check.py $(if $(RELEASE_TAG),--tag $(RELEASE_TAG)) $(if $(RELEASE_DIST),--dist $(RELEASE_DIST))

$(STAMP): setup.cfg pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "fusionbench needs Python 3.11 or newer; name one with make PYTHON=..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) .venv-oldest .venv-newest build *.egg-info
