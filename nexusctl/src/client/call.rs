//! One request, and the reply to it.

use crate::client::Error;
use http::Method;
use hyper::body::Bytes;
use serde::de::DeserializeOwned;

/// Plain objects.
pub const JSON: &str = "application/json";

/// A request, before it has a server.
#[derive(Clone, Debug)]
pub struct Call {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// `Accept`.
    pub accept: &'static str,
    /// `Content-Type` of the body.
    pub content_type: &'static str,
    /// Body; empty for none.
    pub body: Bytes,
    /// The tag of what the caller has: a reply of 304 says that it still holds. Empty for none.
    pub unless: String,
}

impl Call {
    /// Reads a path.
    pub fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            path: path.into(),
            accept: JSON,
            content_type: JSON,
            body: Bytes::new(),
            unless: String::new(),
        }
    }

    /// Sends a body to a path.
    pub fn with_body(method: Method, path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { method, body: body.into(), ..Self::get(path) }
    }

    /// Asks for another form of the reply.
    #[must_use]
    pub fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }

    /// Asks for the body only if it is not what has this tag.
    #[must_use]
    pub fn unless(mut self, tag: &str) -> Self {
        tag.clone_into(&mut self.unless);
        self
    }

    /// The same as a dry run in which unknown fields are overlooked: what else is wrong shows then.
    #[must_use]
    pub fn overlooking_fields(&self) -> Self {
        let (path, query) = self.path.split_once('?').unwrap_or((&self.path, ""));
        let said = |parameter: &&str| {
            !parameter.is_empty()
                && !parameter.starts_with("fieldValidation=")
                && !parameter.starts_with("dryRun=")
        };
        let kept: Vec<&str> = query.split('&').filter(said).collect();
        let question = if kept.is_empty() { "" } else { "?" };
        let path = format!("{path}{question}{}", kept.join("&"));
        Self { path, ..self.clone() }.query(&[("fieldValidation", "Ignore"), ("dryRun", "All")])
    }

    /// Says what the body is.
    #[must_use]
    pub fn content_type(mut self, content_type: &'static str) -> Self {
        self.content_type = content_type;
        self
    }

    /// Adds query parameters; those with an empty value are left out.
    #[must_use]
    pub fn query(mut self, parameters: &[(&str, &str)]) -> Self {
        for (name, value) in parameters {
            if !value.is_empty() {
                self.path.push(if self.path.contains('?') { '&' } else { '?' });
                self.path.push_str(name);
                self.path.push('=');
                self.path.push_str(&encode(value));
            }
        }
        self
    }
}

/// A whole reply.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status, 200 to 299, or 304 for a call that allows it.
    pub code: u16,
    /// `ETag`; empty for none.
    pub tag: String,
    /// `Content-Type`.
    pub content_type: String,
    /// Body.
    pub body: Bytes,
    /// Texts of `Warning` headers.
    pub warnings: Vec<String>,
}

impl Reply {
    /// The body, decoded from JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|source| Error::NotJson { content_type: self.content_type.clone(), source })
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
pub fn encode(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

/// A name as one segment of a path; names such as `system:node` keep their colon.
pub fn path_segment(name: &str) -> String {
    encode(name).replace("%3A", ":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_cannot_break_out() {
        let call = Call::get("/api/v1/pods").query(&[
            ("labelSelector", "a=b,c in (d)"),
            ("limit", ""),
            ("x", "&y=1#"),
        ]);
        assert_eq!(call.path, "/api/v1/pods?labelSelector=a%3Db%2Cc%20in%20%28d%29&x=%26y%3D1%23");
        assert_eq!(path_segment("system:node/../x"), "system:node%2F..%2Fx");
    }

    #[test]
    fn a_second_look_is_dry_and_lenient() {
        let of = |path: &str| Call::get(path).overlooking_fields().path;
        assert_eq!(
            of("/a?fieldManager=x&fieldValidation=Strict&force=true"),
            "/a?fieldManager=x&force=true&fieldValidation=Ignore&dryRun=All"
        );
        assert_eq!(of("/a?dryRun=All"), "/a?fieldValidation=Ignore&dryRun=All");
        assert_eq!(of("/a"), "/a?fieldValidation=Ignore&dryRun=All");
    }
}
