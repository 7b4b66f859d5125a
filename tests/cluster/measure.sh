#!/bin/bash
# What Ray adds to each task, and forecasts beside what builds took: measure.sh MANYFRAME RAY-BIN
# On a machine that does nothing else, after run.sh, whose data it builds. `make cluster MEASURE=1` runs both.
# shellcheck source=tests/cluster/common.sh
. "$(dirname "$0")/common.sh"
rm -rf "$work"/measure* "$work/slurm" "$work/ray"
# Tasks of a few seconds.
settings=(--set source.tiled.repeat=8 --set output.max_shard_samples=48)
now() { date +%s.%N; }
since() { awk "BEGIN { printf \"%.1f\", $(now) - $1 }"; }
field() { python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }
forecast() { # OUT WORKERS FIELD: at the speed of the last build
  "$manyframe" plan "$here/pipeline.toml" --set "out=$1" --set seed=7 "${settings[@]}" --quiet --json --forecast "$2" | field "[\"build_forecast\"][0][\"$3\"]"
}

within() { # WHAT FORECAST MEASURED: by a quarter and 2 s
  echo "  $1: forecast $2, measured $3"
  awk "BEGIN { difference = $2 - $3; if (difference < 0) difference = -difference; exit !(difference <= 0.25 * $3 + 2) }" ||
    { echo "FAILED: the forecast is too far off" >&2; exit 1; }
}
echo 'forecasts, at the speed of a build with two threads, beside what was measured (seconds until the dataset is there)'
"$manyframe" build "$here/pipeline.toml" --set "out=$work/measure" "${settings[@]}" --threads 2 --quiet >/dev/null
for threads in 1 2; do
  expected=$(forecast "$work/measure" "1x$threads" seconds)
  plan=$("$manyframe" plan "$here/pipeline.toml" --set "out=$work/measure-$threads" "${settings[@]}" --quiet --json | field '["plan"]')
  started=$(now)
  "$manyframe" run "$plan" --threads $threads --quiet >/dev/null
  within "one worker, $threads cores" "$expected" "$(since "$started")"
done
mb() { awk "BEGIN { printf \"%.1f\", $1 / 1e6 }"; }
written=$(find "$work/measure-1" -path '*/webdataset/*' -name '*.tar' -printf '%s\n' -o -path '*/parquet/*' -name '*.parquet' -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
echo "  MB written: forecast $(mb "$(forecast "$work/measure" 1x2 written_bytes)"), measured $(mb "$written")"
# A medium is read for each sample that shows it.
read=$(python3 - "$work/data" <<'END'
import json, pathlib, sys
data = pathlib.Path(sys.argv[1])
records = [(data / folder, record) for name, folder in (("tiled", "photos"), ("whole", "photos"), ("videos", "videos")) for record in json.loads((data / f"{name}.json").read_text())]
print(sum((8 if record["id"].startswith("tiled") else 1) * (folder / (record.get("image") or record.get("video"))).stat().st_size for folder, record in records))
END
)
echo "  MB read: forecast $(mb "$(forecast "$work/measure" 1x2 read_bytes)"), media of all samples $(mb "$read")"
"$here/slurm.sh" up "$work/slurm"
expected=$(forecast "$work/measure" 2x1 seconds)
plan=$("$manyframe" plan "$here/pipeline.toml" --set "out=$work/measure-slurm" "${settings[@]}" --quiet --json | field '["plan"]')
started=$(now)
"$manyframe" run "$plan" --engine slurm --quiet >/dev/null
measured=$(since "$started")
# Slurm itself takes 0.3 s for each job.
num_jobs=$(find "$work/measure-slurm" -path '*/webdataset/*' -name '*.tar' | wc -l)
within "two workers of Slurm, one core each, $num_jobs jobs" "$(awk "BEGIN { print $expected + 0.3 * $num_jobs / 2 }")" "$measured"
"$here/slurm.sh" down "$work/slurm"

echo 'what Ray adds to a task'
"$here/ray.sh" up "$work/ray" "$ray"
plan=$("$manyframe" plan "$here/pipeline.toml" --set "out=$work/measure-ray" --set output.max_shard_samples=1 --quiet --json | field '["plan"]')
"$manyframe" run "$plan" --engine ray --address 10.77.0.1:6379 --most-jobs 1 --print >"$work/measure-driver.py"
ip netns exec mfa "$ray/python" "$work/measure-driver.py" | python3 -c '
import json, sys, time
rows = []
for line in sys.stdin:
    rows.append((time.time(), json.loads(line)["seconds"]))
wall, jobs = rows[-1][0] - rows[0][0], sum(seconds for _, seconds in rows[1:])
added = (wall - jobs) / (len(rows) - 1)
print(f"  {len(rows)} jobs, one after the other: {added * 1000:.1f} ms each, which is {added * 10:.2f} % of a task of 10 s")
'
