"""From the name of a tensor to its place in the model: which block, which layer, what part of it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from diffai_lib_layers.roles import role_of
from diffai_lib_layers.words import BLOCKS, ENVELOPES, PARTS, STAGES, WITHIN, WRAPPERS, words

_FILE = re.compile(r"([^:]*[^:.]):(?!:|\d+$)(?=.)")
"""What stands before the names of a file in a folder: ``sub/model.pth:``."""

_VARIABLE = re.compile(r":\d+$")
"""What TensorFlow writes behind names: ``dense/kernel:0``."""

_NUMBERED = re.compile(r"([A-Za-z][A-Za-z_]*?)_?(\d+)")
_KERAS_BLOCK = re.compile(r"(?:(.+?)_)?(block|expanded_conv|conv_dw|conv_pw)_?(\d+)([a-z]?)(?:_(.+))?")
_KOHYA = re.compile(r"lora_(?:unet|te\d?|transformer)_(.+)")
_KOHYA_LAYER = re.compile(r"(.+?)_(to_[qkv]|to_out|[qkv]_proj|out_proj|fc[12]|net|proj)")
_PART_SUFFIX = re.compile(r"(.+)_(weight|bias)")
_REMEMBERED = 20_000
"""Names whose place is remembered: several analyses ask for the same tensors, each many times."""

_RECURRENT = re.compile(r"(weight|bias)_(?:ih|hh|hr)_l\d+(?:_reverse)?|(weight|bias)_(?:ih|hh)|recurrent_kernel")
_LORA = re.compile(r"lora_(?:embedding_)?(a|b|down|up)")
_LORA_PROCESSOR = re.compile(r"(.+)_lora")
_DEEPEST_ENVELOPE = 3
_MOST_DIGITS = 9
_FEED_FORWARD_STEP = re.compile(r"(?:^|\.)(?:mlp|ffn?|feed_forward|net)\.(\d+)(?:\.proj)?$")
"""A layer of a feed-forward network that is known by its number: ``mlp.0``, ``ff.net.2``."""

_NOT_BLOCKS = words(
    "experts local_experts expert to_out classifier head heads downsample shortcut parametrizations vars mlp ffn ff"
    " feed_forward classifier_head output_head proj down up"
)


class Place(NamedTuple):
    """Where a tensor stands in its model, as its name says.

    Args:
        prefix: Modules around the block, without wrappers: ``model.layers``; of a tensor in no block, its module.
            Blocks of one stack have the same.
        block: Number of the block in its stack; ``None`` if it is in none.
        role: What the layer does: ``q k v qkv kv q_a q_b kv_a kv_b o gate up gate_up down mlp norm embed position head
            conv bn lora_a lora_b expert router rnn ssm scale other``.
        part: ``weight`` (also ``kernel``, ``gamma``, ``embeddings``), ``bias``, ``running_mean``, ``running_var`` …
        inner: Modules between block and layer: ``self_attn``, ``layer.1.EncDecAttention``.
        leaf: The layer's own name: ``q_proj``, ``input_layernorm``.
        expert: Number of the expert; ``None`` where it is none, or where one tensor holds all experts.
        base: Role of the layer that an adapter changes or an expert holds (``q`` of a ``lora_a``, ``up`` of an
            ``expert``); else the same as ``role``.
    """

    prefix: str
    block: int | None
    role: str
    part: str
    inner: str = ""
    leaf: str = ""
    expert: int | None = None
    base: str = ""

    @property
    def stack(self) -> tuple[str, int | None]:
        """The block in its stack; equal for all tensors of one block."""
        return self.prefix, self.block

    @property
    def block_name(self) -> str:
        """The block with its stack: ``model.layers.3``; empty if it is in none."""
        if self.block is None:
            return ""
        return f"{self.prefix}.{self.block}" if self.prefix else str(self.block)


@lru_cache(maxsize=_REMEMBERED)
@lru_cache(maxsize=1 << 14)
def place(name: str) -> Place:
    """Return where a tensor of this name stands.

    Args:
        name: Key of the tensor, as PyTorch, Hugging Face, timm, Keras, Flax, GGUF or ONNX write it.

    Example:
        >>> place("module.model.layers.3.self_attn.q_proj.weight")[:5]
        ('model.layers', 3, 'q', 'weight', 'self_attn')
        >>> place("module.model.layers.3.self_attn.q_proj.weight").block_name
        'model.layers.3'
        >>> place("blk.0.ffn_gate_exps.weight").base
        'gate'
    """
    file, tokens = _tokens(name)
    tokens, part, recurrent = _split_part(tokens)
    tokens, adapter = _split_adapter(tokens)
    end = _block(tokens)
    block = int(tokens[end - 1]) if end else None
    inside = tokens[end:] if end else tokens
    expert, is_expert = _expert(inside)
    modules = [token.lower() for token in inside if not _is_number(token)]
    base = role_of(modules, in_block=end > 0, part=part, recurrent=recurrent)
    if base in {"mlp", "down"} and end and (found := _FEED_FORWARD_STEP.search(".".join(inside).lower())):
        base = "up" if found[1] == "0" else "down"
    role = adapter or ("expert" if is_expert and base not in {"router", "norm"} else base)
    leaf = inside[-1] if inside else (tokens[-1] if tokens else "")
    prefix = ".".join(tokens[: end - 1] if end else tokens[:-1])
    if part == "scale" and base in {"norm", "bn"}:
        part = "weight"
    return Place(file + prefix, block, role, part, ".".join(inside[:-1]) if end else "", leaf, expert, base)


def _is_number(word: str) -> bool:
    """Whether a word is a number as people count layers."""
    return len(word) <= _MOST_DIGITS and word.isascii() and word.isdigit()


def _tokens(name: str) -> tuple[str, list[str]]:
    """Split the name into the file it is in and its words; wrappers are left out."""
    file = ""
    if found := _FILE.match(name):
        file, name = found[0], name[found.end() :]
    if ":" in name:
        name = _VARIABLE.sub("", name)
    tokens: list[str] = []
    for word in name.replace("/", ".").split("."):
        if not word or word in WRAPPERS:
            continue
        if word[-1].isdigit() or "block" in word or word.startswith("lora_"):
            tokens += _parted(word)
        else:
            tokens.append(word)
    return file, tokens[_n_envelopes(tokens) :]


def _n_envelopes(tokens: list[str]) -> int:
    for word in ("state_dict", "model_state_dict"):
        if word in tokens[:_DEEPEST_ENVELOPE] and tokens[-1] != word:
            return tokens.index(word) + 1 + _n_envelopes(tokens[tokens.index(word) + 1 :])
    count = 0
    while count < len(tokens) - 1 and tokens[count] in ENVELOPES:
        count += 1
    if count and tokens[count - 1] == "base_model" and tokens[count] == "model":
        count += 1  # of PEFT
    return count


def _parted(word: str) -> list[str]:
    """Part words in which blocks are numbered: ``layer_0``, ``conv2_block1_1_conv``, ``lora_unet_down_blocks_0_…``."""
    if _is_number(word):
        return [word]
    if found := _NUMBERED.fullmatch(word):
        stem = found[1].lower()
        return [found[1], found[2]] if stem in BLOCKS or stem in STAGES else [word]
    if found := _KOHYA.fullmatch(word):
        pieces = [piece for piece in re.split(r"_(\d+)(?=_|$)_?", found[1]) if piece]
        return [part for piece in pieces for part in _KOHYA_LAYER.sub(r"\1.\2", piece).split(".")]
    if "block" in word and (found := _KERAS_BLOCK.fullmatch(word)):
        before, stem, number, letter, rest = found.groups()
        inner = [str(ord(letter) - ord("a"))] if letter else []
        return [*([before] if before else []), stem, number, *inner, *([rest] if rest else [])]
    return [word]


def _split_part(tokens: list[str]) -> tuple[list[str], str, bool]:
    """Return the modules, the part of the last one, and whether it is a recurrent layer."""
    if not tokens:
        return [], "weight", False
    last = tokens[-1].lower()
    if len(tokens) > 1 and last in PARTS and not (last == "gamma" and _is_number(tokens[-2])):
        rest, part = tokens[:-1], PARTS[last]
        if len(rest) > 1 and rest[-1] == "weight" and rest[-2] == "parametrizations":
            rest = rest[:-2]
        return rest, "weight" if part == "recurrent_kernel" else part, last == "recurrent_kernel"
    if found := _RECURRENT.fullmatch(last):
        return tokens[:-1], found[1] or found[2] or "weight", True
    if len(tokens) > 2 and tokens[-2] == "vars":  # noqa: PLR2004 - module, vars, number
        return tokens[:-2], {"0": "weight", "1": "bias", "2": "running_mean", "3": "running_var"}.get(last, last), False
    if found := _PART_SUFFIX.fullmatch(tokens[-1]):
        return [*tokens[:-1], found[1]], found[2], False
    return tokens, "weight", False


def _split_adapter(tokens: list[str]) -> tuple[list[str], str]:
    """Return the modules without those of an adapter, and ``lora_a`` or ``lora_b`` if it is a factor of one."""
    for index, token in enumerate(tokens):
        lower = token.lower()
        if "lora" not in lower:
            continue
        if found := _LORA.fullmatch(lower):
            return tokens[:index], "lora_a" if found[1] in {"a", "down"} else "lora_b"
        if lower == "lora_magnitude_vector":
            return tokens[:index], "scale"
        found = _LORA_PROCESSOR.fullmatch(token)
        if found and index + 1 < len(tokens) and tokens[index + 1] in {"down", "up"}:
            return [*tokens[:index], found[1]], "lora_a" if tokens[index + 1] == "down" else "lora_b"
    return tokens, ""


def _block(tokens: list[str]) -> int:
    """Return the index of what follows the number of the block; 0 if the tensor is in none."""
    end = 0
    last = ""
    index = 0
    while index < len(tokens) - 1:
        word = tokens[index].lower()
        if _is_number(tokens[index + 1]) and (word in BLOCKS or word in STAGES or word.startswith("albert_layer")):
            if end and last not in STAGES and (index != end or word in WITHIN or word == last):
                break
            end = _end_of_run(tokens, index + 1)
            last, index = word, end
            continue
        index += 1
    return end or _any_number(tokens)


def _end_of_run(tokens: list[str], index: int) -> int:
    """Return what follows the numbers at ``index``; a last one that is a layer itself is no block."""
    end = index
    while end < len(tokens) and _is_number(tokens[end]):
        end += 1
    return end - 1 if end == len(tokens) and end - index > 1 else end


def _any_number(tokens: list[str]) -> int:
    """Take the first number for the block, as in ``model.22.cv1.conv`` or ``net.0``."""
    for index, token in enumerate(tokens):
        if _is_number(token) and (not index or tokens[index - 1].lower() not in _NOT_BLOCKS):
            return _end_of_run(tokens, index)
    return 0


def _expert(inside: list[str]) -> tuple[int | None, bool]:
    for index, token in enumerate(inside):
        if token in {"experts", "local_experts"}:
            following = inside[index + 1] if index + 1 < len(inside) else ""
            return (int(following) if _is_number(following) else None), True
        if token.endswith("_exps"):
            return None, True
    return None, False
