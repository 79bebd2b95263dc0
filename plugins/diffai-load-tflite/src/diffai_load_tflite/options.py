"""What the options of each built-in operator are called (schema of TensorFlow 2.21), and how they are read.

An entry lists the fields of one table of options in the order of their slots: ``name:kind`` or ``name:kind=default``.
Kinds: ``b B ? i I q Q f`` are numbers as in ``struct``, ``s`` is a string, ``[`` before a kind makes it a vector, and
every other word is one of ``ENUMS``. Slots called ``_`` are no longer in use.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from diffai_load_tflite.types import type_name

if TYPE_CHECKING:
    from diffai_load_tflite.flatbuffer import Table

ENUMS: dict[str, tuple[str, ...]] = {
    "padding": ("SAME", "VALID"),
    "activation": ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT"),
    "combiner": ("SUM", "MEAN", "SQRTN"),
    "lstm": ("FULL", "BASIC"),
    "fc_weights": ("DEFAULT", "SHUFFLED4x16INT8"),
    "mirror": ("REFLECT", "SYMMETRIC"),
    "lsh": ("UNKNOWN", "SPARSE", "DENSE"),
    "reduce": ("UNSUPPORTED", "ADD", "MUL", "MINIMUM", "MAXIMUM", "ALL", "ANY"),
    "comparison": ("EQ", "NE", "GE", "GT", "LE", "LT"),
    "compare": ("NOTYPE", "FLOAT", "FLOAT_TOTAL_ORDER", "SIGNED", "UNSIGNED"),
    "rng": ("DEFAULT", "PHILOX", "THREEFRY"),
}
_WIDE_ENUMS = frozenset({"reduce", "comparison", "compare"})
"""Enums of 32 bits; the others have 8."""
_RAW = {8: "q", 4: "i", 2: "h", 1: "b"}

OPTIONS: dict[int, str] = {
    1: (  # Conv2D
        "padding:padding stride_w:i stride_h:i fused_activation_function:activation "
        "dilation_w_factor:i=1 dilation_h_factor:i=1 quantized_bias_type:dtype"
    ),
    2: (  # DepthwiseConv2D
        "padding:padding stride_w:i stride_h:i depth_multiplier:i "
        "fused_activation_function:activation dilation_w_factor:i=1 dilation_h_factor:i=1"
    ),
    3: "num_channels:i num_columns_per_channel:[i embedding_dim_per_channel:[i",  # ConcatEmbeddings
    4: "type:lsh",  # LSHProjection
    5: (  # Pool2D
        "padding:padding stride_w:i stride_h:i filter_width:i filter_height:i fused_activation_function:activation"
    ),
    6: "rank:i fused_activation_function:activation asymmetric_quantize_inputs:?",  # SVDF
    7: "fused_activation_function:activation asymmetric_quantize_inputs:?",  # RNN
    8: (  # FullyConnected
        "fused_activation_function:activation weights_format:fc_weights keep_num_dims:? "
        "asymmetric_quantize_inputs:? quantized_bias_type:dtype"
    ),
    9: "beta:f",  # Softmax
    10: "axis:i fused_activation_function:activation",  # Concatenation
    11: "fused_activation_function:activation pot_scale_int16:?=1",  # Add
    12: "fused_activation_function:activation",  # L2Norm
    13: "radius:i bias:f alpha:f beta:f",  # LocalResponseNormalization
    14: (  # LSTM
        "fused_activation_function:activation cell_clip:f proj_clip:f kernel_type:lstm asymmetric_quantize_inputs:?"
    ),
    15: "_:i _:i align_corners:? half_pixel_centers:?",  # ResizeBilinear
    16: "subgraph:I",  # Call
    17: "new_shape:[i",  # Reshape
    18: "ngram_size:i max_skip_size:i include_all_ngrams:?",  # SkipGram
    19: "block_size:i",  # SpaceToDepth
    20: "combiner:combiner",  # EmbeddingLookupSparse
    21: "fused_activation_function:activation",  # Mul
    23: "axis:i batch_dims:i",  # Gather
    27: "keep_dims:?",  # Reducer
    28: "fused_activation_function:activation pot_scale_int16:?=1",  # Sub
    29: "fused_activation_function:activation",  # Div
    30: "squeeze_dims:[i",  # Squeeze
    31: "time_major:? fused_activation_function:activation asymmetric_quantize_inputs:?",  # SequenceRNN
    32: "begin_mask:i end_mask:i ellipsis_mask:i new_axis_mask:i shrink_axis_mask:i offset:?",  # StridedSlice
    35: "num_splits:i",  # Split
    37: "in_data_type:dtype out_data_type:dtype",  # Cast
    40: "output_type:dtype",  # ArgMax
    49: (  # TransposeConv
        "padding:padding stride_w:i stride_h:i fused_activation_function:activation quantized_bias_type:dtype"
    ),
    50: "validate_indices:?",  # SparseToDense
    55: "out_type:dtype",  # Shape
    57: "output_type:dtype",  # ArgMin
    58: "min:f max:f num_bits:i narrow_range:?",  # FakeQuant
    59: "values_count:i axis:i",  # Pack
    61: "axis:i",  # OneHot
    64: "num:i axis:i",  # Unpack
    69: (  # BidirectionalSequenceLSTM
        "fused_activation_function:activation cell_clip:f proj_clip:f merge_outputs:? "
        "time_major:?=1 asymmetric_quantize_inputs:?"
    ),
    70: (  # BidirectionalSequenceRNN
        "time_major:? fused_activation_function:activation merge_outputs:? asymmetric_quantize_inputs:?"
    ),
    71: (  # UnidirectionalSequenceLSTM
        "fused_activation_function:activation cell_clip:f proj_clip:f time_major:? "
        "asymmetric_quantize_inputs:? diagonal_recurrent_tensors:?"
    ),
    74: "align_corners:? half_pixel_centers:?",  # ResizeNearestNeighbor
    75: "alpha:f",  # LeakyRelu
    77: "mode:mirror",  # MirrorPad
    79: "num_splits:i",  # SplitV
    80: "idx_out_type:dtype=2",  # Unique
    87: "seq_dim:i batch_dim:i",  # ReverseSequence
    92: "then_subgraph_index:i else_subgraph_index:i",  # If
    93: "cond_subgraph_index:i body_subgraph_index:i",  # While
    94: "block_size:i",  # DepthToSpace
    101: "adj_x:? adj_y:? asymmetric_quantize_inputs:?",  # BatchMatMul
    102: "exclusive:? reverse:?",  # Cumsum
    103: "init_subgraph_index:i",  # CallOnce
    106: (  # Conv3D
        "padding:padding stride_d:i stride_w:i stride_h:i fused_activation_function:activation "
        "dilation_d_factor:i=1 dilation_w_factor:i=1 dilation_h_factor:i=1"
    ),
    107: "table_id:i key_dtype:dtype value_dtype:dtype",  # Hashtable
    111: "container:s shared_name:s",  # VarHandle
    114: "seed:q seed2:q",  # Random
    115: "boundaries:[f",  # Bucketize
    116: "approximate:?",  # Gelu
}
OPTIONS_2: dict[int, str] = {
    1: "dimension:q",  # StablehloConcatenate
    2: "broadcast_dimensions:[q",  # StablehloBroadcastInDim
    3: "start_indices:[q limit_indices:[q strides:[q",  # StablehloSlice
    4: (  # StablehloConvolution
        "window_strides:[q padding:[q lhs_dilation:[q rhs_dilation:[q window_reversal:[? "
        "input_batch_dimension:q input_feature_dimension:q input_spatial_dimensions:[q "
        "kernel_input_feature_dimension:q kernel_output_feature_dimension:q "
        "kernel_spatial_dimensions:[q output_batch_dimension:q output_feature_dimension:q "
        "output_spatial_dimensions:[q feature_group_count:q batch_group_count:q precision_config:[I"
    ),
    5: (  # StablehloCustomCall
        "call_target_name:s has_side_effect:? backend_config:s api_version:i called_computations:[i "
        "custom_attributes:[B"
    ),
    6: "dimensions:[q body_subgraph_index:i",  # StablehloReduce
    7: (  # StablehloScatter
        "indices_are_sorted:? update_window_dims:[q inserted_window_dims:[q "
        "scatter_dims_to_operand_dims:[q index_vector_dim:q unique_indices:? "
        "update_computation_subgraph_index:i"
    ),
    8: "comparison_direction:comparison compare_type:compare",  # StablehloCompare
    9: "slice_sizes:[q",  # StablehloDynamicSlice
    10: "edge_padding_low:[q edge_padding_high:[q interior_padding:[q",  # StablehloPad
    11: "iota_dimension:q",  # StablehloIota
    12: (  # StablehloDotGeneral
        "lhs_batching_dimensions:[q rhs_batching_dimensions:[q lhs_contracting_dimensions:[q "
        "rhs_contracting_dimensions:[q precision_config:[I"
    ),
    13: (  # StablehloReduceWindow
        "window_dimensions:[q window_strides:[q base_dilations:[q window_dilations:[q padding:[q body_subgraph_index:i"
    ),
    14: "dimension:q is_stable:? comparator_subgraph_index:i",  # StablehloSort
    15: "cond_subgraph_index:i body_subgraph_index:i",  # StablehloWhile
    16: (  # StablehloGather
        "offset_dims:[q collapsed_slice_dims:[q start_index_map:[q index_vector_dim:q slice_sizes:[q "
        "indices_are_sorted:?"
    ),
    17: "permutation:[q",  # StablehloTranspose
    19: "algorithm:rng",  # StablehloRngBitGenerator
    20: "reduce_function:reduce",  # ReduceWindow
    21: (  # StableHLOComposite
        "name:s decomposition_subgraph_index:i composite_attributes:[B composite_attributes_format:b version:i"
    ),
    23: "branch_subgraph_indices:[i",  # StablehloCase
}


def read_options(table: Table, number: int, more: bool) -> dict[str, Any]:
    """Return the options of an operator by name; those that a file leaves out have their default.

    The fields of a table that is newer than this schema are called ``field_<slot>``, and are integers as wide as the
    room to the next field allows.

    Args:
        table: The options.
        number: Which kind of options they are.
        more: Whether ``number`` counts the newer kinds (``builtin_options_2``).

    Raises:
        LoadError: If the table is damaged.
    """
    fields = (OPTIONS_2 if more else OPTIONS).get(number, "").split()
    options: dict[str, Any] = {}
    for slot, field in enumerate(fields):
        name, _, kind = field.partition(":")
        if name != "_":
            options[name] = _value(table, slot, *kind.partition("=")[::2])
    return options | _unknown_fields(table, len(fields))


def _value(table: Table, slot: int, kind: str, default: str) -> Any:
    if kind == "s":
        return table.text(slot)
    if kind.startswith("["):
        return table.raw(slot) if kind == "[B" else list(table.numbers(slot, kind[1:]))
    code = kind if len(kind) == 1 else "I" if kind in _WIDE_ENUMS else "b"
    value = table.number(slot, struct.Struct(f"<{code}"), int(default or "0"))
    if len(kind) == 1:
        return bool(value) if kind == "?" else float(value) if kind == "f" else int(value)
    return type_name(int(value)) if kind == "dtype" else _enum_name(kind, int(value))


def _enum_name(kind: str, number: int) -> str | int:
    names = ENUMS[kind]
    return names[number] if 0 <= number < len(names) else number


def _unknown_fields(table: Table, n_known: int) -> dict[str, int]:
    """Return the fields beyond the first ``n_known`` as raw integers."""
    found = {}
    for slot in table.slots:
        if slot >= n_known:
            code = _RAW[table.room(slot)]
            found[f"field_{slot}"] = table.whole(slot, struct.Struct(f"<{code}"))
    return found
