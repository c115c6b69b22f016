//! What the end of a rotation of the authorities would leave behind, as far as the state of the cluster tells: namespaces
//! that hand out a bundle without one of the authorities, and registered keys whose holders were not seen since it began.
//!
//! It reads, and changes nothing. What the state does not know (copies of kubeconfigs, certificates without a registered key,
//! who trusts the old authority alone) it cannot tell.

use crate::former::shown;
use hypermesh_chain::{KeyRange, ObjectKey};
use hypermesh_machine::Reading;
use hypermesh_pipeline::{ReadError, StateReader as _};
use hypermesh_pki::Pki;
use hypermesh_pki::rotation::{Left, Seen};
use serde_json::Value;
use std::collections::BTreeSet;

/// The ConfigMap by which what runs in a namespace knows the server.
const BUNDLE: &str = "kube-root-ca.crt";
/// Namespaces that are read at a time.
const PAGE: usize = 500;
/// How many of each are listed.
const LISTED: usize = 100;

/// The authorities that count while a rotation is under way, and the keys of whom needs no telling.
#[derive(Clone, Debug)]
pub(crate) struct Authorities {
    new: String,
    former: String,
    own: BTreeSet<String>,
}

impl Authorities {
    /// Those of a folder; `None` where no rotation is under way.
    pub fn of(pki: &Pki) -> Option<Self> {
        let own = pki.own_clients().iter().map(ToString::to_string).collect();
        Some(Self { new: body(&pki.ca.pem), former: body(&pki.old()?.ca.pem), own })
    }

    /// What a bundle lacks.
    fn lacking(&self, bundle: &str) -> Option<&'static str> {
        let bundle = body(bundle);
        match (bundle.contains(&self.new), bundle.contains(&self.former)) {
            (true, true) => None,
            (false, true) => Some("lacks the new authority"),
            (true, false) => Some("lacks the former authority"),
            (false, false) => Some("lacks both authorities"),
        }
    }
}

/// The base64 of PEM, without breaks and headers, which differ from writer to writer.
fn body(pem: &str) -> String {
    let lines = pem.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    lines.flat_map(|line| line.chars().filter(|c| !c.is_whitespace())).collect()
}

/// What would be left behind.
pub(crate) fn left(reading: &Reading, authorities: &Authorities, seen: &Seen) -> Result<Left, ReadError> {
    let mut left = Left::default();
    let range = KeyRange { collection: "/namespaces".to_owned(), namespace: None };
    let mut after: Option<ObjectKey> = None;
    loop {
        let page = reading.state().scan(&range, after.as_ref(), PAGE)?;
        for (namespace, _) in page.iter().filter(|(_, record)| !record.facts.deleting) {
            let Some(key) = ObjectKey::new("/configmaps", namespace.name(), BUNDLE) else { continue };
            let Some(record) = reading.get(&key)? else { continue };
            let object: Value = serde_json::from_slice(&record.body).unwrap_or_default();
            let bundle = object.pointer("/data/ca.crt").and_then(Value::as_str).unwrap_or_default();
            if let Some(lacking) = authorities.lacking(bundle) {
                if left.bundles.len() < LISTED {
                    left.bundles.insert(namespace.name().to_owned(), lacking.to_owned());
                } else {
                    left.more += 1;
                }
            }
        }
        match page.into_iter().last() {
            Some((key, _)) => after = Some(key),
            None => break,
        }
    }
    for (key, user) in reading.derived.identities.iter() {
        let name = key.to_string();
        let client = shown(&user.name, &key);
        let known = seen.keys.contains(&name)
            || seen.clients.contains_key(&client)
            || authorities.own.contains(&name);
        if known {
            continue;
        }
        if left.unseen.len() < LISTED {
            left.unseen.push(client);
        } else {
            left.more += 1;
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_writes::{self, Author};
    use crate::{Config, Server};
    use hypermesh_chain::SigningKey;
    use serde_json::json;

    #[test]
    fn a_bundle_is_known_by_what_it_holds() {
        let authorities = Authorities { new: "QUJD".into(), former: "REVG".into(), own: BTreeSet::new() };
        let pem =
            |body: &str| format!("-----BEGIN CERTIFICATE-----\r\n{body}\r\n-----END CERTIFICATE-----\n");
        let both = format!("# a comment\n{}{}", pem("REVG"), pem("QU\r\nJD"));
        assert_eq!(authorities.lacking(&both), None);
        assert_eq!(authorities.lacking(&pem("REVG")), Some("lacks the new authority"));
        assert_eq!(authorities.lacking(&pem("QUJD")), Some("lacks the former authority"));
        assert_eq!(authorities.lacking(""), Some("lacks both authorities"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn namespaces_and_keys_that_would_be_left_behind_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path().to_owned(), "127.0.0.1:0".parse().unwrap());
        let server = Server::start(config).await.unwrap();
        let replica = server.replica();
        let credentials = server.credentials().clone();
        let now = crate::server::unix_now();
        assert!(credentials.with_pki(|pki| Authorities::of(pki)).is_none(), "nothing is under way");
        let bundle = |namespace: &str, pem: String| {
            let object = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": BUNDLE, "namespace": namespace}, "data": {"ca.crt": pem},
            });
            (format!("/api/v1/namespaces/{namespace}/configmaps/{BUNDLE}"), object)
        };
        let (path, stale) = bundle("default", credentials.with_pki(|pki| pki.bundle()));
        own_writes::apply(replica, Author::Operator, &path, &stale).await.unwrap();
        credentials.with_pki(|pki| pki.begin_rotation(now).and_then(|()| pki.take_along(now))).unwrap();
        let (path, fresh) = bundle("kube-system", credentials.with_pki(|pki| pki.bundle()));
        own_writes::apply(replica, Author::Operator, &path, &fresh).await.unwrap();
        let key = SigningKey::from_seed(&[7; 32]).public();
        let identity = json!({
            "apiVersion": "hypermesh.online/v1", "kind": "Identity", "metadata": {"name": key.to_string()},
            "spec": {"user": "ann"},
        });
        let path = format!("/apis/hypermesh.online/v1/identities/{key}");
        own_writes::apply(replica, Author::Operator, &path, &identity).await.unwrap();
        let authorities = credentials.with_pki(|pki| Authorities::of(pki)).unwrap();
        let reading = replica.reading();
        let found = left(&reading, &authorities, &Seen::default()).unwrap();
        let lacking = [("default".to_owned(), "lacks the new authority".to_owned())];
        assert_eq!(found.bundles, lacking.into(), "namespaces without a bundle give out none");
        // The administrator's key, which is this folder's own, has its new certificate.
        assert_eq!(found.unseen, [shown("ann", &key)]);
        let seen = Seen { keys: [key.to_string()].into(), ..Seen::default() };
        assert_eq!(left(&reading, &authorities, &seen).unwrap().unseen, [""; 0]);
        let seen = Seen { clients: [(shown("ann", &key), 1)].into(), ..Seen::default() };
        assert_eq!(left(&reading, &authorities, &seen).unwrap().unseen, [""; 0], "it is told of already");
        server.stop().await;
    }
}
