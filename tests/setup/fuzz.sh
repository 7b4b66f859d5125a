#!/bin/sh
# Installs what fuzzing needs, if it is missing: the nightly compiler with rustup, and cargo-fuzz into DIR: fuzz.sh DIR
set -eu
directory=${1:?usage: fuzz.sh DIR}

if ! cargo +nightly --version >/dev/null 2>&1; then
  command -v rustup >/dev/null || { echo 'fuzzing needs the nightly compiler, which is installed with https://rustup.rs' >&2; exit 2; }
  rustup toolchain install nightly --profile minimal
fi
command -v cargo-fuzz >/dev/null || [ -x "$directory/bin/cargo-fuzz" ] || cargo install --locked --root "$directory" cargo-fuzz
