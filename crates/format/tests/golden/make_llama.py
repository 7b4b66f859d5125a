"""Makes llama.json and llama_tokenizer.json with the tokenizers of transformers: `python make_llama.py`.

Directories with llama.model and what may be beside it, and what Llama's tokenizer makes of texts there. Where nothing says whether
`<s>` is before a text, it is told to (`add_bos_token=True`), as the published checkpoints of LLaVA-1.5 and LLaVA-NeXT tell it.
Made with transformers 5.23.0 and sentencepiece 0.2.3; needs no PyTorch.
"""

import json
import os
import pathlib
import shutil
import tempfile

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "critical")

import transformers  # noqa: E402

HERE = pathlib.Path(__file__).parent
CONFIG, ADDED, SPECIAL = "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json"
IMAGE = {"content": "<image>", "special": True}
CASES = {
    "added tokens": {ADDED: {"<image>": 700}},
    "added tokens, one of them special": {ADDED: {"<pad>": 700, "<image>": 701}, SPECIAL: {"pad_token": "<pad>", "bos_token": {"content": "<s>"}}},
    "further special tokens": {ADDED: {"<image>": 700}, SPECIAL: {"additional_special_tokens": ["<image>"]}},
    "listed": {CONFIG: {"added_tokens_decoder": {"700": IMAGE}}},
    "listed, and an older list": {CONFIG: {"added_tokens_decoder": {"700": IMAGE}}, ADDED: {"cat": 701}, SPECIAL: {"bos_token": "</s>"}},
    "without a start": {CONFIG: {"add_bos_token": False}, ADDED: {"<image>": 700}},
    "with an end": {CONFIG: {"add_bos_token": True, "add_eos_token": True}, ADDED: {"<image>": 700}},
    "legacy": {CONFIG: {"legacy": True}, ADDED: {"<image>": 700}},
    "not legacy": {CONFIG: {"legacy": False}, ADDED: {"<image>": 700}},
}
TEXTS = [
    "USER: <image>\nWhat is in this image? ASSISTANT: A red cat. ",
    "USER: The red cat<image> \u65e5\u672c<image>\nthe  street lamp ASSISTANT: It stands. USER:  And? ASSISTANT: No. ",
    " a space<image>  two",
    "\u2581a mark</s>\u2581another",
]


def tokenizer_json():
    """A tokenizer.json of the same model, of the form that Llama 2 has: its normalizer puts the space before each text."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "llama.model", pathlib.Path(folder) / "tokenizer.model")
        (pathlib.Path(folder) / ADDED).write_text(json.dumps({"<image>": 700}))
        tokenizer = json.loads(transformers.LlamaTokenizer.from_pretrained(folder, add_bos_token=True).backend_tokenizer.to_str())
    steps = [{"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]
    return tokenizer | {"normalizer": {"type": "Sequence", "normalizers": steps}, "pre_tokenizer": None}


def main():
    rows = []
    for name, files in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            shutil.copy(HERE / "llama.model", folder / "tokenizer.model")
            for file, content in files.items():
                (folder / file).write_text(json.dumps(content))
            start = {} if "add_bos_token" in files.get(CONFIG, {}) else {"add_bos_token": True}
            tokenizer = transformers.LlamaTokenizer.from_pretrained(folder, **start)
            rows.append({"name": name, "files": files, "ids": [tokenizer(text)["input_ids"] for text in TEXTS]})
    (HERE / "llama_tokenizer.json").write_text(json.dumps(tokenizer_json(), ensure_ascii=False, separators=(",", ":")))
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    (HERE / "llama.json").write_text(f'{{"texts":{json.dumps(TEXTS, ensure_ascii=False)},"rows":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
