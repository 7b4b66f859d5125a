#!/bin/sh
# Builds FFmpeg and dav1d as static libraries, from the source packages of this Debian: ffmpeg.sh DIR
# They are those of the system's FFmpeg that manyframe reads with, under the LGPL, without encoders, devices, filters and network.
# DIR/lib and DIR/include are what FFMPEG_DIR names. Nothing is built again until the line of VERSION below changes.
set -eu
directory=${1:?usage: ffmpeg.sh DIR}
version=1
[ "$(cat "$directory/.complete" 2>/dev/null)" = "$version" ] && exit 0

rm -rf "$directory"
mkdir -p "$directory"
directory=$(realpath "$directory")
work=$directory/build
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/sources"

# The system's own list of packages has no sources, and stays as it is.
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb-src [signed-by=$keys] http://deb.debian.org/debian $release main" > "$work/sources.list"
apt() {
  apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$work/lists" \
    -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root "$@"
}
apt update
(cd "$work/sources" && apt source --download-only ffmpeg dav1d)
for name in ffmpeg dav1d; do
  mkdir "$work/$name"
  tar -x -C "$work/$name" --strip-components 1 -f "$work/sources/${name}"_*.orig.tar.xz
done

python3 -m venv "$work/tools"
"$work/tools/bin/python" -m pip install --quiet --disable-pip-version-check meson ninja
PATH=$work/tools/bin:$PATH
(cd "$work/dav1d" && meson setup out --prefix "$directory" --libdir lib --buildtype release --default-library static \
  -Denable_tools=false -Denable_tests=false && ninja -C out install) > "$work/dav1d.log" 2>&1 \
  || { tail -n 20 "$work/dav1d.log" >&2; exit 1; }

(cd "$work/ffmpeg" && PKG_CONFIG_PATH=$directory/lib/pkgconfig ./configure --prefix="$directory" --enable-static --disable-shared \
  --enable-pic --disable-programs --disable-doc --disable-network --disable-autodetect --disable-debug \
  --disable-avdevice --disable-avfilter --disable-postproc --disable-swresample \
  --disable-encoders --disable-muxers --disable-demuxers --disable-protocols --disable-hwaccels \
  --enable-muxer=mp4,mov,matroska --enable-zlib --enable-libdav1d --pkg-config-flags=--static \
  --enable-demuxer=mov,matroska,avi,gif,flv,live_flv,mpegps,mpegts,mpegtsraw,asf,asf_o,ogg,mxf,ivf,rm,dv,mpegvideo,h264,hevc \
  && make -j"$(nproc)" install) > "$work/ffmpeg.log" 2>&1 || { tail -n 20 "$work/ffmpeg.log" >&2; exit 1; }
grep -q 'License: LGPL' "$work/ffmpeg.log" || { echo 'this FFmpeg is not under the LGPL' >&2; exit 1; }

# One archive with what FFmpeg's decoders need: its bindings link FFmpeg's libraries and no others.
zlib=$(cc -print-file-name=libz.a)
printf 'create %s\naddlib %s\naddlib %s\naddlib %s\nsave\nend\n' \
  "$work/libavcodec.a" "$directory/lib/libavcodec.a" "$directory/lib/libdav1d.a" "$zlib" | ar -M
mv "$work/libavcodec.a" "$directory/lib/libavcodec.a"
mkdir "$directory/licenses"
cp "$work/ffmpeg/COPYING.LGPLv2.1" "$directory/licenses/FFmpeg.txt"
cp "$work/dav1d/COPYING" "$directory/licenses/dav1d.txt"
rm -rf "$work" "$directory/lib/libdav1d.a" "$directory/lib/pkgconfig" "$directory/share"
echo "$version" > "$directory/.complete"
