//! The kubeconfig of a daemon: one file, its current context. Everything that is wrong with it is told with file, line,
//! column and field.
//!
//! Source: `k8s.io/client-go/tools/clientcmd/api/v1`. Files that it names are relative to it. The command line's
//! kubeconfigs (several files, merged, with flags) are read by the command line.

mod places;

use crate::config::{Config, Identity, Material, Server, Source, Trust};
use crate::error::Error;
use crate::material;
use hypermesh_chain::ClusterId;
use serde_json::Value;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of the extension of a cluster's entry that pins the cluster's id: `extension: {id: <64 hex digits>}`.
pub const CLUSTER_EXTENSION: &str = "hypermesh.online/cluster";

/// The name of the extension of a user's entry that has writes signed or not sent: `extension: {required: true}`. For a
/// key that the cluster has registered.
pub const SIGNING_EXTENSION: &str = "hypermesh.online/signing";

/// The largest kubeconfig that is read, in bytes.
const LARGEST: u64 = 16 << 20;

/// Told of parts of an impersonation that nothing here sends: left out, somebody would act as another than is meant.
pub const NOT_SPOKEN: &str = "uid and further attributes of whoever is impersonated are not sent by this program: without them it \
    would act as somebody else than is meant, so it does not";

/// Told of groups of nobody.
pub const NO_USER: &str = "nobody is impersonated: groups go with a user, in `as`";

/// Why no plugin is run.
const PLUGIN: &str = "credential plugins are run for people, by nexusctl: a daemon takes a client certificate or a \
    tokenFile, and takes up what is renewed there";

pub(crate) fn read(path: &Path) -> Result<Config, Error> {
    let file = File::read(path)?;
    let mut config = file.config()?;
    let owned = path.to_owned();
    let again = move || File::read(&owned)?.config();
    config.source = Some(Source { files: file.files(), read: Arc::new(again), hands_out: false });
    Ok(config)
}

/// A kubeconfig, read.
struct File {
    path: PathBuf,
    text: String,
    root: Value,
}

/// One entry of `clusters`, `contexts` or `users`.
struct Entry<'a> {
    file: &'a File,
    /// `clusters[0].cluster`
    place: String,
    node: &'a Value,
}

impl File {
    fn read(path: &Path) -> Result<Self, Error> {
        let shown = path.display().to_string();
        let unreadable = |why: String| Error::setup(&shown, format!("the kubeconfig cannot be read: {why}"));
        // Whatever its size claims to be: a device has none, and no end.
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|e| unreadable(e.to_string()))?;
        file.take(LARGEST + 1).read_to_string(&mut text).map_err(|e| unreadable(e.to_string()))?;
        if text.len() as u64 > LARGEST {
            return Err(unreadable(format!("it is larger than {LARGEST} bytes, which are read at most")));
        }
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        // The parser shows the line it stumbled over, and that may hold a key: only the place is told.
        let root: Value = serde_saphyr::from_str(text).map_err(|e| {
            let at = e.location().map_or_else(String::new, |l| format!(":{}:{}", l.line(), l.column()));
            Error::setup(format!("{}{at}", path.display()), "the kubeconfig is not valid YAML".to_owned())
        })?;
        let file = Self { path: path.to_owned(), text: text.to_owned(), root };
        if !file.root.is_object() {
            return Err(file.fault("kubeconfig", "must be a mapping"));
        }
        Ok(file)
    }

    fn fault(&self, field: &str, message: impl Into<String>) -> Error {
        Error::setup(self.origin(field), message.into())
    }

    /// `/etc/k:7:5: clusters[0].cluster.server`
    fn origin(&self, field: &str) -> String {
        let at = places::place(&self.text, field)
            .map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
        format!("{}{at}: {field}", self.path.display())
    }

    fn entry(&self, what: &str, name: &str, by: &str) -> Result<Entry<'_>, Error> {
        let list = format!("{what}s");
        let items = match self.root.get(&list) {
            None | Some(Value::Null) => &[],
            Some(Value::Array(items)) => items.as_slice(),
            Some(_) => return Err(self.fault(&list, "must be a list")),
        };
        let found =
            items.iter().enumerate().find(|(_, item)| item.get("name").and_then(Value::as_str) == Some(name));
        let Some((index, item)) = found else {
            let known: Vec<&str> = items.iter().filter_map(|i| i.get("name")?.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(self.fault(by, format!("there is no {what} {name:?}; there are: {known}")));
        };
        let place = format!("{list}[{index}].{what}");
        match item.get(what) {
            Some(node) if node.is_object() => Ok(Entry { file: self, place, node }),
            None => Err(self.fault(&place, "is missing")),
            Some(_) => Err(self.fault(&place, "must be a mapping")),
        }
    }

    fn config(&self) -> Result<Config, Error> {
        let current = match self.root.get("current-context") {
            Some(Value::String(name)) if !name.is_empty() => name,
            None | Some(Value::Null | Value::String(_)) => {
                return Err(self.fault("current-context", "is missing: it names the context to use"));
            }
            Some(_) => return Err(self.fault("current-context", "must be a string")),
        };
        let context = self.entry("context", current, "current-context")?;
        let cluster = self.entry("cluster", context.required("cluster")?, &context.field("cluster"))?;
        let server = cluster.required("server")?;
        let server = Server::parse(server).map_err(|why| self.fault(&cluster.field("server"), why))?;
        let mut config = Config::new(server);
        if let Some(name) = cluster.text("tls-server-name")? {
            material::host(name).map_err(|why| cluster.fault("tls-server-name", why))?;
            config.server_name = Some(name.to_owned());
            config.server_name_origin = Some(self.origin(&cluster.field("tls-server-name")));
        }
        config.trust = cluster.trust()?;
        config.cluster = cluster.id()?;
        if let Some(namespace) = context.text("namespace")? {
            config.namespace = namespace.to_owned();
        }
        if let Some(user) = context.text("user")? {
            config.identity = self.entry("user", user, &context.field("user"))?.identity()?;
        }
        Ok(config)
    }

    /// The file and those that it names.
    fn files(&self) -> Vec<PathBuf> {
        let named = ["certificate-authority", "client-certificate", "client-key", "tokenFile"];
        let entries =
            ["clusters", "users"].into_iter().filter_map(|list| self.root.get(list)?.as_array()).flatten();
        let paths = entries
            .filter_map(|entry| entry.get("cluster").or_else(|| entry.get("user")))
            .flat_map(|node| named.iter().filter_map(|name| node.get(*name)?.as_str()))
            .map(|path| self.beside(path));
        std::iter::once(self.path.clone()).chain(paths).collect()
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("."))
    }

    fn beside(&self, path: &str) -> PathBuf {
        self.folder().join(path)
    }
}

impl<'a> Entry<'a> {
    fn field(&self, key: &str) -> String {
        format!("{}.{key}", self.place)
    }

    fn fault(&self, key: &str, message: impl Into<String>) -> Error {
        self.file.fault(&self.field(key), message)
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, Error> {
        match self.node.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.fault(key, "must be a string")),
        }
    }

    fn required(&self, key: &str) -> Result<&'a str, Error> {
        self.text(key)?.ok_or_else(|| self.fault(key, "is missing"))
    }

    /// Data wins over a file, as everywhere.
    fn material(&self, data: &str, file: &str) -> Result<Option<Material>, Error> {
        let origin = |key: &str| self.file.origin(&self.field(key));
        if let Some(text) = self.text(data)? {
            let pem = material::decode(text, file).map_err(|why| self.fault(data, why))?;
            return Ok(Some(Material { pem, origin: origin(data) }));
        }
        let Some(path) = self.text(file)? else { return Ok(None) };
        let pem = material::read_beside(self.file.folder(), path).map_err(|why| self.fault(file, why))?;
        Ok(Some(Material { pem, origin: origin(file) }))
    }

    fn trust(&self) -> Result<Trust, Error> {
        if self.text("proxy-url")?.is_some() {
            return Err(
                self.fault("proxy-url", "proxies are not spoken to: a daemon reaches the server itself")
            );
        }
        let authorities = self.material("certificate-authority-data", "certificate-authority")?;
        let insecure = match self.node.get("insecure-skip-tls-verify") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(insecure)) => *insecure,
            Some(_) => return Err(self.fault("insecure-skip-tls-verify", "must be true or false")),
        };
        match (authorities, insecure) {
            (Some(_), true) => Err(self.fault(
                "insecure-skip-tls-verify",
                "cannot be true while a certificate authority is named: one of the two has to go",
            )),
            (Some(authorities), false) => Ok(Trust::Authorities(authorities)),
            (None, true) => Ok(Trust::Anyone),
            (None, false) => Ok(Trust::System { bundle: None }),
        }
    }

    fn extension(&self, name: &str) -> Option<&'a Value> {
        let extensions = self.node.get("extensions")?.as_array()?;
        extensions.iter().find(|e| e.get("name").and_then(Value::as_str) == Some(name))
    }

    /// Whether writes have to be signed.
    fn must_sign(&self) -> Result<bool, Error> {
        let Some(extension) = self.extension(SIGNING_EXTENSION) else { return Ok(false) };
        let required = extension.pointer("/extension/required").and_then(Value::as_bool);
        required.ok_or_else(|| {
            self.fault("extensions", format!("{SIGNING_EXTENSION}: `required` must be true or false"))
        })
    }

    /// The cluster's id, if it is pinned.
    fn id(&self) -> Result<Option<ClusterId>, Error> {
        let Some(extension) = self.extension(CLUSTER_EXTENSION) else { return Ok(None) };
        let id = extension.pointer("/extension/id").and_then(Value::as_str).unwrap_or_default();
        let id = id.parse().map_err(|e| self.fault("extensions", format!("{CLUSTER_EXTENSION}: {e}")))?;
        Ok(Some(id))
    }

    fn identity(&self) -> Result<Identity, Error> {
        for (field, message) in [
            ("exec", PLUGIN),
            ("auth-provider", PLUGIN),
            ("username", "no server takes passwords any more: use a client certificate or a token"),
            ("password", "no server takes passwords any more: use a client certificate or a token"),
        ] {
            if self.node.get(field).is_some_and(|node| !node.is_null()) {
                return Err(self.fault(field, message));
            }
        }
        let certificate = self.material("client-certificate-data", "client-certificate")?;
        let key = self.material("client-key-data", "client-key")?;
        let certificate = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                return Err(self.fault("client-key-data", "is missing, while there is a client certificate"));
            }
            (None, Some(_)) => {
                return Err(self.fault("client-certificate-data", "is missing, while there is a client key"));
            }
        };
        let groups = match self.node.get("as-groups") {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(Value::Array(groups)) => groups.iter().map(|g| g.as_str().map(str::to_owned)).collect(),
            Some(_) => None,
        };
        let impersonate_groups =
            groups.ok_or_else(|| self.fault("as-groups", "must be a list of strings"))?;
        let impersonate = self.text("as")?.map(str::to_owned);
        self.impersonates_whole(impersonate.is_some(), impersonate_groups.is_empty())?;
        let must_sign = self.must_sign()?;
        Ok(Identity { certificate, token: self.token()?, impersonate, impersonate_groups, must_sign })
    }

    /// Refuses what would have somebody act as another than is meant.
    fn impersonates_whole(&self, user: bool, no_groups: bool) -> Result<(), Error> {
        for field in ["as-uid", "as-user-extra"] {
            if self.node.get(field).is_some_and(|node| !node.is_null()) {
                return Err(self.fault(field, NOT_SPOKEN));
            }
        }
        if !user && !no_groups {
            return Err(self.fault("as-groups", NO_USER));
        }
        Ok(())
    }

    fn token(&self) -> Result<Option<String>, Error> {
        let (key, token) = if let Some(token) = self.text("token")? {
            ("token", token.to_owned())
        } else if let Some(path) = self.text("tokenFile")? {
            let read = material::read_beside(self.file.folder(), path);
            let bytes = read.map_err(|why| self.fault("tokenFile", why))?;
            ("tokenFile", material::text(bytes).map_err(|why| self.fault("tokenFile", why))?)
        } else {
            return Ok(None);
        };
        match token.trim() {
            "" => Err(self.fault(key, "is empty")),
            token if token.chars().all(|c| c.is_ascii_graphic()) => Ok(Some(token.to_owned())),
            _ => Err(self.fault(key, "holds characters that no token has")),
        }
    }
}

#[cfg(test)]
mod tests;
