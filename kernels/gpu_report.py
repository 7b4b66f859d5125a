"""Puts the results of `gpu-check.sh run` into one line of JSON: gpu_report.py OUT DEVICE. Fails if a step did."""

import json
import pathlib
import re
import sys


def records(path):
    """The lines of a file that are JSON objects."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.startswith("{")]


def tests(path):
    """Each test of a program, with how it went and the lines it printed."""
    found = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        if begun := re.match(r"test (\S+) \.\.\. ?(.*)", line):
            found.append({"test": begun[1], "ok": False, "printed": []})
            line = begun[2]
        if not found:
            continue
        if line == "ok":
            found[-1]["ok"] = True
        elif line not in ("", "FAILED") and not line.startswith("test result:"):
            found[-1]["printed"].append(line)
    return found


def main():
    out, device = pathlib.Path(sys.argv[1]), sys.argv[2]
    steps = records(out / "steps.jsonl")
    kernels = tests(out / "kernels.txt")
    parity = {path.stem.removeprefix("parity-"): tests(path) for path in sorted(out.glob("parity-*.txt"))}
    missing = []
    for step in steps:
        if step["code"] != 0:
            missing.append(f"{step['step']}: {'no time left' if step['code'] == 124 else 'ended with ' + str(step['code'])}")
    # Without a card the kernels' tests pass, and say that they were skipped.
    skipped = [test["test"] for test in kernels if any(line.startswith("skipped") for line in test["printed"])]
    if device != "cpu" and any(step["step"] == "kernels" for step in steps) and (skipped or not kernels):
        missing.append(f"kernels: not run on a GPU: {', '.join(skipped) or 'all'}")
    for dtype, found in parity.items():
        if not any(test["ok"] for test in found):
            missing.append(f"parity-{dtype}: no test passed")
    card = out / "card.txt"
    result = {
        "ok": not missing,
        "missing": missing,
        "device": device,
        "card": card.read_text().strip() if card.exists() else None,
        "steps": steps,
        "kernels": kernels,
        "parity": parity,
        "validation": records(out / "validation.txt"),
        "text": records(out / "text.txt"),
        "torch": records(out / "torch.txt"),
        "images": records(out / "images.txt"),
    }
    print(json.dumps(result))
    sys.exit(0 if result["ok"] else 1)


if __name__ == "__main__":
    main()
