//! Sources and documents made to exhaust stack, memory or time.
//!
//! Everything runs in a thread with a stack of one mebibyte, less than any thread of ours has, in a
//! build without optimisation, whose frames are largest.

use serde_json::{Value as Json, json};

use super::{compile_error, eval_on};
use crate::{Binding, Budget, CompileErrorKind, EvalError, MAX_SOURCE_BYTES, PER_CALL_LIMIT, Program};

fn on_a_small_stack(job: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(1024 * 1024).spawn(job).unwrap().join().unwrap();
}

fn kind(source: &str) -> Option<CompileErrorKind> {
    Program::compile(source, &["self", "a"]).err().map(|error| error.kind)
}

#[test]
fn deep_sources_are_refused() {
    on_a_small_stack(|| {
        let n = 10_000;
        for source in [
            format!("a{}", ".b".repeat(n)),
            format!("a{}", "[0]".repeat(n)),
            format!("a{}", ".f()".repeat(n)),
            format!("{}1{}", "(".repeat(n), ")".repeat(n)),
            format!("{}{}", "[".repeat(n), "]".repeat(n)),
            format!("{}1{}", "{1:".repeat(n), "}".repeat(n)),
            format!("1{}", "+1".repeat(n)),
            format!("1{}", "<1".repeat(n)),
            format!("{}true", "!-".repeat(n)),
            format!("{}1{}", "a?1:".repeat(n), ""),
            format!("a{}", "?a".repeat(n)),
            format!("{}a", "size(".repeat(n)),
            "(".repeat(n),
        ] {
            assert_eq!(kind(&source), Some(CompileErrorKind::TooDeep), "{}", &source[..20]);
        }
        assert_eq!(kind(&" ".repeat(MAX_SOURCE_BYTES + 1)), Some(CompileErrorKind::TooLong));
    });
}

#[test]
fn the_deepest_sources_allowed_run() {
    on_a_small_stack(|| {
        let deep = json!({"b": null});
        let mut accepted = 0;
        for n in [30, 40, 45, 48, 60, 100, 140, 150, 155, 159, 160, 200, 300] {
            for source in [
                format!("a{}", ".?b".repeat(n)),
                format!("1{}", "+1".repeat(n)),
                format!("{}1{}", "(1+".repeat(n), ")".repeat(n)),
                format!("{}1{}", "[".repeat(n), "]".repeat(n)),
                format!("{}1{}", "[1].map(x,".repeat(n), ")".repeat(n)),
                format!("{}1", "true?".repeat(0) + &"true ? 1 : ".repeat(n)),
                format!("{}true{}", "dyn(".repeat(n), ")".repeat(n)),
                format!("'a'{}", ".trim()".repeat(n)),
                format!("{}true", "!-".repeat(n)),
                format!("{}true", "false||true&&".repeat(n)),
            ] {
                if let Ok(program) = Program::compile(&source, &["a"]) {
                    accepted += 1;
                    let _ = program.evaluate(&[Binding::new("a", &deep)], &mut Budget::default());
                }
            }
        }
        assert!(accepted > 60, "{accepted}");
    });
}

#[test]
fn long_but_flat_sources_are_fine() {
    let terms = vec!["self.a == 1"; 2000].join(" && ");
    assert_eq!(eval_on(&terms, &json!({"a": 1})), Ok(json!(true)));
    let list = format!("[{}].size() == 10000", vec!["1"; 10_000].join(","));
    assert_eq!(eval_on(&list, &Json::Null), Ok(json!(true)));
}

#[test]
fn deep_documents_are_bounded_where_walked() {
    on_a_small_stack(|| {
        let mut document = json!(1);
        for _ in 0..400 {
            document = json!([document]);
        }
        for rule in [
            "self == self",
            "'%s'.format([self])",
            "sets.contains([self], [self])",
            "[self, self].distinct()",
        ] {
            assert_eq!(eval_on(rule, &document), Err(EvalError::TooDeep), "{rule}");
        }
        assert_eq!(eval_on("self.flatten(1000) == []", &document), Ok(json!(false)));
        assert_eq!(eval_on("size(self) == 1", &document), Ok(json!(true)));
        // Dropping so deep a document is serde_json's recursion, not ours.
        std::mem::forget(document);
    });
}

fn spends_everything(rule: &str, document: &Json) {
    const BUDGET: u64 = 100_000;
    let program = Program::compile(rule, &["self"]).unwrap_or_else(|error| panic!("{rule}: {error}"));
    let mut budget = Budget::new(BUDGET);
    let outcome = program.evaluate(&[Binding::new("self", document)], &mut budget);
    assert_eq!(outcome.err(), Some(EvalError::BudgetExceeded), "{rule}");
    assert_eq!((budget.spent(), budget.is_exhausted()), (BUDGET, true), "{rule}");
}

#[test]
fn one_evaluation_cannot_spend_the_whole_budget() {
    let document = json!((0..1000).collect::<Vec<_>>());
    let program = Program::compile("self.map(a, self.map(b, a)).size() > 0", &["self"]).unwrap();
    let mut budget = Budget::new(PER_CALL_LIMIT * 3 / 2);
    for spent in [PER_CALL_LIMIT, PER_CALL_LIMIT * 3 / 2, PER_CALL_LIMIT * 3 / 2] {
        let outcome = program.evaluate(&[Binding::new("self", &document)], &mut budget);
        assert_eq!(outcome.err(), Some(EvalError::BudgetExceeded));
        assert_eq!(budget.spent(), spent);
    }
    assert!(budget.is_exhausted());
}

#[test]
fn runaway_rules_stop_at_the_budget() {
    let numbers = json!((0..1000).collect::<Vec<_>>());
    let text = json!("ab".repeat(100_000));
    for (rule, document) in [
        ("self.all(a, self.all(b, self.all(c, true)))", &numbers),
        ("self.map(a, self.map(b, self.map(c, c))).size() > 0", &numbers),
        ("self.all(a, [a].exists(b, self.sort().size() < 0) || true)", &numbers),
        ("self.map(a, self.distinct()).size() > 0", &numbers),
        ("lists.range(1000).all(i, self.contains('ba'))", &text),
        ("lists.range(1000).all(i, self.matches('(a|b)*b(a|b){20}$') || true)", &text),
        ("lists.range(1000).all(i, self.findAll('a').size() > 0)", &text),
        ("lists.range(1000).map(i, self + self).size() > 0", &text),
        ("lists.range(1000).all(i, 'a'.matches(string(i)) || true)", &numbers),
        ("lists.range(1000).all(i, self.split('').size() > 0)", &text),
        // An error in one operand does not hide that the budget is spent.
        ("self.all(a, self.all(b, self.all(c, true))) || true", &numbers),
    ] {
        spends_everything(rule, document);
    }
}

#[test]
fn values_cannot_outgrow_memory() {
    let text = json!("x".repeat(1_000_000));
    let large = |unit, limit| Err(EvalError::TooLarge { limit, unit });
    for rule in [
        "self + self + self + self + self",
        "(self + self + self).replace('x', 'xx')",
        "[self, self, self, self, self].join('')",
        "'%s%s%s%s%s'.format([self, self, self, self, self])",
        "self.replace('', self)",
    ] {
        assert_eq!(eval_on(rule, &text), large("bytes", crate::MAX_TEXT_BYTES), "{rule}");
    }
    for rule in ["lists.range(300000)", "lists.range(9223372036854775807)"] {
        assert_eq!(eval_on(rule, &text), large("elements", crate::MAX_ITEMS), "{rule}");
    }
    // Doubling nested twenty times over.
    let rule = (0..20).fold("'0123456789'".to_owned(), |inner, _| format!("cel.bind(x, {inner}, x + x)"));
    assert!(eval_on(&rule, &text).is_err());
}

#[test]
fn catastrophic_patterns_are_harmless() {
    let text = json!("a".repeat(50_000) + "!");
    for pattern in ["(a+)+$", "(a|aa)+$", "(.*)*$", "^(([a-z])+.)+[A-Z]([a-z])+$"] {
        let outcome = eval_on(&format!("self.matches('{pattern}')"), &text);
        assert!(matches!(outcome, Ok(_) | Err(EvalError::BudgetExceeded)), "{pattern}: {outcome:?}");
    }
    for pattern in ["(((a{100}){100}){100}){100}", "\\\\pL{1000}{1000}"] {
        assert!(compile_error(&format!("'a'.matches('{pattern}')")).contains("invalid regular expression"));
    }
}

#[test]
fn errors_do_not_carry_the_document() {
    let text = json!("x".repeat(1_000_000));
    for rule in
        ["int(self)", "duration(self)", "url(self + '\\n')", "ip(self)", "{}[self]", "{self: 1, self: 2}"]
    {
        let error = eval_on(rule, &text).unwrap_err();
        assert!(error.to_string().len() < 600, "{rule}");
    }
}
