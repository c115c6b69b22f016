//! Options of create, update and patch.

use super::{MAX_FIELD_MANAGER, checked, field_manager, is_printable, query_dry_run};
use crate::field::FieldError;
use crate::query::Query;
use crate::status::Status;
use serde_json::Value;

/// Which options a write has; they differ in name and in two rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH of any type but apply.
    Patch,
    /// PATCH by server-side apply.
    Apply,
}

impl WriteKind {
    fn options(self) -> &'static str {
        match self {
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Patch | Self::Apply => "PatchOptions",
        }
    }
}

/// What becomes of unknown and duplicate fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Dropped in silence.
    Ignore,
    /// Dropped, with a warning each.
    #[default]
    Warn,
    /// The request is refused.
    Strict,
}

/// Options of create, update and patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Nothing is stored.
    pub dry_run: bool,
    /// Who manages the fields; empty: by the user agent, see [`WriteOptions::manager`].
    pub field_manager: String,
    /// What becomes of unknown and duplicate fields.
    pub field_validation: FieldValidation,
    /// Apply takes over what others own.
    pub force: bool,
}

impl WriteOptions {
    /// Parses and validates the options of a query.
    pub fn parse(query: &Query, kind: WriteKind) -> Result<Self, Box<Status>> {
        let manager = query.first("fieldManager").unwrap_or_default();
        let mut errors = Vec::new();
        let force = query.optional_flag("force");
        match kind {
            WriteKind::Apply if manager.is_empty() => {
                errors.push(FieldError::required("fieldManager", "is required for apply patch"));
            }
            WriteKind::Patch if force.is_some() => {
                errors.push(FieldError::forbidden("force", "may not be specified for non-apply patch"));
            }
            _ => {}
        }
        field_manager(manager, &mut errors);
        let dry_run = query_dry_run(query, &mut errors);
        let field_validation = match query.first("fieldValidation").unwrap_or_default() {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                let supported = ["", "Ignore", "Strict", "Warn"];
                errors.push(FieldError::not_supported("fieldValidation", Value::from(other), &supported));
                FieldValidation::Warn
            }
        };
        checked(kind.options(), &errors)?;
        Ok(Self {
            dry_run,
            field_manager: manager.to_owned(),
            field_validation,
            force: kind == WriteKind::Apply && force.unwrap_or(false),
        })
    }

    /// The field manager; where none was named, what stands before the first `/` of the user agent, without
    /// unprintable characters, at most 128 bytes.
    pub fn manager(&self, user_agent: &str) -> String {
        if !self.field_manager.is_empty() {
            return self.field_manager.clone();
        }
        let mut manager = String::new();
        for c in user_agent.split('/').next().unwrap_or_default().chars().filter(|c| is_printable(*c)) {
            if manager.len() + c.len_utf8() > MAX_FIELD_MANAGER {
                break;
            }
            manager.push(c);
        }
        manager
    }
}
