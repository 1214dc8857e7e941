use std::time::Duration;

use serde_json::{Value, json};

use super::{Hardships, router};
use crate::ladder::{Card, Model, Shape, Trainer, Training};

fn model(name: &str, context: usize, layers: usize) -> Model {
    let shape = Shape { width: 16, layers, heads: 2, feed_forward: 32, context };
    let parameters = Trainer::new(Training { shape, tokens: 1, seed: 1 }).parameters().to_vec();
    let card = Card::unmeasured(name, shape);
    Model { card, parameters }
}

struct Client {
    base: String,
    http: reqwest::Client,
}

impl Client {
    async fn new(models: Vec<Model>) -> Self {
        Self::harsh(models, Hardships::default()).await
    }

    async fn harsh(models: Vec<Model>, hardships: Hardships) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(super::serve(listener, router(models, hardships), std::future::pending()));
        Self { base, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    async fn small() -> Self {
        Self::new(vec![model("tiny-a", 128, 1), model("tiny-b", 64, 1)]).await
    }

    async fn get(&self, path: &str) -> Value {
        self.http.get(format!("{}{path}", self.base)).send().await.unwrap().json().await.unwrap()
    }

    async fn raw(&self, path: &str, body: String) -> (u16, String) {
        let reply = self.http.post(format!("{}{path}", self.base)).body(body).send().await.unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let (status, text) = self.raw(path, body.to_string()).await;
        (status, serde_json::from_str(&text).unwrap())
    }

    async fn complete(&self, body: Value) -> Value {
        let (status, reply) = self.post("/v1/completions", body).await;
        assert_eq!(status, 200, "{reply}");
        reply
    }

    /// The chunks of a stream, and whether it ended as it should.
    async fn stream(&self, path: &str, body: Value) -> Vec<Value> {
        let (status, text) = self.raw(path, body.to_string()).await;
        assert_eq!(status, 200, "{text}");
        let mut lines: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(lines.pop(), Some("[DONE]"));
        lines.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[tokio::test]
async fn models_statistics_and_unknown_paths() {
    let client = Client::small().await;
    let models = client.get("/v1/models").await;
    assert_eq!(models["data"][1]["id"], "tiny-b");
    client.complete(json!({ "model": "tiny-b", "prompt": "x" })).await;
    client.post("/v1/completions", json!({ "model": "none", "prompt": "x" })).await;
    client.raw("/v1/chat/completions", "{".to_owned()).await;
    assert_eq!(client.get("/stats").await, json!({ "requests": { "tiny-a": 0, "tiny-b": 1 }, "completions": 3 }));
    assert!(client.get("/v1/nothing").await["error"]["message"].as_str().unwrap().contains("/v1/nothing"));
}

#[tokio::test]
async fn completions_are_seeded_limited_and_counted() {
    let client = Client::small().await;
    let body = json!({ "model": "tiny-a", "prompt": ["Hello"], "seed": 5, "n": 3, "max_tokens": 20 });
    let reply = client.complete(body.clone()).await;
    assert_eq!(reply["choices"], client.complete(body).await["choices"]);
    assert_eq!(reply["usage"]["prompt_tokens"], 6);
    let second = client.complete(json!({ "model": "tiny-a", "prompt": "Hello", "seed": 6, "max_tokens": 20 })).await;
    assert_eq!(second["choices"][0]["text"], reply["choices"][1]["text"]);
    assert_ne!(reply["choices"][0]["text"], reply["choices"][1]["text"]);
    let default = client.complete(json!({ "model": "tiny-a", "prompt": "Hello", "seed": 6 })).await;
    let text = default["choices"][0]["text"].as_str().unwrap();
    assert!(second["choices"][0]["text"].as_str().unwrap().starts_with(text) && text.len() <= 16);
}

#[tokio::test]
async fn echo_scores_the_prompt() {
    let client = Client::small().await;
    let prompt = "A=12, B=7";
    let body =
        json!({ "model": "tiny-a", "prompt": prompt, "echo": true, "logprobs": 2, "max_tokens": 3, "temperature": 0 });
    let reply = client.complete(body).await;
    let (choice, logprobs) = (&reply["choices"][0], &reply["choices"][0]["logprobs"]);
    let text = choice["text"].as_str().unwrap();
    assert!(text.starts_with(prompt));
    let tokens: String = logprobs["tokens"].as_array().unwrap().iter().map(|token| token.as_str().unwrap()).collect();
    assert_eq!(tokens, text);
    let scores = logprobs["token_logprobs"].as_array().unwrap();
    assert!(scores[0].is_null() && scores[1..].iter().all(|score| score.as_f64().unwrap() < 0.0));
    assert!(logprobs["top_logprobs"][0].is_null());
    assert_eq!(logprobs["top_logprobs"][1].as_object().unwrap().len(), 2);
    assert_eq!(logprobs["text_offset"].as_array().unwrap().last().unwrap(), text.len() - 1);

    let body = json!({ "model": "tiny-a", "prompt": prompt, "echo": true, "logprobs": 0, "max_tokens": 0 });
    let reply = client.complete(body).await;
    let only = &reply["choices"][0]["logprobs"];
    assert_eq!(only["token_logprobs"].as_array().unwrap()[..], scores[..prompt.len()]);
    assert!(only["top_logprobs"].is_null());
    assert_eq!(reply["usage"]["completion_tokens"], 0);
}

#[tokio::test]
async fn streams_say_the_same() {
    let client = Client::small().await;
    let mut body = json!({ "model": "tiny-a", "prompt": "Hello", "seed": 5, "n": 2, "max_tokens": 20, "logprobs": 1 });
    let whole = client.complete(body.clone()).await;
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true });
    let mut chunks = client.stream("/v1/completions", body).await;
    assert_eq!(chunks.pop().unwrap()["usage"], whole["usage"]);
    for index in 0..2 {
        let own: Vec<&Value> =
            chunks.iter().map(|chunk| &chunk["choices"][0]).filter(|choice| choice["index"] == index).collect();
        let text: String = own.iter().map(|choice| choice["text"].as_str().unwrap()).collect();
        assert_eq!(whole["choices"][index]["text"], text);
        assert_eq!(own.last().unwrap()["finish_reason"], whole["choices"][index]["finish_reason"]);
        let scores: Vec<&Value> =
            own.iter().flat_map(|choice| choice["logprobs"]["token_logprobs"].as_array().unwrap()).collect();
        assert_eq!(json!(scores), whole["choices"][index]["logprobs"]["token_logprobs"]);
    }
}

#[tokio::test]
async fn chats_are_their_contents_joined_by_newlines() {
    let client = Client::small().await;
    let messages = json!([
        { "role": "system", "content": "Be brief." },
        { "role": "user", "content": [{ "type": "text", "text": "Hel" }, { "type": "text", "text": "lo" }] },
    ]);
    let mut body = json!({
        "model": "tiny-a", "messages": messages, "seed": 5, "max_completion_tokens": 9, "logprobs": true, "top_logprobs": 20,
    });
    let (status, chat) = client.post("/v1/chat/completions", body.clone()).await;
    assert_eq!(status, 200, "{chat}");
    let plain =
        client.complete(json!({ "model": "tiny-a", "prompt": "Be brief.\nHello", "seed": 5, "max_tokens": 9 })).await;
    let content = &chat["choices"][0]["message"]["content"];
    assert_eq!(*content, plain["choices"][0]["text"]);
    assert_eq!(chat["usage"], plain["usage"]);
    let scores = chat["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(scores.len(), content.as_str().unwrap().len());
    assert_eq!(scores[0]["top_logprobs"].as_array().unwrap().len(), 20);
    body["stream"] = json!(true);
    let chunks = client.stream("/v1/chat/completions", body).await;
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(*content, text);
    let (_, long) =
        client.post("/v1/chat/completions", json!({ "model": "tiny-b", "messages": messages, "temperature": 0.5 })).await;
    assert!(long["usage"]["total_tokens"].as_u64().unwrap() <= 64);
}

#[tokio::test]
async fn what_cannot_be_served_is_refused() {
    let client = Client::small().await;
    let with = |key: &str, value: Value| {
        let mut body = json!({ "model": "tiny-a", "prompt": "x" });
        body[key] = value;
        body
    };
    for (body, status, part) in [
        (with("model", json!("tiny-c")), 404, "tiny-a, tiny-b"),
        (with("model", json!(3)), 400, "expected a string"),
        (with("prompt", json!(["a", "b"])), 400, "list of one string"),
        (with("prompt", json!("caf\u{e9}")), 400, "byte 3"),
        (with("prompt", json!("x".repeat(127))), 400, "maximum context length is 128"),
        (with("temperature", json!(-1)), 400, "temperature"),
        (with("stop", json!([1])), 400, "stop"),
        (with("n", json!(0)), 400, "`n`"),
        (with("logprobs", json!(6)), 400, "between 0 and 5"),
        (with("max_tokens", json!(0)), 400, "max_tokens"),
        (with("top_p", json!(0.5)), 400, "top_p"),
        (json!({ "model": "tiny-a" }), 400, "prompt"),
        (json!([]), 400, "the body cannot be read"),
    ] {
        let (got, reply) = client.post("/v1/completions", body.clone()).await;
        assert_eq!(got, status, "{body}: {reply}");
        let error = &reply["error"];
        assert_eq!(error["type"], "invalid_request_error");
        assert!(error["message"].as_str().unwrap().contains(part), "{reply}");
    }
    assert_eq!(client.raw("/v1/completions", "not JSON".to_owned()).await.0, 400);
    client.complete(with("top_p", json!(1.0))).await;
}

#[tokio::test]
async fn the_jobs_of_a_client_that_goes_away_are_dropped() {
    let client = Client::new(vec![model("slow", 16_384, 2)]).await;
    let greedy = |max_tokens: u64, n: u64| json!({ "model": "slow", "prompt": "x", "max_tokens": max_tokens, "n": n, "temperature": 0 });
    assert_eq!(client.complete(greedy(300, 1)).await["choices"][0]["finish_reason"], "length", "it does not stop by itself");
    // Many long replies, abandoned at once: a short request behind them is soon answered.
    let body = greedy(16_000, 128).to_string();
    let request = client.http.post(format!("{}/v1/completions", client.base)).body(body).timeout(Duration::from_millis(300));
    assert!(request.send().await.unwrap_err().is_timeout());
    let short = client.complete(json!({ "model": "slow", "prompt": "x", "max_tokens": 1 }));
    tokio::time::timeout(Duration::from_secs(10), short).await.unwrap();
}

#[tokio::test]
async fn more_than_a_queue_holds_is_refused() {
    let client = std::sync::Arc::new(Client::new(vec![model("slow", 16_384, 2)]).await);
    let many = json!({ "model": "slow", "prompt": "x", "max_tokens": 16_000, "n": 128, "temperature": 0 });
    let all = (0..=32).map(|_| {
        let (client, many) = (std::sync::Arc::clone(&client), many.clone());
        tokio::spawn(async move { client.post("/v1/completions", many).await })
    });
    // None of the others comes to an end.
    let first = tokio::time::timeout(Duration::from_secs(60), futures_util::future::select_all(all));
    let (finished, _, waiting) = first.await.unwrap();
    let (status, reply) = finished.unwrap();
    assert_eq!(status, 503, "{reply}");
    assert!(reply["error"]["message"].as_str().unwrap().contains("4096 replies of slow"), "{reply}");
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_reply_that_was_begun_is_written_to_its_end_when_the_server_stops() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = router(vec![model("slow", 16_384, 2)], Hardships::default());
    let server = tokio::spawn(super::serve(listener, router, async { stopped.await.unwrap() }));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = |tokens: u64| {
        let body = json!({ "model": "slow", "prompt": "x", "max_tokens": tokens, "temperature": 0, "stream": true });
        http.post(format!("{base}/v1/completions")).body(body.to_string()).send()
    };
    let begun = ask(1_000).await.unwrap();
    stop.send(()).unwrap();
    let text = begun.text().await.unwrap();
    assert!(text.contains("\"finish_reason\":\"length\"") && text.trim_end().ends_with("[DONE]"), "{text}");
    tokio::time::timeout(Duration::from_secs(10), server).await.unwrap().unwrap().unwrap();
    assert!(ask(1).await.is_err(), "nobody is there any more");
}

/// A model in which attention and the feed-forward layer add nothing, so that the next token depends on the last one alone; and the log-probability
/// of one token after another, in closed form and in double precision.
fn bigram() -> (Model, impl Fn(u8, u8) -> f64) {
    const WIDTH: usize = 16;
    let mut model = model("bigram", 128, 1);
    let (square, feed) = (WIDTH * WIDTH, WIDTH * 32);
    let block = 128 * WIDTH;
    // The output of attention, and that of the feed-forward layer, in the order of a checkpoint.
    model.parameters[block + 3 * square..][..square].fill(0.0);
    model.parameters[block + 4 * square + 2 * feed..][..feed].fill(0.0);
    for x in &mut model.parameters[..block] {
        *x *= 10.0;
    }
    let table: Vec<Vec<f64>> =
        model.parameters[..block].chunks(WIDTH).map(|row| row.iter().copied().map(f64::from).collect()).collect();
    let logprob = move |before: u8, after: u8| {
        let x = &table[usize::from(before)];
        let root = (x.iter().map(|x| x * x).sum::<f64>() / WIDTH as f64 + 1e-5).sqrt();
        let logits: Vec<f64> = table.iter().map(|row| row.iter().zip(x).map(|(a, b)| a * b / root).sum::<f64>()).collect();
        logits[usize::from(after)] - logits.iter().map(|logit| logit.exp()).sum::<f64>().ln()
    };
    (model, logprob)
}

#[tokio::test]
async fn log_probabilities_are_those_of_the_closed_form() {
    let (model, logprob) = bigram();
    let client = Client::new(vec![model]).await;
    let body = json!({ "model": "bigram", "prompt": "The quick brown fox.", "echo": true, "logprobs": 5, "max_tokens": 20, "temperature": 0 });
    let reply = client.complete(body).await;
    let (choice, listed) = (&reply["choices"][0], &reply["choices"][0]["logprobs"]);
    let text = choice["text"].as_str().unwrap().as_bytes();
    assert!(text.len() > 20);
    for (place, pair) in text.windows(2).enumerate() {
        let found = listed["token_logprobs"][place + 1].as_f64().unwrap();
        assert!((found - logprob(pair[0], pair[1])).abs() < 1e-5, "{place}: {found} and {}", logprob(pair[0], pair[1]));
        for (token, found) in listed["top_logprobs"][place + 1].as_object().unwrap() {
            assert!((found.as_f64().unwrap() - logprob(pair[0], token.as_bytes()[0])).abs() < 1e-5);
        }
    }
}

#[tokio::test]
async fn a_bias_is_added_before_anything_is_drawn_or_reported() {
    let (model, logprob) = bigram();
    let client = Client::new(vec![model]).await;
    let body = |bias: Value| json!({ "model": "bigram", "prompt": "ab", "max_tokens": 5, "temperature": 0, "logprobs": 1, "logit_bias": bias });
    let reply = client.complete(body(json!({ "120": 100 }))).await;
    assert_eq!(reply["choices"][0]["text"], "xxxxx");
    // One that makes it three of five, without the token that cannot come.
    let (x, y) = (logprob(b'b', b'x').exp(), logprob(b'b', b'y').exp());
    let bias = (1.5 * (1.0 - x - y) / x).ln();
    let reply = client.complete(body(json!({ "120": bias, "121": -100 }))).await;
    let (text, listed) = (&reply["choices"][0]["text"], &reply["choices"][0]["logprobs"]);
    assert!(text.as_str().unwrap().starts_with('x'), "{text}");
    assert!((listed["token_logprobs"][0].as_f64().unwrap() - 0.6_f64.ln()).abs() < 1e-5, "{listed}");
    for wrong in [json!({ "128": 1 }), json!({ "x": 1 }), json!({ "1": 101 })] {
        assert_eq!(client.post("/v1/completions", body(wrong)).await.0, 400);
    }
}

#[tokio::test]
async fn tools_are_called_and_their_results_used() {
    let name = crate::ladder::cards().unwrap().pop().unwrap().name;
    let client = Client::new(crate::ladder::models("nowhere".as_ref(), |other| other == name).unwrap()).await;
    let parameters = json!({ "type": "object", "properties": { "sum": { "type": "string" } } });
    let tools = json!([{ "type": "function", "function": { "name": "calculator", "parameters": parameters } }]);
    let mut messages =
        vec![json!({ "role": "system", "content": "Compute." }), json!({ "role": "user", "content": "57+86" })];
    let ask = |messages: &[Value]| json!({ "model": name, "messages": messages, "tools": tools, "temperature": 0 });
    let (status, reply) = client.post("/v1/chat/completions", ask(&messages)).await;
    assert_eq!(status, 200, "{reply}");
    let (choice, message) = (&reply["choices"][0], &reply["choices"][0]["message"]);
    assert_eq!(choice["finish_reason"], "tool_calls", "{reply}");
    assert!(message["content"].is_null());
    let call = &message["tool_calls"][0];
    assert_eq!(call["function"], json!({ "name": "calculator", "arguments": "{\"sum\":\"57+86\"}" }));
    // The same as it comes.
    let mut streamed = ask(&messages);
    streamed["stream"] = json!(true);
    let chunks = client.stream("/v1/chat/completions", streamed).await;
    let calls: Vec<&Value> = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"].get(0)).collect();
    assert_eq!((calls.len(), &calls[0]["function"], &calls[0]["index"]), (1, &call["function"], &json!(0)));
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
    messages.push(message.clone());
    messages.push(json!({ "role": "tool", "tool_call_id": call["id"], "content": "143" }));
    let (_, reply) = client.post("/v1/chat/completions", ask(&messages)).await;
    assert_eq!(reply["choices"][0]["message"]["content"], "143", "{reply}");
    assert_eq!(reply["choices"][0]["finish_reason"], "stop");
    // Cut by a stop of the request it is no call, of which the arguments would be too few.
    let mut cut = ask(&messages[..2]);
    cut["stop"] = json!("+");
    let (_, reply) = client.post("/v1/chat/completions", cut).await;
    assert!(reply["choices"][0]["message"]["tool_calls"].is_null(), "{reply}");
    assert_eq!(reply["choices"][0]["finish_reason"], "stop");
    // Nobody can make it call.
    let mut required = ask(&messages[..2]);
    required["tool_choice"] = json!("required");
    let (status, reply) = client.post("/v1/chat/completions", required).await;
    assert!(status == 400 && reply["error"]["param"] == "tool_choice", "{reply}");
    let mut long = ask(&messages[..2]);
    long["stop"] = json!(["x".repeat(257)]);
    let (status, reply) = client.post("/v1/chat/completions", long).await;
    assert!(status == 400 && reply["error"]["param"] == "stop", "{reply}");
    // Without their use, or with one that nobody knows.
    let mut none = ask(&messages[..2]);
    none["tool_choice"] = json!("none");
    let (_, reply) = client.post("/v1/chat/completions", none).await;
    assert!(reply["choices"][0]["message"]["tool_calls"].is_null());
    let mut unknown = ask(&messages[..2]);
    unknown["tools"][0]["function"]["name"] = json!("browser");
    let (status, reply) = client.post("/v1/chat/completions", unknown).await;
    assert!(status == 400 && reply["error"]["message"].as_str().unwrap().contains("`browser`"), "{reply}");
}

#[tokio::test]
async fn limits_are_kept_and_said() {
    let minute = |limit: u32| std::num::NonZeroU32::new(limit);
    let hardships = Hardships { requests_per_minute: minute(3), tokens_per_minute: minute(60), chaos: None };
    let client = Client::harsh(vec![model("tiny", 128, 1)], hardships).await;
    let ask = |max_tokens: u64| {
        let body = json!({ "model": "tiny", "prompt": "x", "max_tokens": max_tokens, "temperature": 0 });
        client.http.post(format!("{}/v1/completions", client.base)).body(body.to_string()).send()
    };
    let first = ask(8).await.unwrap();
    assert_eq!(first.status(), 200);
    assert_eq!(first.headers()["x-ratelimit-limit-requests"], "3");
    assert_eq!(first.headers()["x-ratelimit-remaining-requests"], "2");
    assert_eq!(first.headers()["x-ratelimit-remaining-tokens"], "50");
    // 62 tokens will never be allowed; 52 will, in a while.
    let never = ask(60).await.unwrap();
    assert!(never.status() == 429 && !never.headers().contains_key("retry-after"));
    let later = ask(50).await.unwrap();
    assert_eq!(later.status(), 429);
    let wait: u64 = later.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=3).contains(&wait), "{wait}");
    assert_eq!(later.json::<Value>().await.unwrap()["error"]["code"], "rate_limit_exceeded");
    let fourth = ask(1).await.unwrap();
    assert!(fourth.status() == 429 && fourth.text().await.unwrap().contains("3 requests per minute"));
}

#[tokio::test]
async fn a_request_that_is_too_long_is_refused_in_the_form_of_the_interface() {
    let client = Client::small().await;
    let body = json!({ "model": "tiny-a", "prompt": "x".repeat(2 << 20) });
    let (status, reply) = client.post("/v1/completions", body).await;
    assert_eq!((status, &reply["error"]["type"]), (413, &json!("invalid_request_error")));
}

#[tokio::test]
async fn a_seed_of_chaos_gives_the_same_faults_and_everything_else_is_answered() {
    let hardships = Hardships { chaos: Some(7), ..Hardships::default() };
    let mut seen = Vec::new();
    for _ in 0..2 {
        let client = Client::harsh(vec![model("tiny", 128, 1)], hardships).await;
        let mut fates = Vec::new();
        for _ in 0..60 {
            let body = json!({ "model": "tiny", "prompt": "x", "max_tokens": 3, "temperature": 0 }).to_string();
            let request = client.http.post(format!("{}/v1/completions", client.base)).body(body);
            // Less than a late reply takes.
            let fate = match request.timeout(Duration::from_secs(1)).send().await {
                Err(error) => format!("timeout {}", error.is_timeout()),
                Ok(reply) => {
                    let status = reply.status().as_u16();
                    format!("{status} {}", reply.json::<Value>().await.is_ok())
                }
            };
            fates.push(fate);
        }
        seen.push(fates);
    }
    assert_eq!(seen[0], seen[1]);
    let count = |fate: &str| seen[0].iter().filter(|other| *other == fate).count();
    assert!(count("200 true") >= 35, "{:?}", seen[0]);
    assert!(count("429 true") + count("500 true") + count("503 true") >= 2, "{:?}", seen[0]);
    assert!(count("200 false") + count("timeout true") >= 2, "{:?}", seen[0]);
}
