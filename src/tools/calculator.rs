//! An arbitrary-precision calculator.
//!
//! # What it measures
//! Nothing by itself: it computes the expression that a model wrote, exactly, within 200 milliseconds and 200 characters.
//!
//! # When it misleads
//! It knows units and functions, so that an unusual expression may succeed where a pocket calculator would not.
//!
//! # Example
//! `12+34` gives `46`; `12+` gives an error, which the model reads as `error`.

use std::time::{Duration, Instant};

use fend_core::{Context, Interrupt, evaluate_with_interrupt};

use crate::schema::Tool;

const LONGEST_INPUT: usize = 200;
const DEADLINE: Duration = Duration::from_millis(200);

pub(super) struct Calculator;

struct Deadline(Instant);

impl Interrupt for Deadline {
    fn should_interrupt(&self) -> bool {
        self.0.elapsed() > DEADLINE
    }
}

impl Tool for Calculator {
    fn name(&self) -> &'static str {
        "calculator"
    }

    fn source(&self) -> &'static str {
        include_str!("calculator.rs")
    }

    fn about(&self) -> (&'static str, &'static str, &'static str) {
        ("Computes an arithmetic expression exactly.", "expression", "The expression, such as 12*34+5.")
    }

    fn call(&self, input: &str) -> Result<String, String> {
        if input.len() > LONGEST_INPUT {
            return Err(format!("the expression is longer than {LONGEST_INPUT} bytes"));
        }
        let result = evaluate_with_interrupt(input, &mut Context::new(), &Deadline(Instant::now()))?;
        let text = result.get_main_result();
        if text.is_empty() { Err("the expression is empty".to_owned()) } else { Ok(text.to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_computes_refuses_and_gives_up() {
        assert_eq!(Calculator.call("347*6").as_deref(), Ok("2082"));
        assert!(Calculator.call("12+").is_err());
        assert!(Calculator.call("").is_err());
        assert!(Calculator.call(&"1+".repeat(200)).is_err());
        let start = Instant::now();
        let _ = Calculator.call("9^9^9^9");
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
