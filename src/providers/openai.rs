//! What the APIs that follow OpenAI's have in common.

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::event_stream::{assemble, documents, is_in_pieces};
use crate::schema::{FinishReason, HttpResponse, Logprobs, OptionLogprobs, ToolCall, Usage};

/// What is read of a response; all else is passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Document {
    error: Value,
    choices: Option<Vec<Option<Choice>>>,
    pub(super) usage: Value,
    pub(super) model: Value,
    pub(super) prompt_logprobs: Value,
}

/// What is read of a choice.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Choice {
    error: Value,
    pub(super) finish_reason: Value,
    /// None where there is no such field; a message may be null.
    #[serde(deserialize_with = "some")]
    pub(super) message: Option<Value>,
    pub(super) text: Value,
    pub(super) logprobs: Value,
    pub(super) prompt_logprobs: Value,
}

fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The one document of a response, with its first choice.
pub(super) fn document(response: &HttpResponse) -> Result<(Document, Choice), String> {
    let mut document: Document = if is_in_pieces(response) {
        let whole = assemble(documents(response)?)?;
        serde_json::from_value(whole).map_err(|error| format!("the stream is no reply: {error}"))?
    } else {
        documents(response)?.pop().ok_or("the reply is empty")?
    };
    let fault = |error: &Value| if error.is_null() { Ok(()) } else { Err(format!("the endpoint says: {error}")) };
    fault(&document.error)?;
    let choice = document.choices.take().and_then(|choices| choices.into_iter().next().flatten());
    let choice = choice.ok_or("the reply has no `choices`")?;
    fault(&choice.error)?;
    Ok((document, choice))
}
pub(super) fn usage(usage: &Value) -> Option<Usage> {
    let count = |name: &str| usage.get(name).and_then(Value::as_u64);
    let detail = |of: &str, name: &str| usage.get(of).and_then(|details| details.get(name)).and_then(Value::as_u64);
    Some(Usage {
        prompt_tokens: count("prompt_tokens")?,
        completion_tokens: count("completion_tokens").unwrap_or_default(),
        cached_tokens: detail("prompt_tokens_details", "cached_tokens").unwrap_or_default(),
        thinking_tokens: detail("completion_tokens_details", "reasoning_tokens").unwrap_or_default(),
    })
}

/// A text, where the value is one.
pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

pub(super) fn finish(reason: &Value) -> Result<FinishReason, String> {
    match reason.as_str() {
        Some("stop" | "tool_calls" | "function_call" | "eos" | "eos_token" | "stop_sequence") | None => {
            Ok(FinishReason::Stop)
        }
        Some("length" | "max_tokens") => Ok(FinishReason::Length),
        Some("content_filter") => Ok(FinishReason::Refusal),
        Some(other) => Err(format!("unknown finish_reason `{other}`")),
    }
}

/// The function calls of a message.
pub(super) fn calls(message: &Value) -> Vec<ToolCall> {
    let calls = message.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
    calls
        .map(|call| {
            let text = |path: &str| call.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
            // Some servers send the object itself.
            let arguments = match call.pointer("/function/arguments") {
                Some(Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
                None => "{}".to_owned(),
            };
            ToolCall { id: text("/id"), tool: text("/function/name"), arguments }
        })
        .collect()
}

/// The call as a message repeats it.
pub(super) fn call(call: &ToolCall) -> Value {
    json!({ "id": call.id, "type": "function", "function": { "name": call.tool, "arguments": call.arguments } })
}

/// The most probable first tokens of a choice: in the form of chats, or of completions.
pub(super) fn first_tokens(choice: &Choice) -> Result<Vec<(String, f64)>, String> {
    let tokens: Vec<(String, f64)> =
        if let Some(list) = choice.logprobs.pointer("/content/0/top_logprobs").and_then(Value::as_array) {
            let token = |entry: &Value| Some((entry.get("token")?.as_str()?.to_owned(), entry.get("logprob")?.as_f64()?));
            list.iter().filter_map(token).collect()
        } else if let Some(table) = choice.logprobs.pointer("/top_logprobs/0").and_then(Value::as_object) {
            table.iter().filter_map(|(token, value)| Some((token.clone(), value.as_f64()?))).collect()
        } else {
            Vec::new()
        };
    if tokens.is_empty() { Err("the endpoint did not honour `top_logprobs`".to_owned()) } else { Ok(tokens) }
}

/// What the first tokens say of options. A token counts for the option that it begins, and for none when it begins two.
pub(super) fn options(tokens: &[(String, f64)], options: &[String]) -> OptionLogprobs {
    let mut mass = vec![0.0_f64; options.len()];
    for (token, logprob) in tokens {
        let token = token.trim_start().trim_start_matches('\u{2581}').trim_start_matches('\u{120}').to_lowercase();
        let begins = |option: &String| {
            let option = option.trim_start().to_lowercase();
            // The whole option and what follows it, as in `yes.`, also begins with it.
            !token.is_empty() && (option.starts_with(&token) || token.trim_end_matches(['.', ',', '\n', ' ']) == option)
        };
        let mut begun = options.iter().enumerate().filter(|(_, option)| begins(option));
        if let (Some((index, _)), None) = (begun.next(), begun.next())
            && let Some(mass) = mass.get_mut(index)
        {
            *mass += logprob.exp();
        }
    }
    let seen: f64 = mass.iter().sum();
    let options = mass.into_iter().map(|mass| (mass > 0.0).then(|| mass.ln().min(0.0))).collect();
    OptionLogprobs { options, missing: (1.0 - seen).clamp(0.0, 1.0) }
}

/// Sums the entries of vLLM's `prompt_logprobs` that spell out a continuation at the end of the prompt.
pub(super) fn prompt_logprobs(list: &Value, continuation: &str) -> Result<Logprobs, String> {
    let list = list.as_array().ok_or("the endpoint did not honour `prompt_logprobs`")?;
    let (mut spelled, mut sum, mut tokens) = (String::new(), 0.0, 0);
    for entry in list.iter().rev() {
        if spelled.len() >= continuation.len() {
            break;
        }
        // With only the prompt's own token asked for, an entry has one.
        let token = entry.as_object().and_then(|table| table.values().next()).ok_or("a token has no log-probability")?;
        let text = token.get("decoded_token").and_then(Value::as_str).ok_or("a token has no text")?;
        sum += token.get("logprob").and_then(Value::as_f64).ok_or("a token has no log-probability")?;
        spelled.insert_str(0, text);
        tokens += 1;
    }
    let spells = spelled.ends_with(continuation) && spelled.len() <= continuation.len() + 1;
    let spells = spells || (continuation.ends_with(spelled.trim_start()) && spelled.trim() == continuation.trim());
    if !spells || tokens == 0 {
        return Err(format!("the last tokens of the prompt spell {spelled:?}, not {continuation:?}"));
    }
    Ok(Logprobs { sum, tokens })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_tokens_count_for_the_option_they_begin() {
        let tokens = [("Yes", 0.5), (" yes", 0.1), ("No", 0.2), ("Maybe", 0.1)];
        let tokens: Vec<(String, f64)> =
            tokens.iter().map(|&(token, mass): &(&str, f64)| (token.to_owned(), mass.ln())).collect();
        let found = options(&tokens, &["yes".into(), "no".into(), "never".into()]);
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        close(found.options[0].unwrap(), 0.6_f64.ln());
        close(found.options[1].unwrap(), 0.2_f64.ln());
        assert_eq!(found.options[2], None);
        close(found.missing, 0.2);
        // `n` begins two options and tells nothing.
        let found = options(&[("n".into(), -0.1)], &["no".into(), "never".into()]);
        assert_eq!(found.options, [None, None]);
    }

    #[test]
    fn a_continuation_is_found_at_the_end_of_the_prompt() {
        let entry = |id: &str, text: &str, logprob: f64| json!({ id: { "decoded_token": text, "logprob": logprob } });
        let list = json!([null, entry("1", "Q", -9.0), entry("2", " for", -1.0), entry("3", "ty", -0.5)]);
        assert_eq!(prompt_logprobs(&list, "forty"), Ok(Logprobs { sum: -1.5, tokens: 2 }));
        assert_eq!(prompt_logprobs(&list, " forty"), Ok(Logprobs { sum: -1.5, tokens: 2 }));
        assert!(prompt_logprobs(&list, "fifty").unwrap_err().contains("spell"));
        assert!(prompt_logprobs(&Value::Null, "x").unwrap_err().contains("honour"));
    }
}
