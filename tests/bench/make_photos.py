"""Cuts many different photographs out of a few: make_photos.py OUT NUMBER PHOTO…

Sizes from 640×480 to 2000×1500 in several aspect ratios, qualities and subsamplings, one in ten progressive, as web
photographs are. The same arguments make the same files.
"""

import random
import sys
from pathlib import Path

from PIL import Image


def main() -> None:
    out, number = Path(sys.argv[1]), int(sys.argv[2])
    sources = sorted(sys.argv[3:])
    out.mkdir(parents=True, exist_ok=True)
    order = random.Random(336)
    for n in range(number):
        path = out / f"{n:06}.jpg"
        source = sources[n % len(sources)]
        aspect = order.choice([4 / 3, 4 / 3, 3 / 2, 16 / 9, 1.0, 3 / 4])
        width = order.randint(640, 2000)
        height = round(width / aspect)
        if height > 2000:
            width, height = round(width * 2000 / height), 2000
        part, left, top = order.uniform(0.5, 1.0), order.random(), order.random()
        quality, subsampling = order.choice([80, 85, 90, 92, 95]), order.choice([2, 2, 2, 0])
        progressive = order.random() < 0.1
        if path.exists():
            continue
        with Image.open(source) as image:
            image = image.convert("RGB")
            cut_width = min(image.width, image.height * width / height) * part
            cut_height = cut_width * height / width
            x, y = (image.width - cut_width) * left, (image.height - cut_height) * top
            box = (x, y, x + cut_width, y + cut_height)
            cut = image.resize((width, height), Image.LANCZOS, box=box)
        cut.save(path, quality=quality, subsampling=subsampling, progressive=progressive)


main()
