#!/bin/sh
# Installs what `make cluster` needs, if it is missing: Slurm and iproute2 with apt-get, Ray in a Python environment: setup.sh DIR
set -eu
directory=${1:?usage: setup.sh DIR}
here=$(dirname "$0")
[ "$(id -u)" = 0 ] || { echo 'make cluster starts clusters on this machine, and needs root' >&2; exit 1; }

missing=""
for pair in slurmctld:slurmctld slurmd:slurmd slurm-client:squeue munge:munge iproute2:ip ffmpeg:ffmpeg procps:pgrep; do
  command -v "${pair#*:}" >/dev/null || missing="$missing ${pair%:*}"
done
if [ -n "$missing" ]; then
  echo "installing:$missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # shellcheck disable=SC2086 # a list of words
  apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

stamp="$directory/.requirements"
cmp -s "$here/requirements.txt" "$stamp" && exit 0
echo "making the Python environment $directory"
rm -rf "$directory"
python3 -m venv "$directory"
"$directory/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
cp "$here/requirements.txt" "$stamp"
