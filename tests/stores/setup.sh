#!/bin/sh
# Installs what `make stores` needs, if it is missing: a Ceph cluster's daemons and rclone with apt-get, Azurite with npm: setup.sh DIR
set -eu
directory=${1:?usage: setup.sh DIR}
[ "$(id -u)" = 0 ] || { echo 'make stores starts the daemons of a store on this machine, and needs root' >&2; exit 1; }

missing=""
for pair in radosgw:radosgw ceph-mon:ceph-mon ceph-osd:ceph-osd ceph-common:ceph rclone:rclone npm:npm curl:curl; do
  command -v "${pair#*:}" >/dev/null || missing="$missing ${pair%:*}"
done
if [ -n "$missing" ]; then
  echo "installing:$missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # shellcheck disable=SC2086 # a list of words
  apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

version=3.37.0
[ -e "$directory/azurite/.$version" ] && exit 0
rm -rf "$directory/azurite"
mkdir -p "$directory/azurite"
npm install --silent --no-fund --no-audit --prefix "$directory/azurite" "azurite@$version" >/dev/null
touch "$directory/azurite/.$version"
