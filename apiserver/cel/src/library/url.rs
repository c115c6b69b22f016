//! URLs, parsed as Go's `url.ParseRequestURI` does: absolute, or an absolute path. Source: Kubernetes'
//! `library/urls.go`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Context, text};
use crate::error::EvalError;
use crate::time::clip;
use crate::value::{Extension, Key, Map, Text, Value};

/// A URL in its parts, still escaped unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    /// Host and port as written.
    host: String,
    path: String,
    query: String,
    written: String,
}

impl Url {
    fn parse(source: &str) -> Option<Self> {
        if source.is_empty() || source.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return None;
        }
        let (scheme, rest) = match split_scheme(source) {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None => (String::new(), source),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let opaque = !rest.starts_with('/');
        if opaque && scheme.is_empty() {
            return None;
        }
        let (authority, path) = match rest.strip_prefix("//") {
            Some(tail) if !scheme.is_empty() || !rest.starts_with("///") => {
                let end = tail.find('/').unwrap_or(tail.len());
                (tail.get(..end)?, tail.get(end..)?)
            }
            _ => ("", if opaque { "" } else { rest }),
        };
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        if !valid_host(host) || !valid_escapes(path) || host.contains(' ') {
            return None;
        }
        Some(Self {
            scheme,
            host: host.to_owned(),
            path: escape_path(path),
            query: query.to_owned(),
            written: source.to_owned(),
        })
    }

    fn hostname(&self) -> &str {
        let host = &self.host;
        if let Some(tail) = host.strip_prefix('[') {
            return tail.split_once(']').map_or(tail, |(inner, _)| inner);
        }
        host.rsplit_once(':').map_or(host, |(name, _)| name)
    }

    fn port(&self) -> &str {
        let after = match self.host.rsplit_once(']') {
            Some((_, tail)) => tail,
            None => &self.host,
        };
        after.rsplit_once(':').map_or("", |(_, port)| port)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

fn split_scheme(source: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = source.split_once(':')?;
    let mut bytes = scheme.bytes();
    let first = bytes.next()?;
    let valid = first.is_ascii_alphabetic()
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    valid.then_some((scheme, rest))
}

fn valid_host(host: &str) -> bool {
    let after = if let Some(tail) = host.strip_prefix('[') {
        let Some((inner, after)) = tail.split_once(']') else { return false };
        if inner
            .split_once("%25")
            .map_or(inner, |(address, _)| address)
            .parse::<std::net::Ipv6Addr>()
            .is_err()
        {
            return false;
        }
        after
    } else {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        if name.contains([':', '<', '>', '"', '\\', '^', '`', '{', '|', '}', '[', ']', '#']) {
            return false;
        }
        host.get(name.len()..).unwrap_or_default()
    };
    match after.strip_prefix(':') {
        Some(port) => port.bytes().all(|byte| byte.is_ascii_digit()),
        None => after.is_empty(),
    }
}

fn valid_escapes(text: &str) -> bool {
    unescape(text, false).is_some()
}

/// Percent-decodes; `None` where an escape is malformed. What does not decode to UTF-8 is replaced.
fn unescape(text: &str, plus: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(bytes.next()?)? * 16 + digit(bytes.next()?)?;
                out.push(u8::try_from(value).ok()?);
            }
            b'+' if plus => out.push(b' '),
            other => out.push(other),
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

fn escape_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*%[]".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn receiver<'v>(args: &'v [Value<'_>]) -> Result<&'v Url, EvalError> {
    match args.first() {
        Some(Value::Extension(Extension::Url(url))) => Ok(url),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn part<'a>(context: &mut Context<'_>, part: &str) -> Result<Value<'a>, EvalError> {
    context.meter.write(part.len())?;
    Ok(Value::text(part))
}

pub(crate) fn url<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.write(subject.len().saturating_mul(2))?;
    match Url::parse(subject) {
        Some(url) => Ok(Value::Extension(Extension::Url(Arc::new(url)))),
        None => Err(EvalError::argument(format!(
            "URL parse error during conversion from string: {}",
            clip(subject)
        ))),
    }
}

pub(crate) fn is_url<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.write(subject.len().saturating_mul(2))?;
    Ok(Value::Bool(Url::parse(subject).is_some()))
}

/// Whether a string is a URI by the same reading, for the format of that name.
pub(super) fn is_uri(subject: &str) -> bool {
    Url::parse(subject).is_some()
}

pub(crate) fn scheme<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    part(context, &receiver(args)?.scheme)
}

/// Host and port, an IPv6 address in brackets.
pub(crate) fn host<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    part(context, &receiver(args)?.host)
}

/// Host without port, an IPv6 address without brackets.
pub(crate) fn hostname<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    part(context, receiver(args)?.hostname())
}

pub(crate) fn port<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    part(context, receiver(args)?.port())
}

pub(crate) fn escaped_path<'a>(
    context: &mut Context<'_>,
    args: &[Value<'a>],
) -> Result<Value<'a>, EvalError> {
    part(context, &receiver(args)?.path)
}

/// Query parameters, decoded: each name with the list of its values. Malformed ones are left out.
pub(crate) fn query<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let url = receiver(args)?;
    context.meter.write(url.query.len())?;
    let mut parameters: BTreeMap<String, Vec<Value<'a>>> = BTreeMap::new();
    for pair in url.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        context.meter.grow(1, parameters.len())?;
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(name), Some(value)) = (unescape(name, true), unescape(value, true)) {
            parameters.entry(name).or_default().push(Value::text(value));
        }
    }
    let entries = parameters
        .into_iter()
        .map(|(name, values)| (Key::String(Text::Shared(name.into())), Value::list(values)));
    Ok(Value::Map(Map::owned(entries.collect())))
}
