"""Serves a GGUF model with llama.cpp (PyPI `xllamacpp`) on a free port of the loopback; prints its address, ends with its input.

    python tests/servers/llama.py MODEL.gguf [CONTEXT]
"""
import sys

from xllamacpp import CommonParams, Server

parameters = CommonParams()
parameters.model.path = sys.argv[1]
parameters.n_ctx = int(sys.argv[2]) if len(sys.argv) > 2 else 8192
parameters.n_parallel = 4
parameters.port = 0
parameters.use_jinja = True
server = Server(parameters)
print(server.listening_address, flush=True)
sys.stdin.read()
