"""Uniform frames of a video with PyAV: frames.py scan|seek VIDEO NUMBER OUT.tar

`scan` decodes from the start, `seek` seeks before every frame. Frames are scaled to 336 pixels at their longest side and
written as JPEG of quality 90. One thread.
"""

import io
import sys
import tarfile

import av


def wanted(total: int, number: int) -> list[int]:
    return [i * (total - 1) // (number - 1) for i in range(number)]


def scan(path: str, number: int) -> list:
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        targets = set(wanted(stream.frames, number))
        last = max(targets)
        found = []
        for index, frame in enumerate(container.decode(stream)):
            if index in targets:
                found.append(frame)
            if index == last:
                break
        return [to_jpeg(frame) for frame in found]


def seek(path: str, number: int) -> list:
    images = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for target in wanted(stream.frames, number):
            pts = int(target / stream.average_rate / stream.time_base)
            container.seek(pts, stream=stream, backward=True)
            frame = next(frame for frame in container.decode(stream) if frame.pts >= pts)
            images.append(to_jpeg(frame))
    return images


def to_jpeg(frame: av.VideoFrame) -> bytes:
    scale = 336 / max(frame.width, frame.height)
    image = frame.to_image(width=round(frame.width * scale), height=round(frame.height * scale))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def main() -> None:
    how, path, number, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    images = {"scan": scan, "seek": seek}[how](path, number)
    with tarfile.open(out, "w") as tar:
        for index, image in enumerate(images):
            member = tarfile.TarInfo(f"0.{index:03}.jpg")
            member.size = len(image)
            tar.addfile(member, io.BytesIO(image))


main()
