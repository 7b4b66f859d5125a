#!/bin/sh
# Installs Azurite, Azure's emulator of its store, with npm, if it is missing: azurite.sh DIR
set -eu
directory=${1:?usage: azurite.sh DIR}
version=3.37.0
[ -e "$directory/.$version" ] && exit 0
rm -rf "$directory"
mkdir -p "$directory"
npm install --silent --no-fund --no-audit --prefix "$directory" "azurite@$version" >/dev/null
touch "$directory/.$version"
