#!/usr/bin/env python3
"""Computes the losses of delivered samples with transformers, and compares them with what `manyframe validate` wrote.

Usage: dataset_loss.py DATASET MODEL TOKENIZER [GOLDEN]

Prompts and images come from the dataset's WebDataset shards, ids and labels from tests/python/reference_tokens.py, pixels from
Pillow, hidden states from CLIP and Jamba in transformers. Nothing of manyframe's code is used. Fails if a loss differs by more
than 1e-5. Writes the losses, by the ids of the samples, to GOLDEN: tests/golden/demo-losses.json is made by it.
"""

import io
import json
import pathlib
import sys
import tarfile

import numpy
import pyarrow.parquet
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPVisionConfig, CLIPVisionModel, JambaForCausalLM

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "python"))
import reference_tokens  # noqa: E402

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])
DEVIATION = torch.tensor([0.26862954, 0.26130258, 0.27577711])


class Model:
    def __init__(self, directory):
        self.jamba = JambaForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
        config = json.loads((directory / "config.json").read_text())
        weights = {name: tensor.float() for name, tensor in load_file(directory / "model.safetensors").items()}
        self.clip = CLIPVisionModel(CLIPVisionConfig(**config["vision_config"])).eval().float()
        prefix = "model.vision_tower.vision_tower.vision_model."
        own = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
        wanted = self.clip.state_dict().keys()
        if all(name.startswith("vision_model.") for name in wanted):
            own = {f"vision_model.{name}": tensor for name, tensor in own.items()}
        self.clip.load_state_dict(own)
        self.projector = [weights[f"model.mm_projector.{layer}.{part}"] for layer in (0, 2) for part in ("weight", "bias")]
        self.side = config["vision_config"]["image_size"]

    def image(self, encoded):
        image = Image.open(io.BytesIO(encoded)).convert("RGB")
        long = max(image.size)
        square = Image.new("RGB", (long, long), (122, 116, 104))
        square.paste(image, ((long - image.width) // 2, (long - image.height) // 2))
        pixels = torch.from_numpy(numpy.asarray(square.resize((self.side, self.side), Image.BICUBIC)).copy()).float() / 255
        pixels = ((pixels - MEAN) / DEVIATION).permute(2, 0, 1)[None]
        hidden = self.clip(pixel_values=pixels, output_hidden_states=True).hidden_states[-2][0, 1:]
        edge = int(hidden.shape[0] ** 0.5)
        grid = hidden.reshape(edge, edge, -1).permute(2, 0, 1)[None]
        pooled = torch.nn.functional.avg_pool2d(grid, 2)[0].permute(1, 2, 0).reshape(-1, hidden.shape[1])
        first, first_bias, second, second_bias = self.projector
        return torch.nn.functional.gelu(pooled @ first.T + first_bias) @ second.T + second_bias

    def loss(self, ids, labels, images):
        rows, targets, images = [], [], iter(images)
        for token, label in zip(ids, labels):
            row = self.image(next(images)) if token == -200 else self.jamba.model.embed_tokens(torch.tensor([token]))
            rows.append(row)
            targets += [label] + [-100] * (row.shape[0] - 1)
        logits = self.jamba(inputs_embeds=torch.cat(rows)[None], use_cache=False).logits[0]
        return torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(targets)[1:], ignore_index=-100).item()


def samples(dataset, wanted):
    for shard in sorted(dataset.glob("webdataset/*/*.tar")):
        members = {}
        with tarfile.open(shard) as tar:
            for member in tar:
                key, rest = pathlib.Path(member.name).name.split(".", 1)
                if key in wanted:
                    members.setdefault(key, {})[rest] = tar.extractfile(member).read()
        for key, files in members.items():
            sample = json.loads(files.pop("json"))
            yield key, sample, [files[name] for name in sorted(files)]


def main():
    dataset, model, tokenizer, *golden = map(pathlib.Path, sys.argv[1:])
    table = json.loads((dataset / "validation.json").read_text())["table"]["path"]
    rows = {row["id"]: row for row in pyarrow.parquet.read_table(dataset / table).to_pylist()}
    encode = reference_tokens.sentencepiece_model(str(tokenizer))
    model = Model(model)
    worst = {False: 0.0, True: 0.0}
    number = {False: 0, True: 0}
    losses = {}
    with torch.no_grad():
        for key, sample, images in samples(dataset, rows):
            messages = [dict(role={"human": "user", "gpt": "assistant"}.get(turn["from"], turn["from"]), content=turn["value"])
                        for turn in sample["conversations"]]
            ids, labels = reference_tokens.reference(messages, encode)
            images = images[: ids.count(-200)]
            losses[key] = model.loss(ids, labels, images)
            difference = abs(losses[key] - rows[key]["loss_mean"])
            worst[bool(images)] = max(worst[bool(images)], difference)
            number[bool(images)] += 1
    print(f"{number[False]} samples without images: at most {worst[False]:.2e} apart; "
          f"{number[True]} with images: {worst[True]:.2e}")
    for path in golden:
        path.write_text(json.dumps(dict(sorted(losses.items())), indent=1) + "\n")
    sys.exit(max(worst.values()) > 1e-5 or len(losses) != len(rows))


if __name__ == "__main__":
    main()
