//! `create rolebinding` and `create clusterrolebinding`

use crate::{commands::results::Manner, error::Error, session::Session};
use clap::Args;
use serde_json::{Value, json};

const GROUP: &str = "rbac.authorization.k8s.io";

const EXAMPLES: &str = "Examples:
  nexusctl create rolebinding viewers --clusterrole=view --user=jane --group=team
  nexusctl create rolebinding robots --clusterrole=edit --serviceaccount=default:default";
const CLUSTER_EXAMPLES: &str = "Examples:
  nexusctl create clusterrolebinding all-viewers --clusterrole=view --group=auditors";

/// Who has the role.
#[derive(Args, Debug)]
pub struct Subjects {
    /// Its name
    pub name: String,
    /// User who has the role; may be given several times
    #[arg(long, value_name = "NAME")]
    pub user: Vec<String>,
    /// Group that has the role; may be given several times
    #[arg(long, value_name = "NAME")]
    pub group: Vec<String>,
    /// ServiceAccount that has the role, NAMESPACE:NAME; may be given several times
    #[arg(long, value_name = "NAMESPACE:NAME")]
    pub serviceaccount: Vec<String>,
    /// How it is done and told
    #[command(flatten)]
    pub manner: Manner,
}

/// Arguments of `create rolebinding`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Who
    #[command(flatten)]
    pub subjects: Subjects,
    /// The Role, of the same namespace
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "clusterrole",
        conflicts_with = "clusterrole"
    )]
    pub role: Option<String>,
    /// The ClusterRole
    #[arg(long, value_name = "NAME")]
    pub clusterrole: Option<String>,
}

/// Arguments of `create clusterrolebinding`.
#[derive(Args, Debug)]
#[command(after_help = CLUSTER_EXAMPLES)]
pub struct ClusterArguments {
    /// Who
    #[command(flatten)]
    pub subjects: Subjects,
    /// The ClusterRole
    #[arg(long, value_name = "NAME")]
    pub clusterrole: String,
}

pub(super) fn build(arguments: &Arguments, session: &mut Session) -> Result<Value, Error> {
    let (kind, role) = match (&arguments.role, &arguments.clusterrole) {
        (Some(role), _) => ("Role", role),
        (None, Some(role)) => ("ClusterRole", role),
        (None, None) => return Err(Error::Message("say which role: --role or --clusterrole".into())),
    };
    binding("RoleBinding", &arguments.subjects, (kind, role), session)
}

pub(super) fn build_cluster(arguments: &ClusterArguments, session: &mut Session) -> Result<Value, Error> {
    binding("ClusterRoleBinding", &arguments.subjects, ("ClusterRole", &arguments.clusterrole), session)
}

fn binding(
    kind: &str,
    subjects: &Subjects,
    (role_kind, role): (&str, &str),
    session: &mut Session,
) -> Result<Value, Error> {
    let mut list = Vec::new();
    for (kind, names) in [("User", &subjects.user), ("Group", &subjects.group)] {
        list.extend(names.iter().map(|name| json!({"apiGroup": GROUP, "kind": kind, "name": name})));
    }
    for word in &subjects.serviceaccount {
        let (namespace, name) = match word.split_once(':') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => (namespace, name),
            _ => return Err(Error::Message(format!("--serviceaccount={word}: give NAMESPACE:NAME"))),
        };
        list.push(json!({"kind": "ServiceAccount", "namespace": namespace, "name": name}));
    }
    if list.is_empty() {
        session.note("Warning: the binding is for nobody: --user, --group and --serviceaccount say for whom");
    }
    Ok(json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": kind,
        "metadata": {"name": subjects.name},
        "subjects": list,
        "roleRef": {"apiGroup": GROUP, "kind": role_kind, "name": role},
    }))
}
