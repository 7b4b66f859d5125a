#!/bin/sh
# Installs the system packages that the build and the tests need, if they are missing. Debian and its relatives only.
set -eu

packages="pkg-config cmake nasm libclang1-14 libclang-common-14-dev ffmpeg
  libavcodec-dev libavformat-dev libavutil-dev libswscale-dev libswresample-dev"
missing=""
python3 -c "import ensurepip" 2>/dev/null || packages="$packages python3-venv"
python3 -c "import pip" 2>/dev/null || packages="$packages python3-pip"
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

echo "installing:$missing"
sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
