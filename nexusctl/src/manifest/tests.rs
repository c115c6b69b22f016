//! Reading of manifests, hostile ones too: what is wrong, where, and at what cost.

use crate::manifest::{Diagnostic, Source, documents, yaml};
use insta::assert_snapshot;
use serde_json::json;
use std::{fmt::Write as _, sync::Arc};

fn faults(text: &str) -> String {
    let source = Arc::new(Source::new("web.yaml", text));
    let faults = documents(&[source]).expect_err("the manifest should be wrong");
    faults.iter().map(|f| f.render(false)).collect::<Vec<_>>().join("\n\n")
}

fn first_line(text: &str) -> String {
    let shown = faults(text);
    let lines: Vec<&str> = shown.lines().take(2).map(str::trim).collect();
    lines.join(" ")
}

#[test]
fn every_value_knows_its_place() {
    let text = "# é\nspec:\n  containers:\n  - name: wéb\n    image: x\n    args: [a, {b: 'c'}]\n";
    let nodes = yaml::parse(text).unwrap();
    let path = |p| {
        let found = nodes[0].locate(&crate::manifest::FieldPath::parse(p));
        let span = found.node.span;
        (found.matched, span.line, span.column, text.get(span.start..span.end).unwrap_or_default())
    };
    assert_eq!(path("spec.containers[0].name"), (4, 4, 11, "wéb"));
    assert_eq!(path("spec.containers[name=\"wéb\"].image"), (4, 5, 12, "x"));
    assert_eq!(path("spec.containers[0].args[1].b"), (6, 6, 19, "'c'"));
    assert_eq!(path("spec.containers[7].args").0, 2);
    assert_eq!(path("spec.nothing").0, 1);
}

#[test]
fn reads_what_kubernetes_clients_read() {
    let text = "a: 0644\nb: yes\nc: 1_000\nd: 0x1f\ne: ~\nf: 1.5\n1: true\ntrue: x\nbase: &b {x: 1}\nm: {<<: *b, y: 2}\n";
    assert_eq!(
        yaml::parse(text).unwrap()[0].to_value(),
        json!({"a": 420, "b": true, "c": 1000, "d": 31, "e": null, "f": 1.5, "1": true, "true": "x",
            "base": {"x": 1}, "m": {"x": 1, "y": 2}})
    );
    let surrogates = "{\"a\": \"\\ud83c\\udf89\\/\",\n\t\"b\": [1, 2.0e1, -3]}";
    assert_eq!(yaml::parse(surrogates).unwrap()[0].to_value(), json!({"a": "🎉/", "b": [1, 20.0, -3]}));
    assert_eq!(yaml::parse("---\n---\n# nothing\n---\na: 1\n...\n---\nb: 2\n").unwrap().len(), 2);
}

#[test]
fn syntax_errors_show_the_line() {
    assert_snapshot!(faults("kind: X\nmetadata:\n\tname: web\n"), @"
    error: tabs disallowed within this context (block indentation)
     --> web.yaml:3:2
      |
    3 |     name: web
      |     ^
      |
      = help: YAML is indented with spaces, never with tabs
    ");
    assert_snapshot!(faults("spec:\n  a: 1\n  b: 2\n  a: 3\n"), @"
    error: duplicate key `a`
     --> web.yaml:4:3
      |
    4 |   a: 3
      |   ^
      |
     ::: web.yaml:2:3
      |
    2 |   a: 1
      |   - it stands here first
    ");
    assert_snapshot!(faults("{kind: X, ä: {\"b\": 1, x: {b: 0}, b: [2]}, c: 0}\n"), @r#"
    error: duplicate key `b`
     --> web.yaml:1:34
      |
    1 | {kind: X, ä: {"b": 1, x: {b: 0}, b: [2]}, c: 0}
      |               ---                ^
      |               |
      |               it stands here first
    "#);
    assert_snapshot!(faults("a: &x {b: 1}\nc:\n  - <<: *x\n    d: 1\n    e: {d: 3}\n    \"d\": 2\n"), @r#"
    error: duplicate key `d`
     --> web.yaml:6:5
      |
    6 |     "d": 2
      |     ^^^
      |
     ::: web.yaml:4:5
      |
    4 |     d: 1
      |     - it stands here first
    "#);
    let long = faults(&format!("{{a: 1, b: {}, a: 2}}\n", "x".repeat(500)));
    assert!(
        long.contains(" --> web.yaml:1:513\n") && long.contains("it stands here first: line 1, column 2"),
        "{long}"
    );
    assert_snapshot!(faults("spec: [1, 2\nkind: X\n"), @"
    error: illegal placement of ':' indicator
     --> web.yaml:2:5
      |
    2 | kind: X
      |     ^
    ");
    assert_snapshot!(faults("spec: *nowhere\n"), @"
    error: this alias names no anchor of the document
     --> web.yaml:1:7
      |
    1 | spec: *nowhere
      |       ^
    ");
    assert_snapshot!(faults("a: !python/object:os.system x\n"), @"
    error: the tag `!python/object:os.system` means nothing in a manifest
     --> web.yaml:1:29
      |
    1 | a: !python/object:os.system x
      |                             ^
    ");
    assert_snapshot!(faults("a: .nan\n"), @"
    error: `.nan` has no form in JSON
     --> web.yaml:1:4
      |
    1 | a: .nan
      |    ^^^^
    ");
    assert_snapshot!(faults("a: \"unfinished\n"), @"
    error: invalid indentation in multiline quoted scalar
     --> web.yaml:2:1
      |
    2 |
      | ^
    ");
}

#[test]
fn objects_are_checked_as_far_as_they_can_be() {
    assert_snapshot!(faults("- a\n"), @"
    error: a manifest is a mapping with apiVersion and kind; this is a list
     --> web.yaml:1:1
      |
    1 | - a
      | ^
    ");
    assert_snapshot!(faults("apiVersion: v1\nKind: Secret\nmetadata: {name: x}\n"), @"
    error: kind is missing
     --> web.yaml:2:1
      |
    2 | Kind: Secret
      | ^^^^ did you mean `kind`?
    ");
    assert_snapshot!(faults("apiVersion: v1\nkind: Secret\nmetadata:\n  labels: {a: b}\n"), @"
    error: metadata.name is missing
     --> web.yaml:3:1
      |
    3 | metadata:
      | ^^^^^^^^
    ");
    assert_snapshot!(faults("apiVersion: v1\nkind: Secret\nmetadta:\n  name: web\n"), @"
    error: unknown field `metadta`
     --> web.yaml:3:1
      |
    3 | metadta:
      | ^^^^^^^ did you mean `metadata`?
    ");
    assert_snapshot!(faults("apiVersion: v1\nkind: Secret\nmetadata:\n  nmae: web\n"), @"
    error: unknown field `nmae`
     --> web.yaml:4:3
      |
    4 |   nmae: web
      |   ^^^^ did you mean `name`?
    ");
    assert_snapshot!(faults("apiVersion: v1\nkind: Secret\nmetadata:\n  name: 5\n"), @r#"
    error: metadata.name must be a string; this is a number
     --> web.yaml:4:9
      |
    4 |   name: 5
      |         ^ write it in quotes: "5"
    "#);
    assert_snapshot!(faults("apiVersion: v1\nkind: Secret\nmetadata: {generateName: x-}\n"), @"
    error: metadata.generateName cannot be applied: an object is applied to one that has a name
     --> web.yaml:3:1
      |
    3 | metadata: {generateName: x-}
      | ^^^^^^^^
    ");
    assert_snapshot!(faults("apiVersion: v1\nkind: Secret\nmetadata: {name: ../../nodes}\n"), @r#"
    error: metadata.name: "../../nodes" cannot be a name
     --> web.yaml:3:18
      |
    3 | metadata: {name: ../../nodes}
      |                  ^^^^^^^^^^^
    "#);
    assert_snapshot!(faults("apiVersion: v1\nkind: List\nitems: {}\n"), @"
    error: the items of a List must be a list
     --> web.yaml:1:1
      |
    1 | apiVersion: v1
      | ^
    ");
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let list = vec![format!("*a{}", level - 1); 9].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{list}]").unwrap();
    }
    assert_snapshot!(first_line(&bomb), @"error: aliases expand to more than 50000 nodes --> web.yaml:1:19");
    // A long text that is copied, not nodes.
    let mut copies = format!("a: &a |\n  {}\nb:\n", "x".repeat(1 << 20));
    copies.extend(std::iter::repeat_n("- *a\n", 2_000));
    assert_snapshot!(first_line(&copies), @"error: the documents hold more than 67108864 bytes of text --> web.yaml:2:3");
    assert_snapshot!(first_line(&"[".repeat(100_000)), @"error: nested deeper than 128 levels --> web.yaml:1:129");
    assert_snapshot!(first_line(&("a: ".to_owned() + &"{a: ".repeat(200) + &"}".repeat(200))), @"error: nested deeper than 128 levels --> web.yaml:1:512");
    let deep: String = (0..200).fold(String::new(), |mut text, level| {
        let _ = writeln!(text, "{}a:", " ".repeat(level));
        text
    });
    assert_snapshot!(first_line(&deep), @"error: nested deeper than 128 levels --> web.yaml:129:129");
    let large = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: x}}\nstringData: {{a: {}}}\n",
        "x".repeat(4 << 20)
    );
    assert_snapshot!(first_line(&large), @r#"error: Secret "x" is 4194385 bytes of JSON; an object has at most 3145728 --> web.yaml:1:1"#);
}

#[test]
fn a_recursive_alias_is_an_error() {
    assert!(faults("a: &a [*a]\n").starts_with("error: "));
}

#[test]
fn ten_thousand_lines_point_at_the_right_one() {
    let mut text = String::from("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n");
    for line in 0..10_000 {
        writeln!(text, "  key{line}: value").unwrap();
    }
    let source = Arc::new(Source::new("big.yaml", text.clone()));
    assert_eq!(documents(&[source]).unwrap().len(), 1);
    text.push_str("  key7777: again\n");
    assert_snapshot!(faults(&text), @"
    error: duplicate key `key7777`
         --> web.yaml:10005:3
          |
    10005 |   key7777: again
          |   ^^^^^^^
          |
         ::: web.yaml:7782:3
          |
     7782 |   key7777: value
          |   ------- it stands here first
    ");
}

#[test]
fn what_is_shown_is_harmless_and_short() {
    let source =
        Arc::new(Source::new("x.yaml", format!("a: {}\u{1b}[31m{}", "y".repeat(500), "z".repeat(500))));
    let span = crate::manifest::node::Span { line: 1, column: 504, start: 503, end: 508 };
    let shown = Diagnostic::at(&source, span, "bad \u{1b}]0;title\u{7}").render(false);
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
    assert!(shown.len() < 2_000, "{} bytes", shown.len());
    assert!(shown.contains("x.yaml:1:504"), "{shown}");
}

#[test]
fn bytes_that_are_not_text_have_a_place_too() {
    let mut stdin = std::io::Cursor::new(b"a: 1\nb: \xff\n".to_vec());
    let mut faults = crate::manifest::read_all(&["-".to_owned()], false, &mut stdin).unwrap_err();
    assert_eq!(Diagnostic::from(faults.remove(0)).title, "<stdin>:2:4: the byte 0xff is not UTF-8");
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "[-\\[\\]{}:,&*!|>'\"#%@ \\na-c0-9\\t]{0,60}") {
        let source = Arc::new(Source::new("x", text));
        if let Err(faults) = documents(&[source]) {
            for fault in faults {
                let _ = fault.render(true);
            }
        }
    }
}
