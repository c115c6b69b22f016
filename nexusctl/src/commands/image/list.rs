//! `image list` and `image inspect`: what a node has.

use super::{OnNode, progress};
use crate::{
    client::Call,
    error::{Error, Exit},
    output::{aligned, yaml},
    session::Session,
};
use clap::Args;
use hypermesh_stream::image::Images;
use serde_json::Value;

const EXAMPLES: &str = "Examples:
  nexusctl image list
  nexusctl image list --node node1 -o json";

/// Arguments of `image list`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Where
    #[command(flatten)]
    pub on: OnNode,
    /// How it is shown: json, yaml, wide or name
    #[arg(short, long, value_name = "FORMAT", value_parser = ["json", "yaml", "wide", "name"])]
    pub output: Option<String>,
}

/// Arguments of `image inspect`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  nexusctl image inspect localhost/hello:1
  nexusctl image inspect localhost/hello:1 --node node1 -o json")]
pub struct Inspect {
    /// The image: a name, or a digest or its beginning
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Where
    #[command(flatten)]
    pub on: OnNode,
    /// How it is shown
    #[arg(short, long, value_name = "FORMAT", value_parser = ["yaml", "json"], default_value = "yaml")]
    pub output: String,
}

/// Runs `image list`.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let path = arguments.on.images(session).await?;
    let reply = session.send(&Call::get(path)).await?;
    match arguments.output.as_deref() {
        Some(form @ ("json" | "yaml")) => {
            let value: Value = reply.json()?;
            let text = if form == "json" { format!("{value:#}\n") } else { yaml::to_string(&value) };
            session.print(&text)?;
        }
        form => {
            let images: Images = reply.json()?;
            session.print(&table(&images, form, session.streams.out_width))?;
        }
    }
    Ok(Exit::Success)
}

/// Runs `image inspect`.
pub async fn inspect(arguments: Inspect, session: &mut Session) -> Result<Exit, Error> {
    let path = arguments.on.images(session).await?;
    let mut reply: Value =
        session.send(&Call::get(path).query(&[("reference", &arguments.image)])).await?.json()?;
    // What is asked about is one image, and not a list.
    let value = reply.pointer_mut("/items/0").map(Value::take).unwrap_or(reply);
    let text = if arguments.output == "json" { format!("{value:#}\n") } else { yaml::to_string(&value) };
    session.print(&text)?;
    Ok(Exit::Success)
}

fn table(images: &Images, form: Option<&str>, width: Option<usize>) -> String {
    let names = |names: &[String]| if names.is_empty() { vec!["<none>".to_owned()] } else { names.to_vec() };
    if form == Some("name") {
        return images.items.iter().flat_map(|image| names(&image.names)).map(|name| name + "\n").collect();
    }
    let wide = form == Some("wide");
    let heading = ["IMAGE", "DIGEST", "SIZE", "USED BY", "PLATFORM", "LAST USED"];
    let count = if wide { 6 } else { 4 };
    let mut rows = vec![heading.iter().take(count).map(|cell| (*cell).to_owned()).collect::<Vec<_>>()];
    for image in &images.items {
        let digest = if wide { image.digest.clone() } else { image.digest.chars().take(7 + 12).collect() };
        let users = if image.used_by.is_empty() { "-".to_owned() } else { image.used_by.join(",") };
        for name in names(&image.names) {
            let last = image.last_used.clone().unwrap_or_else(|| "-".to_owned());
            let cells = [
                name,
                digest.clone(),
                progress::bytes(image.size_bytes),
                users.clone(),
                image.platform.clone(),
                last,
            ];
            rows.push(cells.into_iter().take(count).collect());
        }
    }
    aligned::table(&rows, true, width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_stream::image::Image;

    #[test]
    fn tables() {
        let image = |names: &[&str], used: &[&str]| Image {
            digest: format!("sha256:{}", "0123456789abcdef".repeat(4)),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            size_bytes: 1_572_864,
            platform: "linux/amd64".to_owned(),
            last_used: None,
            used_by: used.iter().map(|name| (*name).to_owned()).collect(),
            ..Image::default()
        };
        let images = Images {
            items: vec![image(&["localhost/hello:1", "hello:2"], &["default/web-1"]), image(&[], &[])],
        };
        insta::assert_snapshot!(table(&images, None, None), @"
        IMAGE               DIGEST                SIZE     USED BY
        localhost/hello:1   sha256:0123456789ab   1.5MiB   default/web-1
        hello:2             sha256:0123456789ab   1.5MiB   default/web-1
        <none>              sha256:0123456789ab   1.5MiB   -
        ");
        insta::assert_snapshot!(table(&images, Some("name"), None), @"
        localhost/hello:1
        hello:2
        <none>
        ");
    }
}
