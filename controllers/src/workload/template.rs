//! A template's identity, and the names that are made of it. Pure.
//!
//! The identity is a hash of the template in a canonical form: members sorted, and what equals the schema's default left
//! out. So a default that is added to the schema later does not make another template of an old one, and nothing is
//! rolled out because a server was upgraded.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Characters of hashes in names: none that makes a word, or is taken for another.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// Characters of a revision.
const REVISION: usize = 10;
/// Characters that tell instances of one revision apart.
const SUFFIX: usize = 5;
/// The longest DNS label.
const LABEL: usize = 63;
/// The longest DNS subdomain.
const SUBDOMAIN: usize = 253;

/// A template as the schema knows it: the schema of `spec.template`.
pub fn schema() -> Value {
    let kind = hypermesh_schemas::workload::definition();
    let found = kind.schema.pointer("/properties/spec/properties/template").cloned();
    found.unwrap_or_default()
}

/// The revision of a template.
pub fn revision(template: &Value, schema: &Value) -> String {
    let mut canonical = template.clone();
    prune(&mut canonical, schema, 0);
    let mut hash = Sha256::new();
    digest(&canonical, &mut hash);
    encode(&hash.finalize(), REVISION)
}

/// A hash of any value, for names.
pub fn content(value: &Value) -> String {
    let mut hash = Sha256::new();
    digest(value, &mut hash);
    encode(&hash.finalize(), REVISION)
}

/// The name of the instance of a Workload that is the `ordinal`th of its revision. `salt` is how many times a name was
/// taken already.
pub fn instance_name(workload: &str, uid: &str, revision: &str, ordinal: u64, salt: u32) -> String {
    let mut hash = Sha256::new();
    for part in [uid, revision, &ordinal.to_string(), &salt.to_string()] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let suffix = encode(&hash.finalize(), SUFFIX);
    let head = head(workload, LABEL.saturating_sub(revision.len() + suffix.len() + 2));
    format!("{head}-{revision}-{suffix}")
}

/// The name of a Workload's revision.
pub fn revision_name(workload: &str, revision: &str) -> String {
    format!("{}-{revision}", head(workload, SUBDOMAIN.saturating_sub(revision.len() + 1)))
}

/// The name of the copy of an object with this content.
pub fn copy_name(object: &str, content: &str) -> String {
    format!("{}-{content}", head(object, SUBDOMAIN.saturating_sub(content.len() + 1)))
}

/// At most so many characters of a name, in whose place a name can still go on.
fn head(name: &str, longest: usize) -> &str {
    name.get(..longest).unwrap_or(name).trim_end_matches(['-', '.'])
}

/// Leaves out what equals its default.
fn prune(value: &mut Value, schema: &Value, depth: usize) {
    // Deeper than any template: what came here was not judged by the schema.
    if depth > 64 {
        return;
    }
    match value {
        Value::Object(members) => {
            let fields = schema.get("properties").and_then(Value::as_object);
            let others = schema.get("additionalProperties");
            for (name, member) in members.iter_mut() {
                let of = fields.and_then(|fields| fields.get(name)).or(others);
                if let Some(of) = of {
                    prune(member, of, depth + 1);
                }
            }
            members.retain(|name, member| {
                let default = fields.and_then(|fields| fields.get(name)?.get("default"));
                default != Some(&*member)
            });
        }
        Value::Array(items) => {
            if let Some(of) = schema.get("items") {
                items.iter_mut().for_each(|item| prune(item, of, depth + 1));
            }
        }
        _ => {}
    }
}

/// Feeds a value to a hash, unambiguously and with its members sorted.
fn digest(value: &Value, hash: &mut Sha256) {
    let sized = |hash: &mut Sha256, mark: u8, bytes: &[u8]| {
        hash.update([mark]);
        hash.update(bytes.len().to_le_bytes());
        hash.update(bytes);
    };
    match value {
        Value::Null => hash.update([0]),
        Value::Bool(truth) => hash.update([1, u8::from(*truth)]),
        Value::Number(number) => sized(hash, 2, number.to_string().as_bytes()),
        Value::String(text) => sized(hash, 3, text.as_bytes()),
        Value::Array(items) => {
            sized(hash, 4, &items.len().to_le_bytes());
            items.iter().for_each(|item| digest(item, hash));
        }
        Value::Object(members) => {
            sized(hash, 5, &members.len().to_le_bytes());
            for (name, member) in sorted(members) {
                sized(hash, 6, name.as_bytes());
                digest(member, hash);
            }
        }
    }
}

fn sorted(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by_key(|(name, _)| *name);
    members
}

/// The first digits of a hash, in base 27.
fn encode(hash: &[u8], digits: usize) -> String {
    let (mut text, mut rest) = (String::with_capacity(digits), hash.to_vec());
    for _ in 0..digits {
        let mut carry = 0_usize;
        for byte in &mut rest {
            let value = carry * 256 + usize::from(*byte);
            *byte = u8::try_from(value / ALPHABET.len()).unwrap_or_default();
            carry = value % ALPHABET.len();
        }
        text.push(char::from(ALPHABET.get(carry).copied().unwrap_or(b'b')));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_schemas::value::DnsLabel;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn defaults_and_order_do_not_make_another_template() {
        let schema = schema();
        let of = |template: Value| revision(&template, &schema);
        let plain = of(json!({"spec": {"containers": [{"name": "a", "image": "b"}]}}));
        let filled = of(json!({"spec": {"restartPolicy": "Always", "serviceAccountName": "default",
            "terminationGracePeriodSeconds": 30, "containers": [{"image": "b", "name": "a"}]}}));
        assert_eq!(plain, filled);
        assert_eq!(plain.len(), REVISION);
        let other = of(json!({"spec": {"containers": [{"name": "a", "image": "c"}]}}));
        assert_ne!(plain, other);
        let restarted = of(json!({"metadata": {"annotations": {"hypermesh.online/restartedAt": "x"}},
            "spec": {"containers": [{"name": "a", "image": "b"}]}}));
        assert_ne!(plain, restarted);
    }

    #[test]
    fn every_default_of_a_template_is_known() {
        let schema = schema();
        assert_eq!(schema["properties"]["spec"]["properties"]["restartPolicy"]["default"], "Always");
    }

    #[test]
    fn names_are_the_same_everywhere() {
        // Instances of a running cluster are called like this: another answer makes each of them anew.
        assert_eq!(
            content(&json!({"a": [1, true, null, "x"]})),
            content(&json!({"a": [1, true, null, "x"]}))
        );
        let name = instance_name("web", "u", "bcdfghjklm", 0, 0);
        assert!(name.starts_with("web-bcdfghjklm-") && name.len() == "web-bcdfghjklm-12345".len(), "{name}");
        assert_ne!(name, instance_name("web", "u", "bcdfghjklm", 0, 1));
        assert_ne!(name, instance_name("web", "v", "bcdfghjklm", 0, 0));
    }

    proptest! {
        #[test]
        fn names_fit(workload in "[a-z]([-a-z0-9]{0,61}[a-z0-9])?", ordinal: u64, salt: u32) {
            let name = instance_name(&workload, "u", "bcdfghjklm", ordinal, salt);
            prop_assert!(DnsLabel::parse(&name).is_ok(), "{}", name);
            prop_assert!(revision_name(&workload, "bcdfghjklm").len() <= SUBDOMAIN);
        }

        #[test]
        fn other_values_have_other_hashes(a in "[a-c]{0,3}", b in "[a-c]{0,3}", c in "[a-c]{0,3}", d in "[a-c]{0,3}") {
            let (left, right) = (json!({a.clone(): b.clone()}), json!({c.clone(): d.clone()}));
            prop_assert_eq!(left == right, content(&left) == content(&right));
            let (left, right) = (json!([a, b]), json!([c, d]));
            prop_assert_eq!(left == right, content(&left) == content(&right));
        }
    }
}
