//! `-f` and `-R`, which several verbs take.

use crate::{
    error::Error,
    manifest::{self, Placed, Source, Unread, document::Naming},
    remote,
    session::Session,
};
use clap::Args;
use std::sync::Arc;

/// Manifests named on the command line.
#[derive(Args, Clone, Debug, Default)]
pub struct Files {
    /// Files, folders, URLs (https), or - for standard input; may be given several times
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub filenames: Vec<String>,
    /// Search folders' subfolders too
    #[arg(short = 'R', long)]
    pub recursive: bool,
    /// Fetch URLs over plain HTTP and from servers whose certificate cannot be checked, too
    #[arg(long)]
    pub insecure_fetch: bool,
}

impl Files {
    /// Reads all texts, wherever they lie; one that cannot be read and there are none.
    pub async fn sources(&self, session: &mut Session) -> Result<Vec<Arc<Source>>, Error> {
        if self.filenames.iter().filter(|f| *f == "-").count() > 1 {
            return Err(Error::Message("standard input can be read once only: -f - is given twice".into()));
        }
        let (mut sources, mut faults) = (Vec::new(), Vec::new());
        for name in &self.filenames {
            let read = if remote::is_url(name) {
                let fetched = remote::fetch(name, self.insecure_fetch, &session.environment).await;
                fetched.map(|source| vec![source]).map_err(|fault| vec![Unread::Faulty(fault)])
            } else {
                let name = std::slice::from_ref(name);
                manifest::read_all(name, self.recursive, &mut session.streams.input)
            };
            match read {
                Ok(read) => sources.extend(read),
                Err(found) => faults.extend(found),
            }
        }
        if faults.is_empty() {
            return Ok(sources);
        }
        let nothing = |unread: &Unread| match unread {
            Unread::Nothing(words) => Some(words.clone()),
            Unread::Faulty(_) => None,
        };
        // What is only not there is another matter than what is wrong.
        match faults.iter().map(nothing).collect::<Option<Vec<String>>>() {
            Some(words) => Err(Error::NoObjects(words.join("\n"))),
            None => Err(Error::Manifests(faults.into_iter().map(Into::into).collect())),
        }
    }

    /// Reads and places all objects; one fault and there are none.
    pub async fn read(&self, session: &mut Session) -> Result<Vec<Placed>, Error> {
        self.read_named(Naming::Required, session).await
    }

    /// Reads and places objects that are to be created: the server may choose their names.
    pub async fn read_to_create(&self, session: &mut Session) -> Result<Vec<Placed>, Error> {
        self.read_named(Naming::Generated, session).await
    }

    async fn read_named(&self, naming: Naming, session: &mut Session) -> Result<Vec<Placed>, Error> {
        let sources = self.sources(session).await?;
        let documents = manifest::document::named(&sources, naming).map_err(Error::Manifests)?;
        if documents.is_empty() {
            let names = self.filenames.join(", ");
            return Err(Error::NoObjects(format!("no objects in {names}")));
        }
        let namespace = session.namespace()?;
        let required = session.options.namespace.clone();
        let discovery = session.discovery().await?;
        let placed = manifest::place(documents.clone(), &discovery, &namespace, required.as_deref());
        // The kind may be younger than what is known of the server.
        if placed.is_err() && session.doubt_discovery() {
            let discovery = session.discovery().await?;
            return manifest::place(documents, &discovery, &namespace, required.as_deref())
                .map_err(Error::Manifests);
        }
        placed.map_err(Error::Manifests)
    }
}
