//! The id of the cluster that requests are signed for.
//!
//! Best is a kubeconfig that pins it: then no server can have a signature made for another cluster, in which the same
//! key may be known. Else the server that the kubeconfig's authority vouches for is asked once, and believed as far as
//! that authority is; an [`Acquaintance`] is told, and may know better.

use crate::body::Body;
use crate::config::Acquaintance;
use crate::error::Error;
use crate::layer::Below;
use http::{HeaderValue, Request, header};
use hypermesh_chain::ClusterId;
use tokio::sync::OnceCell;

/// Where a server says of which cluster it is.
const WHERE: &str = "/version";
/// The longest answer that is read, in bytes.
const LONGEST: usize = 64 << 10;

/// A cluster's id, pinned or learnt.
pub(super) struct Cluster {
    pinned: Option<ClusterId>,
    acquaintance: Option<Acquaintance>,
    /// What the server says; `None` inside for a server that is not of our kind.
    said: OnceCell<Option<ClusterId>>,
}

impl Cluster {
    pub fn new(pinned: Option<ClusterId>, acquaintance: Option<Acquaintance>) -> Self {
        Self { pinned, acquaintance, said: OnceCell::new() }
    }

    /// The id; `None` where the server takes no signatures.
    pub async fn id(&self, below: &impl Below) -> Result<Option<ClusterId>, Error> {
        match self.pinned {
            Some(id) => Ok(Some(id)),
            None => self.said(below).await,
        }
    }

    async fn said(&self, below: &impl Below) -> Result<Option<ClusterId>, Error> {
        let meet = || async {
            let found = ask(below).await?;
            if let (None, Some(id), Some(Acquaintance(told))) = (self.pinned, &found, &self.acquaintance) {
                told(id)?;
            }
            Ok(found)
        };
        self.said.get_or_try_init(meet).await.copied()
    }

    /// After a refusal: whether the server is of the cluster that is pinned.
    pub async fn check(&self, below: &impl Below, server: &str) -> Result<(), Error> {
        let Some(expected) = self.pinned else { return Ok(()) };
        match self.said(below).await? {
            Some(found) if found != expected => {
                Err(Error::Cluster { server: server.to_owned(), found, expected })
            }
            _ => Ok(()),
        }
    }
}

async fn ask(below: &impl Below) -> Result<Option<ClusterId>, Error> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = http::Uri::from_static(WHERE);
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let reply = below.send(request).await?;
    if !reply.status().is_success() {
        return Ok(None);
    }
    let Ok(body) = reply.into_body().collect(LONGEST).await else { return Ok(None) };
    let version: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    Ok(version.get("clusterId").and_then(|id| id.as_str()?.parse().ok()))
}
