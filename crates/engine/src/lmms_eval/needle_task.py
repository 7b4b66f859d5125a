"""The task `manyframe_needles` of lmms-eval: shows the videos and images beside this file, and scores the letters that a model writes.

A group is one question with its options in several orders: it is right if all of them are. Written by `manyframe export`.
"""

import re
from collections import defaultdict
from pathlib import Path

from PIL import Image

POST_PROMPT = "\nAnswer with the option's letter from the given choices directly."
DIRECTORY = Path(__file__).resolve().parent


def doc_to_visual(doc):
    if doc["video_name"]:
        return [str(DIRECTORY / "videos" / doc["video_name"].split("/")[-1])]
    return [Image.open(DIRECTORY.joinpath("images", *name.split("/")[-2:])).convert("RGB") for name in doc["images"]]


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    settings = lmms_eval_specific_kwargs or {}
    return settings.get("pre_prompt", "") + doc["question"] + settings.get("post_prompt", POST_PROMPT)


def chosen_letter(doc, answer):
    """The letter of the option that an answer chooses, or None.

    It is the answer itself (`B`, `(B)`, `B. A bus`), what comes after `answer is` or `answer:`, or else the last letter of an option that is a
    word of its own, and no article or pronoun (`A bus`, `I think`).
    """
    letters = "".join(re.findall(r"^([A-Z])\. ", doc["question"], re.MULTILINE))
    for pattern in (
        rf"^\W*([{letters}])(?:\W*$|[.:)\]*\n]|,(?!\s*[{letters}]\b))",
        rf"(?i:\banswer(?: is)?[\s:*\"'(\[]*(?:option[\s:*]*)?)([{letters}])\b",
    ):
        if found := re.search(pattern, answer):
            return found[1]
    no_option = r"[AI] (?!(?:is|was|seems|looks|because|since|as)\b)[a-z]"
    alone = re.findall(rf"(?<![\w'’])(?!{no_option})([{letters}])(?![\w'’])", answer)
    return alone[-1] if alone else None


def process_results(doc, results):
    scored = {"group": doc["group"], "is_right": chosen_letter(doc, results[0]) == doc["answer"]}
    return {"accuracy": scored, "group_accuracy": scored}


def accuracy(scored):
    return sum(one["is_right"] for one in scored) / len(scored)


def group_accuracy(scored):
    groups = defaultdict(list)
    for one in scored:
        groups[one["group"]].append(one["is_right"])
    return sum(all(group) for group in groups.values()) / len(groups)
