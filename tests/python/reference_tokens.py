"""Makes ids and labels from the messages of Parquet shards, and compares them with the columns that manyframe wrote.

usage: reference_tokens.py TOKENIZER DATASET...

TOKENIZER is a SentencePiece .model or a tokenizer.json. Written from the description of LongLLaVA's format alone, for
datasets with its template; neither the column `prompt` nor `label_spans` is read, and nothing of manyframe's code is used:

* A turn of the user is `<|startoftext|><|User|>\\n`, text, `\\n`; one of the assistant is `<|startoftext|><|Assistant|>\\n`,
  answer, `<|endoftext|>`. A system text opens the first turn of the user. A document, which is one turn of the assistant by
  itself, is `<|startoftext|>`, text, `<|endoftext|>`.
* The prompt is split at `<image>`; each chunk is tokenized on its own. An image is the id -200.
* The loss falls on answers and their end tokens; every other label is -100. A token is trained if a character of it is.

Prints how many samples were compared and how many differ; exits with 1 if one does.
"""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet

IMAGE, IMAGE_ID, IGNORED = "<image>", -200, -100
START, END = "<|startoftext|>", "<|endoftext|>"

Token = tuple[int, int, int]
"""Id, first character, one past the last."""


def main() -> None:
    encode = tokenizer_json(sys.argv[1]) if sys.argv[1].endswith(".json") else sentencepiece_model(sys.argv[1])
    num_samples = num_ids = num_labels = num_different = 0
    for shard in sorted(path for dataset in sys.argv[2:] for path in Path(dataset).glob("parquet/*/*.parquet")):
        columns = ["id", "messages", "input_ids", "labels", "image_positions", "num_tokens", "num_images"]
        for row in pyarrow.parquet.read_table(shard, columns=columns).to_pylist():
            ids, labels = reference(row["messages"], encode)
            positions = [place for place, token in enumerate(ids) if token == IMAGE_ID]
            num_samples, num_ids = num_samples + 1, num_ids + len(ids)
            num_labels += sum(label != IGNORED for label in labels)
            found = row["input_ids"], row["labels"], row["image_positions"], row["num_tokens"], row["num_images"]
            num_tokens = len(ids) - len(positions) + 144 * len(positions)
            if found != (ids, labels, positions, num_tokens, len(positions)):
                num_different += 1
                print(f"{shard}: sample {row['id']} differs")
    print(f"{num_samples} samples, {num_ids} ids, {num_labels} labels, {num_different} differ")
    sys.exit(num_different > 0)


def reference(messages: list[dict], encode: Callable[[str], list[Token]]) -> tuple[list[int], list[int]]:
    prompt, is_trained, system = "", [], ""

    def write(text: str, trained: bool = False) -> None:
        nonlocal prompt
        prompt += text
        is_trained.extend([trained] * len(text))

    if [message["role"] for message in messages] == ["assistant"]:
        write(START)
        write(messages[0]["content"] + END, trained=True)
        messages = []
    for message in messages:
        if message["role"] == "system":
            system = message["content"] + "\n"
        elif message["role"] == "user":
            write(f"{START}<|User|>\n{system}{message['content']}\n")
            system = ""
        else:
            write(f"{START}<|Assistant|>\n")
            write(message["content"] + END, trained=True)

    ids, labels = [], []
    for chunk, start in chunks(prompt):
        if chunk == IMAGE:
            ids.append(IMAGE_ID)
            labels.append(IGNORED)
            continue
        for token, first, last in encode(chunk):
            # A token without characters is the mark that some models put before a text.
            characters = is_trained[start + first : start + max(last, first + 1)]
            ids.append(token)
            labels.append(token if any(characters) else IGNORED)
    return ids, labels


def chunks(prompt: str) -> Iterator[tuple[str, int]]:
    """The prompt's images, and the texts around them, with their first characters."""
    start = 0
    for chunk in re.split(f"({IMAGE})", prompt):
        yield chunk, start
        start += len(chunk)


def sentencepiece_model(path: str) -> Callable[[str], list[Token]]:
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=path)
    # Control pieces never come from text: a prompt is split at them, too.
    controls = [piece for piece in (START, END) if model.is_control(model.piece_to_id(piece))]
    pattern = "|".join(map(re.escape, controls)) or "(?!)"

    def encode(chunk: str) -> list[Token]:
        tokens, start = [], 0
        for part in re.split(f"({pattern})", chunk):
            if part in controls:
                tokens.append((model.piece_to_id(part), start, start + len(part)))
            elif part:
                # The library counts bytes.
                characters = [index for index, character in enumerate(part) for _ in character.encode()] + [len(part)]
                pieces = model.encode(part, return_type="proto").pieces
                tokens += [(p.id, start + characters[p.begin], start + characters[p.end]) for p in pieces]
            start += len(part)
        return tokens

    return encode


def tokenizer_json(path: str) -> Callable[[str], list[Token]]:
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(path)

    def encode(chunk: str) -> list[Token]:
        encoding = tokenizer.encode(chunk, add_special_tokens=False)
        return [(token, first, last) for token, (first, last) in zip(encoding.ids, encoding.offsets)]

    return encode


if __name__ == "__main__":
    main()
