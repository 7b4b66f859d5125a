"""Uniform frames of a video in Python: frames.py scan|seek|torchcodec VIDEO NUMBER OUT.tar

`scan` decodes from the start with PyAV, `seek` seeks before every frame, `torchcodec` leaves both to torchcodec. Frames are
scaled to 336 pixels at their longest side and written as JPEG of quality 90. One thread. Prints the CPU seconds since what is
needed was imported.
"""

import io
import sys
import tarfile
import time

if sys.argv[1] == "torchcodec":
    import torch
    from PIL import Image
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    torch.set_num_threads(1)
else:
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


def torchcodec(path: str, number: int) -> list:
    known = VideoDecoder(path).metadata
    width, height = scaled(known.width, known.height)
    decoder = VideoDecoder(path, num_ffmpeg_threads=1, dimension_order="NHWC", transforms=[Resize((height, width))])
    frames = decoder.get_frames_at(wanted(len(decoder), number)).data
    return [encoded(Image.fromarray(frame.numpy())) for frame in frames]


def scaled(width: int, height: int) -> tuple:
    scale = 336 / max(width, height)
    return round(width * scale), round(height * scale)


def to_jpeg(frame) -> bytes:
    width, height = scaled(frame.width, frame.height)
    return encoded(frame.to_image(width=width, height=height))


def encoded(image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def main() -> None:
    how, path, number, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    start = time.process_time()
    images = {"scan": scan, "seek": seek, "torchcodec": torchcodec}[how](path, number)
    with tarfile.open(out, "w") as tar:
        for index, image in enumerate(images):
            member = tarfile.TarInfo(f"0.{index:03}.jpg")
            member.size = len(image)
            tar.addfile(member, io.BytesIO(image))
    print(time.process_time() - start)


main()
