//! Reading what is stored of an object: its value, and apart from it the text of its managed fields.
//!
//! Managed fields are as large as the object, and most writes need not look into them; nobody needs them as a value.

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::fmt;

/// Reads an object; `metadata.managedFields` comes as the text that it is, and is not in the value.
pub fn split(body: &[u8]) -> Result<(Value, Option<&str>), serde_json::Error> {
    let mut managed = None;
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let object = Fields { apart: "metadata", managed: &mut managed }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok((object, managed))
}

/// An object of which the field `apart` is read otherwise: `metadata` of the whole, `managedFields` of the metadata.
struct Fields<'m, 'de> {
    apart: &'static str,
    managed: &'m mut Option<&'de str>,
}

impl<'de> DeserializeSeed<'de> for Fields<'_, 'de> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_, 'de> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            let value = match (name == self.apart, self.apart) {
                (true, "metadata") => {
                    access.next_value_seed(Fields { apart: "managedFields", managed: self.managed })?
                }
                (true, _) => {
                    *self.managed = Some(access.next_value::<&RawValue>()?.get());
                    continue;
                }
                (false, _) => access.next_value()?,
            };
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_split_is_the_whole() {
        for meta in [json!({"name": "a"}), json!({"name": "a", "managedFields": [{"a": "]}\""}], "uid": "u"})]
        {
            let whole = json!({"data": {"managedFields": 1}, "metadata": meta, "z": [{"metadata": {}}]});
            let body = whole.to_string();
            let (mut value, managed) = split(body.as_bytes()).unwrap();
            if let Some(managed) = managed {
                assert!(value["metadata"].get("managedFields").is_none());
                value["metadata"]["managedFields"] = serde_json::from_str(managed).unwrap();
            }
            assert_eq!(value, whole);
        }
        for broken in ["", "[]", "{\"metadata\":1}", "{}x", "{\"metadata\":{\"managedFields\":[}}"] {
            assert!(split(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
