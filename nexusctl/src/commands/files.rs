//! `-f` and `-R`, which several verbs take.

use crate::{
    error::Error,
    manifest::{self, Placed},
    session::Session,
};
use clap::Args;

/// Manifests named on the command line.
#[derive(Args, Clone, Debug, Default)]
pub struct Files {
    /// Files, folders, or - for standard input; may be given several times
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    pub filenames: Vec<String>,
    /// Search folders' subfolders too
    #[arg(short = 'R', long)]
    pub recursive: bool,
}

impl Files {
    /// Reads and places all objects; one fault and there are none.
    pub async fn read(&self, session: &mut Session) -> Result<Vec<Placed>, Error> {
        if self.filenames.iter().filter(|f| *f == "-").count() > 1 {
            return Err(Error::Message("standard input can be read once only: -f - is given twice".into()));
        }
        let sources = manifest::read_all(&self.filenames, self.recursive, &mut session.streams.input);
        let documents = manifest::documents(&sources.map_err(Error::Manifests)?).map_err(Error::Manifests)?;
        if documents.is_empty() {
            let names = self.filenames.join(", ");
            return Err(Error::Message(format!("no objects in {names}")));
        }
        let namespace = session.namespace()?;
        let required = session.options.namespace.clone();
        let discovery = session.discovery().await?;
        manifest::place(documents, &discovery, &namespace, required.as_deref()).map_err(Error::Manifests)
    }
}
