//! The controls: every one of the standard's that the schema has a field for, and one of our own.
//!
//! Left out is what no instance can ask for: the host's namespaces, AppArmor, SELinux, `procMount`, sysctls, Windows. Of
//! our own is [`public_ports`]: a port that is published to the world is a port of the node, as a `hostPort` is.
//!
//! Source: `k8s.io/pod-security-admission/policy`, one file a control there.

use super::pod::{Container, Pod, text};
use super::policy::{Level, Standard};
use serde_json::Value;
use std::collections::BTreeSet;

/// What a control finds wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// In few words.
    pub reason: &'static str,
    /// What exactly, and where.
    pub detail: String,
}

struct Check {
    /// Upstream's name of it.
    id: &'static str,
    level: Level,
    /// The first minor version of the standard that has it.
    since: u32,
    /// The check of the level below that it takes the place of.
    instead_of: Option<&'static str>,
    run: fn(Pod<'_>) -> Option<Violation>,
}

const fn baseline(id: &'static str, since: u32, run: fn(Pod<'_>) -> Option<Violation>) -> Check {
    Check { id, level: Level::Baseline, since, instead_of: None, run }
}

const fn restricted(id: &'static str, since: u32, run: fn(Pod<'_>) -> Option<Violation>) -> Check {
    Check { id, level: Level::Restricted, since, instead_of: None, run }
}

/// In the order in which they are told: the lower level's first, and by name.
const CHECKS: [Check; 13] = [
    baseline("capabilities_baseline", 0, usual_capabilities),
    baseline("hostPathVolumes", 0, host_paths),
    baseline("hostPorts", 0, host_ports),
    baseline("hostProbesAndhostLifecycle", 34, asked_hosts),
    baseline("privileged", 0, privileged),
    baseline("publicPorts", 0, public_ports),
    baseline("seccompProfile_baseline", 19, confined),
    restricted("allowPrivilegeEscalation", 8, escalation),
    Check {
        instead_of: Some("capabilities_baseline"),
        ..restricted("capabilities_restricted", 22, no_capabilities)
    },
    Check { instead_of: Some("hostPathVolumes"), ..restricted("restrictedVolumes", 0, volumes) },
    restricted("runAsNonRoot", 0, non_root),
    restricted("runAsUser", 23, no_root_user),
    Check {
        instead_of: Some("seccompProfile_baseline"),
        ..restricted("seccompProfile_restricted", 19, filtered)
    },
];

/// What of a pod a standard forbids.
pub(crate) fn violations(standard: Standard, pod: Pod<'_>) -> Vec<Violation> {
    let minor = standard.minor.unwrap_or(u32::MAX);
    let applies = |check: &&Check| check.level <= standard.level && check.since <= minor;
    let replaced: BTreeSet<&str> =
        CHECKS.iter().filter(applies).filter_map(|check| check.instead_of).collect();
    let held = CHECKS.iter().filter(applies).filter(|check| !replaced.contains(check.id));
    held.filter_map(|check| (check.run)(pod)).collect()
}

/// Those that containers may add at the level baseline.
const USUAL: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn usual_capabilities(pod: Pod<'_>) -> Option<Violation> {
    let (bad, added) = adding(pod, &USUAL);
    let detail =
        format!("{} must not include {} in securityContext.capabilities.add", these(&bad), quoted(&added));
    found(&bad, "non-default capabilities", detail)
}

fn no_capabilities(pod: Pod<'_>) -> Option<Violation> {
    let keeping = named(pod, |container| !container.capabilities("drop").any(|name| name == "ALL"));
    let (bad, added) = adding(pod, &["NET_BIND_SERVICE"]);
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", these(&keeping)));
    }
    if !bad.is_empty() {
        details.push(format!(
            "{} must not include {} in securityContext.capabilities.add",
            these(&bad),
            quoted(&added)
        ));
    }
    found(&details, "unrestricted capabilities", details.join("; "))
}

/// Containers that add a capability beside these, and what they add.
fn adding<'v>(pod: Pod<'v>, allowed: &[&str]) -> (Vec<&'v str>, Vec<&'v str>) {
    let beyond =
        |container: Container<'v>| container.capabilities("add").filter(move |name| !allowed.contains(name));
    let bad = named(pod, |container| beyond(container).next().is_some());
    let added: BTreeSet<&str> = pod.containers().flat_map(beyond).collect();
    (bad, added.into_iter().collect())
}

fn host_paths(pod: Pod<'_>) -> Option<Violation> {
    let bad: Vec<&str> = on_host(pod).collect();
    let detail = format!("{} {}", many(&bad, "volume", "volumes"), quoted(&bad));
    found(&bad, "hostPath volumes", detail)
}

fn volumes(pod: Pod<'_>) -> Option<Violation> {
    const ALLOWED: [&str; 5] = ["configMap", "downwardAPI", "emptyDir", "projected", "secret"];
    let mut kinds = BTreeSet::new();
    let mut bad = Vec::new();
    for volume in pod.volumes() {
        let of = |kind: &&str| volume.get(kind).is_some_and(|source| !source.is_null());
        if !ALLOWED.iter().any(of) {
            bad.push(text(volume, "name"));
            kinds.insert(if of(&"hostPath") { "hostPath" } else { "unknown" });
        }
    }
    let kinds: Vec<&str> = kinds.into_iter().collect();
    let detail = format!(
        "{} {} {} {} {}",
        many(&bad, "volume", "volumes"),
        quoted(&bad),
        many(&bad, "uses", "use"),
        many(&kinds, "restricted volume type", "restricted volume types"),
        quoted(&kinds)
    );
    found(&bad, "restricted volume types", detail)
}

fn on_host(pod: Pod<'_>) -> impl Iterator<Item = &str> {
    let host = pod.volumes().filter(|volume| volume.get("hostPath").is_some_and(|path| !path.is_null()));
    host.map(|volume| text(volume, "name"))
}

fn host_ports(pod: Pod<'_>) -> Option<Violation> {
    let bad = named(pod, |container| container.host_ports().next().is_some());
    let ports = pod.containers().flat_map(Container::host_ports).map(|port| port.to_string());
    let ports: Vec<String> = ports.collect::<BTreeSet<_>>().into_iter().collect();
    let detail = format!(
        "{} {} {} {}",
        these(&bad),
        many(&bad, "uses", "use"),
        many(&ports, "hostPort", "hostPorts"),
        ports.join(", ")
    );
    found(&bad, "hostPort", detail)
}

fn public_ports(pod: Pod<'_>) -> Option<Violation> {
    let ports = pod.public_ports().map(ToString::to_string);
    let ports: Vec<String> = ports.collect::<BTreeSet<_>>().into_iter().collect();
    let detail = format!(
        "publish must not open {} {} of the node with privacy=FullPublic",
        many(&ports, "port", "ports"),
        ports.join(", ")
    );
    found(&ports, "public ports", detail)
}

fn asked_hosts(pod: Pod<'_>) -> Option<Violation> {
    let mut bad = named(pod, |container| container.asked_hosts().next().is_some());
    bad.sort_unstable();
    let hosts: BTreeSet<&str> = pod.containers().flat_map(Container::asked_hosts).collect();
    let hosts: Vec<&str> = hosts.into_iter().collect();
    let detail = format!(
        "{} {} {} {}",
        these(&bad),
        many(&bad, "uses", "use"),
        many(&hosts, "probe or lifecycle host", "probe or lifecycle hosts"),
        quoted(&hosts)
    );
    found(&bad, "probe or lifecycle host", detail)
}

fn privileged(pod: Pod<'_>) -> Option<Violation> {
    let bad = named(pod, |container| container.security("privileged") == Some(&Value::Bool(true)));
    found(&bad, "privileged", format!("{} must not set securityContext.privileged=true", these(&bad)))
}

fn escalation(pod: Pod<'_>) -> Option<Violation> {
    let field = "allowPrivilegeEscalation";
    let bad = named(pod, |container| container.security(field) != Some(&Value::Bool(false)));
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", these(&bad));
    found(&bad, "allowPrivilegeEscalation != false", detail)
}

fn non_root(pod: Pod<'_>) -> Option<Violation> {
    const FIELD: &str = "runAsNonRoot";
    const REASON: &str = "runAsNonRoot != true";
    let of_all = pod.security(FIELD).and_then(Value::as_bool);
    let bad = named(pod, |container| container.security(FIELD) == Some(&Value::Bool(false)));
    let setters = setters(of_all == Some(false), &bad);
    if !setters.is_empty() {
        let detail = format!("{} must not set securityContext.runAsNonRoot=false", setters.join(" and "));
        return Some(Violation { reason: REASON, detail });
    }
    let unsaid = named(pod, |container| of_all != Some(true) && container.security(FIELD).is_none());
    let detail = format!("pod or {} must set securityContext.runAsNonRoot=true", these(&unsaid));
    found(&unsaid, REASON, detail)
}

fn no_root_user(pod: Pod<'_>) -> Option<Violation> {
    let root = |user: Option<&Value>| user.and_then(Value::as_i64) == Some(0);
    let bad = named(pod, |container| root(container.security("runAsUser")));
    let setters = setters(root(pod.security("runAsUser")), &bad);
    found(&setters, "runAsUser=0", format!("{} must not set runAsUser=0", setters.join(" and ")))
}

fn profile(context: Option<&Value>) -> Option<&str> {
    context.map(|profile| text(profile, "type"))
}

fn is_filter(profile: &str) -> bool {
    matches!(profile, "RuntimeDefault" | "Localhost")
}

fn confined(pod: Pod<'_>) -> Option<Violation> {
    let of_all = profile(pod.security("seccompProfile"));
    let own = |container: Container<'_>| profile(container.security("seccompProfile")).map(str::to_owned);
    let open = |profile: Option<&str>| profile.is_some_and(|profile| !is_filter(profile));
    let bad = named(pod, |container| open(own(container).as_deref()));
    let setters = setters(open(of_all), &bad);
    let values = pod.containers().filter_map(own).chain(of_all.map(str::to_owned));
    let values: BTreeSet<String> = values.filter(|profile| !is_filter(profile)).collect();
    let values: Vec<String> = values.into_iter().collect();
    let detail = format!(
        "{} must not set securityContext.seccompProfile.type to {}",
        setters.join(" and "),
        quoted(&values)
    );
    found(&setters, "seccompProfile", detail)
}

fn filtered(pod: Pod<'_>) -> Option<Violation> {
    if let Some(violation) = confined(pod) {
        return Some(violation);
    }
    let of_all = pod.security("seccompProfile").is_some();
    let unsaid = named(pod, |container| !of_all && container.security("seccompProfile").is_none());
    let detail = format!(
        "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        these(&unsaid)
    );
    found(&unsaid, "seccompProfile", detail)
}

/// Who says something that must not be said: the pod, containers, or both.
fn setters(pod: bool, containers: &[&str]) -> Vec<String> {
    let containers = (!containers.is_empty()).then(|| these(containers));
    pod.then(|| "pod".to_owned()).into_iter().chain(containers).collect()
}

/// The names of containers that something holds of.
fn named<'v>(pod: Pod<'v>, holds: impl Fn(Container<'v>) -> bool) -> Vec<&'v str> {
    pod.containers().filter(|container| holds(*container)).map(Container::name).collect()
}

fn found<T>(bad: &[T], reason: &'static str, detail: String) -> Option<Violation> {
    (!bad.is_empty()).then_some(Violation { reason, detail })
}

/// `container "a"`, `containers "a", "b"`.
fn these(containers: &[&str]) -> String {
    format!("{} {}", many(containers, "container", "containers"), quoted(containers))
}

fn many<T>(of: &[T], one: &'static str, more: &'static str) -> &'static str {
    if of.len() == 1 { one } else { more }
}

fn quoted<T: AsRef<str>>(items: &[T]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("\"{}\"", item.as_ref())).collect();
    quoted.join(", ")
}
