#!/bin/bash
# Tests and times everything that runs on an NVIDIA GPU.
#
#   gpu-check.sh build DIR        builds the programs into DIR, on any machine with nvcc (kernels/cuda-toolkit.sh installs it)
#   gpu-check.sh run DIR [OUT]    runs them in a checkout, and writes the results to OUT (default: out/gpu)
#
# `run` needs a driver, cuBLAS and cuRAND, and Python with torch and transformers.
# DEVICE=cpu and MODEL=DIRECTORY run it without a GPU, on a smaller model.
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
  ls -l "$dir"
}

run() {
  out=${1:-out/gpu}
  mkdir -p "$out"
  device=${DEVICE:-cuda}
  # PyTorch's wheels contain CUDA's libraries, in case the system has none.
  wheels=$(python3 -c 'import importlib.util as u; s = u.find_spec("nvidia.cu13"); print(s.submodule_search_locations[0] + "/lib")' \
    2>/dev/null || true)
  export LD_LIBRARY_PATH="${wheels:+$wheels:}${LD_LIBRARY_PATH:-}"
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv | tee "$out/card.csv" || [ "$device" = cpu ]

  echo '== every CUDA kernel compared with its CPU version'
  "$dir/test-kernels" --nocapture --test-threads 1 | tee "$out/kernels.txt"

  for dtype in f32 bf16; do
    # On the CPU, f16 takes the place of bf16.
    [ "$device-$dtype" != cpu-bf16 ] || dtype=f16
    echo "== the model compared with transformers, in $dtype"
    CARGO_MANIFEST_DIR=$PWD/crates/validate MANYFRAME_DEVICE=$device MANYFRAME_DTYPE=$dtype \
      "$dir/test-validate" parity --nocapture --test-threads 1 | tee "$out/parity-$dtype.txt"
  done

  model=${MODEL:-$dir/9b}
  if [ ! -d "$model" ]; then
    echo '== random weights in the shape of the 9B model: 19 GB on disk'
    "$dir/manyframe" model init "$model" --preset 9b
  fi
  echo '== text, then images at 36 and at 144 tokens each: time, and peak memory so far'
  "$dir/prefill" "$model" "$device" "${REPEATS:-3}" ${WORK:-8192 40960 102400 1000x36 1000x144} | tee "$out/ours.jsonl"

  echo "== PyTorch's Jamba of the same shape on the same device"
  python3 tests/parity/prefill_torch.py "$model" "$device" ${WORK_TORCH:-8192 40960 102400} | tee "$out/torch.jsonl"
}

case $mode in
  build) build ;;
  run) shift 2; run "$@" ;;
  *) usage ;;
esac
