//! Nothing panics, and everything comes out the same twice, cost included.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::{Binding, Budget, Program};

/// Sources that use most of the language, to be mutated and combined.
const CORPUS: &[&str] = &[
    "self.a + self.b[0] * 2 == 3 || has(self.c)",
    "self.items.all(x, x.name.matches('^[a-z]+$') && x.port in [80, 443])",
    "self.list.map(x, x * 2).filter(y, y > 1).exists(z, z == 4)",
    "'%s-%d'.format([self.s, size(self.list)]).split('-').join('/')",
    "self.s.replace('a', 'bb').substring(1, 2).lowerAscii().indexOf('b')",
    "duration('1h') + timestamp('2024-01-01T00:00:00Z') > timestamp(0)",
    "quantity('1.5Gi').add(quantity('1')).compareTo(quantity('2Gi')) < 0",
    "cidr('10.0.0.0/8').containsIP('10.1.2.3') ? ip('::1').family() : -1",
    "self.?a.?b.orValue({'k': [1u, 2.5, null, b'x']})",
    "{'a': self.list, 2: self.s}.transformMap(k, v, size(v))",
    "semver('1.2.3').isLessThan(semver('2.0.0')) && isURL('https://a.b/c?d')",
    "string(int('12') % 5) + string(1.5e10) + string(b'\\x41')",
    "[3, 1, 2].sort().slice(0, 2).reverse() == [2, 1]",
    "type(self.list[0]) == int && !(self.s < 'a') && -self.list[1] < 0.5",
    "format.dns1123Label().validate(self.s).orValue([]).size() == 0",
    "self.s.findAll('[a-z]').distinct().size() > self.s.charAt(0).size()",
];

fn document() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "\\PC{0,12}".prop_map(Json::from),
        "[a-z-]{0,8}".prop_map(Json::from),
    ];
    let value = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map("[a-c]|name|port|__dash__", inner, 0..4).prop_map(Json::from_iter),
        ]
    });
    (value.clone(), value.clone(), value, "\\PC{0,8}", prop::collection::vec(any::<i8>(), 0..5))
        .prop_map(|(a, b, items, s, list)| json!({"a": a, "b": b, "items": items, "s": s, "list": list}))
}

/// A source of the corpus with some of it cut, repeated, or replaced by parts of others.
fn source() -> impl Strategy<Value = String> {
    let picks = prop::collection::vec(
        (0..CORPUS.len(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..5_u8),
        1..5,
    );
    picks.prop_map(|picks| {
        let mut out = String::new();
        for (index, from, to, action) in picks {
            let words = tokens(CORPUS[index]);
            let (from, to) = (from.index(words.len()), to.index(words.len()) + 1);
            let part = words.get(from.min(to)..from.max(to)).unwrap_or_default().concat();
            match action {
                0 => out.push_str(CORPUS[index]),
                1 => out.push_str(&part),
                2 => out = format!("({out}) + ({})", CORPUS[index]),
                3 => out = format!("[{}].map(x, {out})", CORPUS[index]),
                _ => out = format!("{part}{out}"),
            }
        }
        out
    })
}

fn tokens(source: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for c in source.chars() {
        match words.last_mut() {
            Some(word) if c.is_alphanumeric() && word.ends_with(char::is_alphanumeric) => word.push(c),
            _ => words.push(c.to_string()),
        }
    }
    words
}

/// What stands in for a field of the document.
const OPERANDS: &[&str] = &[
    "self",
    "self.a",
    "self.b",
    "self.s",
    "self.list",
    "self.items",
    "self.items[0]",
    "null",
    "-1",
    "2u",
    "1.5",
    "'é'",
    "b'x'",
    "[]",
    "{'a': [1]}",
    "duration('1s')",
    "timestamp(0)",
    "optional.of(1)",
    "quantity('1')",
    "ip('::1')",
    "(1/0)",
];

/// A rule of the corpus with its fields replaced: it stays well formed, but its types need not fit.
fn misfit() -> impl Strategy<Value = String> {
    let operands = prop::collection::vec(prop::sample::select(OPERANDS), 8);
    (prop::sample::select(CORPUS), operands).prop_map(|(source, operands)| {
        let mut pieces = source.split("self.");
        let mut out = pieces.next().unwrap_or_default().to_owned();
        for (piece, operand) in pieces.zip(operands) {
            // Optional and tested fields must stay fields.
            if piece.starts_with('?') || out.ends_with("has(") {
                out.push_str("self.");
                out.push_str(piece);
            } else {
                out.push_str(operand);
                out.push_str(piece.trim_start_matches(char::is_alphanumeric));
            }
        }
        out
    })
}

/// Everything an evaluation shows: its value or error, printed, and its cost.
fn run(source: &str, document: &Json) -> (String, u64) {
    let mut budget = Budget::new(200_000);
    let shown = match Program::compile(source, &["self"]) {
        Ok(program) => match program.evaluate(&[Binding::new("self", document)], &mut budget) {
            Ok(value) => format!("{:?} {:?}", value, value.to_json()),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    (shown, budget.spent())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_sources_neither_panic_nor_vary(source in source(), document in document()) {
        prop_assert_eq!(run(&source, &document), run(&source, &document.clone()));
    }

    #[test]
    fn rules_over_misfit_types_neither_panic_nor_vary(source in misfit(), document in document()) {
        prop_assert!(Program::compile(&source, &["self"]).is_ok(), "{}", source);
        prop_assert_eq!(run(&source, &document), run(&source, &document.clone()));
    }

    #[test]
    fn arbitrary_sources_do_not_panic(source in "\\PC{0,40}|[-a-z0-9.?:()\\[\\]{}'\"`,+*/%!&|<>= \\\\\n]{0,60}") {
        run(&source, &Json::Null);
    }

    #[test]
    fn every_value_equals_itself_and_prints(document in document()) {
        let without_nan = run("self == self && [self] == [self] && self in [self]", &document);
        prop_assert_eq!(without_nan.0, "Bool(true) Ok(Bool(true))");
        let (printed, _) = run("'%s'.format([self]).size() > 0", &document);
        prop_assert_eq!(printed, "Bool(true) Ok(Bool(true))");
    }

    #[test]
    fn string_functions_never_panic(
        subject in "\\PC{0,10}", needle in "\\PC{0,3}", index in -2_i64..12, limit in -2_i64..4, precision in 0..120,
    ) {
        let document = json!({"s": subject, "n": needle, "i": index, "l": limit});
        for rule in [
            "self.s.indexOf(self.n)", "self.s.indexOf(self.n, self.i)", "self.s.lastIndexOf(self.n)",
            "self.s.lastIndexOf(self.n, self.i)", "self.s.substring(self.i)", "self.s.substring(self.l, self.i)",
            "self.s.charAt(self.i)", "self.s.replace(self.n, self.s, self.l)", "self.s.split(self.n, self.l)",
            "self.s.matches(self.n)", "self.s.findAll(self.n, self.l)", "self.s.trim().reverse().upperAscii()",
            "strings.quote(self.s)", "self.n.format([self.s, self.i])", "duration(self.n)", "timestamp(self.s)",
            "quantity(self.s)", "url(self.s)", "ip(self.s)", "cidr(self.s)", "semver(self.s, true)",
            "format.named('uri').value().validate(self.s)", "base64.decode(self.s)",
        ] {
            run(rule, &document);
        }
        run(&format!("'%.{precision}f %.{precision}e'.format([double(self.i), 1e308])"), &document);
    }

    #[test]
    fn last_index_is_the_last(subject in "[ab]{0,8}", needle in "[ab]{0,3}", latest in 0_usize..8) {
        let latest = latest.min(subject.len());
        let expected = (0..=latest).rev().find(|at| subject[*at..].starts_with(&needle));
        let document = json!({"s": subject, "n": needle, "i": latest});
        let found = super::eval_on("self.s.lastIndexOf(self.n, self.i)", &document);
        prop_assert_eq!(found, Ok(expected.map_or(json!(-1), |at| json!(at))));
    }
}
