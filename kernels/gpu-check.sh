#!/bin/sh
# Checks and times everything on a machine with a GPU of NVIDIA: gpu-check.sh [OUT]
# Needs cargo, nvcc 12 or newer (NVCC or CUDA_HOME say where) and a driver. Writes what it measured to OUT (default: out/gpu).
set -eu
cd "$(dirname "$0")/.."
out=${1:-out/gpu}
mkdir -p "$out"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv | tee "$out/card.csv"

echo '== every CUDA kernel beside its CPU reference'
cargo test --release --locked -p manyframe-kernels --features cuda --test gpu -- --nocapture | tee "$out/kernels.txt"

echo '== the model beside transformers, f32, on the card'
MANYFRAME_DEVICE=cuda cargo test --release --locked -p manyframe-validate --features cuda --test validate parity -- --nocapture |
  tee "$out/parity.txt"

echo '== the 9B shape with random weights: prefill, images, memory'
cargo build --release --locked --features cuda
cargo build --release --locked -p manyframe-validate --features cuda --example prefill
model=${MODEL:-$out/9b}
[ -d "$model" ] || target/release/manyframe model init "$model" --preset 9b
for tokens in 8192 40960 102400; do
  echo "prefill of $tokens tokens"
  target/release/examples/prefill "$model" "$tokens" 3 cuda
  nvidia-smi --query-compute-apps=used_memory --format=csv,noheader || true
done | tee "$out/prefill.txt"
