//! `create`: objects that must not exist yet, from manifests or from the words of the command line.
//!
//! Several manifests are judged by the server before any is created: one mistake, and nothing is. Generators build an
//! object from flags (a file each, pure where they read no files) and hand it to the same path.

mod config_map;
mod data;
mod manifests;
mod namespace;
mod role;
mod role_binding;
mod secret;
mod service_account;
mod token;

use crate::{
    client::Call,
    commands::{
        apply::{DryRun, Validation},
        files::Files,
        results::{Manner, Results},
    },
    discovery::Resource,
    error::{Error, Exit},
    session::Session,
};
use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;

const MANAGER: &str = "nexusctl-create";

const EXAMPLES: &str = "Examples:
  nexusctl create namespace team-a
  nexusctl create configmap settings --from-literal=mode=fast -n team-a
  nexusctl create -f examples/quickstart --dry-run
  # A manifest to begin with
  nexusctl create role reader --verb=get,list --resource=workloads --dry-run=client -o yaml";

/// Arguments of `create`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to create, from words
    #[command(subcommand)]
    pub generator: Option<Generator>,
    /// What to create
    #[command(flatten)]
    pub files: Files,
    /// What the server does about unknown fields
    #[arg(long, value_name = "HOW", default_value = "strict", default_missing_value = "strict", num_args = 0..=1, require_equals = true)]
    pub validate: Validation,
    /// How it is done and told
    #[command(flatten)]
    pub manner: Manner,
}

impl Arguments {
    /// Whether it makes a binding.
    pub fn binds(&self) -> bool {
        matches!(self.generator, Some(Generator::RoleBinding(_) | Generator::ClusterRoleBinding(_)))
    }
}

/// What can be created from words.
#[derive(Debug, Subcommand)]
pub enum Generator {
    /// A namespace
    #[command(visible_alias = "ns")]
    Namespace(namespace::Arguments),
    /// A ConfigMap from values and files
    #[command(name = "configmap", visible_alias = "cm")]
    ConfigMap(config_map::Arguments),
    /// A Secret from values and files
    #[command(subcommand)]
    Secret(secret::Command),
    /// A ServiceAccount
    #[command(name = "serviceaccount", visible_alias = "sa")]
    ServiceAccount(service_account::Arguments),
    /// A Role: what may be done in a namespace
    Role(role::Arguments),
    /// A ClusterRole: what may be done in all namespaces, and on what has none
    #[command(name = "clusterrole")]
    ClusterRole(role::ClusterArguments),
    /// A RoleBinding: who has a role in a namespace
    #[command(name = "rolebinding")]
    RoleBinding(role_binding::Arguments),
    /// A ClusterRoleBinding: who has a ClusterRole everywhere
    #[command(name = "clusterrolebinding")]
    ClusterRoleBinding(role_binding::ClusterArguments),
    /// A token with which programs act as a ServiceAccount
    Token(token::Arguments),
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    let Some(generator) = arguments.generator else {
        return manifests::run(&arguments, session).await;
    };
    let (object, manner) = match generator {
        Generator::Namespace(arguments) => (namespace::build(&arguments), arguments.manner),
        Generator::ConfigMap(arguments) => (config_map::build(&arguments, session)?, arguments.manner),
        Generator::Secret(command) => secret::build(command, session)?,
        Generator::ServiceAccount(arguments) => (service_account::build(&arguments), arguments.manner),
        Generator::Role(arguments) => (role::build(&arguments, session).await?, arguments.common.manner),
        Generator::ClusterRole(arguments) => {
            (role::build_cluster(&arguments, session).await?, arguments.common.manner)
        }
        Generator::RoleBinding(arguments) => {
            (role_binding::build(&arguments, session)?, arguments.subjects.manner)
        }
        Generator::ClusterRoleBinding(arguments) => {
            (role_binding::build_cluster(&arguments, session)?, arguments.subjects.manner)
        }
        Generator::Token(arguments) => return token::run(arguments, session).await,
    };
    generated(object, &manner, session).await
}

/// Creates an object that was made from words.
async fn generated(mut object: Value, manner: &Manner, session: &mut Session) -> Result<Exit, Error> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    if name.is_empty() || name.contains(['/', '%']) {
        return Err(Error::Message(format!("{name:?} cannot be a name")));
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let resource = generators()
        .into_iter()
        .find(|resource| resource.group == group && resource.version == version && resource.kind == kind);
    let Some(resource) = resource else {
        return Err(Error::Message(format!("{kind} of {api_version} cannot be made from words")));
    };
    let mut namespace = String::new();
    if resource.namespaced {
        // A manifest can be written without a cluster.
        namespace = match session.namespace() {
            Ok(namespace) => namespace,
            Err(_) if manner.dry_run == DryRun::Client => {
                session.options.namespace.clone().unwrap_or_else(|| "default".to_owned())
            }
            Err(error) => return Err(error),
        };
        object["metadata"]["namespace"] = namespace.clone().into();
    }
    let shown = format!("{}/{name}", resource.qualified_singular());
    let mut results = Results::new(manner);
    if manner.dry_run != DryRun::Client {
        let call = post(&resource, &namespace, &object, manner, Validation::Strict, manner.dry_run);
        object = session.send(&call).await?.json()?;
    }
    results.tell(&shown, "created", object, session)?;
    results.show(session)?;
    Ok(Exit::Success)
}

fn post(
    resource: &Resource,
    namespace: &str,
    object: &Value,
    manner: &Manner,
    validate: Validation,
    dry_run: DryRun,
) -> Call {
    let path = resource.collection_path(Some(namespace));
    Call::with_body(Method::POST, path, object.to_string()).query(&[
        ("fieldManager", manner.manager(MANAGER)),
        ("fieldValidation", validate.parameter()),
        ("dryRun", dry_run.parameter()),
    ])
}

/// The kinds that are made from words: those of Kubernetes, whose paths are known without asking.
fn generators() -> Vec<Resource> {
    let kind = |group: &str, kind: &str, plural: &str, namespaced| Resource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        namespaced,
        ..Resource::default()
    };
    const RBAC: &str = "rbac.authorization.k8s.io";
    vec![
        kind("", "Namespace", "namespaces", false),
        kind("", "ConfigMap", "configmaps", true),
        kind("", "Secret", "secrets", true),
        kind("", "ServiceAccount", "serviceaccounts", true),
        kind(RBAC, "Role", "roles", true),
        kind(RBAC, "RoleBinding", "rolebindings", true),
        kind(RBAC, "ClusterRole", "clusterroles", false),
        kind(RBAC, "ClusterRoleBinding", "clusterrolebindings", false),
    ]
}
