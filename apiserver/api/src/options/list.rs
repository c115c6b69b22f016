//! Options of get, list and watch.

use super::{checked, resource_version};
use crate::field::FieldError;
use crate::query::Query;
use crate::selector::{FieldSelector, LabelSelector};
use crate::status::Status;
use serde_json::Value;

/// How a list's resource version is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionMatch {
    /// At exactly this version.
    Exact,
    /// At this version or a later one.
    NotOlderThan,
}

/// Options of list, watch and deletecollection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// By labels.
    pub label_selector: LabelSelector,
    /// By fields.
    pub field_selector: FieldSelector,
    /// `None`: unset, which means a consistent read; 0: any version will do.
    pub resource_version: Option<u64>,
    /// How the version is meant; `None` with a version means `NotOlderThan` (in a watch: from there on).
    pub resource_version_match: Option<VersionMatch>,
    /// At most so many objects; 0: all.
    pub limit: u64,
    /// Token of the page before.
    pub continue_: String,
    /// Follow the collection.
    pub watch: bool,
    /// Bookmarks are welcome.
    pub allow_watch_bookmarks: bool,
    /// The state comes first, as ADDED events. Set for a watch from no version or from 0 as well, as the reference
    /// defaults it.
    pub send_initial_events: Option<bool>,
    /// The watch ends after so many seconds.
    pub timeout_seconds: Option<u64>,
}

impl ListOptions {
    /// Parses and validates the options of a query.
    pub fn parse(query: &Query) -> Result<Self, Box<Status>> {
        let bad = |why: String| Box::new(Status::bad_request(why));
        let text = |key: &str| query.first(key).unwrap_or_default();
        let label_selector =
            LabelSelector::parse(text("labelSelector")).map_err(|why| bad(why.to_string()))?;
        let field_selector =
            FieldSelector::parse(text("fieldSelector")).map_err(|why| bad(why.to_string()))?;
        let limit = query.integer("limit")?.and_then(|limit| u64::try_from(limit).ok()).unwrap_or(0);
        let timeout_seconds =
            query.integer("timeoutSeconds")?.and_then(|seconds| u64::try_from(seconds).ok());
        let watch = query.flag("watch");
        let mut send_initial_events = query.optional_flag("sendInitialEvents");
        let mut version_match = text("resourceVersionMatch");
        let version = text("resourceVersion");
        if watch && send_initial_events.is_none() && version_match.is_empty() && matches!(version, "" | "0") {
            send_initial_events = Some(true);
            version_match = "NotOlderThan";
        }
        let raw =
            Raw { version, version_match, send_initial_events, continued: !text("continue").is_empty() };
        checked("ListOptions", &if watch { raw.watch_errors() } else { raw.list_errors() })?;
        Ok(Self {
            label_selector,
            field_selector,
            resource_version: resource_version(version)?,
            resource_version_match: match version_match {
                "Exact" => Some(VersionMatch::Exact),
                "NotOlderThan" => Some(VersionMatch::NotOlderThan),
                _ => None,
            },
            limit,
            continue_: text("continue").to_owned(),
            watch,
            allow_watch_bookmarks: query.flag("allowWatchBookmarks"),
            send_initial_events,
            timeout_seconds,
        })
    }
}

/// What the rules speak of.
struct Raw<'a> {
    version: &'a str,
    version_match: &'a str,
    send_initial_events: Option<bool>,
    continued: bool,
}

const MATCH: &str = "resourceVersionMatch";

impl Raw<'_> {
    fn list_errors(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if !self.version_match.is_empty() {
            if self.version.is_empty() {
                errors.push(FieldError::forbidden(
                    MATCH,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            if self.continued {
                errors.push(FieldError::forbidden(
                    MATCH,
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
            if !matches!(self.version_match, "Exact" | "NotOlderThan") {
                let value = Value::from(self.version_match);
                errors.push(FieldError::not_supported(MATCH, value, &["Exact", "NotOlderThan", ""]));
            }
            if self.version_match == "Exact" && self.version == "0" {
                errors.push(FieldError::forbidden(
                    MATCH,
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
        }
        if self.send_initial_events.is_some() {
            errors
                .push(FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
        errors
    }

    fn watch_errors(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.send_initial_events.is_some() && self.version_match != "NotOlderThan" {
            errors.push(FieldError::forbidden(
                MATCH,
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        if !self.version_match.is_empty() {
            if self.send_initial_events.is_none() {
                errors.push(FieldError::forbidden(
                    MATCH,
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                ));
            }
            if self.version_match != "NotOlderThan" {
                let value = Value::from(self.version_match);
                errors.push(FieldError::not_supported(MATCH, value, &["NotOlderThan"]));
            }
            if self.continued {
                errors.push(FieldError::forbidden(
                    MATCH,
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
        }
        errors
    }
}

/// Options of get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GetOptions {
    /// `None`: a consistent read; 0: any version; else not older than this one.
    pub resource_version: Option<u64>,
}

impl GetOptions {
    /// Parses the options of a query.
    pub fn parse(query: &Query) -> Result<Self, Box<Status>> {
        let resource_version = resource_version(query.first("resourceVersion").unwrap_or_default())?;
        Ok(Self { resource_version })
    }
}
