//! The emitter against kubectl's own output, and against the reader.

use super::to_string;
use crate::manifest::yaml::parse;
use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::{Value, json};

/// What `kubectl create configmap --dry-run=client -o yaml` (1.32) prints for these texts.
const OF_KUBECTL: [(&str, &str); 74] = [
    ("on", "\"on\""),
    ("y", "\"y\""),
    ("N", "\"N\""),
    ("", "\"\""),
    ("1", "\"1\""),
    ("1e3", "\"1e3\""),
    ("0x1f", "\"0x1f\""),
    ("1_000", "\"1_000\""),
    ("10:30", "\"10:30\""),
    ("2026-11-21T09:18:03Z", "\"2026-11-21T09:18:03Z\""),
    ("2026-11-21", "\"2026-11-21\""),
    ("@x", "'@x'"),
    ("*", "'*'"),
    ("a: b", "'a: b'"),
    ("a #b", "'a #b'"),
    ("-", "'-'"),
    ("- a", "'- a'"),
    ("?", "'?'"),
    ("? a", "'? a'"),
    ("x,", "x,"),
    ("[a]", "'[a]'"),
    ("null", "\"null\""),
    ("~", "\"~\""),
    (".5", "\".5\""),
    (".inf", "\".inf\""),
    ("é☃", "é☃"),
    (" lead", "' lead'"),
    ("trail ", "'trail '"),
    ("\"q\"", "'\"q\"'"),
    ("it's", "it's"),
    ("a\\b", "a\\b"),
    ("0o14", "\"0o14\""),
    ("014", "\"014\""),
    ("50%", "50%"),
    ("%5", "'%5'"),
    ("true", "\"true\""),
    ("True", "\"True\""),
    ("1.", "\"1.\""),
    ("+1", "\"+1\""),
    ("-1", "\"-1\""),
    (".", "."),
    ("..", ".."),
    ("---", "'---'"),
    ("a:", "'a:'"),
    (":a", ":a"),
    ("!x", "'!x'"),
    ("&x", "'&x'"),
    ("|", "'|'"),
    (">", "'>'"),
    ("`", "'`'"),
    ("{", "'{'"),
    ("key:value", "key:value"),
    ("12e03", "\"12e03\""),
    ("0b1", "\"0b1\""),
    ("1,000", "1,000"),
    ("NaN", "NaN"),
    (".nan", "\".nan\""),
    ("Infinity", "Infinity"),
    ("-.inf", "\"-.inf\""),
    ("08", "\"08\""),
    ("1:2:3", "\"1:2:3\""),
    ("no", "\"no\""),
    ("tab\tx", "\"tab\\tx\""),
    ("\u{7}", "\"\\a\""),
    ("a\r\nb", "\"a\\r\\nb\""),
    ("--- a", "'--- a'"),
    ("...", "'...'"),
    ("1e", "1e"),
    ("e1", "e1"),
    ("0.1e+5", "\"0.1e+5\""),
    ("_1", "_1"),
    ("1__0", "\"1__0\""),
    ("1.5.2", "1.5.2"),
    ("-0x1", "\"-0x1\""),
];

#[test]
fn quotes_as_kubectl_does() {
    for (text, shown) in OF_KUBECTL {
        assert_eq!(to_string(&json!({"k": text})), format!("k: {shown}\n"), "of {text:?}");
    }
}

#[test]
fn writes_text_of_several_lines_as_blocks() {
    let texts = ["a\nb\n", "a\nb", "a\nb\n\n", "\na\n", "  a\nb\n", "a \nb", "a\n\n b\n", "tab\ty\nz", "\n"];
    let map: serde_json::Map<String, Value> =
        texts.iter().enumerate().map(|(i, t)| (format!("k{i}"), (*t).into())).collect();
    assert_snapshot!(to_string(&json!({"data": map})), @r#"
    data:
      k0: |
        a
        b
      k1: |-
        a
        b
      k2: |+
        a
        b

      k3: |2

        a
      k4: |2
          a
        b
      k5: "a \nb"
      k6: |
        a

         b
      k7: "tab\ty\nz"
      k8: |2+
    "#);
}

#[test]
fn nests_as_kubectl_does() {
    let value = json!({
        "empty": {}, "none": [], "null": null, "n": 1.5, "yes": true,
        "list": [1, "two", {"a": 1, "b": [{"c": {"d": "e"}}, []]}, [["x"], "y"], []],
    });
    assert_snapshot!(to_string(&value), @r#"
    empty: {}
    list:
    - 1
    - two
    - a: 1
      b:
      - c:
          d: e
      - []
    - - - x
      - "y"
    - []
    "n": 1.5
    none: []
    "null": null
    "yes": true
    "#);
    assert_eq!(to_string(&json!("x")), "x\n");
    assert_eq!(to_string(&json!([])), "[]\n");
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "\\PC{0,12}",
        "[ \\n\\t'\":#a-]{0,8}",
        "[-+0-9._:exob]{0,8}",
        prop::sample::select(vec![
            "yes",
            "No",
            "null",
            "~",
            "<<",
            "=",
            "0755",
            "1_0",
            "\u{85}",
            "\u{2028}",
            "\r",
            "\u{feff}a"
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_as_it_was(value in any_value()) {
        let text = to_string(&json!({"k": value}));
        let read = parse(&text).map_err(|e| TestCaseError::fail(format!("{e} in {text}")))?;
        prop_assert_eq!(read[0].to_value(), json!({"k": value}), "{}", text);
    }
}
