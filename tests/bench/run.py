"""Speed and memory beside Python versions of the same jobs: run.py MANYFRAME [JOB…]

Every job runs in turn with its peers, several times; medians are printed as a Markdown table. CPU seconds are user and
system time of the whole process and its children, start-up included; memory is the peak of the largest process.
Jobs: tiles threads cores memory video json plan plan10m plan100m sizes pack loaders, all but plan100m unless some are named; BEFORE=MANYFRAME adds
the job `before`, which runs tiles, video, json and plan with that other program in turn. BASELINES=DIR also runs other people's scripts of the tiling job, as
`DIR/tiles_wds.py VARIANT PHOTOS OUT --procs 1 --writer tar` with the variants pil, cv2 and simplejpeg.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "bench"
BENCH = ROOT / "tests" / "bench"
PYTHON = ROOT / ".env" / "python" / "bench" / "bin" / "python"
MEDIA = ROOT / ".env" / "demo"
PHOTOS = 500
REPEATS = int(os.environ.get("REPEATS", "5"))


@dataclass
class Run:
    wall_s: float
    cpu_s: float
    peak_mib: float
    # What the program prints in its last line, if that is a number.
    printed: float = 0.0


def measure(command: list) -> Run:
    start = time.monotonic()
    process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    last = (process.stdout.read().splitlines() or [""])[-1]
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with {process.returncode}")
    printed = float(last) if last.replace(".", "", 1).isdigit() else 0.0
    return Run(time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, printed)


def side_by_side(contenders: dict, repeats: int = REPEATS) -> dict:
    """The median of each figure of each contender, run in turn so that a drift of the machine meets all of them."""
    runs = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, prepare in contenders.items():
            runs[name].append(measure(prepare()))
    median = lambda name, field: statistics.median(getattr(run, field) for run in runs[name])
    return {name: Run(*(median(name, f) for f in ("wall_s", "cpu_s", "peak_mib", "printed"))) for name in contenders}


def table(title: str, header: list, rows: list) -> None:
    print(f"\n### {title}\n\n| {' | '.join(header)} |\n|---|{'--:|' * (len(header) - 1)}")
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |", flush=True)


def pipeline(name: str, source: str, more: str = "") -> Path:
    path = WORK / f"{name}.toml"
    tokenizer = MEDIA / "tokenizer.model"
    path.write_text(f'name = "bench"\n[format]\ntokenizer = "{tokenizer}"\nmax_tokens = 1000000\n{more}\n[[source]]\nname = "s"\n{source}\n')
    return path


def build(manyframe: str, path: Path, threads: int) -> list:
    # A build reuses samples of the dataset that is already there.
    for directory in (WORK / "out", WORK / "out.work"):
        shutil.rmtree(directory, ignore_errors=True)
    return [manyframe, "build", path, "--output", WORK / "out", "--fresh", "--quiet", "--threads", threads]


def photos() -> Path:
    folder = WORK / "photos"
    sources = [p for p in sorted((MEDIA / "allava_laion/images").glob("*.jpeg")) + sorted((MEDIA / "sam/images").glob("*.jpg"))]
    sources = [p for p in sources if p.stat().st_size > 400_000]
    subprocess.run([PYTHON, BENCH / "make_photos.py", folder, str(PHOTOS), *sources], check=True)
    return folder


def photo_records(name: str, folder: Path, times: int, number: int = PHOTOS) -> Path:
    path = WORK / f"{name}.json"
    records = [
        {
            "id": f"{photo.stem}-{n}",
            "image": photo.name,
            "conversations": [{"from": "human", "value": f"<image>\nWhat is shown, view {n}?"}, {"from": "gpt", "value": "A scene."}],
        }
        for photo in sorted(folder.glob("*.jpg"))[:number]
        for n in range(times)
    ]
    path.write_text(json.dumps(records))
    return path


def tiles_pipeline(times: int = 1, overview: str = "") -> Path:
    """Tiles are cut without loss if it is said how their overview is scaled."""
    folder = photos()
    annotations = photo_records(f"photos-{times}", folder, times)
    source = f'kind = "llava"\nannotations = "{annotations}"\nmedia = "{folder}"\nvisuals = "tiled"'
    tiles = f'[tiles]\ncut = "lossless"\noverview = "{overview}"' if overview else ""
    return pipeline(f"tiles-{times}{overview}", source, tiles)


def released(*what: str) -> Path:
    """The directory in which cargo has built `what`, with FFmpeg from FFMPEG_DIR linked in if it is named."""
    features = ["--features", "manyframe-media/static-ffmpeg"] if "FFMPEG_DIR" in os.environ else []
    subprocess.run(["cargo", "build", "--locked", "-q", "--release", *what, *features], check=True, cwd=ROOT)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


def built_example(package: str, example: str) -> Path:
    return released("-p", package, "--example", example) / "examples" / example


def libjpeg_floor() -> Path:
    """The same decoding and encoding with nothing around it: what no program that uses libjpeg-turbo can undercut."""
    return built_example("manyframe-media", "libjpeg_floor")


def job_tiles(manyframe: str) -> None:
    path = tiles_pipeline()
    folder, out = WORK / "photos", WORK / "python.tar"
    floor = libjpeg_floor()
    lossless = {overview: tiles_pipeline(overview=overview) for overview in ("pixels", "dct")}
    alone = built_example("manyframe-media", "tiles")
    contenders = {
        "manyframe": lambda: build(manyframe, path, 1),
        "manyframe, lossless": lambda: build(manyframe, lossless["pixels"], 1),
        "manyframe, lossless, overview by DCT": lambda: build(manyframe, lossless["dct"], 1),
        "its tiles alone": lambda: [alone, folder, out, "exact"],
        "its lossless tiles alone, overview by DCT": lambda: [alone, folder, out, "dct"],
        "floor: libjpeg-turbo's decoding and encoding alone": lambda: [floor, folder, out],
        "Python: simplejpeg and OpenCV": lambda: [PYTHON, BENCH / "tiles.py", "simplejpeg", folder, out],
        "Python: Pillow": lambda: [PYTHON, BENCH / "tiles.py", "pillow", folder, out],
    }
    other = Path(os.environ.get("BASELINES", "")).resolve() / "tiles_wds.py"
    for variant in ("pil", "cv2", "simplejpeg") if other.is_file() else ():
        shards = WORK / "baseline"
        command = [PYTHON, other, variant, folder, shards, "--procs", 1, "--writer", "tar"]
        contenders[f"{other.name} {variant}"] = lambda command=command: command
    found = side_by_side(contenders)
    shutil.rmtree(WORK / "baseline", ignore_errors=True)
    ours = found["manyframe"].cpu_s
    rows = [
        [name, f"{PHOTOS / run.cpu_s:.0f}", f"{run.cpu_s / ours:.2f}×", f"{run.peak_mib:.0f}"] for name, run in found.items()
    ]
    table(f"Tiles of {PHOTOS} photographs", ["", "images per CPU-second", "CPU time, relative", "peak MiB"], rows)


def job_threads(manyframe: str) -> None:
    """A thread besides those that make samples writes them, so that one thread keeps more than one core busy.

    libjpeg-turbo alone, in two processes that share nothing, shows how much faster than one core two can be on this machine."""
    path = tiles_pipeline()
    on_one_core = "1 thread on one core"
    floor, folder, out = libjpeg_floor(), WORK / "photos", WORK / "python.tar"
    limits = {
        "once": lambda: ["taskset", "--cpu-list", "0", floor, folder, out],
        "twice at once": lambda: ["sh", "-c", f"'{floor}' '{folder}' '{out}.0' & '{floor}' '{folder}' '{out}.1'; wait"],
    }
    contenders = {on_one_core: lambda: ["taskset", "--cpu-list", "0", *build(manyframe, path, 1)]}
    contenders |= {f"{n} thread{'s' * (n > 1)}": lambda n=n: build(manyframe, path, n) for n in (1, 2)}
    found = side_by_side(contenders | limits)
    by = lambda name, run: f"{found[name].wall_s / run.wall_s:.2f}×"
    rows = [[name, f"{run.wall_s:.2f}", by(on_one_core, run), by("1 thread", run)] for name, run in found.items() if name in contenders]
    once, twice = (found[name].wall_s for name in limits)
    rows.append(["libjpeg-turbo alone on two cores", f"{twice / 2:.2f}", f"{2 * once / twice:.2f}×", ""])
    table("The same job, by threads", ["", "seconds", "beside one core", "beside one thread"], rows)


def job_cores(manyframe: str) -> None:
    """How long builds of many samples take on more cores than there are, from the recorded costs of small ones."""
    folder, annotations = photos(), photo_records("photos-1", WORK / "photos", 1)
    source = f'kind = "llava"\nannotations = "{annotations}"\nmedia = "{folder}"\nvisuals = "whole"'
    for title, path in (("tiles", tiles_pipeline()), ("photographs as they are", pipeline("whole", source))):
        print(f"\n### More cores, by simulation: {title}\n", flush=True)
        subprocess.run([sys.executable, BENCH / "cores.py", manyframe, path, "20000"], check=True, cwd=ROOT)


def job_memory(manyframe: str) -> None:
    rows = []
    for times in (1, 10):
        run = measure(build(manyframe, tiles_pipeline(times), 2))
        rows.append([f"{PHOTOS * times:,} photographs", f"{run.peak_mib:.0f}", f"{run.wall_s:.0f}"])
    table("Memory by the size of the dataset (2 threads)", ["", "peak MiB", "seconds"], rows)


VIDEO_SECONDS = 30


def video_clips() -> list:
    """Two clips: a keyframe every 250 frames, and every 30."""
    clips = []
    for gop in (250, 30):
        clip = WORK / f"gop{gop}-{VIDEO_SECONDS}s.mp4"
        if not clip.exists():
            # Real footage, five seconds of it again and again: making a video must not take longer than reading it.
            source = ["-stream_loop", "-1", "-i", MEDIA / "videochat2/nextqa/1164/2400000001.mp4", "-t", str(VIDEO_SECONDS), "-vf", "scale=640:360", "-an"]
            encoder = ["-c:v", "libx264", "-preset", "medium", "-g", str(gop), "-keyint_min", str(gop), "-sc_threshold", "0", "-pix_fmt", "yuv420p"]
            subprocess.run(["ffmpeg", "-v", "error", *source, *encoder, "-y", clip], check=True)
        clips.append(clip)
    return clips


def video_pipeline(clip: Path, num_frames: int) -> Path:
    annotations = WORK / f"{clip.stem}.json"
    annotations.write_text(json.dumps([{"video": clip.name, "QA": [{"q": "What?", "a": "A rabbit."}]}]))
    source = f'kind = "videochat2"\nannotations = "{annotations}"\nmedia = "{WORK}"'
    return pipeline(f"video-{clip.stem}-{num_frames}", source, f'[video]\nsampling = "uniform"\nnum_frames = {num_frames}\n')


LONG_VIDEO_REPEATS = 20


def long_clip(clip: Path) -> Path:
    """Ten minutes: the packets of a clip again and again, with as many frames from one keyframe to the next."""
    long = clip.with_name(f"{clip.stem.split('-')[0]}-{VIDEO_SECONDS * LONG_VIDEO_REPEATS}s.mp4")
    if not long.exists():
        again = ["-stream_loop", str(LONG_VIDEO_REPEATS - 1), "-i", clip, "-c", "copy"]
        subprocess.run(["ffmpeg", "-v", "error", *again, "-y", long], check=True)
    return long


def job_video(manyframe: str) -> None:
    clips = video_clips()
    rows = [video_row(manyframe, clip, number) for clip in clips for number in (4, 16, 64)]
    title = f"Frames of a video of {VIDEO_SECONDS} s, H.264, 640×360, 25 a second"
    header = ["CPU seconds", "manyframe", "its frames alone", "PyAV from the start", "", "torchcodec", "", "without its imports", "", "PyAV seeking (once)"]
    table(title, header, rows)
    table(f"The same of {VIDEO_SECONDS * LONG_VIDEO_REPEATS} s", header, [video_row(manyframe, long_clip(clips[0]), 4)])


def video_row(manyframe: str, clip: Path, number: int) -> list:
    """Medians; beside those of others, how many times ours they are."""
    path, out = video_pipeline(clip, number), WORK / "python.tar"
    frames = lambda how: [PYTHON, BENCH / "frames.py", how, clip, number, out]
    contenders = {"manyframe": lambda: build(manyframe, path, 1)}
    # The same frames without a plan, checks, shards and a dataset.
    alone = built_example("manyframe-media", "frames")
    contenders["alone"] = lambda: [alone, clip, number, out]
    contenders |= {how: lambda how=how: frames(how) for how in ("scan", "torchcodec")}
    found = side_by_side(contenders)
    ours, theirs = found["manyframe"].cpu_s, found["torchcodec"]
    beside = lambda cpu_s: [f"{cpu_s:.2f}", f"{cpu_s / ours:.2f}×"]
    title = f"keyframe every {clip.stem.removeprefix('gop').split('-')[0]}, {number} frames"
    row = [title, f"{ours:.2f}", f"{found['alone'].cpu_s:.2f}", *beside(found["scan"].cpu_s), *beside(theirs.cpu_s), *beside(theirs.printed)]
    # Seeking decodes up to 249 frames for each that is wanted, which takes up to a minute.
    return [*row, f"{measure(frames('seek')).cpu_s:.2f}"]


BIG_JSON = WORK / "big.json"


def json_pipeline() -> Path:
    num_bytes = 1 << 30
    if not BIG_JSON.exists() or BIG_JSON.stat().st_size < num_bytes:
        write_big_json(BIG_JSON, num_bytes)
    source = f'kind = "text"\nannotations = "{BIG_JSON}"'
    return pipeline("json", source, "[duplicates]\nremove = \"nothing\"\n")


def job_json(manyframe: str) -> None:
    plan, path = json_pipeline(), BIG_JSON
    # The same reading, checking and digesting, without a tokenizer and without a plan from it.
    index = built_example("manyframe-plan", "index_without_tokens")
    contenders = {}
    for threads in (1, 2):
        contenders[f"indexed, no tokens, {threads} threads"] = lambda n=threads: [index, path, WORK / "json.parquet", n]
        options = ["--output", WORK / "json-out", "--fresh", "--quiet", "--threads", threads]
        contenders[f"planned, all tokens counted, {threads} threads"] = lambda o=options: [manyframe, "plan", plan, *o]
    contenders["Python: json.load, no tokens"] = lambda: [PYTHON, "-c", f"import json; print(len(json.load(open({str(path)!r}))))"]
    found = side_by_side(contenders, min(REPEATS, 3))
    rate = path.stat().st_size / 1e6
    rows = [[name, f"{rate / run.wall_s:.0f}", f"{rate / run.cpu_s:.0f}", f"{run.peak_mib:.0f}"] for name, run in found.items()]
    table("A JSON array of 1 GiB", ["", "MB/s", "MB per CPU-second", "peak MiB"], rows)


def million_pipeline() -> Path:
    sources, per_source = 5, 200_000
    body = ""
    for number in range(sources):
        path = WORK / f"million-{number}.jsonl"
        if not path.exists():
            write_short_conversations(path, number, per_source)
        body += f'\n[[source]]\nname = "s{number}"\nkind = "text"\nannotations = "{path}"\ntake = 120_000\n'
    pipeline = WORK / "million.toml"
    pipeline.write_text(f'name = "million"\n[format]\ntokenizer = "{MEDIA / "tokenizer.model"}"\n[pack]\naudit = "concat"\n{body}')
    return pipeline


def job_plan(manyframe: str) -> None:
    """A change of the mix over a million indexed records: nothing is read but the index."""
    pipeline = million_pipeline()
    out, counter = WORK / "million-out", iter(range(1, 1000))
    plan = lambda: [manyframe, "plan", pipeline, "--output", out, "--quiet", "--threads", 1, "--set", f"seed={next(counter)}"]
    indexing = measure(plan())
    peer = lambda: [PYTHON, BENCH / "plan.py", f"{out}.work/index", WORK / "million-python", 120_000, next(counter)]
    found = side_by_side({"manyframe, packing and its audit included": plan, "Python: pyarrow and numpy, no packing": peer}, 3)
    rows = [[name, f"{run.wall_s:.1f}", f"{run.cpu_s:.1f}", f"{run.peak_mib:.0f}"] for name, run in found.items()]
    rows.append(["(the first plan, which reads the annotations)", f"{indexing.wall_s:.1f}", f"{indexing.cpu_s:.1f}", f"{indexing.peak_mib:.0f}"])
    table("A plan over 1,000,000 indexed records, 600,000 of them drawn, on one core", ["", "seconds", "CPU seconds", "peak MiB"], rows)
    shutil.rmtree(f"{out}.work", ignore_errors=True)


def write_many_conversations(path: Path, seed: int, number: int, images: list) -> None:
    """Short conversations, each about an image if there are any."""
    import random

    order = random.Random(seed)
    words = "the of a in picture shows two people near water with red green house and tree under sky on road by day".split()
    phrases = [" ".join(order.choices(words, k=order.randint(4, 40))) for _ in range(4096)]
    with path.open("w") as file:
        for n in range(number):
            turns = [{"from": "human", "value": f"{n}: {order.choice(phrases)}?"}, {"from": "gpt", "value": order.choice(phrases)}]
            record = {"id": f"{seed}-{n}", "conversations": turns}
            if images:
                record["image"] = images[n % len(images)]
                turns[0]["value"] = "<image>\n" + turns[0]["value"]
            file.write(json.dumps(record) + "\n")


def many_pipeline(sources: int, per_source: int) -> Path:
    """Half of the sources are text, half have an image per record; six tenths of each are drawn."""
    folder = MEDIA / "allava_laion/images"
    images = sorted(image.name for image in folder.glob("*.jpeg"))
    body = ""
    for number in range(sources):
        is_text = number % 2 == 0
        path = WORK / f"many-{per_source}-{number}.jsonl"
        if not path.exists():
            write_many_conversations(path, number, per_source, [] if is_text else images)
        kind = 'kind = "text"' if is_text else f'kind = "llava"\nmedia = "{folder}"'
        take = f"take = {per_source * 6 // 10}"
        body += f'\n[[source]]\nname = "s{number}"\n{kind}\nannotations = "{path}"\n{take}\n'
    pipeline = WORK / f"many-{sources * per_source}.toml"
    tables = f'[format]\ntokenizer = "{MEDIA / "tokenizer.model"}"\n[pack]\n'
    pipeline.write_text(f'name = "many"\n{tables}{body}')
    return pipeline


def job_plan10m(manyframe: str) -> None:
    """A change of one ratio over ten million indexed records, half of them with an image: what a record costs in memory."""
    plans_again(manyframe, ((2, 500_000), (10, 1_000_000)), min(REPEATS, 3))


def job_plan100m(manyframe: str) -> None:
    """The same over a hundred million records, once. Takes about an hour, 80 GB of disk and 9 GiB of memory."""
    plans_again(manyframe, ((100, 1_000_000),), 1)


def plans_again(manyframe: str, mixes: tuple, repeats: int) -> None:
    out = WORK / "many-out"
    rows = []
    for sources, per_source in mixes:
        number = sources * per_source
        path = many_pipeline(sources, per_source)
        text, takes = path.read_text(), iter(range(per_source * 6 // 10, 0, -1))

        def plan() -> list:
            path.write_text(text.replace(f"take = {per_source * 6 // 10}", f"take = {next(takes)}", 1))
            return [manyframe, "plan", path, "--output", out, "--quiet", "--threads", 1]

        indexing = measure(plan())
        run = side_by_side({"again": plan}, repeats)["again"]
        rows.append([f"{number:,} records", f"{run.wall_s:.1f}", f"{run.cpu_s:.1f}", f"{run.peak_mib:.0f}", f"{run.peak_mib * 2**20 / number:.0f}", f"{indexing.cpu_s:.1f}"])
        if number >= 10_000_000:
            # What is known of records is then in files of the work directory, which the system keeps in memory as long as it likes.
            bound_mib = round(run.peak_mib / 2)
            bounded = measure(["sh", "-c", f'ulimit -d {bound_mib * 1024}; exec "$@"', "sh", *map(str, plan())])
            title = f"the same, at most {bound_mib} MiB allowed (`ulimit -d`)"
            rows.append([title, f"{bounded.wall_s:.1f}", f"{bounded.cpu_s:.1f}", "", f"{bound_mib * 2**20 / number:.0f}", ""])
        shutil.rmtree(f"{out}.work", ignore_errors=True)
    header = ["", "seconds", "CPU seconds", "peak MiB", "bytes a record", "CPU seconds of the first plan"]
    table("A plan again after a change of one ratio, six tenths drawn and packed, on one core", header, rows)


SIZED_IMAGES = 1_000_000


def sized_pipeline(name: str, model: str) -> Path:
    """Records with an image each, of a thousand different sizes; only headers are read of them."""
    folder, annotations = WORK / "sized", WORK / "sized.jsonl"
    if not annotations.exists():
        subprocess.run([PYTHON, BENCH / "make_sizes.py", folder, annotations, str(SIZED_IMAGES)], check=True)
    path = WORK / f"sized-{name}.toml"
    # The same tokenizer and template, so that only the law of the images differs.
    path.write_text(
        f'name = "sized"\n[format]\ntokenizer = "{MEDIA / "qwen3-vl/tokenizer.json"}"\ntemplate = "qwen3-vl"\n'
        f'[model]\n{model}\n[limits]\nmin_edge_px = 1\n[duplicates]\nremove = "nothing"\n'
        f'[[source]]\nname = "s"\nkind = "llava"\nannotations = "{annotations}"\nmedia = "{folder}"\n'
    )
    return path


def job_sizes(manyframe: str) -> None:
    """Planning images of mixed sizes by a model's own law, and at a fixed cost: records, headers and tokens are read each time."""
    models = {
        "every image costs the same": 'family = "longllava"\ndialect = "plain"',
        "qwen3-vl": 'family = "qwen3-vl"',
        "tiles, as InternVL's": 'family = "custom"\nplaceholder = "<|image_pad|>"\nlaw = { tiles = {} }',
    }
    out = WORK / "sized-out"

    def plan(path: Path) -> list:
        shutil.rmtree(f"{out}.work", ignore_errors=True)
        return [manyframe, "plan", path, "--output", out, "--quiet", "--threads", 1]

    paths = {name: sized_pipeline(str(number), model) for number, (name, model) in enumerate(models.items())}
    found = side_by_side({name: lambda path=path: plan(path) for name, path in paths.items()}, min(REPEATS, 3))
    fixed = next(iter(found.values())).cpu_s
    rows = [[name, f"{run.cpu_s:.1f}", f"{run.cpu_s / fixed:.3f}", f"{run.peak_mib:.0f}"] for name, run in found.items()]
    table(f"A first plan of {SIZED_IMAGES:,} images of mixed sizes, on one core", ["", "CPU seconds", "ratio", "peak MiB"], rows)
    shutil.rmtree(f"{out}.work", ignore_errors=True)


def job_before(manyframe: str) -> None:
    """The same jobs with another version of the program, in turn: what a change did to speed and memory."""
    before = str(Path(os.environ["BEFORE"]).resolve())
    programs = {"before": before, "now": manyframe}
    rows = []

    def compare(title: str, command, repeats: int = REPEATS) -> None:
        found = side_by_side({name: lambda program=program: command(program) for name, program in programs.items()}, repeats)
        ratio = found["now"].cpu_s / found["before"].cpu_s
        cells = [f"{found[name].cpu_s:.2f}" for name in programs] + [f"{ratio:.3f}"]
        rows.append([title, *cells] + [f"{found[name].peak_mib:.0f}" for name in programs])

    path = tiles_pipeline()
    compare(f"tiles of {PHOTOS} photographs, 1 thread", lambda program: build(program, path, 1))
    for clip in video_clips():
        for number in (4, 64):
            frames = video_pipeline(clip, number)
            compare(f"{number} frames of {clip.stem}, 1 thread", lambda program: build(program, frames, 1))
    plan = json_pipeline()
    options = ["--output", WORK / "json-out", "--fresh", "--quiet", "--threads", 1]
    compare("plan of 1 GiB of JSON, 1 thread", lambda program: [program, "plan", plan, *options], min(REPEATS, 3))
    million, counter = million_pipeline(), iter(range(1, 1000))
    mixed = lambda program: [
        program, "plan", million, "--output", WORK / f"million-{Path(program).parent.name}", "--quiet", "--threads", 1,
        "--set", f"seed={next(counter)}",
    ]
    for program in programs.values():
        measure(mixed(program))
    compare("plan of 1,000,000 indexed records, 1 thread", mixed, min(REPEATS, 3))
    for program in programs.values():
        shutil.rmtree(WORK / f"million-{Path(program).parent.name}.work", ignore_errors=True)
    table("Before and now: CPU seconds", ["", "before", "now", "ratio", "MiB before", "MiB now"], rows)


def write_short_conversations(path: Path, seed: int, number: int) -> None:
    import random

    order = random.Random(seed)
    words = "the of a in picture shows two people near water with red green house and tree under sky on road by day".split()
    with path.open("w") as file:
        for n in range(number):
            say = lambda low, high: " ".join(order.choices(words, k=order.randint(low, high)))
            turns = [{"from": "human", "value": f"{n}: {say(4, 15)}?"}, {"from": "gpt", "value": say(8, 40)}]
            file.write(json.dumps({"id": f"{seed}-{n}", "conversations": turns}) + "\n")


def job_pack(manyframe: str) -> None:
    """Ten million lengths; both print their own table."""
    print("\n### Packing 10,000,000 lengths on one core\n\n```", flush=True)
    subprocess.run(["cargo", "bench", "--locked", "-q", "-p", "manyframe-samplers"], check=True, cwd=ROOT)
    subprocess.run([PYTHON, BENCH / "pack.py", "10000000"], check=True, cwd=ROOT)
    print("```", flush=True)


LOADERS = {
    # The environment of each. The first is what others are compared with.
    "packs": ("manyframe", "loaders"),
    "packs_in_workers": ("manyframe in PyTorch's `DataLoader`", "loaders"),
    "webdataset": ("webdataset", "loaders"),
    "datasets": ("datasets", "loaders"),
    "energon": ("megatron-energon", "torch"),
    "streaming": ("mosaicml-streaming", "torch"),
}


def job_loaders(manyframe: str) -> None:
    """An epoch of packs, images as uint8 tensors, beside other loaders of the same samples."""
    package = python_package()
    # `datasets` does not notice that files of the same names are others.
    shutil.rmtree(WORK / "hugging-face", ignore_errors=True)
    for name, visuals, number, max_tokens in (("photographs", "whole", 240, 2048), ("tiles of 336 px", "tiled", 80, 8192)):
        dataset = loader_dataset(manyframe, visuals, number, max_tokens)
        # As many samples as a pack has on average.
        batch = round(number / read_epoch("loaders", package, "packs", dataset, 1, 0)["batches"])
        for workers in (1, 2):
            found = {loader: [] for loader in LOADERS}
            for _ in range(min(REPEATS, 3)):
                for loader, (_, environment) in LOADERS.items():
                    found[loader].append(read_epoch(environment, package, loader, dataset, workers, batch))
            rows = [loader_row(LOADERS[loader][0], epochs, found["packs"]) for loader, epochs in found.items()]
            epoch = found["packs"][0]
            title = f"{epoch['images']} {name} ({epoch['bytes'] / 3e6:.0f} megapixels) of {number} samples as tensors, {workers} workers"
            header = ["", "samples per CPU-second", "CPU time, relative", "samples per second", "MiB after each eighth of the epoch"]
            table(title, header, rows)


def loader_row(name: str, epochs: list, ours: list) -> list:
    median = lambda epochs, figure: statistics.median(epoch[figure] for epoch in epochs)
    assert len({(epoch["samples"], epoch["images"], epoch["bytes"]) for epoch in epochs + ours}) == 1, name
    num_samples, used = epochs[0]["samples"], median(epochs, "cpu_s")
    memory = " ".join(f"{mib:.0f}" for mib in epochs[-1]["memory_mib"])
    return [name, f"{num_samples / used:.0f}", f"{used / median(ours, 'cpu_s'):.2f}×", f"{num_samples / median(epochs, 'wall_s'):.0f}", memory]


def read_epoch(environment: str, package: Path, loader: str, dataset: Path, workers: int, batch: int) -> dict:
    python = PYTHON.parents[2] / environment / "bin" / "python"
    variables = {"PYTHONPATH": str(package), "HF_HOME": str(WORK / "hugging-face"), "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    command = [python, BENCH / "loaders.py", loader, dataset, str(workers), str(batch)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=WORK, env={**os.environ, **variables})
    return json.loads(done.stdout.splitlines()[-1])


def loader_dataset(manyframe: str, visuals: str, number: int, max_tokens: int) -> Path:
    """Photographs, or their tiles, packed, in every format that a loader takes."""
    folder, out = photos(), WORK / f"loaders-{visuals}"
    annotations = photo_records(f"loaders-{visuals}", folder, 1, number)
    source = f'kind = "llava"\nannotations = "{annotations}"\nmedia = "{folder}"\nvisuals = "{visuals}"'
    formats = '[output]\nformats = ["webdataset", "parquet", "mds"]\nmax_shard_samples = 20'
    path = pipeline(f"loaders-{visuals}", source, f"{formats}\n[pack]\nmax_tokens = {max_tokens}\n")
    subprocess.run([manyframe, "build", path, "--output", out, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return out


def python_package() -> Path:
    """A directory with the package `manyframe`; its module is that of the wheel in the environment MANYFRAME_WHEEL, or built here."""
    if "MANYFRAME_WHEEL" in os.environ:
        module = next(Path(os.environ["MANYFRAME_WHEEL"]).glob("lib/python3*/site-packages/manyframe/_native*.so"))
    else:
        module = released("-p", "manyframe-python") / "libmanyframe_python.so"
    subprocess.run([ROOT / "tests/setup/package.sh", module, WORK / "package"], check=True)
    return WORK / "package"


def write_big_json(path: Path, num_bytes: int) -> None:
    """Conversations like those of LLaVA's mix, of words drawn by frequency from the demo's own annotations."""
    import random

    words = []
    for file in sorted((ROOT / "pipelines/demo/annotations").rglob("*.json*")):
        words += [word for word in file.read_text().split() if word.isascii() and '"' not in word and "\\" not in word]
    order = random.Random(1)
    text = lambda low, high: " ".join(order.choices(words, k=order.randint(low, high)))
    with path.open("w") as file:
        file.write("[\n")
        number = 0
        while file.tell() < num_bytes:
            turns = []
            for _ in range(order.randint(1, 6)):
                turns += [{"from": "human", "value": text(5, 25)}, {"from": "gpt", "value": text(5, 120)}]
            record = {"id": f"{number:012}", "model": "", "conversations": turns}
            file.write((",\n" if number else "") + json.dumps(record, indent=2))
            number += 1
        file.write("\n]\n")


def main() -> None:
    jobs = {"tiles": job_tiles, "threads": job_threads, "cores": job_cores, "memory": job_memory, "video": job_video, "json": job_json, "plan": job_plan, "plan10m": job_plan10m, "plan100m": job_plan100m, "sizes": job_sizes, "pack": job_pack, "loaders": job_loaders}
    manyframe = str(Path(sys.argv[1]).resolve())
    if "BEFORE" in os.environ:
        jobs["before"] = job_before
    wanted = sys.argv[2:] or [name for name in jobs if name != "plan100m"]
    WORK.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        jobs[name](manyframe)
    shutil.rmtree(WORK / "out.work", ignore_errors=True)


main()
