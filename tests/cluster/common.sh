# What run.sh and measure.sh begin with, in the root of the project, with the program and the directory of Ray as arguments.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo 'clusters on this machine need root' >&2; exit 1; }
manyframe=$(realpath "${1:?usage: $0 MANYFRAME RAY-BIN}")
ray=$(realpath "${2:?the directory with ray and python}")
cd "$(dirname "$0")/../.."
here=tests/cluster
work=$PWD/target/cluster
# Of stores that are started for a moment.
export AWS_ACCESS_KEY_ID=AKIACLUSTER AWS_SECRET_ACCESS_KEY=hush-of-the-cluster AWS_REGION=us-east-1
export SLURM_CONF=$work/slurm/slurm.conf RAY_USAGE_STATS_ENABLED=0

finish() {
  [ -z "${store:-}" ] || kill "$store" 2>/dev/null || true
  "$here/slurm.sh" down "$work/slurm" 2>/dev/null || true
  "$here/ray.sh" down "$work/ray" 2>/dev/null || true
}
trap finish EXIT
finish
