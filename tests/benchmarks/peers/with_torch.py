"""A peer: the script a PyTorch user writes to see what changed between two safetensors files."""

from __future__ import annotations

import sys

import torch
from safetensors import safe_open


def main() -> int:
    """Print mean, standard deviation, relative change and greatest difference of each tensor that changed."""
    changed = 0
    with safe_open(sys.argv[1], "pt") as old, safe_open(sys.argv[2], "pt") as new:
        for key in old.keys():  # noqa: SIM118 - not a dict
            a, b = old.get_tensor(key), new.get_tensor(key)
            if torch.equal(a, b):
                continue
            changed += 1
            a, b = a.float(), b.float()
            difference = b - a
            print(
                f"{key}: mean={a.mean():.4f}->{b.mean():.4f} std={a.std(correction=0):.4f}->{b.std(correction=0):.4f}"
            )
            print(f"  rel_change={difference.norm() / a.norm():.3g} max_abs={difference.abs().max():.3g}")
    print(f"{changed} changed")
    return int(changed > 0)


if __name__ == "__main__":
    sys.exit(main())
