//! Paths in an instance, as its own `ls` tells them.
//!
//! Who may not run commands there, and who asks of a container without `ls`, is offered none. The caller bounds the time.

use super::line::Candidate;
use crate::{
    client::Call,
    commands::exec::commanded,
    error::Error,
    running::{self, Duplex, Ended},
    session::Session,
};
use hypermesh_stream::{Channel, Frame};

/// Bytes that are read of what `ls` says, at most.
const LARGEST: usize = 256 << 10;
/// Paths that are offered at most.
const MOST: usize = 500;

/// What may stand behind `INSTANCE:`, of which `path` is there already.
pub(super) async fn paths(
    instance: &str,
    container: Option<&str>,
    path: &str,
    session: &mut Session,
) -> Result<Vec<Candidate>, Error> {
    let folder = path.rfind('/').map_or("", |end| path.get(..=end).unwrap_or_default());
    let place = running::one(instance, session).await?;
    let words = ["ls", "-1Ap", "--", if folder.is_empty() { "." } else { folder }];
    let call = commanded(Call::get(place.path("exec")), &words)
        .query(&[("container", container.unwrap_or_default()), ("stdout", "true")]);
    let client = session.client()?;
    let mut command = Duplex::open(&client, &call.path).await?;
    let mut said = Vec::new();
    while said.len() < LARGEST {
        match command.next().await? {
            Some(Frame::Data(Channel::Stdout, bytes)) => said.extend_from_slice(&bytes),
            Some(Frame::Data(Channel::Error, payload)) => match Ended::of(&payload) {
                Ended::Exit(0) => break,
                _ => return Ok(Vec::new()),
            },
            Some(_) => {}
            None => break,
        }
    }
    Ok(offered(&said, instance, folder))
}

/// The lines of `ls` as words of the command line.
fn offered(said: &[u8], instance: &str, folder: &str) -> Vec<Candidate> {
    let text = String::from_utf8_lossy(said);
    // A name that was cut off, or that no shell takes back as it is, is none to be offered.
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let usable =
        whole.filter(|name| !name.is_empty() && !name.contains(|c: char| c.is_control() || c == '\u{fffd}'));
    usable.take(MOST).map(|name| Candidate::new(format!("{instance}:{folder}{name}"), "")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_behind_their_folder() {
        let of = |said: &str, folder: &str| {
            offered(said.as_bytes(), "pod/web-1", folder).into_iter().map(|c| c.value).collect::<Vec<_>>()
        };
        assert_eq!(
            of("log/\na b\n\n\u{1b}[2J\ncut-o", "/var/"),
            ["pod/web-1:/var/log/", "pod/web-1:/var/a b"]
        );
        assert_eq!(of("x\n", ""), ["pod/web-1:x"]);
        assert_eq!(of(&"x\n".repeat(MOST + 1), "").len(), MOST);
    }
}
