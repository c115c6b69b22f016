//! What the verbs of one invocation share: flags, streams, and the connection, discovery and schemas that are
//! fetched when first needed and never twice.

use crate::{
    cli::GlobalOptions,
    client::{Call, Client, Reply},
    discovery::{self, Discovery, cache},
    environment::{Environment, Streams},
    error::Error,
    kubeconfig::{self, Target},
    output::{Paint, progress::Progress},
};
use std::{
    collections::BTreeSet,
    io::{ErrorKind, Write},
    path::PathBuf,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How often a program that waits for more to say looks whether anybody still listens.
const LOOK: Duration = Duration::from_millis(500);

/// What is to be said on standard error, from wherever there is no session at hand.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    /// Adds a line.
    pub fn add(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One invocation.
pub struct Session {
    /// Flags that every verb takes.
    pub options: GlobalOptions,
    /// Variables and facts of the process.
    pub environment: Environment,
    /// Standard streams.
    pub streams: Streams,
    /// What is to be said when there is an occasion.
    pub notes: Notes,
    connection: Option<(Rc<Client>, String)>,
    discovery: Option<Rc<Discovery>>,
    warned: BTreeSet<String>,
    progress: Progress,
    /// Where discovery is kept.
    kept: Option<PathBuf>,
    /// Whether discovery is what was kept, and not what the server says now.
    from_disk: bool,
    /// Whether what was kept has been found wanting.
    doubted: bool,
    /// Whether something may have been changed.
    wrote: bool,
}

impl Session {
    /// An invocation that has done nothing yet.
    pub fn new(options: GlobalOptions, environment: Environment, streams: Streams) -> Self {
        Self {
            options,
            environment,
            streams,
            notes: Notes::default(),
            connection: None,
            discovery: None,
            warned: BTreeSet::new(),
            progress: Progress::default(),
            kept: None,
            from_disk: false,
            doubted: false,
            wrote: false,
        }
    }

    /// The server and identity that flags and kubeconfigs name.
    pub fn target(&self) -> Result<Target, Error> {
        Ok(kubeconfig::load(&self.environment, &self.options.overrides())?)
    }

    fn connection(&mut self) -> Result<&(Rc<Client>, String), Error> {
        if self.connection.is_none() {
            let target = self.target()?;
            let client = {
                let screen = self.streams.err_width;
                Client::new(&target, &self.environment, &self.options, &self.notes, screen)?
            };
            let authorities = target.authorities.as_ref().map(|authorities| &*authorities.pem);
            self.kept = cache::place(&self.environment, client.server(), authorities);
            self.connection = Some((Rc::new(client), target.namespace));
        }
        // Just filled.
        self.connection.as_ref().ok_or_else(|| Error::Message("no connection".into()))
    }

    /// The client.
    pub fn client(&mut self) -> Result<Rc<Client>, Error> {
        Ok(Rc::clone(&self.connection()?.0))
    }

    /// The namespace meant where none is named.
    pub fn namespace(&mut self) -> Result<String, Error> {
        Ok(self.connection()?.1.clone())
    }

    /// What the server serves. It may be what it served a few minutes ago: see [`Session::doubt_discovery`].
    pub async fn discovery(&mut self) -> Result<Rc<Discovery>, Error> {
        if let Some(discovery) = &self.discovery {
            return Ok(Rc::clone(discovery));
        }
        let client = self.client()?;
        let kept = match self.kept.as_deref().and_then(cache::read) {
            Some(kept) if !self.doubted && kept.is_fresh() => {
                self.from_disk = true;
                let discovery = Rc::new(kept.discovery);
                self.discovery = Some(Rc::clone(&discovery));
                return Ok(discovery);
            }
            kept => kept,
        };
        let what = "asking what the server serves";
        let kept = self.wait_for(what, discovery::fetch(&client, kept)).await?;
        if let Some(place) = &self.kept {
            cache::write(place, &kept);
        }
        let discovery = Rc::new(kept.discovery);
        self.discovery = Some(Rc::clone(&discovery));
        Ok(discovery)
    }

    /// Forgets what was read from disk, so that the server is asked: somebody named what is not there. False if there
    /// is no doubt, or if it is too late to begin again because something was written.
    pub fn doubt_discovery(&mut self) -> bool {
        if !self.from_disk || self.wrote {
            return false;
        }
        (self.from_disk, self.doubted, self.discovery) = (false, true, None);
        true
    }

    /// Sends a call; warnings go to standard error, each once.
    pub async fn send(&mut self, call: &Call) -> Result<Reply, crate::client::Error> {
        let client = match self.connection.as_ref() {
            Some((client, _)) => Rc::clone(client),
            None => self.client().map_err(|error| match error {
                Error::Client(error) => error,
                Error::Kubeconfig(error) => crate::client::Error::Kubeconfig(Box::new(error)),
                other => {
                    let message = crate::error::chain(&other);
                    crate::client::Error::Setup { origin: "nexusctl".into(), message }
                }
            })?,
        };
        self.wrote |= call.method != http::Method::GET;
        let reply = self.attended(&client, call).await?;
        self.warn(&reply.warnings);
        Ok(reply)
    }

    /// Sends a call, and tells who looks at a terminal when it takes long.
    async fn attended(&mut self, client: &Client, call: &Call) -> Result<Reply, crate::client::Error> {
        let Some(width) = self.streams.err_width else { return client.send(call).await };
        self.progress.begin(Instant::now());
        let otherwise = format!("waiting for {}", client.server());
        let mut work = std::pin::pin!(client.send(call));
        let result = loop {
            let due = self.progress.due(Instant::now()).into();
            tokio::select! {
                result = &mut work => break result,
                () = tokio::time::sleep_until(due) => {
                    self.progress.draw(Instant::now(), &otherwise, width, &mut *self.streams.err);
                }
            }
        };
        if !self.progress.is_named() || result.is_err() {
            self.progress.clear(&mut *self.streams.err);
            self.progress.name(None);
        }
        result
    }

    /// Names what several calls are about, for who waits for long; `None` at its end.
    pub fn progress(&mut self, what: Option<String>) {
        if what.is_none() {
            self.progress.clear(&mut *self.streams.err);
        }
        self.progress.name(what);
    }

    /// Waits for something else than a reply, and tells `what` when it takes long.
    pub async fn wait_for<T>(&mut self, what: &str, work: impl Future<Output = T>) -> T {
        let Some(width) = self.streams.err_width else { return work.await };
        let mut progress = Progress::default();
        progress.begin(Instant::now());
        let mut work = std::pin::pin!(work);
        let result = loop {
            let due = progress.due(Instant::now()).into();
            tokio::select! {
                result = &mut work => break result,
                () = tokio::time::sleep_until(due) => {
                    progress.draw(Instant::now(), what, width, &mut *self.streams.err);
                }
            }
        };
        progress.clear(&mut *self.streams.err);
        result
    }

    /// What comes of `work`, which may take for ever, unless nobody reads standard output any more.
    pub async fn while_read<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return Ok(result),
                () = tokio::time::sleep(LOOK) => if self.streams.is_abandoned() {
                    return Err(Error::Output(ErrorKind::BrokenPipe.into()));
                },
            }
        }
    }

    /// Colours for standard output, if it takes them.
    pub fn paint(&self) -> Paint {
        Paint::new(self.streams.out_color)
    }

    /// Hands a server's warnings to standard error, each once.
    pub fn warn(&mut self, warnings: &[String]) {
        for warning in warnings {
            if self.warned.insert(warning.clone()) {
                self.streams.tell(&format!("Warning: {}", crate::output::escape(warning)));
            }
        }
    }

    /// Writes to standard output.
    pub fn print(&mut self, text: &str) -> Result<(), Error> {
        self.write(text.as_bytes())
    }

    /// Writes bytes to standard output.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.progress.clear(&mut *self.streams.err);
        self.heard(|out| out.write_all(bytes))
    }

    /// Hands something to standard output. Where nobody reads any more, what only looks at things has no reason to go
    /// on; what changes them does all that it was told to, and its exit says how that went.
    fn heard(&mut self, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), Error> {
        match write(&mut *self.streams.out) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe && self.wrote => Ok(()),
            done => done.map_err(Error::Output),
        }
    }

    /// Writes a line to standard output.
    pub fn say(&mut self, line: &str) -> Result<(), Error> {
        self.print(line)?;
        self.print("\n")
    }

    /// Hands what was written on, so that a watcher sees it now.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.heard(|out| out.flush())?;
        self.say_notes();
        Ok(())
    }

    fn say_notes(&mut self) {
        for line in self.notes.take() {
            self.streams.tell(&crate::output::escape(&line));
        }
    }

    /// Writes a line to standard error.
    pub fn note(&mut self, line: &str) {
        self.progress.clear(&mut *self.streams.err);
        // Output first, so that the two interleave as they happened.
        let _ = self.streams.out.flush();
        self.say_notes();
        self.streams.tell(line);
    }
}
