//! Text with places: every value read from a file remembers where it stands, so that any later complaint can point at it.

use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

/// A file, or what stands in for one, as `--set` does.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name, for people.
    pub file: String,
    /// Its content.
    pub text: String,
}

/// A range of bytes in a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The source.
    pub source: Arc<Source>,
    /// The bytes.
    pub range: Range<usize>,
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub place: Place,
}

/// One thing that is wrong in what a person wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
    /// What stands under the caret.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A complaint about a place.
    #[must_use]
    pub fn at(place: &Place, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { message: message.into(), place: Some(place.clone()), label: label.into(), help: None }
    }

    /// A complaint that has no place in a file.
    #[must_use]
    pub fn general(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, label: String::new(), help: Some(help.into()) }
    }

    /// The same complaint with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// A name that does not exist, with the nearest that does.
    #[must_use]
    pub fn unknown(what: &str, name: &Located<String>, known: &[&str]) -> Self {
        let complaint = Self::at(&name.place, format!("unknown {what} `{}`", name.value), format!("no {what} of this name"));
        complaint.with_help(suggestion(&name.value, known))
    }
}

/// "did you mean", or the list of what there is.
#[must_use]
pub fn suggestion(name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("expected one of: {}", known.join(", ")),
    }
}

/// The name that was probably meant: at most one edit, and one more per three characters, away.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |candidate: &str| strsim::damerau_levenshtein(name, candidate);
    let nearest = known.iter().copied().min_by_key(|candidate| distance(candidate))?;
    (distance(nearest) <= 1 + name.len() / 3).then_some(nearest)
}

/// A TOML value that knows its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Array(Vec<Node>),
    Table(Table),
    Other(&'static str),
}

/// A TOML table in reading: keys are taken out one by one, and what is left at the end is unknown.
#[derive(Debug, Clone)]
pub(super) struct Table {
    place: Place,
    entries: Vec<(Located<String>, Node)>,
    asked: Vec<&'static str>,
}

/// Everything that was found wrong so far.
pub type Diagnostics = Vec<Diagnostic>;

/// Parses a source into a table.
///
/// # Errors
/// When it is not TOML.
pub(super) fn parse(source: &Arc<Source>) -> Result<Table, Box<Diagnostic>> {
    match DeTable::parse(&source.text) {
        Ok(table) => {
            let place = Place { source: Arc::clone(source), range: 0..0 };
            Ok(convert_table(table.get_ref(), place))
        }
        Err(error) => {
            let range = error.span().unwrap_or(0..0);
            let place = Place { source: Arc::clone(source), range };
            Err(Box::new(Diagnostic::at(&place, error.message().to_owned(), "not TOML")))
        }
    }
}

fn convert_table(table: &DeTable<'_>, place: Place) -> Table {
    let at = |range: Range<usize>| Place { source: Arc::clone(&place.source), range };
    let mut entries: Vec<_> = table
        .iter()
        .map(|(key, value)| {
            let key = Located { value: key.get_ref().to_string(), place: at(key.span()) };
            (key, convert(value.get_ref(), at(value.span())))
        })
        .collect();
    entries.sort_by_key(|(key, _)| key.place.range.start);
    Table { place, entries, asked: Vec::new() }
}

fn convert(value: &DeValue<'_>, place: Place) -> Node {
    let converted = match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Other("a number too large"), Value::Integer)
        }
        DeValue::Float(number) => number.as_str().parse().map_or(Value::Other("a number too large"), Value::Float),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| convert(item.get_ref(), Place { source: Arc::clone(&place.source), range: item.span() }))
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(convert_table(table, place.clone())),
    };
    Node { value: converted, place }
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

impl Node {
    fn wrong(&self, expected: &str, problems: &mut Diagnostics) {
        let found = self.value.kind();
        problems.push(Diagnostic::at(
            &self.place,
            format!("expected {expected}, found {found}"),
            format!("this is {found}"),
        ));
    }

    /// The node as a string.
    pub(super) fn string(self, problems: &mut Diagnostics) -> Option<Located<String>> {
        match self.value {
            Value::String(value) => Some(Located { value, place: self.place }),
            _ => {
                self.wrong("a string", problems);
                None
            }
        }
    }

    /// The node as a whole number of at least `low`.
    pub(super) fn integer(self, low: i64, problems: &mut Diagnostics) -> Option<i64> {
        match self.value {
            Value::Integer(value) if value >= low => Some(value),
            Value::Integer(value) => {
                let message = format!("{value} is too small");
                problems.push(Diagnostic::at(&self.place, message, format!("must be at least {low}")));
                None
            }
            _ => {
                self.wrong("a whole number", problems);
                None
            }
        }
    }

    /// The node as a number.
    pub(super) fn number(self, problems: &mut Diagnostics) -> Option<f64> {
        match self.value {
            Value::Integer(value) => Some(value as f64),
            Value::Float(value) if value.is_finite() => Some(value),
            _ => {
                self.wrong("a number", problems);
                None
            }
        }
    }

    /// The node as a number above zero.
    pub(super) fn positive(self, problems: &mut Diagnostics) -> Option<f64> {
        let place = self.place.clone();
        let value = self.number(problems)?;
        if value > 0.0 {
            return Some(value);
        }
        problems.push(Diagnostic::at(&place, format!("{value} is too small"), "must be above zero"));
        None
    }

    /// The node as a number between two others.
    pub(super) fn within(self, low: f64, high: f64, problems: &mut Diagnostics) -> Option<f64> {
        let place = self.place.clone();
        let value = self.number(problems)?;
        if (low..=high).contains(&value) {
            return Some(value);
        }
        problems.push(Diagnostic::at(&place, format!("{value} is out of range"), format!("from {low} to {high}")));
        None
    }

    /// The node as a table of JSON.
    pub(super) fn json_table(self, problems: &mut Diagnostics) -> Option<serde_json::Map<String, serde_json::Value>> {
        self.table(problems)?.rest().into_iter().map(|(name, node)| Some((name.value, node.json(problems)?))).collect()
    }

    fn json(self, problems: &mut Diagnostics) -> Option<serde_json::Value> {
        Some(match self.value {
            Value::String(text) => text.into(),
            Value::Integer(number) => number.into(),
            Value::Float(number) => number.into(),
            Value::Boolean(value) => value.into(),
            Value::Array(items) => items.into_iter().map(|item| item.json(problems)).collect::<Option<Vec<_>>>()?.into(),
            Value::Table(_) => self.json_table(problems)?.into(),
            Value::Other(_) => {
                self.wrong("what JSON can hold", problems);
                return None;
            }
        })
    }

    /// The node, unless it is an empty list.
    pub(super) fn some(self, what: &str, problems: &mut Diagnostics) -> Option<Self> {
        if !matches!(&self.value, Value::Array(items) if items.is_empty()) {
            return Some(self);
        }
        problems.push(Diagnostic::at(&self.place, format!("`{what}` is empty"), "at least one is needed"));
        None
    }

    /// The node as a list.
    pub(super) fn list(self, problems: &mut Diagnostics) -> Option<Vec<Node>> {
        match self.value {
            Value::Array(items) => Some(items),
            _ => {
                self.wrong("a list", problems);
                None
            }
        }
    }

    /// The node as a list of strings.
    pub(super) fn strings(self, problems: &mut Diagnostics) -> Option<Vec<Located<String>>> {
        let items = self.list(problems)?;
        Some(items.into_iter().filter_map(|item| item.string(problems)).collect())
    }

    /// The node as a table.
    pub(super) fn table(self, problems: &mut Diagnostics) -> Option<Table> {
        match self.value {
            Value::Table(table) => Some(Table { place: self.place, ..table }),
            _ => {
                self.wrong("a table", problems);
                None
            }
        }
    }
}

impl Table {
    /// Where the table stands.
    #[must_use]
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether one of several keys is there.
    pub(super) fn has_any(&self, keys: &[&str]) -> bool {
        self.entries.iter().any(|(name, _)| keys.contains(&name.value.as_str()))
    }

    /// Takes a key out.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Node> {
        self.asked.push(key);
        let index = self.entries.iter().position(|(name, _)| name.value == key)?;
        Some(self.entries.remove(index).1)
    }

    /// Takes a key that must be there.
    pub(super) fn require(&mut self, key: &'static str, problems: &mut Diagnostics) -> Option<Node> {
        let node = self.take(key);
        if node.is_none() {
            problems.push(self.missing(key));
        }
        node
    }

    /// Whatever is left, whose keys are names and not fixed words.
    pub(super) fn rest(&mut self) -> Vec<(Located<String>, Node)> {
        std::mem::take(&mut self.entries)
    }

    fn missing(&self, key: &str) -> Diagnostic {
        Diagnostic::at(&self.place, format!("the key `{key}` is missing"), format!("needs `{key} = ..`"))
    }

    /// Complains about every key that nobody asked for. One that misspells a missing key is one mistake, not two.
    pub(super) fn finish(self, problems: &mut Diagnostics) {
        for (key, _) in &self.entries {
            if let Some(meant) = nearest(&key.value, &self.asked) {
                let missing = self.missing(meant);
                problems.retain(|problem| *problem != missing);
            }
            problems.push(Diagnostic::unknown("key", key, &self.asked));
        }
    }

    /// Puts the entries of another table over this one's, tables into tables.
    pub(super) fn merge(&mut self, over: Self) {
        for (key, node) in over.entries {
            let existing = self.entries.iter_mut().find(|(name, _)| name.value == key.value);
            match (existing, node) {
                (Some((_, Node { value: Value::Table(table), .. })), Node { value: Value::Table(inner), .. }) => {
                    table.merge(inner);
                }
                (Some((_, slot)), node) => *slot = node,
                (None, node) => self.entries.push((key, node)),
            }
        }
    }
}
