"""Checks an evaluation set of needles against a reference that shares no code with manyframe.

usage: check_needles.py DATASET SETTINGS.json MEDIA

SETTINGS.json has `lengths`, `depths`, `questions_per_cell`, `num_options`, `interval_s`, `place` and `tasks`, perhaps `num_needles` and
`permutations`, and `needles`: the rows of the annotation file. The reference is: a needle at depth d of N frames is at floor(d · N ÷ 1000), or at the last place; frames of
the haystack are those that FFmpeg decodes, the first and then every `interval_s`; a needle's image is as large as fits into the frame, in its
middle, on black, scaled by Pillow; a clip is so many of its frames from its start on, decoded and scaled like these, one after the
other; an image that is small is as large as fits into a third of the frame, in the middle of a quarter of it. Whoever sees the
options alone, and takes the smallest number, the largest, or any other, is right within the binomial bound of chance. Prints how many samples and frames were compared; exits with 1 at the first fault.
"""

import functools
import io
import itertools
import json
import math
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from PIL import Image, ImageChops, ImageStat
from webdataset_samples import samples_of

CHOOSE = "Answer with the option's letter from the given choices directly."
IMAGE_TASKS = ("image_retrieval", "image_ordering", "image_counting")
DEPTH_TASKS = ("v_niah", "image_retrieval")
NUMBER_TASKS = ("counting_insert", "counting_edit", "counting_both", "counting_paste", "image_counting", "image_retrieval")
TAIL = 0.0005
"""How often chance goes beyond either bound."""
MOST_DIFFERENT = 16
"""Mean difference of levels between a frame and the same frame after JPEG at quality 90, colours at half resolution: of test pictures, whose
colours change from pixel to pixel. A frame must also be nearer to what it should show than to anything else."""
MOST_DIFFERENT_PASTED = 20
"""The same of a frame that is encoded once more, with test pictures whose edges are a few pixels apart."""


def fail(message: str) -> None:
    sys.exit(f"check_needles: {message}")


def difference(a: Image.Image, b: Image.Image) -> float:
    return sum(ImageStat.Stat(ImageChops.difference(a, b)).mean) / 3


def decoded(path: Path, interval_s: float, start_s: float = 0) -> list[Image.Image]:
    """The frames of a video that are an interval apart from a time on, as FFmpeg decodes them."""
    probe = ["ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "stream=width,height,r_frame_rate"]
    stream = json.loads(subprocess.run([*probe, "-of", "json", path], capture_output=True, check=True).stdout)["streams"][0]
    numerator, denominator = map(int, stream["r_frame_rate"].split("/"))
    size = stream["width"], stream["height"]
    command = ["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-fps_mode", "passthrough", "-"]
    pixels = subprocess.run(command, capture_output=True, check=True).stdout
    num_bytes = size[0] * size[1] * 3
    frames = [Image.frombytes("RGB", size, pixels[at : at + num_bytes]) for at in range(0, len(pixels), num_bytes)]
    first = math.ceil(start_s * numerator / denominator)
    return frames[first :: max(int(numerator / denominator * interval_s), 1)]


def fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """As large as fits into a frame, in its middle, on black."""
    frame = Image.new("RGB", size)
    put(frame, image, (0, 0), (size, size))
    return frame


def put(frame: Image.Image, image: Image.Image, corner: tuple[int, int], sizes: tuple) -> None:
    """Puts an image into the middle of a part of a frame, as large as fits into a size."""
    (part, most), (width, height) = sizes, image.size
    if width * most[1] >= most[0] * height:
        new = most[0], max(1, int(height * most[0] / width + 0.5))
    else:
        new = max(1, int(width * most[1] / height + 0.5)), most[1]
    left, top = corner[0] + (part[0] - new[0]) // 2, corner[1] + (part[1] - new[1]) // 2
    frame.paste(image.convert("RGB").resize(new, Image.BICUBIC), (left, top))


def samples(dataset: Path) -> dict:
    opened = lambda images: [Image.open(io.BytesIO(image)).convert("RGB") for image in images]
    return {sample["id"]: (sample, opened(images)) for sample, images in samples_of(dataset)}


def runs(needle: dict) -> list[tuple[int, ...]]:
    """The places of each showing of a needle."""
    return list(zip(*[iter(needle["indices"])] * needle.get("num_frames", 1), strict=True))


def num_permutations(settings: dict) -> int:
    return max(settings["num_options"], 1) if settings.get("permutations", "circular") == "circular" else 1


def check_grid(lines: list[dict], settings: dict) -> None:
    """Every cell has its questions, in every permutation, and each needle is where it belongs."""
    permutations = num_permutations(settings)
    known = {row["name"]: row for row in settings["needles"]}
    expected = set()
    for task, length in itertools.product(settings["tasks"], settings["lengths"]):
        depths = settings["depths"] if task in DEPTH_TASKS else [None]
        expected |= set(itertools.product([task], [length], depths, range(permutations)))
    found = defaultdict(int)
    for line in lines:
        found[line["task"], line["length"], line["depth"], line["permutation"]] += 1
        num_images = sum(len(needle["indices"]) for needle in line["needles"] if needle["kind"] != "text" and "times" not in needle)
        num_shown = line["length"] + (num_images if settings["place"] == "insert" else 0)
        if line["num_shown"] != num_shown:
            fail(f"{line['num_shown']} frames are said to be shown, expected {num_shown}: {line}")
        indices = [index for needle in line["needles"] for index in needle["indices"]]
        if len(set(indices)) < len(indices) or not all(0 <= index < num_shown for index in indices):
            fail(f"needles are at {indices} of {num_shown}")
        if line["depth"] is not None:
            num_frames = known[line["needles"][0]["name"]].get("num_frames", 1)
            index = min(line["depth"] * line["length"] // 1000, num_shown - num_frames)
            if list(range(index, index + num_frames)) != indices or line["index"] != index:
                fail(f"a needle is at {indices}, expected {num_frames} frames from {index} on: {line}")
        for needle in line["needles"]:
            num_frames = known[needle["name"]].get("num_frames")
            if needle.get("num_frames") != num_frames or any(list(run) != list(range(run[0], run[0] + len(run))) for run in runs(needle)):
                fail(f"a clip of {num_frames} frames is at {needle}")
            showings = runs(needle)
            if line["task"] not in IMAGE_TASKS and any(one[-1] + 1 == other[0] for one, other in zip(showings, showings[1:])):
                if "times" not in needle:
                    fail(f"a needle that is shown twice follows itself: {needle}")
    if set(found) != expected or set(found.values()) != {settings["questions_per_cell"]}:
        fail(f"cells differ: {sorted(map(str, set(found) ^ expected))}")


def right_answer(line: dict) -> str | None:
    """What the places of the needles say, for tasks whose answer follows from them."""
    needles = line["needles"]
    if line["task"] == "counting_paste":
        return str(sum(needles[0]["times"]))
    if line["task"].startswith("counting") or line["task"] == "image_counting":
        return str(sum(len(runs(needle)) for needle in needles))
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
        if len(group) != num_permutations(settings) or len(set(first)) < settings["num_options"]:
            fail(f"a group has {len(group)} permutations of {first}")
        for permutation, line in group.items():
            options = [option["text"] for option in line["options"]]
            if options != first[permutation:] + first[:permutation]:
                fail(f"permutation {permutation} of {first} is {options}")
            if [option["text"] for option in line["options"] if option["letter"] == line["answer"]] != [line["answer_text"]]:
                fail(f"{line['answer']} is not the letter of {line['answer_text']!r}: {line}")
            if line["visuals"] != group[0]["visuals"]:
                fail("permutations of a question show different frames")
        if len(group) > 1 and sorted(line["answer"] for line in group.values()) != [chr(65 + place) for place in range(len(group))]:
            fail("the right option is not at each place once")


def is_chance(num_right: int, num: int, probability: float) -> bool:
    """Whether so many of so many independent guesses may be right."""
    share = lambda counts: sum(math.comb(num, count) * probability**count * (1 - probability) ** (num - count) for count in counts)
    return min(share(range(num_right + 1)), share(range(num_right, num + 1))) > TAIL


def check_numbers(lines: list[dict], settings: dict) -> None:
    """Options that are numbers are all possible, and no rule on them alone finds the right one: neither its rank nor the number itself."""
    num_needles, num_options = settings.get("num_needles", 4), settings["num_options"]
    rules = defaultdict(list)
    for line in lines:
        if line["task"] not in NUMBER_TASKS or line["permutation"] or not line["options"]:
            continue
        value = lambda text: int(text.removeprefix("Image "))
        right, numbers = value(line["answer_text"]), sorted(value(option["text"]) for option in line["options"])
        if line["task"] == "image_retrieval":
            last = line["num_shown"] - 1
            possible = [min(depth * line["length"] // 1000, last) + 1 for depth in settings["depths"]]
        else:
            least, most = (num_needles, 4 * num_needles) if line["task"] == "counting_paste" else (1, num_needles)
            possible = range(least, most + 1)
        if not set(numbers) <= set(possible):
            fail(f"of the options {numbers}, some are never right: {line}")
        for rank, number in enumerate(numbers):
            rules[line["task"], f"the option of rank {rank}"].append(number == right)
            rules[line["task"], line["length"], f"the number {number}"].append(number == right)
    for rule, found in rules.items():
        if not is_chance(sum(found), len(found), 1 / num_options):
            fail(f"{rule} is right in {sum(found)} of {len(found)} questions")


def check_frames(line: dict, frames: list[Image.Image], settings: dict, media: Path, haystacks: dict) -> int:
    """Frames at the places of needles show them; the others are those of a haystack, in order."""
    known = {row["name"]: row for row in settings["needles"]}
    at = {index: known[needle["name"]] for needle in line["needles"] for index in needle["indices"]}
    of_clip = {index: number for needle in line["needles"] for run in runs(needle) for number, index in enumerate(run)}
    times = {index: number for needle in line["needles"] for index, number in zip(needle["indices"], needle.get("times", []))}
    num_compared = 0
    rest = []
    for index, frame in enumerate(frames):
        if "clip" in at.get(index, {}):
            check_clip(frame, pictured(at[index], settings, media), of_clip[index])
            num_compared += 1
            continue
        shown = at.get(index, {}).get("image")
        if shown is None or index in times:
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
        check_images([image for _, image in rest], settings, media)
        return num_compared
    replaced = settings["place"] == "replace"
    for haystack in haystacks.values():
        position = lambda index: index if replaced else index - sum(1 for other in at if other < index and "text" not in at[other] and other not in times)
        pairs = [(index, frame, haystack[position(index)]) for index, frame in rest]
        of_needle = lambda index: index in times or "text" in at.get(index, {})
        if all(is_nearest(frame, original, haystack) for index, frame, original in pairs if not of_needle(index)):
            for index, frame, original in pairs:
                if index in times:
                    check_pasted(frame, fitted(original, frame.size), (Image.open(media / at[index]["image"]), times[index]))
                elif of_needle(index):
                    check_written(frame, fitted(original, frame.size), at[index]["text"])
            return num_compared + len(pairs)
    fail(f"the frames are those of no haystack: {line}")


def check_images(images: list[Image.Image], settings: dict, media: Path) -> None:
    """Images that show no needle are those of the haystack, each once."""
    paths = sorted({path for pattern in settings["images"] for path in media.glob(pattern)})
    known = [Image.open(path).convert("RGB") for path in paths]
    found = []
    for image in images:
        differences = [difference(image, other) if image.size == other.size else 255 for other in known]
        found.append(differences.index(min(differences)))
        if min(differences) > 1:
            fail(f"an image differs by {min(differences)} from each of the haystack")
    if len(set(found)) < len(found):
        fail(f"images of the haystack are there twice: {found}")


@functools.cache
def clip_frames(path: Path, interval_s: float, start_s: float) -> list[Image.Image]:
    return decoded(path, interval_s, start_s)


def pictured(row: dict, settings: dict, media: Path) -> list[Image.Image]:
    frames = clip_frames(media / row["clip"], settings["interval_s"], row.get("start_s", 0))
    return frames[: row["num_frames"]]


def check_clip(frame: Image.Image, clip: list[Image.Image], number: int) -> None:
    """A frame of a clip is as that one, and as no other of the clip."""
    differences = [difference(frame, fitted(other, frame.size)) for other in clip]
    if differences[number] > MOST_DIFFERENT or min(differences) < differences[number]:
        fail(f"frame {number} of a clip is delivered as one that differs from its frames by {differences}")


def is_nearest(frame: Image.Image, original: Image.Image, haystack: list[Image.Image]) -> bool:
    """Whether a frame shows the original, and no other frame of its haystack."""
    found = difference(frame, fitted(original, frame.size))
    return found <= MOST_DIFFERENT and all(found <= difference(frame, fitted(other, frame.size)) for other in haystack)


def check_pasted(frame: Image.Image, original: Image.Image, needle: tuple[Image.Image, int]) -> None:
    """The image is in as many quarters as is said, and nothing else has changed."""
    (image, number), (width, height) = needle, frame.size
    half, third = (width // 2, height // 2), (width // 3, height // 3)
    expected, found = original.copy(), 0
    for quarter in range(4):
        corner = quarter % 2 * half[0], quarter // 2 * half[1]
        pasted = expected.copy()
        put(pasted, image, corner, (half, third))
        if difference(frame, pasted) < difference(frame, expected):
            expected, found = pasted, found + 1
    if found != number or difference(frame, expected) > MOST_DIFFERENT_PASTED:
        fail(f"an image is in {found} quarters of a frame, expected {number}; it differs by {difference(frame, expected)}")


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
    check_numbers(lines, settings)
    check_prompts(lines, found)
    videos = [decoded(media / path, settings["interval_s"]) for path in settings["haystacks"]]
    haystacks = {first: list(itertools.chain(*videos[first:], *videos[:first])) for first in range(len(videos))}
    num_frames = sum(check_frames(line, found[line["sample"]][1], settings, media, haystacks) for line in lines)
    print(f"{len(lines)} samples, {num_frames} frames")


if __name__ == "__main__":
    main()
