#!/usr/bin/env python3
"""Scores the options of a needle set with transformers, and compares them with what `manyframe validate --needles` wrote.

Usage: needle_scores.py DATASET MODEL TOKENIZER

Questions, options and the places of visuals come from needles.jsonl and the messages of the dataset's WebDataset shards; ids from
tests/python/reference_tokens.py, pixels from Pillow, logits from CLIP and Jamba in transformers, each prompt in one go. Nothing of manyframe's
code is used. Fails if a log-likelihood, with visuals or as text alone, differs by more than 1e-5, or if another option is the likeliest.
"""

import json
import pathlib
import sys

import pyarrow.parquet
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "python"))
import dataset_loss  # noqa: E402
import reference_tokens  # noqa: E402

MOST_APART = 1e-5
START = reference_tokens.START


def without_visuals(sample):
    """The question of a sample, as text alone."""
    text = sample["conversations"][0]["value"]
    for visual in reversed(sample["visuals"]):
        text = text[: visual["start"]] + text[visual["end"] :]
    return text.strip()


def ids_of(question, answer, encode):
    """The ids up to an answer, and those of the answer, without what ends a turn."""
    before = f"{START}<|User|>\n{question}\n{START}<|Assistant|>\n"
    ids, num_before = [], 0
    for chunk, start in reference_tokens.chunks(before + answer):
        if chunk == reference_tokens.IMAGE:
            ids.append(reference_tokens.IMAGE_ID)
            continue
        for token, first, last in encode(chunk):
            ids.append(token)
            num_before = len(ids) if start + max(last, first + 1) <= len(before) else num_before
    return ids[:num_before], ids[num_before:]


class Scorer:
    """Features of images are computed once: permutations of a question show the same."""

    def __init__(self, directory, encode):
        self.model, self.encode = dataset_loss.Model(directory), encode
        self.features = {}

    def row(self, image):
        if image not in self.features:
            self.features[image] = self.model.image(image)
        return self.features[image]

    def predictions(self, ids, number, images):
        """ln p of every token at the last places of a prompt, and after it."""
        images, embed = iter(images), self.model.jamba.model.embed_tokens
        rows = [self.row(next(images)) if token == reference_tokens.IMAGE_ID else embed(torch.tensor([token])) for token in ids]
        logits = self.model.jamba(inputs_embeds=torch.cat(rows)[None], use_cache=False).logits[0]
        return logits[-number:].double().log_softmax(-1)

    def scores(self, text, answers, images):
        """ln p of each answer to a question. Those that differ in their last token are read from one run."""
        runs = {}
        for answer in answers:
            before, (*first, last) = ids_of(text, answer, self.encode)
            key = *before, *first
            if key not in runs:
                runs[key] = self.predictions(key, len(first) + 1, images)
            yield sum(runs[key][place, token].item() for place, token in enumerate([*first, last]))


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    dataset, model, tokenizer = map(pathlib.Path, sys.argv[1:])
    report = json.loads((dataset / "needle-scores.json").read_text())
    rows = {row["id"]: row for row in pyarrow.parquet.read_table(dataset / report["table"]["path"]).to_pylist()}
    lines = {line["sample"]: line for line in map(json.loads, (dataset / "needles.jsonl").read_text().splitlines())}
    if sorted(rows) != sorted(lines):
        sys.exit("the table has other questions than the dataset")
    encode = reference_tokens.sentencepiece_model(str(tokenizer))
    scorer = Scorer(model, encode)
    worst, num_options, num_right = {"seen": 0.0, "as text alone": 0.0}, 0, 0
    with torch.no_grad():
        for key, sample, images in dataset_loss.samples(dataset, lines):
            line, row = lines[key], rows[key]
            answers = [option["letter"] for option in line["options"]] or [line["answer"]]
            question = sample["conversations"][0]["value"]
            sides = [("seen", question, row["log_likelihoods"]), ("as text alone", without_visuals(sample), row["blind_log_likelihoods"])]
            for side, text, found in sides:
                found = json.loads(found)
                theirs = list(scorer.scores(text, answers, images))
                if len(found) != len(theirs):
                    sys.exit(f"{key}: {len(found)} scores, expected {len(theirs)}")
                worst[side] = max([worst[side]] + [abs(one - other) for one, other in zip(found, theirs)])
                num_options += len(theirs)
                if side == "seen" and line["options"]:
                    likeliest = max(range(len(theirs)), key=theirs.__getitem__)
                    runners_up = [score for place, score in enumerate(theirs) if place != likeliest]
                    if row["likeliest"] != likeliest and theirs[likeliest] - max(runners_up) > 2 * MOST_APART:
                        sys.exit(f"{key}: option {row['likeliest']} is said to be the likeliest, expected {likeliest} of {theirs}")
                    num_right += answers[row["likeliest"]] == line["answer"]
    if report["total"]["num_right"] != num_right and all(line["options"] for line in lines.values()):
        sys.exit(f"{report['total']['num_right']} questions are said to be answered right, expected {num_right}")
    apart = ", ".join(f"{side} at most {difference:.2e}" for side, difference in worst.items())
    print(f"{len(rows)} questions, {num_options} scores of options: {apart} apart; {num_right} answered right by both")
    sys.exit(max(worst.values()) > MOST_APART)


if __name__ == "__main__":
    main()
