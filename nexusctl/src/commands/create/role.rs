//! `create role` and `create clusterrole`

use crate::{
    commands::{results::Manner, verbs},
    discovery::Discovery,
    error::Error,
    session::Session,
};
use clap::Args;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const EXAMPLES: &str = "Examples:
  nexusctl create role viewer --verb=get,list,watch --resource=workloads,networks
  nexusctl create role scaler --verb=patch --resource=workloads/scale --resource-name=web";
const CLUSTER_EXAMPLES: &str = "Examples:
  nexusctl create clusterrole assets-viewer --verb=get,list,watch --resource=assets
  nexusctl create clusterrole metrics-viewer --verb=get --non-resource-url=/metrics";

/// What both have in common.
#[derive(Args, Debug)]
pub struct Common {
    /// Its name
    pub name: String,
    /// What may be done: get, list, watch, create, update, patch, delete, or *; may be given several times
    #[arg(long, value_name = "VERBS", value_delimiter = ',')]
    pub verb: Vec<String>,
    /// To what: TYPE, TYPE.GROUP, TYPE/SUBRESOURCE; may be given several times
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    pub resource: Vec<String>,
    /// To objects of these names only; may be given several times
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub resource_name: Vec<String>,
    /// How it is done and told
    #[command(flatten)]
    pub manner: Manner,
}

/// Arguments of `create role`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// What the role allows
    #[command(flatten)]
    pub common: Common,
}

/// Arguments of `create clusterrole`.
#[derive(Args, Debug)]
#[command(after_help = CLUSTER_EXAMPLES)]
pub struct ClusterArguments {
    /// What the role allows
    #[command(flatten)]
    pub common: Common,
    /// To paths of the server; may be given several times
    #[arg(long, value_name = "PATHS", value_delimiter = ',', conflicts_with_all = ["resource", "resource_name"])]
    pub non_resource_url: Vec<String>,
    /// Gather the rules of the ClusterRoles with these labels: KEY=VALUE,…
    #[arg(long, value_name = "LABELS", conflicts_with_all = ["verb", "resource", "resource_name", "non_resource_url"])]
    pub aggregation_rule: Option<String>,
}

pub(super) async fn build(arguments: &Arguments, session: &mut Session) -> Result<Value, Error> {
    let rules = rules(&arguments.common, session).await?;
    Ok(role("Role", &arguments.common.name, rules))
}

pub(super) async fn build_cluster(
    arguments: &ClusterArguments,
    session: &mut Session,
) -> Result<Value, Error> {
    let common = &arguments.common;
    if let Some(text) = &arguments.aggregation_rule {
        let mut labels = Map::new();
        for pair in text.split(',') {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| Error::Message(format!("--aggregation-rule: {pair:?} is not KEY=VALUE")))?;
            labels.insert(key.to_owned(), value.into());
        }
        let mut object = role("ClusterRole", &common.name, Vec::new());
        object["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": labels}]});
        return Ok(object);
    }
    if arguments.non_resource_url.is_empty() {
        return Ok(role("ClusterRole", &common.name, rules(common, session).await?));
    }
    judge(&common.verb, &verbs::OF_PATHS, session)?;
    for path in &arguments.non_resource_url {
        if !path.starts_with('/') && path != "*" {
            return Err(Error::Message(format!("--non-resource-url={path}: a path begins with /")));
        }
    }
    let rule = json!({"verbs": common.verb, "nonResourceURLs": arguments.non_resource_url});
    Ok(role("ClusterRole", &common.name, vec![rule]))
}

fn role(kind: &str, name: &str, rules: Vec<Value>) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "rules": rules,
    })
}

async fn rules(common: &Common, session: &mut Session) -> Result<Vec<Value>, Error> {
    judge(&common.verb, &verbs::OF_OBJECTS, session)?;
    if common.resource.is_empty() {
        return Err(Error::Message("say to what: --resource=workloads".into()));
    }
    let discovery = session.discovery().await?;
    let groups = by_group(&common.resource, &discovery)?;
    Ok(groups
        .into_iter()
        .map(|(group, resources)| {
            let mut rule = json!({"verbs": common.verb, "apiGroups": [group], "resources": resources});
            if !common.resource_name.is_empty() {
                rule["resourceNames"] = common.resource_name.clone().into();
            }
            rule
        })
        .collect())
}

fn judge(given: &[String], known: &[&str], session: &mut Session) -> Result<(), Error> {
    if given.is_empty() {
        return Err(Error::Message("say what may be done: --verb=get,list,watch".into()));
    }
    verbs::doubt(given, known, session);
    Ok(())
}

/// The plurals of the types, with their subresources, by group.
fn by_group(words: &[String], discovery: &Discovery) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for word in words {
        let (kind, part) = word.split_once('/').map_or((word.as_str(), ""), |(kind, part)| (kind, part));
        let (group, plural) = if kind == "*" {
            ("*".to_owned(), "*".to_owned())
        } else {
            let resource = discovery.find(kind)?;
            (resource.group.clone(), resource.plural.clone())
        };
        let name = if part.is_empty() { plural } else { format!("{plural}/{part}") };
        let resources = groups.entry(group).or_default();
        if !resources.contains(&name) {
            resources.push(name);
        }
    }
    Ok(groups)
}
