//! What a node tells while it pulls or imports: a line each time something is further.

use crate::{
    client::{Error as ClientError, Lines},
    error::{Error, Exit},
    output::escape_line,
    session::Session,
};
use hypermesh_stream::image::{Image, Progress};
use std::collections::BTreeMap;

/// Follows the node to the end. What it has in the end is told; why it has not is the error.
pub async fn follow(mut lines: Lines, what: &str, session: &mut Session) -> Result<Exit, Error> {
    let mut layers: BTreeMap<String, (u64, Option<u64>)> = BTreeMap::new();
    let mut images = Vec::new();
    loop {
        let next = session.wait_for(&told(what, &layers), lines.next::<Progress>()).await;
        let Some(progress) = next.map_err(|error: ClientError| Error::from(error))? else { break };
        if let Some(error) = progress.error {
            return Err(Error::Message(format!("{what}: {error}")));
        }
        images.extend(progress.image);
        if let Some(layer) = progress.layer {
            layers.insert(layer, (progress.done_bytes, progress.total_bytes));
        }
    }
    if images.is_empty() {
        return Err(Error::Message(format!(
            "{what}: the node broke off without saying why; its log may tell"
        )));
    }
    for image in images {
        session.say(&line(&image))?;
    }
    Ok(Exit::Success)
}

fn line(image: &Image) -> String {
    let names =
        if image.names.is_empty() { "an image without a name".to_owned() } else { image.names.join(", ") };
    // The node says so, whoever has it.
    format!("{}\t{}", escape_line(&names), escape_line(&image.digest))
}

fn told(what: &str, layers: &BTreeMap<String, (u64, Option<u64>)>) -> String {
    let done: u64 = layers.values().map(|(done, _)| *done).sum();
    let total: Option<u64> = layers.values().map(|(_, total)| *total).sum();
    match total {
        _ if layers.is_empty() => what.to_owned(),
        Some(total) => format!("{what}: {} of {}", bytes(done), bytes(total)),
        None => format!("{what}: {}", bytes(done)),
    }
}

/// `1.5MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let unit = UNITS.get(unit).unwrap_or(&"B");
    if value < 10.0 && *unit != "B" { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_writes_nothing_to_a_terminal_but_text() {
        let image = Image {
            names: vec!["a\u{1b}[2J\nb".to_owned()],
            digest: "\u{9b}x".to_owned(),
            ..Image::default()
        };
        assert_eq!(line(&image), "a\\u{1b}[2J\\nb\t\\u{9b}x");
    }

    #[test]
    fn sizes() {
        assert_eq!(
            [0, 1023, 1024, 10 * 1024, 1_572_864, u64::MAX].map(bytes),
            ["0B", "1023B", "1.0KiB", "10KiB", "1.5MiB", "16777216TiB"]
        );
    }

    #[test]
    fn how_far_it_is() {
        let layers = |parts: &[(&str, u64, Option<u64>)]| {
            parts
                .iter()
                .map(|(name, done, total)| ((*name).to_owned(), (*done, *total)))
                .collect::<BTreeMap<_, _>>()
        };
        assert_eq!(told("pulling a", &layers(&[])), "pulling a");
        assert_eq!(
            told("pulling a", &layers(&[("x", 1, Some(2048)), ("y", 1023, Some(0))])),
            "pulling a: 1.0KiB of 2.0KiB"
        );
        assert_eq!(told("pulling a", &layers(&[("x", 1, None)])), "pulling a: 1B");
    }
}
