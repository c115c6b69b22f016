use super::*;
use proptest::prelude::*;
use serde_json::json;

fn shown(path: &str) -> String {
    let object = json!({
        "metadata": {"name": "a", "annotations": {"example.com/x": "y", "a.b": "c"}},
        "spec": {"ports": [{"port": 80, "name": "http"}, {"port": 443, "name": "https"}], "n": 1.5, "none": null},
        "status": {"conditions": [
            {"type": "Synced", "status": "False"},
            {"type": "Ready", "status": "True", "observedGeneration": 3},
        ]},
    });
    match JsonPath::parse(path) {
        Ok(path) => Value::from(path.select(&object).into_iter().cloned().collect::<Vec<_>>()).to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn selects() {
    let cases = [
        (".metadata.name", r#"["a"]"#),
        ("{.metadata.name}", r#"["a"]"#),
        ("$.metadata['name']", r#"["a"]"#),
        (".metadata.annotations['example.com/x']", r#"["y"]"#),
        (r".metadata.annotations.example\.com/x", r#"["y"]"#),
        (r#".metadata.annotations["a.b"]"#, r#"["c"]"#),
        (".spec.ports[0].port", "[80]"),
        (".spec.ports[-1].port", "[443]"),
        (".spec.ports[-3].port", "[]"),
        (".spec.ports[7].port", "[]"),
        (".spec.ports[*].port", "[80,443]"),
        (".spec.ports[1:].port", "[443]"),
        (".spec.ports[:1].port", "[80]"),
        (".spec.ports[-1:].port", "[443]"),
        (".spec.ports.port", "[]"),
        (".spec.none", "[null]"),
        (".spec.absent.deeper", "[]"),
        (r#".status.conditions[?(@.type=="Ready")].status"#, r#"["True"]"#),
        (".status.conditions[?(@.type == 'Ready')].status", r#"["True"]"#),
        (r#".status.conditions[?(@.type!="Ready")].status"#, r#"["False"]"#),
        (".status.conditions[?(@.observedGeneration)].type", r#"["Ready"]"#),
        (".status.conditions[?(@.observedGeneration>=3)].type", r#"["Ready"]"#),
        (".spec.ports[?(@.port<100)].name", r#"["http"]"#),
        (".spec.ports[?(@.port<1e2)].name", r#"["http"]"#),
        (".metadata.annotations.*", r#"["c","y"]"#),
    ];
    for (path, expected) in cases {
        assert_eq!(shown(path), expected, "{path}");
    }
}

#[test]
fn refuses() {
    let cases = [
        ("..name", "invalid JSONPath at byte 1: recursive descent is not supported"),
        (".a[", "invalid JSONPath at byte 3: expected an index"),
        (".a['b", "invalid JSONPath at byte 5: unterminated string"),
        (".a b", "invalid JSONPath at byte 2: unexpected character"),
        (".a[?(@.x=={})]", "invalid JSONPath at byte 10: expected '@', a string or a number"),
        (".a[99999999999999999999]", "invalid JSONPath at byte 3: invalid index"),
        (".a.", "invalid JSONPath at byte 3: expected a field name"),
    ];
    for (path, expected) in cases {
        assert_eq!(shown(path), expected, "{path}");
    }
    assert!(JsonPath::parse(&".a".repeat(5000)).is_err());
    assert!(JsonPath::parse(&".a[?(@".repeat(600)).is_err());
}

proptest! {
    #[test]
    fn never_panics(path in r#"[.a\[\]?(@)='"0-9:*<!\\é -]{0,40}"#) {
        if let Ok(path) = JsonPath::parse(&path) {
            let _ = path.select(&json!({"a": [{"a": 1}, [1, 2], null]}));
        }
    }
}
