//! What is judged: what instances run, and the ports under which their workload is published.

use serde_json::Value;

/// A pod's spec, and the `publish` of the Workload that it is the template of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pod<'v> {
    pub spec: &'v Value,
    pub publish: Option<&'v Value>,
}

/// A container of either list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Container<'v>(&'v Value);

impl<'v> Pod<'v> {
    /// All containers, in the order in which upstream visits them.
    pub(super) fn containers(self) -> impl Iterator<Item = Container<'v>> {
        items(self.spec, "initContainers").chain(items(self.spec, "containers")).map(Container)
    }

    pub(super) fn volumes(self) -> impl Iterator<Item = &'v Value> {
        items(self.spec, "volumes")
    }

    /// A field of what holds for all containers.
    pub(super) fn security(self, field: &str) -> Option<&'v Value> {
        present(self.spec.get("securityContext")?.get(field))
    }

    /// Ports of the node that are open to the world.
    pub(super) fn public_ports(self) -> impl Iterator<Item = &'v Value> {
        let ports = self.publish.and_then(Value::as_array).into_iter().flatten();
        let public = ports.filter(|port| port.get("privacy").and_then(Value::as_str) == Some("FullPublic"));
        public.filter_map(|port| port.get("port"))
    }
}

impl<'v> Container<'v> {
    pub(super) fn name(self) -> &'v str {
        text(self.0, "name")
    }

    /// A field of its own security context.
    pub(super) fn security(self, field: &str) -> Option<&'v Value> {
        present(self.0.get("securityContext")?.get(field))
    }

    /// Capabilities that it adds or drops.
    pub(super) fn capabilities(self, list: &str) -> impl Iterator<Item = &'v str> {
        let of = self.security("capabilities");
        of.into_iter().flat_map(move |of| items(of, list)).filter_map(Value::as_str)
    }

    pub(super) fn host_ports(self) -> impl Iterator<Item = i64> {
        let ports = items(self.0, "ports").filter_map(|port| port.get("hostPort")?.as_i64());
        ports.filter(|port| *port != 0)
    }

    /// Hosts other than itself that probes and hooks ask.
    pub(super) fn asked_hosts(self) -> impl Iterator<Item = &'v str> {
        let probes = ["livenessProbe", "readinessProbe", "startupProbe"].into_iter();
        let probes = probes.filter_map(move |probe| self.0.get(probe));
        let hooks = ["postStart", "preStop"].into_iter();
        let hooks = hooks.filter_map(move |hook| self.0.get("lifecycle")?.get(hook));
        let ways = probes.chain(hooks).flat_map(|asked| {
            ["httpGet", "tcpSocket"].into_iter().filter_map(move |way| asked.get(way)?.get("host")?.as_str())
        });
        ways.filter(|host| !host.is_empty())
    }
}

pub(super) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn items<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}
