//! What a schema says of objects: how many fields, which, and each of them.

use super::{Matches, Walk, too_many};
use crate::place::{Place, cut};
use crate::schema::Schema;
use hypermesh_api::{FieldError, printed};
use serde_json::{Map, Value};

impl Walk<'_> {
    pub(super) fn fields(
        &mut self,
        schema: &Schema,
        fields: &Map<String, Value>,
        old: Option<&Value>,
        at: &Place<'_>,
    ) -> Matches {
        let constraints = &schema.constraints;
        let (count, range) = (fields.len() as i64, constraints.fields);
        if let Some(least) = range.least.filter(|&least| count < least) {
            self.words(at, Value::from(count), || format!("should have at least {least} properties"));
        }
        if let Some(most) = range.most.filter(|&most| count > most) {
            self.findings.add(|| too_many(at.dotted(), count, most));
        }
        let old = old.and_then(Value::as_object);
        let mut matches = 1;
        for (name, field) in fields {
            if let Some(child) = schema.child(name) {
                if child.implied && !child.constraints.restricted {
                    continue;
                }
                // The root's type is not a field that an update can leave alone: it is converted.
                let excusable = at.depth > 0 || !matches!(name.as_str(), "apiVersion" | "kind");
                let old = old.filter(|_| excusable).and_then(|old| old.get(name));
                matches += self.excusable(child, field, old, &at.field(name));
            } else if constraints.closed {
                self.forbidden(name, at);
            }
            if self.findings.is_decided() {
                return matches;
            }
        }
        for name in constraints.required.iter().filter(|name| !fields.contains_key(*name)) {
            self.findings.add(|| FieldError::required(at.field(name).dotted(), ""));
        }
        matches
    }

    fn forbidden(&mut self, name: &str, at: &Place<'_>) {
        self.findings.add(|| {
            let path = at.dotted();
            let name = cut(name);
            let detail = format!("{path}.{name} in body is a forbidden property");
            FieldError::invalid(path, Value::from(name), detail)
        });
    }

    /// `"spec.x"` as messages on combined schemas have it.
    pub(super) fn quoted_path(at: &Place<'_>) -> String {
        printed::quoted(&at.dotted())
    }
}
