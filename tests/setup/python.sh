#!/bin/sh
# Makes the Python environments that read what manyframe writes: python.sh DIR [bench|loaders|parity|clients|cluster]
# One environment per client: their dependencies exclude each other. uv installs them: what several have is on the disk once.
set -eu
directory=${1:?usage: python.sh DIR [bench|loaders|parity|clients|cluster]}
here=$(dirname "$0")
uv=$directory/../uv/bin/uv

install_uv() {
  "$uv" --version 2>/dev/null | grep -q '^uv 0.13.9' && return
  rm -rf "$directory/../uv"
  mkdir -p "$directory"
  python3 -m venv "$directory/../uv" || { echo 'python3 -m venv fails: apt-get install python3-venv' >&2; return 1; }
  "$directory/../uv/bin/python" -m pip install --quiet --disable-pip-version-check uv==0.13.9
}

environment() { # NAME REQUIREMENTS
  target="$directory/$1"
  stamp="$target/.requirements"
  # Scripts name their interpreter by its path, which is gone if the directory was moved.
  cmp -s "$2" "$stamp" && [ -x "$(sed -n '1s/^#!//p' "$target/bin/pip")" ] && return
  echo "making the Python environment $target"
  rm -rf "$target"
  python3 -m venv "$target"
  # Where pip is configured to reach its index and uv is not, pip installs them.
  if ! { install_uv && "$uv" pip install --quiet --python "$target/bin/python" --requirement "$2"; }; then
    "$target/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$2"
  fi
  cp "$2" "$stamp"
}

# Two readers without what they need to train: `wids`, of which VILA's is a copy, from the last version that had it, and
# Megatron-Bridge's loaders of samples and of packs.
parts_of_readers() {
  more=$directory/torch/more
  [ -e "$more/.with-packing" ] && return
  "$directory/torch/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target "$more" webdataset==0.2.111
  "$directory/torch/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --python-version 3.12 --dest "$more" megatron-bridge==0.6.2
  (cd "$more" && python3 -m zipfile -e megatron_bridge-*.whl bridge \
    && mkdir -p megatron/bridge/data/energon megatron/bridge/data/packing megatron/bridge/utils \
    && for file in data/energon/task_encoder_utils.py data/packing/gpt_sft.py data/packing/parquet.py data/packing/paths.py \
      utils/safe_pickle.py; do cp "bridge/megatron/bridge/$file" "megatron/bridge/$file"; done \
    && rm -r bridge megatron_bridge-*.whl)
  # What the environment has itself comes first.
  realpath "$more" > "$(echo "$directory"/torch/lib/python3*/site-packages)/more.pth"
  touch "$more/.with-packing"
}

case "${2:-}" in
  bench) environment bench "$here/../python/requirements-bench.txt" ;;
  parity) environment parity "$here/../parity/requirements.txt" ;;
  cluster) environment ray "$here/../cluster/requirements.txt" ;;
  loaders)
    environment torch "$here/../python/requirements-torch.txt"
    environment loaders "$here/../python/requirements-loaders.txt"
    ;;
  clients)
    environment torch "$here/../python/requirements-torch.txt"
    parts_of_readers
    ;;
  *)
    environment readers "$here/../python/requirements-readers.txt"
    environment datasets "$here/../python/requirements-datasets.txt"
    environment croissant "$here/../python/requirements-croissant.txt"
    # TRL's chat templates, without what TRL needs to run.
    templates=$directory/../trl
    if ! [ -e "$templates/.1.16.0" ]; then
      rm -rf "$templates"
      "$directory/readers/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$templates" trl==1.16.0
      touch "$templates/.1.16.0"
    fi
    environment video "$here/../python/requirements-video.txt"
    ;;
esac
