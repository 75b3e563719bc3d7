# From a fresh clone, `make run` and `make test` set up all that they need: they ask for make and Python 3.11, and install into
# .venv (and clients/web/node_modules) only. `make help` lists the targets. Arguments: make run ARGS="--port 9000".

VENV := .venv
BIN := $(VENV)/bin
WEB := clients/web
JS := clients/js
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check install
# The lock files are complete, so nothing is resolved; a module is compiled when it is first imported.
LOCKED := $(PIP) --no-deps --no-compile --require-hashes -r
CHECK := $(BIN)/python scripts/check.py
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm --prefix
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	--custom-compile-command "make lock" $(ARGS)
ARGS :=
MINUTES := 10

.DEFAULT_GOAL := help
.PHONY: tutorials run test lint types layers unit coverage page client browser chaos fuzz random bench web dist docs audit sbom lock clean help anew

#: run      start the demo server, http://127.0.0.1:8000
run: $(VENV)/.run
	@$(BIN)/cowrite serve --demo $(ARGS)

#: test     all checks, from lint to chaos; this is what a change must pass
test: $(VENV)/.test $(WEB)/node_modules/.ready $(JS)/node_modules/.ready
	@$(CHECK)

#: lint     style and mistakes (ruff)
#: types    types (mypy --strict)
#: layers   who may import whom (import-linter)
#: unit     the tests that need neither a browser nor kill -9
#: coverage every branch of protocol/, crdt/, formats/ and core/ is covered by their tests
lint types layers unit coverage: $(VENV)/.test $(VENV)/.node
	@$(CHECK) $@ -- $(ARGS)

#: chaos    the tests that kill processes, forty times as often as in `make test` (an hour; COWRITE_CHAOS=1: as long as there)
chaos: $(VENV)/.test $(VENV)/.node
	@COWRITE_CHAOS=$${COWRITE_CHAOS:-40} $(CHECK) $@ -- $(ARGS)

#: page     the page's own checks, and that the committed page is the one that its sources build
#: browser  the tests in a real browser
page browser: $(VENV)/.test $(WEB)/node_modules/.ready
	@$(CHECK) $@ -- $(ARGS)

#: client   the checks of @cowrite/client: types, style, tests, and that it builds
client: $(VENV)/.test $(JS)/node_modules/.ready
	@$(CHECK) $@

#: fuzz     attacks on every decoder, on rooms and on a server, for so many minutes: make fuzz MINUTES=10
fuzz: $(VENV)/.fuzz
	@$(BIN)/python -m fuzz.campaign $(MINUTES)

#: random   the random tests at their full counts (some minutes)
random: $(VENV)/.test
	@COWRITE_FUZZ=$${COWRITE_FUZZ:-50} $(BIN)/python -m pytest -m fuzz --timeout 0 -o faulthandler_timeout=0 -n auto $(ARGS)

#: bench    cowrite, Hocuspocus and y-websocket side by side, with targets; then CPU per delivered update, and latency; per JSON operation; of 500 who poll, are present, point and type; memory; links; a message between processes (forty minutes)
bench: $(VENV)/.test $(VENV)/.node
	@PYTHONPATH=tests $(BIN)/python -m bench.compare $(ARGS)
	@$(BIN)/python -m bench.fanout
	@$(BIN)/python -m bench.operations
	@$(BIN)/python -m bench.polling
	@$(BIN)/python -m bench.presence
	@$(BIN)/python -m bench.cursors
	@$(BIN)/python -m bench.people
	@$(BIN)/python -m bench.memory
	@PYTHONPATH=tests $(BIN)/python -m bench.links
	@PYTHONPATH=tests $(BIN)/python -m bench.broker

#: web      build the page anew into src/cowrite/web
web: $(WEB)/node_modules/.ready
	@$(NPM) $(WEB) run build

#: dist     the packages: dist/*.whl for pip, dist/*.tgz for npm
dist: $(VENV)/.test $(JS)/node_modules/.ready
	@$(BIN)/python -m hatchling build -t wheel
	@mkdir -p dist && cd $(JS) && PATH="$(CURDIR)/$(BIN):$$PATH" npm pack --silent --pack-destination $(CURDIR)/dist

#: docs     the documentation as a site: build/site; a link that leads nowhere is an error
docs: $(VENV)/.test
	@$(BIN)/python scripts/build_docs.py

#: tutorials do what docs/tutorials tell, to the letter, from an empty folder to a shared edit, with what pip and npm bring (minutes)
tutorials: $(VENV)/.test $(VENV)/.node
	@PYTHONPATH=.:tests $(BIN)/python -m scripts.follow_tutorial $(ARGS)

#: audit    published vulnerabilities of what is locked; what cannot be asked is told, and fails with STRICT=1
audit: $(VENV)/.test $(VENV)/.audit $(VENV)/.node
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/audit.py

#: sbom     the bill of materials (CycloneDX) of the server and the page, build/cowrite.cdx.json
sbom: $(VENV)/.test
	@$(BIN)/python scripts/sbom.py $(ARGS)

#: lock     choose versions anew within pyproject.toml's bounds (all: ARGS=--upgrade, one: ARGS="--upgrade-package NAME")
lock: $(VENV)/.pip
	@$(LOCKED) requirements/lock.txt
	@$(COMPILE) pyproject.toml --group build --output-file requirements/run.txt
	@$(COMPILE) pyproject.toml --group build --group test --constraints requirements/run.txt --output-file requirements/test.txt
	@$(COMPILE) pyproject.toml --group build --extra mysql --extra postgres --extra redis --constraints requirements/test.txt --output-file requirements/image.txt
	@$(COMPILE) --group audit --constraints requirements/test.txt --output-file requirements/audit.txt
	@for name in fuzz node pip lock; do \
		$(COMPILE) --group $$name --output-file requirements/$$name.txt || exit 1; \
	done

#: clean    remove what make and the tools made (not ./data)
clean:
	@rm -rf $(VENV) $(WEB)/node_modules $(JS)/node_modules $(JS)/dist .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage* build dist test-results

#: help     this list
help:
	@sed -n 's/^#: /  make /p' Makefile

# -- the environment ---------------------------------------------------------------------------------------------------------

# Made anew when there is none, when its Python is gone, and when this folder was moved (its paths are absolute).
ifneq ($(shell test -x $(BIN)/python && cat $(VENV)/.place 2>/dev/null),$(CURDIR))
$(VENV)/.place: anew
endif
$(VENV)/.place:
	@test ! -L $(VENV) || { echo "cowrite: $(VENV) is a link to the environment of another folder, which would be emptied; remove the link" >&2; exit 2; }
	@python=$$(sh scripts/find-python.sh) && \
		echo "cowrite: setting up $(VENV) with $$("$$python" --version); once, half a minute or so" && \
		"$$python" -m venv --clear $(VENV)
	@echo "$(CURDIR)" >$@

$(VENV)/.pip: $(VENV)/.place requirements/pip.txt
	@$(LOCKED) requirements/pip.txt
	@touch $@

$(VENV)/.run: $(VENV)/.pip requirements/run.txt pyproject.toml
	@$(LOCKED) requirements/run.txt
	@$(PIP) --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.run requirements/test.txt
	@echo "cowrite: installing what the checks need"
	@$(LOCKED) requirements/test.txt
	@touch $@

$(VENV)/.audit: $(VENV)/.test requirements/audit.txt
	@$(LOCKED) requirements/audit.txt
	@touch $@

# There is nothing in it for systems that the fuzzer has no package for.
$(VENV)/.fuzz: $(VENV)/.test requirements/fuzz.txt
	@$(LOCKED) requirements/fuzz.txt
	@touch $@

# Node comes from a Python package where the machine has none that will do.
$(VENV)/.node: $(VENV)/.pip requirements/node.txt
	@sh scripts/has-node.sh || $(LOCKED) requirements/node.txt
	@touch $@

$(WEB)/node_modules/.ready $(JS)/node_modules/.ready: %/node_modules/.ready: %/package-lock.json | $(VENV)/.node
	@$(NPM) $* ci --no-audit --no-fund --loglevel error
	@touch $@
