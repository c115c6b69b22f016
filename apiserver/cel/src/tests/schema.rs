//! What schemas change: numbers, formats, declared properties, sets and keyed lists.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::{Binding, Budget, EvalError, Hint, Program, TypeHints};

/// A schema node for tests.
struct Node {
    kind: Hint,
    fields: BTreeMap<&'static str, Node>,
    item: Option<Box<Node>>,
    keys: Vec<String>,
}

impl Node {
    fn new(kind: Hint) -> Self {
        Self { kind, fields: BTreeMap::new(), item: None, keys: Vec::new() }
    }

    fn object(fields: impl IntoIterator<Item = (&'static str, Node)>) -> Self {
        Self { fields: fields.into_iter().collect(), ..Self::new(Hint::Object) }
    }

    fn of(kind: Hint, item: Node) -> Self {
        Self { item: Some(Box::new(item)), ..Self::new(kind) }
    }

    fn keyed(item: Node, key: &str) -> Self {
        Self { keys: vec![key.to_owned()], ..Self::of(Hint::MapList, item) }
    }
}

impl TypeHints for Node {
    fn kind(&self) -> Hint {
        self.kind
    }

    fn field(&self, name: &str) -> Option<&dyn TypeHints> {
        self.fields.get(name).map(|node| node as &dyn TypeHints)
    }

    fn item(&self) -> Option<&dyn TypeHints> {
        self.item.as_deref().map(|node| node as &dyn TypeHints)
    }

    fn list_keys(&self) -> &[String] {
        &self.keys
    }
}

fn schema() -> Node {
    let port = || Node::object([("name", Node::new(Hint::String)), ("port", Node::new(Hint::Int))]);
    Node::object([
        ("ratio", Node::new(Hint::Double)),
        ("count", Node::new(Hint::Int)),
        ("since", Node::new(Hint::Timestamp)),
        ("day", Node::new(Hint::Timestamp)),
        ("every", Node::new(Hint::Duration)),
        ("key", Node::new(Hint::Bytes)),
        ("target", Node::new(Hint::IntOrString)),
        ("my-name", Node::new(Hint::String)),
        ("absent", Node::new(Hint::String)),
        ("labels", Node::of(Hint::Map, Node::new(Hint::Double))),
        ("tags", Node::of(Hint::Set, Node::new(Hint::String))),
        ("order", Node::of(Hint::List, Node::new(Hint::String))),
        ("ports", Node::keyed(port(), "name")),
    ])
}

fn document() -> Json {
    json!({
        "ratio": 1, "count": 2.0, "since": "2024-01-01T00:00:00Z", "day": "2024-01-01", "every": "1h",
        "key": "aGk=", "target": 80, "my-name": "n", "undeclared": 1,
        "labels": {"a__dash__b": 1, "a-b": 2},
        "tags": ["a", "b", "c"], "order": ["a", "b"],
        "ports": [{"name": "x", "port": 1}, {"name": "y", "port": 2}]
    })
}

fn evaluate(rule: &str, own: &Json, old: &Json) -> Result<bool, EvalError> {
    let schema = schema();
    let program =
        Program::compile(rule, &["self", "oldSelf"]).unwrap_or_else(|error| panic!("{rule}: {error}"));
    let bindings = [Binding::typed("self", own, &schema), Binding::typed("oldSelf", old, &schema)];
    program.evaluate_bool(&bindings, &mut Budget::default())
}

#[test]
fn schemas_type_what_json_cannot() {
    let document = document();
    for rule in [
        "type(self.ratio) == double && self.ratio / 2.0 == 0.5",
        "type(self.count) == int && self.count + 1 == 3",
        "self.since == timestamp('2024-01-01T00:00:00Z') && self.day == self.since",
        "self.every == duration('60m') && self.key == b'hi'",
        "type(self.target) == int ? self.target == 80 : false",
        "self.my__dash__name == 'n' && self.`my-name` == 'n'",
        "!has(self.absent)",
        "self.labels.a__dash__b == 1.0 && self.labels['a-b'] == 2.0 && type(self.labels['a-b']) == double",
        "self.ports[0].port == 1 && self.ports.all(p, has(p.name))",
    ] {
        assert_eq!(evaluate(rule, &document, &document), Ok(true), "{rule}");
    }
}

#[test]
fn undeclared_properties_cannot_be_seen() {
    let document = document();
    for rule in ["self.undeclared == 1", "has(self.undeclared)", "self.ports[0].nope == 1"] {
        let error = evaluate(rule, &document, &document).unwrap_err();
        assert!(matches!(error, EvalError::NoSuchField(_)), "{rule}: {error}");
    }
    let error = evaluate("self.absent == ''", &document, &document).unwrap_err();
    assert_eq!(error.to_string(), "no such key: absent");
}

#[test]
fn fields_are_checked_against_the_schema_before_any_document() {
    let schema = schema();
    let check = |rule: &str| {
        let program = Program::compile(rule, &["self", "oldSelf"]).unwrap();
        program.check(&[("self", &schema), ("oldSelf", &schema)]).map_err(|error| error.to_string())
    };
    for rule in [
        "self.count > oldSelf.count && has(self.my__dash__name) && self.labels.anything > 0.0",
        "self.ports.all(p, p.port > 0) && self.ports.filter(p, p.port > 1)[0].name != ''",
        "self.ports.exists(i, p, i > 0 && p.port == 1) && self.ports.sortBy(p, p.port)[0].port == 1",
        "self.labels.all(k, k.size() > 0) && self.tags.all(t, t.size() > 0)",
        "dyn(self).nope == 1 && (true ? self : oldSelf).nope == 1",
        "cel.bind(p, self.ports[0], p.port) == self.?ports[?0].port.orValue(1)",
    ] {
        assert_eq!(check(rule), Ok(()), "{rule}");
    }
    for (rule, message) in [
        ("self.count > 0 &&\n  self.nope > 0", "2:8: undefined field 'nope'"),
        ("has(self.nope)", "1:10: undefined field 'nope'"),
        ("self.?nope.hasValue()", "1:7: undefined field 'nope'"),
        ("self.ports.all(p, p.name != '' && p.prot > 0)", "1:37: undefined field 'prot'"),
        ("self.ports.filter(p, true)[0].nope", "1:31: undefined field 'nope'"),
        ("self.ports.map(p, p.port > 0 ? p.nope : 1)", "1:34: undefined field 'nope'"),
        ("cel.bind(p, self.ports[0], p.nope)", "1:30: undefined field 'nope'"),
        ("optional.of(1).optMap(x, self.nope)", "1:31: undefined field 'nope'"),
        ("size([{'a': self.nope}]) > 0", "1:18: undefined field 'nope'"),
        ("self.ratio.x == 1", "1:12: type 'double' does not support field selection"),
        ("self.ports.port == 1", "1:12: type 'list' does not support field selection"),
    ] {
        assert_eq!(check(rule), Err(format!("ERROR: <input>:{message}")), "{rule}");
    }
}

#[test]
fn formats_that_do_not_hold_are_errors_where_read() {
    let broken = json!({"since": "yesterday", "every": "1x", "key": "?", "count": 1});
    for rule in ["self.since == self.since", "self.every > duration('0')", "self.key == b''"] {
        assert!(matches!(evaluate(rule, &broken, &broken), Err(EvalError::InvalidConversion(_))), "{rule}");
    }
    assert_eq!(evaluate("self.count == 1", &broken, &broken), Ok(true));
}

#[test]
fn sets_and_keyed_lists_ignore_order() {
    let own = document();
    let mut old = document();
    old["tags"] = json!(["c", "a", "b"]);
    old["ports"] = json!([{"name": "y", "port": 2}, {"name": "x", "port": 1}]);
    for rule in [
        "self.tags == oldSelf.tags && self.ports == oldSelf.ports",
        "self.tags == ['b', 'c', 'a'] && self.tags != ['a', 'b']",
        "(self.tags + ['c', 'd']) == ['a', 'b', 'c', 'd']",
        "(self.ports + [{'name': 'x', 'port': 9}]).map(p, p.port) == [9, 2]",
        "self.order + ['a'] == ['a', 'b', 'a']",
    ] {
        assert_eq!(evaluate(rule, &own, &old), Ok(true), "{rule}");
    }
    old["order"] = json!(["b", "a"]);
    old["ports"][0]["port"] = json!(3);
    assert_eq!(evaluate("self.order == oldSelf.order", &own, &old), Ok(false));
    assert_eq!(evaluate("self.ports == oldSelf.ports", &own, &old), Ok(false));
}

#[test]
fn an_optional_old_state_is_absent_on_creation() {
    let (schema, own) = (schema(), json!({"count": 2}));
    let rule = "!oldSelf.hasValue() || oldSelf.value().count < self.count || oldSelf.count.orValue(0) == 5";
    let program = Program::compile(rule, &["self", "oldSelf"]).unwrap();
    for (old, verdict) in
        [(None, true), (Some(json!({"count": 1})), true), (Some(json!({"count": 3})), false)]
    {
        let bindings = [
            Binding::typed("self", &own, &schema),
            Binding::optional("oldSelf", old.as_ref(), Some(&schema)),
        ];
        assert_eq!(program.evaluate_bool(&bindings, &mut Budget::default()), Ok(verdict), "{old:?}");
    }
}

#[test]
fn transition_rules_compare_both_states() {
    let old = json!({"count": 1});
    let own = json!({"count": 2});
    assert_eq!(evaluate("self.count >= oldSelf.count", &own, &old), Ok(true));
    assert_eq!(evaluate("self.count >= oldSelf.count", &old, &own), Ok(false));
}
