//! Names, addresses and paths: strings of a known form.
//!
//! Each type carries its pattern and its bound into every schema that uses it, and reads only what the pattern
//! matches: the two say the same, which the tests of this module hold them to.

use super::InvalidValue;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

/// Declares a string type: its name, what people are told it is, its bounds, its pattern, and the reader's check.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident: $expected:literal, $min:literal..=$max:literal, $pattern:expr, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Most characters that it may have.
            pub const MAX_LENGTH: usize = $max;
            /// What its schema requires of it.
            pub const PATTERN: &str = $pattern;

            /// Reads it.
            pub fn parse(text: &str) -> Result<Self, InvalidValue> {
                let check: fn(&str) -> bool = $check;
                if ($min..=$max).contains(&text.chars().count()) && check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidValue::new($expected, text))
                }
            }

            /// As it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidValue;

            fn try_from(text: String) -> Result<Self, InvalidValue> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "minLength": $min,
                    "maxLength": $max,
                    "pattern": Self::PATTERN,
                })
            }
        }
    };
}

text! {
    /// Lower-case RFC 1123 label.
    DnsLabel: "a lower-case DNS label", 1..=63, "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", dns_label
}

text! {
    /// Lower-case RFC 1123 subdomain.
    DnsSubdomain: "a lower-case DNS name", 1..=253, r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    |text| text.split('.').all(dns_label)
}

text! {
    /// Absolute DNS name of a zone, with its final dot: `acme.`, `dev.acme.`.
    ZoneName: "an absolute DNS name such as acme.", 2..=254, r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+$",
    |text| text.strip_suffix('.').is_some_and(|name| name.split('.').all(|label| label.len() <= 63 && dns_label(label)))
}

text! {
    /// Name of a record relative to its zone: `www`, `_sip._tcp`, `*`, `*.dev`, or `@` for the zone itself.
    RecordName: "a name relative to its zone, or @", 1..=253, r"^(@|(\*|[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9])?)(\.[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9])?)*)$",
    record_name
}

text! {
    /// Name of a port: an IANA service name (RFC 6335), at least one letter in Kubernetes and here.
    PortName: "a port name of at most 15 lower-case letters, digits and dashes", 1..=15, "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", dns_label
}

text! {
    /// Key of a label, an annotation or a taint: a name of at most 63 characters, with an optional DNS prefix and `/`.
    LabelKey: "a label key", 1..=317, r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$", label_key
}

text! {
    /// Value of a label.
    LabelValue: "a label value", 0..=63, "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$", label_value
}

text! {
    /// Name of an environment variable.
    EnvName: "a name of printable ASCII without =", 1..=253, "^[ -<>-~]+$",
    |text| text.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=')
}

text! {
    /// An IPv4 or IPv6 address. The pattern bounds its characters; the reader is exact.
    IpAddress: "an IP address", 2..=45, "^[0-9A-Fa-f:.]+$", |text| text.parse::<IpAddr>().is_ok()
}

text! {
    /// A range of addresses: `fd00::/8`, `10.0.0.0/24`. The pattern bounds its form; the reader is exact.
    Cidr: "an address range such as fd00::/8", 4..=49, "^[0-9A-Fa-f:.]+/(12[0-8]|1[01][0-9]|[1-9]?[0-9])$", cidr
}

text! {
    /// A path inside something: no leading `/`, no `.` or `..` as a step, no empty step.
    RelativePath: "a relative path without . and .. steps", 1..=1024, r"^([^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+)(/([^/.][^/]*|\.[^/.][^/]*|\.\.[^/]+))*$",
    |text| text.split('/').all(|step| !matches!(step, "" | "." | ".."))
}

text! {
    /// A path from the root. `:` would end it in a mount specification and is refused.
    AbsolutePath: "an absolute path", 1..=4096, "^/[^:]*$", |text| text.starts_with('/') && !text.contains(':')
}

text! {
    /// A URI as a certificate carries it: `spiffe://cluster/ns/default/sa/web`.
    Uri: "a URI", 3..=2048, r"^[a-z][a-z0-9+.-]*:[!-~]+$", uri
}

text! {
    /// An Ed25519 public key (RFC 8032), as 64 lower-case hexadecimal digits.
    PublicKey: "64 lower-case hexadecimal digits", 64..=64, "^[0-9a-f]{64}$",
    |text| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

text! {
    /// A field of the running instance, as Kubernetes' downward API names it.
    FieldPath: "a field that an instance may read of itself", 1..=400,
    r"^(metadata\.(name|namespace|uid|(labels|annotations)\['[^']+'\])|spec\.(nodeName|serviceAccountName)|status\.(hostIP|podIP))$",
    field_path
}

impl DnsSubdomain {
    /// For defaults, whose text this crate's tests read.
    pub(crate) fn known(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}

impl LabelKey {
    /// For defaults, whose text this crate's tests read.
    pub(crate) fn known(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}

fn dns_label(text: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.bytes().all(|b| alphanumeric(&b) || b == b'-')
        && text.as_bytes().first().is_some_and(alphanumeric)
        && text.as_bytes().last().is_some_and(alphanumeric)
}

fn record_name(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        label.len() <= 63
            && label.bytes().all(inner)
            && label.bytes().next().is_some_and(|b| b != b'-')
            && (label.len() == 1 || label.bytes().last().is_some_and(|b| b != b'-' && b != b'_'))
    };
    let (first, rest) = text.split_once('.').map_or((text, None), |(first, rest)| (first, Some(rest)));
    text == "@" || ((first == "*" || label(first)) && rest.is_none_or(|rest| rest.split('.').all(label)))
}

fn label_value(text: &str) -> bool {
    let ends = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && ends(text.as_bytes().first())
        && ends(text.as_bytes().last())
}

fn label_key(text: &str) -> bool {
    let name = |name: &str| (1..=63).contains(&name.len()) && label_value(name);
    let prefix = |prefix: &str| {
        let ends = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        prefix.len() <= 253
            && prefix
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
            && ends(prefix.as_bytes().first())
            && ends(prefix.as_bytes().last())
    };
    match text.split_once('/') {
        Some((before, after)) => prefix(before) && name(after),
        None => name(text),
    }
}

fn cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let plain = length.bytes().all(|b| b.is_ascii_digit()) && (length.len() == 1 || !length.starts_with('0'));
    plain && length.parse::<u8>().is_ok_and(|length| length <= longest)
}

fn uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    scheme.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'+' | b'.' | b'-'))
        && !rest.is_empty()
        && rest.bytes().all(|b| (b'!'..=b'~').contains(&b))
}

fn field_path(text: &str) -> bool {
    let keyed = |map: &str| {
        text.strip_prefix(map)
            .and_then(|rest| rest.strip_prefix("['"))
            .and_then(|rest| rest.strip_suffix("']"))
            .is_some_and(|key| !key.is_empty() && !key.contains('\''))
    };
    matches!(
        text,
        "metadata.name"
            | "metadata.namespace"
            | "metadata.uid"
            | "spec.nodeName"
            | "spec.serviceAccountName"
            | "status.hostIP"
            | "status.podIP"
    ) || keyed("metadata.labels")
        || keyed("metadata.annotations")
}

#[cfg(test)]
mod tests;
