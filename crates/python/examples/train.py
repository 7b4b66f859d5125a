#!/usr/bin/env python3
"""Trains a small LongLLaVA (CLIP, projector, Jamba) on the packs of a dataset, with transformers, on the CPU.

Usage: train.py DATASET MODEL [STEPS [LEARNING_RATE]]    (MODEL: `manyframe model init MODEL --preset tiny`; needs torch, transformers, safetensors)
Prints a line of JSON for each sample: its id and its loss before the step that it is part of.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import load_file
from transformers import CLIPVisionConfig, CLIPVisionModel, JambaForCausalLM

import manyframe


class LongLlava(torch.nn.Module):
    def __init__(self, directory):
        super().__init__()
        self.jamba = JambaForCausalLM.from_pretrained(
            directory, dtype=torch.float32, attn_implementation="eager", use_mamba_kernels=False)
        self.clip = CLIPVisionModel(CLIPVisionConfig(**json.loads((directory / "config.json").read_text())["vision_config"]))
        weights = {name: tensor.float() for name, tensor in load_file(directory / "model.safetensors").items()}
        tower = "model.vision_tower.vision_tower."
        own = {name.removeprefix(tower): tensor for name, tensor in weights.items() if name.startswith(tower)}
        if not any(name.startswith("vision_model.") for name in self.clip.state_dict()):
            own = {name.removeprefix("vision_model."): tensor for name, tensor in own.items()}
        self.clip.load_state_dict(own)
        self.projector = torch.nn.ParameterList(
            weights[f"model.mm_projector.{layer}.{part}"] for layer in (0, 2) for part in ("weight", "bias"))

    def see(self, pixel_values):
        hidden = self.clip(pixel_values=pixel_values, output_hidden_states=True).hidden_states[-2][:, 1:]
        edge = int(hidden.shape[1] ** 0.5)
        grid = torch.nn.functional.avg_pool2d(hidden.transpose(1, 2).unflatten(2, (edge, edge)), 2).flatten(2).transpose(1, 2)
        first, first_bias, second, second_bias = self.projector
        return torch.nn.functional.gelu(grid @ first.T + first_bias) @ second.T + second_bias

    def forward(self, pack):
        """The loss of each sample; none of them sees another."""
        ids = pack["input_ids"]
        embedded = self.jamba.model.embed_tokens(ids.clamp(min=0))
        if len(pack["pixel_values"]):
            embedded = embedded.index_put((ids == -200,), self.see(pack["pixel_values"]).flatten(0, 1))
        for start, end in zip(pack["cu_seqlens"], pack["cu_seqlens"][1:]):
            logits = self.jamba(inputs_embeds=embedded[None, start:end], use_cache=False).logits[0]
            yield torch.nn.functional.cross_entropy(logits, pack["shift_labels"][start:end], ignore_index=-100)


def main(dataset, model, steps=1, learning_rate=1e-3):
    torch.manual_seed(0)
    model = LongLlava(pathlib.Path(model))
    optimizer = torch.optim.AdamW(model.parameters(), lr=float(learning_rate))
    packs = manyframe.PackDataset(dataset, images="values", tensors="torch", shuffle=True)
    for pack, _ in zip(torch.utils.data.DataLoader(packs, batch_size=None, num_workers=1), range(int(steps))):
        losses = list(model(pack))
        for sample, loss in zip(pack["sample_ids"], losses):
            print(json.dumps({"id": sample, "loss": loss.item()}), flush=True)
        torch.stack(losses).mean().backward()
        optimizer.step()
        optimizer.zero_grad()


if __name__ == "__main__":
    main(*sys.argv[1:])
