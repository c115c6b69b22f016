//! The instance that a stream is about: where it runs, and which of its containers is meant.

use super::{Node, node_named};
use crate::http::context::Api;
use hypermesh_api::request::RequestInfo;
use hypermesh_api::{Status, Subject};
use hypermesh_chain::ObjectKey;
use hypermesh_stream::Route;
use serde_json::Value;

/// Names the container that is meant where nobody says it.
const DEFAULT_CONTAINER: &str = "/metadata/annotations/kubectl.kubernetes.io~1default-container";

/// An instance that is there and can be asked for.
pub(super) struct Found {
    /// With its uid and container.
    pub route: Route,
    name: String,
    node: String,
}

impl Found {
    /// The node that runs it.
    pub fn node(&self, api: &Api) -> Result<Node, Box<Status>> {
        node_named(api, &self.node).map_err(|mut status| {
            if status.code == 404 {
                let (name, node) = (&self.name, &self.node);
                status.message = format!("pod {name} is bound to node {node:?}, which does not exist");
            }
            status
        })
    }
}

/// The instance of a route that names one.
pub(super) fn find(api: &Api, info: &RequestInfo, route: Route) -> Result<Found, Box<Status>> {
    let reading = api.replica.reading();
    let subject = Subject { group: &info.group, resource: &info.resource, name: &info.name };
    let missing = || Box::new(Status::not_found(subject));
    let key = ObjectKey::new("hypermesh.online/instances", info.namespace.as_str(), info.name.as_str());
    let key = key.ok_or_else(missing)?;
    let record = reading.get(&key).map_err(|e| Box::new(Status::internal(e)))?.ok_or_else(missing)?;
    let object: Value = serde_json::from_slice(&record.body).map_err(|e| Box::new(Status::internal(e)))?;
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let bad = |words: String| Box::new(Status::bad_request(words));
    let route = meant(&object, &info.name, route)?;
    let node = text("/spec/nodeName");
    if node.is_empty() {
        return Err(bad(format!(
            "pod {} does not have a host assigned: no node was found for it yet",
            info.name
        )));
    }
    let phase = text("/status/phase");
    if matches!(route, Route::Exec(..) | Route::Attach(..) | Route::PortForward(..))
        && matches!(phase, "Succeeded" | "Failed")
    {
        return Err(bad(format!(
            "cannot exec into, attach to or forward ports of a completed pod; current phase is {phase}"
        )));
    }
    let route = route.with_uid(text("/metadata/uid"));
    Ok(Found { route, name: info.name.clone(), node: node.to_owned() })
}

/// The route about the container that is meant: the one that is named, the only one, or the annotated one.
fn meant(object: &Value, pod: &str, mut route: Route) -> Result<Route, Box<Status>> {
    let waits = matches!(&route, Route::Log(_, options) if !options.previous);
    let place = match &mut route {
        Route::Log(_, options) => &mut options.container,
        Route::Exec(_, terminal) | Route::Attach(_, terminal) => &mut terminal.container,
        _ => return Ok(route),
    };
    let names = |path: &str| -> Vec<&str> {
        let list = object.pointer(path).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|container| container.get("name")?.as_str()).collect()
    };
    let (containers, init) = (names("/spec/pod/containers"), names("/spec/pod/initContainers"));
    let bad = |words: String| Box::new(Status::bad_request(words));
    let annotated = object.pointer(DEFAULT_CONTAINER).and_then(Value::as_str);
    let name = match (place.as_deref(), containers.as_slice()) {
        (Some(name), _) if containers.contains(&name) || init.contains(&name) => name.to_owned(),
        (Some(name), _) => return Err(bad(format!("container {name} is not valid for pod {pod}"))),
        (None, [only]) => (*only).to_owned(),
        (None, _) => match annotated.filter(|name| containers.contains(name)) {
            Some(name) => name.to_owned(),
            None => {
                let choice = containers.join(" ");
                let mut words =
                    format!("a container name must be specified for pod {pod}, choose one of: [{choice}]");
                if !init.is_empty() {
                    words.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
                }
                return Err(bad(words));
            }
        },
    };
    if waits {
        never_started(object, pod, &name)?;
    }
    *place = Some(name);
    Ok(route)
}

/// 400 for the log of a container that has never run: the agent has none, and the reason is known here.
fn never_started(object: &Value, pod: &str, name: &str) -> Result<(), Box<Status>> {
    let lists = ["/status/containerStatuses", "/status/initContainerStatuses"];
    let mut all = lists.iter().filter_map(|path| object.pointer(path)?.as_array()).flatten();
    let Some(status) = all.find(|status| status.get("name").and_then(Value::as_str) == Some(name)) else {
        return Ok(());
    };
    let restarted = status.get("restartCount").and_then(Value::as_u64).unwrap_or_default() > 0;
    let ran = restarted || status.pointer("/lastState/terminated").is_some();
    match status.pointer("/state/waiting/reason").and_then(Value::as_str) {
        Some(reason) if !ran => {
            let words = format!("container {name:?} in pod {pod:?} is waiting to start: {reason}");
            Err(Box::new(Status::bad_request(words)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypermesh_api::query::Query;
    use serde_json::json;

    fn log(object: &Value, query: &str) -> Result<Option<String>, String> {
        let options = hypermesh_stream::LogOptions::parse(&Query::parse(query).unwrap()).unwrap();
        let route = meant(object, "web", Route::Log(hypermesh_stream::Instance::default(), options));
        match route {
            Ok(Route::Log(_, options)) => Ok(options.container),
            Ok(_) => Err("another route".into()),
            Err(status) => Err(status.message.clone()),
        }
    }

    #[test]
    fn the_container_that_is_meant() {
        let one =
            json!({"spec": {"pod": {"containers": [{"name": "a"}], "initContainers": [{"name": "i"}]}}});
        assert_eq!(log(&one, ""), Ok(Some("a".into())));
        assert_eq!(log(&one, "container=i"), Ok(Some("i".into())));
        assert_eq!(log(&one, "container=x"), Err("container x is not valid for pod web".into()));
        let mut two = json!({"spec": {"pod": {"containers": [{"name": "a"}, {"name": "b"}]}}});
        let words = "a container name must be specified for pod web, choose one of: [a b]";
        assert_eq!(log(&two, ""), Err(words.into()));
        two["metadata"] = json!({"annotations": {"kubectl.kubernetes.io/default-container": "b"}});
        assert_eq!(log(&two, ""), Ok(Some("b".into())));
    }

    #[test]
    fn a_container_that_never_ran_has_no_log() {
        let mut object = json!({
            "spec": {"pod": {"containers": [{"name": "a"}]}},
            "status": {"containerStatuses": [{
                "name": "a", "restartCount": 0, "state": {"waiting": {"reason": "ImagePullBackOff"}},
            }]},
        });
        let words = "container \"a\" in pod \"web\" is waiting to start: ImagePullBackOff";
        assert_eq!(log(&object, ""), Err(words.into()));
        assert_eq!(log(&object, "previous=true"), Ok(Some("a".into())));
        object["status"]["containerStatuses"][0]["restartCount"] = 1.into();
        assert_eq!(log(&object, ""), Ok(Some("a".into())));
    }
}
