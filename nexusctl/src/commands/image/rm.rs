//! `image rm`: names of a node's images taken away.

use super::OnNode;
use crate::{
    client::Call,
    error::{Error, Exit},
    session::Session,
};
use clap::Args;
use http::Method;

const EXAMPLES: &str = "Examples:
  nexusctl image rm localhost/hello:1
  nexusctl image rm sha256:0123456789ab --node node1";

/// Arguments of `image rm`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The images: names, or digests with all their names
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Where
    #[command(flatten)]
    pub on: OnNode,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let path = arguments.on.images(session).await?;
    let mut failed = false;
    for image in &arguments.images {
        let call = Call::with_body(Method::DELETE, &path, "").query(&[("reference", image)]);
        match session.send(&call).await {
            Ok(_) => session.say(&format!("{image} removed"))?,
            Err(error) if error.is_unreachable() => return Err(error.into()),
            Err(error) => {
                failed = true;
                session.note(&Error::from(error).render(session.streams.err_color));
            }
        }
    }
    Ok(if failed { Exit::Failure } else { Exit::Success })
}
