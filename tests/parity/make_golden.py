#!/usr/bin/env python3
"""Writes small random models and what transformers computes with them: the references of `manyframe-validate`.

Usage: make_golden.py OUT [--seed N] [--fresh]
Each directory in OUT gets config.json, model.safetensors and expected.safetensors; `pictures` gets what Pillow makes of images.
Without --fresh: the shapes that are committed under tests/golden/models (seed 0). With --fresh: other shapes, drawn by the seed.
Needs torch, transformers, safetensors, Pillow.
"""

import argparse
import json
import pathlib
import random

import numpy
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModel, JambaConfig, JambaForCausalLM

# Layers, states, rank, taps, expand, heads, groups, experts, chosen, attention (period, offset), experts (period, offset),
# tied head, biases of convolution and projections.
COMMITTED = {
    "moe": dict(num_hidden_layers=6, mamba_d_state=4, mamba_dt_rank="auto", num_attention_heads=4, num_key_value_heads=1,
                num_experts=3, num_experts_per_tok=2, attn_layer_period=3, attn_layer_offset=1),
    "dense-tied": dict(num_hidden_layers=4, mamba_d_state=8, mamba_dt_rank=5, mamba_d_conv=3, num_attention_heads=4,
                       num_key_value_heads=4, num_experts=1, num_experts_per_tok=1, attn_layer_period=4,
                       attn_layer_offset=0, tie_word_embeddings=True),
    "biases": dict(num_hidden_layers=3, mamba_d_state=16, mamba_dt_rank=3, mamba_d_conv=2, mamba_expand=3,
                   num_attention_heads=8, num_key_value_heads=2, num_experts=5, num_experts_per_tok=3,
                   expert_layer_period=1, expert_layer_offset=0, attn_layer_period=2, attn_layer_offset=1,
                   mamba_conv_bias=False, mamba_proj_bias=True),
}


def drawn(rng):
    """A shape that nobody chose."""
    heads = rng.choice([2, 4, 8])
    period, experts_period = rng.randint(1, 4), rng.randint(1, 3)
    experts = rng.randint(1, 6)
    return dict(
        num_hidden_layers=rng.randint(2, 9), mamba_d_state=rng.choice([2, 5, 8, 16, 24]), mamba_dt_rank=rng.randint(1, 9),
        mamba_d_conv=rng.randint(2, 5), mamba_expand=rng.randint(1, 3), num_attention_heads=heads,
        num_key_value_heads=rng.choice([n for n in (1, 2, 4, 8) if heads % n == 0]), num_experts=experts,
        num_experts_per_tok=rng.randint(1, experts), expert_layer_period=experts_period,
        expert_layer_offset=rng.randrange(experts_period), attn_layer_period=period, attn_layer_offset=rng.randrange(period),
        tie_word_embeddings=rng.random() < 0.5, mamba_conv_bias=rng.random() < 0.7, mamba_proj_bias=rng.random() < 0.5,
    )


def jitter(model, seed):
    """Makes norms, biases, A and D differ from their usual start, so that one that is missing or swapped shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 or name.endswith("A_log"):
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def save(directory, tensors):
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, directory / "expected.safetensors")


def jamba(directory, seed, shape):
    torch.manual_seed(seed)
    config = JambaConfig(**(dict(vocab_size=97, hidden_size=32, intermediate_size=40, initializer_range=0.12, pad_token_id=0,
                                 bos_token_id=1, eos_token_id=2, tie_word_embeddings=False, use_mamba_kernels=False) | shape))
    config._attn_implementation = "eager"
    model = JambaForCausalLM(config).eval().float()
    jitter(model, seed + 1)
    model.save_pretrained(directory)
    generator = torch.Generator().manual_seed(seed + 2)
    lengths = [1, 7, 23, 40]
    ids = [torch.randint(3, config.vocab_size, (1, length), generator=generator) for length in lengths]
    # A label at about two places in three.
    labels = [torch.where(torch.rand(i.shape, generator=generator) < 0.66, i, torch.full_like(i, -100)) for i in ids]
    expected = {}
    with torch.no_grad():
        for nth, (sample, target) in enumerate(zip(ids, labels)):
            logits = model(input_ids=sample, use_cache=False).logits
            losses = torch.nn.functional.cross_entropy(logits[0, :-1], target[0, 1:], ignore_index=-100, reduction="none")
            expected |= {f"{nth}.input_ids": sample[0], f"{nth}.labels": target[0], f"{nth}.logits": logits[0],
                         f"{nth}.losses": losses}
    save(directory, expected)
    return sum(parameter.numel() for parameter in model.parameters())


def clip(directory, seed, shape):
    torch.manual_seed(seed)
    config = CLIPVisionConfig(**(dict(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
                                      image_size=28, patch_size=7, initializer_range=0.12) | shape))
    config._attn_implementation = "eager"
    model = CLIPVisionModel(config).eval().float()
    jitter(model, seed + 1)
    model.save_pretrained(directory)
    size = (2, 3, config.image_size, config.image_size)
    pixels = torch.randn(size, generator=torch.Generator().manual_seed(seed + 2))
    with torch.no_grad():
        hidden = model(pixel_values=pixels, output_hidden_states=True).hidden_states
    save(directory, {"pixel_values": pixels} | {f"hidden.{nth}": state for nth, state in enumerate(hidden)})
    return sum(parameter.numel() for parameter in model.parameters())


def pictures(directory, sizes, side=28):
    """Noise of these sizes, padded and scaled as LLaVA does it: `WIDTHxHEIGHT` is [side, side, 3]."""
    expected = {}
    for width, height in sizes:
        index = numpy.arange(width * height * 3, dtype=numpy.uint64)
        noise = Image.fromarray((index * 2654435761 % 2**32 >> 24).astype(numpy.uint8).reshape(height, width, 3))
        long = max(width, height)
        square = Image.new("RGB", (long, long), (122, 116, 104))
        square.paste(noise, ((long - width) // 2, (long - height) // 2))
        scaled = square.resize((side, side), Image.BICUBIC)
        expected[f"{width}x{height}"] = torch.from_numpy(numpy.asarray(scaled).copy())
    directory.mkdir(parents=True, exist_ok=True)
    save(directory, expected)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    rng = random.Random(arguments.seed)
    shapes = {f"drawn-{nth}": drawn(rng) for nth in range(6)} if arguments.fresh else COMMITTED
    summary = {}
    for nth, (name, shape) in enumerate(shapes.items()):
        summary[f"jamba-{name}"] = jamba(arguments.out / f"jamba-{name}", arguments.seed + 10 * nth, shape)
    for nth, (name, shape) in enumerate({"quick": {}, "gelu": dict(hidden_act="gelu", num_hidden_layers=2)}.items()):
        summary[f"clip-{name}"] = clip(arguments.out / f"clip-{name}", arguments.seed + 100 + nth, shape)
    sizes = [(1, 1), (28, 28), (40, 40), (41, 17), (17, 41), (500, 3), (3, 500), (640, 427)]
    if arguments.fresh:
        sizes = [(rng.randint(1, 1500), rng.randint(1, 1500)) for _ in range(20)]
    pictures(arguments.out / "pictures", sizes)
    for extra in arguments.out.glob("*/generation_config.json"):
        extra.unlink()
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
