"""The tensors of a checkpoint as a model knows them: quantised weights whole, the parts of adapters told apart."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from diffai_lib_quantization.hints import may_be_quantised

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_core.plugin import Source, TensorRef

_ADAPTER = re.compile(
    r"""(?:^|[._])(?:
        lora_(?:A|B|E|a|b|down|up|mid|embedding_A|embedding_B|magnitude_vector)   # LoRA, DoRA, AdaLoRA; kohya, MLX
        | vera_lambda_[bd] | ia3_l | hada_[wt]\d(?:_[ab])? | lokr_[wt]\d(?:_[ab])? | oft_(?:R|r|blocks)
    )(?:\.|$)""",
    re.VERBOSE,
)
"""How PEFT and its like name what they add to a layer; ``.default`` or ``.weight`` may follow."""


def is_adapter_part(name: str) -> bool:
    """Whether a tensor of this name was added to a layer by an adapter.

    Example:
        >>> is_adapter_part("base_model.model.layers.0.q_proj.lora_A.weight"), is_adapter_part("q_proj.weight")
        (True, False)
    """
    return _ADAPTER.search(name) is not None


def logical(tensors: Mapping[str, TensorRef], folder: Source) -> Mapping[str, TensorRef]:
    """Return the tensors with quantised weights in place of their parts; parts of adapters have the role ``adapter``.

    Args:
        tensors: As they are stored.
        folder: Where the configuration of the model lies, if there is one.

    Raises:
        LoadError: If parts of a quantised weight contradict each other.
    """
    parts = {name: replace(ref, role="adapter") for name, ref in tensors.items() if is_adapter_part(name)}
    if parts:
        tensors = {**tensors, **parts}
    if not may_be_quantised(tensors):
        return tensors
    from diffai_lib_quantization.config import read_config
    from diffai_lib_quantization.recognise import recognised

    return recognised(tensors, read_config(folder))
