//! What is decided about a service as a whole: its record, its instances and what is told, from any state.

use super::build::build;
use super::dereference::{Held, Observed};
use super::member::{Member, Phase};
use super::object::Workload;
use super::reference::{Kind, Reference};
use super::revision::Record;
use super::service::{BATCH, Plan as ServicePlan, Recorded};
use super::validate::Valid;
use super::*;
use hypermesh_schemas::workload::WorkloadStatus;
use jiff::Timestamp;
use serde_json::json;

fn subject(spec: Value, status: Option<WorkloadStatus>) -> Subject<Workload> {
    let object = json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload", "spec": spec, "status": status,
        "metadata": {"name": "web", "namespace": "n", "uid": "u", "generation": 1, "resourceVersion": "7"}});
    let object = serde_json::from_value(object).unwrap();
    Subject { resource: workloads(), key: Key::namespaced("n", "web"), object }
}

fn made_of(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}})
}

fn observed(image: &str) -> Observed {
    let revision = template::revision(&made_of(image), &template::schema());
    Observed { now: at(1_000), revision, ..Observed::default() }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn plan(subject: &Subject<Workload>, observed: &Observed) -> ServicePlan {
    match build(subject, Valid::Service(observed.clone())) {
        Plan::Service(plan) => *plan,
        other => panic!("{other:?}"),
    }
}

fn record(number: i64, image: &str) -> Record {
    let revision = template::revision(&made_of(image), &template::schema());
    Record {
        name: template::revision_name("web", &revision),
        uid: revision.clone(),
        version: "1".to_owned(),
        number,
        revision,
        template: made_of(image),
        snapshots: Vec::new(),
        images: Vec::new(),
        since: Some(at(500)),
        created: None,
        leaving: false,
    }
}

fn serving(image: &str, ordinal: u64) -> Member {
    let revision = template::revision(&made_of(image), &template::schema());
    Member {
        name: template::instance_name("web", "u", &revision, ordinal, 0),
        uid: format!("{revision}{ordinal}"),
        revision,
        ordinal,
        created: at(1),
        node: Some("node".to_owned()),
        phase: Phase::Running,
        leaving: false,
        ready_since: Some(at(2)),
        restarts: 0,
        trouble: None,
        unpublished: None,
        images: vec![(
            "web".to_owned(),
            format!("docker.io/library/{image}"),
            format!("sha256:{}", "a".repeat(64)),
        )],
    }
}

#[test]
fn the_first_look_keeps_the_template_and_makes_instances_of_it() {
    let mut observed = observed("web:1");
    let reference = Reference { kind: Kind::ConfigMap, name: "settings".to_owned() };
    observed.held.insert(reference, Held::Data(json!({"data": {"a": "1"}})));
    let plan = plan(&subject(json!({"replicas": 2, "template": made_of("web:1")}), None), &observed);
    let Recorded::Create(name, object, 1) = &plan.record else { panic!("{:?}", plan.record) };
    assert_eq!((name, &object["data"]), (&format!("web-{}", observed.revision), &made_of("web:1")));
    assert_eq!((plan.create.len(), plan.copies.len()), (2, 1));
    let (name, instance) = &plan.create[1];
    assert_eq!(instance["metadata"]["name"], name.as_str());
    assert_eq!(instance["metadata"]["annotations"]["hypermesh.online/ordinal"], "1");
    assert_eq!(instance["metadata"]["labels"]["app"], "web");
    let words =
        build(&subject(json!({"replicas": 2, "template": made_of("web:1")}), None), Valid::Service(observed));
    assert!(words.to_string().contains("keep the template as revision 1, copy 1 objects"), "{words}");
}

#[test]
fn what_was_told_is_not_told_again() {
    let spec = json!({"replicas": 2, "template": made_of("web:1")});
    let mut observed = observed("web:1");
    observed.members = vec![serving("web:1", 0), serving("web:1", 1)];
    observed.records = vec![record(1, "web:1")];
    let first = plan(&subject(spec.clone(), None), &observed);
    assert!(matches!(first.record, Recorded::Revise(..)), "the images are noted: {:?}", first.record);
    assert_eq!(first.status.current_revision.as_ref(), Some(&observed.revision));
    observed.now = at(9_000);
    let second = plan(&subject(spec, Some(first.status.clone())), &observed);
    assert_eq!(second.status, first.status);
    assert_eq!((second.create.len(), second.delete.len(), second.again), (0, 0, None));
}

#[test]
fn a_template_that_waits_is_no_revision_yet() {
    let mut observed = observed("web:2");
    observed.members = vec![serving("web:1", 0)];
    observed.records = vec![record(1, "web:1")];
    let before = observed.records[0].revision.clone();
    let told = WorkloadStatus { current_revision: Some(before.clone()), ..WorkloadStatus::default() };
    let spec = json!({"replicas": 2, "template": made_of("web:2"), "rollout": {"paused": true}});
    let plan = plan(&subject(spec, Some(told)), &observed);
    assert_eq!(plan.record, Recorded::Keep);
    let [(_, more)] = plan.create.as_slice() else { panic!("{:?}", plan.create) };
    assert_eq!(
        (&more["spec"]["revision"], &more["spec"]["pod"]["containers"][0]["image"]),
        (&json!(before), &json!("web:1"))
    );
    assert_eq!(plan.status.current_revision, Some(before));
    let progressing =
        plan.status.conditions.iter().find(|condition| condition.kind == "Progressing").unwrap();
    assert_eq!(progressing.reason, "RolloutPaused");
}

#[test]
fn a_template_that_comes_back_is_the_newest_again_and_refers_to_what_there_is_now() {
    let mut observed = observed("web:1");
    observed.records = vec![record(1, "web:1"), record(2, "web:2")];
    observed.records[0].images =
        vec![revision::Image { container: "web".into(), image: "web:1".into(), digest: "sha256:old".into() }];
    let plan = plan(&subject(json!({"template": made_of("web:1")}), None), &observed);
    let Recorded::Revise(_, patch, 3) = &plan.record else { panic!("{:?}", plan.record) };
    assert_eq!(patch["metadata"]["annotations"]["hypermesh.online/images"], "[]");
    assert_eq!((&patch["revision"], &patch["metadata"]["resourceVersion"]), (&json!(3), &json!("1")));
}

#[test]
fn no_more_is_done_at_once_than_can_be_done_in_time() {
    let plan =
        plan(&subject(json!({"replicas": 10_000, "template": made_of("web:1")}), None), &observed("web:1"));
    assert_eq!((plan.create.len(), plan.again), (BATCH, Some(at(1_000))));
}

#[test]
fn a_port_that_is_somebody_elses_is_told_once_and_taken_back() {
    let subject = subject(json!({"replicas": 2, "template": made_of("a")}), None);
    let mut observed = observed("a");
    observed.members = vec![serving("a", 0), serving("a", 1)];
    let told = |observed: &Observed| {
        let conditions = plan(&subject, observed).status.conditions;
        let found = conditions.into_iter().find(|condition| condition.kind == member::PORTS);
        found.map(|found| (found.status, found.reason, found.message))
    };
    assert_eq!(told(&observed), None);
    let words = "on the node n1: port 80/tcp of the node was published by somebody else before";
    for member in &mut observed.members {
        member.unpublished = Some(("PortTaken".to_owned(), words.to_owned()));
    }
    let wanted =
        (hypermesh_schemas::condition::ConditionStatus::False, "PortTaken".to_owned(), words.to_owned());
    assert_eq!(told(&observed), Some(wanted));
    observed.members[0].leaving = true;
    observed.members[1].unpublished = None;
    assert_eq!(told(&observed), None);
}
