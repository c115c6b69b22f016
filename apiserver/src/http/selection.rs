//! Which objects a list or a watch is about, and how they are shown.

use super::context::{Api, Asked};
use super::reply;
use crate::views::View;
use http::HeaderMap;
use hypermesh_api::Status;
use hypermesh_api::options::ListOptions;
use hypermesh_chain::{KeyRange, ObjectKey, Record};
use hypermesh_schemas::definition::Hook;
use hypermesh_wire::{Accepted, IncludeObject, Offer, TableFormat, View as Wanted};
use std::borrow::Cow;
use std::sync::Arc;

/// Conditions and values of one selector: every object is held against each.
const MOST_CONDITIONS: usize = 1_000;

/// The field by which Events are selected by the kind that they are about.
const INVOLVED: &str = "involvedObject.kind";

/// What is agreed on before a list or a watch begins.
pub(super) struct Terms {
    /// The query.
    pub options: ListOptions,
    /// The encoding.
    pub accepted: Accepted,
    /// Which objects.
    pub selection: Selection,
    /// How they are shown.
    pub shown: Shown,
}

impl Terms {
    /// Reads query and headers. 400, 406 or 422 for what cannot be had.
    pub fn agree(api: &Api, asked: &Asked, headers: &HeaderMap, offer: Offer) -> Result<Self, Box<Status>> {
        for parameter in ["labelSelector", "fieldSelector"] {
            let conditions = asked.query.first(parameter).map_or(0, |text| text.matches(',').count() + 1);
            if conditions > MOST_CONDITIONS {
                let words = format!(
                    "{parameter} has {conditions} conditions or values, the limit is {MOST_CONDITIONS}"
                );
                return Err(Box::new(Status::bad_request(words)));
            }
        }
        let options = ListOptions::parse(&asked.query)?;
        let accepted = reply::accepted(headers, offer)?;
        let selection = Selection::of(asked, &options)?;
        let shown = Shown::of(api, asked, &accepted)?;
        Ok(Self { options, accepted, selection, shown })
    }
}

/// Which objects.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    pub range: KeyRange,
    labels: hypermesh_api::selector::LabelSelector,
    fields: hypermesh_api::selector::FieldSelector,
    everything: bool,
    /// How what is selected is shown, where it is another kind's.
    view: Option<Arc<View>>,
    /// Whether Events about a Pod are wanted: those about the Instance that it shows are, too.
    of_pods: bool,
}

impl Selection {
    fn of(asked: &Asked, options: &ListOptions) -> Result<Self, Box<Status>> {
        hypermesh_pipeline::check_fields(&asked.kind, &options.field_selector)?;
        let namespace =
            Some(asked.info.namespace.clone()).filter(|n| asked.kind.namespaced() && !n.is_empty());
        let everything = options.label_selector.is_empty() && options.field_selector.is_empty();
        Ok(Self {
            range: KeyRange { collection: asked.kind.collection.clone(), namespace },
            labels: options.label_selector.clone(),
            fields: options.field_selector.clone(),
            everything,
            view: asked.view.clone(),
            of_pods: asked.kind.has(Hook::Event)
                && options.field_selector.requires_exact_match(INVOLVED) == Some("Pod"),
        })
    }

    /// What tells the list from others: a page of one does not continue another.
    pub fn list_id(&self) -> u64 {
        let namespace = self.range.namespace.as_deref().unwrap_or_default();
        let (labels, fields) = (self.labels.to_string(), self.fields.to_string());
        hypermesh_wire::list_id(&[&self.range.collection, namespace, &labels, &fields])
    }

    /// Whether every object of the range is selected.
    pub fn everything(&self) -> bool {
        self.everything
    }

    /// Whether an object is selected.
    pub fn takes(&self, key: &ObjectKey, record: &Record) -> bool {
        if self.everything {
            return true;
        }
        let fact = |wanted: &str| {
            let found = record.facts.fields.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
        };
        let of_instance = self.of_pods && fact(INVOLVED) == Some("Instance");
        if self.view.is_none() && !of_instance {
            return hypermesh_pipeline::selected_by(key, record, &self.labels, &self.fields);
        }
        self.labels.matches(&record.facts.labels)
            && self.fields.matches(|name| match (name, &self.view) {
                ("metadata.name", _) => Some(key.name()),
                ("metadata.namespace", _) => Some(key.namespace()),
                (other, Some(view)) => {
                    let field = view.projection.field(other);
                    Some(fact(field.source).unwrap_or(field.absent))
                }
                (INVOLVED, None) => Some("Pod"),
                (other, None) => fact(other),
            })
    }
}

/// How objects are shown.
#[derive(Clone)]
pub(super) struct Shown {
    pub form: Form,
    view: Option<Arc<View>>,
}

/// The form in which objects are sent.
#[derive(Clone)]
pub(super) enum Form {
    Whole,
    Partial,
    Table(Arc<TableFormat>),
}

impl Shown {
    fn of(api: &Api, asked: &Asked, accepted: &Accepted) -> Result<Self, Box<Status>> {
        let form = match accepted.view {
            Wanted::Whole | Wanted::AggregatedDiscovery => Form::Whole,
            Wanted::Partial => Form::Partial,
            Wanted::Table => {
                Form::Table(api.documents().table(&asked.kind, IncludeObject::parse(&asked.query)?))
            }
        };
        Ok(Self { form, view: asked.view.clone() })
    }

    /// Whether objects are sent as they are stored.
    pub fn as_stored(&self) -> bool {
        self.view.is_none() && matches!(self.form, Form::Whole)
    }

    /// What is shown of an object.
    pub fn project<'o>(&self, object: &'o [u8]) -> Cow<'o, [u8]> {
        match &self.view {
            Some(view) => view.projection.project(object).into(),
            None => object.into(),
        }
    }

    /// Appends an object as an element of a list. `now` is in seconds since the epoch.
    pub fn write(&self, object: &[u8], now: i64, out: &mut Vec<u8>) {
        let object = self.project(object);
        match &self.form {
            Form::Whole => out.extend_from_slice(&object),
            Form::Partial => hypermesh_wire::write_partial(&object, out),
            Form::Table(format) => format.write_row(&object, now, out),
        }
    }
}
