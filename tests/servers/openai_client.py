"""Drives a server with OpenAI's own client: every call here must do what its documentation says.

    python tests/servers/openai_client.py ADDRESS MODEL
"""

import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key="none", max_retries=0)
model = sys.argv[2]

assert model in [listed.id for listed in client.models.list()]

text = client.completions.create(model=model, prompt="Q:12+34\nA:", max_tokens=8, temperature=0, stop=["\n"], logprobs=2)
choice = text.choices[0]
assert choice.text == "46" and choice.finish_reason == "stop", choice
assert len(choice.logprobs.token_logprobs) == 2 and all(len(top) == 2 for top in choice.logprobs.top_logprobs)
assert text.usage.prompt_tokens == 11 and text.usage.total_tokens == text.usage.prompt_tokens + text.usage.completion_tokens

echoed = client.completions.create(model=model, prompt="Q:12+34\nA:46", max_tokens=0, echo=True, logprobs=1)
assert echoed.choices[0].text == "Q:12+34\nA:46" and sum(echoed.choices[0].logprobs.token_logprobs[-2:]) > -1

parts = [part.choices[0] for part in client.completions.create(model=model, prompt="Q:12+34\nA:", max_tokens=8, temperature=0, stop=["\n"], stream=True)]
assert "".join(part.text for part in parts) == "46" and parts[-1].finish_reason == "stop"

several = client.completions.create(model=model, prompt="Q:", max_tokens=12, temperature=1, seed=3, n=4)
assert len(several.choices) == 4 and len({choice.text for choice in several.choices}) > 1
assert several.choices == client.completions.create(model=model, prompt="Q:", max_tokens=12, temperature=1, seed=3, n=4).choices

biased = client.completions.create(model=model, prompt="Q:12+34\nA:", max_tokens=3, temperature=0, logit_bias={str(ord("7")): 100})
assert biased.choices[0].text == "777"

messages = [{"role": "user", "content": "Q:12+34\nA:"}]
chat = client.chat.completions.create(model=model, messages=messages, temperature=0, stop="\n", max_completion_tokens=8, logprobs=True, top_logprobs=3)
assert chat.choices[0].message.content == "46" and chat.choices[0].message.role == "assistant"
assert [len(token.top_logprobs) for token in chat.choices[0].logprobs.content] == [3, 3]
stream = client.chat.completions.create(model=model, messages=messages, temperature=0, stop="\n", stream=True, stream_options={"include_usage": True})
chunks = list(stream)
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "46" and chunks[-1].usage.completion_tokens > 0

parameters = {"type": "object", "properties": {"expression": {"type": "string"}}, "required": ["expression"]}
tools = [{"type": "function", "function": {"name": "calculator", "description": "Computes.", "parameters": parameters}}]
messages = [{"role": "user", "content": "57+86"}]
called = client.chat.completions.create(model=model, messages=messages, tools=tools, temperature=0).choices[0]
call = called.message.tool_calls[0]
assert called.finish_reason == "tool_calls" and call.function.name == "calculator" and call.function.arguments == '{"expression":"57+86"}', called
messages += [called.message, {"role": "tool", "tool_call_id": call.id, "content": "143"}]
assert client.chat.completions.create(model=model, messages=messages, tools=tools, temperature=0).choices[0].message.content == "143"
deltas = [chunk.choices[0].delta for chunk in client.chat.completions.create(model=model, messages=messages[:1], tools=tools, temperature=0, stream=True)]
assert [delta.tool_calls[0].function.arguments for delta in deltas if delta.tool_calls] == ['{"expression":"57+86"}']

for wrong, kind, words in [
    ({"model": "nothing"}, openai.NotFoundError, "does not exist"),
    ({"temperature": 9}, openai.BadRequestError, "temperature"),
    ({"prompt": "x" * 5000}, openai.BadRequestError, "maximum context length"),
    ({"prompt": "x" * (2 << 20)}, openai.APIStatusError, "length limit"),
]:
    try:
        client.completions.create(**{"model": model, "prompt": "x", **wrong})
        raise SystemExit(f"{wrong} was taken")
    except kind as error:
        assert words in str(error), error
print("chats, completions, streams, tools, log-probabilities, biases and errors are as the client expects")
