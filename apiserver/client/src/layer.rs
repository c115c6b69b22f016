//! What the client's layers have in common: each is a policy over the layer below, a function of a request.
//!
//! A layer is always ready, and waits for the one below with the request in hand: a wait then belongs to a request, and
//! is bounded with it.

use crate::body::Body;
use crate::error::Error;
use crate::wire::ReplyFuture;
use http::{Request, Response};
use std::sync::Arc;
use std::task::{Context, Poll};

/// A layer to send requests to.
pub(crate) trait Below:
    tower::Service<Request<Body>, Response = Response<Body>, Error = Error, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
    /// Sends a request, once the layer is ready for it.
    fn send(&self, request: Request<Body>) -> impl Future<Output = Result<Response<Body>, Error>> + Send {
        tower::ServiceExt::oneshot(self.clone(), request)
    }
}

impl<S> Below for S where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Error, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// What a layer does with a request.
pub(crate) trait Policy: Send + Sync + 'static {
    /// Sends the request below, as often and in what form it takes.
    fn run(
        self: Arc<Self>,
        below: impl Below,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Body>, Error>> + Send;
}

/// A policy and the layer below it. Clones share the policy.
pub(crate) struct Layer<P, S> {
    policy: Arc<P>,
    below: S,
}

impl<P, S> Layer<P, S> {
    pub fn over(below: S, policy: P) -> Self {
        Self { policy: Arc::new(policy), below }
    }

    pub fn policy(&self) -> &P {
        &self.policy
    }
}

impl<P, S: Clone> Clone for Layer<P, S> {
    fn clone(&self) -> Self {
        Self { policy: Arc::clone(&self.policy), below: self.below.clone() }
    }
}

impl<P: Policy, S: Below> tower::Service<Request<Body>> for Layer<P, S> {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ReplyFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> ReplyFuture {
        Box::pin(Arc::clone(&self.policy).run(self.below.clone(), request))
    }
}
