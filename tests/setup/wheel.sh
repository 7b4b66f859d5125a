#!/bin/sh
# Builds the wheel of the Python package, with the command line in it, and FFmpeg linked into both: wheel.sh ENV OUT
# ENV is where what it needs is kept, OUT where the wheel goes. CARGO_TARGET_DIR is another directory than that of other builds,
# because FFmpeg's bindings are.
set -eu
environment=${1:?usage: wheel.sh ENV OUT}
out=${2:?usage: wheel.sh ENV OUT}
cd "$(dirname "$0")/../.."
cargo=${CARGO:-cargo}

tests/setup/ffmpeg.sh "$environment/ffmpeg"
FFMPEG_DIR=$(realpath "$environment/ffmpeg")
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/wheel
export FFMPEG_DIR CARGO_TARGET_DIR

maturin=$environment/maturin/bin/maturin
if ! "$maturin" --version 2>/dev/null | grep -q ' 1.16.0$'; then
  rm -rf "$environment/maturin"
  python3 -m venv "$environment/maturin"
  "$environment/maturin/bin/python" -m pip install --quiet --disable-pip-version-check maturin==1.16.0
fi

"$cargo" build --release --locked --package manyframe --features manyframe-media/static-ffmpeg
data=crates/python/wheel.data
rm -rf "$data"
mkdir -p "$data/scripts" "$data/data/share/licenses/manyframe"
cp "$CARGO_TARGET_DIR/release/manyframe" "$data/scripts/manyframe"
strip "$data/scripts/manyframe"
cp LICENSE-APACHE LICENSE-MIT "$FFMPEG_DIR"/licenses/* "$data/data/share/licenses/manyframe"
rm -rf "$out"
"$maturin" build --release --locked --manifest-path crates/python/Cargo.toml --features manyframe-media/static-ffmpeg --out "$out" \
  --quiet
rm -rf "$data"
