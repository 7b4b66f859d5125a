#!/bin/sh
# Builds the demo and, in small, the published recipes; says where to look: demo.sh MANYFRAME
set -eu
manyframe=${1:?usage: demo.sh MANYFRAME}
cd "$(dirname "$0")/../.."

# The recipes name data that is not here.
"$manyframe" check --offline pipelines/*/*.toml pipelines/demo/needles/needles.toml
"$manyframe" build pipelines/demo
for stage in 1-align 2-instruct 3-multi-image; do
  "$manyframe" verify "out/demo/$stage"
done
"$manyframe" needles pipelines/demo/needles/needles.toml
"$manyframe" build pipelines/demo/needles/needles.toml
"$manyframe" verify out/demo/needles
for recipe in longllava longvila llava-onevision qwen3-vl; do
  echo
  tests/setup/recipe.sh "$manyframe" "$recipe" "out/demo/$recipe"
done

echo
rm -rf out/demo/tiny-model
"$manyframe" model init out/demo/tiny-model --preset tiny
"$manyframe" validate out/demo/3-multi-image --model out/demo/tiny-model --samples 24

sample=$("$manyframe" inspect out/demo/3-multi-image | sed -n 's/^one sample: .* //p')
echo
"$manyframe" inspect out/demo/3-multi-image "$sample" --images out/demo/images
"$manyframe" report out/demo/3-multi-image --output out/demo/report.html
cat <<END

Look at:
  out/demo/report.html                  the last stage as a page: the mix, what was lost and why, samples; open it in a browser
  out/demo/3-multi-image/README.md      the dataset card
  out/demo/3-multi-image/webdataset/    shards: temporal, spatial, image, text
  out/demo/longllava/, longvila/, …     the recipes, in small
  out/demo/3-multi-image/validation.json  what a model with random weights measured
  out/demo/images/                      the images of the sample above
  $manyframe inspect out/demo/3-multi-image
  $manyframe why out/demo/1-align allava_laion_cap_100000111

Then, your own data: README.md. The whole program, with object stores and optimised: make wheel, or cargo build --release --locked
END
