#!/bin/sh
# Builds s3s-fs, a server of S3 over a directory, from crates.io, if it is missing: s3s.sh DIR
set -eu
directory=${1:?usage: s3s.sh DIR}
version=0.14.1
[ -e "$directory/.$version" ] && exit 0
rm -rf "$directory"
"${CARGO:-cargo}" install --quiet --locked --version "$version" --features binary --root "$directory" \
  --target-dir "$directory/target" s3s-fs
rm -rf "$directory/target"
touch "$directory/.$version"
