#!/bin/sh
# Installs from PyPI into DIR what a build with the feature `cuda` needs; the machine needs no GPU.
# usage: cuda-toolkit.sh DIR, then: . DIR/env && cargo build --features cuda
# The program starts on any machine, and uses CUDA where there is a driver.
set -eu
[ $# -eq 1 ] || { echo 'usage: cuda-toolkit.sh DIR' >&2; exit 2; }
mkdir -p "$1/lib64"
dir=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
# A driver runs PTX of its own version of CUDA or an older one; drivers from 580 on run 13.0.
python3 -m pip install --quiet --no-deps --upgrade --target "$dir/wheels" nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 \
  nvidia-nvvm==13.0.88 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85 nvidia-curand==10.4.0.35
cuda=$dir/wheels/nvidia/cu13
for part in bin include nvvm; do ln -sfn "$cuda/$part" "$dir/$part"; done
chmod +x "$cuda"/bin/* "$cuda"/nvvm/bin/*
cp "$cuda/lib/libcudart_static.a" "$dir/lib64/libcudart.a"
ln -sf "$cuda/lib/libcudadevrt.a" "$dir/lib64/"
python3 "$here/stand_ins.py" "$dir/lib64"
cat > "$dir/env" <<END
export CUDA_HOME=$dir CUDA_PATH=$dir NVCC=$dir/bin/nvcc PATH=$dir/bin:\$PATH
export CUDARC_CUDA_VERSION=13000 CUDA_COMPUTE_CAP=\${CUDA_COMPUTE_CAP:-80}
END
