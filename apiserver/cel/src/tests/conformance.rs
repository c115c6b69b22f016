//! The language itself, in the areas of cel-spec's conformance suite.

use serde_json::json;

use super::{all_fail, all_true, compile_error, eval, eval_on};
use crate::{Binding, Budget, Program, Value};

#[test]
fn literals() {
    all_true(&[
        "0x1F == 31 && -0x10 == -16 && 5u == 5u",
        "1e3 == 1000.0 && .5 == 0.5",
        r#"'a' == "a" && '''a'b''' == "a'b""#,
        r"'\x41\u00e9\U0001F600\101\n' == 'Aé😀A' + string(b'\n')",
        r"r'\n' == '\\n'",
        r"b'\xff' != b'\xfe' && bytes('é') == b'\303\251'",
        "-9223372036854775808 < 0",
        "[1, 2, 3,].size() == 3 && {'a': 1,}.size() == 1",
        "// a comment\n true",
    ]);
}

#[test]
fn arithmetic() {
    all_true(&[
        "1 + 2 * 3 - 4 / 2 == 5",
        "7 / -2 == -3 && 7 % -2 == 1 && -7 % 2 == -1",
        "5u - 3u == 2u && 7u % 4u == 3u",
        "1.5 * 2.0 == 3.0 && 1.0 / 0.0 > 1e308",
        "'a' + 'b' == 'ab' && b'a' + b'b' == b'ab' && [1] + [2] == [1, 2]",
        "-(-5) == 5 && !!true",
    ]);
    all_fail(&[
        ("9223372036854775807 + 1", "integer overflow"),
        ("-9223372036854775808 - 1", "integer overflow"),
        ("9223372036854775807 * 2", "integer overflow"),
        ("-9223372036854775808 / -1", "integer overflow"),
        ("-9223372036854775808 % -1", "integer overflow"),
        ("-(-9223372036854775808)", "integer overflow"),
        ("1u - 2u", "unsigned integer overflow"),
        ("18446744073709551615u + 1u", "unsigned integer overflow"),
        ("1 / 0", "division by zero"),
        ("1u % 0u", "modulus by zero"),
        ("1 + 1u", "no such overload"),
        ("1 + 1.0", "no such overload"),
        ("'a' + 1", "no such overload"),
        ("1.0 % 1.0", "no such overload"),
        ("-1u", "no such overload"),
        ("!1", "no such overload"),
    ]);
}

#[test]
fn equality_and_order() {
    all_true(&[
        "1 == 1u && 1 == 1.0 && 1u == 1.0",
        "[1, 2u] == [1.0, 2] && {'a': 1} == {'a': 1u}",
        "!(1 == '1') && 1 != null && null == null",
        "9223372036854775807 != 9223372036854775808.0",
        "9007199254740993 > 9007199254740992.0",
        "18446744073709551615u > -1 && 1 < 1.5 && 2u > 1.5",
        "double('NaN') != double('NaN') && !(double('NaN') < 1.0) && !(double('NaN') >= 1.0)",
        "1e300 > 9223372036854775807 && -1e300 < -9223372036854775808",
        "false < true && 'a' < 'b' && b'a' < b'b'",
        "'é' > 'z'",
        "{1: 'a'}[1u] == 'a' && {1: 'a'}[1.0] == 'a' && 1.0 in {1: 'a'} && !(1.5 in {1: 'a'})",
    ]);
    all_fail(&[
        ("1 < 'a'", "no such overload"),
        ("[1] < [2]", "no such overload"),
        ("null < null", "no such overload"),
    ]);
}

#[test]
fn logic_absorbs_errors() {
    all_true(&[
        "true || 1 / 0 > 0",
        "1 / 0 > 0 || true",
        "!(false && 1 / 0 > 0)",
        "!(1 / 0 > 0 && false)",
        "'x' || true",
        "true ? true : 1 / 0 > 0",
        "[1, 0].exists(x, 1 / x == 1)",
        "[0, 1].exists(x, 1 / x == 1)",
        "![0, 1].all(x, 1 / x == 2)",
    ]);
    all_fail(&[
        ("false || 1 / 0 > 0", "division by zero"),
        ("1 / 0 > 0 && true", "division by zero"),
        ("1 / 0 > 0 || 1 % 0 > 0", "division by zero"),
        ("'x' && true", "no such overload"),
        ("[0, 1].all(x, 1 / x == 1)", "division by zero"),
        ("[0].exists_one(x, 1 / x == 1)", "division by zero"),
        ("1 ? true : false", "no such overload"),
    ]);
}

#[test]
fn lists_and_maps() {
    all_true(&[
        "[1, 2][0] == 1 && [1, 2][1u] == 2 && [1, 2][1.0] == 2",
        "2 in [1, 2] && !(3 in [1, 2]) && 1u in [1.0]",
        "{'a': {'b': 1}}.a.b == 1 && {'a': 1}['a'] == 1",
        "{true: 1, 2: 2, 3u: 3, 'x': 4}.size() == 4",
        "has({'a': null}.a) && !has({'a': 1}.b)",
        "'a' in {'a': 1} && !('b' in {'a': 1})",
        "size('héllo') == 5 && 'héllo'.size() == 5 && size(b'é') == 2",
    ]);
    all_fail(&[
        ("[1][1]", "index out of bounds: 1"),
        ("[1][-1]", "index out of bounds: -1"),
        ("[1]['a']", "no such overload"),
        ("[1][0.5]", "no such overload"),
        ("{'a': 1}.b", "no such key: b"),
        ("{'a': 1}['b']", "no such key: b"),
        ("{'a': 1, 'a': 2}", "failed with repeated key: \"a\""),
        ("{1: 1, 1u: 2}", "failed with repeated key: \"1\""),
        ("{1.0: 1}", "unsupported key type: double"),
        ("{[1]: 1}", "unsupported key type: list"),
        ("'a'.b", "no such overload"),
        ("1 in 1", "no such overload"),
        ("size(1)", "no such overload"),
    ]);
}

#[test]
fn comprehensions() {
    all_true(&[
        "[1, 2, 3].all(x, x > 0) && [].all(x, false) && ![].exists(x, true)",
        "[1, 2, 3].exists_one(x, x > 2) && ![3, 3].exists_one(x, x == 3)",
        "[1, 2, 3].map(x, x * 2) == [2, 4, 6]",
        "[1, 2, 3].map(x, x > 1, x * 2) == [4, 6]",
        "[1, 2, 3].filter(x, x % 2 == 1) == [1, 3]",
        "{'b': 1, 'a': 2}.map(k, k) == ['a', 'b']",
        "{'b': 1, 'a': 2}.all(k, k in ['a', 'b'])",
        "[[1, 2], [3]].map(x, x.map(y, y + size(x))) == [[3, 4], [4]]",
        "[1].map(x, [2].map(x, x)) == [[2]]",
        "[5, 6].all(i, v, v == i + 5)",
        "{'a': 1}.exists(k, v, k == 'a' && v == 1)",
        "[1, 2].existsOne(i, v, v == 2)",
        "[4, 5].transformList(i, v, i * v) == [0, 5]",
        "[4, 5].transformList(i, v, i > 0, v) == [5]",
        "{'a': 1, 'b': 2}.transformMap(k, v, v > 1, v * 2) == {'b': 4}",
        "['x', 'y'].transformMapEntry(i, v, {v: i}) == {'x': 0, 'y': 1}",
        "cel.bind(x, 20 + 1, x * 2) == 42",
        "[3, 1, 2].sortBy(x, -x) == [3, 2, 1]",
    ]);
    all_fail(&[
        ("1.all(x, true)", "no such overload"),
        ("[1].all(x, x)", "no such overload"),
        ("['x', 'x'].transformMapEntry(i, v, {v: i})", "failed with repeated key: \"x\""),
    ]);
}

#[test]
fn optionals() {
    all_true(&[
        "{'a': 1}.?a.value() == 1 && !{'a': 1}.?b.hasValue()",
        "{'a': {'b': 1}}.?a.b.orValue(0) == 1 && {}.?a.b.c.orValue(7) == 7",
        "[1][?0].orValue(0) == 1 && [1][?5].orValue(0) == 0",
        "optional.none().or(optional.of(2)).value() == 2",
        "!optional.ofNonZeroValue('').hasValue() && optional.ofNonZeroValue(1).hasValue()",
        "optional.of(1).optMap(x, x + 1).value() == 2",
        "!optional.none().optMap(x, x / 0).hasValue()",
        "optional.of({'a': 1}).optFlatMap(x, x.?a).value() == 1",
        "[?optional.none(), ?optional.of(1), 2] == [1, 2]",
        "{?'a': optional.none(), ?'b': optional.of(1)} == {'b': 1}",
        "optional.of(1) == optional.of(1u) && optional.none() != optional.of(1)",
        "has({'a': {'b': 1}}.?a.b)",
    ]);
    all_fail(&[("optional.none().value()", "optional.none() dereference"), ("[?1]", "no such overload")]);
}

#[test]
fn conversions_and_types() {
    all_true(&[
        "int('-7') == -7 && int(7u) == 7 && int(-1.9) == -1 && int(timestamp(5)) == 5",
        "uint('7') == 7u && uint(1.9) == 1u && double('1e3') == 1000.0 && double(1) == 1.0",
        "string(1) == '1' && string(1.5) == '1.5' && string(true) == 'true' && string(b'a') == 'a'",
        "string(1e6) == '1e+06' && string(123456.0) == '123456' && string(1e-5) == '1e-05' && string(1.0) == '1'",
        "bool('true') && !bool('0')",
        "type(1) == int && type(1u) == uint && type('') == string && type([]) == list && type({}) == map",
        "type(null) == null_type && type(type(1)) == type && type(1.0) == double && type(b'') == bytes",
        "type(timestamp(0)) == google.protobuf.Timestamp && type(duration('1s')) == google.protobuf.Duration",
        "dyn(1) == 1",
    ]);
    all_fail(&[
        ("int(1e99)", "integer overflow"),
        ("int(double('NaN'))", "integer overflow"),
        ("uint(-1)", "unsigned integer overflow"),
        ("int('x')", "type conversion error from 'string' to 'int': \"x\""),
        ("string(b'\\xff')", "invalid UTF-8 in bytes, cannot convert to string"),
        ("int([])", "no such overload"),
    ]);
}

#[test]
fn times() {
    all_true(&[
        "timestamp('2024-02-29T12:30:45.5Z') + duration('24h') == timestamp('2024-03-01T12:30:45.5Z')",
        "timestamp('2024-01-01T00:00:00Z') - timestamp('2023-12-31T00:00:00Z') == duration('24h')",
        "timestamp('2024-01-01T00:00:00+01:00') < timestamp('2024-01-01T00:00:00Z')",
        "timestamp('2024-02-29T12:30:45.5Z').getFullYear() == 2024",
        "timestamp('2024-02-29T12:30:45.5Z').getMonth() == 1",
        "timestamp('2024-02-29T12:30:45.5Z').getDate() == 29",
        "timestamp('2024-02-29T12:30:45.5Z').getDayOfMonth() == 28",
        "timestamp('2024-02-29T12:30:45.5Z').getDayOfWeek() == 4",
        "timestamp('2024-02-29T12:30:45.5Z').getDayOfYear() == 59",
        "timestamp('2024-02-29T12:30:45.5Z').getMilliseconds() == 500",
        "timestamp('2024-02-29T12:30:45Z').getHours('+02:00') == 14",
        "timestamp('2024-02-29T23:30:45Z').getDate('02:00') == 1",
        "duration('1h30m').getMinutes() == 90 && duration('-1.5s').getMilliseconds() == -1500",
        "duration('1h') > duration('59m') && -duration('1s') == duration('-1s')",
        "string(duration('90m')) == '5400s' && string(timestamp(0)) == '1970-01-01T00:00:00Z'",
    ]);
    all_fail(&[
        ("timestamp(253402300800)", "timestamp overflow"),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", "timestamp overflow"),
        ("timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z')", "duration overflow"),
        ("duration('2562047h') + duration('2562047h')", "duration overflow"),
        (
            "timestamp(0).getHours('Europe/Amsterdam')",
            "unknown time zone \"Europe/Amsterdam\": only UTC and fixed offsets such as +01:00 are supported",
        ),
    ]);
}

#[test]
fn documents() {
    let document = json!({"a": {"b-c": [1, 2.5, "x"], "namespace": "n"}, "big": 18446744073709551615_u64});
    for rule in [
        "self.a.b__dash__c[0] == 1 && self.a.b__dash__c[1] == 2.5",
        "self.a.`b-c`.size() == 3",
        "self.a.__namespace__ == 'n'",
        "has(self.a) && !has(self.a.x) && has(self.a.b__dash__c)",
        "self['a']['b-c'][2] == 'x'",
        "self.a == {'b-c': [1, 2.5, 'x'], 'namespace': 'n'}",
        "self.map(k, k) == ['a', 'big']",
        "type(self.big) == double",
        "type(self.a) == map && type(self.a.b__dash__c) == list",
    ] {
        assert_eq!(eval_on(rule, &document), Ok(json!(true)), "{rule}");
    }
    assert_eq!(eval_on("self.a.missing", &document).unwrap_err().to_string(), "no such key: missing");
}

#[test]
fn compile_errors_say_where() {
    for (source, message) in [
        ("", "ERROR: <input>:1:1: Syntax error: mismatched input '<EOF>' expecting expression"),
        ("foo", "ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')"),
        ("self.a +\n  bar.c", "ERROR: <input>:2:3: undeclared reference to 'bar' (in container '')"),
        ("'é' + foo(1)", "ERROR: <input>:1:7: undeclared reference to 'foo' (in container '')"),
        ("self.nope()", "ERROR: <input>:1:6: undeclared reference to 'nope' (in container '')"),
        ("size(1, 2)", "ERROR: <input>:1:1: found no matching overload for 'size' applied to 2 argument(s)"),
        ("[1].all(x, x > 0) && x == 1", "ERROR: <input>:1:22: undeclared reference to 'x' (in container '')"),
        ("[1].all(x.y, true)", "ERROR: <input>:1:10: argument must be a simple name"),
        ("has(self)", "ERROR: <input>:1:5: invalid argument to has() macro"),
        ("'abc", "ERROR: <input>:1:1: Syntax error: unterminated string literal"),
        ("'a\nb'", "ERROR: <input>:1:1: Syntax error: unterminated string literal"),
        ("1 & 2", "ERROR: <input>:1:3: Syntax error: unexpected single '&', expected '&&'"),
        ("self.é", "ERROR: <input>:1:6: Syntax error: unexpected character"),
        ("self == 9223372036854775808", "ERROR: <input>:1:9: invalid int literal"),
        ("Foo{a: 1}", "ERROR: <input>:1:1: undeclared reference to 'Foo': messages cannot be constructed"),
        ("duration('x')", "ERROR: <input>:1:1: invalid duration: \"x\""),
        ("timestamp('x')", "ERROR: <input>:1:1: invalid timestamp: not an RFC 3339 date-time"),
    ] {
        assert_eq!(compile_error(source), message, "{source:?}");
    }
    assert!(
        compile_error("self.a.matches('(')").starts_with("ERROR: <input>:1:8: invalid regular expression: ")
    );
}

#[test]
fn programs_know_what_they_reference() {
    let program = Program::compile("self.a == oldSelf.a", &["self", "oldSelf"]).unwrap();
    assert!(program.references("self") && program.references("oldSelf") && !program.references("other"));
    let program = Program::compile("[1].all(oldSelf, oldSelf == self)", &["self", "oldSelf"]).unwrap();
    assert!(program.references("self") && !program.references("oldSelf"));
}

#[test]
fn results_are_held_to_the_type_asked_for() {
    let mut budget = Budget::default();
    let program = Program::compile("'a' + 'b'", &[]).unwrap();
    assert_eq!(program.evaluate_string(&[], &mut budget).as_deref(), Ok("ab"));
    let error = program.evaluate_bool(&[], &mut budget).unwrap_err();
    assert_eq!(error.to_string(), "expression evaluates to string, not bool");
    let program = Program::compile("self", &["self"]).unwrap();
    assert_eq!(program.evaluate(&[], &mut budget).unwrap_err().to_string(), "no such attribute(s): self");
}

#[test]
fn documents_are_borrowed() {
    let document = json!({"name": "x".repeat(1000), "list": [1]});
    let program = Program::compile("self.name", &["self"]).unwrap();
    let mut budget = Budget::default();
    let value = program.evaluate(&[Binding::new("self", &document)], &mut budget).unwrap();
    assert!(matches!(value, Value::String(crate::Text::Borrowed(_))));
    assert_eq!(budget.spent(), 2);
    assert_eq!(eval("[1, 2].map(x, x)"), Ok(json!([1, 2])));
}
