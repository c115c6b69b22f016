//! Each control at each level, in upstream's words.

use super::*;
use serde_json::{Value, json};

fn standard(level: &str, version: &str) -> Standard {
    let label = |name: &str| match name {
        "pod-security.kubernetes.io/enforce" => Some(level),
        "pod-security.kubernetes.io/enforce-version" => Some(version),
        _ => None,
    };
    let (policy, errors) = Policy::read(label);
    assert!(errors.is_empty(), "{errors:?}");
    policy.enforce
}

fn told(level: &str, version: &str, spec: &Value) -> String {
    details(&violations(standard(level, version), Pod { spec, publish: None }))
}

/// What passes at every level.
fn hardened() -> Value {
    json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "a", "image": "a", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
    })
}

/// A hardened pod with something else at a place.
fn with(place: &str, value: Value) -> Value {
    let mut pod = hardened();
    let (parent, field) = place.rsplit_once('/').unwrap();
    pod.pointer_mut(parent).unwrap()[field] = value;
    pod
}

/// What each level says of it: baseline, restricted.
type Row<'a> = (&'a str, Value, &'a str, &'a str);

fn rows() -> Vec<Row<'static>> {
    const SAME: &str = "=";
    let context = "/containers/0/securityContext";
    let own = |field: &str, value: Value| with(&format!("{context}/{field}"), value);
    vec![
        ("nothing", hardened(), "", ""),
        (
            "privileged",
            own("privileged", json!(true)),
            "privileged (container \"a\" must not set securityContext.privileged=true)",
            SAME,
        ),
        ("not privileged", own("privileged", json!(false)), "", ""),
        (
            "a usual capability",
            own("capabilities", json!({"drop": ["ALL"], "add": ["CHOWN"]})),
            "",
            "unrestricted capabilities (container \"a\" must not include \"CHOWN\" in securityContext.capabilities.add)",
        ),
        ("to bind", own("capabilities", json!({"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]})), "", ""),
        (
            "unusual capabilities",
            own("capabilities", json!({"drop": ["KILL"], "add": ["SYS_ADMIN", "NET_RAW", "KILL"]})),
            "non-default capabilities (container \"a\" must not include \"NET_RAW\", \"SYS_ADMIN\" in securityContext.capabilities.add)",
            "unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"]; container \"a\" must not include \"KILL\", \"NET_RAW\", \"SYS_ADMIN\" in securityContext.capabilities.add)",
        ),
        (
            "all capabilities",
            own("capabilities", json!({"drop": ["ALL"], "add": ["ALL"]})),
            "non-default capabilities (container \"a\" must not include \"ALL\" in securityContext.capabilities.add)",
            "unrestricted capabilities (container \"a\" must not include \"ALL\" in securityContext.capabilities.add)",
        ),
        (
            "capabilities kept",
            own("capabilities", Value::Null),
            "",
            "unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"])",
        ),
        (
            "paths of the node",
            with(
                "/volumes",
                json!([{"name": "v", "hostPath": {"path": "/"}}, {"name": "w", "hostPath": {"path": "/"}}]),
            ),
            "hostPath volumes (volumes \"v\", \"w\")",
            "restricted volume types (volumes \"v\", \"w\" use restricted volume type \"hostPath\")",
        ),
        (
            "usual volumes",
            with(
                "/volumes",
                json!([
                    {"name": "a", "emptyDir": {}}, {"name": "b", "configMap": {"name": "c"}},
                    {"name": "c", "secret": {"secretName": "s"}}, {"name": "d", "projected": {"sources": []}},
                ]),
            ),
            "",
            "",
        ),
        (
            "ports of the node",
            with("/containers/0/ports", json!([{"hostPort": 8080}, {"hostPort": 80}, {"containerPort": 1}])),
            "hostPort (container \"a\" uses hostPorts 80, 8080)",
            SAME,
        ),
        ("no port of the node", with("/containers/0/ports", json!([{"hostPort": 0}])), "", ""),
        (
            "probes elsewhere",
            with("/containers/0/livenessProbe", json!({"httpGet": {"host": "127.0.0.1", "port": 1}})),
            "probe or lifecycle host (container \"a\" uses probe or lifecycle host \"127.0.0.1\")",
            SAME,
        ),
        (
            "hooks elsewhere",
            with(
                "/containers/0/lifecycle",
                json!({"preStop": {"httpGet": {"host": "b", "port": 1}}, "postStart": {"httpGet": {"host": "a", "port": 1}}}),
            ),
            "probe or lifecycle host (container \"a\" uses probe or lifecycle hosts \"a\", \"b\")",
            SAME,
        ),
        ("probes here", with("/containers/0/startupProbe", json!({"tcpSocket": {"port": 1}})), "", ""),
        (
            "no filter for all",
            with("/securityContext/seccompProfile", json!({"type": "Unconfined"})),
            "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
            SAME,
        ),
        (
            "no filter for one",
            own("seccompProfile", json!({"type": "Unconfined"})),
            "seccompProfile (container \"a\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
            SAME,
        ),
        (
            "its own filter",
            own("seccompProfile", json!({"type": "Localhost", "localhostProfile": "a"})),
            "",
            "",
        ),
        (
            "a filter unsaid",
            with("/securityContext/seccompProfile", Value::Null),
            "",
            "seccompProfile (pod or container \"a\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
        ),
        (
            "escalation unsaid",
            own("allowPrivilegeEscalation", Value::Null),
            "",
            "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false)",
        ),
        (
            "escalation",
            own("allowPrivilegeEscalation", json!(true)),
            "",
            "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false)",
        ),
        (
            "who runs unsaid",
            with("/securityContext/runAsNonRoot", Value::Null),
            "",
            "runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true)",
        ),
        (
            "root may run",
            own("runAsNonRoot", json!(false)),
            "",
            "runAsNonRoot != true (container \"a\" must not set securityContext.runAsNonRoot=false)",
        ),
        (
            "root may run, though a container says it must not",
            {
                let mut pod = own("runAsNonRoot", json!(true));
                pod["securityContext"]["runAsNonRoot"] = false.into();
                pod
            },
            "",
            "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
        ),
        (
            "root runs",
            {
                let mut pod = own("runAsUser", json!(0));
                pod["securityContext"]["runAsUser"] = 0.into();
                pod
            },
            "",
            "runAsUser=0 (pod and container \"a\" must not set runAsUser=0)",
        ),
        ("somebody runs", own("runAsUser", json!(1000)), "", ""),
    ]
}

#[test]
fn each_level_has_its_controls() {
    for (name, spec, baseline, restricted) in rows() {
        assert_eq!(told("privileged", "latest", &spec), "", "{name} at privileged");
        assert_eq!(told("baseline", "latest", &spec), baseline, "{name} at baseline");
        let restricted = if restricted == "=" { baseline } else { restricted };
        assert_eq!(told("restricted", "latest", &spec), restricted, "{name} at restricted");
        // What prepares is no better than what runs: and comes first where upstream names both.
        let mut twice = spec.clone();
        let mut init = spec["containers"][0].clone();
        init["name"] = "i".into();
        twice["initContainers"] = json!([init]);
        for level in ["baseline", "restricted"] {
            let (once, both) = (told(level, "latest", &spec), told(level, "latest", &twice));
            assert_eq!(both.is_empty(), once.is_empty(), "{name} at {level}");
            if once.contains("container \"a\"") && !once.contains("probe") {
                assert!(both.contains("containers \"i\", \"a\""), "{both}");
            }
        }
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once_and_in_order() {
    let bare = json!({"containers": [{"name": "a"}, {"name": "b", "securityContext": {"privileged": true}}]});
    insta::assert_snapshot!(told("restricted", "latest", &bare), @r#"privileged (container "b" must not set securityContext.privileged=true), allowPrivilegeEscalation != false (containers "a", "b" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers "a", "b" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or containers "a", "b" must set securityContext.runAsNonRoot=true), seccompProfile (pod or containers "a", "b" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#);
    let found = violations(standard("restricted", "latest"), Pod { spec: &bare, publish: None });
    insta::assert_snapshot!(reasons(&found), @"privileged, allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile");
}

#[test]
fn ports_for_the_world_are_ports_of_the_node() {
    let spec = hardened();
    let publish = json!([
        {"port": 443, "privacy": "FullPublic"}, {"port": 80, "privacy": "FullPublic"},
        {"port": 81, "privacy": "Private"}, {"port": 82},
    ]);
    let of = |level: &str| {
        details(&violations(standard(level, "latest"), Pod { spec: &spec, publish: Some(&publish) }))
    };
    assert_eq!(of("privileged"), "");
    let told = "public ports (publish must not open ports 443, 80 of the node with privacy=FullPublic)";
    assert_eq!((of("baseline").as_str(), of("restricted").as_str()), (told, told));
}

#[test]
fn a_version_has_the_controls_of_its_time() {
    let bare = json!({"containers": [{"name": "a", "livenessProbe": {"httpGet": {"host": "b"}},
        "securityContext": {"runAsUser": 0, "seccompProfile": {"type": "Unconfined"}, "capabilities": {"add": ["NET_RAW"]}}}]});
    let of = |version: &str| {
        let found = violations(standard("restricted", version), Pod { spec: &bare, publish: None });
        reasons(&found)
    };
    assert_eq!(of("v1.0"), "non-default capabilities, runAsNonRoot != true");
    assert_eq!(
        of("v1.8"),
        "non-default capabilities, allowPrivilegeEscalation != false, runAsNonRoot != true"
    );
    assert_eq!(
        of("v1.19"),
        "non-default capabilities, allowPrivilegeEscalation != false, runAsNonRoot != true, seccompProfile"
    );
    assert_eq!(
        of("v1.22"),
        "allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, seccompProfile"
    );
    assert_eq!(
        of("v1.23"),
        "allowPrivilegeEscalation != false, unrestricted capabilities, runAsNonRoot != true, runAsUser=0, seccompProfile"
    );
    let newest = "probe or lifecycle host, allowPrivilegeEscalation != false, unrestricted capabilities, \
                  runAsNonRoot != true, runAsUser=0, seccompProfile";
    for version in ["v1.34", "v1.999", "latest"] {
        assert_eq!(of(version), newest, "{version}");
    }
}

#[test]
fn labels_that_cannot_be_read_forbid_the_most_and_warn_of_nothing() {
    let read = |pairs: &[(&str, &str)]| {
        let label = |name: &str| {
            let short = name.strip_prefix("pod-security.kubernetes.io/")?;
            pairs.iter().find(|(key, _)| *key == short).map(|(_, value)| *value)
        };
        let (policy, errors) = Policy::read(label);
        let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
        (format!("{} {} {}", policy.enforce, policy.audit, policy.warn), words)
    };
    let open = "privileged:latest privileged:latest privileged:latest";
    assert_eq!(read(&[]), (open.to_owned(), vec![]));
    let says = |pairs: &[(&str, &str)]| read(pairs).0;
    // Who is refused is warned, unless something else is asked for.
    assert_eq!(says(&[("enforce", "baseline")]), "baseline:latest privileged:latest baseline:latest");
    let older = [("enforce", "baseline"), ("enforce-version", "v1.20")];
    assert_eq!(says(&older), "baseline:v1.20 privileged:latest baseline:v1.20");
    let own = [("enforce", "baseline"), ("warn", "privileged"), ("audit", "restricted")];
    assert_eq!(says(&own), "baseline:latest restricted:latest privileged:latest");
    let (policy, errors) =
        read(&[("enforce", "Baseline"), ("audit", "all"), ("warn", ""), ("warn-version", "1.2")]);
    assert_eq!(policy, "restricted:latest privileged:latest privileged:latest");
    insta::assert_snapshot!(errors.join("\n"), @r#"
    metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "Baseline": must be one of privileged, baseline, restricted
    metadata.labels[pod-security.kubernetes.io/audit]: Invalid value: "all": must be one of privileged, baseline, restricted
    metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: "": must be one of privileged, baseline, restricted
    metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: "1.2": must be "latest" or "v1.x"
    "#);
    for version in ["v1.", "v1.01", "v1.+1", "v2.0", "v1.4294967296", "v1.1.1", "Latest"] {
        assert_eq!(read(&[("audit-version", version)]).1.len(), 1, "{version}");
    }
    assert_eq!(read(&[("audit-version", "v1.0"), ("warn-version", "v1.10")]).1, Vec::<String>::new());
}

#[test]
fn nonsense_is_judged_too() {
    for spec in [json!(null), json!({"containers": 1, "volumes": [1], "securityContext": []}), json!([])] {
        let _ = told("restricted", "latest", &spec);
    }
}
