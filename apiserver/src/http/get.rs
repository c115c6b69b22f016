//! `get`: one object, its status, its scale.

use super::context::{Api, Asked};
use super::outgoing::Outgoing;
use super::reply;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use hypermesh_api::Status;
use hypermesh_chain::{ObjectKey, Revision};
use hypermesh_schemas::definition::Hook;
use serde_json::Value;

pub(super) fn answer(
    api: &Api,
    asked: &Asked,
    headers: &HeaderMap,
) -> Result<Response<Outgoing>, Box<Status>> {
    let (kind, info) = (&asked.kind, &asked.info);
    // What is not there for any object is not there, whether the object is or not.
    let served = match info.subresource.as_str() {
        "" => true,
        "status" => kind.definition.subresources.status,
        "approval" => kind.has(Hook::CertificateSigningRequest),
        "scale" => kind.definition.subresources.scale.is_some(),
        _ => false,
    };
    if !served {
        return super::document::unknown();
    }
    let missing = || Box::new(Status::not_found(kind.subject(&info.name)));
    let namespace = if kind.namespaced() { info.namespace.as_str() } else { "" };
    let key = ObjectKey::new(kind.collection.as_str(), namespace, info.name.as_str()).ok_or_else(missing)?;
    let reading = api.replica.reading();
    let wanted = hypermesh_api::options::GetOptions::parse(&asked.query)?;
    if let Some(version) = wanted.resource_version
        && Revision(version) > reading.revision
    {
        return Err(Box::new(Status::revision_too_large(version, reading.revision.0)));
    }
    let record = match super::history::moment(api, &reading, &asked.query)? {
        Some(at) => {
            super::lives::reach(&reading, asked, at)?;
            super::history::record(&reading, &key, at)?
        }
        None => reading.get(&key).map_err(|e| Box::new(Status::internal(e)))?,
    };
    let Some(record) = record else {
        let lease = super::node_lease::answer(api, asked, &reading).ok_or_else(missing)?;
        return reply::object(api, asked, headers, &lease, StatusCode::OK);
    };
    if info.subresource == "scale" {
        let object: Value =
            serde_json::from_slice(&record.body).map_err(|e| Box::new(Status::internal(e)))?;
        let scale = serde_json::to_vec(&hypermesh_pipeline::scale_of(kind, &object))
            .map_err(|e| Box::new(Status::internal(e)))?;
        return reply::object(api, asked, headers, &Bytes::from(scale), StatusCode::OK);
    }
    reply::object(api, asked, headers, &record.body, StatusCode::OK)
}
