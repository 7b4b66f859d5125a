#!/bin/sh
# A directory with the Python package, as it would be installed: its sources, and a module that cargo built. package.sh MODULE DIR
set -eu
module=$(realpath "${1:?usage: package.sh MODULE DIR}")
directory=${2:?usage: package.sh MODULE DIR}
rm -rf "$directory"
mkdir -p "$directory"
cp -r "$(dirname "$0")/../../crates/python/python/manyframe" "$directory/manyframe"
ln -s "$module" "$directory/manyframe/_native.abi3.so"
