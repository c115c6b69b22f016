//! What `explain` shows as an example, given to a server as it stands.

use super::Place;
use nexusctl::{
    Environment, Session, Streams, cli::GlobalOptions, commands::explain, discovery::Resource, schema::Schema,
};
use serde_json::Value;
use std::io;

/// Fields that people write and that have no example: what is refused wherever it stands, what the recorders of events
/// write, what only an account that is there has, and requests, which hold what cannot be guessed.
const WITHOUT: [&str; 4] = [
    "Workload.spec.template.spec.containers.restartPolicy",
    "Event.eventTime",
    "Identity.spec.uid",
    "CertificateSigningRequest",
];
/// Fields of `metadata` that have one.
const OF_METADATA: [&str; 6] =
    ["name", "namespace", "labels", "annotations", "finalizers", "ownerReferences"];

/// A field, and the manifest that it is explained by.
type Example = (Vec<String>, Option<Value>);

/// Kinds that manifests are kept of, with what is shown for each of their fields.
fn shown(place: &Place) -> Vec<(Resource, Vec<Example>)> {
    let options = GlobalOptions { kubeconfig: Some(place.kubeconfig.clone()), ..GlobalOptions::default() };
    let streams = Streams {
        input: Box::new(io::empty()),
        out: Box::new(io::sink()),
        err: Box::new(io::sink()),
        out_color: false,
        err_color: false,
        out_width: None,
        err_width: None,
        reader: None,
    };
    let mut session = Session::new(options, Environment::default(), streams);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let discovery = session.discovery().await.unwrap();
        let client = session.client().unwrap();
        let mut all = Vec::new();
        for resource in &discovery.resources {
            let kept = ["create", "patch"].iter().all(|verb| resource.verbs.iter().any(|v| v == verb));
            let schema = Schema::find(&client, resource).await;
            let examples = explain::examples(&schema.unwrap(), resource);
            assert!(kept || examples.iter().all(|(_, example)| example.is_none()), "{}", resource.kind);
            if kept {
                all.push((resource.clone(), examples));
            }
        }
        all
    })
}

/// Whether people write the field.
fn is_for_people(resource: &Resource, fields: &[String]) -> bool {
    let path = format!("{}.{}", resource.kind, fields.join("."));
    match fields.split_first() {
        _ if WITHOUT.iter().any(|without| path.starts_with(without)) => false,
        Some((first, below)) if first == "metadata" => below.first().is_none_or(|field| {
            OF_METADATA.contains(&field.as_str()) && (field != "namespace" || resource.namespaced)
        }),
        Some((first, _)) => !["apiVersion", "kind", "status"].contains(&first.as_str()),
        None => true,
    }
}

#[test]
fn a_server_takes_what_explain_shows() {
    let place = Place::new(false);
    let mut faults = Vec::new();
    let (mut files, mut count) = (vec![String::new()], 0);
    for (resource, examples) in shown(&place) {
        for (fields, example) in examples {
            let Some(mut example) = example else {
                if is_for_people(&resource, &fields) {
                    faults.push(format!("{} {}: no example", resource.kind, fields.join(".")));
                }
                continue;
            };
            count += 1;
            // Each is an object of its own; where the name says something, in a file of its own.
            let file = if example["metadata"]["name"] == "example" {
                example["metadata"]["name"] = format!("example-{count}").into();
                0
            } else {
                files.push(String::new());
                files.len() - 1
            };
            files[file] += &format!("# {} {}\n{example}\n---\n", resource.kind, fields.join("."));
        }
    }
    assert!(count > 800, "{count} examples");
    for text in files {
        std::fs::write(place.folder.path().join("shown.yaml"), text).unwrap();
        let (ok, text) = place.shell("nexusctl apply -f shown.yaml --dry-run=server -o name > /dev/null");
        if !ok {
            faults.push(text);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
