//! From the words of people to kinds.

use crate::{
    discovery::{Discovery, Resource, Verb},
    suggest::nearest,
};

/// A word that names no kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server doesn't have a resource type {word:?}{}", near.as_ref().map(|n| format!("; did you mean {n:?}?")).unwrap_or_default())]
pub struct Unknown {
    /// The word.
    pub word: String,
    /// The nearest name that there is.
    pub near: Option<String>,
}

/// An apiVersion and kind that no server serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnknownKind {
    /// The apiVersion is served, the kind is not part of it.
    Kind {
        /// The nearest kind of that version.
        near: Option<String>,
        /// A version that has a kind of exactly this name.
        elsewhere: Option<String>,
    },
    /// Nothing of that apiVersion is served.
    ApiVersion {
        /// The nearest apiVersion.
        near: Option<String>,
    },
}

impl Discovery {
    /// The kind that a word names: plural, singular, short name or kind, each also as `name.group` and
    /// `name.version.group`. Case does not matter.
    pub fn find(&self, word: &str) -> Result<&Resource, Unknown> {
        let lowered = word.to_lowercase();
        let (name, rest) = lowered.split_once('.').unwrap_or((&lowered, ""));
        let fits = |resource: &&Resource| {
            rest.is_empty()
                || rest == resource.group
                || rest.split_once('.').is_some_and(|(v, g)| v == resource.version && g == resource.group)
                // `networks.hyp` means the group that starts so, as kubectl reads it.
                || resource.group.starts_with(rest)
        };
        let ways: [fn(&Resource, &str) -> bool; 4] = [
            |r, n| r.plural == n,
            |r, n| r.singular == n,
            |r, n| r.kind.to_lowercase() == n,
            |r, n| r.short_names.iter().any(|s| s == n),
        ];
        ways.iter()
            .find_map(|way| self.resources.iter().filter(fits).find(|r| way(r, name)))
            .ok_or_else(|| self.unknown(word))
    }

    /// The kind of the same plural, of another group, that allows what this one does not: `nodes.hypermesh.online` for
    /// the `nodes` that are only shown.
    pub fn twin(&self, resource: &Resource, verb: Verb) -> Option<&Resource> {
        let same = |other: &&Resource| other.plural == resource.plural && other.group != resource.group;
        self.resources.iter().filter(same).find(|other| other.allows(verb))
    }

    /// The kinds of a category, each group's preferred version only. Empty if there is no such category.
    pub fn category(&self, word: &str) -> Vec<&Resource> {
        let mut found: Vec<&Resource> = Vec::new();
        for resource in self.resources.iter().filter(|r| r.categories.iter().any(|c| c == word)) {
            if !found.iter().any(|f| f.group == resource.group && f.plural == resource.plural) {
                found.push(resource);
            }
        }
        found
    }

    /// The resource that serves an apiVersion and kind.
    pub fn kind(&self, api_version: &str, kind: &str) -> Result<&Resource, UnknownKind> {
        let of_version: Vec<&Resource> =
            self.resources.iter().filter(|r| r.api_version() == api_version).collect();
        if let Some(resource) = of_version.iter().find(|r| r.kind == kind) {
            return Ok(resource);
        }
        if of_version.is_empty() {
            let versions: Vec<String> = self.resources.iter().map(Resource::api_version).collect();
            let of_kind = self.resources.iter().find(|r| r.kind == kind).map(Resource::api_version);
            let near = nearest(api_version, versions.iter().map(String::as_str)).map(str::to_owned);
            return Err(UnknownKind::ApiVersion { near: of_kind.or(near) });
        }
        let elsewhere = self.resources.iter().find(|r| r.kind == kind).map(Resource::api_version);
        let near = nearest(kind, of_version.iter().map(|r| r.kind.as_str())).map(str::to_owned);
        Err(UnknownKind::Kind { near, elsewhere })
    }

    fn unknown(&self, word: &str) -> Unknown {
        let names = self.resources.iter().flat_map(|r| {
            [r.plural.as_str(), r.singular.as_str()]
                .into_iter()
                .chain(r.short_names.iter().map(String::as_str))
        });
        let near = nearest(word, names.filter(|n| n.len() > 2)).map(str::to_owned);
        Unknown { word: word.to_owned(), near }
    }
}
