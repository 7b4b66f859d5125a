#!/bin/bash
# One build on this machine, on Slurm and on Ray: equal bytes, although nodes and drivers die; in a directory, and at a store.
# Verifications and validations there report what they do here:
# run.sh MANYFRAME RAY-BIN S3S [slurm|ray]
# Needs root: it starts a Slurm cluster of two nodes and a Ray cluster of two hosts, or one of them, and ends both.
# shellcheck source=tests/cluster/common.sh
. "$(dirname "$0")/common.sh"
pipeline=$here/pipeline.toml
s3s=$(realpath "${3:?the program s3s-fs}")
fail() { echo "FAILED: $*" >&2; exit 1; }
rm -rf "$work"
mkdir -p "$work/bin"
# The second host of Ray does not have the program: it is shipped there.
cp "$manyframe" "$work/bin/manyframe"
manyframe=$work/bin/manyframe

digests() { (cd "$1" && find . -type f ! -name build.json -print0 | sort -z | xargs -0 sha256sum); }
same_bytes() { # DATASET
  cmp "$work/local.sha256" <(digests "$1") || fail "$1 differs from the dataset of a build on this machine"
  echo "  equal bytes: $(wc -l <"$work/local.sha256") files"
}
# A store in a network namespace, or in that of this machine. Its buckets are directories.
start_store() { # STATE HOST [COMMAND…]
  local state=$1 host=$2
  shift 2
  mkdir -p "$state/bucket"
  "$@" "$s3s" --host "$host" --port 41317 --access-key "$AWS_ACCESS_KEY_ID" --secret-key "$AWS_SECRET_ACCESS_KEY" "$state" >/dev/null 2>&1 &
  store=$!
  export AWS_ENDPOINT_URL=http://$host:41317
  for _ in $(seq 50); do
    "$@" curl -s -o /dev/null "$AWS_ENDPOINT_URL" && return
    sleep 0.1
  done
  fail 'the store does not answer'
}
same_at_store() { # NAME [COMMAND…]
  local name=$1
  shift
  rm -rf "$work/down"
  "$@" "$manyframe" download "s3://bucket/$name" "$work/down" --quiet >/dev/null
  same_bytes "$work/down"
  ! grep -rqF "$AWS_SECRET_ACCESS_KEY" "$work/$name.work" "$work/down" "$work"/*.txt || fail 'a credential was written'
  [ -z "$(find "$work/$name.work" -name '*.tar')" ] || fail 'shards that were sent are here'
  kill $store
  wait $store 2>/dev/null || true
  store=
}
# What was measured; times and memory are those of the machines.
measures() { # REPORT
  python3 -c 'import json, sys; report = json.load(open(sys.argv[1])); del report["stages"]; print(json.dumps(report, indent=1))' "$1"
}
same_measures() { # REPORT EXPECTED
  cmp <(measures "$1") <(measures "$2") || fail "$1 differs from what is measured on this machine"
}
verify() { # NAME DATASET CODE ARGUMENTS…
  local name=$1 dataset=$2 expected=$3 code=0
  shift 3
  "${host[@]}" "$manyframe" verify "$dataset" --quiet "$@" >"$work/verify-$name.txt" 2>"$work/verify-$name.log" || code=$?
  [ $code = "$expected" ] || { cat "$work/verify-$name".* >&2; fail "verification $name: exit code $code, expected $expected"; }
}
validate() { # NAME ARGUMENTS…
  local name=$1
  shift
  "${host[@]}" "$manyframe" validate "$work/measured" --model "$work/model" --samples 12 --no-controls --device cpu --quiet --json "$@" \
    >"$work/measures-$name.json" 2>"$work/measures-$name.log" || { cat "$work/measures-$name.log" >&2; fail "validation $name"; }
}
build_validated() { # NAME ARGUMENTS…
  local name=$1
  shift
  "${host[@]}" "$manyframe" build "$pipeline" --set "out=$work/validated-$name" --quiet "$@" \
    --set "validate={ model = \"$work/model\", samples = 6, controls = false, device = \"cpu\" }" >"$work/validated-$name.txt" 2>&1 \
    || { tail -20 "$work/validated-$name.txt" >&2; fail "build $name"; }
}
reports_of_one_machine() { # NAME ARGUMENTS…
  local name=$1
  shift
  verify "$name" "$work/local" 0 "$@"
  cmp "$work/verify-here.txt" "$work/verify-$name.txt" || fail "verification $name"
  verify "$name-damaged" "$work/damaged" 1 "$@"
  cmp "$work/verify-here-damaged.txt" "$work/verify-$name-damaged.txt" || fail "verification $name of a damaged dataset"
  validate "$name" "$@"
  same_measures "$work/measures-$name.json" "$work/measures-here.json"
  build_validated "$name" "$@"
  same_measures "$work/validated-$name/validation.json" "$work/validated-here/validation.json"
  cmp <(digests "$work/validated-$name" | grep -v /validation.json) <(digests "$work/validated-here" | grep -v /validation.json) \
    || fail "$work/validated-$name differs from the dataset of a build on this machine"
  echo "  equal reports: $(tail -n 1 "$work/verify-$name.txt"); $(grep -c problem: "$work/verify-$name-damaged.txt") problems;" \
    "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["total"]["num_samples"])' "$work/measures-$name.json") samples measured"
}
num_done() { find "$1".work/plan-*/done -name '[0-9]*.json' 2>/dev/null | wc -l; }
wait_for_done() { # OUT NUMBER
  for _ in $(seq 1200); do
    [ "$(num_done "$1")" -ge "$2" ] && return
    sleep 0.1
  done
  fail "$1: only $(num_done "$1") tasks are done"
}
now() { date +%s.%N; }
since() { awk "BEGIN { printf \"%.1f\", $(now) - $1 }"; }

on_this_machine() {
  python3 "$here/make_data.py" "$work/data"

  echo 'on this machine'
  started=$(now)
  "$manyframe" build "$pipeline" --quiet >"$work/local.txt"
  digests "$work/local" >"$work/local.sha256"
  echo "  $(since "$started") s, $(grep -c '\.tar$' "$work/local.sha256") tasks"

  host=()
  cp -r "$work/local" "$work/damaged"
  find "$work/damaged" -name '000001.tar' | sort | while read -r shard; do printf x | dd of="$shard" bs=1 seek=2000 conv=notrunc status=none; done
  cp -r "$work/local" "$work/measured"
  "$manyframe" model init "$work/model" --seed 7 >/dev/null
  verify here "$work/local" 0
  verify here-damaged "$work/damaged" 1
  validate here
  build_validated here
}

on_slurm() {
  echo 'on Slurm: verifications and validations'
  "$here/slurm.sh" up "$work/slurm"
  reports_of_one_machine slurm --engine slurm --tasks-per-job 4

  echo 'on Slurm: a node dies, and the driver dies'
  started=$(now)
  # In a subshell of its own, which becomes the program.
  build_on_slurm() { exec "$manyframe" build "$pipeline" --set "out=$work/on-slurm" --engine slurm; }
  build_on_slurm >"$work/slurm-1.txt" 2>&1 &
  driver=$!
  wait_for_done "$work/on-slurm" 4
  array=$(squeue --noheader --format %F | sort -u)
  "$here/slurm.sh" kill-node "$work/slurm" n2
  kill -KILL $driver
  wait $driver 2>/dev/null || true
  echo "  killed with $(num_done "$work/on-slurm") tasks done"
  (build_on_slurm) >"$work/slurm-2.txt" 2>&1 || { tail -20 "$work/slurm-2.txt" >&2; fail 'the driver that was started again'; }
  grep -q "jobs of an earlier run are there.*$array" "$work/slurm-2.txt" || fail 'the second driver did not find the jobs of the first'
  [ "$(sinfo --noheader --nodes n2 --format %T)" != idle ] || fail 'the node is alive'
  same_bytes "$work/on-slurm"
  echo "  $(since "$started") s"

  echo 'on Slurm, to a store: every job sends what it made'
  start_store "$work/store-slurm" 127.0.0.1
  "$manyframe" build "$pipeline" --output s3://bucket/at-slurm --set "output.work=$work/at-slurm.work" --engine slurm --quiet \
    >"$work/at-slurm.txt" 2>&1 || { tail -20 "$work/at-slurm.txt" >&2; fail 'the build to a store'; }
  # The address is an option here, and no variable of the jobs.
  (unset AWS_ENDPOINT_URL; verify at-slurm s3://bucket/at-slurm 0 --endpoint http://127.0.0.1:41317 --engine slurm --work "$work/verify-work" --tasks-per-job 4)
  cmp "$work/verify-here.txt" "$work/verify-at-slurm.txt" || fail 'verification of the dataset at the store'
  same_at_store at-slurm

  echo 'on Slurm, to a store: nodes do not see the plan'
  start_store "$work/store-apart" 127.0.0.1
  rm -rf "/tmp/manyframe-work-$(id -u)"
  "$manyframe" build "$pipeline" --output s3://bucket/apart --set "output.work=$work/slurm/here/apart.work" --engine slurm --no-shared-disk --quiet \
    >"$work/apart.txt" 2>&1 || { tail -20 "$work/apart.txt" >&2; fail 'the build without a shared disk'; }
  ls "/tmp/manyframe-work-$(id -u)"/*/plan-*/plan.json >/dev/null || fail 'no job has fetched the plan'
  mv "$work/slurm/here/apart.work" "$work/apart.work"
  same_at_store apart

  echo 'on Slurm: what is wrong is not tried again'
  cp -r "$work/data" "$work/wrong"
  plan=$("$manyframe" plan "$pipeline" --set "out=$work/wrong-out" --set "data=$work/wrong" --json --quiet | python3 -c 'import json, sys; print(json.load(sys.stdin)["plan"])')
  sed -i 's/What is shown/What was shown/' "$work/wrong/tiled.json"
  code=0
  "$manyframe" run "$plan" --engine slurm >"$work/wrong.txt" 2>&1 || code=$?
  [ $code = 2 ] || { cat "$work/wrong.txt" >&2; fail "exit code $code, expected 2"; }
  grep -q 'the annotations have changed since the plan was made' "$work/wrong.txt" || fail 'it does not say what is wrong'
  [ -z "$(squeue --noheader)" ] || { sleep 3; [ -z "$(squeue --noheader)" ] || fail 'jobs are left'; }
  echo '  exit code 2, and no job is left'
  "$here/slurm.sh" down "$work/slurm"
}

on_ray() {
  echo 'on Ray: verifications and validations'
  # Nodes get their credentials from the environment that they are started in.
  export AWS_ENDPOINT_URL=http://10.77.0.1:41317
  "$here/ray.sh" up "$work/ray" "$ray" "$work/bin"
  host=(ip netns exec mfa)
  reports_of_one_machine ray --engine ray --address 10.77.0.1:6379 --python "$ray/python" --tasks-per-job 4

  echo 'on Ray, to a store: hosts do not see the plan'
  start_store "$work/store-ray-apart" 10.77.0.1 ip netns exec mfa
  rm -rf "/tmp/manyframe-work-$(id -u)"
  ip netns exec mfa "$manyframe" build "$pipeline" --output s3://bucket/ray-apart --set "output.work=$work/ray/here/ray-apart.work" \
    --engine ray --address 10.77.0.1:6379 --python "$ray/python" --no-shared-disk --quiet \
    >"$work/ray-apart.txt" 2>&1 || { tail -20 "$work/ray-apart.txt" >&2; fail 'the build without a shared disk'; }
  for host_tmp in /tmp "$work/ray/tmp"; do
    ls "$host_tmp/manyframe-work-$(id -u)"/*/plan-*/plan.json >/dev/null || fail "no job has fetched the plan to $host_tmp"
  done
  mv "$work/ray/here/ray-apart.work" "$work/ray-apart.work"
  same_at_store ray-apart ip netns exec mfa

  echo 'on Ray: the driver dies, and a host dies'
  started=$(now)
  build_on_ray() {
    exec ip netns exec mfa "$manyframe" build "$pipeline" --set "out=$work/on-ray" \
      --engine ray --address 10.77.0.1:6379 --python "$ray/python"
  }
  build_on_ray >"$work/ray-1.txt" 2>&1 &
  driver=$!
  wait_for_done "$work/on-ray" 4
  kill -KILL $driver
  wait $driver 2>/dev/null || true
  echo "  driver killed with $(num_done "$work/on-ray") tasks done"
  build_on_ray >"$work/ray-2.txt" 2>&1 &
  driver=$!
  wait_for_done "$work/on-ray" 10
  # A job runs there at almost any moment: both hosts have one core, and there is more to do.
  "$here/ray.sh" kill-host "$work/ray" mfb
  ls "$work/ray/tmp/manyframe-$(id -u)"-* >/dev/null || fail 'the program was not shipped to the second host'
  echo "  host killed with $(num_done "$work/on-ray") tasks done"
  wait $driver || { tail -20 "$work/ray-2.txt" >&2; fail 'the driver that was started again'; }
  same_bytes "$work/on-ray"
  echo "  $(since "$started") s"

  echo 'on Ray, to a store: what is left of the cluster sends what it made'
  start_store "$work/store-ray" 10.77.0.1 ip netns exec mfa
  ip netns exec mfa "$manyframe" build "$pipeline" --output s3://bucket/at-ray --set "output.work=$work/at-ray.work" \
    --engine ray --address 10.77.0.1:6379 --python "$ray/python" --quiet \
    >"$work/at-ray.txt" 2>&1 || { tail -20 "$work/at-ray.txt" >&2; fail 'the build to a store'; }
  same_at_store at-ray ip netns exec mfa

  echo 'on Ray: ray job submit'
  ip netns exec mfa "$ray/ray" job submit --address http://10.77.0.1:8265 -- \
    "$manyframe" build "$PWD/$pipeline" --set "data=$work/data" --set "out=$work/on-ray-job" --engine ray --python "$ray/python" \
    >"$work/ray-job.txt" 2>&1 || { tail -20 "$work/ray-job.txt" >&2; fail 'ray job submit'; }
  same_bytes "$work/on-ray-job"
}

on_this_machine
for engine in ${4:-slurm ray}; do
  on_"$engine"
done
echo 'all datasets are equal'
