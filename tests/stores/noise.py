"""Photographs of noise, which no codec makes smaller, and conversations about them."""

import json
import subprocess


def write(directory, num_photos, num_records):
    """Writes photos/ and noise.json into a directory; photographs repeat."""
    photos = directory / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    source = "nullsrc=size=1280x960,geq=lum='random(1)*255':cb=128:cr=128"
    command = ["ffmpeg", "-loglevel", "error", "-y", "-f", "lavfi", "-i", source, "-frames:v", str(num_photos), "-q:v", "2"]
    subprocess.run([*command, photos / "%d.jpg"], check=True)
    records = [
        {
            "id": str(number),
            "image": f"{number % num_photos + 1}.jpg",
            "conversations": [
                {"from": "human", "value": f"<image>\nWhat is shown in number {number}?"},
                {"from": "gpt", "value": f"Noise, number {number}."},
            ],
        }
        for number in range(num_records)
    ]
    (directory / "noise.json").write_text(json.dumps(records))
