//! The signer in a running server: what it signs, and what it says of what it does not.

use super::*;
use crate::{Config, Server};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _};
use x509_parser::prelude::FromDer as _;

struct Fixture {
    server: Server,
    _dir: tempfile::TempDir,
}

impl Fixture {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path().to_owned(), "127.0.0.1:0".parse().unwrap());
        Self { server: Server::start(config).await.unwrap(), _dir: dir }
    }

    fn replica(&self) -> &Arc<Replica> {
        self.server.replica()
    }

    /// Makes a request and approves it, and waits for what becomes of it.
    async fn ask(&self, name: &str, key: &KeyPair, subject: (&str, &str), signer: Signer) -> Value {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, subject.0);
        params.distinguished_name.push(DnType::OrganizationName, subject.1);
        let pem = params.serialize_request(key).unwrap().pem().unwrap();
        let object = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
            "spec": {
                "request": STANDARD.encode(pem), "signerName": signer.name(), "usages": ["client auth"],
                "expirationSeconds": 3600,
            },
        });
        let path = format!("{PATH}/{name}");
        own_writes::apply(self.replica(), Author::Operator, &path, &object).await.unwrap();
        let approved = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
            "status": {"conditions": [{"type": "Approved", "status": "True", "reason": "Test"}]},
        });
        let mut news = self.replica().feed().subscribe();
        own_writes::apply(self.replica(), Author::Operator, &format!("{path}/approval"), &approved)
            .await
            .unwrap();
        let key = ObjectKey::new(REQUESTS, "", name).unwrap();
        loop {
            let record = self.replica().reading().get(&key).unwrap().unwrap();
            let object: Value = serde_json::from_slice(&record.body).unwrap();
            if waits_for(&object).is_none() {
                return object;
            }
            tokio::time::timeout(Duration::from_secs(30), news.changed()).await.unwrap().unwrap();
        }
    }
}

fn failure(object: &Value) -> (String, String) {
    assert_eq!(object.pointer("/status/certificate"), None);
    let condition = &object["status"]["conditions"][1];
    assert_eq!((&condition["type"], &condition["status"]), (&json!("Failed"), &json!("True")));
    (condition["reason"].as_str().unwrap().to_owned(), condition["message"].as_str().unwrap().to_owned())
}

fn key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()
}

fn public(key: &KeyPair) -> PublicKey {
    PublicKey(key.der_bytes().try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_approved_is_signed_or_told_why_not() {
    let fixture = Fixture::start().await;
    let ann = fixture.ask("ann", &key(), ("ann", "developers"), Signer::Client).await;
    let pem = STANDARD.decode(ann["status"]["certificate"].as_str().unwrap()).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    let (_, made) = x509_parser::certificate::X509Certificate::from_der(&pem.contents).unwrap();
    assert_eq!(made.subject().to_string(), "O=developers, CN=ann");
    assert!((3500..=3600).contains(&(made.validity().not_after.timestamp() - unix_now())));
    let root = fixture.ask("root", &key(), ("root", "system:masters"), Signer::Client).await;
    assert_eq!(failure(&root).0, "UnsupportedSubject");
    // A node is known by its key, and by one alone.
    let (first, second) = (key(), key());
    let n1 = fixture.ask("n1", &first, ("system:node:n1", "system:nodes"), Signer::Node).await;
    assert!(n1["status"]["certificate"].is_string());
    let known = |key: &KeyPair| {
        let identities = Arc::clone(&fixture.replica().reading().derived.identities);
        identities.name(&public(key).0).map(str::to_owned)
    };
    assert_eq!(known(&first).as_deref(), Some("system:node:n1"));
    let thief = fixture.ask("thief", &second, ("system:node:n1", "system:nodes"), Signer::Node).await;
    let (reason, message) = failure(&thief);
    assert!(reason == "NotRegistered" && message.contains(&public(&first).to_string()), "{message}");
    assert_eq!(known(&second), None);
    let again = fixture.ask("again", &first, ("system:node:n1", "system:nodes"), Signer::Node).await;
    assert!(again["status"]["certificate"].is_string(), "a node renews with its key");
    // A key that stands for somebody else is no node's.
    let other = fixture.ask("other", &first, ("system:node:n2", "system:nodes"), Signer::Node).await;
    assert_eq!(failure(&other).0, "NotRegistered");
    fixture.server.stop().await;
}
