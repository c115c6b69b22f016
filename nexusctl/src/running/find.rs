//! Which instances a word means: `NAME`, `pod/NAME` and `instance/NAME` are one, `workload/NAME` are all that it has.

use crate::{
    client::{Call, path_segment},
    error::Error,
    session::Session,
};
use serde_json::Value;

/// One instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The object, where it was read to find it.
    pub object: Option<Value>,
}

impl Place {
    /// The path of the object, or of one of its subresources.
    pub fn path(&self, subresource: &str) -> String {
        let (namespace, name) = (path_segment(&self.namespace), path_segment(&self.name));
        let slash = if subresource.is_empty() { "" } else { "/" };
        format!("/apis/hypermesh.online/v1/namespaces/{namespace}/instances/{name}{slash}{subresource}")
    }

    /// The same place, with its object as it is now.
    #[must_use]
    pub fn with(self, object: Value) -> Self {
        Self { object: Some(object), ..self }
    }

    /// The object.
    pub async fn read(&mut self, session: &mut Session) -> Result<&Value, Error> {
        let object = match self.object.take() {
            Some(object) => object,
            None => session.send(&Call::get(self.path(""))).await?.json()?,
        };
        Ok(self.object.insert(object))
    }
}

/// What a word means.
#[derive(Clone, Debug, PartialEq)]
pub enum Meant {
    /// An instance.
    One(Place),
    /// Whichever a workload has.
    Of {
        /// The workload's namespace.
        namespace: String,
        /// The workload's name.
        workload: String,
        /// The workload's path.
        path: String,
    },
}

/// What a word means; whether there is such a thing is not looked at.
pub async fn meant(word: &str, session: &mut Session) -> Result<Meant, Error> {
    let namespace = session.namespace()?;
    let Some((kind, name)) = word.split_once('/') else {
        return Ok(Meant::One(Place { namespace, name: word.to_owned(), object: None }));
    };
    if name.is_empty() || name.contains('/') {
        return Err(Error::Message(format!("{word:?} is not of the form TYPE/NAME")));
    }
    let discovery = session.discovery().await?;
    let resource = discovery.find(kind)?.clone();
    match resource.kind.as_str() {
        "Pod" | "Instance" => Ok(Meant::One(Place { namespace, name: name.to_owned(), object: None })),
        "Workload" => {
            let path = resource.object_path(&namespace, name);
            Ok(Meant::Of { namespace, workload: name.to_owned(), path })
        }
        other => Err(Error::Message(format!(
            "a {other} runs nothing itself: name an instance, or a workload as workload/NAME"
        ))),
    }
}

/// The instances that a word means, those that serve first, then the oldest; those that are about to go come last.
pub async fn find(word: &str, session: &mut Session) -> Result<Vec<Place>, Error> {
    let (namespace, workload, path) = match meant(word, session).await? {
        Meant::One(place) => return Ok(vec![place]),
        Meant::Of { namespace, workload, path } => (namespace, workload, path),
    };
    let list: Value = session.send(&list_of(&namespace, &workload)).await?.json()?;
    let places = places(&list, &namespace);
    if places.is_empty() {
        // A workload that does not exist is another matter than one without instances.
        session.send(&Call::get(path)).await?;
        return Err(Error::Message(format!(
            "workload/{workload} has no instances: `nexusctl why workload/{workload}` says why"
        )));
    }
    Ok(places)
}

/// The call that lists the instances of a workload.
pub fn list_of(namespace: &str, workload: &str) -> Call {
    let list = format!("/apis/hypermesh.online/v1/namespaces/{}/instances", path_segment(namespace));
    Call::get(list).query(&[("fieldSelector", &format!("spec.workload={workload}"))])
}

/// One instance that a word means: of a workload, the first that serves.
pub async fn one(word: &str, session: &mut Session) -> Result<Place, Error> {
    let found = find(word, session).await?;
    found.into_iter().next().ok_or_else(|| Error::Message(format!("{word} means no instance")))
}

/// The instances of a list, those that serve first, then the oldest; those that are about to go come last.
pub fn places(list: &Value, namespace: &str) -> Vec<Place> {
    let mut items = list["items"].as_array().cloned().unwrap_or_default();
    items.sort_by_key(|item| {
        let text = |at: &str| item.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
        let created = text("/metadata/creationTimestamp");
        (is_leaving(item), !is_ready(item), created, text("/metadata/name"))
    });
    let place = |object: Value| Place {
        namespace: namespace.to_owned(),
        name: object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned(),
        object: Some(object),
    };
    items.into_iter().map(place).collect()
}

/// Whether an instance is being deleted.
pub fn is_leaving(instance: &Value) -> bool {
    instance.pointer("/metadata/deletionTimestamp").is_some_and(|since| !since.is_null())
}

fn is_ready(instance: &Value) -> bool {
    let conditions = instance.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// The names of an instance's containers, those that run first to the end before the others.
pub fn container_names(instance: &Value) -> Vec<String> {
    let of = |field: &str| {
        let containers = instance.pointer(&format!("/spec/pod/{field}")).and_then(Value::as_array);
        containers
            .into_iter()
            .flatten()
            .filter_map(|c| c["name"].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    [of("initContainers"), of("containers")].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_and_names() {
        let place = Place { namespace: "a/b".into(), name: "c".into(), object: None };
        assert_eq!(place.path("log"), "/apis/hypermesh.online/v1/namespaces/a%2Fb/instances/c/log");
        let instance =
            json!({"spec": {"pod": {"containers": [{"name": "a"}, {}], "initContainers": [{"name": "b"}]}}});
        assert_eq!(container_names(&instance), ["b", "a"]);
        assert!(container_names(&json!({})).is_empty());
        let ready = |status: &str| {
            is_ready(&json!({"status": {"conditions": [{"type": "Ready", "status": status}]}}))
        };
        assert!(ready("True") && !ready("False"));
    }
}
