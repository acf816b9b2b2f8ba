# The two commands are `make demo` and `make test`; docs/development.md names the others.

VENV := .venv/bin/python
COMPILE := $(VENV) -m uv pip compile --quiet --generate-hashes --universal --python-version 3.11

# Processes of ours keep what Python compiles, whatever the environment says: a run of the suite starts some hundred.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo demo-reset test test-fast test-mlflow test-faults bench lint lock vendor
.DELETE_ON_ERROR:
.DEFAULT_GOAL := demo

demo: .venv/runtime.stamp
	@exec $(VENV) -m registry_ui.demo

demo-reset: .venv/runtime.stamp
	@$(VENV) -m registry_ui.demo --reset

# Each case on one of the two databases, and on both what they may answer differently (ADR 24): SQLite sees pages, tables of
# cases and what knows no database; PostgreSQL the browser and the rest, with MLflow on it too. The long way, all on both:
# make test ON_SQLITE="not e2e" ON_POSTGRESQL="e2e or not nodb". Workers take whole files, those that start servers first.
# The last thing printed is pytest's summary.
FAST := not server and not slow and not e2e and not image
ON_SQLITE := not e2e and (nodb or further or each_database or server)
ON_POSTGRESQL := e2e or not nodb and not further
WORKERS := -n auto --dist loadfile --no-loadscope-reorder
# One worker more than there are processors: who starts images, servers and a browser waits for a third of the time.
MORE := PYTEST_XDIST_AUTO_NUM_WORKERS=$$(($$(getconf _NPROCESSORS_ONLN) + 1))

test: .venv/development.stamp
	$(VENV) tools/services.py
	$(MORE) $(VENV) -m pytest -m "$(ON_SQLITE)" $(WORKERS)
	$(MORE) $(VENV) -m tests.support.postgres $(VENV) -m pytest -m "$(ON_POSTGRESQL)" $(WORKERS)

test-fast: .venv/development.stamp
	$(VENV) -m pytest -m "$(FAST)" $(WORKERS)

# Every MLflow that people run, or some: make test-mlflow VERSIONS="3.17.2". It installs them; minutes each, and some more
# for the gate in front of each, which is attacked in every way in which the server is started.
test-mlflow: .venv/development.stamp
	$(VENV) -m tests.servers $(VERSIONS)
	$(VENV) -m tests.servers.gate $(VERSIONS)

# Killed, lied to, raced and restored; about ten minutes. OPTIONS="--only restore --keep" and the like.
test-faults: .venv/development.stamp
	$(VENV) tools/services.py
	$(VENV) -m tests.faults $(OPTIONS)

# Every part on SQLite and PostgreSQL, about half an hour; rewrites docs/benchmarks.md. python -m bench --million takes a million.
bench: .venv/development.stamp
	$(VENV) tools/services.py
	$(VENV) -m bench

lint: .venv/development.stamp
	$(VENV) -m ruff check
	$(VENV) -m ruff format --check
	$(VENV) -m mypy
	.venv/bin/lint-imports
	.venv/bin/djlint templates --lint --quiet
	DJANGO_SETTINGS_MODULE=tests.settings $(VENV) manage.py makemigrations --check --dry-run

lock: .venv/development.stamp
	$(COMPILE) requirements.in -o requirements.txt
	$(COMPILE) requirements-runtime.in -c requirements.txt -o requirements-runtime.txt
	$(COMPILE) requirements-dev.in -c requirements.txt -o requirements-dev.txt
	$(COMPILE) deploy/docker/mlflow/requirements.in -c requirements-dev.txt -o deploy/docker/mlflow/requirements.txt
	$(COMPILE) tools/uv.in -c requirements-dev.txt -o tools/uv.txt

vendor: .venv/development.stamp
	$(VENV) tools/vendor.py

# Our own packages are installed: MLflow finds the gate by its entry points, and people type `countersign`.
OWN := packages/mlflow_gate packages/countersign
SOURCES := $(wildcard $(OWN:%=%/pyproject.toml) $(OWN:%=%/*/*.py))

INSTALLER := tools/venv.sh tools/install.py tools/uv.txt

.venv/runtime.stamp: requirements.txt $(INSTALLER) $(SOURCES)
	@sh tools/venv.sh requirements.txt $(OWN)
	@touch $@

.venv/development.stamp: requirements-dev.txt $(INSTALLER) $(SOURCES)
	@sh tools/venv.sh requirements-dev.txt $(OWN)
	@touch $@ .venv/runtime.stamp
