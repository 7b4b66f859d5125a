"""Checks an evaluation set of needles against a reference that shares no code with manyframe.

usage: check_needles.py DATASET SETTINGS.json MEDIA

SETTINGS.json has `lengths`, `depths`, `questions_per_cell`, `num_options`, `interval_s`, `place` and `tasks`, and `needles`: the rows of
the annotation file. The reference is: a needle at depth d of N frames is at floor(d · N ÷ 1000), or at the last place; frames of
the haystack are those that FFmpeg decodes, the first and then every `interval_s`; a needle's image is as large as fits into the frame, in its
middle, on black, scaled by Pillow. Prints how many samples and frames were compared; exits with 1 at the first fault.
"""

import io
import itertools
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from PIL import Image, ImageChops, ImageStat
from webdataset_samples import samples_of

CHOOSE = "Answer with the option's letter from the given choices directly."
IMAGE_TASKS = ("image_retrieval", "image_ordering", "image_counting")
DEPTH_TASKS = ("v_niah", "image_retrieval")
MOST_DIFFERENT = 16
"""Mean difference of levels between a frame and the same frame after JPEG at quality 90, colours at half resolution: of test pictures, whose
colours change from pixel to pixel. A frame must also be nearer to what it should show than to anything else."""


def fail(message: str) -> None:
    sys.exit(f"check_needles: {message}")


def difference(a: Image.Image, b: Image.Image) -> float:
    return sum(ImageStat.Stat(ImageChops.difference(a, b)).mean) / 3


def decoded(path: Path, interval_s: float) -> list[Image.Image]:
    """The frames of a video that are an interval apart, as FFmpeg decodes them."""
    probe = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height,r_frame_rate"]
    stream = json.loads(subprocess.run([*probe, "-of", "json", path], capture_output=True, check=True).stdout)["streams"][0]
    numerator, denominator = map(int, stream["r_frame_rate"].split("/"))
    size = stream["width"], stream["height"]
    command = ["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-fps_mode", "passthrough", "-"]
    pixels = subprocess.run(command, capture_output=True, check=True).stdout
    num_bytes = size[0] * size[1] * 3
    frames = [Image.frombytes("RGB", size, pixels[at : at + num_bytes]) for at in range(0, len(pixels), num_bytes)]
    return frames[:: max(int(numerator / denominator * interval_s), 1)]


def fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """As large as fits into a frame, in its middle, on black."""
    width, height = image.size
    if width * size[1] >= size[0] * height:
        new = size[0], max(1, int(height * size[0] / width + 0.5))
    else:
        new = max(1, int(width * size[1] / height + 0.5)), size[1]
    frame = Image.new("RGB", size)
    frame.paste(image.convert("RGB").resize(new, Image.BICUBIC), ((size[0] - new[0]) // 2, (size[1] - new[1]) // 2))
    return frame


def samples(dataset: Path) -> dict:
    opened = lambda images: [Image.open(io.BytesIO(image)).convert("RGB") for image in images]
    return {sample["id"]: (sample, opened(images)) for sample, images in samples_of(dataset)}


def check_grid(lines: list[dict], settings: dict) -> None:
    """Every cell has its questions, in every permutation, and each needle is where it belongs."""
    permutations = max(settings["num_options"], 1)
    expected = set()
    for task, length in itertools.product(settings["tasks"], settings["lengths"]):
        depths = settings["depths"] if task in DEPTH_TASKS else [None]
        expected |= set(itertools.product([task], [length], depths, range(permutations)))
    found = defaultdict(int)
    for line in lines:
        found[line["task"], line["length"], line["depth"], line["permutation"]] += 1
        num_images = sum(len(needle["indices"]) for needle in line["needles"] if needle["kind"] == "image")
        num_shown = line["length"] + (num_images if settings["place"] == "insert" else 0)
        if line["num_shown"] != num_shown:
            fail(f"{line['num_shown']} frames are said to be shown, expected {num_shown}: {line}")
        indices = [index for needle in line["needles"] for index in needle["indices"]]
        if len(set(indices)) < len(indices) or not all(0 <= index < num_shown for index in indices):
            fail(f"needles are at {indices} of {num_shown}")
        if line["depth"] is not None:
            index = min(line["depth"] * line["length"] // 1000, num_shown - 1)
            if [line["index"]] != indices or line["index"] != index:
                fail(f"a needle is at {line['index']}, expected at {index}: {line}")
    if set(found) != expected or set(found.values()) != {settings["questions_per_cell"]}:
        fail(f"cells differ: {sorted(map(str, set(found) ^ expected))}")


def right_answer(line: dict) -> str | None:
    """What the places of the needles say, for tasks whose answer follows from them."""
    needles = line["needles"]
    if line["task"].startswith("counting") or line["task"] == "image_counting":
        return str(sum(len(needle["indices"]) for needle in needles))
    if "ordering" in line["task"]:
        return ", ".join(needle["name"] for needle in sorted(needles, key=lambda needle: needle["indices"][0]))
    if line["task"] == "image_retrieval":
        return f"Image {line['index'] + 1}"
    return None


def check_answers(lines: list[dict], settings: dict) -> None:
    """The right option follows from the places, is at each letter once in a group, and permutations are circular."""
    groups = defaultdict(dict)
    for line in lines:
        groups[line["group"]][line["permutation"]] = line
        known = {row["name"]: row for row in settings["needles"]}
        answers = {known[needle["name"]].get("answer") for needle in line["needles"]}
        expected = right_answer(line)
        if line["answer_text"] != expected if expected else line["answer_text"] not in answers:
            fail(f"{line['answer_text']!r} is said to be right, expected {expected or answers}: {line}")
        if line["answer_text"].lower() in line["question"].lower() and expected is None:
            fail(f"the question has its answer: {line}")
    for group in groups.values():
        if settings["num_options"] == 0:
            if any(line["options"] or line["answer"] != line["answer_text"] for line in group.values()):
                fail(f"a free answer has options: {group}")
            continue
        first = [option["text"] for option in group[0]["options"]]
        if len(group) != max(settings["num_options"], 1) or len(set(first)) < settings["num_options"]:
            fail(f"a group has {len(group)} permutations of {first}")
        for permutation, line in group.items():
            options = [option["text"] for option in line["options"]]
            if options != first[permutation:] + first[:permutation]:
                fail(f"permutation {permutation} of {first} is {options}")
            if [option["text"] for option in line["options"] if option["letter"] == line["answer"]] != [line["answer_text"]]:
                fail(f"{line['answer']} is not the letter of {line['answer_text']!r}: {line}")
            if line["visuals"] != group[0]["visuals"]:
                fail("permutations of a question show different frames")
        if sorted(line["answer"] for line in group.values()) != [chr(65 + place) for place in range(len(group))]:
            fail("the right option is not at each place once")


def check_frames(line: dict, frames: list[Image.Image], settings: dict, media: Path, haystacks: dict) -> int:
    """Frames at the places of needles show them; the others are those of a haystack, in order."""
    known = {row["name"]: row for row in settings["needles"]}
    at = {index: known[needle["name"]] for needle in line["needles"] for index in needle["indices"]}
    num_compared = 0
    rest = []
    for index, frame in enumerate(frames):
        shown = at.get(index, {}).get("image")
        if shown is None:
            rest.append((index, frame))
            continue
        image = Image.open(media / shown)
        expected = image.convert("RGB") if line["task"] in IMAGE_TASKS else fitted(image, frame.size)
        others = [fitted(Image.open(media / row["image"]), frame.size) for row in known.values() if row.get("image", shown) != shown]
        nearest = min((difference(frame, other) for other in others), default=MOST_DIFFERENT)
        if difference(frame, expected) > min(nearest, MOST_DIFFERENT):
            fail(f"frame {index} differs by {difference(frame, expected)} from {shown}, by {nearest} from others: {line}")
        num_compared += 1
    if line["task"] in IMAGE_TASKS:
        return num_compared
    replaced = settings["place"] == "replace"
    for haystack in haystacks.values():
        position = lambda index: index if replaced else index - sum(1 for other in at if other < index and "image" in at[other])
        pairs = [(index, frame, haystack[position(index)]) for index, frame in rest]
        of_needle = lambda index: "text" in at.get(index, {})
        if all(is_nearest(frame, original, haystack) for index, frame, original in pairs if not of_needle(index)):
            for index, frame, original in pairs:
                if of_needle(index):
                    check_written(frame, fitted(original, frame.size), at[index]["text"])
            return num_compared + len(pairs)
    fail(f"the frames are those of no haystack: {line}")


def is_nearest(frame: Image.Image, original: Image.Image, haystack: list[Image.Image]) -> bool:
    """Whether a frame shows the original, and no other frame of its haystack."""
    found = difference(frame, fitted(original, frame.size))
    return found <= MOST_DIFFERENT and all(found <= difference(frame, fitted(other, frame.size)) for other in haystack)


def check_written(frame: Image.Image, original: Image.Image, text: str) -> None:
    """White letters on black in the lower half; the upper half is as it was."""
    width, height = frame.size
    upper, lower = (0, 0, width, height // 2), (0, height // 2, width, height)
    if difference(frame.crop(upper), original.crop(upper)) > MOST_DIFFERENT:
        fail(f"{text!r} changes the upper half of its frame")
    darkest, brightest = frame.crop(lower).convert("L").getextrema()
    if difference(frame.crop(lower), original.crop(lower)) < 1 or darkest > 40 or brightest < 200:
        fail(f"{text!r} is not written on its frame")


def check_prompts(lines: list[dict], found: dict) -> None:
    """Samples with the same visuals have the same prompt up to the question."""
    prompts = defaultdict(set)
    for line in lines:
        sample, frames = found[line["sample"]]
        text = f"{line['question']}\n" + "".join(f"{o['letter']}. {o['text']}\n" for o in line["options"])
        text += CHOOSE if line["options"] else "Answer the question using a single word or phrase."
        before, question, after = sample["prompt"].partition(text)
        if not question or line["answer"] not in after:
            fail(f"the prompt {sample['prompt']!r} does not ask {text!r}")
        prompts[line["visuals"]].add(before)
        if len(frames) != line["num_shown"] or before.count("<image>") != len(frames):
            fail(f"{len(frames)} frames and {before.count('<image>')} placeholders, {line['num_shown']} are said to be shown")
    if any(len(prefixes) > 1 for prefixes in prompts.values()):
        fail("prompts that show the same differ before the question")


def main() -> None:
    dataset, settings, media = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3])
    lines = [json.loads(line) for line in (dataset / "needles.jsonl").read_text().splitlines()]
    entry = json.loads((dataset / "manifest.json").read_text())["needles"]
    if entry["num_samples"] != len(lines):
        fail(f"the manifest says {entry['num_samples']} samples, there are {len(lines)}")
    found = samples(dataset)
    if sorted(found) != sorted(line["sample"] for line in lines):
        fail("the samples of the shards and of needles.jsonl differ")
    check_grid(lines, settings)
    check_answers(lines, settings)
    check_prompts(lines, found)
    videos = [decoded(media / path, settings["interval_s"]) for path in settings["haystacks"]]
    haystacks = {first: list(itertools.chain(*videos[first:], *videos[:first])) for first in range(len(videos))}
    num_frames = sum(check_frames(line, found[line["sample"]][1], settings, media, haystacks) for line in lines)
    print(f"{len(lines)} samples, {num_frames} frames")


if __name__ == "__main__":
    main()
