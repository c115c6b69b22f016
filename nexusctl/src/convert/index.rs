//! Which workloads there are, by the labels of their pods: what Services, policies and affinities select.

use super::pieces::Piece;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Says of a pod, or of a ServiceAccount for its pods, whether containers find a token.
pub(super) const AUTOMOUNT: &str = "automountServiceAccountToken";

/// A workload as others see it.
pub(super) struct Known {
    pub(super) name: String,
    pub(super) namespace: String,
    labels: Map<String, Value>,
    /// The manifest that it comes from.
    position: usize,
    /// Which of the made objects it is, once it is made.
    pub(super) made: Option<usize>,
}

/// A Service, as an Ingress names it.
pub(super) struct Served {
    pub(super) name: String,
    pub(super) namespace: String,
    /// Its ports: name and number.
    pub(super) ports: Vec<(String, u64)>,
    /// The made objects behind it.
    pub(super) behind: Vec<usize>,
}

/// All workloads of the input.
#[derive(Default)]
pub(super) struct Index {
    workloads: Vec<Known>,
    pub(super) services: Vec<Served>,
    /// ServiceAccounts whose pods get no token unless they ask for one: namespace and name.
    tokenless: BTreeSet<(String, String)>,
    /// Manifests that went into the object made of another.
    merged: BTreeMap<usize, Vec<usize>>,
}

impl Index {
    pub(super) fn of(pieces: &[Piece]) -> Self {
        let workload = |(position, piece): (usize, &Piece)| {
            let path = match piece.kind() {
                "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => {
                    "spec.template.metadata.labels"
                }
                "CronJob" => "spec.jobTemplate.spec.template.metadata.labels",
                _ => return None,
            };
            Some(Known {
                name: piece.name().to_owned(),
                namespace: piece.namespace.clone(),
                labels: piece.get(path).as_object().cloned().unwrap_or_default(),
                position,
                made: None,
            })
        };
        let tokenless = pieces.iter().filter(|piece| piece.document.kind == "ServiceAccount");
        let tokenless = tokenless.filter(|piece| piece.get(AUTOMOUNT) == Value::Bool(false));
        Self {
            workloads: pieces.iter().enumerate().filter_map(workload).collect(),
            tokenless: tokenless.map(|piece| (piece.namespace.clone(), piece.name().to_owned())).collect(),
            ..Self::default()
        }
    }

    /// Whether an account says that pods get no token unless they ask for one.
    pub(super) fn is_tokenless(&self, namespace: &str, account: &str) -> bool {
        self.tokenless.contains(&(namespace.to_owned(), account.to_owned()))
    }

    /// Remembers which of the made objects a manifest became.
    pub(super) fn place(&mut self, position: usize, made: usize) {
        if let Some(known) = self.workloads.iter_mut().find(|known| known.position == position) {
            known.made = Some(made);
        }
    }

    /// Remembers that a manifest went into the object that another became.
    pub(super) fn merge(&mut self, position: usize, into: usize) {
        let merged = self.merged.entry(into).or_default();
        if !merged.contains(&position) {
            merged.push(position);
        }
    }

    pub(super) fn merged_into(&self, position: usize) -> &[usize] {
        self.merged.get(&position).map(Vec::as_slice).unwrap_or_default()
    }

    /// The workloads of a namespace that a `meta/v1` LabelSelector chooses.
    pub(super) fn selected(&self, namespace: &str, selector: &Value) -> Vec<&Known> {
        let fits = |known: &&Known| known.namespace == namespace && selects(selector, &known.labels);
        self.workloads.iter().filter(fits).collect()
    }
}

/// Whether a `meta/v1` LabelSelector chooses labels.
pub(super) fn selects(selector: &Value, labels: &Map<String, Value>) -> bool {
    let wanted = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    if !wanted.into_iter().all(|(key, value)| labels.get(key) == Some(value)) {
        return false;
    }
    let requirements = selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten();
    requirements.into_iter().all(|requirement| {
        let text = |key: &str| requirement.get(key).and_then(Value::as_str).unwrap_or_default();
        let value = labels.get(text("key"));
        let among = |value: &Value| {
            requirement.get("values").and_then(Value::as_array).is_some_and(|values| values.contains(value))
        };
        match text("operator") {
            "In" => value.is_some_and(among),
            "NotIn" => !value.is_some_and(among),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    })
}
