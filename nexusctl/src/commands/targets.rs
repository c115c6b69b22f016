//! The objects that a verb changes: by name, by manifest, by selector, or all of a type.
//!
//! Nothing is changed that was not named: a type alone is no choice, and `--all` has to be said.

use crate::{
    commands::{files::Files, filter::Filter, get},
    discovery::Resource,
    error::Error,
    selection,
    session::Session,
};
use clap::Args;
use serde_json::Value;

/// Which objects are changed.
#[derive(Args, Clone, Debug, Default)]
pub struct Choice {
    /// The objects of manifests
    #[command(flatten)]
    pub files: Files,
    /// Which objects
    #[command(flatten)]
    pub filter: Filter,
    /// All objects of the type in the namespace
    #[arg(long)]
    pub all: bool,
}

/// One object that is to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its kind.
    pub resource: Resource,
    /// Its namespace; meaningless for a kind without.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Target {
    /// The path of the object.
    pub fn path(&self) -> String {
        self.resource.object_path(&self.namespace, &self.name)
    }

    /// `workload.hypermesh.online/web`
    pub fn shown(&self) -> String {
        format!("{}/{}", self.resource.qualified_singular(), self.name)
    }
}

impl Choice {
    /// Finds the objects that words and flags name.
    pub async fn targets(&self, words: &[String], session: &mut Session) -> Result<Vec<Target>, Error> {
        if !self.files.filenames.is_empty() {
            if !words.is_empty() || self.all || self.filter.selects() {
                return Err(Error::Message("objects are named by -f or by words, not by both".into()));
            }
            let placed = self.files.read(session).await?;
            let target = |p: crate::manifest::Placed| Target {
                resource: p.resource,
                namespace: p.namespace,
                name: p.document.name,
            };
            return Ok(placed.into_iter().map(target).collect());
        }
        let discovery = session.discovery().await?;
        let selections = selection::parse(words, &discovery)?;
        let many = self.all || self.filter.selects();
        let namespace = session.namespace()?;
        let mut targets = Vec::new();
        for selection in selections {
            let resource = selection.resource;
            match (selection.names.is_empty(), many) {
                (false, true) => {
                    return Err(Error::Message(
                        "objects are chosen by name, or by selector or --all, not by both".into(),
                    ));
                }
                (true, false) => {
                    let plural = &resource.plural;
                    let words = format!("which {plural}? Name them, choose them with -l, or say --all");
                    return Err(Error::Message(words));
                }
                (false, false) => targets.extend(selection.names.into_iter().map(|name| Target {
                    resource: resource.clone(),
                    namespace: namespace.clone(),
                    name,
                })),
                (true, true) => targets.extend(self.listed(&resource, &namespace, session).await?),
            }
        }
        Ok(targets)
    }

    async fn listed(
        &self,
        resource: &Resource,
        namespace: &str,
        session: &mut Session,
    ) -> Result<Vec<Target>, Error> {
        let path = self.filter.collection(resource, session)?;
        let items = get::list_all(&path, &self.filter.parameters(), 500, resource, session).await?;
        let target = |item: &Value| {
            let own = item.pointer("/metadata/namespace").and_then(Value::as_str);
            Target {
                resource: resource.clone(),
                namespace: own.unwrap_or(namespace).to_owned(),
                name: get::name_of(item).to_owned(),
            }
        };
        Ok(items.iter().map(target).collect())
    }
}
