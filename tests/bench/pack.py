"""Best-fit decreasing in Python and numpy, over the very lengths that `cargo bench -p manyframe-samplers` packs.

    python3 tests/bench/pack.py 10000000

It is what a careful user would write: lengths as arrays, one sort, packs grouped by what is left of them, and a sorted list
of these remainders, of which there are few, that `bisect` searches. It prints seconds of the packing alone, peak memory,
and the number of packs and their fill, which have to equal those of the bench.
"""

import resource
import sys
import time
from bisect import bisect_left, insort

import numpy as np

CAPACITY = 40_960
SOURCES = np.cumsum([200, 200, 200, 50, 50, 50])


def splitmix64(n):
    """The n-th output of SplitMix64 for seed 0."""
    z = (n + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def lengths(num):
    """Tokens of the first records of the mix; the formula is that of `samplers/benches/samplers.rs`."""
    n = np.arange(num, dtype=np.uint64)
    source = np.searchsorted(SOURCES, (splitmix64(3 * n) % 750).astype(np.int64), side="right")
    r, s = splitmix64(3 * n + np.uint64(1)), splitmix64(3 * n + np.uint64(2))

    def skewed(most):
        return ((r % 1000) * (r // 1000 % 1000) * most // 1_000_000).astype(np.int64)

    text = (40 + s % 600 * (s // 600 % 600) // 360).astype(np.int64)
    s = (s % 20).astype(np.int64)  # 4, 5 and 2 divide 20
    images = np.choose(source, [2 + skewed(9), 4 + skewed(60), np.ones_like(text), 16 + skewed(255), 0 * text, 5 + skewed(13)])
    turns = np.choose(source, [2 + 2 * (s % 4), 2 + 0 * s, 2 + 2 * (s % 5), 2 + 2 * (s % 2), 2 + 0 * s, 2 + 0 * s])
    text = np.choose(source, [text, text // 4, text, text // 2, 2 * text, text])
    return 144 * images + text + 7 * images + 7 * turns


def best_fit_decreasing(tokens, capacity):
    """The pack of each sample, and what is left of each pack."""
    order = np.argsort(-tokens, kind="stable")
    pack_of = np.empty(len(tokens), dtype=np.uint32)
    chosen = []
    left = []
    packs_with = {}
    remainders = []  # sorted, each once
    for size in tokens[order].tolist():
        place = bisect_left(remainders, size)
        if place == len(remainders):
            pack = len(left)
            rest = capacity - size
            left.append(rest)
        else:
            remainder = remainders[place]
            packs = packs_with[remainder]
            pack = packs.pop()
            if not packs:
                del packs_with[remainder]
                del remainders[place]
            rest = remainder - size
            left[pack] = rest
        packs = packs_with.get(rest)
        if packs is None:
            packs_with[rest] = [pack]
            insort(remainders, rest)
        else:
            packs.append(pack)
        chosen.append(pack)
    pack_of[order] = chosen
    return pack_of, np.array(left)


def main():
    num = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    tokens = lengths(num)
    tokens = tokens[tokens <= CAPACITY]
    start = time.perf_counter()
    pack_of, left = best_fit_decreasing(tokens, CAPACITY)
    seconds = time.perf_counter() - start
    filled = np.bincount(pack_of, weights=tokens)
    assert (filled == CAPACITY - left).all()
    fill = tokens.sum() / (len(left) * CAPACITY)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"python: pack {num} lengths, best-fit decreasing: {seconds:.3f} s, peak {peak} MiB, {len(left)} packs, fill {100 * fill:.4f} %")


if __name__ == "__main__":
    main()
