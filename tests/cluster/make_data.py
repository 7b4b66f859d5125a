"""Makes the photographs, the videos and the annotations of tests/cluster/pipeline.toml: make_data.py DIR (needs ffmpeg)."""

import json
import pathlib
import subprocess
import sys

directory = pathlib.Path(sys.argv[1])
NUM_PHOTOS, NUM_VIDEOS, NUM_RECORDS = 24, 4, 96


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-loglevel", "error", "-y", *map(str, arguments)], check=True)


def record(source, number, kind, path):
    return {
        "id": f"{source}-{number}",
        kind: path,
        "conversations": [
            {"from": "human", "value": f"<{kind}>\nWhat is shown in number {number} of {source}?"},
            {"from": "gpt", "value": f"A part of a set, number {number}."},
        ],
    }


for name in ("photos", "videos"):
    (directory / name).mkdir(parents=True, exist_ok=True)
zoom = "mandelbrot=size=1000x750:rate=4:maxiter=300:start_scale=2:end_scale=0.01:end_pts=60"
ffmpeg("-f", "lavfi", "-i", zoom, "-frames:v", NUM_PHOTOS, "-q:v", 3, directory / "photos/%d.jpg")
for number in range(NUM_VIDEOS):
    source = f"testsrc2=size=640x360:rate=24:duration={3 + number}"
    ffmpeg("-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", directory / f"videos/{number}.mp4")
annotations = {
    "tiled": [record("tiled", n, "image", f"{n % NUM_PHOTOS + 1}.jpg") for n in range(NUM_RECORDS)],
    "whole": [record("whole", n, "image", f"{n % NUM_PHOTOS + 1}.jpg") for n in range(0, NUM_RECORDS, 2)],
    "videos": [record("videos", n, "video", f"{n % NUM_VIDEOS}.mp4") for n in range(NUM_RECORDS // 8)],
}
for name, records in annotations.items():
    (directory / f"{name}.json").write_text(json.dumps(records))
