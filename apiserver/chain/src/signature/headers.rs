//! Signatures as headers: writing Signature-Input, Signature and Content-Digest, and reading them back.
//!
//! Reading is total: whatever the headers hold is either a set of signatures in the one form of the parent module, or
//! an error that says what is wrong with which label.

use super::{
    LABEL, Message, TAG_PREFIX, VerifyError,
    fields::{self, InnerList, SyntaxError, Value},
    verify,
};
use crate::{
    genesis::ClusterId,
    ids::Hash,
    key::{PublicKey, Signature},
    request::{Authority, RequestSignature},
};
use base64::{Engine, engine::general_purpose::STANDARD};

/// The longest header value that is read, in bytes.
pub const MAX_HEADER: usize = 16 << 10;

/// Header values of a signed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeaders {
    /// `Signature-Input`.
    pub signature_input: String,
    /// `Signature`.
    pub signature: String,
    /// `Content-Digest`, with a body.
    pub content_digest: Option<String>,
    /// `Content-Type`, with a body.
    pub content_type: Option<&'static str>,
}

/// Header values as they came in. Several lines of one header are joined by `, ` first (RFC 9110 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// `Signature-Input`.
    pub signature_input: &'a str,
    /// `Signature`.
    pub signature: &'a str,
    /// `Content-Digest`.
    pub content_digest: Option<&'a str>,
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
}

/// Why headers do not sign a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A header is longer than any valid one.
    #[error("{header} has {length} bytes, more than the limit of {MAX_HEADER}")]
    TooLong {
        /// The header's name.
        header: &'static str,
        /// Its length.
        length: usize,
    },
    /// A header is no structured field of the right type.
    #[error("{header} is malformed")]
    Syntax {
        /// The header's name.
        header: &'static str,
        /// Where, and what was expected.
        source: SyntaxError,
    },
    /// More signatures than a request may have.
    #[error("{found} signatures, the limit is {limit}", limit = Authority::MAX_SIGNATURES)]
    TooMany {
        /// How many there are.
        found: usize,
    },
    /// Two signatures with one label.
    #[error("label {label:?} stands twice in {header}")]
    DuplicateLabel {
        /// The header's name.
        header: &'static str,
        /// The label.
        label: String,
    },
    /// A label that stands in one of the two headers only.
    #[error("label {label:?} is missing in {header}")]
    MissingLabel {
        /// The header that lacks it.
        header: &'static str,
        /// The label.
        label: String,
    },
    /// Other components than a request of this form covers.
    #[error("signature {label:?} covers {found}, this request needs exactly {expected}")]
    Components {
        /// The label.
        label: String,
        /// What it covers.
        found: String,
        /// What it must cover.
        expected: String,
    },
    /// A parameter is missing, superfluous, out of order or of the wrong form.
    #[error("signature {label:?}: parameter {name}: {problem}")]
    Parameter {
        /// The label.
        label: String,
        /// The parameter.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// Signed for another cluster.
    #[error("signature {label:?} is for cluster {found}, this is {expected}")]
    Cluster {
        /// The label.
        label: String,
        /// The cluster it names.
        found: ClusterId,
        /// This cluster.
        expected: ClusterId,
    },
    /// A signature does not have 64 bytes.
    #[error("signature {label:?} has {length} bytes, Ed25519 has 64")]
    SignatureLength {
        /// The label.
        label: String,
        /// Bytes found.
        length: usize,
    },
    /// One key signed twice.
    #[error("key {0} signed more than once")]
    DuplicateKey(PublicKey),
    /// Content-Digest is absent with a body, or present without one, or names another digest.
    #[error("Content-Digest is {found}, the body needs {expected}")]
    ContentDigest {
        /// What came in, or `absent`.
        found: String,
        /// What the body needs, or `absent`.
        expected: String,
    },
    /// Content-Type is not what a signed request of this medium sends.
    #[error("Content-Type is {found}, a signed request needs {expected}")]
    ContentType {
        /// What came in, or `absent`.
        found: String,
        /// What is needed, or `absent`.
        expected: String,
    },
    /// The form is right, and a signature does not verify.
    #[error("a signature is refused")]
    Verify(#[source] VerifyError),
}

/// `Content-Digest` of a body with this SHA-256 digest (RFC 9530 section 2).
pub fn content_digest(body: &Hash) -> String {
    format!("sha-256=:{}:", STANDARD.encode(body.0))
}

/// The headers that carry `signatures` over `message`, labelled `sig1`, `sig2`, … in order.
pub fn headers(cluster: &ClusterId, message: &Message<'_>, signatures: &[RequestSignature]) -> SignedHeaders {
    let label = |i: usize| if i == 0 { LABEL.to_owned() } else { format!("sig{}", i + 1) };
    let inputs: Vec<_> = signatures
        .iter()
        .enumerate()
        .map(|(i, signature)| format!("{}={}", label(i), message.parameters(cluster, signature)))
        .collect();
    let values: Vec<_> =
        signatures.iter().enumerate().map(|(i, s)| format!("{}=:{}:", label(i), s.signature)).collect();
    let content_type = message.media.content_type();
    SignedHeaders {
        signature_input: inputs.join(", "),
        signature: values.join(", "),
        content_digest: content_type.map(|_| content_digest(&message.body)),
        content_type,
    }
}

/// Reads and verifies all of it: the form, the body's digest, the Content-Type, every signature. Returns the set.
pub fn authenticate(
    cluster: &ClusterId,
    message: &Message<'_>,
    received: &Received<'_>,
) -> Result<Vec<RequestSignature>, HeaderError> {
    let absent = || "absent".to_owned();
    let content_type = message.media.content_type();
    if received.content_type != content_type {
        let found = received.content_type.map_or_else(absent, str::to_owned);
        return Err(HeaderError::ContentType {
            found,
            expected: content_type.map_or_else(absent, str::to_owned),
        });
    }
    let digest = content_type.map(|_| content_digest(&message.body));
    if received.content_digest != digest.as_deref() {
        let found = received.content_digest.map_or_else(absent, str::to_owned);
        return Err(HeaderError::ContentDigest { found, expected: digest.unwrap_or_else(absent) });
    }
    let signatures = parse(cluster, message, received.signature_input, received.signature)?;
    verify(cluster, message, &signatures).map_err(HeaderError::Verify)?;
    Ok(signatures)
}

/// Reads `Signature-Input` and `Signature` into a set of signatures, sorted by key, without verifying them.
pub fn parse(
    cluster: &ClusterId,
    message: &Message<'_>,
    signature_input: &str,
    signature: &str,
) -> Result<Vec<RequestSignature>, HeaderError> {
    const INPUT: &str = "Signature-Input";
    const SIGNATURE: &str = "Signature";
    for (header, value) in [(INPUT, signature_input), (SIGNATURE, signature)] {
        if value.len() > MAX_HEADER {
            return Err(HeaderError::TooLong { header, length: value.len() });
        }
    }
    let syntax = |header| move |source| HeaderError::Syntax { header, source };
    let inputs = fields::inner_lists(signature_input).map_err(syntax(INPUT))?;
    let mut values = fields::byte_sequences(signature).map_err(syntax(SIGNATURE))?;
    let found = inputs.len().max(values.len());
    if found > Authority::MAX_SIGNATURES {
        return Err(HeaderError::TooMany { found });
    }
    unique(INPUT, inputs.iter().map(|(label, _)| *label))?;
    unique(SIGNATURE, values.iter().map(|(label, _)| *label))?;
    let mut signatures = Vec::with_capacity(inputs.len());
    for (label, input) in &inputs {
        let Some(place) = values.iter().position(|(other, _)| other == label) else {
            return Err(HeaderError::MissingLabel { header: SIGNATURE, label: (*label).to_owned() });
        };
        let (_, bytes) = values.swap_remove(place);
        signatures.push(read(cluster, message, label, input, bytes)?);
    }
    if let Some((label, _)) = values.first() {
        return Err(HeaderError::MissingLabel { header: INPUT, label: (*label).to_owned() });
    }
    signatures.sort_by_key(|signature| signature.key);
    match signatures.windows(2).find(|pair| matches!(pair, [a, b] if a.key == b.key)) {
        Some([twice, ..]) => Err(HeaderError::DuplicateKey(twice.key)),
        _ => Ok(signatures),
    }
}

fn unique<'a>(
    header: &'static str,
    labels: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), HeaderError> {
    for (i, label) in labels.clone().enumerate() {
        if labels.clone().take(i).any(|earlier| earlier == label) {
            return Err(HeaderError::DuplicateLabel { header, label: label.to_owned() });
        }
    }
    Ok(())
}

/// One label's signature.
fn read(
    cluster: &ClusterId,
    message: &Message<'_>,
    label: &str,
    input: &InnerList<'_>,
    bytes: Vec<u8>,
) -> Result<RequestSignature, HeaderError> {
    let expected = message.components();
    if !input.items.iter().eq(expected.iter().map(|(name, _)| name)) {
        let names: Vec<_> = input.items.iter().map(|name| format!("\"{name}\"")).collect();
        let (label, found) = (label.to_owned(), format!("({})", names.join(" ")));
        return Err(HeaderError::Components { label, found, expected: message.component_names() });
    }
    let mut parameters = Parameters { label, rest: &input.parameters };
    let created = parameters.integer("created")?;
    let expires = if parameters.next_is("expires") { Some(parameters.integer("expires")?) } else { None };
    let nonce = parameters.string("nonce", "must be 16 lower-case hexadecimal digits", |text| {
        (text.len() == 16 && is_lower_hex(text)).then(|| u64::from_str_radix(text, 16).ok())?
    })?;
    let key =
        parameters.string("keyid", "must be a public key in 64 lower-case hexadecimal digits", |text| {
            (text.len() == 64 && is_lower_hex(text)).then(|| text.parse().ok())?
        })?;
    parameters.string("alg", "must be \"ed25519\"", |text| (text == "ed25519").then_some(()))?;
    let found: ClusterId =
        parameters.string("tag", "must be \"hypermesh:\" and the cluster's id", |text| {
            text.strip_prefix(TAG_PREFIX)?.parse().ok()
        })?;
    parameters.end()?;
    if found != *cluster {
        return Err(HeaderError::Cluster { label: label.to_owned(), found, expected: *cluster });
    }
    let length = bytes.len();
    let bytes = bytes.try_into();
    let signature =
        bytes.map_err(|_| HeaderError::SignatureLength { label: label.to_owned(), length }).map(Signature)?;
    Ok(RequestSignature { key, created, expires, nonce, signature })
}

fn is_lower_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The parameters of one label, taken in their order.
struct Parameters<'a> {
    label: &'a str,
    rest: &'a [(&'a str, Value<'a>)],
}

impl<'a> Parameters<'a> {
    fn next_is(&self, name: &str) -> bool {
        self.rest.first().is_some_and(|(next, _)| *next == name)
    }

    fn fail(&self, name: &str, problem: &'static str) -> HeaderError {
        HeaderError::Parameter { label: self.label.to_owned(), name: name.to_owned(), problem }
    }

    fn next(&mut self, name: &str) -> Result<Value<'a>, HeaderError> {
        match self.rest {
            [(next, value), rest @ ..] if *next == name => {
                self.rest = rest;
                Ok(*value)
            }
            _ => Err(self
                .fail(name, "is missing or out of order (created, expires if any, nonce, keyid, alg, tag)")),
        }
    }

    fn integer(&mut self, name: &str) -> Result<u64, HeaderError> {
        match self.next(name)? {
            Value::Integer(number) => Ok(number),
            Value::String(_) => Err(self.fail(name, "must be an integer")),
        }
    }

    fn string<T>(
        &mut self,
        name: &str,
        problem: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, HeaderError> {
        match self.next(name)? {
            Value::String(text) => read(text).ok_or_else(|| self.fail(name, problem)),
            Value::Integer(_) => Err(self.fail(name, problem)),
        }
    }

    fn end(&self) -> Result<(), HeaderError> {
        match self.rest.first() {
            Some((name, _)) => Err(self.fail(name, "is not accepted here")),
            None => Ok(()),
        }
    }
}
