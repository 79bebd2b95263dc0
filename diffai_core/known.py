"""Formats that some plugin can read, installed or not: what to install for the file at hand.

Only messages depend on this table; a file is opened by what its loader declares.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from diffai_core.specs import Magic

if TYPE_CHECKING:
    from collections.abc import Callable

_ZIP = b"PK\x03\x04"
_MAX_HEADER = 100_000_000


class KnownFormat(NamedTuple):
    """A format and the distribution that reads it.

    Args:
        name: Last part of the distribution's name, ``diffai-load-<name>``.
        title: What the format is called.
        suffixes: File name endings, lower case.
        magic: Alternatives of bytes that identify it.
        looks_like: Called with the first 4 KiB and the size of the file, for formats without fixed bytes.
    """

    name: str
    title: str
    suffixes: tuple[str, ...] = ()
    magic: tuple[Magic, ...] = ()
    looks_like: Callable[[bytes, int], bool] | None = None

    @property
    def dist(self) -> str:
        """The distribution to install."""
        return f"diffai-load-{self.name}"


def known_by_content(head: bytes, size: int) -> KnownFormat | None:
    """Return the format whose magic bytes match longest, or that ``head`` looks like.

    Args:
        head: The first 4 KiB of the file.
        size: Bytes in the file.
    """
    best = max(KNOWN, key=lambda known: magic_length(known.magic, head))
    if magic_length(best.magic, head):
        return best
    return next((known for known in KNOWN if known.looks_like and known.looks_like(head, size)), None)


def known_by_suffix(file_name: str) -> KnownFormat | None:
    """Return the format with the longest suffix that ``file_name`` ends with."""
    best = max(KNOWN, key=lambda known: suffix_length(known.suffixes, file_name))
    return best if suffix_length(best.suffixes, file_name) else None


def known_by_name(name: str) -> KnownFormat | None:
    """Return the format that ``diffai-load-<name>`` reads."""
    return next((known for known in KNOWN if known.name == name), None)


def magic_length(magic: tuple[Magic, ...], head: bytes) -> int:
    """Return the number of bytes of the longest of ``magic`` that stands in ``head``, 0 if none does."""
    return max((len(data) for data, offset in magic if head.startswith(data, offset)), default=0)


def suffix_length(suffixes: tuple[str, ...], file_name: str) -> int:
    """Return the length of the longest of ``suffixes`` that ``file_name`` ends with in any case, 0 if none fits."""
    return max((len(suffix) for suffix in suffixes if file_name.lower().endswith(suffix)), default=0)


def _first_member(pattern: str) -> Callable[[bytes, int], bool]:
    """Return a check for ZIP archives whose first member's name matches."""
    matches = re.compile(pattern.encode()).fullmatch

    def looks_like(head: bytes, _size: int) -> bool:
        length = int.from_bytes(head[26:28], "little")
        return head.startswith(_ZIP) and matches(head[30 : 30 + length]) is not None

    return looks_like


def _looks_like_safetensors(head: bytes, size: int) -> bool:
    length = int.from_bytes(head[:8], "little")
    return head[8:10] in {b'{"', b"{}"} and length <= min(_MAX_HEADER, size - 8)


def _looks_like_onnx(head: bytes, _size: int) -> bool:
    """Field 1 is the version, field 2 the producer; none of them is fixed, so known producers are looked for."""
    producers = (b"pytorch", b"onnx", b"tf2onnx", b"skl2onnx", b"PaddlePaddle", b"CNTK", b"keras2onnx")
    return head.startswith(b"\x08") and head[2:3] == b"\x12" and head[4:].startswith(producers)


def _looks_like_tensorboard(head: bytes, _size: int) -> bool:
    return b"brain.Event:" in head[:64]


def _looks_like_xgboost(head: bytes, _size: int) -> bool:
    return head.startswith(b"{L") and b"learner" in head[:32]


def _looks_like_openvino(head: bytes, _size: int) -> bool:
    return re.match(rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?<net\s", head) is not None


def _looks_like_sentencepiece(head: bytes, _size: int) -> bool:
    """A piece is a message of text (field 1) and score (field 2, float)."""
    piece = head[4 : 4 + head[3]] if head[:1] + head[2:3] == b"\x0a\x0a" else b""
    return bool(piece) and head[4 + len(piece) :][:1] in {b"\x15", b"\x18"}


def _looks_like_pickle(head: bytes, _size: int) -> bool:
    return head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}


_HDF5 = b"\x89HDF\r\n\x1a\n"
_TORCH_LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")

KNOWN = (
    KnownFormat("safetensors", "safetensors", (".safetensors",), (), _looks_like_safetensors),
    KnownFormat("numpy", "NumPy .npy", (".npy",), (Magic(b"\x93NUMPY"),)),
    KnownFormat("numpy", "NumPy .npz", (".npz",), (), _first_member(r"(?!\d{9,}\.).*\.npy")),
    KnownFormat(
        "pytorch",
        "PyTorch",
        (".pt", ".pth", ".bin", ".ckpt", ".jit", ".pth.tar", ".pt.tar", ".pt2", ".ptl", ".torchscript"),
        (Magic(_TORCH_LEGACY),),
        _first_member(r".+/(data\.pkl|version|\.format_version|\.data/.*|byteorder)"),
    ),
    KnownFormat("onnx", "ONNX", (".onnx",), (), _looks_like_onnx),
    KnownFormat("gguf", "GGUF", (".gguf", ".ggml"), tuple(map(Magic, (b"GGUF", b"lmgg", b"fmgg", b"tjgg", b"algg")))),
    KnownFormat(
        "hdf5", "HDF5", (".h5", ".hdf5", ".he5", ".hdf"), tuple(Magic(_HDF5, offset) for offset in (0, 512, 1024, 2048))
    ),
    KnownFormat("hdf5", "Keras", (".keras",), (), _first_member(r"metadata\.json|config\.json|model\.weights\.h5")),
    KnownFormat("tflite", "TFLite", (".tflite", ".lite", ".litert"), (Magic(b"TFL3", 4),)),
    KnownFormat("tensorflow", "SavedModel", ("saved_model.pb",), (Magic(b"\x08\x01\x12"),)),
    KnownFormat("tensorflow", "TensorFlow", (".pb", ".meta", ".index", ".data-00000-of-00001")),
    KnownFormat("tensorboard", "TensorBoard events", (".tfevents",), (), _looks_like_tensorboard),
    KnownFormat("coreml", "Core ML", (".mlmodel",)),
    KnownFormat("openvino", "OpenVINO", (), (), _looks_like_openvino),
    KnownFormat("tokenizer", "SentencePiece", (".spm",), (), _looks_like_sentencepiece),
    KnownFormat("tokenizer", "a tokenizer", ("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", ".tiktoken")),
    KnownFormat("paddle", "PaddlePaddle", (".pdparams", ".pdopt", ".pdmodel", ".pdiparams")),
    KnownFormat("jax", "Flax msgpack", (".msgpack",)),
    KnownFormat("matlab", "MATLAB", (".mat",), (Magic(b"MATLAB 5.0 MAT-file"), Magic(b"MATLAB 7.3 MAT-file"))),
    KnownFormat("parquet", "Parquet", (".parquet",), (Magic(b"PAR1"),)),
    KnownFormat("arrow", "Arrow", (".arrow", ".feather"), (Magic(b"ARROW1"),)),
    KnownFormat("boosting", "XGBoost", (".ubj",), (Magic(b"binf"),), _looks_like_xgboost),
    KnownFormat("boosting", "LightGBM", (), (Magic(b"tree\nversion="),)),
    KnownFormat("boosting", "CatBoost", (".cbm",), (Magic(b"CBM1"),)),
    KnownFormat("fasttext", "fastText", (), (Magic(b"\xba\x16\x4f\x2f"),)),
    KnownFormat("pickle", "skops", (".skops",), (), _first_member(r"schema\.json|\d{9,}\.npy")),
    KnownFormat("sqlite", "SQLite (MLflow)", (".db", ".sqlite"), (Magic(b"SQLite format 3\0"),)),
    KnownFormat("pickle", "pickle", (".pkl", ".pickle", ".joblib", ".cloudpickle"), (), _looks_like_pickle),
    KnownFormat("json", "JSON", (".json",)),
    KnownFormat("json", "JSON Lines", (".jsonl", ".ndjson")),
    KnownFormat("yaml", "YAML", (".yaml", ".yml")),
    KnownFormat("toml", "TOML", (".toml",)),
    KnownFormat("ini", "INI", (".ini", ".cfg")),
    KnownFormat("xml", "XML", (".xml",)),
    KnownFormat("csv", "CSV", (".csv", ".tsv")),
    KnownFormat("notebook", "Jupyter notebook", (".ipynb",)),
)
"""Sorted by importance: of two that look alike the first is named."""

GENERIC_SUFFIXES = frozenset({".bin", ".dat", ".data", ".index", ".meta", ".model", ".pb", ".txt", ".xml"})
"""Suffixes that many kinds of files have: alone they make no file one of a format with signs of its own."""

KNOWN_REPORTS = {
    "cli": "diffai-report-text",
    "text": "diffai-report-text",
    "json": "diffai-report-json",
    "yaml": "diffai-report-yaml",
    "html": "diffai-report-html",
    "markdown": "diffai-report-markdown",
    "junit-xml": "diffai-report-junit",
}
"""The distribution that writes each report format."""

_ANALYSES = {
    "anomalies": ("anomaly-detection",),
    "architecture": ("architecture-comparison", "model-type", "param-efficiency-analysis"),
    "attention": ("attention-analysis", "attention-pattern-diff", "head-importance"),
    "embeddings": ("clustering-change", "embedding-analysis", "similarity-matrix"),
    "gradients": ("compare-gradients", "gradient-analysis"),
    "hyperparameters": ("hyperparameter-comparison", "hyperparameter-impact", "learning-rate-analysis"),
    "layer-impact": ("show-layer-impact",),
    "learning": ("convergence-analysis", "learning-progress"),
    "quantization": ("precision-loss-threshold", "quantization-analysis", "quantization-aware"),
    "regression": ("alert-on-degradation", "fail-if", "regression-test"),
    "report": ("generate-report", "include-charts"),
    "resources": ("inference-speed-estimate", "memory-analysis", "performance-impact-estimate"),
    "review": ("change-summary", "deployment-readiness", "review-friendly", "risk-assessment"),
    "sparsity": ("show-size-reduction", "sparsity-analysis"),
    "tensors": ("diff-only", "show-structure", "sort-by-change-magnitude", "stats", "tensor-details"),
}
KNOWN_FLAGS = {
    **{f"--{flag}": f"diffai-compare-{name}" for name, flags in _ANALYSES.items() for flag in flags},
    "--markdown-output": "diffai-report-markdown",
}
"""The distribution that adds each flag, for those that are not installed."""
