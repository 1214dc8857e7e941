//! Rendering of prompt templates: strict about unknown names, bounded in work.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
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
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// When it does not parse.
    pub fn new(template: &str) -> Result<Self, TemplateError> {
        let mut environment = environment();
        environment.add_template_owned("prompt", template.to_owned())?;
        Ok(Self { environment })
    }

    /// Renders the template for one sample.
    ///
    /// # Errors
    /// When it uses something the sample does not have.
    pub fn render(&self, sample: &Sample) -> Result<String, TemplateError> {
        // An absent value is left out rather than null, so that strict rendering reports it.
        let mut values =
            BTreeMap::from([("question", Value::from(&sample.question)), ("answer", Value::from(&sample.answer))]);
        values.extend(sample.steps.as_ref().map(|steps| ("steps", Value::from(steps))));
        values.extend(sample.expression.as_ref().map(|expression| ("expression", Value::from(expression))));
        values.extend((!sample.choices.is_empty()).then(|| ("choices", sample.choices.iter().map(Value::from).collect())));
        Ok(self.environment.get_template("prompt")?.render(values)?)
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
