#!/bin/sh
# Fuzzes every parser of foreign bytes for some time each, from files that are at hand or made: [TARGETS='videos tables'] run.sh [SECONDS]
# What was found is kept in tests/fuzz/corpus/, what failed in tests/fuzz/artifacts/.
set -eu
seconds=${1:-60}
cd "$(dirname "$0")/../.."
if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
  echo 'this needs: rustup toolchain install nightly; cargo install --locked cargo-fuzz' >&2
  exit 2
fi

corpus=tests/fuzz/corpus
mkdir -p $corpus/annotations $corpus/archives $corpus/images
find crates/media/tests/data/images -type f ! -name '*.rgb' ! -name '*.json' -size -64k -exec cp {} $corpus/images/ \;
python3 - $corpus <<'PYTHON'
import io, sys, tarfile, zipfile
from pathlib import Path

corpus, kinds = Path(sys.argv[1]), 9
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
ASAN_OPTIONS=detect_leaks=0 "$(ls $build/*/release/seeds)" $corpus

targets=${TARGETS:-annotations archives checkpoints images listings pipelines tables templates tokenizers videos}
failed=
for target in $targets; do
  echo "$target: $seconds seconds"
  cargo +nightly fuzz run --fuzz-dir tests/fuzz --target-dir $build "$target" -- \
    -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -max_len=65536 -print_final_stats=1 || failed="$failed $target"
done
[ -z "$failed" ] || { echo "failed:$failed; what they failed on is in tests/fuzz/artifacts/" >&2; exit 1; }
