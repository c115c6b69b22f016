//! What volumes hold that are made of objects: trees of files with their permissions, as values.

use crate::instance::Instance;
use crate::sources::{ConfigError, Contents, Fields, ObjectKind, Sources};
use hypermesh_schemas::workload::volume::{KeyToPath, Projection, TokenProjection, Volume};
use std::collections::BTreeMap;

/// Files by their paths below the volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileTree(pub BTreeMap<String, File>);

/// One file.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Its permissions.
    pub mode: u32,
}

impl std::fmt::Debug for File {
    /// Sizes alone: contents may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:o} {} bytes", self.mode, self.bytes.len())
    }
}

/// Tokens that were asked for, by the volume and the path of each.
pub type Tokens = BTreeMap<(String, String), String>;

/// The tokens that an instance's volumes hold: volume, and which.
pub fn tokens(instance: &Instance) -> impl Iterator<Item = (&str, &TokenProjection)> {
    instance.pod().volumes.iter().flat_map(|volume| {
        let sources = volume.projected.iter().flat_map(|projected| &projected.sources);
        sources
            .filter_map(|source| source.service_account_token.as_ref())
            .map(|token| (volume.name.as_str(), token))
    })
}

/// Whether every container finds a token of the instance's account where Kubernetes' clients look for one.
#[must_use]
pub fn has_api_access(instance: &Instance) -> bool {
    instance.pod().automount_service_account_token != Some(false)
}

/// Whether what a volume holds may be secret, so that it belongs in memory alone.
#[must_use]
pub fn is_secret(volume: &Volume) -> bool {
    volume.secret.is_some()
        || volume.projected.as_ref().is_some_and(|projected| {
            projected
                .sources
                .iter()
                .any(|source| source.secret.is_some() || source.service_account_token.is_some())
        })
}

/// What a volume holds that is made of objects; none for one that is not.
///
/// # Errors
/// What is missing, by name.
pub fn content(
    instance: &Instance,
    volume: &Volume,
    sources: &Sources,
    fields: &Fields,
    tokens: &Tokens,
) -> Result<Option<FileTree>, ConfigError> {
    let mut tree = FileTree::default();
    if let Some(of) = &volume.config_map {
        let contents = sources.object(ObjectKind::ConfigMap, of.name.as_str(), of.optional == Some(true))?;
        let keys = Keys {
            kind: ObjectKind::ConfigMap,
            name: of.name.as_str(),
            items: &of.items,
            optional: of.optional,
        };
        keys.project(contents, of.default_mode, &mut tree)?;
    } else if let Some(of) = &volume.secret {
        let name = of.secret_name.as_str();
        let contents = sources.object(ObjectKind::Secret, name, of.optional == Some(true))?;
        let keys = Keys { kind: ObjectKind::Secret, name, items: &of.items, optional: of.optional };
        keys.project(contents, of.default_mode, &mut tree)?;
    } else if let Some(projected) = &volume.projected {
        for source in &projected.sources {
            let make = Projecting { instance, volume, sources, fields, tokens, mode: projected.default_mode };
            make.source(source, &mut tree)?;
        }
    } else {
        return Ok(None);
    }
    tree.check(volume)?;
    Ok(Some(tree))
}

struct Projecting<'a> {
    instance: &'a Instance,
    volume: &'a Volume,
    sources: &'a Sources,
    fields: &'a Fields,
    tokens: &'a Tokens,
    mode: i32,
}

impl Projecting<'_> {
    fn source(&self, source: &Projection, tree: &mut FileTree) -> Result<(), ConfigError> {
        for (kind, of) in [(ObjectKind::ConfigMap, &source.config_map), (ObjectKind::Secret, &source.secret)]
        {
            let Some(of) = of else { continue };
            let contents = self.sources.object(kind, of.name.as_str(), of.optional == Some(true))?;
            let keys = Keys { kind, name: of.name.as_str(), items: &of.items, optional: of.optional };
            keys.project(contents, self.mode, tree)?;
        }
        for file in source.downward_api.iter().flat_map(|downward| &downward.items) {
            let value = self.fields.read(self.instance, &file.field_ref.field_path)?;
            tree.put(file.path.as_str(), value.into_bytes(), file.mode.unwrap_or(self.mode));
        }
        if let Some(token) = &source.service_account_token {
            let place = (self.volume.name.to_string(), token.path.to_string());
            let Some(text) = self.tokens.get(&place) else {
                return Err(ConfigError::NoToken(format!("volume {}, file {}", place.0, place.1)));
            };
            // Whoever runs as another user has to be able to read it; nobody writes it.
            tree.put(token.path.as_str(), text.clone().into_bytes(), self.mode);
        }
        Ok(())
    }
}

/// Which keys of an object become files.
struct Keys<'a> {
    kind: ObjectKind,
    name: &'a str,
    items: &'a [KeyToPath],
    optional: Option<bool>,
}

impl Keys<'_> {
    fn project(
        &self,
        contents: Option<&Contents>,
        mode: i32,
        tree: &mut FileTree,
    ) -> Result<(), ConfigError> {
        let Some(contents) = contents else { return Ok(()) };
        if self.items.is_empty() {
            for (key, bytes) in &contents.0 {
                // A key is a file's name, and these two are names of folders.
                if !matches!(key.as_str(), "." | "..") {
                    tree.put(key, bytes.clone(), mode);
                }
            }
            return Ok(());
        }
        for item in self.items {
            match contents.0.get(&item.key) {
                Some(bytes) => tree.put(item.path.as_str(), bytes.clone(), item.mode.unwrap_or(mode)),
                None if self.optional == Some(true) => {}
                None => {
                    return Err(ConfigError::NoKey {
                        kind: self.kind,
                        name: self.name.to_owned(),
                        key: item.key.clone(),
                        keys: contents.0.keys().cloned().collect(),
                    });
                }
            }
        }
        Ok(())
    }
}

impl FileTree {
    fn put(&mut self, path: &str, bytes: Vec<u8>, mode: i32) {
        let mode = u32::try_from(mode).unwrap_or(0o644) & 0o777;
        self.0.insert(path.to_owned(), File { bytes, mode });
    }

    /// No file is a folder of another.
    fn check(&self, volume: &Volume) -> Result<(), ConfigError> {
        for path in self.0.keys() {
            let mut folders = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
            if let Some(folder) = folders.find(|folder| self.0.contains_key(*folder)) {
                let (volume, path) = (volume.name.to_string(), folder.to_owned());
                return Err(ConfigError::FileAndFolder { volume, path });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::instance;

    fn tree(volume: serde_json::Value) -> Result<FileTree, ConfigError> {
        let instance = instance(serde_json::json!({
            "containers": [{"name": "a", "image": "a"}], "volumes": [volume],
        }));
        let mut sources = Sources::default();
        let contents = Contents([("a".into(), b"1".to_vec()), ("b".into(), b"2".to_vec())].into());
        sources.objects.insert((ObjectKind::Secret, "s".into()), contents.clone());
        sources.objects.insert((ObjectKind::ConfigMap, "c".into()), contents);
        let tokens = [(("v".to_owned(), "token".to_owned()), "t".to_owned())].into();
        let volume = &instance.pod().volumes[0];
        Ok(content(&instance, volume, &sources, &Fields::default(), &tokens)?.unwrap())
    }

    fn shown(volume: serde_json::Value) -> String {
        match tree(volume) {
            Ok(tree) => tree.0.iter().map(|(path, file)| format!("{path} {file:?}; ")).collect(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn keys_become_files_with_their_modes() {
        let shown = |volume| shown(volume);
        assert_eq!(
            shown(serde_json::json!({"name": "v", "secret": {"secretName": "s", "defaultMode": 256}})),
            "a 400 1 bytes; b 400 1 bytes; "
        );
        let items = serde_json::json!([{"key": "b", "path": "x/y", "mode": 511}]);
        assert_eq!(
            shown(serde_json::json!({"name": "v", "configMap": {"name": "c", "items": items}})),
            "x/y 777 1 bytes; "
        );
    }

    #[test]
    fn sources_are_projected_in_their_order() {
        let sources = serde_json::json!([
            {"configMap": {"name": "c"}},
            {"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
            {"serviceAccountToken": {"path": "token"}},
        ]);
        let volume = serde_json::json!({"name": "v", "projected": {"sources": sources}});
        assert_eq!(shown(volume), "a 644 7 bytes; b 644 1 bytes; token 644 1 bytes; ");
    }

    #[test]
    fn what_is_missing_is_named() {
        let none = serde_json::json!({"name": "v", "secret": {"secretName": "t"}});
        assert!(shown(none).starts_with("secret \"t\" not found"));
        let optional = serde_json::json!({"name": "v", "secret": {"secretName": "t", "optional": true}});
        assert_eq!(shown(optional), "");
        let items = serde_json::json!([{"key": "a", "path": "x"}, {"key": "b", "path": "x/y"}]);
        let clash = serde_json::json!({"name": "v", "secret": {"secretName": "s", "items": items}});
        assert!(shown(clash).contains("has a file at x"));
    }
}
