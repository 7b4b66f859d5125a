#!/usr/bin/env python3
"""Times the language model beside PyTorch's eager Jamba on the CPU: same checkpoint, same tokens, same number of threads.

Usage: compare.py PREFILL [--threads N] [--work DIR]
PREFILL is the built example of `manyframe-validate`. Fails if it is slower anywhere. Logits are compared by the tests.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import torch
from transformers import JambaConfig, JambaForCausalLM

SHAPES = {
    "tiny": dict(hidden_size=64, intermediate_size=96, num_hidden_layers=4, mamba_dt_rank=8),
    "small": dict(hidden_size=512, intermediate_size=1024, num_hidden_layers=8, mamba_dt_rank=64),
}
SHARED = dict(vocab_size=1024, num_attention_heads=4, num_key_value_heads=2, attn_layer_period=4, attn_layer_offset=2,
              num_experts=4, num_experts_per_tok=2, pad_token_id=0, bos_token_id=1, eos_token_id=2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prefill")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--tokens", type=int, nargs="+", default=[256, 1024, 4096])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    slower = []
    print(f"torch {torch.__version__}, {arguments.threads} threads; best of {arguments.repeats}, seconds")
    print(f"{'model':<8}{'tokens':>8}{'torch':>10}{'ours':>10}{'ratio':>8}")
    with tempfile.TemporaryDirectory() as work:
        for name, shape in SHAPES.items():
            torch.manual_seed(0)
            config = JambaConfig(**SHARED, **shape)
            config._attn_implementation = "eager"
            model = JambaForCausalLM(config).eval().float()
            path = pathlib.Path(work) / name
            model.save_pretrained(path)
            for tokens in arguments.tokens:
                ids = torch.arange(tokens)[None] * 31 % 300
                best = float("inf")
                with torch.no_grad():
                    for _ in range(arguments.repeats):
                        start = time.perf_counter()
                        model(input_ids=ids, use_cache=False)
                        best = min(best, time.perf_counter() - start)
                environment = dict(os.environ, RAYON_NUM_THREADS=str(arguments.threads))
                command = [arguments.prefill, str(path), "cpu", str(arguments.repeats), str(tokens)]
                ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
                ours = ours["seconds"]
                print(f"{name:<8}{tokens:>8}{best:>10.4f}{ours:>10.4f}{best / ours:>8.1f}", flush=True)
                if ours > best:
                    slower.append((name, tokens))
    if slower:
        sys.exit(f"slower than PyTorch: {slower}")


if __name__ == "__main__":
    main()
