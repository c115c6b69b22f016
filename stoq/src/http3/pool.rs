//! Open connections of a client: one for each authority, dialled once however many wait for it.

use crate::connection::{Connection, Handshake};
use crate::endpoint::{Endpoint, Target};
use crate::error::ConnectError;
use crate::http3::ALPN;
use crate::http3::client::Options;
use crate::http3::error::RequestError;
use crate::http3::transport::{Opener, StreamRules, Transport};
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, Shared};
use h3::client::SendRequest;
use h3::error::Code;
use http::Uri;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Whom a URI speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    host: String,
    port: u16,
}

impl Key {
    pub(crate) fn of(uri: &Uri) -> Result<Self, RequestError> {
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or(RequestError::Invalid("its URI names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        Ok(Self { host, port: uri.port_u16().unwrap_or(443) })
    }
}

type Dialling = Shared<BoxFuture<'static, Result<Arc<Live>, ConnectError>>>;

enum Slot {
    Dialling(Dialling),
    Open(Arc<Live>),
}

type Slots = Mutex<HashMap<Key, Slot>>;

#[derive(Default)]
pub(crate) struct Pool(Arc<Slots>);

impl Pool {
    /// The connection for an authority, dialled if there is none. `early`: a connection may be given out before its
    /// handshake is over.
    pub(crate) async fn live(
        &self,
        options: &Options,
        key: &Key,
        early: bool,
    ) -> Result<Arc<Live>, ConnectError> {
        let dialling = {
            let mut slots = self.0.lock();
            match slots.get(key) {
                Some(Slot::Open(live)) if live.is_usable() => return Ok(Arc::clone(live)),
                Some(Slot::Dialling(dialling)) => dialling.clone(),
                _ => {
                    let place = Place { slots: Arc::downgrade(&self.0), key: key.clone() };
                    let dialling = dial(options, place, early).boxed().shared();
                    slots.insert(key.clone(), Slot::Dialling(dialling.clone()));
                    dialling
                }
            }
        };
        let dialled = dialling.clone().await;
        let mut slots = self.0.lock();
        // The first to hear of it puts it into the slot; by then another may have begun anew.
        if matches!(slots.get(key), Some(Slot::Dialling(current)) if current.ptr_eq(&dialling)) {
            match &dialled {
                Ok(live) => slots.insert(key.clone(), Slot::Open(Arc::clone(live))),
                Err(_) => slots.remove(key),
            };
        }
        dialled
    }
}

/// Where a connection stands in the pool.
struct Place {
    slots: Weak<Slots>,
    key: Key,
}

impl Place {
    /// Takes a connection out that has ended.
    fn leave(&self, live: &Weak<Live>) {
        let Some(slots) = self.slots.upgrade() else { return };
        let mut slots = slots.lock();
        if matches!(slots.get(&self.key), Some(Slot::Open(open)) if std::ptr::eq(Arc::as_ptr(open), live.as_ptr()))
        {
            slots.remove(&self.key);
        }
    }
}

fn dial(
    options: &Options,
    place: Place,
    early: bool,
) -> impl Future<Output = Result<Arc<Live>, ConnectError>> + Send + 'static {
    let key = place.key.clone();
    let endpoint = options.endpoint.clone();
    let resolving = (options.resolve)(key.host.clone(), key.port);
    let name = options.server_name.clone().unwrap_or_else(|| key.host.clone());
    let (field_bytes, idle) = (options.field_bytes, options.idle);
    async move {
        let addresses = match key.host.parse() {
            Ok(address) => vec![std::net::SocketAddr::new(address, key.port)],
            Err(_) => resolving.await.map_err(|source| ConnectError::Resolve {
                name: format!("{}:{}", key.host, key.port),
                source: Arc::new(source),
            })?,
        };
        let target = Target::named(name, addresses);
        let connection = endpoint.dial(&target, ALPN, early).await?;
        Live::start(endpoint, target, connection, place, field_bytes, idle).await
    }
}

type Sender = SendRequest<Opener, Bytes>;

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// What is sent is early data.
    Early,
    Ready,
    Gone,
}

/// A connection on which requests can be sent.
pub(crate) struct Live {
    endpoint: Endpoint,
    target: Target,
    connection: Connection,
    sender: Mutex<Sender>,
    stage: watch::Receiver<Stage>,
    /// No new request goes here.
    retired: AtomicBool,
    uses: Mutex<Uses>,
}

struct Uses {
    /// Requests that were begun.
    all: u64,
    now: usize,
    last: Instant,
}

/// A request on a connection, from its sending to the end of its answer: keeps the connection open.
pub(crate) struct Use(Arc<Live>);

impl Drop for Use {
    fn drop(&mut self) {
        let mut uses = self.0.uses.lock();
        uses.now -= 1;
        uses.last = Instant::now();
    }
}

impl Live {
    async fn start(
        endpoint: Endpoint,
        target: Target,
        connection: Connection,
        place: Place,
        field_bytes: u64,
        idle: Duration,
    ) -> Result<Arc<Self>, ConnectError> {
        let early = connection.handshake() == Handshake::Running;
        let (driver, sender, detach) = match layer(&connection, field_bytes).await {
            Ok(layer) => layer,
            Err(()) => return Err(why(&endpoint, &target, &connection)),
        };
        let (stage, stages) = watch::channel(if early { Stage::Early } else { Stage::Ready });
        let live = Arc::new(Self {
            endpoint,
            target,
            connection: connection.clone(),
            sender: Mutex::new(sender),
            stage: stages,
            retired: AtomicBool::new(false),
            uses: Mutex::new(Uses { all: 0, now: 0, last: Instant::now() }),
        });
        let weak = Arc::downgrade(&live);
        tokio::spawn(async move {
            let proven = if early {
                proven(driver, &detach, &connection, &weak, field_bytes).await
            } else {
                Some(driver)
            };
            if let Some(driver) = proven {
                let _ = stage.send(Stage::Ready);
                drive(driver, &weak, idle).await;
            }
            let _ = stage.send(Stage::Gone);
            place.leave(&weak);
            connection.close(u32::try_from(Code::H3_NO_ERROR.value()).unwrap_or_default(), "");
        });
        Ok(live)
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn sender(&self) -> Sender {
        self.sender.lock().clone()
    }

    pub(crate) fn is_early(&self) -> bool {
        *self.stage.borrow() == Stage::Early
    }

    fn is_usable(&self) -> bool {
        !self.retired.load(Ordering::Acquire)
            && *self.stage.borrow() != Stage::Gone
            && self.connection.quinn().close_reason().is_none()
    }

    /// New requests go elsewhere; those in progress stay.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Waits until the server is proven.
    pub(crate) async fn ready(&self) -> Result<(), ConnectError> {
        let mut stages = self.stage.clone();
        let _ = stages.wait_for(|stage| *stage != Stage::Early).await;
        if !matches!(self.connection.handshake(), Handshake::Done { .. }) {
            self.retire();
            return Err(why(&self.endpoint, &self.target, &self.connection));
        }
        // One that was open and ended is found out by the sender, which knows that nothing was sent.
        Ok(())
    }

    /// Whether requests were sent here before.
    pub(crate) fn is_used(&self) -> bool {
        self.uses.lock().all > 0
    }

    pub(crate) fn begin(self: &Arc<Self>) -> Use {
        let mut uses = self.uses.lock();
        uses.all += 1;
        uses.now += 1;
        drop(uses);
        Use(Arc::clone(self))
    }
}

type Driver = h3::client::Connection<Transport, Bytes>;

async fn layer(connection: &Connection, field_bytes: u64) -> Result<(Driver, Sender, Arc<AtomicBool>), ()> {
    let rules = StreamRules {
        most_headers: field_bytes.saturating_mul(2),
        dropped: Code::H3_REQUEST_CANCELLED,
        unread: Code::H3_REQUEST_CANCELLED,
        answers_itself: false,
    };
    let transport = Transport::new(connection, rules);
    let detach = transport.detach();
    let (driver, sender) = h3::client::builder()
        .max_field_section_size(field_bytes)
        .send_grease(false)
        .build::<_, _, Bytes>(transport)
        .await
        .map_err(drop)?;
    Ok((driver, sender, detach))
}

/// Waits for the end of the handshake. If the server did not take early data, what was opened until then does not exist
/// for it: all begins anew on the same connection. Nothing of the server is read before, lest the old layer take it.
async fn proven(
    driver: Driver,
    detach: &AtomicBool,
    connection: &Connection,
    live: &Weak<Live>,
    field_bytes: u64,
) -> Option<Driver> {
    if connection.handshake_done().await? {
        return Some(driver);
    }
    detach.store(true, Ordering::Release);
    drop(driver);
    let (fresh, sender, _) = layer(connection, field_bytes).await.ok()?;
    *live.upgrade()?.sender.lock() = sender;
    Some(fresh)
}

/// Reads what is not of one request, until the connection ends or has been idle for too long.
async fn drive(mut driver: Driver, live: &Weak<Live>, idle: Duration) {
    loop {
        tokio::select! {
            _ = driver.wait_idle() => return,
            () = tokio::time::sleep(idle) => {
                let Some(live) = live.upgrade() else { continue };
                let uses = live.uses.lock();
                if uses.now == 0 && uses.last.elapsed() >= idle {
                    live.retire();
                    return;
                }
            }
        }
    }
}

/// Why a handshake failed that was not waited for.
fn why(endpoint: &Endpoint, target: &Target, connection: &Connection) -> ConnectError {
    let address = connection.remote_address();
    match connection.quinn().close_reason() {
        // Closed here because it took too long.
        Some(quinn::ConnectionError::LocallyClosed) | None => {
            ConnectError::NoAnswer { address, after: endpoint.settings().handshake_timeout }
        }
        Some(error) => endpoint.failed(error, address, target.name(), ALPN),
    }
}
