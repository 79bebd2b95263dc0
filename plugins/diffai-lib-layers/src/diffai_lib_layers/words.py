"""What the words in the names of tensors mean, by the libraries that write them."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


def _table(**meanings: str) -> dict[str, str]:
    """Return what each word means; the arguments are meanings, and the words that have them."""
    return {word: meaning for meaning, text in meanings.items() for word in text.split()}


WRAPPERS = words(
    "_checkpoint_wrapped_module _forward_module _fsdp_wrapped_module _orig_mod _wrapped_module base_layer module"
)
"""Under which checkpoints keep the weights; only before everything else."""

ENVELOPES = words("base_model batch_stats ema_model model_ema model_state_dict model_weights params state_dict")
"""Under which checkpoints keep the weights; only before everything else."""

STAGES = words(
    "denseblock down_blocks groups input_blocks layer_groups level levels mid_block middle_block output_blocks "
    "resolutions stage stages up_blocks"
)
"""Numbered parts that hold numbered blocks of their own."""

BLOCKS = words(
    "angle_layers atom_conv_layers attentions blk block blocks bond_conv_layers cells conv_layers convs "
    "decoder_block decoder_layer decoder_layers denselayer double_blocks downsamplers encoder_block "
    "encoder_layer encoder_layers encoderblock features gnn_layers h hidden_layers interaction_blocks "
    "joint_blocks layer layer_module layer_stack layers motion_modules resblock resblocks residual_block "
    "residual_layers resnets single_blocks single_transformer_blocks temp_attentions transformer "
    "transformer_block transformer_blocks transformer_layer transformer_layers unit units upsamplers"
)
"""What numbers the blocks of a model."""

WITHIN = words("block conv_layers convs layer layer_module sublayer")
"""Numbered inside a block where a block is open: ``block.3.layer.0`` of T5, ``layers.0.layer.1`` of ResNet."""

PARTS = _table(
    weight="weight kernel gamma embedding embeddings w weights g weight_v original1 depthwise_kernel pointwise_kernel",
    weight_norm="weight_g original0",
    bias="bias beta b",
    running_mean="running_mean moving_mean mean",
    running_var="running_var moving_variance var running_std",
    num_batches_tracked="num_batches_tracked",
    inv_freq="inv_freq",
    position_ids="position_ids",
    scale="scale",
    alpha="alpha",
    recurrent_kernel="recurrent_kernel",
)
"""The last word of a name and the part of a layer that it is."""

RUNNING = words("running_mean running_var num_batches_tracked")
"""Parts that only batch norms have."""

EXACT = _table(
    q="q q_proj query to_q wq q_lin attn_q cross_attn_q query_proj q_linear query_dense add_q_proj q_attn",
    k="k k_proj key to_k wk k_lin attn_k cross_attn_k key_proj k_linear key_dense add_k_proj",
    v="v v_proj value to_v wv v_lin attn_v cross_attn_v value_proj v_linear value_dense add_v_proj",
    qkv="qkv c_attn query_key_value wqkv qkv_proj attn_qkv to_qkv qkv_linear to_added_qkv in_proj_qkv",
    kv="kv to_kv kv_proj key_value kv_linear",
    q_a="q_a_proj attn_q_a q_a",
    q_b="q_b_proj attn_q_b q_b",
    kv_a="kv_a_proj_with_mqa attn_kv_a_mqa kv_a kv_a_proj",
    kv_b="kv_b_proj attn_kv_b kv_b attn_k_b attn_v_b",
    o="o o_proj attn_output attn_o cross_attn_o cross_attn_output"
    " to_out out_lin attention_output to_add_out attn_out o_linear",
    gate="gate_proj ffn_gate wi_0 ffn_gate_shexp ffn_gate_exps",
    up=(
        "up_proj ffn_up wi_1 wi ffn_up_shexp ffn_up_exps dense_h_to_4h c_fc lin1 linear1 intermediate_dense "
        "intermediate fc_in dense_4h"
    ),
    gate_up="gate_up_proj ffn_gate_up_exps w12 wi_fused ffn_gate_up",
    down="down_proj ffn_down ffn_down_shexp ffn_down_exps dense_4h_to_h lin2 linear2 output_dense fc_out",
    router="router ffn_gate_inp shared_expert_gate ffn_gate_inp_shexp exp_probs_b router_proj",
    embed=(
        "embed_tokens word_embeddings token_embd wte tok_embeddings token_embedding embed_in token_type_embeddings "
        "word_embedding embed embedding embeddings shared tok_embedding class_embedding cls_token class_token "
        "mask_token dist_token reg_token register_tokens distillation_token token_types item_embedding "
        "embed_codebooks prompt_embeddings latents token_emb embedder input_embedding logical_embedding"
    ),
    position=(
        "position_embeddings position_embedding wpe embed_positions pos_embed position_embd pos_embedding "
        "absolute_pos_embed relative_attention_bias relative_position_bias_table positional_embedding rope_freqs "
        "position_ids inv_freq rotary_emb rotary_embedding pos_encoding positional_encoding pos_emb freqs_cis "
        "rel_pos_h rel_pos_w relative_position_index relative_coords_table cpb_mlp pos_conv_embed attn_rel_b "
        "rope_factors_long rope_factors_short bias_table rel_embeddings attention_biases"
    ),
    head=(
        "lm_head classifier head heads qa_outputs score embed_out cls_seq logits predictions pre_logits head_dist "
        "pooler seq_relationship classifier_head text_projection visual_projection proj_out_lm qa_classifier "
        "class_head box_head output_head bbox_predictor class_predictor"
    ),
    scale=(
        "logit_scale layer_scale layerscale layer_scale1 layer_scale2 ls1 ls2 lambda_1 lambda_2 lambda1 gamma_1 "
        "gamma_2 layer_scalar scale_shift_table cls_scale layer_output_scale temperature gamma_xca gamma"
    ),
    ssm="x_proj dt_proj a_log dt_bias ssm_in ssm_out ssm_x ssm_dt ssm_a ssm_d",
    rnn="lstm gru rnn lstm_cell gru_cell simple_rnn simple_rnn_cell",
    conv="downsample_conv stem patch_embed patch_embeddings patch_embedding",
)
"""Words that say the role wherever they stand; all lower case."""

ATTENTION = _table(
    o="out out_proj proj dense c_proj wo output linear_out fc linear out_projection proj_out",
    qkv="in_proj in_projection",
    q="linear_q",
    k="linear_k",
    v="linear_v",
)
"""Words that say the role inside an attention."""

FEED_FORWARD = _table(
    up="fc1 w3 fc_1 dense1 linear_1 fc dense_0 in_proj proj_in gate_and_up fc1_x",
    down="fc2 w2 wo fc_2 dense2 linear_2 c_proj dense_1 out_proj proj_out output out proj",
    gate="w1 gate_linear fc1_g",
    router="gate wg gate_weight",
)
"""Words that say the role inside a feed-forward network."""

IN_BLOCK = _table(
    up="fc1 w3 fc_1 linear_1",
    down="fc2 w2 wo fc_2 linear_2 output c_proj",
    gate="w1",
)
"""Words that say the role of a layer that stands in a block and in nothing else."""

OUTSIDE = _table(
    head="fc output output_layer out logit last_linear output_projection decoder_head proj_out",
)
"""Words that say the role of a layer that is in no block."""
