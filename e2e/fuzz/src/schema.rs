//! Schemas that somebody else wrote, and objects that are pruned, defaulted and validated by them: a schema, an object,
//! and the object before.

use crate::input::{json, parts};
use hypermesh_structural::{Budget, Schema};

/// As much as rules may cost here: enough to run, little enough for many runs.
const BUDGET: u64 = 200_000;

/// Compiles a schema and uses it.
pub fn target(data: &[u8]) {
    let [schema, object, before] = parts(data);
    let Some(raw) = json(schema) else { return };
    let schema = match Schema::compile(&raw) {
        Ok(schema) => schema,
        Err(problems) => {
            assert!(!problems.is_empty(), "a refusal says why");
            problems.iter().for_each(|problem| assert!(!problem.to_string().is_empty()));
            return;
        }
    };
    let Some(mut object) = json(object) else { return };
    let unknown = schema.prune(&mut object);
    assert!(unknown.is_sorted() && unknown.iter().map(String::len).sum::<usize>() <= 256 << 10);
    let pruned = object.clone();
    assert_eq!(schema.prune(&mut object), Vec::<String>::new(), "what is pruned has nothing unknown");
    assert_eq!(object, pruned);
    schema.apply_defaults(&mut object);
    let defaulted = object.clone();
    schema.apply_defaults(&mut object);
    assert_eq!(object, defaulted, "defaulting twice is defaulting once");
    assert_eq!(schema.prune(&mut object), Vec::<String>::new(), "defaults are of the schema");
    let before = json(before);
    let validate = || {
        let mut budget = Budget::new(BUDGET);
        let errors = schema.validate(&object, before.as_ref(), &mut budget);
        assert!(budget.spent() <= BUDGET);
        (errors, budget)
    };
    let (errors, spent) = validate();
    assert_eq!(validate(), (errors, spent), "validation is a function of schema and object");
    schema.embedded_resources(&object);
}
