//! All keys and certificates of a data folder.

mod authorities;

use crate::agent::Agent;
use crate::certificate::{Held, Signer, Subject, issue};
use crate::error::PkiError;
use crate::files;
use crate::keys::KeyFile;
use crate::kubeconfig::{Access, SIGNING_EXTENSION, kubeconfig};
use crate::request::CertificateRequest;
use crate::rotation::{self, Old};
use hypermesh_chain::{ClusterId, ClusterPrefix, PublicKey};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Who the controllers are, as their certificate names them.
pub const CONTROLLERS: &str = "system:nexus-controllers";

/// The name of the authority that signs the server.
pub(crate) const CLUSTER_CA: &str = "HyperMesh cluster CA";
/// The name of the authority that signs clients.
pub(crate) const CLIENT_CA: &str = "HyperMesh client CA";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What certificates are made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// DNS names and addresses of the server.
    pub names: Vec<String>,
    /// URL of the server, as the kubeconfig names it.
    pub url: String,
    /// User and group of the administrator's certificate.
    pub administrator: (String, String),
    /// Life of authorities.
    pub authority_life: Duration,
    /// Life of everything else.
    pub life: Duration,
    /// The cluster's id, which the kubeconfig pins; `None` while there is no cluster yet.
    pub cluster: Option<ClusterId>,
}

impl Settings {
    /// Settings of a server that is reached at `url` under `names`.
    pub fn new(url: String, mut names: Vec<String>) -> Self {
        names.sort();
        names.dedup();
        Self {
            names,
            url,
            administrator: ("admin".to_owned(), "system:masters".to_owned()),
            authority_life: DAY * 3650,
            life: DAY * 90,
            cluster: None,
        }
    }

    /// What the server's certificate is for: its names, and the address under which instances reach it.
    fn server_names(&self) -> Vec<String> {
        let inside = self.cluster.map(|cluster| ClusterPrefix::of(&cluster).api_server().to_string());
        let mut names: Vec<_> = self.names.iter().cloned().chain(inside).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// What [`Pki::renew`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// The server has a new certificate.
    pub server: bool,
    /// The clients of this folder (the administrator, the controllers and the agent) have new certificates, and their
    /// kubeconfigs were written anew.
    pub admin: bool,
}

/// Keys and certificates of a data folder.
#[derive(Debug)]
pub struct Pki {
    folder: PathBuf,
    kubeconfig: PathBuf,
    controllers_kubeconfig: PathBuf,
    agent_kubeconfig: PathBuf,
    /// Whether the cluster has registered the controllers' key.
    controllers_sign: bool,
    /// Whether certificates were issued that kubeconfigs do not hold yet: writing them failed.
    owes_kubeconfigs: bool,
    agent: Option<Agent>,
    settings: Settings,
    /// Signs the server.
    pub ca: Held,
    /// Signs clients.
    pub client_ca: Held,
    /// The server's certificate.
    pub server: Held,
    /// The server's key.
    pub server_key: KeyFile,
    /// The administrator's certificate.
    pub admin: Held,
    /// The administrator's key; it signs requests too.
    pub admin_key: KeyFile,
    /// The controllers' certificate.
    pub controllers: Held,
    /// The controllers' key.
    pub controllers_key: KeyFile,
    /// The replica's key.
    pub replica_key: KeyFile,
    /// Signs service accounts' tokens.
    pub service_account_key: KeyFile,
    /// The authorities of before, while they still count.
    old: Option<Old>,
    ca_key: KeyFile,
    client_ca_key: KeyFile,
}

impl Pki {
    /// Opens the keys and certificates of `dir`, making what is missing; `now` is in seconds since the epoch.
    pub fn open(dir: &Path, settings: Settings, now: i64) -> Result<Self, PkiError> {
        let folder = dir.join("pki");
        files::make_folder(&folder)?;
        rotation::recover(dir)?;
        let at = |name: &str| folder.join(name);
        let (ca_key, client_ca_key) = (KeyFile::p256(at("ca.key"))?, KeyFile::p256(at("client-ca.key"))?);
        let server_key = KeyFile::p256(at("server.key"))?;
        let admin_key = KeyFile::ed25519(at("admin.key"))?;
        let controllers_key = KeyFile::ed25519(at("controllers.key"))?;
        let authority = |file: &str, title: &str, key: &KeyFile| match Held::read(&at(file))? {
            Some(held) => Ok(held),
            None => {
                let subject = Subject::Authority(title.to_owned());
                issue(&at(file), &subject, key, &Signer::Itself, now, settings.authority_life)
            }
        };
        let ca = authority("ca.crt", CLUSTER_CA, &ca_key)?;
        let client_ca = authority("client-ca.crt", CLIENT_CA, &client_ca_key)?;
        let old = Old::read(&folder)?;
        let signer = server_signer(old.as_ref(), &ca, &ca_key);
        let server = match Held::read(&at("server.crt"))? {
            Some(held) => held,
            None => issue(
                &at("server.crt"),
                &server_subject(&settings),
                &server_key,
                &signer,
                now,
                settings.life,
            )?,
        };
        let signer = Signer::Authority(&client_ca, &client_ca_key);
        let client = |file: &str, subject: Subject, key: &KeyFile| match Held::read(&at(file))? {
            Some(held) => Ok(held),
            None => issue(&at(file), &subject, key, &signer, now, settings.life),
        };
        let admin = client("admin.crt", admin_subject(&settings), &admin_key)?;
        let controllers = client("controllers.crt", controllers_subject(), &controllers_key)?;
        let service_account_key = KeyFile::ed25519(at("service-accounts.key"))?;
        if files::mode(&at("service-accounts.pub"))?.is_none() {
            files::replace(&at("service-accounts.pub"), &service_account_key.public_pem(), 0o644)?;
        }
        let controllers_kubeconfig = dir.join("controllers.kubeconfig");
        // What was once said of them holds: another process than that which registered their key writes the file too.
        let controllers_sign =
            files::read(&controllers_kubeconfig)?.is_some_and(|text| text.contains(SIGNING_EXTENSION));
        let mut pki = Self {
            kubeconfig: dir.join("admin.kubeconfig"),
            agent_kubeconfig: dir.join("agent.kubeconfig"),
            agent: Agent::read(&folder)?,
            controllers_kubeconfig,
            controllers_sign,
            owes_kubeconfigs: false,
            replica_key: KeyFile::ed25519(at("replica.key"))?,
            service_account_key,
            folder,
            settings,
            ca,
            client_ca,
            server,
            server_key,
            admin,
            admin_key,
            controllers,
            controllers_key,
            old,
            ca_key,
            client_ca_key,
        };
        pki.renew(now)?;
        pki.write_kubeconfigs()?;
        Ok(pki)
    }

    /// Reads what is there, without making or changing anything: name and certificate.
    pub fn list(dir: &Path) -> Result<Vec<(&'static str, Held)>, PkiError> {
        let mut found = Vec::new();
        for name in ["ca", "client-ca", "ca.old", "client-ca.old", "server", "admin", "controllers", "agent"]
        {
            if let Some(held) = Held::read(&dir.join("pki").join(format!("{name}.crt")))? {
                found.push((name, held));
            }
        }
        Ok(found)
    }

    /// The data folder.
    pub fn dir(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig_path(&self) -> &Path {
        &self.kubeconfig
    }

    /// The controllers' kubeconfig.
    pub fn controllers_kubeconfig_path(&self) -> &Path {
        &self.controllers_kubeconfig
    }

    /// Renews what has reached two thirds of its life, and the server's certificate where its names have changed.
    pub fn renew(&mut self, now: i64) -> Result<Renewal, PkiError> {
        let server = now >= self.server.renew_at() || self.server.names != self.settings.server_names();
        let agent = self.agent.as_ref().is_some_and(|agent| now >= agent.held.renew_at());
        let admin = now >= self.admin.renew_at() || now >= self.controllers.renew_at() || agent;
        self.reissue(Renewal { server, admin }, now)
    }

    /// Renews the certificates that `what` names, whatever their age.
    pub fn reissue(&mut self, what: Renewal, now: i64) -> Result<Renewal, PkiError> {
        let life = self.settings.life;
        if what.server {
            let signer = server_signer(self.old.as_ref(), &self.ca, &self.ca_key);
            let path = self.folder.join("server.crt");
            self.server =
                issue(&path, &server_subject(&self.settings), &self.server_key, &signer, now, life)?;
        }
        if what.admin {
            let signer = Signer::Authority(&self.client_ca, &self.client_ca_key);
            let path = self.folder.join("admin.crt");
            self.admin = issue(&path, &admin_subject(&self.settings), &self.admin_key, &signer, now, life)?;
            let path = self.folder.join("controllers.crt");
            self.controllers =
                issue(&path, &controllers_subject(), &self.controllers_key, &signer, now, life)?;
            if let Some(agent) = &mut self.agent {
                agent.reissue(&signer, now, life)?;
            }
            self.owes_kubeconfigs = true;
        }
        if self.owes_kubeconfigs {
            self.write_kubeconfigs()?;
            self.owes_kubeconfigs = false;
        }
        Ok(what)
    }

    /// Takes up what another process (`nexusctl certs rotate`) has written. True when something was new.
    pub fn reload(&mut self) -> Result<bool, PkiError> {
        let listed = Self::list(self.dir())?;
        let mut changed = self.reload_authorities()?;
        for (name, held) in listed {
            let mine = match name {
                "server" => &mut self.server,
                "admin" => &mut self.admin,
                "controllers" => &mut self.controllers,
                "agent" => match &mut self.agent {
                    Some(agent) => &mut agent.held,
                    None => continue,
                },
                _ => continue,
            };
            changed |= mine.serial != held.serial;
            *mine = held;
        }
        Ok(changed)
    }

    /// Has the controllers send no write unsigned from here on: the cluster has registered their key.
    pub fn controllers_sign(&mut self) -> Result<(), PkiError> {
        self.controllers_sign = true;
        self.write_kubeconfigs()
    }

    /// Signs what a client asks for: a certificate in PEM, valid for `life` seconds from `now`, in seconds since the epoch,
    /// held within [`SHORTEST_LIFE`](crate::SHORTEST_LIFE) and [`LONGEST_LIFE`](crate::LONGEST_LIFE). Who may have it is
    /// for [`Signer`](crate::signer::Signer) to say, before.
    pub fn sign_client(
        &self,
        request: &CertificateRequest,
        life: Option<i64>,
        now: i64,
    ) -> Result<String, PkiError> {
        crate::issue::client(
            &self.client_ca,
            &self.client_ca_key,
            request,
            life.map(time::Duration::seconds),
            now,
        )
    }

    /// The key of the agent that runs as node `node` in this folder: the one that is there, or a new one where there is
    /// none, or one of another node.
    pub fn agent_key(&mut self, node: &str, now: i64) -> Result<PublicKey, PkiError> {
        let agent = match self.agent.take().filter(|agent| agent.node == node) {
            Some(agent) => agent,
            None => {
                let signer = Signer::Authority(&self.client_ca, &self.client_ca_key);
                Agent::make(&self.folder, node, &signer, now, self.settings.life)?
            }
        };
        let key = agent.key.signing_key()?.public();
        self.agent = Some(agent);
        Ok(key)
    }

    /// Writes the agent's kubeconfig, once the cluster has registered the key, and tells where it is.
    pub fn write_agent_kubeconfig(&self) -> Result<&Path, PkiError> {
        self.write_kubeconfigs()?;
        Ok(&self.agent_kubeconfig)
    }

    /// Pins the cluster's id in the kubeconfig: it is known only once the keys are there.
    pub fn pin(&mut self, cluster: ClusterId) -> Result<(), PkiError> {
        self.settings.cluster = Some(cluster);
        self.write_kubeconfigs()
    }

    fn write_kubeconfigs(&self) -> Result<(), PkiError> {
        let administrator = &self.settings.administrator.0;
        // A cluster's genesis names the administrator's key.
        let registered = self.settings.cluster.is_some();
        self.write_kubeconfig(&self.kubeconfig, administrator, &self.admin, &self.admin_key, registered)?;
        self.write_kubeconfig(
            &self.controllers_kubeconfig,
            CONTROLLERS,
            &self.controllers,
            &self.controllers_key,
            self.controllers_sign,
        )?;
        match &self.agent {
            // An agent's key is registered before its kubeconfig is written.
            Some(agent) => {
                self.write_kubeconfig(&self.agent_kubeconfig, &agent.user(), &agent.held, &agent.key, true)
            }
            None => Ok(()),
        }
    }

    fn write_kubeconfig(
        &self,
        path: &Path,
        user: &str,
        held: &Held,
        key: &KeyFile,
        registered: bool,
    ) -> Result<(), PkiError> {
        let text = kubeconfig(&Access {
            server: &self.settings.url,
            authority: &self.bundle(),
            certificate: &held.pem,
            key: key.pem(),
            user,
            registered,
            cluster: self.settings.cluster,
        });
        if files::read(path)?.as_deref() == Some(text.as_str()) {
            return Ok(());
        }
        files::replace(path, &text, 0o600)
    }
}

/// Who signs the server: until a rotation ends, the authority that every client trusts.
fn server_signer<'a>(old: Option<&'a Old>, ca: &'a Held, key: &'a KeyFile) -> Signer<'a> {
    match old {
        Some(old) => Signer::Authority(&old.ca, &old.ca_key),
        None => Signer::Authority(ca, key),
    }
}

fn server_subject(settings: &Settings) -> Subject {
    Subject::Server(settings.server_names())
}

fn admin_subject(settings: &Settings) -> Subject {
    let (user, group) = settings.administrator.clone();
    Subject::Client { user, groups: vec![group] }
}

/// Their rights follow from their name: they are in no group that has any.
fn controllers_subject() -> Subject {
    Subject::Client { user: CONTROLLERS.to_owned(), groups: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path, now: i64) -> Pki {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        Pki::open(dir, Settings::new("https://127.0.0.1:6443".to_owned(), names), now).unwrap()
    }

    #[test]
    fn what_was_made_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), 1_800_000_000);
        let again = open(dir.path(), 1_800_000_100);
        assert_eq!(first.server.serial, again.server.serial);
        assert_eq!(first.admin_key.pem(), again.admin_key.pem());
        let key = again.replica_key.signing_key().unwrap();
        assert_eq!(key.public(), first.replica_key.signing_key().unwrap().public());
        assert!(matches!(again.server_key.signing_key(), Err(PkiError::Damaged { .. })));
    }

    #[test]
    fn certificates_renew_at_two_thirds_of_life_and_when_names_change() {
        let dir = tempfile::tempdir().unwrap();
        let now = 1_800_000_000;
        let mut pki = open(dir.path(), now);
        let (serial, due) = (pki.server.serial.clone(), pki.server.renew_at());
        assert_eq!(pki.renew(due - 1).unwrap(), Renewal::default());
        let kubeconfig = std::fs::read_to_string(pki.kubeconfig_path()).unwrap();
        assert_eq!(pki.renew(due).unwrap(), Renewal { server: true, admin: true });
        assert_ne!(pki.server.serial, serial);
        assert_ne!(std::fs::read_to_string(pki.kubeconfig_path()).unwrap(), kubeconfig);
        let settings = Settings::new("https://x:1".to_owned(), vec!["x.example".to_owned()]);
        let moved = Pki::open(dir.path(), settings, due).unwrap();
        assert_eq!(moved.server.names, ["x.example"]);
    }

    #[test]
    fn the_controllers_are_nobody_but_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let now = 1_800_000_000;
        let mut pki = open(dir.path(), now);
        assert_eq!(pki.controllers.subject, format!("CN={CONTROLLERS}"));
        assert_ne!(pki.controllers_key.pem(), pki.admin_key.pem());
        let serial = pki.controllers.serial.clone();
        let before = std::fs::read_to_string(pki.controllers_kubeconfig_path()).unwrap();
        assert!(before.contains(&format!("name: {CONTROLLERS}")));
        pki.renew(pki.controllers.renew_at()).unwrap();
        assert_ne!(pki.controllers.serial, serial);
        assert_ne!(std::fs::read_to_string(pki.controllers_kubeconfig_path()).unwrap(), before);
    }

    #[test]
    fn an_agent_keeps_its_key_for_as_long_as_it_is_the_same_node() {
        let dir = tempfile::tempdir().unwrap();
        let now = 1_800_000_000;
        let mut pki = open(dir.path(), now);
        pki.renew(now).unwrap();
        assert!(!dir.path().join("agent.kubeconfig").exists(), "no agent runs here");
        let key = pki.agent_key("n1", now).unwrap();
        assert!(!dir.path().join("agent.kubeconfig").exists(), "its key is not registered yet");
        let path = pki.write_agent_kubeconfig().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("name: system:node:n1") && text.contains(SIGNING_EXTENSION), "{text}");
        assert_eq!(files::mode(&path).unwrap(), Some(0o600));
        let mut again = open(dir.path(), now);
        assert_eq!(again.agent_key("n1", now).unwrap(), key);
        let held = again.agent.as_ref().unwrap().held.clone();
        assert_eq!(held.subject, "CN=system:node:n1, O=system:nodes");
        assert!(again.renew(held.renew_at()).unwrap().admin);
        assert_ne!(std::fs::read_to_string(&path).unwrap(), text, "renewed with the rest");
        assert_ne!(again.agent_key("n2", now).unwrap(), key, "another node is another key");
    }

    #[test]
    fn controllers_that_sign_are_said_to_whoever_writes_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let now = 1_800_000_000;
        let mut pki = open(dir.path(), now);
        let marked = |pki: &Pki| {
            std::fs::read_to_string(pki.controllers_kubeconfig_path()).unwrap().contains(SIGNING_EXTENSION)
        };
        assert!(!marked(&pki));
        pki.controllers_sign().unwrap();
        assert!(marked(&pki));
        let mut again = open(dir.path(), now);
        again.reissue(Renewal { server: false, admin: true }, now + 1).unwrap();
        assert!(marked(&again));
    }

    #[test]
    fn another_process_may_rotate() {
        let dir = tempfile::tempdir().unwrap();
        let mut running = open(dir.path(), 1_800_000_000);
        assert!(!running.reload().unwrap());
        open(dir.path(), 1_800_000_000)
            .reissue(Renewal { server: true, admin: false }, 1_800_000_001)
            .unwrap();
        assert!(running.reload().unwrap());
    }

    fn issuer(held: &Held) -> Vec<u8> {
        let (_, parsed) = x509_parser::parse_x509_certificate(&held.der).unwrap();
        let by = |authority: &Held| {
            let (_, authority) = x509_parser::parse_x509_certificate(&authority.der).unwrap();
            parsed.verify_signature(Some(authority.public_key())).is_ok()
        };
        let folder = held.path.parent().unwrap();
        let found = ["ca.crt", "client-ca.crt", "ca.old.crt", "client-ca.old.crt"]
            .into_iter()
            .find(|name| Held::read(&folder.join(name)).unwrap().is_some_and(|authority| by(&authority)));
        found.unwrap_or("nobody").as_bytes().to_vec()
    }

    #[test]
    fn authorities_change_in_two_steps() {
        let dir = tempfile::tempdir().unwrap();
        let now = 1_800_000_000;
        let mut running = open(dir.path(), now);
        let before = (running.ca.pem.clone(), running.client_ca.pem.clone());
        assert!(matches!(open(dir.path(), now).finish_rotation(now), Err(PkiError::NotRotating)));
        open(dir.path(), now).begin_rotation(now + 1).unwrap();
        assert!(running.reload().unwrap() && !running.reload().unwrap());
        assert_eq!(issuer(&running.admin), b"client-ca.old.crt", "no server takes the new one's yet");
        assert!(running.take_along(now + 1).unwrap() && !running.take_along(now + 1).unwrap());
        assert_ne!(running.ca.pem, before.0);
        assert_eq!(running.bundle(), format!("{}{}", running.ca.pem, before.0));
        assert_eq!(running.client_authorities().count(), 2);
        assert_eq!(
            (issuer(&running.server), issuer(&running.admin)),
            (b"ca.old.crt".to_vec(), b"client-ca.crt".to_vec())
        );
        assert!(matches!(open(dir.path(), now).begin_rotation(now), Err(PkiError::Rotating)));
        // What is renewed meanwhile is what clients of before know.
        running.reissue(Renewal { server: true, admin: true }, now + 2).unwrap();
        assert_eq!(issuer(&running.server), b"ca.old.crt");
        assert!(rotation::seen(dir.path()).unwrap().is_none(), "nobody has looked");
        let seen = rotation::Seen {
            authority: running.old().unwrap().ca.serial.clone(),
            since: now,
            looked: now,
            clients: [("ann".to_owned(), now)].into(),
            ..rotation::Seen::default()
        };
        rotation::tell(dir.path(), &seen).unwrap();
        assert_eq!(rotation::seen(dir.path()).unwrap(), Some(seen));
        open(dir.path(), now).finish_rotation(now + 3).unwrap();
        assert!(running.reload().unwrap());
        assert_eq!((running.bundle(), running.client_authorities().count()), (running.ca.pem.clone(), 1));
        assert_eq!(
            (issuer(&running.server), issuer(&running.admin)),
            (b"ca.crt".to_vec(), b"client-ca.crt".to_vec())
        );
        let left = std::fs::read_dir(dir.path().join("pki")).unwrap();
        let names: Vec<String> =
            left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(
            !names.iter().any(|name| name.contains("old") || name.contains("new") || name.contains("json")),
            "{names:?}"
        );
    }

    /// What a crash leaves after any of the writes of a rotation's beginning is whole once it is opened again: with the
    /// authorities of before, or with both.
    #[test]
    fn a_rotation_that_is_cut_short_is_whole_again() {
        let whole = tempfile::tempdir().unwrap();
        let now = 1_800_000_000;
        open(whole.path(), now);
        let name = |file: &str| whole.path().join("pki").join(file);
        let read = |file: &str| std::fs::read(name(file)).unwrap();
        let (before_key, before) = (read("ca.key"), read("ca.crt"));
        let clients = (read("client-ca.key"), read("client-ca.crt"));
        open(whole.path(), now).begin_rotation(now).unwrap();
        let (after_key, after) = (read("ca.key"), read("ca.crt"));
        let clients_after = (read("client-ca.key"), read("client-ca.crt"));
        // The files in the order in which they come; the last four are moved into their places.
        let steps: Vec<(&str, &[u8])> = vec![
            ("ca.new.key", &after_key),
            ("ca.new.crt", &after),
            ("client-ca.new.key", &clients_after.0),
            ("client-ca.new.crt", &clients_after.1),
            ("client-ca.old.crt", &clients.1),
            ("ca.old.key", &before_key),
            ("ca.old.crt", &before),
            ("ca.key", &after_key),
            ("ca.crt", &after),
            ("client-ca.key", &clients_after.0),
            ("client-ca.crt", &clients_after.1),
        ];
        for cut in 0..=steps.len() {
            let dir = tempfile::tempdir().unwrap();
            let at = |file: &str| dir.path().join("pki").join(file);
            std::fs::create_dir(dir.path().join("pki")).unwrap();
            for (file, bytes) in [
                ("ca.key", &before_key),
                ("ca.crt", &before),
                ("client-ca.key", &clients.0),
                ("client-ca.crt", &clients.1),
            ] {
                std::fs::write(at(file), bytes).unwrap();
            }
            for (n, (file, bytes)) in steps.iter().take(cut).enumerate() {
                std::fs::write(at(file), bytes).unwrap();
                if n >= 7 {
                    let (name, kind) = file.rsplit_once('.').unwrap();
                    std::fs::remove_file(at(&format!("{name}.new.{kind}"))).unwrap();
                }
            }
            let pki = open(dir.path(), now);
            let begun = cut >= 7;
            assert_eq!(pki.old().is_some(), begun, "after {cut} files");
            assert_eq!(pki.ca.pem.as_bytes(), if begun { &after } else { &before });
            assert_eq!(pki.ca.public(), pki.ca_key.public());
            assert_eq!(pki.client_ca.public(), pki.client_ca_key.public());
            assert!(!at("ca.new.crt").exists() && !at("client-ca.new.key").exists());
        }
    }

    #[test]
    fn clients_that_a_rotation_left_behind_are_taken_along_by_the_next_start() {
        let now = 1_800_000_000;
        // Cut after none, one and both of the folder's own clients had their new certificates.
        for left in [&["admin", "controllers"][..], &["controllers"], &["admin"], &[]] {
            let dir = tempfile::tempdir().unwrap();
            open(dir.path(), now);
            let at = |name: &str| dir.path().join("pki").join(format!("{name}.crt"));
            let before: Vec<_> = left.iter().map(|name| std::fs::read(at(name)).unwrap()).collect();
            let mut pki = open(dir.path(), now);
            pki.begin_rotation(now).unwrap();
            pki.take_along(now).unwrap();
            for (name, text) in left.iter().zip(before) {
                std::fs::write(at(name), text).unwrap();
            }
            let findings = crate::check(dir.path(), &crate::Pinned::default()).unwrap();
            let theirs = |finding: &&crate::Finding| {
                let name = finding.path.file_name().unwrap().to_str().unwrap();
                left.iter().any(|left| name == format!("{left}.crt"))
            };
            let told: Vec<_> = findings.iter().filter(theirs).collect();
            assert!(told.len() == left.len() && told.iter().all(|finding| finding.mends), "{findings:?}");
            let mut pki = open(dir.path(), now + 1);
            assert_eq!(pki.take_along(now + 1).unwrap(), !left.is_empty());
            for held in [&pki.admin, &pki.controllers] {
                assert_eq!(issuer(held), b"client-ca.crt", "{left:?}");
            }
        }
    }

    #[test]
    fn the_kubeconfig_pins_the_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let mut pki = open(dir.path(), 1_800_000_000);
        let text = |pki: &Pki| std::fs::read_to_string(pki.kubeconfig_path()).unwrap();
        assert!(!text(&pki).contains("extensions"));
        pki.pin(ClusterId::default()).unwrap();
        assert!(text(&pki).contains(&format!("id: \"{}\"\nusers:", ClusterId::default())));
        pki.reissue(Renewal { server: false, admin: true }, 1_800_000_001).unwrap();
        assert!(text(&pki).contains("name: hypermesh.online/cluster"));
        // And that this cluster knows the administrator's key, which no replica's word changes.
        let signing = "client-key-data: ";
        let (_, after) = text(&pki).split_once(signing).map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert!(
            after.contains("- name: hypermesh.online/signing\n      extension:\n        required: true\n"),
            "{after}"
        );
        let controllers = std::fs::read_to_string(pki.controllers_kubeconfig_path()).unwrap();
        assert!(!controllers.contains("hypermesh.online/signing"));
    }

    #[test]
    fn keys_are_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), 1_800_000_000);
        for entry in std::fs::read_dir(dir.path().join("pki")).unwrap() {
            let entry = entry.unwrap();
            if entry.path().extension().is_some_and(|e| e == "key") {
                assert_eq!(
                    entry.metadata().unwrap().permissions().mode() & 0o777,
                    0o600,
                    "{:?}",
                    entry.path()
                );
            }
        }
    }

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), 1_800_000_000);
        std::fs::write(dir.path().join("pki/server.crt"), "nonsense").unwrap();
        let settings = Settings::new("https://x:1".to_owned(), vec!["x.example".to_owned()]);
        let error = Pki::open(dir.path(), settings, 1_800_000_000).unwrap_err();
        assert!(error.to_string().contains("server.crt is no certificate"), "{error}");
    }
}
