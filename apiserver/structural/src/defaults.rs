//! Defaulting: fills in what a schema gives a default for.
//!
//! A null where the schema allows none counts as absent: it becomes the default, or goes away where there is none. Items
//! of lists cannot go away, so that a null there stays for validation to refuse. Source: `pkg/apiserver/schema/defaulting`.

use crate::schema::Schema;
use serde_json::{Map, Value};

impl Schema {
    /// Applies defaults to an object in place. Idempotent, as compiled defaults are valid against their own schema.
    pub fn apply_defaults(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => self.default_fields(fields),
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    for item in items {
                        if schema.refuses(item)
                            && let Some(default) = &schema.default
                        {
                            *item = default.clone();
                        }
                        schema.apply_defaults(item);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn default_fields(&self, fields: &mut Map<String, Value>) {
        if fields.values().any(Value::is_null) {
            fields.retain(|name, field| {
                let may_stay = |schema: &Self| schema.nullable || schema.default.is_some();
                !field.is_null() || self.declared(name).is_none_or(may_stay)
            });
        }
        for (name, schema) in &self.properties {
            if let Some(default) = &schema.default
                && fields.get(name).is_none_or(|field| schema.refuses(field))
            {
                fields.insert(name.clone(), default.clone());
            }
        }
        for (name, field) in fields.iter_mut() {
            let Some(schema) = self.declared(name) else { continue };
            if schema.refuses(field)
                && let Some(default) = &schema.default
            {
                *field = default.clone();
            }
            schema.apply_defaults(field);
        }
    }

    /// A null that the schema does not allow.
    fn refuses(&self, value: &Value) -> bool {
        value.is_null() && !self.nullable
    }
}
