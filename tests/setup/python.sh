#!/bin/sh
# Makes the Python environments that read what manyframe writes: python.sh DIR [bench|parity]
# One environment per client: their dependencies exclude each other.
set -eu
directory=${1:?usage: python.sh DIR [bench|parity]}
here=$(dirname "$0")

environment() { # NAME REQUIREMENTS
  target="$directory/$1"
  stamp="$target/.requirements"
  cmp -s "$2" "$stamp" && return
  echo "making the Python environment $target"
  rm -rf "$target"
  python3 -m venv "$target" || { echo 'python3 -m venv fails: apt-get install python3-venv' >&2; exit 1; }
  "$target/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$2"
  cp "$2" "$stamp"
}

if [ "${2:-}" = bench ]; then
  environment bench "$here/../python/requirements-bench.txt"
elif [ "${2:-}" = parity ]; then
  environment parity "$here/../parity/requirements.txt"
else
  environment readers "$here/../python/requirements-readers.txt"
  environment datasets "$here/../python/requirements-datasets.txt"
  # TRL's chat templates, without what TRL needs to run.
  templates=$directory/../trl
  if ! [ -e "$templates/.1.16.0" ]; then
    rm -rf "$templates"
    "$directory/readers/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$templates" trl==1.16.0
    touch "$templates/.1.16.0"
  fi
  environment video "$here/../python/requirements-video.txt"
fi
