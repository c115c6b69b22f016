//! Conversion of manifests as people have them: what comes out is valid, and what is lost is told.

use super::*;
use crate::{manifest, offline::Finding};
use std::sync::Arc;

fn read(name: &str, text: &str) -> Vec<Document> {
    manifest::documents(&[Arc::new(manifest::Source::new(name, text))]).unwrap()
}

/// Everything that a conversion says and makes.
fn told(name: &str, text: &str) -> String {
    let mut kinds = Kinds::default();
    let documents = read(name, text);
    let conversion = convert(&documents, "default", &mut kinds);
    let mut out = String::new();
    for converted in &conversion.objects {
        for source in &converted.made_of {
            out += &format!("# from {source}\n");
        }
        let yaml = crate::output::yaml::to_string(&converted.object);
        out += &format!("{yaml}---\n");
        // What comes out is what a server takes.
        for document in read("out.yaml", &yaml) {
            if let Finding::Invalid(faults) = kinds.judge(&document) {
                let shown: Vec<String> = faults.iter().map(|fault| fault.render(false)).collect();
                panic!("{name}: not valid: {}\n{yaml}", shown.join("\n"));
            }
        }
    }
    for fault in &conversion.failed {
        out += &format!("FAILED {}\n", fault.title);
    }
    for note in &conversion.notes {
        let line = note.diagnostic.place.as_ref().map_or(0, |(_, span)| span.line);
        out += &format!("{}{line}: {}\n", if note.lost { "lost " } else { "" }, note.diagnostic.title);
    }
    out
}

macro_rules! manifests {
    ($($test:ident: $file:literal,)*) => {$(
        #[test]
        fn $test() {
            let text = include_str!(concat!("../../tests/kubernetes/", $file));
            insta::assert_snapshot!(stringify!($test), told($file, text));
        }
    )*};
}

manifests! {
    guestbook: "guestbook.yaml",
    postgres: "postgres.yaml",
    node_exporter: "node-exporter.yaml",
    jobs: "jobs.yaml",
    site: "site.yaml",
    policies: "policies.yaml",
}

#[test]
fn the_examples_lose_nothing_silently() {
    let web = include_str!("../../../examples/kubernetes/web.yaml");
    insta::assert_snapshot!("example_web", told("web.yaml", web));
    let nightly = include_str!("../../../examples/kubernetes/nightly.yaml");
    insta::assert_snapshot!("example_nightly", told("nightly.yaml", nightly));
}

#[test]
fn what_cannot_be_made_valid_is_not_made() {
    let dotted = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web.example}\nspec: {template: {spec: {containers: [{name: a, image: b}]}}}\n";
    insta::assert_snapshot!(told("x.yaml", dotted), @r#"FAILED Deployment "web.example" cannot be converted: metadata.name: Invalid value: "web.example": must not contain dots"#);
    let empty = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n";
    insta::assert_snapshot!(told("x.yaml", empty), @r#"FAILED Deployment "web" cannot be converted: spec.template.spec: Required value"#);
}

#[test]
fn every_field_is_carried_or_told() {
    // Fields of the future, at every level.
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, novel: 1}\nspec:\n  novel: {a: 1}\n  strategy: {novel: 1}\n  template:\n    metadata: {novel: 1}\n    spec:\n      novel: 1\n      containers:\n      - {name: a, image: b, novel: 1, resources: {novel: [1]}}\n";
    let told = told("x.yaml", text);
    for path in [
        "metadata.novel",
        "spec.novel",
        "spec.strategy.novel",
        "spec.template.metadata.novel",
        "spec.template.spec.novel",
        "spec.template.spec.containers[0].novel",
        "spec.template.spec.containers[0].resources.novel",
    ] {
        assert!(told.contains(&format!(": {path}: has no counterpart")), "{path} is lost silently:\n{told}");
    }
}

#[test]
fn what_is_of_a_wrong_type_is_told() {
    let of = |kind: &str, spec: &str| {
        let group = if kind == "Deployment" { "apps/v1" } else { "networking.k8s.io/v1" };
        let spec = spec.replace("TEMPLATE", "template: {spec: {containers: [{name: a, image: b}]}}");
        told(
            "x.yaml",
            &format!("apiVersion: {group}\nkind: {kind}\nmetadata: {{name: web}}\nspec: {{{spec}}}\n"),
        )
    };
    for (kind, spec, wanted) in [
        ("Deployment", "TEMPLATE, strategy: Recreate", "spec.strategy: must be a mapping; this is a string"),
        (
            "Deployment",
            "TEMPLATE, strategy: {type: 1}",
            "spec.strategy.type: must be a string; this is a number",
        ),
        (
            "Deployment",
            "TEMPLATE, strategy: {rollingUpdate: [1]}",
            "rollingUpdate: must be a mapping; this is a list",
        ),
        (
            "Deployment",
            "TEMPLATE, minReadySeconds: '5'",
            "minReadySeconds: must be a whole number, 0 or more",
        ),
        ("NetworkPolicy", "policyTypes: Ingress", "spec.policyTypes: must be a list; this is a string"),
        ("NetworkPolicy", "policyTypes: [1]", "spec.policyTypes[0]: must be a string; this is a number"),
        ("NetworkPolicy", "ingress: [x]", "spec.ingress[0]: must be a mapping; this is a string"),
        ("NetworkPolicy", "ingress: [{from: x}]", "spec.ingress[0].from: must be a list; this is a string"),
        (
            "NetworkPolicy",
            "ingress: [{ports: [80]}]",
            "spec.ingress[0].ports[0]: must be a mapping; this is a number",
        ),
        ("Ingress", "rules: {}", "spec.rules: must be a list; this is a mapping"),
        ("Ingress", "rules: [{host: 1, http: {paths: [{}]}}]", "spec.rules[0].host: must be a string"),
    ] {
        let told = of(kind, spec);
        assert!(told.contains(wanted) && told.contains("lost "), "{spec}:\n{told}");
        // What cannot be read must not allow what it was there to forbid.
        assert!(!told.contains("ingress:\n    - {}") && !told.contains("endPort"), "{told}");
    }
}

#[test]
fn a_manifest_that_nothing_comes_of_is_told() {
    let ingress = |spec: &str| {
        format!("apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web}}\n{spec}")
    };
    let nothing = "lost 4: Ingress \"web\": nothing comes of it\n";
    assert_eq!(told("x.yaml", &ingress("spec: {}\n")), nothing);
    assert!(told("x.yaml", &ingress("")).ends_with(": Ingress \"web\": nothing comes of it\n"));
    let leads_nowhere = told("x.yaml", &ingress("spec:\n  rules: [{host: www.example.com}]\n"));
    assert!(leads_nowhere.contains(": spec.rules[0]: without paths it leads nowhere"), "{leads_nowhere}");
    let service = told("x.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n");
    assert!(service.starts_with("lost ") && service.lines().count() == 1, "{service}");
}

#[test]
fn a_volume_whose_name_is_no_text_is_told_as_such() {
    let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    spec:\n      volumes: [{name: n, emptyDir: {}}]\n      containers:\n      - {name: a, image: b, volumeMounts: [{name: n, mountPath: /x}]}\n";
    let told = told("x.yaml", text);
    for path in ["volumes[0].name", "containers[0].volumeMounts[0].name"] {
        let wanted = format!("spec.template.spec.{path} in body must be of type string");
        assert!(told.contains(&wanted), "{told}");
    }
    assert!(!told.contains("is left out"), "{told}");
}

#[test]
fn a_pause_and_a_token_that_is_not_wanted_are_carried() {
    let text = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: bare}\nautomountServiceAccountToken: false\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  paused: true\n  template: {spec: {POD containers: [{name: a, image: b}]}}\n";
    let of = |pod: &str| told("x.yaml", &text.replace("POD", pod));
    let (own, of_account) = (of("automountServiceAccountToken: false,"), of("serviceAccountName: bare,"));
    for told in [&own, &of_account] {
        assert!(told.contains("paused: true") && !told.contains("lost "), "{told}");
        let workload = told.split("---").nth(1).unwrap();
        assert!(workload.contains("automountServiceAccountToken: false"), "{told}");
    }
    let asks = of("serviceAccountName: bare, automountServiceAccountToken: true,");
    assert!(asks.split("---").nth(1).unwrap().contains("automountServiceAccountToken: true"), "{asks}");
    assert!(
        !of("").split("---").nth(1).unwrap().contains("automount"),
        "another account's word does not count"
    );
}

proptest::proptest! {
    // Each case compiles the kinds anew.
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(16))]

    #[test]
    fn no_manifest_breaks_it(seed in proptest::collection::vec((0..8_usize, 0..12_usize), 0..6)) {
        // Real manifests with values put where they do not belong.
        let mut text = include_str!("../../tests/kubernetes/site.yaml").to_owned();
        let values = ["null", "[]", "{}", "1", "x", "[1]", "{a: 1}", "[{name: 1}]"];
        let places = ["{app: site}", "8080", "[{name: http, containerPort: 8080}]", "LoadBalancer", "{name: http}",
            "[www.example.com, api.example.com]", "site-tls", "www.example.com", "{number: 9000}", "Prefix", "nginx", "[{port: 9000, targetPort: 9000}]"];
        for (value, place) in seed {
            text = text.replacen(places[place], values[value], 1);
        }
        let source = Arc::new(manifest::Source::new("x.yaml", text));
        if let Ok(documents) = manifest::documents(&[source]) {
            let _ = convert(&documents, "default", &mut Kinds::default());
        }
    }
}

#[test]
fn schedules_that_are_no_crontab_are_put_into_words_of_it_or_told() {
    let cron_job = |schedule: &str| {
        format!(
            "apiVersion: batch/v1\nkind: CronJob\nmetadata: {{name: c}}\nspec:\n  schedule: \"{schedule}\"\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          restartPolicy: Never\n          containers: [{{name: c, image: \"c:1\"}}]\n"
        )
    };
    let midnight = told("c.yaml", &cron_job("@midnight"));
    assert!(midnight.contains("cron: '@daily'") || midnight.contains("cron: \"@daily\""), "{midnight}");
    assert!(!midnight.contains("lost") && !midnight.contains("suspend"), "{midnight}");
    let every = told("c.yaml", &cron_job("@every 1h"));
    assert!(every.contains("lost 5: ") && every.contains("not so long after each other"), "{every}");
    // It runs at no time that nobody asked for.
    assert!(every.contains("suspend: true"), "{every}");
}
