"""Asks the questions of an exported task of lmms-eval as its evaluator does: `ask_lmms_eval_task.py DIRECTORY`.

A task is a YAML file whose `!function` tags name functions of a file beside it. The evaluator passes its dataset settings to
`datasets.load_dataset`, each record to `doc_to_visual` and `doc_to_text`, each answer to `process_results`, and all that these give for a
metric to its `aggregation`. Written after the public code; none of it is used.

Prints how many questions were asked; exits with 1 at the first fault.
"""

import importlib.util
import sys
from collections import defaultdict
from pathlib import Path

import datasets
import yaml


def fail(message: str) -> None:
    sys.exit(f"ask_lmms_eval_task: {message}")


def task_of(directory: Path) -> dict:
    """The settings of a task, each function loaded."""

    class Loader(yaml.SafeLoader):
        pass

    def function(loader: Loader, node: yaml.ScalarNode):
        module, name = loader.construct_scalar(node).split(".")
        spec = importlib.util.spec_from_file_location(module, directory / f"{module}.py")
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return getattr(loaded, name)

    Loader.add_constructor("!function", function)
    return yaml.load((directory / "needles.yaml").read_text(), Loader)


def main() -> None:
    directory = Path(sys.argv[1])
    task = task_of(directory)
    cache = directory.with_name("lmms-eval-cache")
    docs = datasets.load_dataset(task["dataset_path"], name=None, cache_dir=str(cache), **task["dataset_kwargs"])[task["test_split"]]
    forms = (" {}. It is.", "({})", "I think the answer is {}.", "A clear view shows it: {}", "**Answer:** {}", "It's not A, it's {}\n", "A, B, C or D? It is {}.", "I gave no answer. {}, I see now.",
             "I cannot answer at once. A clear view shows {}, though. A bus is there.", "Looking closely, {} is right.")
    right = [(lambda doc, form=form: form.format(doc[task["doc_to_target"]]), (1, 1)) for form in forms]
    # Who always says A is right once in a group of four, and in no whole group.
    for said, expected in (*right, (lambda doc: "A", (1 / 4, 0)), (lambda doc: "", (0, 0)), (lambda doc: "I see nothing.", (0, 0))):
        of_metric = defaultdict(list)
        for doc in docs:
            visuals, text = task["doc_to_visual"](doc), task["doc_to_text"](doc, None)
            if doc["video_name"]:
                are_there = len(visuals) == 1 and Path(visuals[0]).is_file()
            else:
                are_there = len(visuals) == len(doc["images"]) > 0 and all(image.mode == "RGB" for image in visuals)
            if not are_there or not text.startswith(doc["question"]) or "letter" not in text:
                fail(f"the task does not ask {doc}")
            for metric, value in task["process_results"](doc, [said(doc)]).items():
                of_metric[metric].append(value)
        found = tuple(metric["aggregation"](of_metric[metric["metric"]]) for metric in task["metric_list"])
        if found != expected:
            fail(f"the task scores {found}, expected {expected}")
    print(f"{len(docs)} questions")


if __name__ == "__main__":
    main()
