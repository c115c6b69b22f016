//! `image pull`: a node pulls an image before anybody needs it.

use super::{OnNode, progress};
use crate::{
    client::{Call, Upload, path_segment},
    error::{Error, Exit, chain},
    session::Session,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use http::Method;
use hypermesh_image::Keyring;
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf};

const EXAMPLES: &str = "Examples:
  nexusctl image pull registry.example.com/team/app:1.2
  nexusctl image pull registry.example.com/team/app:1.2 --node node1
  # With the password that instances use (kubernetes.io/dockerconfigjson)
  nexusctl image pull registry.example.com/team/app:1.2 --secret registry
  # With what `docker login` or `skopeo login` wrote
  nexusctl image pull registry.example.com/team/app:1.2 --auth-file ~/.docker/config.json";

/// Arguments of `image pull`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The Secret of the namespace that has the registry's password
    #[arg(long, value_name = "NAME", conflicts_with = "auth_file")]
    pub secret: Option<String>,
    /// The file that has the registry's password, in the form of Docker's config.json
    #[arg(long, value_name = "FILE")]
    pub auth_file: Option<PathBuf>,
    /// Where
    #[command(flatten)]
    pub on: OnNode,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let credentials = match (&arguments.secret, &arguments.auth_file) {
        (Some(name), _) => of_secret(name, session).await?,
        (None, Some(file)) => of_file(file)?,
        (None, None) => Vec::new(),
    };
    let path = arguments.on.images(session).await?;
    let call = Call::with_body(Method::POST, path, "").query(&[("reference", &arguments.image)]);
    let what = format!("pulling {}", arguments.image);
    let client = session.client()?;
    let lines = if credentials.is_empty() {
        session.wait_for(&what, client.stream(&call)).await?
    } else {
        let length = u64::try_from(credentials.len()).ok();
        let upload = Upload::new(std::io::Cursor::new(credentials), length);
        session.wait_for(&what, client.upload(&call, upload)).await?
    };
    progress::follow(lines, &what, session).await
}

/// A Secret, as far as it matters here.
#[derive(Deserialize)]
struct Secret {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

/// What a Secret holds, as Docker's configuration. What is wrong with it is told here: the node would name no Secret.
async fn of_secret(name: &str, session: &mut Session) -> Result<Vec<u8>, Error> {
    let namespace = session.namespace()?;
    let path = format!("/api/v1/namespaces/{}/secrets/{}", path_segment(&namespace), path_segment(name));
    let secret: Secret = session.send(&Call::get(path)).await?.json()?;
    let plain = |(key, value): (String, String)| Some((key, STANDARD.decode(value).ok()?));
    let mut data: BTreeMap<String, Vec<u8>> = secret.data.into_iter().filter_map(plain).collect();
    Keyring::from_secret(&secret.kind, &data)
        .map_err(|error| Error::Message(format!("the Secret {name}: {}", chain(&error))))?;
    Ok(match data.remove(".dockerconfigjson") {
        Some(config) => config,
        // The older form is the same without what is around it.
        None => [b"{\"auths\":", data.remove(".dockercfg").unwrap_or_default().as_slice(), b"}"].concat(),
    })
}

fn of_file(file: &PathBuf) -> Result<Vec<u8>, Error> {
    let told = |why: String| Error::Message(format!("{}: {why}", file.display()));
    let config = std::fs::read(file).map_err(|error| told(chain(&error)))?;
    Keyring::from_docker_config(&config).map_err(|error| told(chain(&error)))?;
    Ok(config)
}
