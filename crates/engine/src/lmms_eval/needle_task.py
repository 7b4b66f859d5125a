"""The task `manyframe_needles` of lmms-eval: shows the videos beside this file, and scores the letters that a model writes.

A group is one question with its options in several orders: it is right if all of them are. Written by `manyframe export`.
"""

import re
from collections import defaultdict
from pathlib import Path

POST_PROMPT = "\nAnswer with the option's letter from the given choices directly."


def doc_to_visual(doc):
    name = doc["video_name"].split("/")[-1]
    return [str(Path(__file__).resolve().parent / "videos" / name)]


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    settings = lmms_eval_specific_kwargs or {}
    return settings.get("pre_prompt", "") + doc["question"] + settings.get("post_prompt", POST_PROMPT)


def process_results(doc, results):
    letter = re.search(r"\b[A-Z]\b", results[0].strip())
    is_right = letter is not None and letter.group() == doc["answer"]
    scored = {"group": doc["group"], "is_right": is_right}
    return {"accuracy": scored, "group_accuracy": scored}


def accuracy(scored):
    return sum(one["is_right"] for one in scored) / len(scored)


def group_accuracy(scored):
    groups = defaultdict(list)
    for one in scored:
        groups[one["group"]].append(one["is_right"])
    return sum(all(group) for group in groups.values()) / len(groups)
