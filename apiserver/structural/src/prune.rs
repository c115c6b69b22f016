//! Pruning: removes what a schema does not know.
//!
//! At the root, `apiVersion`, `kind` and `metadata` are left alone; below an embedded resource its metadata is pruned to
//! ObjectMeta. Source: `pkg/apiserver/schema/pruning`.

use crate::place::Place;
use crate::schema::Schema;
use serde_json::{Map, Value};

/// Most bytes of paths that are told. An object of a few megabytes could otherwise yield gigabytes of them.
const MOST_PATH_BYTES: usize = 64 * 1024;

impl Schema {
    /// Removes unknown fields from an object in place and tells their paths, sorted: `spec.bogus`,
    /// `spec.containers[0].foo`. All are removed; past 64 KiB of paths the rest is not told.
    pub fn prune(&self, value: &mut Value) -> Vec<String> {
        let mut unknown = Unknown::default();
        self.prune_known(value, self.preserve_unknown, Place::ROOT, &mut unknown);
        unknown.paths.sort_unstable();
        unknown.paths
    }

    /// `keeping` holds below a node that preserves unknown fields, until the schema is specific again.
    fn prune_known(&self, value: &mut Value, keeping: bool, at: Place<'_>, unknown: &mut Unknown) {
        match value {
            Value::Object(fields) => self.prune_fields(fields, keeping, at, unknown),
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    for (index, item) in items.iter_mut().enumerate() {
                        let keeping = keeping || schema.preserve_unknown;
                        schema.prune_known(item, keeping, at.index(index), unknown);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn prune_fields(
        &self,
        fields: &mut Map<String, Value>,
        keeping: bool,
        at: Place<'_>,
        unknown: &mut Unknown,
    ) {
        // A closed object keeps what it does not allow, for validation to refuse it.
        let keeping = keeping || self.constraints.closed;
        let mut knows_all = true;
        for (name, field) in fields.iter_mut() {
            match self.child(name) {
                Some(schema) if schema.implied => {}
                Some(schema) => schema.prune_known(field, schema.preserve_unknown, at.field(name), unknown),
                None => knows_all = false,
            }
        }
        if !knows_all && !keeping {
            fields.retain(|name, _| {
                let knows = self.child(name).is_some();
                if !knows {
                    unknown.tell(at.field(name));
                }
                knows
            });
        }
    }
}

/// Paths of what was removed.
#[derive(Default)]
struct Unknown {
    paths: Vec<String>,
    bytes: usize,
}

impl Unknown {
    fn tell(&mut self, at: Place<'_>) {
        if self.bytes < MOST_PATH_BYTES {
            let path = at.dotted();
            self.bytes += path.len();
            self.paths.push(path);
        }
    }
}
