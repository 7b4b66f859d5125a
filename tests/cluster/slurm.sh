#!/bin/bash
# A Slurm cluster of two nodes on this machine: slurm.sh up DIR | down DIR | kill-node DIR NAME
# Each node is a slurmd of its own, with one core. What is in DIR/here is on the disk of this machine alone: nodes find it empty. Prints nothing but errors; `export SLURM_CONF=DIR/slurm.conf` selects it.
set -euo pipefail
directory=$(realpath -m "${2:?usage: slurm.sh up|down DIR, slurm.sh kill-node DIR NAME}")
export SLURM_CONF=$directory/slurm.conf

# Ends a process and all that it started.
end() { # PID
  local child
  for child in $(cat "/proc/$1"/task/*/children 2>/dev/null); do end "$child"; done
  kill -KILL "$1" 2>/dev/null || true
}

start() { # NAME COMMAND…
  local name=$1
  shift
  setsid "$@" </dev/null >"$directory/$name.out" 2>&1 &
  echo $! >"$directory/$name.pid"
}

case $1 in
  up)
    mkdir -p "$directory/state" "$directory/here"
    host=$(hostname -s)
    if ! munge -n >/dev/null 2>&1; then
      install -d -o munge -g munge -m 755 /run/munge
      [ -e /etc/munge/munge.key ] || { dd if=/dev/urandom bs=1024 count=1 status=none of=/etc/munge/munge.key; chown munge: /etc/munge/munge.key; chmod 400 /etc/munge/munge.key; }
      start munged setpriv --reuid munge --regid munge --init-groups munged --foreground
      for _ in $(seq 50); do munge -n >/dev/null 2>&1 && break; sleep 0.1; done
    fi
    cat >"$SLURM_CONF" <<CONF
ClusterName=manyframe
SlurmctldHost=$host(127.0.0.1)
AuthType=auth/munge
# How long a job waits that goes back into the queue, which is two minutes otherwise.
AuthInfo=cred_expire=3
SlurmUser=root
SlurmctldPort=16817
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/spool.%n
SlurmctldPidFile=$directory/slurmctld.own.pid
SlurmdPidFile=$directory/slurmd.%n.own.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,requeue_delay=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=5
MessageTimeout=10
JobRequeue=1
SwitchType=switch/none
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=17001 CPUs=1 RealMemory=1000 State=UNKNOWN
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=17002 CPUs=1 RealMemory=1000 State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    start slurmctld slurmctld -D -f "$SLURM_CONF"
    for node in n1 n2; do
      # shellcheck disable=SC2016
      start "slurmd-$node" unshare --mount sh -c 'mount -t tmpfs none "$1" && exec slurmd -D -N "$2" -f "$3"' slurmd "$directory/here" "$node" "$SLURM_CONF"
    done
    for _ in $(seq 150); do
      [ "$(sinfo --noheader --format %T --Node 2>/dev/null | grep -c '^idle')" = 2 ] && exit 0
      sleep 0.2
    done
    sinfo >&2 || true
    tail "$directory"/*.out >&2
    exit 1
    ;;
  kill-node)
    node=$3
    # Its daemon first, so that it reports nothing; then the jobs that it runs.
    jobs=$(squeue --noheader --nodelist "$node" --states running --format %A)
    end "$(cat "$directory/slurmd-$node.pid")"
    for job in $jobs; do
      for pid in $(pgrep -f "^slurmstepd: \[$job\."); do end "$pid"; done
    done
    ;;
  down)
    for pid in "$directory"/*.pid; do
      case $pid in *.own.pid) ;; *) end "$(cat "$pid")" ;; esac
    done
    for pid in $(pgrep -f "^slurmstepd: \[" || true); do
      if tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "SLURM_CONF=$SLURM_CONF"; then end "$pid"; fi
    done
    ;;
esac
