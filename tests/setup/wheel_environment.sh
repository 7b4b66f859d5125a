#!/bin/sh
# Installs the wheel in an environment of its own, with what its tests compare it with: wheel_environment.sh WHEELS DIR
set -eu
wheels=${1:?usage: wheel_environment.sh WHEELS DIR}
directory=${2:?usage: wheel_environment.sh WHEELS DIR}

for wheel in "$wheels"/manyframe-*.whl; do
  rm -rf "$directory"
  python3 -m venv "$directory"
  "$directory/bin/python" -m pip install --quiet --disable-pip-version-check "$wheel[pandas]" pillow==13.0.0
  for file in "$directory/bin/manyframe" "$directory"/lib/python3*/site-packages/manyframe/_native*.so; do
    libraries=$(readelf -d "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
    echo "$(basename "$file") needs" $libraries
    ! echo "$libraries" | grep -E '^lib(av|sw|dav1d|python)' || { echo 'these are to be in the wheel' >&2; exit 1; }
  done
  "$directory/bin/manyframe" --version
  "$directory/bin/python" -m manyframe --version
done
