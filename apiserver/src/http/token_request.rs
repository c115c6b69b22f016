//! `serviceaccounts/NAME/token`: a token for a service account. Nothing is stored: the token carries its own end.

use super::context::Api;
use super::outgoing::Outgoing;
use super::who::Who;
use super::{Exchange, body, reply};
use crate::access;
use http::{Response, StatusCode};
use hypermesh_api::request::{RequestInfo, Verb};
use hypermesh_api::{FieldError, Status, Subject, decode_json};
use hypermesh_chain::{ObjectKey, Timestamp};
use hypermesh_pipeline::authz::node_of;
use hypermesh_pipeline::{Kind, clock, record};
use hypermesh_pki::token::{self, Bound, Claims, Named};
use hypermesh_wire::{BodyFormat, Offer, transcode};
use serde_json::{Value, json};

/// Seconds that a token is valid by default, at least, and at most.
const USUAL: i64 = 3600;
const LEAST: i64 = 600;
const MOST: i64 = 365 * 24 * 3600;
/// The most that a node gets: as long as a projected volume may ask for. Whoever has taken a node over has it no longer.
const MOST_OF_NODE: i64 = 24 * 3600;

pub(super) async fn answer(
    api: &Api,
    kind: &Kind,
    who: &Who,
    exchange: &mut Exchange<'_>,
    info: &RequestInfo,
) -> Result<Response<Outgoing>, Box<Status>> {
    if info.verb != Verb::Create {
        return Err(Box::new(Status::method_not_allowed(kind.subject(&info.name), info.verb.as_str())));
    }
    let missing = || Box::new(Status::not_found(kind.subject(&info.name)));
    let key = ObjectKey::new(kind.collection.as_str(), info.namespace.as_str(), info.name.as_str())
        .ok_or_else(missing)?;
    let format = BodyFormat::parse(body::content_type(&exchange.head.headers)?, true)?;
    let received = body::read(api, &who.caller, exchange.body).await?;
    let json = transcode(&received.bytes, format)?;
    let received = received.transcoded(json)?;
    let (mut asked, _) = decode_json(&received.bytes)
        .map_err(|why| Box::new(Status::bad_request(format!("the request is not JSON: {why}"))))?;
    let reading = api.replica.reading();
    let record = reading.get(&key).map_err(|e| Box::new(Status::internal(e)))?;
    let record = record.filter(|record| !record.facts.deleting).ok_or_else(missing)?;
    let now = api.unix_now();
    let of_node = node_of(&who.user).is_some();
    let seconds = life(&asked, of_node)?;
    let audiences: Vec<String> = asked
        .pointer("/spec/audiences")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .filter(|list: &Vec<String>| !list.is_empty())
        .unwrap_or_else(|| vec![api.issuer.clone()]);
    let bound = bound(api, info, &asked)?;
    if let Some(node) = node_of(&who.user) {
        check_node(api, node, info, bound.instance.as_ref())?;
        check_audiences(api, node, info, bound.instance.as_ref(), &audiences)?;
    }
    let claims = Claims {
        iss: api.issuer.clone(),
        sub: format!("system:serviceaccount:{}:{}", info.namespace, info.name),
        aud: audiences.clone(),
        exp: now + seconds,
        nbf: now,
        iat: now,
        jti: api.fresh_id(),
        bound: Bound {
            namespace: info.namespace.clone(),
            serviceaccount: Named { name: info.name.clone(), uid: record.facts.uid.to_string() },
            secret: bound.secret,
            instance: bound.instance,
        },
    };
    let token = token::sign(&api.token_signer, &claims).map_err(|e| Box::new(Status::internal(e)))?;
    if token.len() > token::LONGEST {
        let detail = format!("the token would have {} bytes, the limit is {}", token.len(), token::LONGEST);
        let subject = Subject { group: "authentication.k8s.io", resource: "TokenRequest", name: "" };
        let error = FieldError::invalid("spec.audiences", Value::Null, detail);
        return Err(Box::new(Status::invalid(subject, &[error])));
    }
    let ends = clock::rfc3339(Timestamp(u64::try_from(now + seconds).unwrap_or(0).saturating_mul(1_000_000)));
    if let Some(map) = asked.as_object_mut() {
        map.insert("apiVersion".into(), "authentication.k8s.io/v1".into());
        map.insert("kind".into(), "TokenRequest".into());
        map.insert("metadata".into(), json!({"name": info.name, "namespace": info.namespace}));
        let spec = map.entry("spec").or_insert_with(|| json!({}));
        if let Some(spec) = spec.as_object_mut() {
            spec.insert("audiences".into(), audiences.into());
            spec.insert("expirationSeconds".into(), seconds.into());
        }
        map.insert("status".into(), json!({"token": token, "expirationTimestamp": ends}));
    }
    let bytes = serde_json::to_vec(&asked).map_err(|e| Box::new(Status::internal(e)))?;
    let accepted = reply::accepted(&exchange.head.headers, Offer::Document)?;
    reply::document(bytes.into(), StatusCode::CREATED, &accepted, false, &exchange.head.headers)
}

fn life(asked: &Value, of_node: bool) -> Result<i64, Box<Status>> {
    let field = "spec.expirationSeconds";
    let seconds = asked.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(USUAL);
    let error = match seconds {
        s if s < LEAST => {
            FieldError::invalid(field, s.into(), "may not specify a duration less than 10 minutes")
        }
        s if s > MOST => {
            FieldError::invalid(field, s.into(), "may not specify a duration larger than 1 year")
        }
        s if of_node && s > MOST_OF_NODE => {
            FieldError::invalid(field, s.into(), "may not specify a duration larger than 24 hours, as a node")
        }
        s => return Ok(s),
    };
    let subject = Subject { group: "authentication.k8s.io", resource: "TokenRequest", name: "" };
    Err(Box::new(Status::invalid(subject, &[error])))
}

/// To what a token is bound.
#[derive(Default)]
struct BoundTo {
    secret: Option<Named>,
    instance: Option<Named>,
}

/// A node gets tokens for what its instances run as, and each for one of them.
fn check_node(
    api: &Api,
    node: &str,
    info: &RequestInfo,
    instance: Option<&Named>,
) -> Result<(), Box<Status>> {
    let nodes = &api.replica.reading().derived.nodes;
    let runs = |bound: &Named| {
        let instance = (info.namespace.as_str(), bound.name.as_str(), record::uid_of(&bound.uid));
        nodes.runs_as(node, instance, &info.name)
    };
    if instance.is_some_and(runs) {
        return Ok(());
    }
    let subject = Subject { group: "", resource: "serviceaccounts", name: &info.name };
    let why = format!(
        "node {node:?} requests tokens for what its instances run as, each bound to one of them: spec.boundObjectRef names \
         an Instance by name and uid"
    );
    Err(Box::new(Status::forbidden(subject, why)))
}

/// A node gets tokens for the API server, and for whom its instance asks for one in a projected volume.
///
/// Source: KEP-4412, ServiceAccountNodeAudienceRestriction.
fn check_audiences(
    api: &Api,
    node: &str,
    info: &RequestInfo,
    instance: Option<&Named>,
    audiences: &[String],
) -> Result<(), Box<Status>> {
    if audiences.iter().all(|audience| *audience == api.issuer) {
        return Ok(());
    }
    let key = instance
        .and_then(|named| ObjectKey::new(access::INSTANCES, info.namespace.as_str(), named.name.as_str()));
    let record = match key {
        Some(key) => api.replica.reading().get(&key).map_err(|error| Box::new(Status::internal(error)))?,
        None => None,
    };
    let object: Value =
        record.and_then(|record| serde_json::from_slice(&record.body).ok()).unwrap_or_default();
    let known =
        |audience: &String| *audience == api.issuer || asked_for(&object).any(|asked| asked == audience);
    let Some(unknown) = audiences.iter().find(|audience| !known(audience)) else { return Ok(()) };
    let subject = Subject { group: "", resource: "serviceaccounts", name: &info.name };
    let why = format!(
        "node {node:?} requests tokens for the API server and for the audiences of its instances' projected volumes; \
         {unknown:?} is none"
    );
    Err(Box::new(Status::forbidden(subject, why)))
}

/// The audiences that the projected volumes of an Instance name.
fn asked_for(instance: &Value) -> impl Iterator<Item = &str> {
    let volumes = instance.pointer("/spec/pod/volumes").and_then(Value::as_array).into_iter().flatten();
    let sources = volumes.filter_map(|volume| volume.pointer("/projected/sources")?.as_array()).flatten();
    sources.filter_map(|source| source.pointer("/serviceAccountToken/audience")?.as_str())
}

/// The Secret or Instance that the token is bound to, which must exist as it is named.
fn bound(api: &Api, info: &RequestInfo, asked: &Value) -> Result<BoundTo, Box<Status>> {
    let Some(bound) = asked.pointer("/spec/boundObjectRef").filter(|bound| bound.is_object()) else {
        return Ok(BoundTo::default());
    };
    let text = |field: &str| bound.get(field).and_then(Value::as_str).unwrap_or_default();
    let (collection, resource, group) = match (text("kind"), text("apiVersion")) {
        ("Secret", "v1") => ("/secrets", "secrets", ""),
        // A Pod is how an Instance is shown.
        ("Instance", "hypermesh.online/v1") | ("Pod", "v1") => {
            (access::INSTANCES, "instances", "hypermesh.online")
        }
        (kind, version) => {
            return Err(Box::new(Status::bad_request(format!(
                "a token cannot be bound to a {kind} of {version}, only to a Secret of v1 or an Instance of \
                 hypermesh.online/v1"
            ))));
        }
    };
    let subject = Subject { group, resource, name: text("name") };
    let missing = || Box::new(Status::not_found(subject));
    let key = ObjectKey::new(collection, info.namespace.as_str(), text("name")).ok_or_else(missing)?;
    let record =
        api.replica.reading().get(&key).map_err(|e| Box::new(Status::internal(e)))?.ok_or_else(missing)?;
    let uid = record.facts.uid.to_string();
    if !text("uid").is_empty() && text("uid") != uid {
        let why = format!(
            "the UID in the bound object reference ({}) does not match the UID in record",
            text("uid")
        );
        return Err(Box::new(Status::conflict(subject, why)));
    }
    let named = Some(Named { name: text("name").to_owned(), uid });
    Ok(if collection == access::INSTANCES {
        BoundTo { instance: named, ..BoundTo::default() }
    } else {
        BoundTo { secret: named, ..BoundTo::default() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_gets_no_token_that_outlives_a_day() {
        let asked = |seconds: i64| json!({"spec": {"expirationSeconds": seconds}});
        assert_eq!(life(&json!({}), true).unwrap(), USUAL);
        assert_eq!(life(&asked(86_400), true).unwrap(), 86_400);
        let refused = life(&asked(86_401), true).unwrap_err();
        assert!(refused.message.contains("larger than 24 hours"), "{}", refused.message);
        assert_eq!(life(&asked(86_401), false).unwrap(), 86_401);
        assert!(life(&asked(MOST + 1), false).is_err() && life(&asked(LEAST - 1), true).is_err());
    }

    #[test]
    fn audiences_are_those_of_projected_volumes() {
        let instance = json!({"spec": {"pod": {"volumes": [
            {"name": "a", "emptyDir": {}},
            {"name": "b", "projected": {"sources": [
                {"serviceAccountToken": {"path": "t", "audience": "vault"}},
                {"serviceAccountToken": {"path": "u"}}, {"secret": {"name": "audience"}}]}},
            {"name": "c", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "sts"}}]}},
        ]}}});
        assert_eq!(asked_for(&instance).collect::<Vec<_>>(), ["vault", "sts"]);
        assert_eq!(asked_for(&json!({})).count(), 0);
    }
}
