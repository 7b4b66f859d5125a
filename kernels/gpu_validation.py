"""Validates one small dataset on the CPU and on a GPU and compares: gpu_validation.py MANYFRAME DIRECTORY DEVICE.

The dataset is made of images of the repository, on the spot. Prints a line of JSON; fails if a loss differs by more than bf16 explains.
"""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
IMAGES = ROOT / "crates/media/tests/data/images"
# Of the mean loss of a source, relative: weights and activations are bf16 on a GPU.
TOLERANCE = 0.005


def write_dataset(manyframe: str, directory: pathlib.Path) -> pathlib.Path:
    names = sorted(path.name for path in IMAGES.glob("*.jpg"))
    records = []
    for number in range(48):
        shown = [names[(number * 5 + n) % len(names)] for n in range(1 + number % 6)]
        turns = [
            {"from": "human", "value": "<image>\n" * len(shown) + f"What do the {len(shown)} pictures of set {number} show?"},
            {"from": "gpt", "value": "Colours. " * (1 + number % 9)},
        ]
        records.append({"id": str(number), "images": shown, "conversations": turns})
    (directory / "records.json").write_text(json.dumps(records))
    pipeline = directory / "mix.toml"
    pipeline.write_text(
        f"""name = "gpu-check"
[format]
tokenizer = "{ROOT}/crates/format/tests/golden/jamba.model"
[[source]]
name = "pictures"
kind = "mantis"
annotations = "{directory}/records.json"
media = "{IMAGES}"
"""
    )
    output = directory / "dataset"
    subprocess.run([manyframe, "build", pipeline, "--output", output, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return output


def losses(manyframe: str, dataset: pathlib.Path, model: pathlib.Path, device: str) -> dict:
    command = [manyframe, "validate", dataset, "--model", model, "--all", "--device", device, "--json", "--quiet"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main() -> None:
    manyframe, directory, device = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    directory.mkdir(parents=True)
    dataset, model = write_dataset(manyframe, directory), directory / "model"
    subprocess.run([manyframe, "model", "init", model, "--seed", "7"], check=True, stdout=subprocess.DEVNULL)
    there, here = (losses(manyframe, dataset, model, where)["total"] for where in (device, "cpu"))
    kept = ("num_samples", "num_tokens", "num_mismatched", "loss_mean")
    found = {"cpu": {k: here.get(k) for k in kept}, device: {k: there.get(k) for k in kept}}
    print(json.dumps(found))
    if here["num_samples"] != 48 or there["num_mismatched"] or here["num_mismatched"]:
        sys.exit("samples are missing, or differ from their token counts")
    if not abs(there["loss_mean"] - here["loss_mean"]) <= TOLERANCE * here["loss_mean"]:
        sys.exit("the losses differ")


if __name__ == "__main__":
    main()
