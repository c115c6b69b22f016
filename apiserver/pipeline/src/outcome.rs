//! What a request came to.

use bytes::Bytes;
use hypermesh_api::Status;
use hypermesh_chain::{Record, Revision};
use std::sync::Arc;

/// The body of a reply.
#[derive(Clone, Debug)]
pub enum Body {
    /// An object, as it is stored.
    Object(Arc<Record>),
    /// Any other document.
    Document(Bytes),
}

impl Body {
    /// The bytes, JSON.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Object(record) => &record.body,
            Self::Document(bytes) => bytes,
        }
    }
}

/// What is to be said of a request beside what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// To whoever sent it: texts of `Warning: 299` headers.
    pub warnings: Vec<String>,
    /// To who reads the server's log.
    pub audit: Vec<String>,
}

/// What a request came to: the same on every replica.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// HTTP status code.
    pub code: u16,
    /// The body.
    pub body: Body,
    /// Texts of `Warning: 299` headers.
    pub warnings: Vec<String>,
    /// What is noted of it in the server's log.
    pub audit: Vec<String>,
    /// Revision of the last write, or 0.
    pub revision: Revision,
    /// How many writes it made. An outcome without writes need not be ordered.
    pub writes: u32,
}

impl Outcome {
    /// A refusal.
    pub fn refused(status: &Status) -> Self {
        let body = serde_json::to_vec(status).unwrap_or_default();
        Self {
            code: status.code,
            body: Body::Document(body.into()),
            warnings: Vec::new(),
            audit: Vec::new(),
            revision: Revision(0),
            writes: 0,
        }
    }
}

/// What a verb hands back when it succeeds.
#[derive(Debug)]
pub(crate) struct Reply {
    pub code: u16,
    pub body: Body,
}

impl Reply {
    pub fn object(code: u16, record: Arc<Record>) -> Self {
        Self { code, body: Body::Object(record) }
    }

    pub fn document(code: u16, document: &impl serde::Serialize) -> Result<Self, Status> {
        let bytes = serde_json::to_vec(document).map_err(Status::internal)?;
        Ok(Self { code, body: Body::Document(bytes.into()) })
    }
}
