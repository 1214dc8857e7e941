//! The parts that the bodies of both kinds of request share, and their checks.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ApiError;
use crate::ladder::{Generate, VOCABULARY};

/// Most choices in one request.
const MOST_CHOICES: u64 = 128;

/// Parameters that this server takes without acting on them, each with the values that change nothing.
const NEUTRAL: [(&str, &[&str]); 14] = [
    ("top_p", &["1", "1.0"]),
    ("top_k", &["0", "-1"]),
    ("min_p", &["0", "0.0"]),
    ("frequency_penalty", &["0", "0.0"]),
    ("presence_penalty", &["0", "0.0"]),
    ("repetition_penalty", &["1", "1.0"]),
    ("best_of", &["1"]),
    ("suffix", &["\"\""]),
    ("tools", &["[]"]),
    ("functions", &["[]"]),
    ("response_format", &["{\"type\":\"text\"}"]),
    ("parallel_tool_calls", &["true", "false"]),
    ("store", &["false"]),
    ("tool_choice", &["\"none\"", "\"auto\""]),
];

/// Parameters that describe a request and change no reply.
const LABELS: [&str; 2] = ["user", "metadata"];

/// Parameters that both kinds of request have.
const COMMON: [&str; 8] = ["model", "temperature", "seed", "stop", "n", "logit_bias", "stream", "stream_options"];

/// Most stop sequences, and the longest: each is compared with every token of every reply.
const MOST_STOPS: usize = 16;
const LONGEST_STOP: usize = 256;

/// The largest bias, either way, as in OpenAI's API.
const MOST_BIAS: f32 = 100.0;

/// How a stream is wanted.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct StreamOptions {
    /// Whether the usage comes in a last chunk.
    #[serde(default)]
    pub(super) include_usage: bool,
}

/// What both kinds of request have in common.
#[derive(Debug, Deserialize)]
pub(super) struct Common {
    pub(super) model: String,
    pub(super) temperature: Option<f32>,
    pub(super) seed: Option<i64>,
    pub(super) stop: Option<Value>,
    pub(super) n: Option<u64>,
    pub(super) logit_bias: Option<BTreeMap<String, f32>>,
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
}

/// Reads a body as what both kinds have in common and what this kind adds: the parameters `own`. Any other is refused: a
/// client that misspells one must not believe that it was honoured.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8], own: &[&str]) -> Result<(Common, T), ApiError> {
    let unreadable = |error: serde_json::Error| ApiError::body(format!("the body cannot be read: {error}"));
    let value: Value = serde_json::from_slice(body).map_err(unreadable)?;
    for (param, given) in value.as_object().into_iter().flatten().filter(|(_, given)| !given.is_null()) {
        let param = param.as_str();
        if COMMON.contains(&param) || own.contains(&param) || LABELS.contains(&param) {
            continue;
        }
        let given = given.to_string();
        let neutral = NEUTRAL.iter().find(|(name, _)| *name == param).map(|(_, values)| *values);
        if !neutral.is_some_and(|values| values.contains(&given.as_str())) {
            let what = if neutral.is_some() { format!("`{param}` {given}") } else { format!("the parameter `{param}`") };
            return Err(ApiError::invalid(param, format!("{what} is not supported by this server")));
        }
    }
    let common = Common::deserialize(&value).map_err(unreadable)?;
    Ok((common, T::deserialize(value).map_err(unreadable)?))
}

impl Common {
    /// Number of choices.
    pub(super) fn choices(&self) -> Result<u64, ApiError> {
        match self.n.unwrap_or(1) {
            n @ 1..=MOST_CHOICES => Ok(n),
            n => Err(ApiError::invalid("n", format!("`n` must be between 1 and {MOST_CHOICES}, not {n}"))),
        }
    }

    pub(super) fn is_stream(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    /// The continuation that is wanted, for the first choice.
    pub(super) fn generate(&self, max_tokens: usize, top_logprobs: u8) -> Result<Generate, ApiError> {
        let temperature = self.temperature.unwrap_or(1.0);
        if !(0.0..=2.0).contains(&temperature) {
            return Err(ApiError::invalid(
                "temperature",
                format!("`temperature` must be between 0 and 2, not {temperature}"),
            ));
        }
        // Without a seed every request draws anew.
        let seed = self.seed.map_or_else(rand::random, i64::cast_unsigned);
        Ok(Generate { max_tokens, stop: self.stops()?, temperature, seed, top_logprobs, bias: self.bias()? })
    }

    fn bias(&self) -> Result<Vec<(u8, f32)>, ApiError> {
        let entry = |(token, bias): (&String, &f32)| {
            let known = token.parse::<u8>().ok().filter(|token| usize::from(*token) < VOCABULARY);
            known.filter(|_| bias.abs() <= MOST_BIAS).map(|token| (token, *bias)).ok_or_else(|| {
                let words = "`logit_bias` maps numbers of tokens, 0 to 127, to biases between -100 and 100";
                ApiError::invalid("logit_bias", format!("{words}, not {token} to {bias}"))
            })
        };
        self.logit_bias.iter().flatten().map(entry).collect()
    }

    fn stops(&self) -> Result<Vec<Vec<u8>>, ApiError> {
        let invalid = || ApiError::invalid("stop", "`stop` must be a string or a list of strings, none of them empty");
        let stops: Vec<Vec<u8>> = match &self.stop {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(stop)) => vec![stop.as_bytes().to_vec()],
            Some(Value::Array(stops)) => {
                let bytes = |stop: &Value| stop.as_str().map(|stop| stop.as_bytes().to_vec());
                stops.iter().map(bytes).collect::<Option<_>>().ok_or_else(invalid)?
            }
            Some(_) => return Err(invalid()),
        };
        if stops.iter().any(Vec::is_empty) {
            return Err(invalid());
        }
        if stops.len() > MOST_STOPS || stops.iter().any(|stop| stop.len() > LONGEST_STOP) {
            let words = format!("`stop` takes at most {MOST_STOPS} sequences of at most {LONGEST_STOP} bytes");
            return Err(ApiError::invalid("stop", words));
        }
        Ok(stops)
    }
}
