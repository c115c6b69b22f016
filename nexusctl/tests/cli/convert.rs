//! `convert` and `validate` as people call them.

use super::{run_with, server::Server};
use insta::assert_snapshot;

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      hostNetwork: true
      containers:
      - {name: web, image: example.com/web:1}
";

#[test]
fn converted_manifests_say_what_was_lost() {
    let ran = run_with("convert -f -", DEPLOYMENT);
    assert_eq!(ran.code, 0);
    assert_snapshot!(ran.out, @r#"
    # from <stdin>:1:1 Deployment "web"
    # spec.template.spec.hostNetwork: instances have addresses of their own, never the node's
    apiVersion: hypermesh.online/v1
    kind: Workload
    metadata:
      name: web
    spec:
      template:
        spec:
          containers:
          - image: example.com/web:1
            name: web
    "#);
    assert_snapshot!(ran.err, @"
    warning: spec.template.spec.hostNetwork: instances have addresses of their own, never the node's
     --> <stdin>:7:7
      |
    7 |       hostNetwork: true
      |       ^^^^^^^^^^^

    1 thing is lost: look at the output before you apply it
    ");
    let strict = run_with("convert --strict --quiet -f -", DEPLOYMENT);
    assert_eq!((strict.code, strict.err.as_str()), (1, ""));
    assert_eq!(run_with("validate -f -", &ran.out).out, "1 valid\n");
    assert_eq!(run_with("convert -f - -o name --quiet", DEPLOYMENT).out, "workload/web\n");
}

#[test]
fn applying_a_foreign_kind_names_the_way() {
    let server = Server::start();
    let ran = server.run_with("apply -f -", DEPLOYMENT);
    assert_eq!(ran.code, 1);
    assert_snapshot!(ran.err, @"
    error: the server serves nothing of apiVersion `apps/v1`
     --> <stdin>:1:13
      |
    1 | apiVersion: apps/v1
      |             ^^^^^^^
      |
      = help: `nexusctl convert -f -` makes it one of our kinds, and tells what it cannot carry

    nothing was sent
    ");
    assert!(server.writes().is_empty());
}

#[test]
fn validates_without_a_server() {
    let quickstart = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart");
    let ran = run_with(&format!("validate -f {quickstart}"), "");
    assert_eq!((ran.code, ran.err.as_str(), ran.out.as_str()), (0, "", "5 valid\n"));
    let wrong = "apiVersion: hypermesh.online/v1
kind: Workload
metadata: {name: web, lables: {a: b}}
spec:
  replicas: many
  template:
    spec:
      containers:
      - {name: web, imagee: x}
---
apiVersion: hypermesh.online/v1
kind: Network
metadata: {name: A_b}
spec: {interface: Privat}
---
apiVersion: v1
kind: Secret
metadata: {name: s}
data: {a: '***'}
---
apiVersion: example.com/v1
kind: Thing
metadata: {name: t}
";
    let ran = run_with("validate -f -", wrong);
    assert_eq!(ran.code, 1);
    assert_snapshot!(ran.out, @"0 valid, 3 wrong, 1 of unknown kinds");
    assert_snapshot!(ran.err, @r#"
    error: unknown field `metadata.lables`
     --> <stdin>:3:23
      |
    3 | metadata: {name: web, lables: {a: b}}
      |                       ^^^^^^

    error: unknown field `spec.template.spec.containers[0].imagee`
     --> <stdin>:9:21
      |
    9 |       - {name: web, imagee: x}
      |                     ^^^^^^ did you mean `image`?

    error: spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"
     --> <stdin>:5:13
      |
    5 |   replicas: many
      |             ^^^^

    error: spec.template.spec.containers[0].image: Required value
     --> <stdin>:9:9
      |
    9 |       - {name: web, imagee: x}
      |         ^

    error: metadata.name: Invalid value: "A_b": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
      --> <stdin>:13:18
       |
    13 | metadata: {name: A_b}
       |                  ^^^

    error: spec.interface: Unsupported value: "Privat": supported values: "Private", "Ephemeral", "Public"
      --> <stdin>:14:19
       |
    14 | spec: {interface: Privat}
       |                   ^^^^^^
       |
       = help: did you mean `Private`?

    error: data[a]: Invalid value: "<redacted>": must be base64: illegal base64 data at input byte 0
      --> <stdin>:19:11
       |
    19 | data: {a: '***'}
       |           ^^^^^

    warning: nothing of apiVersion `example.com/v1` is known here: not judged
      --> <stdin>:21:13
       |
    21 | apiVersion: example.com/v1
       |             ^^^^^^^^^^^^^^
       |
       = help: only a server that serves it can judge it: nexusctl apply --dry-run
    "#);
    let json = run_with(
        "validate -f - -o json",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: '***'}\n",
    );
    assert_eq!((json.code, json.err.as_str()), (1, ""));
    assert_snapshot!(json.out, @r#"
    {
        "counts": {
            "invalid": 1,
            "unknown": 0,
            "valid": 0
        },
        "findings": [
            {
                "apiVersion": "v1",
                "column": 11,
                "file": "<stdin>",
                "kind": "Secret",
                "line": 4,
                "message": "data[a]: Invalid value: \"<redacted>\": must be base64: illegal base64 data at input byte 0",
                "name": "s",
                "status": "Invalid"
            }
        ]
    }
    "#);
    let thing = "apiVersion: example.com/v1\nkind: Thing\nmetadata: {generateName: t-}\n";
    assert_eq!(run_with("validate -f -", thing).code, 0);
    assert_eq!(run_with("validate --strict -f -", thing).code, 1);
    assert_snapshot!(run_with("validate -f -", "a: [\n").err, @"
    error: unclosed bracket '['
     --> <stdin>:1:4
      |
    1 | a: [
      |    ^
    ");
}

#[test]
fn a_mistyped_kind_is_wrong_with_and_without_a_server() {
    let server = Server::start();
    let of =
        |version: &str, kind: &str| format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n");
    let mistyped = of("hypermesh.online/v1", "Workloda");
    let offline = run_with("validate -f -", &mistyped);
    assert_eq!((offline.code, offline.out.as_str()), (1, "0 valid, 1 wrong\n"));
    assert_snapshot!(offline.err, @"
    error: unknown kind `Workloda` in hypermesh.online/v1
     --> <stdin>:2:7
      |
    2 | kind: Workloda
      |       ^^^^^^^^ did you mean `Workload`?
    ");
    let online = server.run_with("apply -f -", &mistyped).err;
    assert_eq!(online, offline.err + "nothing was sent\n");
    for (version, kind, hint) in [
        ("hypermesh.online/v2", "Workload", "did you mean `hypermesh.online/v1`?"),
        ("v1", "Workload", "`Workload` is a kind of hypermesh.online/v1"),
    ] {
        let ran = run_with("validate -f -", &of(version, kind));
        assert!(ran.code == 1 && ran.err.contains(hint), "{}", ran.err);
    }
    // What may be somebody's own kind, and what `convert` takes, is no mistake.
    for (version, kind) in
        [("example.com/v1", "Thing"), ("hypermesh.online/v1", "Zebra"), ("apps/v1", "Deployment")]
    {
        let ran = run_with("validate -f -", &of(version, kind));
        assert!(ran.code == 0 && ran.out == "0 valid, 1 of unknown kinds\n", "{kind}: {}", ran.out);
    }
}
