"""Decodes the video files of a dataset with PyAV, and compares the frames that are shown with those of their sources.

    read_clips.py DIR MEDIA     needs: pip install av numpy pyarrow

DIR is a dataset that manyframe built with `video.deliver = "clip"`, MEDIA the directory of its videos. Both shard formats are
read. Of each file, all frames are decoded from its start, in order, and those at `frame_indices` are taken; of the source, those
that are shown at the times that the sample states. Prints one line of JSON: for each format, the video files by the path of their
source, each with its size, and the number of frames of which a byte differs.
"""

import glob
import io
import json
import os
import sys
import tarfile

import av
import pyarrow.parquet as pq


def decoded(file, is_source=False):
    """Time in seconds from the first frame, pixel format and planes of every frame, in order of presentation."""
    with av.open(file) as container:
        videos = container.streams.video
        chosen = max(videos, key=lambda video: video.width * video.height) if is_source else videos[0]
        frames = [(frame.time, frame.format.name, frame.to_ndarray().tobytes()) for frame in container.decode(chosen)]
    start = frames[0][0] if frames and frames[0][0] is not None else None
    return [(None if time is None else time - start, name, planes) for time, name, planes in frames]


def at_time(frames, time):
    return min(range(len(frames)), key=lambda number: abs(frames[number][0] - time))


def compare(visuals, files, media, found):
    with_clip = [visual for visual in visuals if "clip" in visual]
    if len(with_clip) != len(files):
        sys.exit(f"{len(files)} files for {len(with_clip)} visuals with a clip")
    for visual, (data, indices, name) in zip(with_clip, files):
        clip = visual["clip"]
        if indices is not None and indices != clip["frame_indices"]:
            sys.exit(f"{visual['path']}: frame_indices of the column and of the metadata differ")
        source, delivered = decoded(os.path.join(media, visual["path"]), is_source=True), decoded(io.BytesIO(data))
        if len(delivered) != clip["num_frames"]:
            sys.exit(f"{visual['path']}: {len(delivered)} frames in {name}, {clip['num_frames']} stated")
        wanted = [at_time(source, time) for time in visual["times_s"]]
        pairs = zip(clip["frame_indices"], wanted, strict=True)
        differ = sum(delivered[index][1:] != source[position][1:] for index, position in pairs)
        entry = {"name": name, "num_bytes": len(data), "num_frames": len(wanted), "num_differ": differ, "file": clip["file"]}
        found.setdefault(visual["path"], []).append(entry | {"uncut_because": clip.get("uncut_because")})


def read_parquet(folder, media):
    found = {}
    for path in sorted(glob.glob(f"{folder}/parquet/*/*.parquet")):
        for row in pq.read_table(path).to_pylist():
            files = [(video["bytes"], video["frame_indices"], video["path"]) for video in row["videos"]]
            compare(json.loads(row["metadata"])["visuals"], files, media, found)
    return found


def read_webdataset(folder, media):
    found = {}
    for path in sorted(glob.glob(f"{folder}/webdataset/*/*.tar")):
        with tarfile.open(path) as tar:
            members = {member.name: tar.extractfile(member).read() for member in tar}
        for name in [name for name in members if name.endswith(".json")]:
            sample = json.loads(members[name])
            files = [(members[f"{sample['id']}.{video}"], None, video) for video in sample.get("videos", [])]
            compare(sample["visuals"], files, media, found)
    return found


if __name__ == "__main__":
    print(json.dumps({"parquet": read_parquet(*sys.argv[1:]), "webdataset": read_webdataset(*sys.argv[1:])}))
