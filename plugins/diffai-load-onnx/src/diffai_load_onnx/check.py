"""Lets the ``onnx`` package check a model, where the user asks for it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from diffai_core.plugin import LoadError, UsageError

if TYPE_CHECKING:
    from diffai_core.plugin import DataFile

_LONGEST = 400


def check(file: DataFile) -> None:
    """Check operators and attributes against their schemas, and types and shapes by inference.

    Raises:
        LoadError: If the model is not valid.
        UsageError: If the package is not there.
    """
    try:  # by name: an extra, and no requirement
        checker, inference = import_module("onnx.checker"), import_module("onnx.shape_inference")
    except ImportError as error:
        raise UsageError("--onnx-check needs the onnx package: pip install 'diffai-load-onnx[check]'") from error
    try:
        checker.check_model(file.path, full_check=True)
    except (checker.ValidationError, inference.InferenceError) as error:
        text = " ".join(str(error).split())
        raise LoadError(file.name, f"not valid by onnx.checker: {text[:_LONGEST]}") from error
