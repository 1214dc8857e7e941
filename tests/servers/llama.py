"""Serves a GGUF model with llama.cpp (PyPI `xllamacpp`) on a free port of the loopback; prints its address, ends with its input.

    python tests/servers/llama.py MODEL.gguf [CONTEXT [SLOTS]]

Attention is in single precision throughout: as llama.cpp has it by default, with its "flash attention" over half-precision keys and values, a
log-probability is off by up to 0.02.
"""
import sys

from xllamacpp import CommonParams, Server, ggml_type, llama_flash_attn_type

parameters = CommonParams()
parameters.model.path = sys.argv[1]
parameters.n_ctx = int(sys.argv[2]) if len(sys.argv) > 2 else 8192
parameters.n_parallel = int(sys.argv[3]) if len(sys.argv) > 3 else 4
parameters.cache_type_k = parameters.cache_type_v = ggml_type.GGML_TYPE_F32
parameters.port = 0
parameters.use_jinja = True
parameters.flash_attn_type = llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
server = Server(parameters)
print(server.listening_address, flush=True)
sys.stdin.read()
