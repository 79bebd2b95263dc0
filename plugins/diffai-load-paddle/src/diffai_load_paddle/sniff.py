"""Recognises the files of PaddlePaddle by their first bytes."""

from __future__ import annotations

import re

_RECORD = re.compile(rb"\0{16}([\x02-\xff]\0{3})\x08[\x00-\x3f](?:[\x10\x12]|.{0,4}\Z|\0{4})", re.DOTALL)
_PROGRAM = re.compile(rb"\x0a[\x80-\xff]{0,9}[\0-\x7f]\x08\0\x10\xff{9}\x01[\x1a\x22\x28]", re.DOTALL)
_PIR = re.compile(rb'\s*\{\s*"base_code"\s*:\s*\{[^{}]*"magic"\s*:\s*"pir"')
_BINARY_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_OWN_NAMES = re.compile(
    rb"StructuredToParameterName@@|UnpackBigParamInfor@@|_(?:moment[12]|beta[12]_pow_acc|velocity)_0|LR_Scheduler"
)
_NAMED_TENSOR = re.compile(
    rb"(?:\x8c\x08builtins\x94?\x8c\x05tuple|c(?:__builtin__|builtins)\ntuple\n).{1,200}numpy", re.DOTALL
)


def looks_like_paddle(head: bytes, size: int) -> bool:  # noqa: ARG001 - every loader's signature
    """Whether a file holds the parameters of a model, or its program as protobuf or JSON.

    Args:
        head: First bytes of the file, 4 KiB or all of it.
        size: Bytes in the file.
    """
    return is_parameters(head) or is_program(head) or is_pir(head)


def is_parameters(head: bytes) -> bool:
    """Whether ``head`` begins with the record of a tensor."""
    return _RECORD.match(head) is not None


def is_program(head: bytes) -> bool:
    """Whether ``head`` begins with the first block of a program, which has no parent."""
    return _PROGRAM.match(head) is not None


def is_pir(head: bytes) -> bool:
    """Whether ``head`` begins a program in JSON, as PaddlePaddle 3 writes it."""
    return _PIR.match(head) is not None


def looks_like_state(head: bytes, size: int) -> bool:  # noqa: ARG001 - every loader's signature
    """Whether a file is a pickle that ``paddle.save`` wrote, as far as such a pickle shows it.

    Args:
        head: First bytes of the file, 4 KiB or all of it.
        size: Bytes in the file.
    """
    return bool(_BINARY_PICKLE.match(head) and (_OWN_NAMES.search(head) or _NAMED_TENSOR.search(head)))
