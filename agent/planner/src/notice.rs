//! What people are told of an instance, in the words that kubelet's users know.

/// How grave it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gravity {
    /// Something happened.
    Normal,
    /// Something is wrong.
    Warning,
}

/// What is told, as an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How grave it is.
    pub gravity: Gravity,
    /// The container that it is about; none: the whole instance.
    pub container: Option<String>,
    /// In one CamelCase word.
    pub reason: &'static str,
    /// In words.
    pub message: String,
}

impl Notice {
    pub(crate) fn normal(container: Option<&str>, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            gravity: Gravity::Normal,
            container: container.map(str::to_owned),
            reason,
            message: message.into(),
        }
    }

    pub(crate) fn warning(container: Option<&str>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { gravity: Gravity::Warning, ..Self::normal(container, reason, message) }
    }
}
