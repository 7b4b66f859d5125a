#!/usr/bin/env python3
"""Times the prefill of transformers' Jamba with random weights: what `prefill` of manyframe-validate does, in PyTorch.

Usage: prefill_torch.py MODEL DEVICE TOKENS...

MODEL holds the config.json; weights are drawn on the device, in bf16 there and in f32 on the CPU. It runs by the best path
that is installed: attention by scaled_dot_product_attention, Mamba by the kernels of mamba-ssm and causal-conv1d if they are
there, in plain PyTorch if not, which the first line says. Prints a line of JSON for each number of tokens.
"""

import json
import pathlib
import sys
import time

import torch
import transformers


def main():
    directory, device, *lengths = sys.argv[1:]
    config = json.loads((pathlib.Path(directory) / "config.json").read_text())
    config.pop("architectures", None)
    config = transformers.JambaConfig(**config)
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    try:
        import causal_conv1d  # noqa: F401
        import mamba_ssm  # noqa: F401

        mamba = "mamba-ssm"
    except ImportError:
        mamba = "plain PyTorch"
    with torch.device("meta"):
        model = transformers.JambaForCausalLM._from_config(config, dtype=dtype, attn_implementation="sdpa")
    model = model.to_empty(device=device).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 or name.endswith("A_log"):
                parameter.fill_(1.0)
            else:
                parameter.normal_(std=0.02)
    facts = {"torch": torch.__version__, "transformers": transformers.__version__, "mamba": mamba}
    print(json.dumps(facts | {"parameters": sum(p.numel() for p in model.parameters())}), flush=True)
    for num_tokens in map(int, lengths):
        print(json.dumps({"tokens": num_tokens} | measure(model, device, num_tokens)), flush=True)


def measure(model, device, num_tokens):
    ids = (torch.arange(num_tokens, device=device) * 31 % 300)[None]
    wait = torch.cuda.synchronize if device != "cpu" else lambda: None
    seconds = []
    try:
        with torch.no_grad():
            # One run to get ready, one that counts: in plain PyTorch, a run takes minutes.
            for _ in range(2):
                wait()
                start = time.perf_counter()
                model(input_ids=ids, use_cache=False, logits_to_keep=1)
                wait()
                seconds.append(time.perf_counter() - start)
                if seconds[0] > 60:
                    break
    except torch.cuda.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        return {"error": str(error).split(".")[0]}
    found = {"seconds": min(seconds), "tokens_per_s": num_tokens / min(seconds)}
    if device != "cpu":
        found["peak_device_bytes"] = torch.cuda.max_memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    return found


if __name__ == "__main__":
    main()
