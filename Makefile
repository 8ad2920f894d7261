# The commands that a person types. `make` alone lists them.
PYTHON_IN_VENV := .venv/bin/python

.PHONY: help run digits test chaos lint format bench s3 lock zip clean

help:  ## list these commands
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

run:  ## classify the example photographs with a real ImageNet network
	@tools/setup.sh run
	@$(PYTHON_IN_VENV) examples/imagenet/build.py
	@.venv/bin/mxspark run --input examples/imagenet/images --model examples/imagenet/bundle --output output/imagenet

digits:  ## read the 1,797 handwritten digits, and report the accuracy
	@tools/setup.sh run
	@$(PYTHON_IN_VENV) examples/digits/build.py
	@.venv/bin/mxspark run --input examples/digits/images --model examples/digits/bundle --output output/digits \
		--set 'input.true_label=_(\d)\.png$$'

test:  ## run the tests of every tier whose real parts this machine has
	@tools/setup.sh dev
	@$(PYTHON_IN_VENV) examples/imagenet/build.py
	@$(PYTHON_IN_VENV) examples/digits/build.py
	@$(PYTHON_IN_VENV) -m pytest tests

chaos:  ## kill and disturb one job ROUNDS times (SEED=N replays a schedule); its table must not show it
	@tools/setup.sh dev
	@$(PYTHON_IN_VENV) examples/digits/build.py
	@$(PYTHON_IN_VENV) -m tests.faults.chaos --rounds $(or $(ROUNDS),100) $(if $(SEED),--seed $(SEED))

lint:  ## check format, style, types and the rooms of outside libraries
	@tools/setup.sh dev
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

format:  ## put the code into format
	@tools/setup.sh dev
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

bench:  ## measure speed and memory (some minutes)
	@tools/setup.sh dev
	@$(PYTHON_IN_VENV) -m bench

s3:  ## serve the example photographs from a real S3 server on this machine
	@tools/setup.sh dev
	@$(PYTHON_IN_VENV) examples/imagenet/build.py
	@$(PYTHON_IN_VENV) examples/s3.py

zip:  ## build/mxspark.zip, for spark-submit --py-files
	@tools/setup.sh run
	@mkdir -p build && rm -f build/mxspark.zip
	@cd job && ../$(PYTHON_IN_VENV) -c "import shutil; shutil.make_archive('../build/mxspark', 'zip', '.', 'mxspark')"
	@echo build/mxspark.zip

lock:  ## write the locks in requirements/ anew
	@tools/lock.sh

clean:  ## remove all that was made, the virtual environment too
	rm -rf .venv .spark35 .cache build output examples/*/images examples/imagenet/bundle
