#!/bin/sh
# Fuzzes every parser of foreign bytes for some time each, from files that are at hand or made: [TARGETS='videos tables'] run.sh [SECONDS]
# Inputs that reached new code are kept in tests/fuzz/corpus/, what failed in tests/fuzz/artifacts/, what was printed in tests/fuzz/logs/.
set -eu
seconds=${1:-60}
cd "$(dirname "$0")/../.."
tests/setup/fuzz.sh .env/fuzz
PATH=$PATH:$PWD/.env/fuzz/bin

corpus=tests/fuzz/corpus
dictionaries=tests/fuzz/dictionaries
logs=tests/fuzz/logs
mkdir -p $corpus/annotations $corpus/archives $corpus/images $logs
find crates/media/tests/data/images -type f ! -name '*.rgb' ! -name '*.json' -size -64k -exec cp {} $corpus/images/ \;
python3 tests/fuzz/images.py crates/media/tests/data/images $corpus/images
python3 - $corpus <<'PYTHON'
import io, sys, tarfile, zipfile
from pathlib import Path

corpus, kinds = Path(sys.argv[1]), 10
for number, path in enumerate(sorted(Path("pipelines/demo/annotations").rglob("*.*"))):
    content = path.read_bytes()[:16_384]
    for kind in {number % kinds, (number + 4) % kinds}:
        (corpus / "annotations" / f"{number:03}-{kind}").write_bytes(bytes([kind]) + content)

names = ["a.jpg", "images/b.jpg", "../secret", "deep/er/c.png"]
packed = io.BytesIO()
with zipfile.ZipFile(packed, "w") as archive:
    for name in names:
        archive.writestr(name, name * 20, zipfile.ZIP_DEFLATED if "/" in name else zipfile.ZIP_STORED)
(corpus / "archives" / "zip").write_bytes(b"images/b.jpg\n" + packed.getvalue())
for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for name in [*names, "long/" * 30 + "d.jpg"]:
            member = tarfile.TarInfo(name)
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "../secret"
        archive.addfile(link)
    (corpus / "archives" / f"tar-{form}").write_bytes(b"link.jpg\n" + packed.getvalue())
PYTHON

build=tests/fuzz/target
cargo +nightly fuzz build --fuzz-dir tests/fuzz --target-dir $build
ASAN_OPTIONS=detect_leaks=0 "$(ls $build/*/release/seeds)" $corpus $dictionaries

# Targets write a file or more for each input: in memory, where there is a place for it.
memory=/dev/shm
[ -w $memory ] || memory=${TMPDIR:-/tmp}
TMPDIR=$(mktemp -d "$memory/fuzz.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 130' INT TERM

statistic() { # NAME: one of those that libFuzzer prints at the end
  sed -n "s/^stat::$1: *//p" "$log"
}
targets=${TARGETS:-annotations archives checkpoints images listings pipelines tables templates tokenizers videos}
failed=
for target in $targets; do
  log=$logs/$target
  words=
  [ ! -e $dictionaries/$target ] || words=-dict=$dictionaries/$target
  # shellcheck disable=SC2086 # one word, or none
  cargo +nightly fuzz run --fuzz-dir tests/fuzz --target-dir $build "$target" -- $words -max_total_time="$seconds" \
    -timeout=20 -rss_limit_mb=4096 -max_len=65536 -print_final_stats=1 >"$log" 2>&1 || failed="$failed $target"
  edges=$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1)
  echo "$target: $(statistic number_of_executed_units) inputs, $(statistic average_exec_per_sec) a second, ${edges:-0} edges"
done
[ -z "$failed" ] || { echo "failed:$failed; see $logs, and tests/fuzz/artifacts/ for what they failed on" >&2; exit 1; }
