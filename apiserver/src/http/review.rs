//! Reviews: what may be done, by whom, and who somebody is. Nothing is stored.

use super::context::Api;
use super::outgoing::Outgoing;
use super::who::Who;
use super::{Exchange, body, reply};
use crate::access;
use http::{Response, StatusCode};
use hypermesh_api::request::RequestInfo;
use hypermesh_api::selector::FieldSelector;
use hypermesh_api::{FieldError, Status, Subject, decode_json};
use hypermesh_pipeline::authz::{Attributes, PolicyRule, UserInfo, node_of};
use hypermesh_wire::{BodyFormat, Offer, transcode};
use serde_json::{Map, Value, json};

/// The extra of a SelfSubjectReview that names the keys which signed it.
const SIGNED_BY: &str = "hypermesh.online/signed-by";

pub(super) async fn answer(
    api: &Api,
    who: Who,
    exchange: &mut Exchange<'_>,
    info: &RequestInfo,
) -> Result<Response<Outgoing>, Box<Status>> {
    let format = BodyFormat::parse(body::content_type(&exchange.head.headers)?, true)?;
    let received = body::read(api, &who.caller, exchange.body).await?;
    let json = transcode(&received.bytes, format)?;
    let received = received.transcoded(json)?;
    let (mut review, _) = decode_json(&received.bytes)
        .map_err(|why| Box::new(Status::bad_request(format!("the review is not JSON: {why}"))))?;
    let spec = review.get("spec").cloned().unwrap_or_else(|| json!({}));
    let (kind, status) = match info.resource.as_str() {
        "selfsubjectreviews" => {
            let mut user = UserInfo::clone(&who.user);
            if let Some(signed) = &who.signed {
                signed.holds_now(&received.bytes)?;
                user.extra.push((SIGNED_BY.to_owned(), signed.keys()));
            }
            ("SelfSubjectReview", json!({"userInfo": shown(&user)}))
        }
        "selfsubjectaccessreviews" => ("SelfSubjectAccessReview", access(api, &who.user, &spec)?),
        "subjectaccessreviews" => {
            ("SubjectAccessReview", access(api, &subject(&spec, "SubjectAccessReview")?, &spec)?)
        }
        "localsubjectaccessreviews" => {
            let namespace =
                spec.pointer("/resourceAttributes/namespace").and_then(Value::as_str).unwrap_or("");
            if namespace != info.namespace {
                let error = FieldError::invalid(
                    "spec.resourceAttributes.namespace",
                    namespace.into(),
                    format!("must match metadata.namespace {:?}", info.namespace),
                );
                return Err(Box::new(invalid("LocalSubjectAccessReview", &[error])));
            }
            ("LocalSubjectAccessReview", access(api, &subject(&spec, "LocalSubjectAccessReview")?, &spec)?)
        }
        "selfsubjectrulesreviews" => ("SelfSubjectRulesReview", rules(api, &who.user, &spec)?),
        "tokenreviews" => ("TokenReview", token(api, &spec)?),
        _ => return super::document::unknown(),
    };
    if let Some(map) = review.as_object_mut() {
        map.insert("apiVersion".into(), format!("{}/{}", info.group, info.version).into());
        map.insert("kind".into(), kind.into());
        map.entry("metadata").or_insert_with(|| json!({}));
        map.insert("status".into(), status);
    }
    let bytes = serde_json::to_vec(&review).map_err(|e| Box::new(Status::internal(e)))?;
    let accepted = reply::accepted(&exchange.head.headers, Offer::Document)?;
    reply::document(bytes.into(), StatusCode::CREATED, &accepted, false, &exchange.head.headers)
}

fn invalid(kind: &str, errors: &[FieldError]) -> Status {
    Status::invalid(Subject { group: "authorization.k8s.io", resource: kind, name: "" }, errors)
}

fn strings(value: Option<&Value>) -> Vec<String> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn subject(spec: &Value, kind: &str) -> Result<UserInfo, Box<Status>> {
    let text = |field: &str| spec.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let user = UserInfo {
        name: text("user"),
        uid: text("uid"),
        groups: strings(spec.get("groups")),
        extra: spec
            .get("extra")
            .and_then(Value::as_object)
            .map(|extra| extra.iter().map(|(k, v)| (k.clone(), strings(Some(v)))).collect())
            .unwrap_or_default(),
    };
    if user.name.is_empty() && user.groups.is_empty() {
        let error =
            FieldError::invalid("spec.user", "".into(), "at least one of user or group must be specified");
        return Err(Box::new(invalid(kind, &[error])));
    }
    Ok(user)
}

fn access(api: &Api, user: &UserInfo, spec: &Value) -> Result<Value, Box<Status>> {
    let text =
        |place: &Value, field: &str| place.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (resource, path) = (spec.get("resourceAttributes"), spec.get("nonResourceAttributes"));
    let allowed = match (resource.filter(|r| r.is_object()), path.filter(|p| p.is_object())) {
        (Some(place), None) => {
            let (verb, group, resource) =
                (text(place, "verb"), text(place, "group"), text(place, "resource"));
            let (subresource, namespace, name) =
                (text(place, "subresource"), text(place, "namespace"), text(place, "name"));
            let asked = Attributes {
                verb: &verb,
                group: &group,
                resource: &resource,
                subresource: &subresource,
                namespace: &namespace,
                name: &name,
                path: None,
            };
            decide(api, user, &asked, selected(place)?.as_ref())?
        }
        (None, Some(place)) => {
            let (verb, path) = (text(place, "verb"), text(place, "path"));
            let asked = Attributes {
                verb: &verb,
                group: "",
                resource: "",
                subresource: "",
                namespace: "",
                name: "",
                path: Some(&path),
            };
            decide(api, user, &asked, None)?
        }
        _ => {
            let error = FieldError::invalid(
                "spec.resourceAttributes",
                Value::Null,
                "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            );
            return Err(Box::new(invalid("SubjectAccessReview", &[error])));
        }
    };
    Ok(match allowed {
        Ok(()) => json!({"allowed": true}),
        Err(refused) => match node_of(user) {
            // Whoever asks why a node may not do something asks for what it is not related to.
            Some(_) => json!({"allowed": false, "reason": refused.message}),
            None => json!({"allowed": false}),
        },
    })
}

fn decide(
    api: &Api,
    user: &UserInfo,
    asked: &Attributes<'_>,
    fields: Option<&FieldSelector>,
) -> Result<Result<(), Box<Status>>, Box<Status>> {
    let reading = api.replica.reading();
    let decision = reading.derived.decide(user, asked, fields, |key| reading.get(key));
    decision.map_err(|error| Box::new(Status::internal(error)))
}

/// What a list or a watch that is asked about would select by fields.
fn selected(place: &Value) -> Result<Option<FieldSelector>, Box<Status>> {
    let selector = place.get("fieldSelector");
    let mut text = selector
        .and_then(|selector| selector.get("rawSelector"))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let requirements = selector.and_then(|selector| selector.get("requirements")).and_then(Value::as_array);
    for requirement in requirements.into_iter().flatten() {
        let field = |name: &str| requirement.get(name).and_then(Value::as_str).unwrap_or_default();
        let values = strings(requirement.get("values"));
        if let ("In", [value]) = (field("operator"), values.as_slice()) {
            let comma = if text.is_empty() { "" } else { "," };
            text.push_str(&format!("{comma}{}={value}", field("key")));
        }
    }
    let parsed = FieldSelector::parse(&text);
    parsed.map(Some).map_err(|why| Box::new(Status::bad_request(why.to_string())))
}

/// What `user` may do in a namespace, as kube-apiserver says it: lists that hold nothing are left out, except verbs.
fn rules(api: &Api, user: &UserInfo, spec: &Value) -> Result<Value, Box<Status>> {
    let namespace = spec.get("namespace").and_then(Value::as_str).unwrap_or_default();
    if namespace.is_empty() {
        return Err(Box::new(Status::bad_request("no namespace on request: name one in spec.namespace")));
    }
    Ok(rules_status(api.replica.reading().derived.policy.rules_of(user, namespace)))
}

fn rules_status(rules: Vec<PolicyRule>) -> Value {
    let (paths, objects): (Vec<_>, Vec<_>) =
        rules.into_iter().partition(|rule| !rule.non_resource_urls.is_empty());
    json!({"resourceRules": objects, "nonResourceRules": paths, "incomplete": false})
}

fn token(api: &Api, spec: &Value) -> Result<Value, Box<Status>> {
    let text = spec.get("token").and_then(Value::as_str).unwrap_or_default();
    let wanted = strings(spec.get("audiences"));
    let found = access::token_user(&api.replica.reading().state(), &api.token_key, text, api.unix_now())?;
    let Some(access::TokenUser { user, audiences, .. }) = found else {
        return Ok(
            json!({"authenticated": false, "error": "the token is not one of this cluster, or has expired"}),
        );
    };
    let mine = if wanted.is_empty() { vec![api.issuer.clone()] } else { wanted };
    let shared: Vec<String> = if audiences.is_empty() {
        mine
    } else {
        mine.into_iter().filter(|audience| audiences.contains(audience)).collect()
    };
    if shared.is_empty() {
        return Ok(json!({"authenticated": false, "error": "the token is meant for another audience"}));
    }
    Ok(json!({"authenticated": true, "user": shown(&user), "audiences": shared}))
}

fn shown(user: &UserInfo) -> Value {
    let mut map = Map::new();
    map.insert("username".into(), user.name.as_str().into());
    if !user.uid.is_empty() {
        map.insert("uid".into(), user.uid.as_str().into());
    }
    map.insert("groups".into(), user.groups.clone().into());
    if !user.extra.is_empty() {
        let extra: Map<String, Value> =
            user.extra.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
        map.insert("extra".into(), extra.into());
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_in_the_shape_of_kubernetes() {
        let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let objects = PolicyRule {
            verbs: words(&["get"]),
            api_groups: words(&[""]),
            resources: words(&["secrets"]),
            ..PolicyRule::default()
        };
        let named = PolicyRule { resource_names: words(&["a"]), ..objects.clone() };
        let path = PolicyRule {
            verbs: words(&["get"]),
            non_resource_urls: words(&["/livez"]),
            ..PolicyRule::default()
        };
        assert_eq!(
            rules_status(vec![objects, path, named]),
            json!({
                "resourceRules": [
                    {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]},
                    {"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["a"]},
                ],
                "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/livez"]}],
                "incomplete": false,
            })
        );
        let nothing = json!({"resourceRules": [], "nonResourceRules": [], "incomplete": false});
        assert_eq!(rules_status(Vec::new()), nothing);
    }
}
