//! What the verbs of one invocation share: flags, streams, and the connection, discovery and schemas that are
//! fetched when first needed and never twice.

use crate::{
    cli::GlobalOptions,
    client::{Call, Client, Reply},
    discovery::{self, Discovery},
    environment::{Environment, Streams},
    error::Error,
    kubeconfig::{self, Target},
};
use std::{collections::BTreeSet, io::Write as _, rc::Rc};

/// One invocation.
pub struct Session {
    /// Flags that every verb takes.
    pub options: GlobalOptions,
    /// Variables and facts of the process.
    pub environment: Environment,
    /// Standard streams.
    pub streams: Streams,
    connection: Option<(Rc<Client>, String)>,
    discovery: Option<Rc<Discovery>>,
    warned: BTreeSet<String>,
}

impl Session {
    /// An invocation that has done nothing yet.
    pub fn new(options: GlobalOptions, environment: Environment, streams: Streams) -> Self {
        Self { options, environment, streams, connection: None, discovery: None, warned: BTreeSet::new() }
    }

    /// The server and identity that flags and kubeconfigs name.
    pub fn target(&self) -> Result<Target, Error> {
        Ok(kubeconfig::load(&self.environment, &self.options.overrides())?)
    }

    fn connection(&mut self) -> Result<&(Rc<Client>, String), Error> {
        if self.connection.is_none() {
            let target = self.target()?;
            let client = Client::new(&target, &self.environment, self.options.timeout())?;
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

    /// What the server serves.
    pub async fn discovery(&mut self) -> Result<Rc<Discovery>, Error> {
        if let Some(discovery) = &self.discovery {
            return Ok(Rc::clone(discovery));
        }
        let client = self.client()?;
        let discovery = Rc::new(discovery::fetch(&client).await?);
        self.discovery = Some(Rc::clone(&discovery));
        Ok(discovery)
    }

    /// Sends a call; warnings go to standard error, each once.
    pub async fn send(&mut self, call: &Call) -> Result<Reply, crate::client::Error> {
        let client = match self.connection.as_ref() {
            Some((client, _)) => Rc::clone(client),
            None => self.client().map_err(|error| match error {
                Error::Client(error) => error,
                other => {
                    crate::client::Error::Setup { origin: "nexusctl".into(), message: other.to_string() }
                }
            })?,
        };
        let reply = client.send(call).await?;
        self.warn(&reply.warnings);
        Ok(reply)
    }

    /// Hands a server's warnings to standard error, each once.
    pub fn warn(&mut self, warnings: &[String]) {
        for warning in warnings {
            if self.warned.insert(warning.clone()) {
                let _ = writeln!(self.streams.err, "Warning: {}", crate::output::escape(warning));
            }
        }
    }

    /// Writes to standard output.
    pub fn print(&mut self, text: &str) -> Result<(), Error> {
        self.streams.out.write_all(text.as_bytes()).map_err(Error::Output)
    }

    /// Writes a line to standard output.
    pub fn say(&mut self, line: &str) -> Result<(), Error> {
        self.print(line)?;
        self.print("\n")
    }

    /// Hands what was written on, so that a watcher sees it now.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.streams.out.flush().map_err(Error::Output)
    }

    /// Writes a line to standard error.
    pub fn note(&mut self, line: &str) {
        // Output first, so that the two interleave as they happened.
        let _ = self.streams.out.flush();
        let _ = writeln!(self.streams.err, "{line}");
    }
}
