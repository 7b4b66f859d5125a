#!/bin/bash
# A store that speaks S3, in memory, on this machine: one monitor, one disk in memory and a gateway of Ceph.
#   ceph.sh up DIR PORT        starts it; the gateway is on 127.0.0.1:PORT, its user has the keys AKIA and wJalrXUtnFEMI
#   ceph.sh kill-gateway DIR   kills the gateway; what was stored stays
#   ceph.sh gateway DIR        starts the gateway again
#   ceph.sh down DIR           ends it
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "the daemons of Ceph need root" >&2; exit 1; }
action=${1:?up, kill-gateway, gateway or down}
directory=$(realpath -m "${2:?the directory of its files}")
export CEPH_CONF=$directory/ceph.conf

write_settings() { # PORT
  cat >"$CEPH_CONF" <<END
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
keyring = $directory/keyring
run dir = $directory/run
log file = $directory/log/\$name.log
admin socket = $directory/run/\$name.\$pid.asok
pid file = $directory/run/\$name.pid
mon host = v2:127.0.0.1:$(($1 + 1))/0
ms bind msgr1 = false
public addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
mon data = $directory/mon
mon data avail crit = 1
mon data avail warn = 1
mon allow pool size one = true
mon pg warn on pool no redundancy = false
osd data = $directory/osd
osd objectstore = memstore
memstore device bytes = 12884901888
rgw gc obj min wait = 1
rgw gc processor period = 5
osd memory target = 939524096
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
[client.rgw]
rgw data = $directory/rgw
rgw frontends = beast endpoint=127.0.0.1:$1
END
}

make_keys() {
  local keyring=$directory/keyring
  ceph-authtool --create-keyring "$keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
  ceph-authtool "$keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *'
  ceph-authtool "$keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
  ceph-authtool "$keyring" --gen-key -n client.rgw --cap mon 'allow rwx' --cap osd 'allow rwx'
  cp "$keyring" "$directory/osd/keyring"
  cp "$keyring" "$directory/rgw/keyring"
}

start_gateway() {
  radosgw -n client.rgw --setuser root --setgroup root
  local address
  address=$(sed -n 's/.*endpoint=//p' "$CEPH_CONF")
  for _ in $(seq 120); do
    curl -s -o /dev/null "http://$address/" && return
    sleep 0.5
  done
  echo "the gateway does not answer: $directory/log" >&2
  exit 1
}

end() { # NAME…: the daemons with these pid files
  for name in "$@"; do
    local file=$directory/run/$name.pid
    [ -e "$file" ] || continue
    local pid
    pid=$(cat "$file")
    # Only a process that still has this directory in its settings.
    if grep -qz "^CEPH_CONF=$CEPH_CONF$" "/proc/$pid/environ" 2>/dev/null; then kill -KILL "$pid"; fi
    rm -f "$file"
  done
}

case $action in
up)
  port=${3:?the port of the gateway}
  rm -rf "$directory"
  mkdir -p "$directory"/{mon,osd,rgw,log,run}
  write_settings "$port"
  make_keys
  monmaptool --create --fsid "$(sed -n 's/^fsid = //p' "$CEPH_CONF")" --addv a "[v2:127.0.0.1:$((port + 1))]" "$directory/monmap" >/dev/null
  ceph-mon --mkfs -i a --monmap "$directory/monmap" --keyring "$directory/keyring" --setuser root --setgroup root
  ceph-mon -i a --setuser root --setgroup root
  ceph --connect-timeout 20 osd create >/dev/null
  ceph-osd -i 0 --mkfs --setuser root --setgroup root >/dev/null 2>&1
  ceph osd crush add osd.0 1.0 host=h root=default >/dev/null 2>&1
  ceph-osd -i 0 --setuser root --setgroup root >/dev/null 2>&1
  for _ in $(seq 60); do
    ceph osd stat | grep -q '1 up' && break
    sleep 0.5
  done
  start_gateway
  radosgw-admin user create --uid t --display-name t --access-key AKIA --secret-key wJalrXUtnFEMI >/dev/null 2>&1
  ;;
kill-gateway) end client.rgw ;;
gateway) start_gateway ;;
down) end client.rgw osd.0 mon.a ;;
*)
  echo "unknown: $action" >&2
  exit 2
  ;;
esac
