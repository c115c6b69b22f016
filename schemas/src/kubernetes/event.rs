//! `core/v1` Event.

use super::schema::{Node, object_reference};
use super::{built_in, column};
use crate::definition::{Hook, KindDefinition, PrinterColumn, Scope, Strategy};

pub(super) fn definition() -> KindDefinition {
    let mut kind = built_in("", Scope::Namespaced, "Event", "events", schema());
    kind.names.short_names = vec!["ev".to_owned()];
    kind.printer_columns = columns();
    kind.selectable_fields = [
        ".involvedObject.kind",
        ".involvedObject.namespace",
        ".involvedObject.name",
        ".involvedObject.uid",
        ".involvedObject.apiVersion",
        ".involvedObject.resourceVersion",
        ".involvedObject.fieldPath",
        ".reason",
        ".reportingComponent",
        ".source.component",
        ".type",
    ]
    .map(str::to_owned)
    .into();
    kind.strategy = Strategy {
        unconditional_update: true,
        create_on_update: true,
        hooks: vec![Hook::Event],
        ..kind.strategy
    };
    kind
}

fn schema() -> Node {
    let series = Node::object(
        "Repetitions of the event.",
        [
            ("count", Node::int32("How often it has happened until lastObservedTime.")),
            ("lastObservedTime", Node::time("When it last happened.").nullable()),
        ],
    );
    let source = Node::object(
        "The component that reported the event.",
        [("component", Node::string("Its name.")), ("host", Node::string("The node that it runs on."))],
    );
    Node::object(
        "An Event reports that something happened to an object. It is kept for a while and drives nothing.",
        [
            ("action", Node::string("What was done or failed.")),
            ("count", Node::int32("How often it has happened.")),
            ("eventTime", Node::time("When it first happened, to the microsecond.").nullable()),
            ("firstTimestamp", Node::time("When it first happened.").nullable()),
            ("involvedObject", object_reference("The object that the event is about.")),
            ("lastTimestamp", Node::time("When it last happened.").nullable()),
            ("message", Node::string("What happened, in words for people.")),
            ("reason", Node::string("What happened, in one CamelCase word for programs.")),
            ("related", object_reference("A second object that took part.")),
            ("reportingComponent", Node::string("The controller that reported it.")),
            ("reportingInstance", Node::string("The instance of the controller that reported it.")),
            ("series", series.nullable()),
            ("source", source),
            ("type", Node::string("Normal or Warning.")),
        ],
    )
    .required(["involvedObject"])
}

/// As `kubectl get events` has them: nothing is added before or after.
fn columns() -> Vec<PrinterColumn> {
    let last_seen = "first(.series.lastObservedTime, .lastTimestamp, .eventTime)";
    vec![
        column("Last Seen", "date", last_seen, 0, "When it last happened."),
        column("Type", "string", ".type", 0, "Normal or Warning."),
        column("Reason", "string", ".reason", 0, "What happened, in one word."),
        column(
            "Object",
            "string",
            "reference(.involvedObject.kind, .involvedObject.name)",
            0,
            "What it is about.",
        ),
        column(
            "Subobject",
            "string",
            ".involvedObject.fieldPath",
            1,
            "The part of the object that is meant.",
        ),
        column("Source", "string", "first(.source.component, .reportingComponent)", 1, "Who reported it."),
        column("Message", "string", ".message", 0, "What happened, in words."),
        column("First Seen", "date", "first(.firstTimestamp, .eventTime)", 1, "When it first happened."),
        column("Count", "string", "first(.series.count, .count)", 1, "How often it has happened."),
        column("Name", "string", ".metadata.name", 1, "Name of the event."),
    ]
}
