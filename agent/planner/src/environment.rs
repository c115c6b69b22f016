//! A container's variables and command line, as kubelet makes them.

use crate::instance::Instance;
use crate::sources::{ConfigError, Fields, ObjectKind, Sources};
use hypermesh_schemas::workload::container::Container;
use hypermesh_schemas::workload::environment::{EnvFrom, EnvVar, KeyRef};

/// Variables, in the order in which they were first named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(Vec<(String, String)>);

impl Environment {
    /// Begins with these.
    #[must_use]
    pub fn new(begin: Vec<(String, String)>) -> Self {
        Self(begin)
    }

    /// A variable's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: String, value: String) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    /// `NAME=value`, one each.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Replaces `$(NAME)` by the variable's value. `$$` is one `$`, and what is no variable stays as it is.
    #[must_use]
    pub fn expand(&self, text: &str) -> String {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            expanded.push_str(before);
            if let Some(after) = from.strip_prefix("$$") {
                expanded.push('$');
                rest = after;
                continue;
            }
            match from.strip_prefix("$(").and_then(|from| from.split_once(')')) {
                Some((name, after)) if self.get(name).is_some() => {
                    expanded.push_str(self.get(name).unwrap_or_default());
                    rest = after;
                }
                _ => {
                    expanded.push('$');
                    rest = from.get(1..).unwrap_or_default();
                }
            }
        }
        expanded + rest
    }
}

/// A container's variables: `base`, then `envFrom`, then `env`, of which each may use those before it.
///
/// # Errors
/// What is missing, by name.
pub fn environment(
    instance: &Instance,
    container: &Container,
    base: &[(String, String)],
    sources: &Sources,
    fields: &Fields,
) -> Result<Environment, ConfigError> {
    let mut environment = Environment::default();
    for (name, value) in base {
        environment.set(name.clone(), value.clone());
    }
    for from in &container.env_from {
        every_key(&mut environment, from, sources)?;
    }
    for variable in &container.env {
        if let Some(value) = value(instance, variable, &environment, sources, fields)? {
            environment.set(variable.name.to_string(), value);
        }
    }
    Ok(environment)
}

fn every_key(environment: &mut Environment, from: &EnvFrom, sources: &Sources) -> Result<(), ConfigError> {
    let prefix = from.prefix.as_ref().map_or("", |prefix| prefix.as_str());
    for (kind, source) in
        [(ObjectKind::ConfigMap, &from.config_map_ref), (ObjectKind::Secret, &from.secret_ref)]
    {
        let Some(source) = source else { continue };
        let name = source.name.as_str();
        let Some(contents) = sources.object(kind, name, source.optional == Some(true))? else { continue };
        for (key, bytes) in &contents.0 {
            match text(kind, name, key, bytes) {
                Ok(value) => environment.set(format!("{prefix}{key}"), value),
                // `binaryData` is for volumes.
                Err(_) if kind == ObjectKind::ConfigMap => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// A variable's value; none: it is left out.
fn value(
    instance: &Instance,
    variable: &EnvVar,
    environment: &Environment,
    sources: &Sources,
    fields: &Fields,
) -> Result<Option<String>, ConfigError> {
    let Some(from) = &variable.value_from else {
        return Ok(Some(environment.expand(variable.value.as_deref().unwrap_or_default())));
    };
    let keyed = |kind: ObjectKind, key: &KeyRef| {
        let optional = key.optional == Some(true);
        let found = sources.value(kind, key.name.as_str(), &key.key, optional)?;
        found.map(|bytes| text(kind, key.name.as_str(), &key.key, bytes)).transpose()
    };
    if let Some(key) = &from.config_map_key_ref {
        return keyed(ObjectKind::ConfigMap, key);
    }
    if let Some(key) = &from.secret_key_ref {
        return keyed(ObjectKind::Secret, key);
    }
    from.field_ref.as_ref().map(|field| fields.read(instance, &field.field_path)).transpose()
}

fn text(kind: ObjectKind, name: &str, key: &str, bytes: &[u8]) -> Result<String, ConfigError> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
        _ => Err(ConfigError::NoText { kind, name: name.to_owned(), key: key.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::instance;
    use crate::{Contents, Fields};
    use proptest::prelude::*;

    fn known() -> Environment {
        Environment::new(vec![("A".into(), "1".into()), ("B".into(), "$(A)".into())])
    }

    #[test]
    fn references_are_replaced_once() {
        for (text, expanded) in [
            ("$(A)", "1"),
            ("$(B)", "$(A)"),
            ("$$(A)", "$(A)"),
            ("$(C) $(A", "$(C) $(A"),
            ("$A $", "$A $"),
            ("$$$(A)", "$1"),
            ("x$(A)y$(A)", "x1y1"),
        ] {
            assert_eq!(known().expand(text), expanded, "{text}");
        }
    }

    proptest! {
        #[test]
        fn texts_without_dollars_stay(text in "[^$]{0,40}") {
            prop_assert_eq!(known().expand(&text), text);
        }

        #[test]
        fn no_text_is_too_strange(text in "[$()A-C]{0,40}") {
            let _ = known().expand(&text);
        }
    }

    #[test]
    fn later_ones_win_and_use_earlier_ones() {
        let instance = instance(serde_json::json!({"containers": [{
            "name": "web", "image": "a",
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "c"}}, {"secretRef": {"name": "none", "optional": true}}],
            "env": [
                {"name": "GREETING", "value": "$(P_who) at $(WHERE)"},
                {"name": "WHERE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "AGAIN", "value": "$(WHERE)"},
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ],
        }]}));
        let container = &instance.pod().containers[0];
        let mut sources = Sources::default();
        let contents = |key: &str, value: &str| Contents([(key.to_owned(), value.into())].into());
        sources.objects.insert((ObjectKind::ConfigMap, "c".into()), contents("who", "you"));
        sources.objects.insert((ObjectKind::Secret, "s".into()), contents("other", "x"));
        let make = |sources: &Sources| {
            environment(&instance, container, &[("WHERE".into(), "base".into())], sources, &Fields::default())
        };
        let refused = make(&sources).unwrap_err().to_string();
        assert_eq!(refused, "couldn't find key k in secret \"s\"; it has other");
        sources.objects.insert((ObjectKind::Secret, "s".into()), contents("k", "v"));
        let lines = make(&sources).unwrap().lines();
        assert_eq!(lines, ["WHERE=node-1", "P_who=you", "GREETING=you at base", "AGAIN=node-1", "KEY=v"]);
    }
}
