//! The verbs: what each request does to the state. One generic path for every kind.

mod apply;
mod create;
mod delete;
mod delete_collection;
mod patch;
mod replace;
mod scale;
pub(crate) mod transaction;
mod update;
pub(crate) mod view;

pub(crate) use delete::{FOREGROUND, Manner, ORPHAN, delete_object, remove};
pub(crate) use delete_collection::selected_as;
pub use delete_collection::{check_fields, selected as selected_by};
pub(crate) use replace::{decode, is_free, overwrite};
pub use scale::of as scale_of;

use crate::authz::UserInfo;
use crate::call::Call;
use crate::entropy::Entropy;
use crate::execution::{BlockFacts, Execution};
use crate::fault::Fault;
use crate::metadata::Typed;
use crate::outcome::{Remarks, Reply};
use crate::registry::Kind;
use crate::state::StateReader;
use hypermesh_api::options::FieldValidation;
use hypermesh_api::request::Verb;
use hypermesh_api::{FieldError, Status};
use hypermesh_chain::ObjectKey;
use hypermesh_schemas::definition::Hook;
use serde_json::Value;
use std::sync::Arc;

/// One request on its way through a verb.
pub(crate) struct Request<'w> {
    pub kind: Arc<Kind>,
    pub user: UserInfo,
    pub call: Call,
    pub entropy: Entropy,
    remarks: &'w mut Remarks,
}

impl<'w> Request<'w> {
    pub fn new(
        kind: Arc<Kind>,
        user: UserInfo,
        call: Call,
        block: &BlockFacts,
        remarks: &'w mut Remarks,
    ) -> Self {
        let entropy = Entropy::new(&block.cluster, block.height, &call.digest);
        Self { kind, user, call, entropy, remarks }
    }

    /// The key of an object of the request's kind and namespace.
    pub fn key(&self, name: &str) -> Result<ObjectKey, Status> {
        let namespace = if self.kind.namespaced() { self.call.info.namespace.as_str() } else { "" };
        ObjectKey::new(self.kind.collection.as_str(), namespace, name)
            .ok_or_else(|| Status::bad_request("a name cannot hold a zero byte"))
    }

    /// Tells whoever asks something beside the reply.
    pub fn warn(&mut self, words: String) {
        self.remarks.warnings.push(words);
    }

    /// Has something noted in the server's log.
    pub fn note(&mut self, words: String) {
        self.remarks.audit.push(words);
    }

    /// The body as it was sent, checked to be an object.
    pub fn take_body(&mut self) -> Result<Value, Status> {
        let body = std::mem::take(&mut self.call.body);
        if body.is_object() {
            Ok(body)
        } else {
            Err(Status::bad_request("the body of the request is not a JSON object"))
        }
    }

    /// Makes an object of what a client sent: as [`Self::decode_as_given`], and with defaults filled in.
    pub fn decode(&mut self, object: &mut Value) -> Result<(), Status> {
        self.decode_as_given(object)?;
        self.complete(object);
        Ok(())
    }

    /// Fills in the defaults of a decoded object, and names each of its owners once.
    pub fn complete(&mut self, object: &mut Value) {
        self.kind.schema.apply_defaults(object);
        let twice = crate::metadata::unite_owners(object);
        if !twice.is_empty() {
            self.warn(format!(
                ".metadata.ownerReferences contains duplicate entries; duplicate UID(s) observed: {}",
                twice.join(", ")
            ));
        }
    }

    /// Decodes metadata, and tells and drops unknown fields.
    pub fn decode_as_given(&mut self, object: &mut Value) -> Result<(), Status> {
        let problems = self.take_in(object)?;
        let kind = Arc::clone(&self.kind);
        self.mind((&*kind).into(), problems)
    }

    /// Does with what strict decoding minds what `fieldValidation` says.
    pub fn mind(&mut self, of: Typed<'_>, problems: Vec<String>) -> Result<(), Status> {
        match self.call.options.field_validation {
            FieldValidation::Ignore => Ok(()),
            FieldValidation::Warn => {
                self.remarks.warnings.extend(problems);
                Ok(())
            }
            FieldValidation::Strict if problems.is_empty() => Ok(()),
            FieldValidation::Strict => Err(of.refuse(&strict_decoding_error(&problems))),
        }
    }

    /// Decodes metadata and drops unknown fields. What strict decoding minds comes back, in its words.
    pub fn take_in(&mut self, object: &mut Value) -> Result<Vec<String>, Status> {
        let kind = Arc::clone(&self.kind);
        check_type(&kind, object)?;
        let mut problems = self.written_twice();
        let mut unknown = Vec::new();
        crate::metadata::decode((&*kind).into(), object, &mut unknown)?;
        unknown.extend(kind.schema.prune(object));
        crate::hook::decode(&kind, object);
        problems.extend(unknown.into_iter().map(|path| format!("unknown field \"{path}\"")));
        Ok(problems)
    }

    /// What strict decoding says of keys that occur twice in the body. They are told once.
    pub fn written_twice(&mut self) -> Vec<String> {
        self.call.duplicates.drain(..).map(|path| format!("duplicate field \"{path}\"")).collect()
    }

    /// Checks that the object belongs where the request's path says, and puts it there.
    pub fn place(&self, object: &mut Value, name: Option<&str>) -> Result<(), Status> {
        let kind = &self.kind;
        let Some(meta) = crate::metadata::of(object) else {
            return Err(Status::bad_request("metadata must be an object"));
        };
        if kind.namespaced() {
            let wanted = self.call.info.namespace.as_str();
            match meta.get("namespace").and_then(Value::as_str) {
                None | Some("") => {
                    meta.insert("namespace".into(), wanted.into());
                }
                Some(given) if given == wanted => {}
                Some(_) => {
                    return Err(Status::bad_request(
                        "the namespace of the provided object does not match the namespace sent on the request",
                    ));
                }
            }
        } else if meta.get("namespace").and_then(Value::as_str) == Some("") {
            meta.remove("namespace");
        }
        if let Some(wanted) = name {
            match meta.get("name").and_then(Value::as_str) {
                None | Some("") => {
                    return Err(Status::bad_request(format!(
                        "the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
                    )));
                }
                Some(given) if given == wanted => {}
                Some(given) => {
                    return Err(Status::bad_request(format!(
                        "the name of the object ({given}) does not match the name on the URL ({wanted})"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Whether it was sent to an endpoint that changes the status alone.
    pub fn is_about_status(&self) -> bool {
        match self.call.info.subresource.as_str() {
            "status" => true,
            "approval" => self.kind.has(Hook::CertificateSigningRequest),
            _ => false,
        }
    }

    /// The context in which managed fields are kept.
    pub fn fields<'s>(&'s self, time: &'s str) -> hypermesh_merge::Context<'s> {
        let status = self.is_about_status();
        hypermesh_merge::Context {
            schema: &self.kind.schema,
            manager: &self.call.options.field_manager,
            api_version: &self.kind.api_version,
            subresource: &self.call.info.subresource,
            time,
            force: self.call.options.force,
            reset: match (status, self.kind.definition.subresources.status) {
                (true, _) => &[&["spec"], &["metadata"]],
                (false, true) => &[&["status"]],
                (false, false) => &[],
            },
        }
    }

    /// 422 unless `errors` is empty.
    pub fn refuse(&self, name: &str, errors: &[FieldError]) -> Result<(), Status> {
        if errors.is_empty() { Ok(()) } else { Err(Status::invalid(self.kind.kind_subject(name), errors)) }
    }

    /// Everything that is wrong with an object.
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        crate::judge::wrong(&self.kind, object, old)
    }
}

/// What strict decoding says of what it minds.
fn strict_decoding_error(problems: &[String]) -> String {
    format!("strict decoding error: {}", problems.join(", "))
}

/// `apiVersion` and `kind` must be those of the path; a built-in kind may leave them out.
pub(crate) fn check_type(kind: &Kind, object: &mut Value) -> Result<(), Status> {
    let definition = &kind.definition;
    check_names((&kind.api_version, &definition.names.kind), definition.strategy.built_in, object)
}

/// `apiVersion` and `kind` must be these; what `may_lack` them gets them.
fn check_names((api_version, kind): (&str, &str), may_lack: bool, object: &mut Value) -> Result<(), Status> {
    let Some(map) = object.as_object_mut() else {
        return Err(Status::bad_request("the object provided is not a JSON object"));
    };
    for (field, wanted) in [("apiVersion", api_version), ("kind", kind)] {
        match map.get(field) {
            None if may_lack => {
                map.insert(field.into(), wanted.into());
            }
            Some(Value::String(given)) if given == wanted => {}
            None | Some(Value::Null) => {
                let label = if field == "kind" { "Kind" } else { "apiVersion" };
                return Err(Status::bad_request(format!(
                    "Object '{label}' is missing in the body of the request"
                )));
            }
            Some(given) => {
                let given = given.as_str().unwrap_or("a value that is no string");
                let (what, wanted) = if field == "kind" { ("kind", wanted) } else { ("API version", wanted) };
                return Err(Status::bad_request(format!(
                    "the {what} in the data ({given}) does not match the expected {what} ({wanted})"
                )));
            }
        }
    }
    Ok(())
}

/// Runs the verb that the request asks for.
pub(crate) fn dispatch<R: StateReader + ?Sized>(
    execution: &mut Execution<'_, R>,
    request: &mut Request<'_>,
) -> Result<Reply, Fault> {
    let subresource = request.call.info.subresource.clone();
    let served = match subresource.as_str() {
        "" => true,
        "status" => request.kind.definition.subresources.status,
        "scale" => request.kind.definition.subresources.scale.is_some(),
        "finalize" => request.kind.has(Hook::Namespace),
        "approval" => request.kind.has(Hook::CertificateSigningRequest),
        _ => false,
    };
    if !served {
        return Err(Status::unknown_path().into());
    }
    let verb = request.call.info.verb;
    match (verb, subresource.as_str()) {
        (Verb::Create, "") => create::run(execution, request),
        (Verb::Update, "scale") | (Verb::Patch, "scale") => scale::run(execution, request),
        (Verb::Update, _) => update::run(execution, request),
        // As in the reference, finalizers are replaced by an update alone.
        (Verb::Patch, "finalize") => Err(request.kind.refuse_verb(&subresource, verb).into()),
        (Verb::Patch, _) if request.call.media == hypermesh_chain::request::Media::ApplyPatch => {
            apply::run(execution, request)
        }
        (Verb::Patch, _) => patch::run(execution, request),
        (Verb::Delete, "") => delete::run(execution, request),
        // Kubernetes has no such verb for them either: each namespace is emptied by itself.
        (Verb::DeleteCollection, "") if !request.kind.has(Hook::Namespace) => {
            delete_collection::run(execution, request, None)
        }
        _ => Err(request.kind.refuse_verb(&subresource, verb).into()),
    }
}
