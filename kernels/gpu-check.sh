#!/bin/bash
# Tests and times everything that runs on an NVIDIA GPU.
#
#   gpu-check.sh build DIR        builds the programs into DIR, on any machine with nvcc (kernels/cuda-toolkit.sh installs it)
#   gpu-check.sh run DIR [OUT]    runs them in a checkout, and writes the results to OUT (default: out/gpu)
#
# `run` takes at most SECONDS_ALLOWED seconds (default: 570). Its last line is all results as JSON, also in OUT/result.json; it
# fails if anything did, or if time ran out. It needs a driver, cuBLAS and cuRAND, and Python, with torch and transformers for
# the comparison. STEPS='card kernels' runs those alone. DEVICE=cpu and MODEL=DIRECTORY run it without a GPU, on a smaller model.
set -euo pipefail
cd "$(dirname "$0")/.."
usage() { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage
mode=$1 dir=$2

build() {
  features=${FEATURES-cuda}
  mkdir -p "$dir"
  # Without video, because FFmpeg's libraries cannot be copied along.
  cargo build --release --locked --no-default-features --features "$features"
  cargo build --release --locked -p manyframe-validate --features "$features" --example prefill
  target=${CARGO_TARGET_DIR:-target}/release
  cp "$target/manyframe" "$target/examples/prefill" "$dir/"
  for test in kernels:gpu validate:validate; do
    cargo test --release --locked --no-run -p "manyframe-${test%:*}" --features "$features" --test "${test#*:}" \
      --message-format json | python3 -c '
import json, shutil, sys
messages = (json.loads(line) for line in sys.stdin)
made = [m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == sys.argv[1]]
shutil.copy(made[-1], sys.argv[2])' "${test#*:}" "$dir/test-${test%:*}"
  done
  strip "$dir"/manyframe "$dir"/prefill "$dir"/test-*
  # A seventh of the size, for the way to the machine with the GPU.
  for program in manyframe prefill test-kernels test-validate; do
    python3 -c 'import lzma, sys; lzma.open(sys.argv[1] + ".xz", "wb", preset=3).write(open(sys.argv[1], "rb").read())' "$dir/$program"
    rm "$dir/$program"
  done
  ls -l "$dir"
}

# is_wanted STEP: whether it is one of STEPS, if there are any.
is_wanted() { [[ -z ${STEPS:-} || " $STEPS " == *" $1 "* ]]; }

# step NAME SECONDS COMMAND…: runs a command for at most so long, and notes how it went. What it prints is kept in OUT/NAME.txt.
step() {
  local name=$1 limit=$2 started=$SECONDS code=0
  shift 2
  is_wanted "$name" || return 0
  [ $((deadline - SECONDS)) -ge "$limit" ] || limit=$((deadline - SECONDS))
  echo "== $name"
  if [ "$limit" -le 0 ]; then
    code=124
    : >"$out/$name.txt"
  else
    timeout --kill-after=5 "$limit" "$@" 2>&1 | tee "$out/$name.txt" || code=$?
  fi
  printf '{"step": "%s", "seconds": %d, "code": %d}\n' "$name" $((SECONDS - started)) "$code" >>"$out/steps.jsonl"
}

run() {
  out=${1:-out/gpu}
  mkdir -p "$out"
  rm -f "$out"/*.txt "$out"/*.json*
  device=${DEVICE:-cuda}
  # Ten seconds are kept for the summary.
  deadline=$((SECONDS + ${SECONDS_ALLOWED:-570} - 10))
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  for program in manyframe prefill test-kernels test-validate; do
    python3 -c 'import lzma, sys; open(sys.argv[2], "wb").write(lzma.open(sys.argv[1]).read())' "$dir/$program.xz" "$work/$program"
    chmod +x "$work/$program"
  done
  # PyTorch's wheels contain CUDA's libraries, in case the system has none.
  wheels=$(python3 -c 'import importlib.util as u; s = u.find_spec("nvidia.cu13"); print(s.submodule_search_locations[0] + "/lib")' \
    2>/dev/null || true)
  export LD_LIBRARY_PATH="${wheels:+$wheels:}${LD_LIBRARY_PATH:-}"
  [ "$device" = cpu ] || step card 20 nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader

  # Every CUDA kernel beside its CPU version; the model beside the outputs of transformers.
  step kernels 90 "$work/test-kernels" --nocapture --test-threads 1
  export CARGO_MANIFEST_DIR=$PWD/crates/validate MANYFRAME_DEVICE=$device
  # On the CPU, f16 takes the place of bf16.
  for dtype in f32 "$([ "$device" = cpu ] && echo f16 || echo bf16)"; do
    MANYFRAME_DTYPE=$dtype step "parity-$dtype" 60 "$work/test-validate" parity --nocapture --test-threads 1
  done

  # A dataset on both devices, as a user would validate it.
  step validation 90 python3 kernels/gpu_validation.py "$work/manyframe" "$work/validation" "$device"

  model=${MODEL:-$work/9b}
  # Random weights in the shape of the 9B model: 19 GB.
  [ -d "$model" ] || step weights 200 "$work/manyframe" model init "$model" --preset 9b
  # Time, and peak memory so far: text beside PyTorch's Jamba of the same shape, then images at 36 and at 144 tokens each.
  # shellcheck disable=SC2086 # lists of words
  step text 120 "$work/prefill" "$model" "$device" "${REPEATS:-2}" ${WORK:-8192 40960 102400}
  if is_wanted torch && python3 -c 'import torch, transformers' 2>/dev/null; then
    # shellcheck disable=SC2086
    step torch 120 python3 tests/parity/prefill_torch.py "$model" "$device" ${WORK_TORCH:-8192 40960}
  fi
  # shellcheck disable=SC2086
  step images 180 "$work/prefill" "$model" "$device" 1 ${IMAGES:-1000x36 1000x144}
  python3 kernels/gpu_report.py "$out" "$device" | tee "$out/result.json"
}

case $mode in
  build) build ;;
  run) shift 2; run "$@" ;;
  *) usage ;;
esac
