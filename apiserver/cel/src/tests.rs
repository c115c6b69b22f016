//! What rules evaluate to, area by area; what hostile ones cannot do; that it is always the same.

mod conformance;
mod cost;
mod hostile;
mod library;
mod properties;
mod schema;

use serde_json::{Value as Json, json};

use crate::{Binding, Budget, EvalError, Program};

/// Evaluates a rule without variables to JSON.
fn eval(source: &str) -> Result<Json, EvalError> {
    eval_on(source, &json!(null))
}

/// Evaluates a rule over `self` to JSON.
fn eval_on(source: &str, document: &Json) -> Result<Json, EvalError> {
    let program = Program::compile(source, &["self"]).unwrap_or_else(|error| panic!("{source}: {error}"));
    let mut budget = Budget::default();
    program.evaluate(&[Binding::new("self", document)], &mut budget)?.to_json()
}

/// Checks rules that are each true.
fn all_true(rules: &[&str]) {
    for rule in rules {
        assert_eq!(eval(rule), Ok(json!(true)), "{rule}");
    }
}

/// Checks the errors, by their text, of rules that fail.
fn all_fail(rules: &[(&str, &str)]) {
    for (rule, message) in rules {
        match eval(rule) {
            Err(error) => assert_eq!(error.to_string(), *message, "{rule}"),
            Ok(value) => panic!("{rule} is {value}, not an error"),
        }
    }
}

/// The error of a source that does not compile.
fn compile_error(source: &str) -> String {
    match Program::compile(source, &["self", "oldSelf"]) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{source} compiles"),
    }
}
