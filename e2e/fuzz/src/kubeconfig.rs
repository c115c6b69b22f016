//! Kubeconfigs: read, merged with another, and resolved to a server and an identity.

use crate::input::texts;
use hypermesh_client::{Client, Config, Transport, Trust};
use nexusctl::kubeconfig::{File, Merged, Overrides, resolve};
use std::path::Path;

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
    let (url, host) = (target.server.url(), target.server.host());
    assert!(!host.is_empty() && !url.ends_with('/'));
    let loopback = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    assert!(url.starts_with("https://") || loopback);
    if let Some(token) = &target.identity.token {
        assert!(token.bytes().all(|byte| byte.is_ascii_graphic()), "a token is one word of a header");
    }
    // No authority: the machine's own would be read.
    if let Some(authorities) = target.authorities {
        let mut config = Config::new(target.server);
        config.trust = Trust::Authorities(authorities);
        (config.identity, config.transport) = (target.identity, Transport::Tcp);
        let _ = Client::new(&config);
    }
}
