//! From merged files and flags to one server and one identity.

use crate::{
    kubeconfig::{
        Credential, Error, Merged, Plugin, Shown,
        exec::CLUSTER_CONFIG,
        file::{Named, Text},
    },
    manifest::node::{Content, Node},
};
use base64::Engine as _;
use hypermesh_api::name::dns1123_label;
use hypermesh_client::{
    CLUSTER_EXTENSION, ClusterId, Identity, Material, NO_USER, NOT_SPOKEN, SIGNING_EXTENSION, Server,
    material,
};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// What the command line says; it wins over every file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--kubeconfig`
    pub kubeconfig: Option<PathBuf>,
    /// `--context`
    pub context: Option<String>,
    /// `--cluster`
    pub cluster: Option<String>,
    /// `--user`
    pub user: Option<String>,
    /// `--namespace`
    pub namespace: Option<String>,
    /// `--server`
    pub server: Option<String>,
    /// `--tls-server-name`
    pub tls_server_name: Option<String>,
    /// `--insecure-skip-tls-verify`
    pub insecure: bool,
    /// `--certificate-authority`
    pub certificate_authority: Option<PathBuf>,
    /// `--client-certificate`
    pub client_certificate: Option<PathBuf>,
    /// `--client-key`
    pub client_key: Option<PathBuf>,
    /// `--token`
    pub token: Option<String>,
    /// `--as`
    pub impersonate: Option<String>,
    /// `--as-group`
    pub impersonate_groups: Vec<String>,
}

/// One server, and who calls it.
#[derive(Clone)]
pub struct Target {
    /// The server.
    pub server: Server,
    /// The name that the server's certificate must carry, if it is not the host.
    pub tls_server_name: Option<String>,
    /// Who says that name: a field of a file, or a flag.
    pub tls_server_name_origin: Option<String>,
    /// Whether any certificate will do.
    pub insecure: bool,
    /// Certificates that the server's must lead to; the machine's own where none is named.
    pub authorities: Option<Material>,
    /// The cluster that the file pins.
    pub cluster: Option<ClusterId>,
    /// Who calls.
    pub identity: Identity,
    /// The program that hands out the rest of the identity.
    pub plugin: Option<Plugin>,
    /// Where identity or plugin were found.
    pub credential: Credential,
    /// The namespace meant where none is named.
    pub namespace: String,
    /// The files that this was read from.
    pub files: Vec<PathBuf>,
}

/// Why no proxy is spoken to.
const PROXIED: &str = "proxies are not spoken to, as requests go to the server itself, over UDP or TCP: forward a port \
    of this machine to it (`ssh -L 6443:HOST:6443 …`), and name that by --server https://127.0.0.1:6443 \
    --tls-server-name HOST";

/// Picks context, cluster and user, and reads what they name.
pub fn resolve(merged: &Merged, overrides: &Overrides) -> Result<Target, Error> {
    merged.check_fields()?;
    let context = context(merged, overrides)?;
    context.as_ref().map_or(Ok(()), Named::check_fields)?;
    let cluster = entry(merged, "cluster", overrides.cluster.as_deref(), context.as_ref())?;
    let user = entry(merged, "user", overrides.user.as_deref(), context.as_ref())?;
    for entry in [&cluster, &user].into_iter().flatten() {
        entry.check_fields()?;
    }

    let server = match (&overrides.server, &cluster) {
        (Some(server), _) => {
            Server::parse(server).map_err(|message| Error::Flag { flag: "--server", message })?
        }
        (None, Some(cluster)) => {
            let missing = || {
                cluster.fault("server", "is missing: https://HOST:PORT of the API server is expected".into())
            };
            let text = cluster.text("server")?.ok_or_else(missing)?;
            Server::parse(text.value).map_err(|message| Error::Field { place: text.place, message })?
        }
        (None, None) => return Err(Error::NoContext { known: merged.contexts()?, files: merged.paths() }),
    };
    if let Some(cluster) = &cluster
        && cluster.has("proxy-url")
    {
        return Err(cluster.fault("proxy-url", PROXIED.into()));
    }
    let insecure = overrides.insecure
        || (overrides.certificate_authority.is_none()
            && cluster.as_ref().map_or(Ok(false), |c| c.flag("insecure-skip-tls-verify"))?);
    let authorities = match (&overrides.certificate_authority, &cluster) {
        (Some(path), _) => Some(read_flag(path, "--certificate-authority")?),
        (None, Some(cluster)) => held(cluster, "certificate-authority-data", "certificate-authority")?,
        (None, None) => None,
    };
    if insecure
        && authorities.is_some()
        && !overrides.insecure
        && let Some(cluster) = &cluster
    {
        let message = "cannot be true while a certificate authority is named: one of the two has to go";
        return Err(cluster.fault("insecure-skip-tls-verify", message.into()));
    }
    let (tls_server_name, tls_server_name_origin) = server_name(cluster.as_ref(), overrides)?.unzip();
    let namespace = match (&overrides.namespace, &context) {
        (Some(namespace), _) => namespace.clone(),
        (None, Some(context)) => match context.text("namespace")? {
            None => "default".into(),
            Some(text) => match dns1123_label(text.value).first() {
                None => text.value.to_owned(),
                Some(wrong) => {
                    let message = format!("{:?} is no name of a namespace: {wrong}", text.value);
                    return Err(Error::Field { place: text.place, message });
                }
            },
        },
        (None, None) => "default".into(),
    };
    // Another address is still one of the cluster that the file trusts; with another authority it is another cluster.
    let pinned =
        cluster.as_ref().filter(|_| overrides.server.is_none() || overrides.certificate_authority.is_none());
    let id = pinned.map_or(Ok(None), cluster_id)?;
    let (identity, plugin) = identity(user.as_ref(), overrides)?;
    let credential = Credential {
        context: overrides
            .context
            .clone()
            .or(merged.current_context()?.filter(|_| context.is_some()).map(|name| name.value.to_owned())),
        user: match (&overrides.user, &context) {
            (Some(name), _) => Some(name.clone()),
            (None, Some(context)) => context.text("user")?.map(|name| name.value.to_owned()),
            (None, None) => None,
        },
        shown: shown(user.as_ref(), overrides, (&identity, plugin.as_ref().map(|(plugin, _)| plugin)))?,
    };
    let plugin = plugin.map(|(plugin, told)| match told {
        false => plugin,
        true => {
            let known = cluster_info(&server, tls_server_name.as_deref(), insecure, authorities.as_ref());
            Plugin { cluster: Some(with_config(known, cluster.as_ref())), ..plugin }
        }
    });
    let named = [
        (cluster.as_ref(), "certificate-authority"),
        (user.as_ref(), "client-certificate"),
        (user.as_ref(), "client-key"),
        (user.as_ref(), "tokenFile"),
    ];
    let mut files = merged.paths();
    for (entry, field) in named {
        let Some(entry) = entry else { continue };
        files.extend(entry.text(field)?.map(|path| entry.resolve_path(path.value)));
    }
    let flags = [&overrides.certificate_authority, &overrides.client_certificate, &overrides.client_key];
    files.extend(flags.into_iter().flatten().cloned());
    Ok(Target {
        server,
        tls_server_name,
        tls_server_name_origin,
        insecure,
        authorities,
        cluster: id,
        identity,
        plugin,
        credential,
        namespace,
        files,
    })
}

/// The name that the server's certificate must carry, and who says so.
fn server_name(
    cluster: Option<&Named<'_>>,
    overrides: &Overrides,
) -> Result<Option<(String, String)>, Error> {
    if let Some(name) = &overrides.tls_server_name {
        material::host(name).map_err(|why| flag("--tls-server-name", why))?;
        return Ok(Some((name.clone(), "--tls-server-name".to_owned())));
    }
    let Some(Text { value, place }) = cluster.map_or(Ok(None), |cluster| cluster.text("tls-server-name"))?
    else {
        return Ok(None);
    };
    match material::host(value) {
        Ok(_) => Ok(Some((value.to_owned(), place.to_string()))),
        Err(message) => Err(Error::Field { place, message }),
    }
}

fn context<'a>(merged: &'a Merged, overrides: &Overrides) -> Result<Option<Named<'a>>, Error> {
    if let Some(name) = &overrides.context {
        return merged.entry("context", name, None).map(Some);
    }
    match merged.current_context()? {
        Some(Text { value, place }) => merged.entry("context", value, Some(place.to_string())).map(Some),
        None if overrides.server.is_some() || overrides.cluster.is_some() || merged.is_empty() => Ok(None),
        None => Err(Error::NoContext { known: merged.contexts()?, files: merged.paths() }),
    }
}

fn entry<'a>(
    merged: &'a Merged,
    what: &'static str,
    flag: Option<&str>,
    context: Option<&Named<'a>>,
) -> Result<Option<Named<'a>>, Error> {
    if let Some(name) = flag {
        return merged.entry(what, name, None).map(Some);
    }
    let Some(context) = context else { return Ok(None) };
    match context.text(what)? {
        Some(Text { value, place }) => merged.entry(what, value, Some(place.to_string())).map(Some),
        // A context without a user is anonymous; one without a cluster leads nowhere.
        None if what == "user" => Ok(None),
        None => Err(context.fault(what, "is missing".into())),
    }
}

/// What a plugin is told of the cluster (`spec.cluster`).
fn cluster_info(
    server: &Server,
    name: Option<&str>,
    insecure: bool,
    authorities: Option<&Material>,
) -> Map<String, Value> {
    let mut known = Map::from_iter([("server".to_owned(), server.url().into())]);
    known.extend(name.map(|name| ("tls-server-name".to_owned(), name.into())));
    if insecure {
        known.insert("insecure-skip-tls-verify".to_owned(), true.into());
    }
    if let Some(authorities) = authorities {
        let pem = base64::engine::general_purpose::STANDARD.encode(&authorities.pem);
        known.insert("certificate-authority-data".to_owned(), pem.into());
    }
    known
}

/// Adds what the cluster's entry holds for plugins.
fn with_config(mut known: Map<String, Value>, cluster: Option<&Named<'_>>) -> Value {
    let config = cluster.and_then(|cluster| cluster.extension(CLUSTER_CONFIG));
    known.extend(config.map(|config| ("config".to_owned(), config.to_value())));
    Value::Object(known)
}

/// Who calls, and the plugin that says the rest, with whether it is to be told of the cluster.
fn identity(
    user: Option<&Named<'_>>,
    overrides: &Overrides,
) -> Result<(Identity, Option<(Plugin, bool)>), Error> {
    let mut found = Identity {
        impersonate: overrides.impersonate.clone(),
        impersonate_groups: overrides.impersonate_groups.clone(),
        ..Identity::default()
    };
    match (&overrides.client_certificate, &overrides.client_key) {
        (Some(certificate), Some(key)) => {
            found.certificate =
                Some((read_flag(certificate, "--client-certificate")?, read_flag(key, "--client-key")?));
        }
        (Some(_), None) => return Err(flag("--client-certificate", "needs --client-key too")),
        (None, Some(_)) => return Err(flag("--client-key", "needs --client-certificate too")),
        (None, None) => {}
    }
    if let Some(token) = &overrides.token {
        found.token = Some(usable_token(token).map_err(|message| flag("--token", message))?);
    }
    // What the command line says of identity replaces the file's, so that nobody is two people at once.
    let Some(user) = user.filter(|_| found.certificate.is_none() && found.token.is_none()) else {
        return Ok((found, None));
    };
    if user.has("auth-provider") {
        let message = "Kubernetes has these no more: name the program that took their place in exec";
        return Err(user.fault("auth-provider", message.into()));
    }
    for unsupported in ["username", "password"] {
        if user.has(unsupported) {
            let message = "no server takes passwords any more: use a client certificate or a token";
            return Err(user.fault(unsupported, message.into()));
        }
    }
    let certificate = held(user, "client-certificate-data", "client-certificate")?;
    let key = held(user, "client-key-data", "client-key")?;
    found.certificate = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (Some(_), None) => {
            return Err(
                user.fault("client-key-data", "is missing, while there is a client certificate".into())
            );
        }
        (None, Some(_)) => {
            return Err(
                user.fault("client-certificate-data", "is missing, while there is a client key".into())
            );
        }
        (None, None) => None,
    };
    if let Some(token) = user.text("token")? {
        found.token = Some(usable_token(token.value).map_err(|m| user.fault("token", m.into()))?);
    } else if let Some(path) = user.text("tokenFile")? {
        let fault = |message: String| user.fault("tokenFile", message);
        let text = material::text(material::read_beside(user.folder(), path.value).map_err(fault)?)
            .map_err(|why| fault(why.to_owned()))?;
        found.token = Some(usable_token(&text).map_err(|why| fault(why.to_owned()))?);
    }
    found.must_sign = must_sign(user)?;
    if found.impersonate.is_none() {
        found.impersonate = user.text("as")?.map(|t| t.value.to_owned());
        found.impersonate_groups.extend(user.texts("as-groups")?);
        // Left out, they would have somebody act as another than is meant.
        if let Some(field) = ["as-uid", "as-user-extra"].into_iter().find(|field| user.has(field)) {
            return Err(user.fault(field, NOT_SPOKEN.into()));
        }
        if found.impersonate.is_none() && user.has("as-groups") && !found.impersonate_groups.is_empty() {
            return Err(user.fault("as-groups", NO_USER.into()));
        }
    }
    // A token that the file names goes before one that would have to be asked for.
    let plugin = if found.token.is_some() { None } else { Plugin::of(user)? };
    if plugin.is_some() && found.certificate.is_some() {
        let message =
            "a client certificate stands beside it, and nobody is two people: one of the two has to go";
        return Err(user.fault("exec", message.into()));
    }
    Ok((found, plugin))
}

/// Where what says who calls was found. A token goes before a certificate, as servers take it.
fn shown(
    user: Option<&Named<'_>>,
    overrides: &Overrides,
    (identity, plugin): (&Identity, Option<&Plugin>),
) -> Result<Shown, Error> {
    if overrides.token.is_some() {
        return Ok(Shown::Flag("--token"));
    }
    if overrides.client_certificate.is_some() {
        return Ok(Shown::Flag("--client-certificate"));
    }
    if let Some(plugin) = plugin {
        return Ok(Shown::Plugin { place: plugin.place.clone(), command: plugin.command.clone() });
    }
    let Some(user) = user else { return Ok(Shown::Nothing) };
    if let Some(Text { place, .. }) = user.text("token")? {
        return Ok(Shown::Token(place));
    }
    if let Some(Text { value, place }) = user.text("tokenFile")? {
        return Ok(Shown::TokenFile { place, path: user.resolve_path(value) });
    }
    Ok(match &identity.certificate {
        Some((certificate, _)) => Shown::Certificate { origin: certificate.origin.clone() },
        None => Shown::Nothing,
    })
}

fn flag(flag: &'static str, message: impl Into<String>) -> Error {
    Error::Flag { flag, message: message.into() }
}

fn usable_token(token: &str) -> Result<String, &'static str> {
    let token = token.trim();
    match token {
        "" => Err("is empty"),
        _ if token.chars().all(|c| c.is_ascii_graphic()) => Ok(token.to_owned()),
        _ => Err("holds characters that no token has"),
    }
}

fn read_flag(path: &Path, name: &'static str) -> Result<Material, Error> {
    let pem = material::read(path).map_err(|why| flag(name, why))?;
    Ok(Material { pem, origin: format!("{name} {}", path.display()) })
}

/// What a field holds, or the file that another names. Data wins over a file, as everywhere.
fn held(entry: &Named<'_>, data: &str, file: &str) -> Result<Option<Material>, Error> {
    if let Some(text) = entry.text(data)? {
        let pem = material::decode(text.value, file).map_err(|why| entry.fault(data, why))?;
        return Ok(Some(Material { pem, origin: text.place.to_string() }));
    }
    let Some(text) = entry.text(file)? else { return Ok(None) };
    let pem = material::read_beside(entry.folder(), text.value).map_err(|why| entry.fault(file, why))?;
    Ok(Some(Material { pem, origin: text.place.to_string() }))
}

/// Whether the user's entry says that writes go out signed or not at all.
fn must_sign(user: &Named<'_>) -> Result<bool, Error> {
    let Some(extension) = user.extension(SIGNING_EXTENSION) else { return Ok(false) };
    match extension.get("required").map(|required| &required.content) {
        Some(Content::Bool(required)) => Ok(*required),
        _ => Err(user.fault("extensions", format!("{SIGNING_EXTENSION}: `required` must be true or false"))),
    }
}

/// The id that the cluster's entry pins.
fn cluster_id(cluster: &Named<'_>) -> Result<Option<ClusterId>, Error> {
    let Some(extension) = cluster.extension(CLUSTER_EXTENSION) else { return Ok(None) };
    let id = extension.get("id").and_then(Node::as_str).unwrap_or_default();
    let fault = |e| cluster.fault("extensions", format!("{CLUSTER_EXTENSION}: {e}"));
    id.parse().map(Some).map_err(fault)
}
