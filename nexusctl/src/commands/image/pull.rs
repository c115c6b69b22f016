//! `image pull`: a node pulls an image before anybody needs it.

use super::{OnNode, progress};
use crate::{
    client::Call,
    error::{Error, Exit},
    session::Session,
};
use clap::Args;
use http::Method;

const EXAMPLES: &str = "Examples:
  nexusctl image pull registry.example.com/team/app:1.2
  nexusctl image pull registry.example.com/team/app:1.2 --node node1";

/// Arguments of `image pull`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Where
    #[command(flatten)]
    pub on: OnNode,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let path = arguments.on.images(session).await?;
    let call = Call::with_body(Method::POST, path, "").query(&[("reference", &arguments.image)]);
    let what = format!("pulling {}", arguments.image);
    let client = session.client()?;
    let lines = session.wait_for(&what, client.stream(&call)).await?;
    progress::follow(lines, &what, session).await
}
