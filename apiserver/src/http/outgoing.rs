//! Bodies of replies: whole, in parts, or as events come.
//!
//! A body notes when a part is handed over and when the next one is asked for: who takes nothing is noticed by the
//! connection. It also ends the request that it answers: a request is in progress until its reply is sent.

use crate::budget::Reservation;
use crate::connection::{InProgress, Pace};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;

/// A whole reply is handed over in parts of this size: what a client does not take stays here, where it is counted.
const PART: usize = 64 * 1024;

/// A part of a reply that is made while it is sent.
pub(super) enum Part {
    /// Bytes of it.
    Bytes(Bytes),
    /// That was all. A reply whose maker is gone without having said so breaks off: half must not look like all.
    End,
}

/// The body of a reply.
pub(crate) struct Outgoing {
    source: Source,
    /// Whether its bytes hold a reservation.
    charged: bool,
    pace: Option<Arc<Pace>>,
    request: Option<InProgress>,
}

enum Source {
    Whole(Bytes),
    Parts(mpsc::Receiver<Part>),
    Events(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
    Relayed(Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>),
}

impl Outgoing {
    fn new(source: Source) -> Self {
        Self { source, charged: false, pace: None, request: None }
    }

    /// Nothing.
    pub(super) fn empty() -> Self {
        Self::whole(Bytes::new())
    }

    /// What is there already.
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::new(Source::Whole(bytes.into()))
    }

    /// What someone else makes meanwhile.
    pub(super) fn parts(parts: mpsc::Receiver<Part>) -> Self {
        Self::new(Source::Parts(parts))
    }

    /// What comes, as long as it comes.
    pub(super) fn events(events: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self::new(Source::Events(Box::pin(events)))
    }

    /// What somebody else says, as long as it comes; where that breaks off, so does the reply.
    pub(super) fn relayed(bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self::new(Source::Relayed(Box::pin(bytes)))
    }

    /// The same body, which keeps something as long as it lasts.
    pub(super) fn keeping(mut self, what: impl Send + 'static) -> Self {
        let empty = Source::Whole(Bytes::new());
        self.source = match std::mem::replace(&mut self.source, empty) {
            Source::Relayed(bytes) => Source::Relayed(Box::pin(bytes.map(move |part| {
                let _kept = &what;
                part
            }))),
            other => other,
        };
        self
    }

    /// How long a whole body is, in bytes; 0 for one that is made while it is sent.
    pub(super) fn length(&self) -> usize {
        match &self.source {
            Source::Whole(bytes) => bytes.len(),
            _ => 0,
        }
    }

    /// Whether somebody is charged for its bytes already.
    pub(super) fn is_charged(&self) -> bool {
        self.charged
    }

    /// The same body, whose bytes hold `room` until they are sent.
    pub(super) fn holding(mut self, room: Reservation) -> Self {
        if let Source::Whole(bytes) = &mut self.source
            && !bytes.is_empty()
        {
            *bytes = held(std::mem::take(bytes), room);
            self.charged = true;
        }
        self
    }

    /// The same body, which ends `request` and tells its pace.
    pub(crate) fn sent_by(mut self, request: InProgress, pace: Option<Arc<Pace>>) -> Self {
        self.request = Some(request);
        self.pace = pace;
        self
    }

    fn finish(&mut self) {
        if let Some(mut request) = self.request.take() {
            request.finish();
        }
    }
}

/// Bytes that give back what was reserved for them when the last of them has been sent.
pub(super) fn held(bytes: Bytes, room: Reservation) -> Bytes {
    struct Held {
        bytes: Bytes,
        _room: Reservation,
    }
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    Bytes::from_owner(Held { bytes, _room: room })
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(pace) = &self.pace {
            pace.taken();
        }
        let part = match &mut self.source {
            Source::Whole(bytes) if bytes.is_empty() => None,
            Source::Whole(bytes) => Some(Ok(bytes.split_to(bytes.len().min(PART)))),
            Source::Parts(parts) => match ready!(parts.poll_recv(cx)) {
                Some(Part::Bytes(bytes)) => Some(Ok(bytes)),
                Some(Part::End) => None,
                None => Some(Err(io::Error::other("the reply could not be made to its end"))),
            },
            Source::Events(events) => ready!(events.as_mut().poll_next(cx)).map(Ok),
            Source::Relayed(bytes) => ready!(bytes.as_mut().poll_next(cx)),
        };
        if part.is_none() || self.is_end_stream() {
            self.finish();
        }
        // Who reads a log page by page may take their time: what waits is the agent's, within the windows of its stream.
        let relayed = matches!(self.source, Source::Relayed(_));
        if let (Some(_), Some(pace)) = (&part, self.pace.as_ref().filter(|_| !relayed)) {
            pace.handed();
        }
        Poll::Ready(part.map(|part| part.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.source, Source::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // A body that holds nothing, or whose length alone was asked for (HEAD), is never polled.
        if self.is_end_stream() {
            self.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Budget, Caller};
    use http_body_util::BodyExt;
    use std::time::Duration;

    #[tokio::test]
    async fn a_whole_body_goes_out_in_parts_and_gives_back_what_it_held() {
        let budget = Budget::new("replies", 1 << 20, Duration::ZERO);
        let bytes: Vec<u8> = (0..PART * 2 + 7).map(|n| n as u8).collect();
        let reservation = budget.try_reserve(Caller::Stranger, bytes.len()).unwrap();
        let mut body = Outgoing::whole(held(bytes.clone().into(), reservation));
        assert_eq!(body.size_hint().exact(), Some(bytes.len() as u64));
        let mut sent = Vec::new();
        let mut parts = Vec::new();
        while let Some(frame) = body.frame().await {
            let part = frame.unwrap().into_data().unwrap();
            sent.extend_from_slice(&part);
            parts.push(part);
        }
        assert_eq!((parts.len(), sent == bytes), (3, true));
        drop(body);
        assert_eq!(budget.figures().0, bytes.len(), "a part that is not sent holds all of it");
        drop(parts);
        assert_eq!(budget.figures().0, 0);
    }

    #[tokio::test]
    async fn what_breaks_off_is_no_end() {
        let (sender, parts) = mpsc::channel(2);
        let mut body = Outgoing::parts(parts);
        sender.send(Part::Bytes("half".into())).await.ok();
        drop(sender);
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.unwrap().is_err());
        let (sender, parts) = mpsc::channel(2);
        let mut body = Outgoing::parts(parts);
        sender.send(Part::End).await.ok();
        assert!(body.frame().await.is_none());
    }
}
