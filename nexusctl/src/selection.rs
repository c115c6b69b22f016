//! Objects named on the command line: `TYPE`, `TYPE,TYPE`, `TYPE NAME…`, `TYPE/NAME…`, and categories.

use crate::{
    discovery::{Discovery, Resource},
    error::Error,
};

/// Objects of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The kind.
    pub resource: Resource,
    /// The names; none means all.
    pub names: Vec<String>,
}

/// Reads the words after a verb.
pub fn parse(words: &[String], discovery: &Discovery) -> Result<Vec<Selection>, Error> {
    let Some((first, rest)) = words.split_first() else {
        return Err(Error::Message(
            "say which type of object: `nexusctl api-resources` lists them, and a type may be followed by names".into(),
        ));
    };
    if words.iter().any(|w| w.contains('/')) {
        return words.iter().try_fold(Vec::new(), |found, word| named(word, discovery, found));
    }
    let mut found: Vec<Selection> = Vec::new();
    for word in first.split(',').filter(|w| !w.is_empty()) {
        let resources = match discovery.category(word) {
            members if members.is_empty() => vec![discovery.find(word)?],
            members => members,
        };
        for resource in resources {
            if !found.iter().any(|s| s.resource == *resource) {
                found.push(Selection { resource: resource.clone(), names: rest.to_vec() });
            }
        }
    }
    if found.is_empty() {
        return Err(Error::Message(format!("{first:?} names no type of object")));
    }
    if let Some(empty) = rest.iter().find(|n| n.trim().is_empty()) {
        return Err(Error::Message(format!("{empty:?} is not a name")));
    }
    Ok(found)
}

fn named(word: &str, discovery: &Discovery, mut found: Vec<Selection>) -> Result<Vec<Selection>, Error> {
    let parts: Vec<&str> = word.split('/').collect();
    let [kind, name] = parts.as_slice() else {
        return Err(Error::Message(if parts.len() == 1 {
            format!("{word:?} stands alone: where one object is given as TYPE/NAME, all are")
        } else {
            format!("{word:?} is not of the form TYPE/NAME")
        }));
    };
    if kind.is_empty() || name.is_empty() {
        return Err(Error::Message(format!("{word:?} is not of the form TYPE/NAME")));
    }
    let resource = discovery.find(kind)?;
    match found.last_mut() {
        Some(last) if last.resource == *resource => last.names.push((*name).to_owned()),
        _ => found.push(Selection { resource: resource.clone(), names: vec![(*name).to_owned()] }),
    }
    Ok(found)
}
