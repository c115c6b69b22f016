//! What an API server and an agent say to each other about what runs on a node.
//!
//! The agent serves HTTP/3 over stoq (ALPN `h3`) at its Node's `status.agentEndpoint`. It shows the key that is its
//! Node's `spec.publicKey`; the API server shows its own certificate, which the cluster's authority issued. A request
//! is one [`Route`], in the name of one [`Caller`]; the API server has authorized it before it dials. An agent answers
//! 200, or a `v1` Status in JSON with the code that says why not.
//!
//! | route | request body | answer's body |
//! |---|---|---|
//! | `GET /v1/log` | none | the log's bytes |
//! | `POST /v1/exec`, `POST /v1/attach` | [`Frame`]s: stdin, resize, close | [`Frame`]s: stdout, stderr, at last one error |
//! | `POST /v1/portforward` | bytes to the port | bytes from the port; one request a connection |
//! | `GET /v1/stats` | none | [`stats::Summary`] |
//! | `GET`, `POST`, `DELETE /v1/images` | an archive, to import one | [`image::Image`]s, or lines of [`image::Progress`] |
//!
//! Back-pressure is the transport's: who reads slowly slows the sender, on every route. Silence is no end: an agent
//! gives bodies of requests [`IDLE`] (`HttpLimits::body_patience`), since a shell may wait for its user that long.
//! Either side gives up by resetting the stream, and the other ends what it began.
//!
//! The other way goes [`liveness`]: the agent tells an API server, in a request that lasts, that it is there.
//!
//! Pure: bytes and text to values and back. It opens nothing, reads no clock, and bounds what hostile input may cost.

pub mod caller;
pub mod exit;
pub mod frame;
pub mod image;
pub mod liveness;
pub mod route;
pub mod stats;

pub use caller::{Author, Caller, CallerError, Signed, User};
pub use exit::{exit_code, exited};
pub use frame::{Channel, Decoder, Frame, FrameError, Resize, data_frames};
pub use route::{ImageAction, Instance, LogOptions, Route, Terminal};

use std::time::Duration;

/// The port at which agents listen unless told otherwise.
pub const PORT: u16 = 6444;

/// How long a stream may say nothing before it is over, on either side; the kubelet's default.
pub const IDLE: Duration = Duration::from_secs(4 * 3600);

/// Streams of one connection between an API server and an agent, at a time: both ends grant so many.
pub const STREAMS: u32 = 4096;
/// Bytes that either end may send on a stream before they are read.
pub const STREAM_WINDOW: u32 = 128 << 10;
/// Bytes that either end may send on all streams before they are read. As many as 512 streams whose readers pause, which is
/// what one user may have: nobody's pause stops anybody else.
pub const CONNECTION_WINDOW: u32 = 64 << 20;

/// The request header, and the answer's, that say that a body is [`Frame`]s. A client of the API server that does not
/// speak WebSocket asks for `exec` and `attach` so, by POST over HTTP/2 or HTTP/3, and for `portforward` with
/// [`RAW`]: its body goes to the agent as it is.
pub const STREAM: &str = "hypermesh-stream";
/// The value of [`STREAM`] for frames, and their version.
pub const FRAMES: &str = "frames/v1";
/// The value of [`STREAM`] for plain bytes.
pub const RAW: &str = "raw/v1";
