"""The tiling job with the libraries that a Python user would take: tiles.py LIBRARY PHOTOS OUT.tar [--limit N]

LIBRARY is `pillow` or `simplejpeg` (libjpeg-turbo by simplejpeg, scaling by OpenCV). Each photograph is decoded, padded with
white to multiples of 336, cut into 336×336 tiles, and encoded with an overview of 336 pixels as JPEG of quality 90,
4:2:0, into a tar. Single process.
"""

import argparse
import io
import json
import sys
import tarfile
from pathlib import Path

EDGE, QUALITY = 336, 90


def tiles_pillow(data: bytes) -> list[bytes]:
    from PIL import Image

    def encode(image: Image.Image) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=QUALITY, subsampling=2)
        return buffer.getvalue()

    image = Image.open(io.BytesIO(data)).convert("RGB")
    columns, rows = -(-image.width // EDGE), -(-image.height // EDGE)
    padded = Image.new("RGB", (columns * EDGE, rows * EDGE), "white")
    padded.paste(image, ((padded.width - image.width) // 2, (padded.height - image.height) // 2))
    scale = EDGE / max(image.size)
    overview = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.BICUBIC)
    boxes = [(x, y, x + EDGE, y + EDGE) for y in range(0, padded.height, EDGE) for x in range(0, padded.width, EDGE)]
    return [encode(overview)] + [encode(padded.crop(box)) for box in boxes]


def tiles_simplejpeg(data: bytes) -> list[bytes]:
    import cv2
    import numpy
    import simplejpeg

    cv2.setNumThreads(1)

    def encode(pixels: numpy.ndarray) -> bytes:
        pixels = numpy.ascontiguousarray(pixels)
        return simplejpeg.encode_jpeg(pixels, quality=QUALITY, colorspace="RGB", colorsubsampling="420", fastdct=False)

    image = simplejpeg.decode_jpeg(data, colorspace="RGB", fastdct=False, fastupsample=False)
    height, width = image.shape[:2]
    rows, columns = -(-height // EDGE), -(-width // EDGE)
    padded = numpy.full((rows * EDGE, columns * EDGE, 3), 255, numpy.uint8)
    top, left = (padded.shape[0] - height) // 2, (padded.shape[1] - width) // 2
    padded[top : top + height, left : left + width] = image
    scale = EDGE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    overview = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    cuts = [padded[y : y + EDGE, x : x + EDGE] for y in range(0, rows * EDGE, EDGE) for x in range(0, columns * EDGE, EDGE)]
    return [encode(overview)] + [encode(cut) for cut in cuts]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("library", choices=["pillow", "simplejpeg"])
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--limit", type=int, default=sys.maxsize)
    arguments = parser.parse_args()
    cut = {"pillow": tiles_pillow, "simplejpeg": tiles_simplejpeg}[arguments.library]
    with tarfile.open(arguments.out, "w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(arguments.photos.glob("*.jpg"))[: arguments.limit]:
            images = cut(path.read_bytes())
            members = [("json", json.dumps({"images": len(images)}).encode())]
            members += [(f"{n:03}.jpg", image) for n, image in enumerate(images)]
            for name, content in members:
                member = tarfile.TarInfo(f"{path.stem}.{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


main()
