//! Named string formats. Source: Kubernetes' `library/format.go` and apimachinery's `validation`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Context, text, url};
use crate::error::EvalError;
use crate::time::Timestamp;
use crate::value::{Extension, Text, Value};

const LABEL_LENGTH: usize = 63;
const SUBDOMAIN_LENGTH: usize = 253;

/// A format: its name and what a string breaks of it.
#[derive(Clone, Copy)]
pub struct NamedFormat {
    name: &'static str,
    /// Longest string, in bytes.
    longest: usize,
    check: fn(&str) -> bool,
    /// What a string that fails the check is told.
    message: &'static str,
}

impl fmt::Debug for NamedFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamedFormat").field(&self.name).finish()
    }
}

impl fmt::Display for NamedFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl NamedFormat {
    fn violations(&self, subject: &str) -> Vec<String> {
        let mut found = Vec::new();
        if subject.len() > self.longest {
            found.push(format!("must be no more than {} bytes", self.longest));
        }
        if !(self.check)(subject) {
            found.push(self.message.to_owned());
        }
        found
    }
}

static FORMATS: [NamedFormat; 13] = [
    NamedFormat {
        name: "dns1123Label",
        longest: LABEL_LENGTH,
        check: is_dns1123_label,
        message: "must consist of lower case alphanumeric characters or '-', and start and end with an alphanumeric character (RFC 1123 label)",
    },
    NamedFormat {
        name: "dns1123Subdomain",
        longest: SUBDOMAIN_LENGTH,
        check: is_dns1123_subdomain,
        message: "must consist of lower case alphanumeric characters, '-' or '.', and start and end with an alphanumeric character (RFC 1123 subdomain)",
    },
    NamedFormat {
        name: "dns1035Label",
        longest: LABEL_LENGTH,
        check: is_dns1035_label,
        message: "must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (RFC 1035 label)",
    },
    NamedFormat {
        name: "qualifiedName",
        longest: SUBDOMAIN_LENGTH + 1 + LABEL_LENGTH,
        check: is_qualified_name,
        message: "must be a name of alphanumeric characters, '-', '_' or '.' that starts and ends with an alphanumeric character and has no more than 63 characters, with an optional DNS subdomain prefix and '/'",
    },
    NamedFormat {
        name: "dns1123LabelPrefix",
        longest: LABEL_LENGTH,
        check: |subject| is_dns1123_label(prefix(subject)),
        message: "must begin an RFC 1123 label: lower case alphanumeric characters or '-', starting with an alphanumeric character",
    },
    NamedFormat {
        name: "dns1123SubdomainPrefix",
        longest: SUBDOMAIN_LENGTH,
        check: |subject| is_dns1123_subdomain(prefix(subject)),
        message: "must begin an RFC 1123 subdomain: lower case alphanumeric characters, '-' or '.', starting with an alphanumeric character",
    },
    NamedFormat {
        name: "dns1035LabelPrefix",
        longest: LABEL_LENGTH,
        check: |subject| is_dns1035_label(prefix(subject)),
        message: "must begin an RFC 1035 label: lower case alphanumeric characters or '-', starting with an alphabetic character",
    },
    NamedFormat {
        name: "labelValue",
        longest: LABEL_LENGTH,
        check: |subject| subject.is_empty() || is_name(subject),
        message: "must be empty or consist of alphanumeric characters, '-', '_' or '.', and start and end with an alphanumeric character",
    },
    NamedFormat {
        name: "uri",
        longest: usize::MAX,
        check: url::is_uri,
        message: "must be an absolute URI or path",
    },
    NamedFormat {
        name: "uuid",
        longest: usize::MAX,
        check: is_uuid,
        message: "must be a UUID: 32 hexadecimal digits, hyphenated or not",
    },
    NamedFormat {
        name: "byte",
        longest: usize::MAX,
        check: |subject| STANDARD.decode(subject).is_ok(),
        message: "invalid base64",
    },
    NamedFormat {
        name: "date",
        longest: usize::MAX,
        check: |subject| subject.len() == 10 && Timestamp::parse_date_or_time(subject).is_ok(),
        message: "invalid date",
    },
    NamedFormat {
        name: "datetime",
        longest: usize::MAX,
        check: |subject| Timestamp::parse(subject).is_ok(),
        message: "invalid datetime",
    },
];

fn is_lower_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn is_dns1123_label(subject: &str) -> bool {
    let bytes = subject.as_bytes();
    bytes.first().copied().is_some_and(is_lower_alphanumeric)
        && bytes.last().copied().is_some_and(is_lower_alphanumeric)
        && bytes.iter().all(|byte| is_lower_alphanumeric(*byte) || *byte == b'-')
}

fn is_dns1123_subdomain(subject: &str) -> bool {
    subject.split('.').all(is_dns1123_label)
}

fn is_dns1035_label(subject: &str) -> bool {
    is_dns1123_label(subject) && subject.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase())
}

fn is_name(subject: &str) -> bool {
    let bytes = subject.as_bytes();
    bytes.len() <= LABEL_LENGTH
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn is_qualified_name(subject: &str) -> bool {
    match subject.split_once('/') {
        Some((prefix, name)) => {
            prefix.len() <= SUBDOMAIN_LENGTH && is_dns1123_subdomain(prefix) && is_name(name)
        }
        None => is_name(subject),
    }
}

/// A name prefix may end with the hyphen that a generated suffix follows.
fn prefix(subject: &str) -> &str {
    if subject.len() > 1 { subject.strip_suffix('-').unwrap_or(subject) } else { subject }
}

fn is_uuid(subject: &str) -> bool {
    let digits = subject.bytes().filter(u8::is_ascii_hexdigit).count();
    let hyphens = subject.bytes().enumerate().filter(|(_, byte)| *byte == b'-');
    digits == 32
        && match subject.len() {
            32 => true,
            36 => hyphens.map(|(at, _)| at).eq([8, 13, 18, 23]),
            _ => false,
        }
}

fn find(name: &str) -> Option<&'static NamedFormat> {
    FORMATS.iter().find(|format| format.name == name)
}

/// The format of a name, absent if there is none.
pub(crate) fn named<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let name = text(args, 0)?;
    context.meter.scan(name.len())?;
    Ok(find(name).map_or_else(Value::none, |format| Value::some(Value::Extension(Extension::Format(format)))))
}

/// What a string breaks of a format, absent if nothing.
pub(crate) fn validate<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let Some(Value::Extension(Extension::Format(format))) = args.first() else {
        return Err(EvalError::NoSuchOverload);
    };
    let subject: &Text<'a> = text(args, 1)?;
    context.meter.scan(subject.len().saturating_mul(4))?;
    let violations = format.violations(subject);
    if violations.is_empty() {
        return Ok(Value::none());
    }
    Ok(Value::some(Value::list(violations.into_iter().map(Value::text).collect())))
}

macro_rules! constants {
    ($($function:ident = $name:literal;)*) => {
        $(
            pub(crate) fn $function<'a>(_: &mut Context<'_>, _: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
                find($name)
                    .map(|format| Value::Extension(Extension::Format(format)))
                    .ok_or(EvalError::NoSuchOverload)
            }
        )*
    };
}

constants! {
    dns1123_label = "dns1123Label";
    dns1123_subdomain = "dns1123Subdomain";
    dns1035_label = "dns1035Label";
    qualified_name = "qualifiedName";
    dns1123_label_prefix = "dns1123LabelPrefix";
    dns1123_subdomain_prefix = "dns1123SubdomainPrefix";
    dns1035_label_prefix = "dns1035LabelPrefix";
    label_value = "labelValue";
    uri = "uri";
    uuid = "uuid";
    byte = "byte";
    date = "date";
    datetime = "datetime";
}
