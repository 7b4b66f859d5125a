#!/bin/bash
# A Ray cluster of two hosts on this machine: ray.sh up DIR PYTHON-BIN [HIDDEN] | down DIR | kill-host DIR NAME
# The directory HIDDEN is empty on the second host, and what is in DIR/here is on the disk of neither: a command on the head sees it.
# The second host has its temporary files in DIR/tmp.
# Hosts are the network namespaces mfa (10.77.0.1, the head) and mfb (10.77.0.2); `ip netns exec mfa COMMAND` runs on the head.
set -euo pipefail
directory=$(realpath -m "${2:?usage: ray.sh up DIR BIN, ray.sh down DIR, ray.sh kill-host DIR NAME}")

end_host() { # NAME
  local pids
  pids=$(ip netns pids "$1" 2>/dev/null || true)
  # shellcheck disable=SC2086 # a list
  [ -z "$pids" ] || kill -KILL $pids 2>/dev/null || true
}

# Ray waits half a minute for a host to come up, which may be too short on a busy machine.
start_host() { # NAME OUTPUT COMMAND…
  local name=$1 output=$2
  shift 2
  for _ in 1 2 3; do
    ip netns exec "$name" "$@" >"$output" 2>&1 && return
    end_host "$name"
  done
  cat "$output" >&2
  exit 1
}

case $1 in
  up)
    bin=$3
    mkdir -p "$directory/here" "$directory/tmp"
    for host in mfa mfb; do ip netns add $host; done
    ip link add mfva type veth peer name mfvb
    ip link set mfva netns mfa
    ip link set mfvb netns mfb
    ip -n mfa addr add 10.77.0.1/24 dev mfva
    ip -n mfb addr add 10.77.0.2/24 dev mfvb
    for host in mfa mfb; do ip -n $host link set lo up; done
    ip -n mfa link set mfva up
    ip -n mfb link set mfvb up
    # Ray's workers are nicer than whatever else this machine does, unless told otherwise.
    export RAY_USAGE_STATS_ENABLED=0 RAY_process_group_cleanup_enabled=true RAY_worker_niceness=0
    temporary=$(mktemp -d /tmp/mfray.XXXXXX)
    echo "$temporary" >"$directory/temporary"
    hide="mount -t tmpfs none '$directory/here'"
    # shellcheck disable=SC2016 # for the inner shell
    start_host mfa "$directory/head.out" unshare --mount sh -c "$hide && exec \"\$@\"" sh \
      "$bin/ray" start --head --port=6379 --node-ip-address=10.77.0.1 --num-cpus=1 \
      --dashboard-host=10.77.0.1 --object-store-memory=300000000 --temp-dir="$temporary"
    if [ -n "${4:-}" ]; then
      mkdir -p "$directory/empty"
      hide="$hide && mount --bind '$directory/empty' '$4'"
    fi
    # shellcheck disable=SC2016 # for the inner shell
    TMPDIR=$directory/tmp start_host mfb "$directory/worker.out" unshare --mount sh -c "$hide && exec \"\$@\"" sh \
      "$bin/ray" start --address=10.77.0.1:6379 --node-ip-address=10.77.0.2 --num-cpus=1 --object-store-memory=300000000
    ;;
  kill-host)
    end_host "$3"
    ;;
  down)
    for host in mfb mfa; do
      end_host $host
      ip netns del $host 2>/dev/null || true
    done
    [ ! -e "$directory/temporary" ] || rm -rf "$(cat "$directory/temporary")"
    ;;
esac
