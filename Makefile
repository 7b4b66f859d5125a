# For Linux. Every target does its own set-up on a fresh Debian machine that has Rust, a C compiler and Python.
# What is installed or downloaded goes to .env/ and target/; what is built goes to out/.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
export CARGO_TERM_COLOR ?= auto

.PHONY: help setup demo test wheel clients browser chaos cluster stores parity lint bench fuzz structure schemas clean

help:
	@echo 'make demo      build, fetch real photos and videos, build and verify the demo and the recipes in small'
	@echo 'make test      all tests, with the Python readers of the shards'
	@echo 'make wheel     the Python package with the command line and FFmpeg in it, in out/wheel; installed and tried in an environment of its own'
	@echo 'make clients   the same with Megatron-Energon, Megatron-Bridge, MosaicML Streaming and wids (6 GB of packages);'
	@echo '               MANYFRAME_LONGLLAVA=DIR, MANYFRAME_XTUNER=DIR: also with the dataset classes of LongLLaVA and XTuner, whose'
	@echo '               repositories are there'
	@echo 'make browser   reports in Chromium at two widths, with screenshots in target/tmp/browser (apt package)'
	@echo 'make chaos     a hundred kills, full disks, damaged work and more; figures of each (its short form is part of make test)'
	@echo 'make cluster   one build here, on Slurm and on Ray, whose nodes and drivers are killed: equal bytes (root, 360 MB of packages)'
	@echo 'make stores    uploads to Ceph, s3s and Azurite that are killed, raced and altered on the way (root, apt and npm packages)'
	@echo 'make parity    the hybrid model beside PyTorch, also on a needle set, model families beside their processors: fresh references, datasets (5 GB of packages)'
	@echo 'make lint      formatting, clippy, documentation, dependency rules'
	@echo 'make bench     speed and memory beside Python versions of the same jobs, and beside other loaders; JOB=loaders for one job'
	@echo 'make fuzz      parsers of foreign bytes against damaged ones, SECONDS=60 each (nightly compiler and cargo-fuzz)'
	@echo 'make structure a table of import cycles between files, long functions, parameters, small files; LIST=1 names each'
	@echo 'make schemas   write schemas/ from the types'

setup:
	@tests/setup/system.sh

demo: setup
	$(CARGO) build --profile demo --locked --no-default-features --features video
	python3 pipelines/demo/fetch.py .env/demo
	tests/setup/demo.sh $(TARGET)/demo/manyframe

test: setup
	tests/setup/python.sh .env/python
	python3 pipelines/demo/fetch.py .env/demo
	@rm -f .env/skipped
	MANYFRAME_SKIPPED=$(CURDIR)/.env/skipped $(CARGO) test --workspace --locked
	$(CARGO) test --package manyframe --locked --no-default-features --test tests without_features
	@if [ -s .env/skipped ]; then echo; sort -u .env/skipped; fi

wheel: setup
	@tests/setup/system.sh wheel
	tests/setup/wheel.sh .env out/wheel
	tests/setup/wheel_environment.sh out/wheel .env/python/wheel
	MANYFRAME_WHEEL=$(CURDIR)/.env/python/wheel $(CARGO) test --locked --workspace --test tests -- python_package:: your_own_data

clients: setup
	tests/setup/python.sh .env/python
	tests/setup/python.sh .env/python clients
	python3 pipelines/demo/fetch.py .env/demo
	MANYFRAME_CLIENTS=1 $(CARGO) test --workspace --locked --test tests -- clients:: readme:: python_package:: export::packed_parquet --nocapture

browser: setup
	@tests/setup/system.sh browser
	python3 pipelines/demo/fetch.py .env/demo
	MANYFRAME_BROWSER=1 $(CARGO) test --workspace --locked --test tests -- browser:: --nocapture

chaos: setup
	MANYFRAME_CHAOS=1 $(CARGO) test --workspace --locked --test tests -- chaos:: kills:: robustness:: --nocapture --test-threads=1

# The development profile optimises what decodes and encodes.
cluster: setup
	@tests/setup/system.sh cluster
	tests/setup/python.sh .env/python cluster
	tests/stores/s3s.sh .env/s3s
	$(CARGO) build --locked
	tests/cluster/run.sh $(TARGET)/debug/manyframe .env/python/ray/bin .env/s3s/bin/s3s-fs
	$(if $(MEASURE),tests/cluster/measure.sh $(TARGET)/debug/manyframe .env/python/ray/bin)

# The daemons listen on this machine only, and end with it.
stores: setup
	@tests/setup/system.sh stores
	tests/stores/azurite.sh .env/azurite
	tests/stores/s3s.sh .env/s3s
	$(CARGO) build --release --locked
	python3 tests/stores/run.py $(TARGET)/release/manyframe .env/ceph .env
	python3 tests/stores/bench.py $(TARGET)/release/manyframe .env/ceph

# The development profile optimises what computes: gemm, candle and the kernels. One selection of packages, so that others are built
# once: features follow from it.
parity: setup
	@tests/setup/system.sh parity
	tests/setup/python.sh .env/python parity
	rm -rf .env/parity && mkdir -p .env/parity
	.env/python/parity/bin/python tests/parity/make_vision.py .env/parity/vision .env/packages --fresh --seed $(or $(SEED),1)
	.env/python/parity/bin/python tests/parity/fetch_tokenizers.py .env/packages
	MANYFRAME_PARITY=$(CURDIR)/.env/parity $(CARGO) test --locked --workspace --test golden --test it --test media -- are_those_of_the_processors
	.env/python/parity/bin/python tests/parity/make_golden.py .env/parity --fresh --seed $(or $(SEED),1)
	MANYFRAME_PARITY=$(CURDIR)/.env/parity $(CARGO) test --locked --workspace --test validate -- parity pictures
	$(CARGO) build --locked --workspace --lib --example prefill --bin manyframe
	.env/python/parity/bin/python tests/parity/compare.py $(TARGET)/debug/examples/prefill
	python3 pipelines/demo/fetch.py .env/demo
	.env/python/parity/bin/python tests/parity/read_families.py $(TARGET)/debug/manyframe .env/parity/families .env/packages
	tests/setup/package.sh $(TARGET)/debug/libmanyframe_python.so .env/parity/package
	PYTHONPATH=.env/parity/package .env/python/parity/bin/python tests/parity/pixel_values.py $(TARGET)/debug/manyframe .env/parity/pixels .env/packages
	$(TARGET)/debug/manyframe build pipelines/demo --fresh --quiet --set out=.env/parity/demo
	$(TARGET)/debug/manyframe model init .env/parity/model --seed 7
	$(TARGET)/debug/manyframe validate .env/parity/demo/3-multi-image --model .env/parity/model --samples 40 --no-controls --device cpu
	.env/python/parity/bin/python tests/parity/dataset_loss.py .env/parity/demo/3-multi-image .env/parity/model .env/demo/tokenizer.model
	$(TARGET)/debug/manyframe build pipelines/demo/needles --fresh --quiet --set out=.env/parity/demo \
	  --set 'source.v-niah.needles.lengths=[8]' --set 'source.vnbench.needles.lengths=[10]' --set 'source.many-images.needles.lengths=[6]'
	$(TARGET)/debug/manyframe validate .env/parity/demo/needles --model .env/parity/model --needles --device cpu
	.env/python/parity/bin/python tests/parity/needle_scores.py .env/parity/demo/needles .env/parity/model .env/demo/tokenizer.model

lint: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) clippy --workspace --locked --no-default-features -- -D warnings
	NVCC=$(CURDIR)/tests/setup/nvcc-stand-in.sh CUDARC_CUDA_VERSION=13000 CUDA_COMPUTE_CAP=80 \
	  $(CARGO) clippy --locked -p manyframe-kernels -p manyframe-validate --features manyframe-validate/cuda --all-targets \
	  --target-dir $(TARGET)/cuda-check -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --no-deps --locked --quiet
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny check bans licenses sources; \
	else echo 'cargo-deny is not installed: dependency rules (deny.toml) not checked'; fi

# With FFmpeg in the program, as in the wheel: its peers bring theirs, too.
bench: export FFMPEG_DIR = $(CURDIR)/.env/ffmpeg
bench: export CARGO_TARGET_DIR = $(abspath $(TARGET))/wheel
bench: setup
	tests/setup/ffmpeg.sh $(FFMPEG_DIR)
	$(CARGO) build --release --locked --features manyframe-media/static-ffmpeg
	tests/setup/python.sh .env/python bench
	$(if $(filter-out loaders,$(JOB)),,tests/setup/python.sh .env/python loaders)
	python3 pipelines/demo/fetch.py .env/demo
	python3 tests/bench/run.py $(CARGO_TARGET_DIR)/release/manyframe $(JOB)

fuzz: setup
	tests/fuzz/run.sh $(or $(SECONDS),60)

structure:
	@$(CARGO) run --quiet --locked -p manyframe-structure -- $(if $(LIST),--list)

schemas:
	MANYFRAME_UPDATE=1 $(CARGO) test --locked --test tests -- schemas:: settings:: json:: messages:: troubleshooting::

clean:
	$(CARGO) clean
	rm -rf out .env
