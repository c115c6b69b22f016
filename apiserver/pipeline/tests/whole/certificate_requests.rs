//! CertificateSigningRequests: who says what of one, and how often.

use crate::support::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const KUBELET: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SIGNER: &str = "system:certificate-signer";

fn pem(label: &str) -> String {
    STANDARD.encode(format!("-----BEGIN {label}-----\nMIIB\n-----END {label}-----\n"))
}

fn csr(name: &str, signer: &str) -> Value {
    json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
        "spec": {"request": pem("CERTIFICATE REQUEST"), "signerName": signer, "usages": ["client auth"]},
    })
}

fn verdict(object: &Value, kind: &str) -> Value {
    let mut object = object.clone();
    let mut list = object.pointer("/status/conditions").cloned().unwrap_or_else(|| json!([]));
    list.as_array_mut().unwrap().push(json!({
        "type": kind, "status": "True", "reason": "Test", "message": "m", "lastUpdateTime": null,
    }));
    object["status"]["conditions"] = list;
    object
}

/// Gives `user` a right on signers and on the requests.
fn grant(cluster: &mut Cluster, user: &str, verb: &str, signers: &[&str]) {
    let role = json!({"metadata": {"name": user}, "rules": [
        {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "resourceNames": signers, "verbs": [verb]},
        {"apiGroups": ["certificates.k8s.io"], "resources": ["*"], "verbs": ["create", "get", "update", "patch"]},
    ]});
    let role = if signers.is_empty() {
        json!({"metadata": {"name": user}, "rules": [role["rules"][1]]})
    } else {
        role
    };
    cluster.run(post(format!("{RBAC}/clusterroles"), role)).object();
    let binding = json!({
        "metadata": {"name": user}, "roleRef": {"kind": "ClusterRole", "name": user},
        "subjects": [{"kind": "User", "name": user}],
    });
    cluster.run(post(format!("{RBAC}/clusterrolebindings"), binding)).object();
}

#[test]
fn the_server_says_who_asks_and_nobody_else() {
    let mut cluster = Cluster::new();
    grant(&mut cluster, "ann", "approve", &[]);
    let mut lie = csr("a", CLIENT);
    lie["spec"]["username"] = "root".into();
    lie["spec"]["groups"] = json!(["system:masters"]);
    lie["spec"]["uid"] = "1".into();
    lie["spec"]["extra"] = json!({"k": ["v"]});
    lie["status"] =
        json!({"certificate": pem("CERTIFICATE"), "conditions": [{"type": "Approved", "status": "True"}]});
    let stored = cluster.run(post(REQUESTS, lie).by("ann")).object();
    assert_eq!(stored["spec"]["username"], "ann");
    assert_eq!(stored["spec"]["groups"], json!(["system:authenticated"]));
    assert_eq!((stored["spec"].get("uid"), stored["spec"].get("extra")), (None, None));
    assert_eq!(stored.get("status"), None);
    // What was sent may be sent again, and is no change; nor does anybody else's update make it theirs.
    let path = format!("{REQUESTS}/a");
    let again = cluster.run(put(&path, csr("a", CLIENT)));
    assert_eq!(again.object()["spec"]["username"], "ann");
    let applied = cluster.run(apply(&path, csr("a", CLIENT)));
    assert_eq!(applied.object()["spec"]["username"], "ann");
    let changed = cluster.run(merge(&path, json!({"spec": {"signerName": "example.com/other"}})));
    insta::assert_snapshot!(changed.refusal(), @r#"422 Invalid: CertificateSigningRequest.certificates.k8s.io "a" is invalid: spec: Forbidden: a request never changes: make another one"#);
}

#[test]
fn what_is_no_request_is_told_by_its_field() {
    let mut cluster = Cluster::new();
    let mut wrong = csr("a", "nobody");
    wrong["spec"]["request"] = pem("CERTIFICATE").into();
    wrong["spec"]["usages"] = json!(["client auth", "client auth", "world domination"]);
    wrong["spec"]["expirationSeconds"] = 599.into();
    insta::assert_debug_snapshot!(cluster.run(post(REQUESTS, wrong)).causes(), @r#"
    [
        "spec.request: Invalid value: \"<request data>\": must be one PEM block of type CERTIFICATE REQUEST, in base64",
        "spec.usages[1]: Duplicate value: \"client auth\"",
        "spec.signerName: Invalid value: \"nobody\": must be a fully qualified domain and path of the form 'example.com/signer-name'",
        "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)",
        "spec.usages[2]: Unsupported value: \"world domination\": supported values: \"any\", \"cert sign\", \"client auth\", \"code signing\", \"content commitment\", \"crl sign\", \"data encipherment\", \"decipher only\", \"digital signature\", \"email protection\", \"encipher only\", \"ipsec end system\", \"ipsec tunnel\", \"ipsec user\", \"key agreement\", \"key encipherment\", \"microsoft sgc\", \"netscape sgc\", \"ocsp signing\", \"s/mime\", \"server auth\", \"signing\", \"timestamping\"",
    ]
    "#);
    let mut bare = csr("a", CLIENT);
    bare["spec"]["usages"] = json!([]);
    insta::assert_snapshot!(cluster.run(post(REQUESTS, bare)).refusal(), @r#"422 Invalid: CertificateSigningRequest.certificates.k8s.io "a" is invalid: spec.usages: Required value"#);
    for request in ["", "AAAA", &pem("CERTIFICATE REQUEST")[4..]] {
        let mut broken = csr("a", CLIENT);
        broken["spec"]["request"] = request.into();
        assert_eq!(cluster.run(post(REQUESTS, broken)).code, 422, "{request}");
    }
    for signer in [
        "a/b",
        "example.com",
        "example.com/",
        "example.com/a/b",
        "Example.com/a",
        "kubernetes.io/legacy-unknown",
    ] {
        assert_eq!(cluster.run(post(REQUESTS, csr("a", signer))).code, 422, "{signer}");
    }
}

#[test]
fn who_may_approve_does_so_once_and_for_good() {
    let mut cluster = Cluster::new();
    grant(&mut cluster, "ann", "approve", &[CLIENT]);
    grant(&mut cluster, "eve", "approve", &["example.com/*"]);
    let made = cluster.run(post(REQUESTS, csr("a", CLIENT))).object();
    let approval = format!("{REQUESTS}/a/approval");
    let refused = cluster.run(put(&approval, verdict(&made, "Approved")).by("eve"));
    insta::assert_snapshot!(refused.refusal(), @r#"403 Forbidden: certificatesigningrequests.certificates.k8s.io "a" is forbidden: user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client""#);
    // Nor by another way in, whoever they are.
    for path in [format!("{REQUESTS}/a"), format!("{REQUESTS}/a/status")] {
        let answer = cluster.run(put(&path, verdict(&made, "Approved")));
        assert!(answer.code == 422 || answer.object().get("status").is_none(), "{path}");
    }
    let mut loaded = verdict(&made, "Approved");
    loaded["status"]["certificate"] = pem("CERTIFICATE").into();
    loaded["metadata"]["labels"] = json!({"a": "b"});
    loaded["spec"]["signerName"] = "example.com/other".into();
    let approved = cluster.run(put(&approval, loaded).by("ann")).object();
    assert_eq!(approved["status"]["conditions"][0]["type"], "Approved");
    assert!(approved["status"]["conditions"][0]["lastTransitionTime"].is_string());
    assert!(approved["status"]["conditions"][0]["lastUpdateTime"].is_string());
    assert_eq!(approved["status"].get("certificate"), None, "approval approves and nothing else");
    assert_eq!(approved["spec"], made["spec"]);
    assert_eq!(approved["metadata"].get("labels"), None);
    let denied = cluster.run(put(&approval, verdict(&approved, "Denied")).by("ann"));
    insta::assert_debug_snapshot!(denied.causes(), @r#"
    [
        "status.conditions[1].type: Invalid value: \"Denied\": Approved and Denied conditions are mutually exclusive",
    ]
    "#);
    let mut taken_back = approved.clone();
    taken_back["status"]["conditions"] = json!([]);
    let refused = cluster.run(put(&approval, taken_back).by("ann"));
    insta::assert_debug_snapshot!(refused.causes(), @r#"
    [
        "status.conditions: Forbidden: updates may not remove a condition of type \"Approved\"",
    ]
    "#);
    let merged = json!({"status": {"conditions": [{"type": "Approved", "status": "False"}]}});
    assert_eq!(cluster.run(merge(&approval, merged).by("ann")).code, 422);
    // By its domain.
    let other = cluster.run(post(REQUESTS, csr("b", "example.com/mine"))).object();
    cluster.run(put(format!("{REQUESTS}/b/approval"), verdict(&other, "Denied")).by("eve")).object();
}

#[test]
fn who_may_sign_puts_a_certificate_in_once() {
    let mut cluster = Cluster::new();
    grant(&mut cluster, "ann", "approve", &[CLIENT]);
    let made = cluster.run(post(REQUESTS, csr("a", CLIENT))).object();
    let status = format!("{REQUESTS}/a/status");
    let mut signed = made.clone();
    signed["status"] = json!({"certificate": pem("CERTIFICATE")});
    let refused = cluster.run(put(&status, signed.clone()).by("ann"));
    insta::assert_snapshot!(refused.refusal(), @r#"403 Forbidden: certificatesigningrequests.certificates.k8s.io "a" is forbidden: user not permitted to sign requests with signerName "kubernetes.io/kube-apiserver-client""#);
    let failed = json!({"status": {"conditions": [{"type": "Failed", "status": "True"}]}});
    assert_eq!(cluster.run(merge(&status, failed).by("ann")).code, 403, "nor does it fail by anybody's word");
    let issued = cluster.run(put(&status, signed.clone()).by(SIGNER)).object();
    assert_eq!(issued["status"]["certificate"], pem("CERTIFICATE"));
    for other in [
        json!(STANDARD.encode("-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n")),
        Value::Null,
    ] {
        let refused = cluster.run(merge(&status, json!({"status": {"certificate": other}})).by(SIGNER));
        insta::allow_duplicates! {
            insta::assert_debug_snapshot!(refused.causes(), @r#"
            [
                "status.certificate: Forbidden: updates may not modify existing certificate content",
            ]
            "#);
        }
    }
    let text = json!({"status": {"certificate": STANDARD.encode("hello")}});
    assert_eq!(cluster.run(merge(&status, text).by(SIGNER)).code, 422);
    // The signer of the server signs for its two signers alone.
    cluster.run(post(REQUESTS, csr("b", "example.com/mine"))).object();
    let patch = json!({"status": {"certificate": pem("CERTIFICATE")}});
    assert_eq!(cluster.run(merge(format!("{REQUESTS}/b/status"), patch).by(SIGNER)).code, 403);
}

#[test]
fn a_bootstrap_token_asks_for_a_node_and_does_nothing_else() {
    let mut cluster = Cluster::new();
    let join = |ask: Ask| {
        ask.by_member("system:bootstrap:abcdef", &["system:bootstrappers", "system:authenticated"])
    };
    let made = cluster.run(join(post(REQUESTS, csr("a", KUBELET)))).object();
    assert_eq!(made["spec"]["username"], "system:bootstrap:abcdef");
    insta::assert_snapshot!(cluster.run(join(post(REQUESTS, csr("b", CLIENT)))).refusal(), @r#"403 Forbidden: certificatesigningrequests.certificates.k8s.io "b" is forbidden: a bootstrap token asks for certificates of nodes alone: spec.signerName kubernetes.io/kube-apiserver-client-kubelet"#);
    let node = json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Node", "metadata": {"name": "n1"},
        "spec": {"publicKey": key(30).public().to_string()},
    });
    let refused = [
        put(format!("{REQUESTS}/a/approval"), verdict(&made, "Approved")),
        put(format!("{REQUESTS}/a/status"), made.clone()),
        delete(format!("{REQUESTS}/a")),
        merge(format!("{REQUESTS}/a"), json!({"metadata": {"labels": {"a": "b"}}})),
        post("/apis/hypermesh.online/v1/nodes", node),
        post(CONFIG_MAPS, config_map("a", json!({}))),
        delete("/api/v1/namespaces/kube-system/secrets/bootstrap-token-abcdef"),
    ];
    for ask in refused {
        assert_eq!(cluster.run(join(ask.clone())).code, 403);
    }
}
