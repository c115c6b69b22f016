//! Certificates as people ask for them and decide on them with kubectl.

use super::Bench;
use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hypermesh_e2e::controllers::until;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

fn manifest(name: &str, groups: &str) -> Result<String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, groups);
    let pem = params.serialize_request(&KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?)?.pem()?;
    Ok(format!(
        "apiVersion: certificates.k8s.io/v1\nkind: CertificateSigningRequest\nmetadata: {{name: {name}}}\nspec:\n  request: \
         {}\n  signerName: kubernetes.io/kube-apiserver-client\n  expirationSeconds: 7200\n  usages: [client auth]\n",
        STANDARD.encode(pem)
    ))
}

#[test]
fn requests_are_approved_denied_and_shown() -> Result<()> {
    let Some(bench) = Bench::start("certificates")? else { return Ok(()) };
    for (name, groups) in [("ann", "developers"), ("bob", "developers"), ("eve", "system:masters")] {
        bench.feed("create -f -", &manifest(name, groups)?)?.ok()?;
    }
    let table = bench.ok("get csr ann")?.out;
    ensure!(table.starts_with("NAME   AGE   SIGNERNAME "), "{table}");
    ensure!(
        table.contains("kubernetes.io/kube-apiserver-client   admin       120m                Pending"),
        "{table}"
    );
    bench
        .ok("certificate approve ann eve")?
        .says("certificatesigningrequest.certificates.k8s.io/ann approved")?;
    bench.ok("certificate deny bob")?;
    let shows = |name: &str, wanted: &str| {
        until(wanted, || {
            let line = bench.ok(&format!("get csr {name} --no-headers"))?.out;
            Ok(line.trim_end().ends_with(wanted).then_some(()))
        })
    };
    shows("ann", "Approved,Issued")?;
    shows("bob", "Denied")?;
    shows("eve", "Approved,Failed")?;
    bench.ok("describe csr ann")?.says("Requested Duration:  120m")?.says("Common Name:    ann")?;
    bench.run("certificate deny ann")?.fails(1)?;
    let failed = r#"get csr eve -o jsonpath={.status.conditions[?(@.type=="Failed")].message}"#;
    bench.ok(failed)?.says("no certificate of a client is in one that begins with \"system:\"")?;
    bench
        .run("patch csr ann --type=merge -p {\"spec\":{\"username\":\"root\",\"usages\":[\"any\"]}}")?
        .fails(1)?;
    bench.ok("auth can-i approve signers.certificates.k8s.io/kubernetes.io")?;
    Ok(())
}
