"""A peer: the script a NumPy user writes to see what changed between two safetensors files."""

from __future__ import annotations

import sys

import ml_dtypes  # noqa: F401 - teaches NumPy bfloat16; a whole program
import numpy as np
from safetensors import safe_open


def main() -> int:
    """Print mean, standard deviation, relative change and greatest difference of each tensor that changed."""
    changed = 0
    with safe_open(sys.argv[1], "numpy") as old, safe_open(sys.argv[2], "numpy") as new:
        for key in old.keys():  # noqa: SIM118 - not a dict
            a, b = old.get_tensor(key), new.get_tensor(key)
            if np.array_equal(a, b):
                continue
            changed += 1
            a, b = a.astype(np.float32, copy=False), b.astype(np.float32, copy=False)
            difference = b - a
            print(f"{key}: mean={a.mean():.4f}->{b.mean():.4f} std={a.std():.4f}->{b.std():.4f}")
            relative = np.linalg.norm(difference) / np.linalg.norm(a)
            print(f"  rel_change={relative:.3g} max_abs={np.abs(difference).max():.3g}")
    print(f"{changed} changed")
    return int(changed > 0)


if __name__ == "__main__":
    sys.exit(main())
