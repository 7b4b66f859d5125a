#!/usr/bin/env python3
"""The packs of each rank of a training run that Megatron lays out: data parallel × context parallel × tensor parallel.

Usage: megatron_ranks.py DATASET WORLD_SIZE TENSOR CONTEXT    (the packs are divided over CONTEXT ranks: `zigzag:CONTEXT`)
Prints a line of JSON for each rank: which packs it has, and how many tokens and images of them.
"""

import json
import sys

import manyframe


def packs_of_rank(dataset, rank, world_size, tensor, context):
    # Megatron's default order: tensor parallel ranks are neighbours, then context parallel, then data parallel ones.
    context_rank = rank // tensor % context
    data_rank = rank // (tensor * context)
    return manyframe.PackDataset(
        dataset, data_rank, world_size // (tensor * context), drop_last=True,
        sequence_parallel=(context_rank, context) if context > 1 else None,
    )


def main(dataset, world_size, tensor, context):
    for rank in range(world_size):
        packs = list(packs_of_rank(dataset, rank, world_size, tensor, context))
        print(json.dumps({
            "rank": rank,
            "packs": [pack["pack"] for pack in packs],
            "tokens": sum(len(pack["input_ids"]) for pack in packs),
            "images": sum(len(pack["images"]) for pack in packs),
        }))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
