//! The dialect, by kubectl's documented examples and its own cases, and what it refuses.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn nodes() -> Value {
    json!({
        "kind": "List",
        "items": [
            {"kind": "None", "metadata": {"name": "127.0.0.1", "labels": {"kubernetes.io/hostname": "127.0.0.1"}},
             "status": {"capacity": {"cpu": "4"}, "ready": true, "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.1"}]}},
            {"kind": "None", "metadata": {"name": "127.0.0.2", "labels": {"kubernetes.io/hostname": "127.0.0.2"}},
             "status": {"capacity": {"cpu": "8"}, "ready": false,
                        "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.2"}, {"type": "another", "address": "127.0.0.3"}]}},
        ],
        "users": [{"name": "myself", "user": {}}, {"name": "e2e", "user": {"username": "admin", "password": "secret"}}],
    })
}

fn render(template: &str, object: &Value) -> Result<String, String> {
    let template = Template::parse("-o jsonpath", template).map_err(|d| d.title.clone())?;
    template.render(object).map_err(|d| d.title.clone())
}

fn all(object: &Value, cases: &[(&str, &str)]) {
    for (template, expected) in cases {
        assert_eq!(render(template, object).as_deref(), Ok(*expected), "{template}");
    }
}

#[test]
fn documented_examples() {
    all(
        &nodes(),
        &[
            ("kind is {.kind}", "kind is List"),
            ("{['kind']}", "List"),
            ("{..name}", "127.0.0.1 127.0.0.2 myself e2e"),
            ("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2"),
            ("{.users[0].name}", "myself"),
            (
                "{.items[*]['metadata.name', 'status.capacity']}",
                r#"127.0.0.1 127.0.0.2 {"cpu":"4"} {"cpu":"8"}"#,
            ),
            (r#"{.users[?(@.name=="e2e")].user.password}"#, "secret"),
            (
                "{range .items[*]}[{.metadata.name}, {.status.capacity}] {end}",
                r#"[127.0.0.1, {"cpu":"4"}] [127.0.0.2, {"cpu":"8"}] "#,
            ),
            (r"{range .items[*]}{.metadata.name}{'\t'}{end}", "127.0.0.1\t127.0.0.2\t"),
            (r"{.items[0].metadata.labels.kubernetes\.io/hostname}", "127.0.0.1"),
        ],
    );
    assert_eq!(render("{@}", &nodes()).unwrap(), nodes().to_string());
}

#[test]
fn what_kubectl_tests() {
    all(
        &nodes(),
        &[
            ("{range .items[*]}{.metadata.name}, {end}{.kind}", "127.0.0.1, 127.0.0.2, List"),
            ("{.items[*].status.addresses[*].address}", "127.0.0.1 127.0.0.2 127.0.0.3"),
            (
                "{range .items[*]}{range .status.addresses[*]}{.address}, {end}{end}",
                "127.0.0.1, 127.0.0.2, 127.0.0.3, ",
            ),
            (r#"{.items[?(@.metadata.labels.kubernetes\.io/hostname=="127.0.0.1")].kind}"#, "None"),
            ("{.items[?(@..ready==true)].metadata.name}", "127.0.0.1"),
            ("{range .nothing[*]}{.a}{end}after", "after"),
            ("before-{.hello}after", "before-after"),
            ("{range .items[*]}{.metadata.name} ", "127.0.0.1 127.0.0.2 "),
        ],
    );
    let types = json!({
        "bools": [true, false, true, false], "integers": [1, 2, 3, 4], "floats": [1.5, 2.2, 3.3, 4.25],
        "strings": ["one", "two", "three", "four"], "mixed": [true, "one", 1, 1.1],
        "maps": [{"name": "one", "value": 1}, {"name": "two", "value": 2.02}, {"name": "three"}, {"name": "four"}],
    });
    all(
        &types,
        &[
            ("{ .bools }", "[true,false,true,false]"),
            ("{ .bools[-1] }", "false"),
            ("{ .bools[0:2] }", "true false"),
            ("{ .bools[:4:2] }", "true true"),
            ("{ .integers[-2] }", "3"),
            ("{ .floats[:4:2] }", "1.5 3.3"),
            ("{ .strings }", r#"["one","two","three","four"]"#),
            ("{ .mixed[0:9] }", "true one 1 1.1"),
            ("{ .maps[::2].name }", "one three"),
            ("{ .maps[1::2].name }", "two four"),
            ("{ .maps[-1:] }", r#"{"name":"four"}"#),
            ("{.maps[3:1]}", ""),
        ],
    );
    let store = json!({
        "book": [{"author": "Rees", "price": 8.95}, {"author": "Waugh", "price": 12.99}, {"author": "Melville", "price": 8.99}],
        "bicycle": [{"color": "red", "isNew": true, "price": 19.95}, {"color": "green", "isNew": false, "price": 20.01}],
        "labels": {"web/html": 15, "k8s-app": 20},
    });
    all(
        &store,
        &[
            ("hello jsonpath", "hello jsonpath"),
            (r#"{"{"}"#, "{"),
            ("{$.labels.web/html}", "15"),
            ("{.labels.k8s-app}", "20"),
            ("{.labels['web/html']}", "15"),
            (r#"{.labels["k8s-app"]}"#, "20"),
            (r#"{range .bicycle[*]}{ "{" }{ @.* }{ "} " }{end}"#, "{red true 19.95} {green false 20.01} "),
            ("{..price}", "19.95 20.01 8.95 12.99 8.99"),
            ("{...price}", "19.95 20.01 8.95 12.99 8.99"),
            ("{..book[2].author}", "Melville"),
            ("{.bicycle[?(@.isNew==true)].color}", "red"),
            ("{.book[?(@.price<10)].author}", "Rees Melville"),
            ("{.book[?(@.price > 10 || @.author == 'Rees')].author}", "Rees Waugh"),
            ("{.book[?(@.price<10 && @.author!=\"Rees\")].author}", "Melville"),
            ("{.bicycle[?(@.nothing==1)]}", ""),
        ],
    );
    let points = json!([{"id": "i1", "x": 4}, {"id": "i2", "x": -2, "z": 1}, {"id": "i5", "x": 0, "z": 1}]);
    all(
        &points,
        &[
            ("{[?(@.z)].id}", "i2 i5"),
            ("{[0]['id']}", "i1"),
            ("{[0,2].id}", "i1 i5"),
            ("{[?(@.x<=-2)].id}", "i2"),
            ("{[0,1:].id}", "i1 i2 i5"),
            ("{.[0].id}", "i1"),
            ("{.[?(@.x==$[0].x)].id}", "i1"),
        ],
    );
    all(&json!([1, 2, 3]), &[("{..}", "[1,2,3]")]);
    all(&json!([2, 6, 3, 7]), &[("{[?(@<5)]}", "2 3"), ("{[1,3]}", "6 7")]);
    all(&json!({"a": null}), &[("{.a}", "<nil>"), ("{.a.b}{.a[0]}", "")]);
}

#[test]
fn beyond_kubectl() {
    all(
        &nodes(),
        &[
            (".kind", "List"),
            ("{range .items[*]}{$.kind}/{.metadata.name} {end}", "List/127.0.0.1 List/127.0.0.2 "),
            ("{.items[0].metadata.labels['kubernetes.io/hostname']}", "127.0.0.1"),
            (r"{.items[0].metadata.labels['kubernetes\.io/hostname']}", "127.0.0.1"),
            ("{.items[0:99].kind}", "None None"),
            (r#"{"\u00e9\x41\101\"\\"}"#, "éAA\"\\"),
        ],
    );
}

fn fault(template: &str) -> String {
    let diagnostic = match Template::parse("-o jsonpath", template) {
        Ok(template) => template.render(&nodes()).unwrap_err(),
        Err(diagnostic) => diagnostic,
    };
    diagnostic.render(false)
}

#[test]
fn faults_point_into_the_template() {
    insta::assert_snapshot!(fault("{.items[0}"), @"
    error: this bracket is never closed
     --> -o jsonpath:1:8
      |
    1 | {.items[0}
      |        ^
    ");
    insta::assert_snapshot!(fault("names:\n{range .items[*]}{.metadata.name{end}"), @"
    error: '{' cannot stand here
     --> -o jsonpath:2:33
      |
    2 | {range .items[*]}{.metadata.name{end}
      |                                 ^
    ");
    insta::assert_snapshot!(fault("{hello}"), @r#"
    error: "hello" is no keyword
     --> -o jsonpath:1:2
      |
    1 | {hello}
      |  ^^^^^
      |
      = help: a field starts with a dot (.hello), text stands in quotes ("hello")
    "#);
    insta::assert_snapshot!(fault("{.a}{end}"), @"
    error: there is no {range} that this could end
     --> -o jsonpath:1:5
      |
    1 | {.a}{end}
      |     ^^^^^
    ");
    insta::assert_snapshot!(fault("{.items[?(@.kind=~'N.*')]}"), @"
    error: regular expressions are not part of the dialect
     --> -o jsonpath:1:17
      |
    1 | {.items[?(@.kind=~'N.*')]}
      |                 ^^
      |
      = help: filter with jq: -o json | jq
    ");
    insta::assert_snapshot!(fault("{.items[?(@.status.capacity.cpu==4)]}"), @r#"
    error: the text "4" cannot be compared with the number 4
     --> -o jsonpath:1:11
      |
    1 | {.items[?(@.status.capacity.cpu==4)]}
      |           ^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: put the number in quotes
    "#);
    insta::assert_snapshot!(fault("{.items[?(@.kind<>'x')]}"), @r#"
    error: "<>" is no operator
     --> -o jsonpath:1:17
      |
    1 | {.items[?(@.kind<>'x')]}
      |                 ^^
      |
      = help: known are == != < <= > >=
    "#);
    insta::assert_snapshot!(fault("{.items[7].kind}"), @"
    error: there is no item 7: the list has 2
     --> -o jsonpath:1:8
      |
    1 | {.items[7].kind}
      |        ^^^
      |
      = help: a slice takes what there is: [7:8]
    ");
    insta::assert_snapshot!(fault("{.kind[0]}"), @r#"
    error: this needs a list, and what comes before it is the text "List"
     --> -o jsonpath:1:7
      |
    1 | {.kind[0]}
      |       ^^^
    "#);
    insta::assert_snapshot!(fault("{.items[?(@.status.addresses[*].address=='x')]}"), @"
    error: one value can be compared with one, and here are several
     --> -o jsonpath:1:11
      |
    1 | {.items[?(@.status.addresses[*].address=='x')]}
      |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    ");
}

#[test]
fn refuses_what_cannot_be_meant() {
    for template in [
        "{",
        "{.a",
        "{.a[",
        "{.a[]}",
        "{.a['b}",
        "{.a[?(]}",
        "{.a[?()]}",
        "{.a[?(@.b=='c]}",
        "{\"a}",
        "{'\\q'}",
        "{....a}",
        "{.a[1:2:0]}",
        "{.a[1:2:-1]}",
        "{.a[x]}",
        "{.a]}",
        "{-}",
        "{.a[99999999999999999999]}",
    ] {
        assert!(Template::parse("t", template).is_err(), "{template}");
    }
    let deep = "{range .items[*]}".repeat(100);
    assert!(Template::parse("t", &deep).is_err());
    assert!(Template::parse("t", &"[?(@.a".repeat(1000)).is_ok(), "text");
    assert!(Template::parse("t", &format!("{{{}", "[?(@".repeat(1000))).is_err());
    assert!(Template::parse("t", &"x".repeat(100_000)).is_err());
}

#[test]
fn single_expressions_come_in_any_dress() {
    for text in [
        "metadata.name",
        ".metadata.name",
        "{.metadata.name}",
        "{metadata.name}",
        "$.metadata.name",
        " .metadata.name ",
    ] {
        let template = Template::relaxed("--sort-by", text).unwrap();
        let object = json!({"metadata": {"name": "web"}});
        assert_eq!(template.values(&object).unwrap(), [&json!("web")], "{text}");
    }
    for text in ["", "{.a}{.b}", "{.a", ".a}"] {
        assert!(Template::relaxed("--sort-by", text).is_err(), "{text}");
    }
}

#[test]
fn costs_are_bounded() {
    let mut object = json!(1);
    for _ in 0..60 {
        object = json!({"a": object, "b": [1, 2]});
    }
    let template = Template::parse("t", "{..*..*..*..*..*..*}").unwrap();
    assert!(template.render(&object).unwrap_err().title.contains("looks at more than"));
}

proptest! {
    #[test]
    fn no_template_panics(text in "[ -~]{0,40}", braced in "[{}.\\[\\]?(@)'\"a0,:*$ =<!&|\\\\-]{0,40}") {
        for text in [&text, &braced, &format!("{{{braced}}}")] {
            if let Ok(template) = Template::parse("t", text) {
                let _ = template.render(&nodes());
            }
            if let Ok(template) = Template::relaxed("t", text) {
                let _ = template.values(&nodes());
            }
        }
    }
}
