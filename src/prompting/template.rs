//! Rendering of prompt templates: strict about unknown names, bounded in work.

use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Object;
use minijinja::{Environment, UndefinedBehavior, Value};

use crate::schema::Sample;

/// Names that a template may use.
pub const VARIABLES: [&str; 5] = ["question", "answer", "steps", "expression", "choices"];

/// Instructions a template may execute: enough for any prompt, few enough that a loop without end is an error.
const FUEL: u64 = 100_000;

/// A template that did not parse or render.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// What is wrong.
    pub message: String,
    /// Bytes of the template at fault, when known.
    pub range: Option<std::ops::Range<usize>>,
    /// The variable that does not exist, when that is the fault.
    pub unknown: Option<String>,
}

impl From<minijinja::Error> for TemplateError {
    fn from(error: minijinja::Error) -> Self {
        let message = error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
        Self { message, range: error.range(), unknown: None }
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // The builder refuses conflicting delimiters only, and none are set here.
    environment.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build().unwrap_or_default());
    environment.set_fuel(Some(FUEL));
    environment
}

/// Checks that a template parses and names only known variables.
///
/// # Errors
/// With the place inside the template and, for an unknown variable, its name.
pub fn check(template: &str) -> Result<(), TemplateError> {
    let environment = environment();
    let parsed = environment.template_from_str(template)?;
    let mut unknown: Vec<String> = parsed.undeclared_variables(false).into_iter().collect();
    unknown.retain(|name| !VARIABLES.contains(&name.as_str()));
    unknown.sort();
    match unknown.into_iter().next() {
        None => Ok(()),
        Some(name) => Err(TemplateError {
            message: format!("unknown variable `{name}`"),
            range: template.find(&name).map(|start| start..start + name.len()),
            unknown: Some(name),
        }),
    }
}

/// Whether a template uses a variable.
#[must_use]
pub fn uses(template: &str, variable: &str) -> bool {
    environment().template_from_str(template).is_ok_and(|template| template.undeclared_variables(false).contains(variable))
}

/// A template ready to be rendered many times.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    /// The same as pieces to be joined, where it is nothing else: most templates are no programs.
    pieces: Option<Vec<Piece>>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Variable(String),
}

/// The pieces of a template that is texts and variables by turns.
fn pieces(template: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((text, behind)) = rest.split_once("{{") {
        let (inside, behind) = behind.split_once("}}")?;
        let name = inside.trim();
        // A list is written out by the template engine.
        if !VARIABLES.contains(&name) || name == "choices" {
            return None;
        }
        pieces.extend([Piece::Text(text.to_owned()), Piece::Variable(name.to_owned())]);
        rest = behind;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    let is_plain = |piece: &Piece| !matches!(piece, Piece::Text(text) if text.contains('{') || text.contains('}'));
    pieces.iter().all(is_plain).then_some(pieces)
}

/// The value of a variable that is a text, where the sample has it.
fn variable<'a>(sample: &'a Sample, name: &str) -> Option<&'a str> {
    match name {
        "question" => Some(&sample.question),
        "answer" => Some(&sample.answer),
        "steps" => sample.steps.as_deref(),
        "expression" => sample.expression.as_deref(),
        _ => None,
    }
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// When it does not parse.
    pub fn new(template: &str) -> Result<Self, TemplateError> {
        let mut environment = environment();
        environment.add_template_owned("prompt", template.to_owned())?;
        Ok(Self { environment, pieces: pieces(template) })
    }

    /// Renders the template for one sample.
    ///
    /// # Errors
    /// When it uses something the sample does not have.
    pub fn render(&self, sample: &Sample) -> Result<String, TemplateError> {
        let joined = self.pieces.as_ref().and_then(|pieces| {
            let parts = pieces.iter().map(|piece| match piece {
                Piece::Text(text) => Some(text.as_str()),
                Piece::Variable(name) => variable(sample, name),
            });
            parts.collect::<Option<String>>()
        });
        match joined {
            Some(joined) => Ok(joined),
            // A program, or one that says what is missing.
            None => self.execute(sample),
        }
    }

    fn execute(&self, sample: &Sample) -> Result<String, TemplateError> {
        Ok(self.environment.get_template("prompt")?.render(Value::from_object(Variables(sample.clone())))?)
    }
}

/// What a template may use of a sample. What is absent is undefined rather than null, so that strict rendering reports it.
#[derive(Debug)]
struct Variables(Sample);

impl Object for Variables {
    fn get_value(self: &Arc<Self>, name: &Value) -> Option<Value> {
        let choices = &self.0.choices;
        match name.as_str()? {
            "choices" => (!choices.is_empty()).then(|| choices.iter().map(Value::from).collect()),
            name => variable(&self.0, name).map(Value::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        Sample {
            id: "1".into(),
            question: "1+2".into(),
            answer: "3".into(),
            steps: None,
            expression: Some("1+2".into()),
            choices: vec![],
        }
    }

    #[test]
    fn a_template_renders_and_keeps_its_last_newline() {
        let template = Template::new("Q:{{ question }}\nA:{{ answer }}\n").unwrap();
        assert_eq!(template.render(&sample()).unwrap(), "Q:1+2\nA:3\n");
    }

    #[test]
    fn pieces_are_joined_to_what_the_template_would_have_written() {
        for template in ["", "{{question}}", "Q: {{ question }}\nA:{{ answer }}{{answer}}\r\n", "{{\nexpression\t}}="] {
            let template = Template::new(template).unwrap();
            assert!(template.pieces.is_some());
            assert_eq!(template.render(&sample()), template.execute(&sample()));
        }
        for template in
            ["{{- question }}", "{# a #}{{ question }}", "{% if steps is defined %}x{% endif %}", "{{ answer|upper }}"]
        {
            assert!(Template::new(template).unwrap().pieces.is_none(), "{template}");
        }
        let braces = Template::new("{'{{ question }}'}").unwrap();
        assert!(braces.pieces.is_none() && braces.render(&sample()).unwrap() == "{'1+2'}");
    }

    #[test]
    fn an_absent_value_is_an_error_and_so_is_a_loop_without_end() {
        assert!(Template::new("{{ steps }}").unwrap().render(&sample()).is_err());
        let long = "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}";
        assert!(Template::new(long).unwrap().render(&sample()).is_err());
    }

    #[test]
    fn an_unknown_variable_is_named_with_its_place() {
        let error = check("Q:{{ qestion }}").unwrap_err();
        assert_eq!((error.unknown.as_deref(), error.range), (Some("qestion"), Some(5..12)));
        assert!(check("{{ question }").unwrap_err().unknown.is_none());
    }
}
