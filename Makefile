# The commands that a person types. `make` alone lists them.
PYTHON_IN_VENV := .venv/bin/python
# Tests run side by side, one more than there are cores: many of them wait (tests/parallel.py).
PROCESSES := $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
PYTEST = $(PYTHON_IN_VENV) -m pytest --numprocesses $(PROCESSES) --dist loadgroup --no-loadscope-reorder
# What Python compiles is kept: each of the tests' processes would compile all tests anew.
unexport PYTHONDONTWRITEBYTECODE
DOCKER_TIERS := tests/image tests/kubernetes tests/emr/cluster

.PHONY: help run run-docker digits check test test-docker test-all test-set-up image image-gpu chaos lint format bench s3 kind-up kind-run kind-down chart reference docs lock sbom zip clean

help:  ## list these commands
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

run:  ## classify the example photographs with a real ImageNet network
	@tools/setup.sh run
	@$(PYTHON_IN_VENV) examples/imagenet/build.py
	@.venv/bin/mxspark run --input examples/imagenet/images --model examples/imagenet/bundle --output output/imagenet

run-docker:  ## the same inside the image: for machines that MXNet has no package for (Apple silicon, Windows); needs Docker or Podman
	@tools/run-docker.sh

digits:  ## read the 1,797 handwritten digits, and report the accuracy
	@tools/setup.sh run
	@$(PYTHON_IN_VENV) examples/digits/build.py
	@.venv/bin/mxspark run --input examples/digits/images --model examples/digits/bundle --output output/digits \
		--set 'input.true_label=_(\d)\.png$$'

check: lint  ## before each commit (about 2 minutes on two cores): lint, types, unit tests, the chart rendered, EMR requests
	@$(PYTEST) tests/unit tests/chart tests/emr --ignore tests/emr/cluster --ignore tests/emr/command

test: test-set-up  ## all tests that need no Docker (about 8 minutes): real Spark, a real S3 server, kills, bad networks, a browser
	@$(PYTEST) tests $(DOCKER_TIERS:%=--ignore %)

# Two processes: a node of the cluster has as many CPUs as the machine, which larger jobs would give away.
test-docker: PROCESSES = 2
test-docker: test-set-up  ## the tests that need Docker (about 14 minutes): the images, and a Kubernetes cluster
	@$(PYTEST) $(DOCKER_TIERS)

test-all:  ## both, side by side (about 15 minutes, 30 with nothing cached)
	@$(MAKE) --no-print-directory --jobs 2 PROCESSES=2 test test-docker

test-set-up:
	@tools/setup.sh dev
	@$(PYTHON_IN_VENV) examples/imagenet/build.py
	@$(PYTHON_IN_VENV) examples/digits/build.py

image:  ## build the image mxspark (TARGET=emr: mxspark:emr, for EMR on EKS; BASE=, EMR_BASE=: other bases)
	@tools/image.sh cpu $(or $(TARGET),kubernetes)

image-gpu:  ## build the image mxspark:gpu (TARGET=emr: mxspark:gpu-emr)
	@tools/image.sh gpu $(or $(TARGET),kubernetes)

chaos:  ## kill and disturb one job ROUNDS times (SEED=N replays a schedule); its table must not show it
	@tools/setup.sh dev
	@$(PYTHON_IN_VENV) examples/digits/build.py
	@$(PYTHON_IN_VENV) -m tests.faults.chaos --rounds $(or $(ROUNDS),100) $(if $(SEED),--seed $(SEED))

lint:  ## check format, style, types, the rooms of outside libraries, Dockerfiles and shell scripts
	@tools/setup.sh dev
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@.venv/bin/hadolint Dockerfile Dockerfile.gpu tests/image/emr-base/Dockerfile tests/kubernetes/node/Dockerfile examples/kind/s3.Dockerfile
	@tools/checkov.sh Dockerfile Dockerfile.gpu
	@.venv/bin/shellcheck .ci/run $$(find tools image tests -name '*.sh') tests/kubernetes/node/overlay/usr/local/bin/*

format:  ## put the code into format
	@tools/setup.sh dev
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

bench:  ## measure speed and memory, and other systems beside it (an hour or more; the first time it installs them)
	@tools/setup.sh dev
	@$(PYTHON_IN_VENV) -m bench

s3:  ## serve the example photographs from a real S3 server on this machine (PORT=: another port than 8333, or a free one)
	@tools/setup.sh s3
	@$(PYTHON_IN_VENV) examples/imagenet/build.py
	@PORT=$(PORT) $(PYTHON_IN_VENV) examples/s3.py

kind-up:  ## a Kubernetes cluster on this machine, with an S3 server and the image in it, by kind; needs Docker (IMAGE=: another name than mxspark)
	@tools/kind.sh up
	@tools/kind.sh s3
	@export BASE && BASE=$$(tools/base.sh) && tools/image.sh cpu kubernetes
	@tools/kind.sh load $(or $(IMAGE),mxspark)
	@echo "The image $(or $(IMAGE),mxspark) is on the nodes. Next: make kind-run; at the end: make kind-down"

kind-run:  ## the digits job on that cluster: the chart installed, followed to its end, and its table shown
	@tools/setup.sh client
	@$(PYTHON_IN_VENV) examples/digits/build.py
	@IMAGE=$(or $(IMAGE),mxspark) $(PYTHON_IN_VENV) -m examples.kind.run

kind-down:  ## remove that cluster
	@tools/kind.sh down

zip:  ## build/mxspark.zip, for spark-submit --py-files
	@tools/setup.sh run
	@mkdir -p build && rm -f build/mxspark.zip
	@cd job && ../$(PYTHON_IN_VENV) -c "import shutil; shutil.make_archive('../build/mxspark', 'zip', '.', 'mxspark')"
	@echo build/mxspark.zip

chart:  ## write what is generated of the chart (tools/chart): its schema, values.yaml, README and constants
	@tools/setup.sh dev
	@PYTHONPATH=job $(PYTHON_IN_VENV) -m tools.chart

reference:  ## write the generated pages of docs/: settings and commands
	@tools/setup.sh dev
	@PYTHONPATH=job $(PYTHON_IN_VENV) -m tools.reference

docs:  ## build the documentation as a site, build/site; every link is checked
	@tools/setup.sh client
	@tools/docs.sh build

lock:  ## write the locks in requirements/ anew
	@tools/lock.sh

sbom:  ## list what is locked, for scanners (CycloneDX): build/sbom-*.json; an image has its own list in it
	@tools/setup.sh run
	@tools/sbom.sh

clean:  ## remove all that was made, the virtual environment too
	rm -rf .venv .spark35 .cache build output examples/*/images examples/imagenet/bundle
