"""Counts the tokens of every delivered prompt with sentencepiece and compares them with what the shards say.

usage: count_tokens.py TOKENIZER.model DATASET

A prompt is split at the placeholders and at the template's special tokens, as far as the tokenizer has these as control
tokens; what lies between is encoded on its own. The delimiters of the dialect `longllava` are what a prompt has more than
one with bare placeholders. Nothing of manyframe's own code is used.
"""

import json
import re
import sys
import tarfile
from pathlib import Path

import sentencepiece

PLACEHOLDER = "<image>"
SPECIALS = ("<|startoftext|>", "<|endoftext|>")
TOKENS_PER_IMAGE = 144
IMAGE = f"<img>{PLACEHOLDER}</img>"
NEWLINE = r"(?:\n(?!<\|startoftext\|>))?"
"""The newline of a visual; the one before the next turn is the template's."""
VISUALS = re.compile(f"<vid>(?:{IMAGE}(?:<t>)?)+</vid>{NEWLINE}|(?:{IMAGE}{NEWLINE})+")


def count(tokenizer: sentencepiece.SentencePieceProcessor, prompt: str) -> int:
    specials = [s for s in SPECIALS if tokenizer.is_control(tokenizer.piece_to_id(s))]
    pattern = "|".join(map(re.escape, [PLACEHOLDER, *specials]))
    text_tokens = sum(len(tokenizer.encode(chunk)) for chunk in re.split(pattern, prompt) if chunk)
    special_tokens = sum(prompt.count(special) for special in specials)
    return text_tokens + special_tokens


def main() -> None:
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=sys.argv[1])
    num_samples = num_different = 0
    for shard in sorted(Path(sys.argv[2]).glob("webdataset/*/*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                if not member.name.endswith(".json"):
                    continue
                sample = json.load(tar.extractfile(member))
                num_samples += 1
                expected = count(tokenizer, sample["prompt"])
                delimiters = expected - count(tokenizer, VISUALS.sub(PLACEHOLDER, sample["prompt"]))
                visual = len(sample["images"]) * TOKENS_PER_IMAGE
                found = tuple(sample[f"{kind}_tokens"] for kind in ("text", "delimiter", "visual")) + (sample["num_tokens"],)
                if found != (expected, delimiters, visual, expected + visual):
                    num_different += 1
                    print(f"{sample['id']}: {found}, sentencepiece counts {expected} of text, {delimiters} of delimiters")
    print(f"{num_samples} prompts, {num_different} differ")


if __name__ == "__main__":
    main()
