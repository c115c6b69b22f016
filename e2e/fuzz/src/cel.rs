//! CEL rules: compiled, checked, evaluated over a value within a budget. A rule and a value.

use crate::input::{parts, texts};
use hypermesh_api::decode_json;
use hypermesh_cel::{Binding, Budget, EvalError, MAX_SOURCE_BYTES, Program};
use serde_json::Value;

const BUDGET: u64 = 200_000;

/// Compiles a rule and runs it.
pub fn target(data: &[u8]) {
    let [_, value] = parts(data);
    let Some([source, _]) = texts(data.strip_suffix(value).unwrap_or_default()) else { return };
    let program = match Program::compile(source, &["self", "oldSelf"]) {
        Ok(program) => program,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(source.len() <= MAX_SOURCE_BYTES);
    let value = decode_json(value).map_or(Value::Null, |(value, _)| value);
    let bindings = [Binding::new("self", &value), Binding::new("oldSelf", &value)];
    let run = || {
        let mut budget = Budget::new(BUDGET);
        let result = program.evaluate(&bindings, &mut budget);
        assert!(
            budget.spent() <= BUDGET && budget.spent() + budget.remaining() >= BUDGET.min(budget.spent())
        );
        let shown = match result {
            Ok(result) => Ok((result.type_name(), result.to_json().map_err(|error| error.to_string()))),
            Err(error) => Err(error.to_string()),
        };
        (shown, budget.spent())
    };
    let (once, twice) = (run(), run());
    assert_eq!(once, twice, "a rule's value and cost are functions of rule and input");
    let mut nothing = Budget::new(0);
    let free = program.evaluate(&bindings, &mut nothing);
    assert!(once.1 == 0 || matches!(free, Err(EvalError::BudgetExceeded)) || free.is_err(), "cost is paid");
}
