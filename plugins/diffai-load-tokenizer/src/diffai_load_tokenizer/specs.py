"""The messages of a SentencePiece model that say how it was trained and how it normalises text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffai_lib_protobuf import LENGTH, VARINT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from diffai_lib_protobuf import Field, Message

_MAX_BYTES = 16 << 20
"""Longest text or table in a message: the rules that come with SentencePiece have 240 kB."""
_MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}

_Reader = tuple[str, "Callable[[Field], Any]"]


def _text(field: Field) -> str:
    return field.text(_MAX_BYTES)


def _data(field: Field) -> bytes:
    return field.data(_MAX_BYTES)


def _integer(field: Field) -> int:
    return field.signed()


def _float(field: Field) -> float:
    return field.float32()


def _flag(field: Field) -> bool:
    return field.boolean()


def _model_type(field: Field) -> Any:
    value = field.unsigned()
    return _MODEL_TYPES.get(value, value)


_TRAINER: dict[int, _Reader] = {
    2: ("model_prefix", _text),
    3: ("model_type", _model_type),
    4: ("vocab_size", _integer),
    6: ("self_test_sample_size", _integer),
    7: ("input_format", _text),
    10: ("character_coverage", _float),
    11: ("input_sentence_size", _integer),
    12: ("mining_sentence_size", _integer),
    13: ("training_sentence_size", _integer),
    14: ("seed_sentencepiece_size", _integer),
    15: ("shrinking_factor", _float),
    16: ("num_threads", _integer),
    17: ("num_sub_iterations", _integer),
    18: ("max_sentence_length", _integer),
    19: ("shuffle_input_sentence", _flag),
    20: ("max_sentencepiece_length", _integer),
    21: ("split_by_unicode_script", _flag),
    22: ("split_by_whitespace", _flag),
    23: ("split_by_number", _flag),
    24: ("treat_whitespace_as_suffix", _flag),
    25: ("split_digits", _flag),
    26: ("allow_whitespace_only_pieces", _flag),
    32: ("vocabulary_output_piece_score", _flag),
    33: ("hard_vocab_limit", _flag),
    34: ("use_all_vocab", _flag),
    35: ("byte_fallback", _flag),
    36: ("required_chars", _text),
    40: ("unk_id", _integer),
    41: ("bos_id", _integer),
    42: ("eos_id", _integer),
    43: ("pad_id", _integer),
    44: ("unk_surface", _text),
    45: ("unk_piece", _text),
    46: ("bos_piece", _text),
    47: ("eos_piece", _text),
    48: ("pad_piece", _text),
    49: ("train_extremely_large_corpus", _flag),
    50: ("enable_differential_privacy", _flag),
    51: ("differential_privacy_noise_level", _float),
    52: ("differential_privacy_clipping_threshold", _integer),
    53: ("pretokenization_delimiter", _text),
    54: ("seed_sentencepieces_file", _text),
    55: ("auto_character_coverage", _flag),
}
_TRAINER_LISTS: dict[int, _Reader] = {
    1: ("input", _text),
    5: ("accept_language", _text),
    30: ("control_symbols", _text),
    31: ("user_defined_symbols", _text),
}
_NORMALIZER: dict[int, _Reader] = {
    1: ("name", _text),
    2: ("precompiled_charsmap", _data),
    3: ("add_dummy_prefix", _flag),
    4: ("remove_extra_whitespaces", _flag),
    5: ("escape_whitespaces", _flag),
    6: ("normalization_rule_tsv", _text),
}
_SAMPLE: dict[int, _Reader] = {1: ("input", _text), 2: ("expected", _text)}


def read_trainer(message: Message) -> dict[str, Any]:
    """Return what a ``TrainerSpec`` sets, by the names that SentencePiece gives its options."""
    return _read(message, _TRAINER, _TRAINER_LISTS)


def read_normalizer(message: Message) -> dict[str, Any]:
    """Return what a ``NormalizerSpec`` sets."""
    return _read(message, _NORMALIZER, {})


read_denormalizer = read_normalizer


def read_self_test(message: Message) -> dict[str, Any]:
    """Return the samples of a ``SelfTestData``."""
    return _read(message, {}, {1: ("samples", lambda field: _read(field.message(), _SAMPLE, {}))})


def unknown(tree: dict[str, Any], field: Field) -> None:
    """Note a field that this version does not know, so that it is compared all the same."""
    value: int | bytes = field.data(_MAX_BYTES) if field.wire == LENGTH else field.value
    kind = "" if field.wire in {LENGTH, VARINT} else f" of wire type {field.wire}"
    tree.setdefault(f"field {field.number}{kind}", []).append(value)


def _read(message: Message, single: Mapping[int, _Reader], repeated: Mapping[int, _Reader]) -> dict[str, Any]:
    """Return the fields of a message by name; of one that is there several times the last counts, as in protobuf."""
    found: dict[str, Any] = {}
    for field in message.fields():
        if field.number in single:
            name, read = single[field.number]
            found[name] = read(field)
        elif field.number in repeated:
            name, read = repeated[field.number]
            found.setdefault(name, []).append(read(field))
        else:
            unknown(found, field)
    return found
