"""Writes a rung of the ladder as GGUF, for llama.cpp.

    python tests/servers/to_gguf.py models/ladder-1m RUNG.gguf
"""
import json
import pathlib
import struct
import sys

import gguf
import numpy

source = pathlib.Path(sys.argv[1])
config = json.loads((source / "config.json").read_text())
data = (source / "model.safetensors").read_bytes()
length = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8 : 8 + length])


def tensor(name):
    begin, end = header[name]["data_offsets"]
    values = numpy.frombuffer(data[8 + length + begin : 8 + length + end], dtype="<f2")
    return values.astype(numpy.float32).reshape(header[name]["shape"])


def interleaved(matrix):
    """Rotary pairs lie side by side in llama.cpp, and half a head apart in Hugging Face's layout."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


heads, width = config["num_attention_heads"], config["hidden_size"]
writer = gguf.GGUFWriter(sys.argv[2], "llama")
writer.add_name(source.name)
writer.add_block_count(config["num_hidden_layers"])
writer.add_context_length(config["max_position_embeddings"])
writer.add_embedding_length(width)
writer.add_feed_forward_length(config["intermediate_size"])
writer.add_head_count(heads)
writer.add_head_count_kv(heads)
writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
writer.add_rope_dimension_count(width // heads)
writer.add_rope_freq_base(config["rope_theta"])
writer.add_vocab_size(config["vocab_size"])
# Every byte is a token; GPT-2 writes those that do not print as characters from 256 on.
unprinted = iter(range(256, 512))
tokens = [chr(byte) if 33 <= byte <= 126 else chr(next(unprinted)) for byte in range(config["vocab_size"])]
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("gpt-2")
writer.add_token_list(tokens)
writer.add_token_types([3 if byte == config["bos_token_id"] else 1 for byte in range(config["vocab_size"])])
# There has to be one.
writer.add_token_merges([f"{tokens[0]} {tokens[0]}"])
writer.add_bos_token_id(config["bos_token_id"])
writer.add_eos_token_id(config["eos_token_id"])
writer.add_add_bos_token(True)
writer.add_add_space_prefix(False)
embedding = tensor("model.embed_tokens.weight")
writer.add_tensor("token_embd.weight", embedding)
writer.add_tensor("output.weight", embedding)
writer.add_tensor("output_norm.weight", tensor("model.norm.weight"))
for block in range(config["num_hidden_layers"]):
    for name, there, change in [
        ("attn_norm", "input_layernorm", None),
        ("attn_q", "self_attn.q_proj", interleaved),
        ("attn_k", "self_attn.k_proj", interleaved),
        ("attn_v", "self_attn.v_proj", None),
        ("attn_output", "self_attn.o_proj", None),
        ("ffn_norm", "post_attention_layernorm", None),
        ("ffn_gate", "mlp.gate_proj", None),
        ("ffn_up", "mlp.up_proj", None),
        ("ffn_down", "mlp.down_proj", None),
    ]:
        values = tensor(f"model.layers.{block}.{there}.weight")
        writer.add_tensor(f"blk.{block}.{name}.weight", change(values) if change else values)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
