//! Requests that their author signed end to end: taken without any certificate, executed once however often they are
//! sent, and only as they were signed.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hypermesh_chain::request::{Authority, Media, Method, Request, RequestSignature};
use hypermesh_chain::signature::{Message, headers, sign};
use hypermesh_chain::{Canonical as _, ClusterId, Genesis, SigningKey};
use hypermesh_e2e::{Client, Cluster};
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

const MAPS: &str = "/api/v1/namespaces/default/configmaps?fieldManager=author";

struct Author {
    key: SigningKey,
    cluster: ClusterId,
}

impl Author {
    /// The administrator, whose key the genesis registered.
    fn administrator(cluster: &Cluster) -> Result<Self> {
        let pem = std::fs::read_to_string(cluster.dir().join("pki/admin.key"))?;
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(base64)?;
        // The seed of an Ed25519 key ends its PKCS#8 form (RFC 8410).
        let seed: [u8; 32] = der.get(der.len().saturating_sub(32)..).context("a short key")?.try_into()?;
        let genesis = Genesis::decode(&std::fs::read(cluster.dir().join("genesis"))?)?;
        Ok(Self { key: SigningKey::from_seed(&seed), cluster: genesis.cluster_id() })
    }

    fn request(body: &str) -> Request {
        let authority = Authority::Signed { signatures: Vec::<RequestSignature>::new() };
        let body = body.as_bytes().to_vec().into();
        Request { method: Method::Post, target: MAPS.to_owned(), media: Media::Json, body, authority }
    }

    fn signed(&self, body: &str, created: u64, expires: Option<u64>, nonce: u64) -> Vec<(String, String)> {
        let request = Self::request(body);
        let message = Message::of(&request);
        let signature = sign(&self.key, &self.cluster, &message, created, expires, nonce);
        let headers = headers(&self.cluster, &message, &[signature]);
        let mut all = vec![
            ("signature-input".to_owned(), headers.signature_input),
            ("signature".to_owned(), headers.signature),
            ("content-type".to_owned(), "application/json".to_owned()),
        ];
        all.extend(headers.content_digest.map(|digest| ("content-digest".to_owned(), digest)));
        all
    }
}

fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

fn send(client: &Client, headers: &[(String, String)], body: &str) -> Result<(u16, String)> {
    let headers: Vec<(&str, &str)> = headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let reply = client.send("POST", MAPS, &headers, body.to_owned())?;
    Ok((reply.code, reply.text()))
}

fn map(name: &str) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}})
        .to_string()
}

#[test]
fn a_registered_key_needs_no_certificate_and_works_once() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let (author, client) = (Author::administrator(&cluster)?, cluster.anonymous()?);
    let body = map("signed");
    let headers = author.signed(&body, now()?, None, 1);
    let (code, first) = send(&client, &headers, &body)?;
    ensure!(code == 201, "{first}");
    let before = cluster.revision()?;
    // Who did not hear the answer asks again, and is answered as before; nothing is done twice.
    let (code, again) = send(&client, &headers, &body)?;
    ensure!(code == 201 && again == first, "{code} {again}");
    ensure!(cluster.revision()? == before, "a replay was ordered");
    cluster.admin()?.delete("/api/v1/namespaces/default/configmaps/signed")?.expect(200)?;
    let before = cluster.revision()?;
    let (code, again) = send(&client, &headers, &body)?;
    ensure!(code == 201 && again == first, "{code} {again}");
    ensure!(cluster.revision()? == before, "a replay brought a deleted object back");
    Ok(())
}

#[test]
fn what_was_not_signed_so_is_refused() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let (author, client) = (Author::administrator(&cluster)?, cluster.anonymous()?);
    let body = map("forged");
    let before = cluster.revision()?;
    let other = map("another");
    let stranger = Author { key: SigningKey::from_seed(&[7; 32]), cluster: author.cluster };
    let elsewhere = Author { key: author.key.clone(), cluster: ClusterId::default() };
    let mut flipped = author.signed(&body, now()?, None, 2);
    for (name, value) in &mut flipped {
        if name == "signature" {
            *value = value.replacen(":A", ":B", 1).replacen("=:", "=:AAAA", 1);
        }
    }
    let cases = [
        ("another body", author.signed(&body, now()?, None, 3), other.as_str()),
        ("a stranger's key", stranger.signed(&body, now()?, None, 4), body.as_str()),
        ("another cluster", elsewhere.signed(&body, now()?, None, 5), body.as_str()),
        ("a broken signature", flipped, body.as_str()),
        ("an old request", author.signed(&body, now()? - 3600, None, 6), body.as_str()),
        ("a request from the future", author.signed(&body, now()? + 3600, None, 7), body.as_str()),
        ("an expired request", author.signed(&body, now()? - 30, Some(now()? - 10), 8), body.as_str()),
        ("no signature beside its input", author.signed(&body, now()?, None, 9)[..1].to_vec(), body.as_str()),
    ];
    for (what, headers, body) in cases {
        let (code, text) = send(&client, &headers, body)?;
        ensure!(code == 401, "{what}: {code} {text}");
        ensure!(text.contains("\"Status\""), "{what}: {text}");
    }
    ensure!(cluster.revision()? == before, "a refused request was ordered");
    Ok(())
}
