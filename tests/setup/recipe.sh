#!/bin/sh
# Builds and verifies a recipe in small, from the files of the demo: recipe.sh MANYFRAME RECIPE OUT
set -eu
manyframe=${1:?usage: recipe.sh MANYFRAME RECIPE OUT}
recipe=${2:?a directory of pipelines/ with a .set file in pipelines/demo/}
out=${3:?a directory for the datasets}
cd "$(dirname "$0")/../.."

set -- --set "out=$out"
while IFS= read -r line; do
  case $line in
    '' | '#'*) ;;
    *) set -- "$@" --set "$line" ;;
  esac
done < "pipelines/demo/$recipe.set"

"$manyframe" build "pipelines/$recipe" "$@"
for stage in "pipelines/$recipe"/*.toml; do
  "$manyframe" verify "$out/$(basename "$stage" .toml)"
done
