"""Measure what each format costs beside its reference library: names and shapes alone, and the values of a pair.

    python tests/benchmarks/formats.py [--mb 400] [--runs 3] [--formats pytorch,onnx,hdf5,gguf]

Writes files of random float32 weights into a temporary folder (one format after the other), and runs every program in
a process of its own: CPU is user + system seconds of the whole process, memory its greatest peak. The files are in the
page cache. Each row gives the least of the runs. The bars: names and shapes of 400 MB in 0.3 s CPU and 60 MiB; the
values of two PyTorch files in 1.5 times what the same tensors take in safetensors.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import Cost, cost, run

N_TENSORS = 197
LISTED_BAR = Cost(0.3, 0.3, 0.0, 60)
VALUES_BAR = 1.5

_OPEN = """
import sys
from diffai_core.files import Source
from diffai_core.registry import load_registry
from diffai_core.selection import open_artifact
with open_artifact(Source(sys.argv[1]), load_registry()) as artifact:
    assert len(artifact.tensors) >= int(sys.argv[2]), len(artifact.tensors)
    assert sum(ref.numel for ref in artifact.tensors.values()) > 0
"""
REFERENCES = {
    "safetensors": "from safetensors.numpy import safe_open\nwith safe_open(sys.argv[1], 'np') as f: list(f.keys())",
    "pytorch": "import torch\ntorch.load(sys.argv[1], mmap=True, weights_only=True)",
    "onnx": "import onnx\nonnx.load(sys.argv[1])",
    "hdf5": "import h5py\nwith h5py.File(sys.argv[1]) as f: [(d.shape, d.dtype) for d in f.values()]",
    "gguf": "import gguf\ngguf.GGUFReader(sys.argv[1]).tensors",
}
_WRITE = """
import sys
import numpy as np
form, path, megabytes, n, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
rng = np.random.default_rng(0)
columns = 1024
rows = megabytes * 1_000_000 // (4 * columns * n)
arrays = {f"layers.{i}.weight": rng.standard_normal((rows, columns), dtype=np.float32) for i in range(n)}
for array in list(arrays.values()) if seed else []:
    array += np.float32(1e-3)
if form == "safetensors":
    import safetensors.numpy
    safetensors.numpy.save_file(arrays, path)
elif form == "pytorch":
    import torch
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
elif form == "onnx":
    import onnx
    from onnx import helper, numpy_helper
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    out = helper.make_tensor_value_info("y", 1, [rows, columns])
    node = helper.make_node("Identity", ["layers.0.weight"], ["y"])
    graph = helper.make_graph([node], "g", [], [out], tensors)
    onnx.save(helper.make_model(graph), path)
elif form == "hdf5":
    import h5py
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
elif form == "gguf":
    import gguf
    writer = gguf.GGUFWriter(path, "llama")
    for name, array in arrays.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
"""


def write(form: str, path: Path, megabytes: int, *, changed: bool = False) -> None:
    """Write one file in a process of its own, so that its memory is not counted."""
    arguments = [form, str(path), str(megabytes), str(N_TENSORS), str(int(changed))]
    subprocess.run([sys.executable, "-c", _WRITE, *arguments], check=True)


def measured(argv: list[str], n_runs: int, *, code: int = 0) -> Cost:
    """Run a program once unmeasured and then ``n_runs`` times; raises if it does not end with ``code``."""
    with tempfile.NamedTemporaryFile() as scratch:
        runs = [run(argv, scratch.name) for _ in range(n_runs + 1)][1:]
    failed = [one.code for one in runs if one.code != code]
    if failed:
        raise SystemExit(f"{argv[:3]} ended with exit code {failed[0]} instead of {code}")
    return cost(runs)


def row(name: str, found: Cost, remark: str = "") -> str:
    """Return one line of a table."""
    return f"  {name:<34} {found.cpu:7.3f} s CPU  {found.rss:7.1f} MiB  {remark}".rstrip()


def listed(form: str, path: Path, n_runs: int) -> list[str]:
    """Return what it costs to learn names and shapes, of diffai and of the reference library."""
    ours = measured([sys.executable, "-c", _OPEN, str(path), str(N_TENSORS)], n_runs)
    theirs = measured([sys.executable, "-c", f"import sys\n{REFERENCES[form]}", str(path)], n_runs)
    met = ours.cpu <= LISTED_BAR.cpu and ours.rss <= LISTED_BAR.rss
    bar = f"bar {LISTED_BAR.cpu} s, {LISTED_BAR.rss} MiB: {'met' if met else 'MISSED'}"
    return [row(f"{form}: names and shapes", ours, bar), row(f"{form}: reference library", theirs)]


def values(form: str, folder: Path, megabytes: int, n_runs: int) -> Cost:
    """Return what ``diffai OLD NEW`` costs where every tensor changed."""
    old, new = folder / f"old.{form}", folder / f"new.{form}"
    write(form, new, megabytes, changed=True)
    command = Path(sys.executable).with_name("diffai")
    found = measured([str(command), str(old), str(new), "--quiet"], n_runs, code=1)
    new.unlink()
    return found


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=400, help="Size of each file.")
    parser.add_argument("--runs", type=int, default=3, help="Runs that are measured.")
    parser.add_argument("--formats", default=",".join(REFERENCES), help="Formats, with commas.")
    given = parser.parse_args()
    base: Cost | None = None
    with tempfile.TemporaryDirectory(dir=os.environ.get("DIFFAI_BENCH_CACHE")) as folder:
        for form in dict.fromkeys(["safetensors", *given.formats.split(",")]):
            path = Path(folder, f"old.{form}")
            write(form, path, given.mb)
            lines = listed(form, path, given.runs)
            pair = values(form, Path(folder), given.mb, given.runs)
            base = base or pair
            ratio = pair.cpu / base.cpu
            judged = f", bar {VALUES_BAR}: {'met' if ratio <= VALUES_BAR else 'MISSED'}" if form == "pytorch" else ""
            print("\n".join([*lines, row(f"{form}: values of a pair", pair, f"{ratio:.2f} x safetensors{judged}")]))
            path.unlink()


if __name__ == "__main__":
    main()
