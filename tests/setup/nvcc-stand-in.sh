#!/bin/sh
# Stands in for nvcc where there is no CUDA toolkit, so that `cargo check --features cuda` can type-check the Rust side.
# What it writes has no code in it: never build with it.
out= directory= last= kind=object
while [ $# -gt 0 ]; do
  case "$1" in
    --version | -V) printf 'nvcc: NVIDIA (R) Cuda compiler driver\nstand-in\nnone\nCuda compilation tools, release 13.0, V13.0.88\nstand-in\n'; exit 0 ;;
    --list-gpu-code) printf 'sm_80\nsm_90\n'; exit 0 ;;
    --list-gpu-arch) printf 'compute_80\ncompute_90\n'; exit 0 ;;
    -o | --output-file) out=$2; shift ;;
    -odir | --output-directory) directory=$2; shift ;;
    -ptx | --ptx) kind=ptx ;;
    -lib | --lib) kind=library ;;
  esac
  last=$1
  shift
done
[ -n "$out" ] || out="$directory/$(basename "$last" .cu).ptx"
case $kind in
  ptx) printf '.version 8.0\n.target sm_80\n.address_size 64\n' >"$out" ;;
  object) : | cc -x c -c -o "$out" - ;;
  library) rm -f "$out"; ar rcs "$out" ;;
esac
