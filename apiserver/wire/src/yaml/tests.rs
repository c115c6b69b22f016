use super::*;
use proptest::prelude::*;

fn shown(yaml: &str) -> String {
    match to_json(yaml.as_bytes()) {
        Ok(json) => String::from_utf8(json).unwrap(),
        Err(status) => format!("{} {}", status.code, status.message),
    }
}

#[test]
fn values() {
    let cases = [
        ("a: 1", r#"{"a":1}"#),
        ("a: yes\nb: \"yes\"\nc: off\nd: true", r#"{"a":true,"b":"yes","c":false,"d":true}"#),
        (
            "a: 0644\nb: 0o17\nc: 0x1F\nd: -3\ne: 1.5\nf: 1e3",
            r#"{"a":420,"b":15,"c":31,"d":-3,"e":1.5,"f":1000.0}"#,
        ),
        ("a: ~\nb: null\nc:\nd: ''", r#"{"a":null,"b":null,"c":null,"d":""}"#),
        ("- a\n- [b, {c: d}]\n- []\n- {}", r#"["a",["b",{"c":"d"}],[],{}]"#),
        ("1: a\ntrue: b", r#"{"1":"a","true":"b"}"#),
        ("a: |\n  line\n  two\n", r#"{"a":"line\ntwo\n"}"#),
        ("base: &b {x: 1}\nuse: *b", r#"{"base":{"x":1},"use":{"x":1}}"#),
        ("base: &b {x: 1}\nuse:\n  <<: *b\n  y: 2", r#"{"base":{"x":1},"use":{"y":2,"x":1}}"#),
        ("time: 2026-11-21T09:18:03Z", r#"{"time":"2026-11-21T09:18:03Z"}"#),
        ("---\na: \"é\\u0001\"", r#"{"a":"é\u0001"}"#),
        ("{\"a\": [1, {\"b\": null}]}", r#"{"a":[1,{"b":null}]}"#),
    ];
    for (yaml, json) in cases {
        assert_eq!(shown(yaml), json, "{yaml}");
    }
}

#[test]
fn duplicate_keys_stay_for_the_pipeline_to_judge() {
    let json = to_json(b"spec:\n  x: 1\n  x: 2\n").unwrap();
    assert_eq!(hypermesh_api::decode_json(&json).unwrap().1, ["spec.x"]);
}

#[test]
fn refusals_name_the_place() {
    for (yaml, start) in [
        ("a: [1, 2\nb: 3", "400 error converting YAML to JSON: yaml: "),
        ("a: 1\n---\nb: 2", "400 error converting YAML to JSON: yaml: "),
        ("a: .inf", "400 error converting YAML to JSON: yaml: "),
        ("a: *none", "400 error converting YAML to JSON: yaml: "),
        ("? [a]\n: b", "400 error converting YAML to JSON: yaml: "),
        ("a: \u{7}", "400 error converting YAML to JSON: yaml: "),
    ] {
        let text = shown(yaml);
        assert!(text.starts_with(start), "{yaml}: {text}");
        assert!(text.contains("line ") && text.contains("column "), "{yaml}: {text}");
    }
    assert!(to_json(b"a: \xff").is_err());
}

#[test]
fn bombs_are_bounded() {
    let mut laughs = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..9 {
        let previous = format!("*a{}", level - 1);
        laughs.push_str(&format!("a{level}: &a{level} [{}]\n", [previous.as_str(); 10].join(",")));
    }
    let quadratic = format!("a: &a {}\nb: [{}]", "x".repeat(300_000), "*a,".repeat(900));
    let nested_flow = "[".repeat(100_000);
    let nested_block = "- ".repeat(100_000);
    let deep_map: String = (0..2000).map(|n| format!("{}k:\n", " ".repeat(n))).collect();
    let many_anchors: String = (0..5000).map(|n| format!("k{n}: &a{n} x\n")).collect();
    let many_nodes = format!("[{}]", "a,".repeat(450_000));
    for (name, bomb) in [
        ("laughs", &laughs),
        ("quadratic", &quadratic),
        ("nested flow", &nested_flow),
        ("nested block", &nested_block),
        ("deep map", &deep_map),
        ("many anchors", &many_anchors),
        ("many nodes", &many_nodes),
    ] {
        let status = to_json(bomb.as_bytes()).unwrap_err();
        assert_eq!(status.code, 400, "{name}");
        assert!(status.message.len() < 600, "{name}: {}", status.message);
    }
}

#[test]
fn replies_as_yaml() {
    let yaml = from_json(br#"{"kind":"A","spec":{"n":1,"s":"yes","list":[{"a":null}]}}"#);
    let back = to_json(&yaml).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&back).unwrap(),
        serde_json::json!({"kind": "A", "spec": {"n": 1, "s": "yes", "list": [{"a": null}]}})
    );
}

proptest! {
    #[test]
    fn any_text_is_json_or_refused(text in r#"[a-c&*\[\]{}:,|>'"\n #?!<-]{0,40}"#) {
        if let Ok(json) = to_json(text.as_bytes()) {
            prop_assert!(hypermesh_api::decode_json(&json).is_ok(), "{}", String::from_utf8_lossy(&json));
        }
    }

    #[test]
    fn what_is_shown_as_yaml_reads_back(text in r#"[ -~é\n]{0,20}"#, number: i64, flag: bool) {
        let value = serde_json::json!({"text": text, "n": number, "flag": flag, "list": [text]});
        let yaml = from_json(value.to_string().as_bytes());
        let back: Value = serde_json::from_slice(&to_json(&yaml).unwrap()).unwrap();
        prop_assert_eq!(back, value);
    }
}

#[test]
fn the_deepest_document_fits_the_stack_of_a_worker() {
    let deepest = "[".repeat(MAX_YAML_DEPTH) + &"]".repeat(MAX_YAML_DEPTH);
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
    let json =
        thread.spawn(move || to_json(deepest.as_bytes()).map(|json| json.len())).unwrap().join().unwrap();
    assert_eq!(json.unwrap(), 2 * MAX_YAML_DEPTH);
}

#[test]
fn refusals_are_in_words_that_people_can_act_on() {
    let nested = "[".repeat(100);
    let texts: Vec<String> = [
        "a: [1, 2\nb: 3",
        "a: 1\n---\nb: 2",
        "a: .inf",
        "a: *none",
        "? [a]\n: b",
        "? {a: b}\n: c",
        "~: b",
        "a: \u{7}",
        "a: 1\n  b: 2",
        "a:\n\t- b",
        "a: \"x",
        "a: b: c",
        "- a\nb: c",
        "a: }",
        "a: &x [*x]",
        "a: !!binary \"%%\"",
        "a: @b",
        "<<: 1",
        "",
        &nested,
    ]
    .map(shown)
    .into();
    let told = texts.join("\n");
    insta::assert_snapshot!(told, @r#"
400 error converting YAML to JSON: yaml: line 2, column 2: illegal placement of ':' indicator
400 error converting YAML to JSON: yaml: line 3, column 1: it holds several documents (---) where one is expected; send them one by one
400 error converting YAML to JSON: yaml: line 1, column 4: the number .inf has no form in JSON
400 error converting YAML to JSON: yaml: line 1, column 4: an alias (*name) stands before its anchor (&name), or has none
400 error converting YAML to JSON: yaml: line 1, column 3: the name of a field must be text, and not a list, a map or null
400 error converting YAML to JSON: yaml: line 1, column 3: the name of a field must be text, and not a list, a map or null
400 error converting YAML to JSON: yaml: line 1, column 1: the name of a field must be text, and not a list, a map or null
400 error converting YAML to JSON: yaml: line 1, column 4: unexpected character: `\u{7}'
400 error converting YAML to JSON: yaml: line 2, column 4: mapping values are not allowed in this context
400 error converting YAML to JSON: yaml: line 2, column 2: tabs disallowed within this context (block indentation)
400 error converting YAML to JSON: yaml: line 1, column 4: unclosed quote
400 error converting YAML to JSON: yaml: line 1, column 5: mapping values are not allowed in this context
400 error converting YAML to JSON: yaml: line 2, column 1: while parsing a block collection, did not find expected '-' indicator
400 error converting YAML to JSON: yaml: line 1, column 4: misplaced bracket
400 error converting YAML to JSON: yaml: line 1, column 8: an alias stands within its own anchor
400 error converting YAML to JSON: yaml: line 1, column 13: what is tagged !!binary must be base64 of text
400 error converting YAML to JSON: yaml: line 1, column 4: unexpected character: `@'
400 error converting YAML to JSON: yaml: line 1, column 5: what is merged (<<) must be a map, or a list of maps
null
400 error converting YAML to JSON: yaml: line 1, column 65: nested deeper than 64 levels
"#);
    for internal in ["serde", "Option<", "budget", "visitor", "deserializ", "scalar", "cfg", "Policy"] {
        assert!(!told.contains(internal), "{internal} in\n{told}");
    }
}
