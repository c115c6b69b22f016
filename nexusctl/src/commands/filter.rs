//! `-A`, `-l` and `--field-selector`, which several verbs take.

use crate::{discovery::Resource, session::Session};
use clap::Args;

/// Which objects of a kind are meant.
#[derive(Args, Clone, Debug, Default)]
pub struct Filter {
    /// In all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Those with labels: app=web,tier!=db,env in (a,b)
    #[arg(short = 'l', long, value_name = "QUERY")]
    pub selector: Option<String>,
    /// Those with fields: metadata.name=web
    #[arg(long, value_name = "QUERY")]
    pub field_selector: Option<String>,
}

impl Filter {
    /// Whether it asks for anything but a namespace's objects.
    pub fn selects(&self) -> bool {
        self.selector.is_some() || self.field_selector.is_some()
    }

    /// The path of the collection that is meant.
    pub fn collection(&self, resource: &Resource, session: &mut Session) -> Result<String, crate::Error> {
        if self.all_namespaces {
            return Ok(resource.collection_path(None));
        }
        Ok(resource.collection_path(Some(&session.namespace()?)))
    }

    /// The parameters of a list or watch.
    pub fn parameters(&self) -> [(&'static str, &str); 2] {
        [
            ("labelSelector", self.selector.as_deref().unwrap_or_default()),
            ("fieldSelector", self.field_selector.as_deref().unwrap_or_default()),
        ]
    }
}
