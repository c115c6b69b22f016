//! Kubeconfigs: read, merged with another, and resolved to a server and an identity.

use crate::input::texts;
use nexusctl::environment::Environment;
use nexusctl::kubeconfig::{File, Merged, Overrides, resolve};
use std::{path::Path, time::Duration};

/// Fields that name a file: what is there is no input of this target.
const FILES: [&str; 4] = ["authority:", "certificate:", "client-key:", "tokenFile"];

/// Reads two files, of which the second may be empty.
pub fn target(data: &[u8]) {
    let Some([first, second]) = texts(data) else { return };
    let path = Path::new("/nowhere/config");
    let mut files = Vec::new();
    for text in [first, second] {
        match File::parse(path, text) {
            Ok(file) => files.push(file),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    let merged = Merged::new(files);
    let contexts = merged.contexts().map_err(|error| error.to_string());
    let current = merged.current_context().map(|text| text.map(|text| text.value.to_owned()));
    if let (Ok(contexts), Ok(Some(current))) = (contexts, current) {
        let found = merged.entry("context", &current, None);
        assert_eq!(found.is_ok(), contexts.contains(&current), "{current:?} of {contexts:?}");
    }
    if FILES.iter().any(|field| first.contains(field) || second.contains(field)) || data.contains(&b'\\') {
        return;
    }
    let Ok(target) = resolve(&merged, &Overrides::default()) else { return };
    assert!(!target.host.is_empty() && !target.server.ends_with('/'));
    assert!(
        target.tls || target.host == "localhost" || target.host.starts_with("127.") || target.host == "::1"
    );
    if let Some(token) = &target.authentication.token {
        assert!(token.bytes().all(|byte| byte.is_ascii_graphic()), "a token is one word of a header");
    }
    // No authority: the machine's own would be read.
    if target.authorities.is_some() || !target.tls {
        let _ = nexusctl::client::Client::new(&target, &Environment::default(), Duration::from_secs(1));
    }
}
