"""Images of a thousand different sizes, and records that show them: make_sizes.py FOLDER ANNOTATIONS NUMBER

Planning reads their headers only: each is one colour, which takes a few kilobytes at any size.
"""

import json
import random
import sys
from pathlib import Path

from PIL import Image

SIZES = 1_000


def main(folder: Path, annotations: Path, number: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    order = random.Random(0)
    for n in range(SIZES):
        size = (order.randint(64, 2048), order.randint(64, 2048))
        Image.new("RGB", size, (n % 256, 80, 160)).save(folder / f"{n}.png", compress_level=1)
    words = "the of a in picture shows two people near water with red green house and tree under sky on road by day".split()
    part = annotations.with_suffix(".part")
    with part.open("w") as file:
        for n in range(number):
            say = lambda low, high: " ".join(order.choices(words, k=order.randint(low, high)))
            turns = [{"from": "human", "value": f"<image>\n{n}: {say(4, 15)}?"}, {"from": "gpt", "value": say(8, 40)}]
            file.write(json.dumps({"id": str(n), "image": f"{order.randrange(SIZES)}.png", "conversations": turns}) + "\n")
    part.rename(annotations)


main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
