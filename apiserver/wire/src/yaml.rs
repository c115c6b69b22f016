//! YAML bodies, turned into JSON; and JSON replies shown as YAML.
//!
//! Scalars are read as `sigs.k8s.io/yaml` reads them (YAML 1.1: `yes` is true, `0644` is octal). Keys that occur twice
//! stay twice, for the pipeline to judge by `fieldValidation`. Anchors, aliases, nesting, nodes and the output are all
//! bounded, so a bomb costs no more than a body of the largest size.

mod words;

use crate::body::MAX_BODY;
use crate::list::write_json;
use hypermesh_api::Status;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use std::fmt;

/// YAML may be nested this deep. Less than JSON may: its reader takes some 20 KiB of stack a level where it is not
/// optimised, and a worker has 2 MiB.
const MAX_YAML_DEPTH: usize = 64;
/// Values, keys, lists and maps of a document.
const MAX_NODES: usize = 400_000;
/// Anchors, aliases and merge keys, each.
const MAX_ANCHORS: usize = 1_000;
/// Events that aliases may stand for, all of them together.
const MAX_REPLAYED: usize = 100_000;

/// The most JSON that a YAML body may become, aliases expanded.
const MAX_OUTPUT: usize = MAX_BODY;

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_YAML_DEPTH,
            flow_nesting_limit: MAX_YAML_DEPTH,
            max_events: 1_000_000,
            max_nodes: MAX_NODES,
            max_aliases: MAX_ANCHORS,
            max_anchors: MAX_ANCHORS,
            max_recorded_anchor_events: MAX_REPLAYED,
            max_recorded_anchor_bytes: MAX_BODY,
            max_documents: 2,
            max_total_scalar_bytes: MAX_BODY,
            max_merge_keys: MAX_ANCHORS,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPLAYED,
            max_replay_stack_depth: 32,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

/// Turns one YAML document into JSON.
///
/// # Errors
///
/// 400 with the line and column of what is wrong.
pub fn to_json(body: &[u8]) -> Result<Vec<u8>, Box<Status>> {
    let mut out = Vec::with_capacity(body.len());
    let written = serde_saphyr::with_deserializer_from_slice_with_options(body, options(), |deserializer| {
        Emit { out: &mut out, depth: 0 }.deserialize(deserializer)
    });
    written.map_err(|why| {
        let place = why.location().map(|at| format!("line {}, column {}: ", at.line(), at.column()));
        let (place, reason) = (place.unwrap_or_default(), words::of(&why));
        Box::new(Status::bad_request(format!("error converting YAML to JSON: yaml: {place}{reason}")))
    })?;
    Ok(out)
}

/// Shows JSON as YAML. What is no JSON is shown as it is.
pub fn from_json(json: &[u8]) -> Vec<u8> {
    let shown =
        serde_json::from_slice::<Value>(json).ok().and_then(|value| serde_saphyr::to_string(&value).ok());
    shown.map_or_else(|| json.to_vec(), String::into_bytes)
}

/// Writes what it is given as JSON, as it comes.
struct Emit<'a> {
    out: &'a mut Vec<u8>,
    depth: usize,
}

impl Emit<'_> {
    fn scalar<E: serde::de::Error>(self, value: &impl serde::Serialize) -> Result<(), E> {
        write_json(value, self.out);
        if self.out.len() > MAX_OUTPUT {
            return Err(E::custom(format!("the document becomes more than {MAX_OUTPUT} bytes of JSON")));
        }
        Ok(())
    }

    fn deeper<E: serde::de::Error>(&self) -> Result<usize, E> {
        if self.depth < MAX_YAML_DEPTH {
            Ok(self.depth + 1)
        } else {
            Err(E::custom(format!("nested deeper than {MAX_YAML_DEPTH} levels")))
        }
    }
}

impl<'de> DeserializeSeed<'de> for Emit<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Emit<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.scalar(&value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.scalar(&value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.scalar(&value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        if !value.is_finite() {
            return Err(E::custom("numbers must be finite"));
        }
        self.scalar(&value)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.scalar(&value)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.scalar(&())
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
        self.scalar(&())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        let Self { out, .. } = self;
        out.push(b'[');
        let mut first = true;
        loop {
            let before = out.len();
            if !first {
                out.push(b',');
            }
            if access.next_element_seed(Emit { out: &mut *out, depth })?.is_none() {
                out.truncate(before);
                break;
            }
            first = false;
        }
        out.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        let Self { out, .. } = self;
        out.push(b'{');
        let mut first = true;
        while let Some(key) = access.next_key::<String>()? {
            if !first {
                out.push(b',');
            }
            first = false;
            Emit { out: &mut *out, depth }.scalar::<A::Error>(&key)?;
            out.push(b':');
            access.next_value_seed(Emit { out: &mut *out, depth })?;
        }
        out.push(b'}');
        if out.len() > MAX_OUTPUT {
            return Err(A::Error::custom(format!(
                "the document becomes more than {MAX_OUTPUT} bytes of JSON"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
