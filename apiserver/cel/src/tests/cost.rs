//! What rules cost, to the unit.
//!
//! Costs decide whether a write is accepted, so they are part of what replicas agree on: a change here
//! is a change of the state machine.

use std::fmt::Write;

use serde_json::json;

use crate::{Binding, Budget, Program};

#[test]
fn costs_are_fixed() {
    let document = json!({
        "s": "0123456789", "n": 5, "list": (0..10).collect::<Vec<_>>(), "words": ["alpha", "beta", "gamma"],
        "map": {"a": 1, "b": 2}
    });
    let mut table = String::new();
    for rule in [
        "true",
        "self",
        "self.n",
        "has(self.n)",
        "self.n + 1 > 2 && self.n < 9",
        "self.s == '0123456789'",
        "self.s + self.s",
        "self.s.contains('9')",
        "self.s.startsWith('012')",
        "self.s.matches('^[0-9]+$')",
        "self.s.matches('^' + '[0-9]+$')",
        "self.s.findAll('[0-9]')",
        "self.s.replace('1', 'xx')",
        "self.s.split('')",
        "'%s-%d'.format([self.s, self.n])",
        "[1, 2, 3]",
        "{'a': 1}",
        "5 in self.list",
        "self.list[3]",
        "self.list == self.list",
        "self.map == {'a': 1, 'b': 2}",
        "self.list.all(x, true)",
        "self.list.all(x, x >= 0)",
        "self.list.map(x, x * 2)",
        "self.list.filter(x, x > 5)",
        "self.list.exists(x, self.list.exists(y, x + y == 18))",
        "self.words.map(w, w.upperAscii()).join(',')",
        "self.list.sort()",
        "self.map.transformMap(k, v, v + 1)",
        "quantity('1Gi').isGreaterThan(quantity('1Mi'))",
        "cidr('10.0.0.0/8').containsIP('10.0.0.1')",
        "timestamp('2024-01-01T00:00:00Z') + duration('1h')",
    ] {
        let program = Program::compile(rule, &["self"]).unwrap();
        let mut budget = Budget::default();
        program.evaluate(&[Binding::new("self", &document)], &mut budget).unwrap();
        writeln!(table, "{:>5}  {rule}", budget.spent()).unwrap();
    }
    insta::assert_snapshot!(table, @r#"
        0  true
        1  self
        2  self.n
        2  has(self.n)
        7  self.n + 1 > 2 && self.n < 9
        5  self.s == '0123456789'
        7  self.s + self.s
        5  self.s.contains('9')
        4  self.s.startsWith('012')
        7  self.s.matches('^[0-9]+$')
     1090  self.s.matches('^' + '[0-9]+$')
       27  self.s.findAll('[0-9]')
        7  self.s.replace('1', 'xx')
       16  self.s.split('')
       22  '%s-%d'.format([self.s, self.n])
       13  [1, 2, 3]
       31  {'a': 1}
        9  5 in self.list
        3  self.list[3]
       16  self.list == self.list
       40  self.map == {'a': 1, 'b': 2}
       12  self.list.all(x, true)
       32  self.list.all(x, x >= 0)
       42  self.list.map(x, x * 2)
       40  self.list.filter(x, x > 5)
      632  self.list.exists(x, self.list.exists(y, x + y == 18))
       26  self.words.map(w, w.upperAscii()).join(',')
       34  self.list.sort()
       12  self.map.transformMap(k, v, v + 1)
        5  quantity('1Gi').isGreaterThan(quantity('1Mi'))
        8  cidr('10.0.0.0/8').containsIP('10.0.0.1')
        6  timestamp('2024-01-01T00:00:00Z') + duration('1h')
    "#);
}

#[test]
fn failures_cost_too() {
    let program = Program::compile("1 + 2 > 0 && 1 / 0 > 0", &[]).unwrap();
    let mut budget = Budget::default();
    assert!(program.evaluate(&[], &mut budget).is_err());
    assert_eq!(budget.spent(), 3);
}

#[test]
fn programs_and_values_cross_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Program>();
    shared::<crate::Value<'static>>();
}
