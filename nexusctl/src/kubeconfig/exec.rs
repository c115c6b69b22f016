//! The `exec` of a user: a program that hands out credentials, as the kubeconfig describes it. Nothing is run here.
//!
//! Source: `k8s.io/client-go/tools/clientcmd/api/v1` ExecConfig, and `client.authentication.k8s.io`.

use super::{
    Error, Place,
    file::{Named, Text},
};
use std::path::PathBuf;

/// The group of what is said to plugins and by them.
const GROUP: &str = "client.authentication.k8s.io";
/// The name of the extension of a cluster's entry that is handed to plugins as `spec.cluster.config`.
pub(super) const CLUSTER_CONFIG: &str = "client.authentication.k8s.io/exec";

/// A program that hands out credentials.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    /// Where the kubeconfig names it.
    pub place: Place,
    /// `client.authentication.k8s.io/v1` or `…/v1beta1`.
    pub version: String,
    /// A name to be found in `PATH`, or a path.
    pub command: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables that it gets beside those of this process.
    pub variables: Vec<(String, String)>,
    /// How it is installed, for who has it not.
    pub hint: Option<String>,
    /// Whether it may ask the caller.
    pub interactive: Interactive,
    /// `spec.cluster`, where it is to be told of the cluster.
    pub cluster: Option<serde_json::Value>,
}

/// Whether a plugin gets standard input, where that is a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interactive {
    /// It asks nothing.
    Never,
    /// It asks where it can.
    IfAvailable,
    /// It cannot do without.
    Always,
}

impl Plugin {
    /// The plugin of a user, if there is one; `spec.cluster` is `None` still.
    pub(super) fn of(user: &Named<'_>) -> Result<Option<(Self, bool)>, Error> {
        let Some(exec) = user.section("exec", "user.exec")? else { return Ok(None) };
        exec.check_fields()?;
        let Text { value: version, place: said } = exec.required("apiVersion")?;
        let beta = match version.strip_prefix(GROUP) {
            Some("/v1") => false,
            Some("/v1beta1") => true,
            _ => {
                let message =
                    format!("{version:?} is not spoken here; there are {GROUP}/v1 and {GROUP}/v1beta1");
                return Err(Error::Field { place: said, message });
            }
        };
        let command = exec.required("command")?;
        let path = if command.value.contains('/') {
            exec.resolve_path(command.value)
        } else {
            PathBuf::from(command.value)
        };
        let interactive = match exec.text("interactiveMode")? {
            None if beta => Interactive::IfAvailable,
            None => {
                let message = format!("is missing: with {version} it is Never, IfAvailable or Always");
                return Err(exec.fault("interactiveMode", message));
            }
            Some(text) => match text.value {
                "Never" => Interactive::Never,
                "IfAvailable" => Interactive::IfAvailable,
                "Always" => Interactive::Always,
                other => {
                    let message = format!("{other:?} is none of Never, IfAvailable and Always");
                    return Err(Error::Field { place: text.place, message });
                }
            },
        };
        let variables = exec.pairs("env")?;
        let unusable = |text: &str| text.contains('\0');
        if let Some((name, _)) = variables
            .iter()
            .find(|(name, value)| name.is_empty() || name.contains('=') || unusable(name) || unusable(value))
        {
            return Err(exec.fault("env", format!("{name:?} can be no variable")));
        }
        let plugin = Self {
            place: command.place,
            version: version.to_owned(),
            command: path,
            arguments: exec.texts("args")?,
            variables,
            hint: exec.text("installHint")?.map(|hint| hint.value.trim().to_owned()),
            interactive,
            cluster: None,
        };
        Ok(Some((plugin, exec.flag("provideClusterInfo")?)))
    }

    /// A fault of the plugin, at the place that names it.
    pub fn fault(&self, message: String) -> Error {
        Error::Field { place: self.place.clone(), message }
    }
}
