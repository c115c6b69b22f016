//! `image import`: an archive of this machine is given to a node.

use super::{OnNode, progress};
use crate::{
    client::{Call, Upload},
    error::{Error, Exit, chain},
    session::Session,
};
use clap::Args;
use http::Method;
use std::{os::fd::AsFd as _, path::PathBuf};

const EXAMPLES: &str = "Examples:
  nexusctl image import hello.tar
  skopeo copy docker://registry.example.com/app:1 oci-archive:app.tar && nexusctl image import app.tar
  docker save app:1 | nexusctl image import -";

/// Arguments of `image import`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The archive, - for standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where
    #[command(flatten)]
    pub on: OnNode,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let upload = if arguments.file.as_os_str() == "-" {
        let own = std::io::stdin().as_fd().try_clone_to_owned();
        let own = own.map_err(|error| Error::Message(format!("standard input: {}", chain(&error))))?;
        Upload::new(tokio::fs::File::from_std(own.into()), None)
    } else {
        let told = |error: std::io::Error| {
            Error::Message(format!("{}: {}", arguments.file.display(), chain(&error)))
        };
        let file = tokio::fs::File::open(&arguments.file).await.map_err(told)?;
        let length = file.metadata().await.map_err(told)?;
        if length.is_dir() {
            let words = "a folder is no archive: `tar -cf image.tar -C FOLDER .` makes one of an OCI layout";
            return Err(Error::Message(format!("{}: {words}", arguments.file.display())));
        }
        Upload::new(file, Some(length.len()))
    };
    let path = arguments.on.images(session).await?;
    let call = Call::with_body(Method::POST, path, "");
    let what = format!("importing {}", arguments.file.display());
    let client = session.client()?;
    let lines = session.wait_for(&what, client.upload(&call, upload)).await?;
    progress::follow(lines, &what, session).await
}
