//! The chat templates that models come with: what their messages look like as the text that they were trained on.
//!
//! For completions endpoints, which take a text. A template is a Jinja file, or the `chat_template` of a `tokenizer_config.json`.
//! The token that begins every text is left out: servers put it there themselves.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde_json::json;

use crate::schema::{ChatTemplate, Message, ToolSpec};

/// Instructions a template may execute.
const FUEL: u64 = 1_000_000;

/// A template of a model.
#[derive(Debug)]
pub struct ModelTemplate {
    environment: Environment<'static>,
    end: String,
}

impl ModelTemplate {
    /// Reads a Jinja file, or a `tokenizer_config.json`.
    ///
    /// # Errors
    /// In words, when there is no such file or no template in it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        if path.extension().is_none_or(|extension| extension != "json") {
            return Self::new(text, String::new());
        }
        let config: serde_json::Value = serde_json::from_str(&text).map_err(|error| format!("not JSON: {error}"))?;
        let field = |name: &str| config.get(name);
        let template = match field("chat_template") {
            Some(serde_json::Value::String(template)) => Some(template.clone()),
            // Several, each with a name.
            Some(serde_json::Value::Array(list)) => list
                .iter()
                .find(|entry| entry.get("name").is_some_and(|name| name == "default"))
                .and_then(|entry| entry.get("template")?.as_str().map(str::to_owned)),
            _ => None,
        };
        let template = template.ok_or("it has no `chat_template`; newer models keep it in chat_template.jinja")?;
        let end = field("eos_token").and_then(|token| token.as_str().or_else(|| token.get("content")?.as_str()));
        Self::new(template, end.unwrap_or_default().to_owned())
    }

    fn new(template: String, end: String) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        // As transformers compiles them; the builder refuses conflicting delimiters only, and none are set here.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.unwrap_or_default());
        environment.set_fuel(Some(FUEL));
        environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", |format: String| jiff::ZonedDateTime::now().strftime(&format).to_string());
        environment.add_template_owned("chat", template).map_err(|error| error.to_string())?;
        Ok(Self { environment, end })
    }
}

impl ChatTemplate for ModelTemplate {
    fn render(&self, messages: &[Message], tools: &[ToolSpec], prefix: Option<&str>) -> Result<String, String> {
        let messages: Vec<serde_json::Value> = messages.iter().map(message).collect();
        let tools: Vec<serde_json::Value> = tools
            .iter()
            .map(|tool| {
                let function = json!({ "name": tool.name, "description": tool.about, "parameters": tool.parameters });
                json!({ "type": "function", "function": function })
            })
            .collect();
        let tools = (!tools.is_empty()).then_some(tools);
        let words = |error: minijinja::Error| match error.detail() {
            Some(detail) => format!("the chat template refuses this: {detail}"),
            None => format!("the chat template fails: {error}"),
        };
        let template = self.environment.get_template("chat").map_err(words)?;
        let values = json!({
            "messages": messages, "tools": tools, "bos_token": "", "eos_token": self.end, "add_generation_prompt": true,
        });
        let text = template.render(Value::from(Serde(&values))).map_err(words)?;
        Ok(format!("{text}{}", prefix.unwrap_or_default()))
    }
}

fn message(message: &Message) -> serde_json::Value {
    match message {
        Message::System { text } => json!({ "role": "system", "content": text }),
        Message::User { text } => json!({ "role": "user", "content": text }),
        Message::Assistant { text, calls, .. } if calls.is_empty() => json!({ "role": "assistant", "content": text }),
        Message::Assistant { text, calls, .. } => {
            let calls: Vec<_> = calls
                .iter()
                .map(|call| {
                    let arguments: serde_json::Value = serde_json::from_str(&call.arguments).unwrap_or_default();
                    json!({ "type": "function", "id": call.id, "function": { "name": call.tool, "arguments": arguments } })
                })
                .collect();
            json!({ "role": "assistant", "content": text, "tool_calls": calls })
        }
        Message::Tool { call, tool, output, .. } => {
            json!({ "role": "tool", "tool_call_id": call, "name": tool, "content": output })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> Message {
        Message::User { text: text.into() }
    }

    #[test]
    fn the_usual_form_is_rendered_with_a_prefix_and_without_a_second_beginning() {
        let template = "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message['role'] }}\n\
            {{ message['content'].strip() }}<|im_end|>\n{% endfor %}\
            {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
        let template = ModelTemplate::new(template.into(), "</s>".into()).unwrap();
        let text = template.render(&[user(" 1+2 ")], &[], Some("It is")).unwrap();
        assert_eq!(text, "<|im_start|>user\n1+2<|im_end|>\n<|im_start|>assistant\nIt is");
    }

    #[test]
    fn what_a_template_refuses_is_said_in_its_words() {
        let template = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}";
        let template = ModelTemplate::new(template.into(), String::new()).unwrap();
        let refused = template.render(&[Message::System { text: "x".into() }], &[], None).unwrap_err();
        assert!(refused.contains("System role not supported"), "{refused}");
        assert_eq!(template.render(&[user("x")], &[], None).unwrap(), "");
    }

    #[test]
    fn a_tokenizer_file_gives_its_template_and_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokenizer_config.json");
        let list = json!([{ "name": "rag", "template": "x" }, { "name": "default", "template": "{{ messages[0].content }}{{ eos_token }}" }]);
        let config = json!({ "chat_template": list, "eos_token": { "content": "</s>" } });
        std::fs::write(&path, config.to_string()).unwrap();
        assert_eq!(ModelTemplate::read(&path).unwrap().render(&[user("hi")], &[], None).unwrap(), "hi</s>");
        std::fs::write(&path, "{}").unwrap();
        assert!(ModelTemplate::read(&path).unwrap_err().contains("chat_template"));
    }
}
