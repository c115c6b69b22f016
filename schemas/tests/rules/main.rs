//! CEL rules: which there are, and that each tells right from wrong.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../checker/mod.rs"]
mod checker;
mod workloads;

use checker::{kind, problems};
use hypermesh_schemas::definitions;
use serde_json::{Value, json};

fn collect(node: &Value, path: &str, lines: &mut Vec<String>) {
    for rule in node.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
        lines.push(format!("{path}: {}", rule["rule"].as_str().unwrap()));
        let message = rule["message"].as_str().unwrap();
        assert!(
            !message.is_empty() && !message.ends_with('.') && !message.contains('\n'),
            "{path}: {message:?}"
        );
        for keyword in rule.as_object().unwrap().keys() {
            assert!(
                ["rule", "message", "messageExpression", "reason", "fieldPath"].contains(&keyword.as_str()),
                "{path}: {keyword}"
            );
        }
    }
    for (name, child) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
        collect(child, &format!("{path}.{name}"), lines);
    }
    for (keyword, step) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(child) = node.get(keyword) {
            collect(child, &format!("{path}{step}"), lines);
        }
    }
}

/// Every rule once, where it first stands: an Instance repeats a Workload's pod, and init containers are containers.
#[test]
fn all_rules() {
    let mut lines = Vec::new();
    for definition in definitions().iter().filter(|definition| definition.names.kind != "Instance") {
        collect(&definition.schema, &definition.names.kind, &mut lines);
    }
    lines.retain(|line| !line.contains(".initContainers[]"));
    for line in &lines {
        let (_, rule) = line.split_once(": ").unwrap();
        assert!(cel::Program::compile(rule).is_ok(), "{line}");
    }
    insta::assert_snapshot!(lines.join("\n"), @r"
    Asset.spec.class: self == oldSelf
    Asset.spec.nodeName: self == oldSelf
    Certificate.spec: has(self.dnsNames) || has(self.ipAddresses) || has(self.uris)
    Certificate.spec: duration(self.duration) >= duration('5m')
    Certificate.spec: !has(self.renewBefore) || duration(self.renewBefore) < duration(self.duration)
    Domain.spec.name: self == oldSelf
    Domain.spec.records[]: has(self.values) != has(self.from)
    Domain.spec.records[]: !has(self.from) || self.type in ['A', 'AAAA', 'SRV']
    Domain.spec.records[]: self.type != 'SRV' || !has(self.from) || has(self.from.port)
    Domain.spec.records[]: self.type != 'CNAME' || (self.name != '@' && has(self.values) && size(self.values) == 1)
    Domain.spec.records[]: self.type != 'A' || !has(self.values) || self.values.all(v, v.matches('^(\\d+[.]){3}\\d+$'))
    Domain.spec.records[]: self.type != 'AAAA' || !has(self.values) || self.values.all(v, v.matches('^[0-9A-Fa-f:.]+$') && v.contains(':'))
    Identity.spec: self.user.startsWith('system:serviceaccount:') == has(self.uid)
    Identity.spec: !self.user.startsWith('system:serviceaccount:') || !has(self.groups) || size(self.groups) == 0
    Identity.spec.groups: !self.exists(g, g == 'system:authenticated' || g == 'system:unauthenticated')
    Identity.spec.uid: self == oldSelf
    Identity.spec.user: self == '' || self == oldSelf
    Identity.spec.user: self != 'system:anonymous'
    Identity.spec.user: !self.startsWith('system:serviceaccount:') || self.matches('^system:serviceaccount:[a-z0-9]([-a-z0-9]*[a-z0-9])?:[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')
    Issuer.spec: [has(self.cluster), has(self.ca), has(self.selfSigned)].filter(x, x).size() == 1
    Network.spec: !has(oldSelf.addressing) || (has(self.addressing) && self.addressing == oldSelf.addressing)
    Network.spec.addressing: !has(self.ipv4) || self.ipv4.contains('.')
    Network.spec.addressing: !has(self.ipv6) || self.ipv6.contains(':')
    Network.spec.members.selector.matchExpressions[]: self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0
    Network.spec.policy.egress[].ports[]: !has(self.endPort) || (type(self.port) == int && self.endPort >= self.port)
    Network.spec.policy.egress[].to[]: [has(self.workload), has(self.selector), has(self.cidr)].filter(x, x).size() == 1
    Network.spec.policy.egress[].to[]: !has(self.__namespace__) || !has(self.cidr)
    Network.spec.policy.egress[].to[]: !has(self.except) || has(self.cidr)
    Network.spec.policy.egress[].to[].selector.matchExpressions[]: self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0
    Network.spec.policy.ingress[].from[]: [has(self.workload), has(self.selector), has(self.cidr)].filter(x, x).size() == 1
    Network.spec.policy.ingress[].from[]: !has(self.__namespace__) || !has(self.cidr)
    Network.spec.policy.ingress[].from[]: !has(self.except) || has(self.cidr)
    Network.spec.policy.ingress[].from[].selector.matchExpressions[]: self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0
    Network.spec.policy.ingress[].ports[]: !has(self.endPort) || (type(self.port) == int && self.endPort >= self.port)
    Node.spec.publicKey: self == oldSelf
    Workload.spec: !has(self.publish) || self.publish.all(p, !has(p.targetPort) || type(p.targetPort) == int || self.template.spec.containers.exists(c, has(c.ports) && c.ports.exists(q, has(q.name) && q.name == p.targetPort)))
    Workload.spec: !has(self.job) || self.template.spec.restartPolicy != 'Always'
    Workload.spec: has(self.job) || self.template.spec.restartPolicy == 'Always'
    Workload.spec: !has(self.job) || self.replicas == 1
    Workload.spec: !has(self.schedule) || has(self.job)
    Workload.spec: has(self.job) == has(oldSelf.job) && has(self.schedule) == has(oldSelf.schedule)
    Workload.spec: !has(self.job) || !has(oldSelf.job) || has(self.schedule) || self.template == oldSelf.template
    Workload.spec.placement.nodes.preferred[].matchExpressions[]: self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0
    Workload.spec.placement.nodes.required[]: self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0
    Workload.spec.rollout: self.strategy == 'Rolling' || !has(self.rolling)
    Workload.spec.rollout.rolling: !((self.maxSurge == 0 || self.maxSurge == '0%') && (self.maxUnavailable == 0 || self.maxUnavailable == '0%'))
    Workload.spec.schedule.cron: !self.contains('TZ=')
    Workload.spec.schedule.cron: self.contains('TZ=') || self.matches('(?i)^[[:space:]]*(?:@(?:hourly|daily|weekly|monthly|yearly|annually)|(?:(?:[*]|(?:[0-5]?[0-9])(?:-(?:[0-5]?[0-9]))?)(?:/0*[1-9][0-9]*)?)(?:,(?:(?:[*]|(?:[0-5]?[0-9])(?:-(?:[0-5]?[0-9]))?)(?:/0*[1-9][0-9]*)?))*[[:space:]]+(?:(?:[*]|(?:[01]?[0-9]|2[0-3])(?:-(?:[01]?[0-9]|2[0-3]))?)(?:/0*[1-9][0-9]*)?)(?:,(?:(?:[*]|(?:[01]?[0-9]|2[0-3])(?:-(?:[01]?[0-9]|2[0-3]))?)(?:/0*[1-9][0-9]*)?))*[[:space:]]+(?:(?:[*]|(?:0?[1-9]|[12][0-9]|3[01])(?:-(?:0?[1-9]|[12][0-9]|3[01]))?)(?:/0*[1-9][0-9]*)?|[?]|LW?|(?:0?[1-9]|[12][0-9]|3[01])W)(?:,(?:(?:[*]|(?:0?[1-9]|[12][0-9]|3[01])(?:-(?:0?[1-9]|[12][0-9]|3[01]))?)(?:/0*[1-9][0-9]*)?|[?]|LW?|(?:0?[1-9]|[12][0-9]|3[01])W))*[[:space:]]+(?:(?:[*]|(?:0?[1-9]|1[0-2]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)(?:-(?:0?[1-9]|1[0-2]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC))?)(?:/0*[1-9][0-9]*)?)(?:,(?:(?:[*]|(?:0?[1-9]|1[0-2]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)(?:-(?:0?[1-9]|1[0-2]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC))?)(?:/0*[1-9][0-9]*)?))*[[:space:]]+[+]?(?:(?:[*]|(?:0?[0-7]|SUN|MON|TUE|WED|THU|FRI|SAT)(?:-(?:0?[0-7]|SUN|MON|TUE|WED|THU|FRI|SAT))?)(?:/0*[1-9][0-9]*)?|[?]|(?:0?[0-7]|SUN|MON|TUE|WED|THU|FRI|SAT)(?:#[1-5L]|L))(?:,(?:(?:[*]|(?:0?[0-7]|SUN|MON|TUE|WED|THU|FRI|SAT)(?:-(?:0?[0-7]|SUN|MON|TUE|WED|THU|FRI|SAT))?)(?:/0*[1-9][0-9]*)?|[?]|(?:0?[0-7]|SUN|MON|TUE|WED|THU|FRI|SAT)(?:#[1-5L]|L)))*)[[:space:]]*$')
    Workload.spec.template.spec: !has(self.initContainers) || self.initContainers.all(i, !self.containers.exists(c, c.name == i.name))
    Workload.spec.template.spec: self.containers.all(c, !has(c.restartPolicy))
    Workload.spec.template.spec: !has(self.initContainers) || self.initContainers.all(i, has(i.restartPolicy) || !(has(i.livenessProbe) || has(i.readinessProbe) || has(i.startupProbe) || has(i.lifecycle)))
    Workload.spec.template.spec: self.containers.all(c, !has(c.volumeMounts) || c.volumeMounts.all(m, has(self.volumes) && self.volumes.exists(v, v.name == m.name)))
    Workload.spec.template.spec: !has(self.initContainers) || self.initContainers.all(c, !has(c.volumeMounts) || c.volumeMounts.all(m, has(self.volumes) && self.volumes.exists(v, v.name == m.name)))
    Workload.spec.template.spec.containers[]: !has(self.livenessProbe) || self.livenessProbe.successThreshold == 1
    Workload.spec.template.spec.containers[]: !has(self.startupProbe) || self.startupProbe.successThreshold == 1
    Workload.spec.template.spec.containers[].env[]: !has(self.value) || !has(self.valueFrom)
    Workload.spec.template.spec.containers[].envFrom[]: has(self.configMapRef) != has(self.secretRef)
    Workload.spec.template.spec.containers[].livenessProbe: [has(self.httpGet), has(self.tcpSocket), has(self.exec)].filter(x, x).size() == 1
    Workload.spec.template.spec.containers[].readinessProbe: [has(self.httpGet), has(self.tcpSocket), has(self.exec)].filter(x, x).size() == 1
    Workload.spec.template.spec.containers[].resources: !has(self.requests) || !('pids' in self.requests)
    Workload.spec.template.spec.containers[].resources: !has(self.limits) || !('pids' in self.limits) || (type(self.limits['pids']) == int ? self.limits['pids'] >= 1 && self.limits['pids'] <= 4194304 : self.limits['pids'].matches('^[1-9][0-9]{0,6}$') && int(self.limits['pids']) <= 4194304)
    Workload.spec.template.spec.containers[].securityContext: !(has(self.privileged) && self.privileged && has(self.allowPrivilegeEscalation) && !self.allowPrivilegeEscalation)
    Workload.spec.template.spec.containers[].securityContext.seccompProfile: (self.type == 'Localhost') == has(self.localhostProfile)
    Workload.spec.template.spec.containers[].startupProbe: [has(self.httpGet), has(self.tcpSocket), has(self.exec)].filter(x, x).size() == 1
    Workload.spec.template.spec.securityContext.seccompProfile: (self.type == 'Localhost') == has(self.localhostProfile)
    Workload.spec.template.spec.tolerations[]: has(self.key) || self.operator == 'Exists'
    Workload.spec.template.spec.tolerations[]: self.operator != 'Exists' || !has(self.value)
    Workload.spec.template.spec.tolerations[]: !has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')
    Workload.spec.template.spec.volumes[]: [has(self.emptyDir), has(self.configMap), has(self.secret), has(self.hostPath), has(self.projected)].filter(x, x).size() == 1
    Workload.spec.template.spec.volumes[].hostPath: !self.path.contains('/../') && !self.path.endsWith('/..')
    ControllerRevision: has(self.data) == has(oldSelf.data) && (!has(self.data) || self.data == oldSelf.data)
    Role.rules[]: size(self.verbs) > 0
    Role.rules[]: (has(self.nonResourceURLs) && size(self.nonResourceURLs) > 0) || (has(self.apiGroups) && size(self.apiGroups) > 0)
    Role.rules[]: (has(self.nonResourceURLs) && size(self.nonResourceURLs) > 0) || (has(self.resources) && size(self.resources) > 0)
    Role.rules[]: !has(self.nonResourceURLs) || size(self.nonResourceURLs) == 0
    ClusterRole.rules[]: size(self.verbs) > 0
    ClusterRole.rules[]: (has(self.nonResourceURLs) && size(self.nonResourceURLs) > 0) || (has(self.apiGroups) && size(self.apiGroups) > 0)
    ClusterRole.rules[]: (has(self.nonResourceURLs) && size(self.nonResourceURLs) > 0) || (has(self.resources) && size(self.resources) > 0)
    ClusterRole.rules[]: !has(self.nonResourceURLs) || size(self.nonResourceURLs) == 0 || !((has(self.apiGroups) && size(self.apiGroups) > 0) || (has(self.resources) && size(self.resources) > 0) || (has(self.resourceNames) && size(self.resourceNames) > 0))
    RoleBinding.subjects[]: self.kind != 'ServiceAccount' || (has(self.__namespace__) && size(self.__namespace__) > 0)
    RoleBinding.subjects[]: self.kind == 'ServiceAccount' || !has(self.__namespace__) || size(self.__namespace__) == 0
    RoleBinding.subjects[]: !has(self.apiGroup) || size(self.apiGroup) == 0 || (self.kind != 'ServiceAccount' && self.apiGroup == 'rbac.authorization.k8s.io')
    ClusterRoleBinding.subjects[]: self.kind != 'ServiceAccount' || (has(self.__namespace__) && size(self.__namespace__) > 0)
    ClusterRoleBinding.subjects[]: self.kind == 'ServiceAccount' || !has(self.__namespace__) || size(self.__namespace__) == 0
    ClusterRoleBinding.subjects[]: !has(self.apiGroup) || size(self.apiGroup) == 0 || (self.kind != 'ServiceAccount' && self.apiGroup == 'rbac.authorization.k8s.io')
    ");
}

fn workload(spec: Value) -> Value {
    let mut full = json!({"template": {"spec": {"containers": [{"name": "web", "image": "web:1", "ports": [{"name": "http", "containerPort": 8080}]}]}}});
    merge(&mut full, spec);
    json!({"spec": full})
}

fn pod(spec: Value) -> Value {
    workload(json!({"template": {"spec": spec}}))
}

fn container(extra: Value) -> Value {
    let mut full = json!({"name": "web", "image": "web:1"});
    merge(&mut full, extra);
    pod(json!({"containers": [full]}))
}

/// JSON merge patch (RFC 7396) without removal.
fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (name, value) in patch {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}

#[track_caller]
fn right(kind_name: &str, object: Value) {
    assert_eq!(problems(kind(kind_name), &object, None), Vec::<String>::new(), "{object}");
}

#[track_caller]
fn wrong(kind_name: &str, object: Value, expected: &str) {
    assert_eq!(problems(kind(kind_name), &object, None), [expected], "{object}");
}

#[track_caller]
fn frozen(kind_name: &str, old: Value, new: Value, expected: &str) {
    assert_eq!(problems(kind(kind_name), &old, Some(&old)), Vec::<String>::new(), "{old}");
    assert_eq!(problems(kind(kind_name), &new, Some(&old)), [expected], "{new}");
}

#[test]
fn networks() {
    let ingress = |rule: Value| json!({"spec": {"interface": "Private", "policy": {"ingress": [rule]}}});
    right("Network", ingress(json!({})));
    right(
        "Network",
        ingress(
            json!({"from": [{"workload": "web", "namespace": "b"}, {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}]}),
        ),
    );
    let path = ".spec.policy.ingress[0].from[0]";
    for peer in [json!({}), json!({"workload": "web", "cidr": "::/0"})] {
        wrong(
            "Network",
            ingress(json!({"from": [peer]})),
            &format!("{path}: a peer is exactly one of workload, selector and cidr"),
        );
    }
    wrong(
        "Network",
        ingress(json!({"from": [{"cidr": "::/0", "namespace": "a"}]})),
        &format!("{path}.namespace: addresses have no namespace"),
    );
    wrong(
        "Network",
        ingress(json!({"from": [{"workload": "web", "except": ["::/0"]}]})),
        &format!("{path}.except: except takes ranges out of cidr"),
    );
    right("Network", ingress(json!({"ports": [{"port": 80, "endPort": 90}, {"port": "http"}]})));
    for port in [json!({"port": 80, "endPort": 79}), json!({"port": "http", "endPort": 79})] {
        wrong(
            "Network",
            ingress(json!({"ports": [port]})),
            ".spec.policy.ingress[0].ports[0].endPort: endPort closes a range that starts at a port's number",
        );
    }
    let ranges = |ranges: Value| json!({"spec": {"interface": "Private", "addressing": ranges}});
    right("Network", ranges(json!({"ipv4": "10.0.0.0/24", "ipv6": "fd00::/64"})));
    wrong("Network", ranges(json!({"ipv4": "fd00::/64"})), ".spec.addressing.ipv4: not an IPv4 range");
    wrong("Network", ranges(json!({"ipv6": "10.0.0.0/24"})), ".spec.addressing.ipv6: not an IPv6 range");
    let message = ".spec.addressing: the ranges of a network never change, since its members have addresses of them; make another Network";
    frozen("Network", ranges(json!({"ipv6": "fd00::/64"})), ranges(json!({"ipv6": "fd01::/64"})), message);
    frozen(
        "Network",
        ranges(json!({"ipv6": "fd00::/64"})),
        json!({"spec": {"interface": "Private"}}),
        message,
    );
}

#[test]
fn domains() {
    let record = |record: Value| json!({"spec": {"name": "acme.", "records": [record]}});
    right("Domain", record(json!({"name": "@", "type": "A", "values": ["10.0.0.1"]})));
    right("Domain", record(json!({"name": "www", "type": "AAAA", "values": ["fd00::1"]})));
    right(
        "Domain",
        record(json!({"name": "_http._tcp", "type": "SRV", "from": {"workload": "web", "port": "http"}})),
    );
    right("Domain", record(json!({"name": "www", "type": "CNAME", "values": ["web.acme."]})));
    let path = ".spec.records[0]";
    wrong(
        "Domain",
        record(json!({"name": "www", "type": "TXT"})),
        &format!("{path}: a record has either values or from"),
    );
    wrong(
        "Domain",
        record(json!({"name": "www", "type": "TXT", "from": {"workload": "web"}})),
        &format!("{path}.from: only A, AAAA and SRV records can follow a workload"),
    );
    wrong(
        "Domain",
        record(json!({"name": "www", "type": "SRV", "from": {"workload": "web"}})),
        &format!("{path}.from: an SRV record needs the port to follow"),
    );
    for (name, values) in [("@", json!(["a."])), ("www", json!(["a.", "b."]))] {
        wrong(
            "Domain",
            record(json!({"name": name, "type": "CNAME", "values": values})),
            &format!("{path}: a CNAME record has one value, and is not at the zone's own name"),
        );
    }
    for (kind_name, value, message) in [
        ("A", "fd00::1", "IPv4"),
        ("A", "1.2.3", "IPv4"),
        ("AAAA", "10.0.0.1", "IPv6"),
        ("AAAA", "www", "IPv6"),
    ] {
        let article = if kind_name == "A" { "an A" } else { "an AAAA" };
        let expected = format!("{path}.values: the values of {article} record are {message} addresses");
        wrong("Domain", record(json!({"name": "www", "type": kind_name, "values": [value]})), &expected);
    }
    let named = |name: &str| json!({"spec": {"name": name}});
    frozen(
        "Domain",
        named("acme."),
        named("emca."),
        ".spec.name: the name of a zone never changes; make another Domain",
    );
}

#[test]
fn certificates_and_issuers() {
    let certificate = |extra: Value| {
        let mut spec =
            json!({"dnsNames": ["www.acme"], "issuerRef": {"name": "cluster"}, "secretName": "web-tls"});
        merge(&mut spec, extra);
        json!({"spec": spec})
    };
    right("Certificate", certificate(json!({"renewBefore": "8h"})));
    wrong(
        "Certificate",
        certificate(json!({"renewBefore": "24h"})),
        ".spec.renewBefore: renewBefore must be shorter than duration",
    );
    wrong(
        "Certificate",
        certificate(json!({"duration": "299s"})),
        ".spec.duration: the shortest certificate lives 5m",
    );
    wrong(
        "Certificate",
        json!({"spec": {"issuerRef": {"name": "cluster"}, "secretName": "web-tls"}}),
        ".spec: a certificate is for at least one of dnsNames, ipAddresses and uris",
    );
    right("Issuer", json!({"spec": {"cluster": {}}}));
    for spec in [json!({}), json!({"cluster": {}, "selfSigned": {}})] {
        wrong(
            "Issuer",
            json!({"spec": spec}),
            ".spec: an issuer is exactly one of cluster, ca and selfSigned",
        );
    }
}

#[test]
fn identities() {
    let spec = |spec: Value| json!({"spec": spec});
    let account = "system:serviceaccount:ci:deployer";
    right("Identity", spec(json!({"user": "alice", "groups": ["developers"]})));
    right("Identity", spec(json!({"user": account, "uid": "u"})));
    wrong(
        "Identity",
        spec(json!({"user": account})),
        ".spec.uid: the key of a service account names the account's uid, and no other key has one",
    );
    wrong(
        "Identity",
        spec(json!({"user": "alice", "uid": "u"})),
        ".spec.uid: the key of a service account names the account's uid, and no other key has one",
    );
    wrong(
        "Identity",
        spec(json!({"user": account, "uid": "u", "groups": ["a"]})),
        ".spec.groups: the groups of a service account follow from its name",
    );
    wrong(
        "Identity",
        spec(json!({"user": "system:serviceaccount:ci", "uid": "u"})),
        ".spec.user: a service account is named system:serviceaccount:NAMESPACE:NAME",
    );
    wrong("Identity", spec(json!({"user": "system:anonymous"})), ".spec.user: who signs is not anonymous");
    wrong(
        "Identity",
        spec(json!({"user": "alice", "groups": ["system:authenticated"]})),
        ".spec.groups: whoever signs is in system:authenticated, and not in system:unauthenticated",
    );
    let user = |name: &str| spec(json!({"user": name}));
    frozen(
        "Identity",
        user("alice"),
        user("bob"),
        ".spec.user: a key stands for one user: register another key",
    );
    let nobody = problems(kind("Identity"), &user(""), Some(&user("alice")));
    assert_eq!(nobody.len(), 1, "{nobody:?}");
    for control in ["a\nb", "\t", "\u{1b}[2J", "a\u{7f}", "\u{9b}2J"] {
        for bad in [user(control), spec(json!({"user": "a", "groups": ["b", control]}))] {
            let told = problems(kind("Identity"), &bad, None);
            assert!(matches!(&*told, [one] if one.contains("does not match")), "{told:?}");
        }
    }
    right("Identity", spec(json!({"user": "Zoë \u{1f511}", "groups": ["büro"]})));
    let uid = |uid: &str| spec(json!({"user": account, "uid": uid}));
    frozen("Identity", uid("u"), uid("v"), ".spec.uid: a key stands for one account: register another key");
}

#[test]
fn what_never_changes() {
    let asset = |class: &str, node: &str| json!({"spec": {"class": class, "nodeName": node}});
    frozen("Asset", asset("CPU", "a"), asset("GPU", "a"), ".spec.class: the class of an asset never changes");
    frozen(
        "Asset",
        asset("CPU", "a"),
        asset("CPU", "b"),
        ".spec.nodeName: an asset stays with its node; on another node it is another asset",
    );
    let node = |digit: &str| json!({"spec": {"publicKey": digit.repeat(64)}});
    frozen(
        "Node",
        node("a"),
        node("b"),
        ".spec.publicKey: the key is the node: with another key it is another node",
    );
    let instance = |extra: Value| {
        let mut spec = json!({"workload": "web", "revision": "1", "pod": {"containers": [{"name": "web", "image": "web:1"}]}});
        merge(&mut spec, extra);
        json!({"spec": spec})
    };
    let bound = instance(json!({"nodeName": "a"}));
    assert_eq!(problems(kind("Instance"), &bound, Some(&instance(json!({})))), Vec::<String>::new());
    frozen(
        "Instance",
        bound.clone(),
        instance(json!({"nodeName": "b"})),
        ".spec.nodeName: an instance is bound to a node once",
    );
    frozen("Instance", bound, instance(json!({})), ".spec.nodeName: an instance is bound to a node once");
    frozen(
        "Instance",
        instance(json!({})),
        instance(json!({"workload": "db"})),
        ".spec.workload: an instance stays with its workload",
    );
    frozen(
        "Instance",
        instance(json!({})),
        instance(json!({"revision": "2"})),
        ".spec.revision: an instance keeps the revision that it was made from",
    );
    let changed = json!({"pod": {"containers": [{"name": "web", "image": "web:2"}]}});
    frozen(
        "Instance",
        instance(json!({})),
        instance(changed),
        ".spec.pod: what an instance runs never changes; its workload replaces it",
    );
}

#[test]
fn revisions() {
    let revision = |image: &str| json!({"revision": 1, "data": {"spec": {"image": image}}});
    right("ControllerRevision", revision("a"));
    right("ControllerRevision", json!({"revision": 1}));
    frozen("ControllerRevision", revision("a"), revision("b"), ".data: what a revision keeps never changes");
    frozen(
        "ControllerRevision",
        revision("a"),
        json!({"revision": 1}),
        ".data: what a revision keeps never changes",
    );
}

#[test]
fn roles_and_bindings() {
    let rules = |rule: Value| json!({"rules": [rule]});
    let pods = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]});
    right("Role", rules(pods.clone()));
    right("ClusterRole", rules(pods));
    right(
        "ClusterRole",
        json!({"rules": null, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}),
    );
    right("ClusterRole", rules(json!({"nonResourceURLs": ["/metrics"], "verbs": ["get"]})));
    wrong(
        "Role",
        rules(json!({"apiGroups": [""], "resources": ["pods"], "verbs": []})),
        ".rules[0].verbs: verbs must contain at least one value",
    );
    wrong(
        "Role",
        rules(json!({"resources": ["pods"], "verbs": ["get"]})),
        ".rules[0].apiGroups: resource rules must supply at least one api group",
    );
    wrong(
        "Role",
        rules(json!({"apiGroups": [""], "verbs": ["get"]})),
        ".rules[0].resources: resource rules must supply at least one resource",
    );
    wrong(
        "Role",
        rules(json!({"nonResourceURLs": ["/metrics"], "verbs": ["get"]})),
        ".rules[0].nonResourceURLs: namespaced rules cannot apply to non-resource URLs",
    );
    wrong(
        "ClusterRole",
        rules(json!({"nonResourceURLs": ["/metrics"], "resources": ["pods"], "verbs": ["get"]})),
        ".rules[0].nonResourceURLs: rules cannot apply to both regular resources and non-resource URLs",
    );
    let binding =
        |subject: Value| json!({"roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [subject]});
    right("RoleBinding", binding(json!({"kind": "ServiceAccount", "name": "a", "namespace": "b"})));
    right(
        "ClusterRoleBinding",
        binding(json!({"kind": "User", "name": "a", "apiGroup": "rbac.authorization.k8s.io"})),
    );
    wrong(
        "RoleBinding",
        binding(json!({"kind": "ServiceAccount", "name": "a"})),
        ".subjects[0].namespace: a ServiceAccount needs its namespace",
    );
    wrong(
        "RoleBinding",
        binding(json!({"kind": "User", "name": "a", "namespace": "b"})),
        ".subjects[0].namespace: users and groups have no namespace",
    );
    wrong(
        "RoleBinding",
        binding(
            json!({"kind": "ServiceAccount", "name": "a", "namespace": "b", "apiGroup": "rbac.authorization.k8s.io"}),
        ),
        ".subjects[0].apiGroup: the group of users and groups is rbac.authorization.k8s.io; that of a ServiceAccount is empty",
    );
    let role = json!({"roleRef": {"kind": "Role", "name": "a"}});
    right("RoleBinding", role.clone());
    wrong("ClusterRoleBinding", role, ".roleRef.kind: \"Role\" is not allowed");
}

/// Fields that CEL reserves the name of are escaped, as Kubernetes has it.
#[test]
fn reserved_names_are_escaped() {
    const RESERVED: [&str; 18] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
    ];
    let mut lines = Vec::new();
    for definition in definitions() {
        collect(&definition.schema, &definition.names.kind, &mut lines);
    }
    for line in lines {
        for word in RESERVED {
            let field = regex::Regex::new(&format!(r"\.{word}\b")).unwrap();
            assert!(!field.is_match(line.split_once(": ").unwrap().1), "{line}: write __{word}__");
        }
    }
}
