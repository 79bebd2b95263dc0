"""Finds constants whose numbers are computed from codes: ``Const -> Convert -> Subtract -> Multiply -> Reshape``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from diffai_load_openvino.precisions import STORED, port_code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffai_load_openvino.constants import Constant
    from diffai_load_openvino.document import Layer, Port
    from diffai_load_openvino.wiring import Wiring

MAX_SCALES = 1 << 22
"""Most scales or zero points where they are not those of consecutive groups; they are held in memory then."""

_CODES = frozenset({"u8", "i8", "u4", "i4", "u2", "nf4", "f8e4m3", "f8e5m2", "f4e2m1", "u1", "u3", "u6"})
_FLOATS = frozenset({"f16", "bf16", "f32", "f64"})
_FP4_SCALES = _FLOATS | {"f8e8m0", "f8e4m3"}


class Chain(NamedTuple):
    """Layers that do nothing but make numbers of a constant; the tensor stands for all of them.

    Args:
        codes: The constant.
        scale: What codes are multiplied by; ``None`` where they are numbers already.
        zero: What is subtracted from codes before, or ``None``.
        dtype: Type of the numbers, as constants call it.
        shape: Shape of the numbers.
        layers: Layers after the constant, in order.
        private: Scale and zero point constants, and their conversions, that nothing else uses.
    """

    codes: Constant
    scale: Constant | None
    zero: Constant | None
    dtype: str
    shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    private: tuple[Layer, ...]


def find_chain(layer: Layer, wiring: Wiring, constants: Mapping[int, Constant]) -> Chain | None:
    """Return the layers that make numbers of the constant ``layer``, if there are any.

    Args:
        layer: A ``Const`` layer.
        wiring: The graph it is in.
        constants: All constants of that graph by number of their layer.
    """
    convert = wiring.only_taker(layer)
    if convert is None or convert.type != "Convert":
        return None
    constant = constants[layer.number]
    found = _Search(constant, convert, wiring, constants).find() if constant.code in _CODES else None
    if found is None and is_decompression(convert):
        return Chain(constant, None, None, constant.code, constant.shape, (convert,), ())
    return found


def is_decompression(layer: Layer) -> bool:
    """Whether OpenVINO has marked a conversion as the unpacking of a constant."""
    said = layer.extra.get("rt_info")
    return isinstance(said, dict) and "decompression" in said


class _Search:
    """Follows a constant of codes from layer to layer.

    Args:
        codes: The constant.
        convert: The conversion that takes it.
        wiring: The graph.
        constants: All constants of that graph by number of their layer.
    """

    def __init__(self, codes: Constant, convert: Layer, wiring: Wiring, constants: Mapping[int, Constant]) -> None:
        self._codes = codes
        self._wiring = wiring
        self._constants = constants
        self._layers = [convert]
        self._private: list[Layer] = []

    def find(self) -> Chain | None:
        zero = self._step("Subtract", (0,))
        scale = self._step("Multiply", (0, 1))
        if scale is None or not self._computes(scale, zero):
            return None
        kind = port_code(self._layers[0].outputs[0].precision)
        shape = self._behind()
        return Chain(self._codes, scale, zero, kind, shape, tuple(self._layers), tuple(self._private))

    def _step(self, kind: str, sides: tuple[int, ...]) -> Constant | None:
        """Go on to the layer that takes the codes, if it is a ``kind`` of them and a constant; return that constant.

        Args:
            kind: Type of the layer.
            sides: Which of its two inputs the codes may be.
        """
        following = self._wiring.only_taker(self._layers[-1])
        if following is None or following.type != kind:
            return None
        side = next((side for side in sides if self._wiring.giver(following, side) is self._layers[-1]), None)
        if side is None:
            return None
        path = self._path_to_constant(following, 1 - side)
        constant = self._constants.get(path[-1].number) if path else None
        if constant is not None:
            self._layers.append(following)
            self._private += path if all(self._wiring.only_taker(layer) is not None for layer in path) else []
        return constant

    def _path_to_constant(self, layer: Layer, index: int) -> list[Layer]:
        """Return the layers behind an input: a constant, or a conversion and what it takes."""
        given = self._wiring.giver(layer, index)
        if given is None or given.type != "Convert":
            return [given] if given is not None else []
        before = self._wiring.giver(given, 0)
        return [given, before] if before is not None else []

    def _computes(self, scale: Constant, zero: Constant | None) -> bool:
        """Whether the layers are what :class:`Chain` says: every step in one type, and of the shape of the codes."""
        allowed = _FP4_SCALES if self._codes.code == "f4e2m1" else _FLOATS
        if scale.code not in allowed or (zero is not None and zero.code not in STORED and zero.code != "nf4"):
            return False
        outputs = [layer.outputs for layer in self._layers]
        if any(len(ports) != 1 for ports in outputs) or outputs[-1][0].dims != self._codes.shape:
            return False
        kinds = {port_code(ports[0].precision) for ports in outputs}
        parts = [scale] if zero is None else [scale, zero]
        return len(kinds) == 1 and kinds <= _FLOATS and all(_can_spread(part, self._codes.shape) for part in parts)

    def _behind(self) -> tuple[int, ...]:
        """Take in a reshape and a conversion that follow; return the shape of what comes out."""
        shape = self._codes.shape
        after = self._wiring.only_taker(self._layers[-1])
        if after is not None and after.type == "Reshape" and _is_static(after.outputs, math.prod(shape)):
            self._layers.append(after)
            target = self._wiring.giver(after, 1)
            if target is not None and target.type == "Const" and self._wiring.only_taker(target) is after:
                self._private.append(target)
            shape = after.outputs[0].dims
            after = self._wiring.only_taker(after)
        if after is not None and after.type == "Convert" and is_decompression(after):
            self._layers.append(after)
        return shape


def _can_spread(part: Constant, shape: tuple[int, ...]) -> bool:
    """Whether ``part`` has a number for each element of ``shape``, and few enough to look them up."""
    if len(part.shape) > len(shape):
        return False
    wide = (1,) * (len(shape) - len(part.shape)) + part.shape
    fits = all(length in {1, whole} for length, whole in zip(wide, shape, strict=True))
    return fits and (part.numel <= MAX_SCALES or group_length(wide, shape) is not None)


def group_length(wide: tuple[int, ...], shape: tuple[int, ...]) -> int | None:
    """Return how many consecutive elements of ``shape`` share a scale, if every such group has its own.

    Args:
        wide: Shape of the scales, with as many dimensions as ``shape``.
        shape: Shape of the codes.

    Example:
        >>> group_length((4, 8, 1), (4, 8, 32))
        32
        >>> group_length((1, 8), (4, 8)) is None
        True
    """
    n_leading = max((axis + 1 for axis, length in enumerate(wide) if length > 1), default=0)
    if wide[:n_leading] != shape[:n_leading]:
        return None
    return math.prod(shape[n_leading:])


def _is_static(outputs: tuple[Port, ...], numel: int) -> bool:
    return len(outputs) == 1 and all(length >= 0 for length in outputs[0].dims) and math.prod(outputs[0].dims) == numel
