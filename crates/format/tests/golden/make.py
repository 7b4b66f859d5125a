"""Makes the files of this directory with the sentencepiece and tokenizers packages: `python make.py`.

Two tiny BPE models of the shapes in use, trained on sentences that this script puts together:
  jamba.model   no prefix, single digits, runs of spaces, start and end tokens, a user-defined comma
  llama.model   a space before every text, as Llama and Mistral have it
  bytes.json    a byte-level tokenizer.json of Llama 3's shape
and, for each, expected.json: texts with the ids from the package itself.
Made with sentencepiece 0.2.3 and tokenizers 0.23.3.
"""

import io
import itertools
import json
import random
from pathlib import Path

import sentencepiece
import tokenizers

HERE = Path(__file__).parent
RANDOM = random.Random(1)
COLOURS = "red green blue white black yellow".split()
THINGS = "cat dog house bridge tree boat window street lamp umbrella".split()
PLACES = ["next to", "behind", "in front of", "far from", "under"]
TAGS = ["<img>", "</img>", "<image>", "<t>", "<vid>", "</vid>", "<|User|>\n", "<|Assistant|>\n", "<|startoftext|>", "<|endoftext|>", "</s>"]
ODD = ["\n", "  ", "\t", "\u2581", "é", "日本", "😀", "e\u0301", "\u3000", "1234", ",", "don't", "<0x0A>", "\u00a0", "\r\n", " ", ".", "a", "the"]


def sentences():
    for colour, thing, place, other in itertools.product(COLOURS, THINGS, PLACES, THINGS):
        number = RANDOM.randrange(2000)
        yield f"The {colour} {thing} stands {place} {number} {other}s, doesn't it?"
        yield f"What is in this image? A {thing} and, {place} it, the {other}."
        yield "".join(RANDOM.choices(TAGS[:6] + ["\t", "    ", "User|> ", "<|", "|>"], k=4))


def texts():
    corpus = list(sentences())
    yield from RANDOM.sample(corpus, 60)
    for _ in range(240):
        yield "".join(RANDOM.choices(TAGS + ODD + [RANDOM.choice(corpus)], k=RANDOM.randint(1, 12)))


def train_sentencepiece(corpus, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_writer=model, model_type="bpe", vocab_size=700, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True,
        num_threads=1, minloglevel=2, **options,
    )
    return model.getvalue()


def train_byte_level(corpus):
    words = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    steps = tokenizers.pre_tokenizers
    tokenizer.pre_tokenizer = steps.Sequence([
        steps.Split(tokenizers.Regex(words), "isolated"),
        steps.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.train_from_iterator(corpus, tokenizers.trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=steps.ByteLevel.alphabet(), special_tokens=["<|startoftext|>", "<|endoftext|>"],
        show_progress=False,
    ))
    return tokenizer


def main():
    corpus = list(sentences())
    jamba = train_sentencepiece(
        corpus, add_dummy_prefix=False, split_digits=True, user_defined_symbols=[","], unk_id=3, bos_id=1, eos_id=2, pad_id=0,
        bos_piece="<|startoftext|>", eos_piece="<|endoftext|>", pad_piece="<|pad|>", unk_piece="<|unk|>",
    )
    llama = train_sentencepiece(corpus, split_digits=True)
    byte_level = train_byte_level(corpus)
    (HERE / "jamba.model").write_bytes(jamba)
    (HERE / "llama.model").write_bytes(llama)
    (HERE / "bytes.json").write_text(byte_level.to_str(), encoding="utf-8")

    samples = sorted(set(texts()))
    expected = {
        "jamba.model": sentencepiece.SentencePieceProcessor(model_proto=jamba).encode(samples),
        "llama.model": sentencepiece.SentencePieceProcessor(model_proto=llama).encode(samples),
    }
    byte_level.encode_special_tokens = True
    expected["bytes.json"] = [byte_level.encode(text).ids for text in samples]
    rows = [{"text": text, **{name: ids[index] for name, ids in expected.items()}} for index, text in enumerate(samples)]
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    (HERE / "expected.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
