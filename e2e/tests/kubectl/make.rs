//! Making and applying.

use crate::{Bench, QUICKSTART, Steps};
use anyhow::{Result, ensure};

const NETWORK: &str = "
apiVersion: hypermesh.online/v1
kind: Network
metadata: {name: n1}
spec: {interface: Private, members: {selector: {matchLabels: {a: b}}}}
";

#[test]
fn makes_and_applies() -> Result<()> {
    let Some(bench) = Bench::start("makes_and_applies")? else { return Ok(()) };
    let mut steps = Steps::default();
    steps.step("create -f", || {
        bench.feed("create -f -", NETWORK)?.ok()?.says("network.hypermesh.online/n1 created")?;
        bench.feed("create -f -", NETWORK)?.fails(1)?.says("already exists")?;
        let unknown = NETWORK.replace("interface", "interfase").replace("n1", "n2");
        let refused = bench.feed("create -f -", &unknown)?.fails(1)?;
        refused.says("unknown field \"spec.interfase\"")?;
        bench.run("get network n2")?.fails(1)?;
        Ok(())
    });
    steps.step("create by verb", || {
        bench.ok("create namespace team")?.says("namespace/team created")?;
        bench.ok("create configmap c1 -n team --from-literal=a=1")?;
        bench.ok("create secret generic s1 -n team --from-literal=password=secret")?;
        let secret = bench.ok("get secret s1 -n team -o json")?.json()?;
        ensure!(secret["data"]["password"] == "c2VjcmV0" && secret["type"] == "Opaque", "{secret}");
        bench.ok("create serviceaccount robot -n team")?;
        bench.ok(
            "create role reader -n team --verb=get,list --resource=configmaps,workloads.hypermesh.online",
        )?;
        bench.ok("create rolebinding readers -n team --role=reader --serviceaccount=team:robot")?;
        bench.ok("create clusterrole seer --verb=get --resource=nodes.hypermesh.online")?;
        bench.ok("create clusterrolebinding seers --clusterrole=seer --serviceaccount=team:robot")?;
        let token = bench.ok("create token robot -n team")?.out;
        ensure!(token.trim().split('.').count() == 3, "{token}");
        let can = |line: &str| bench.run(&format!("auth can-i {line} --as=system:serviceaccount:team:robot"));
        can("get configmaps -n team")?.ok()?;
        can("get workloads.hypermesh.online -n team")?.ok()?;
        can("delete configmaps -n team")?.fails(1)?;
        can("get configmaps -n default")?.fails(1)?;
        Ok(())
    });
    steps.step("create --dry-run", || {
        bench
            .ok("create configmap dry --dry-run=server --from-literal=a=1")?
            .says("created (server dry run)")?;
        bench.run("get configmap dry")?.fails(1)?;
        bench.ok("create configmap dry --dry-run=client -o yaml")?.says("kind: ConfigMap")?;
        Ok(())
    });
    steps.step("apply --server-side", || {
        bench
            .feed("apply --server-side -f -", QUICKSTART)?
            .ok()?
            .says("workload.hypermesh.online/web serverside-applied")?;
        bench.feed("apply --server-side -f -", QUICKSTART)?.ok()?;
        bench.feed("diff --server-side -f -", QUICKSTART)?.ok()?;
        let other = r#"{"apiVersion":"hypermesh.online/v1","kind":"Network","metadata":{"name":"office"},
            "spec":{"interface":"Public"}}"#;
        let conflict = bench.feed("apply --server-side --field-manager=other -f -", other)?.fails(1)?;
        conflict.says("conflict with \"kubectl\"")?.says(".spec.interface")?;
        bench.feed("apply --server-side --field-manager=other --force-conflicts -f -", other)?.ok()?;
        Ok(())
    });
    steps.step("apply, client-side", || {
        let config = |value: &str| {
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c2}}\ndata: {{a: '{value}'}}\n")
        };
        bench.feed("apply -f -", &config("1"))?.ok()?.says("configmap/c2 created")?;
        bench.feed("apply -f -", &config("1"))?.ok()?.says("configmap/c2 unchanged")?;
        let changes = bench.feed("diff -f -", &config("2"))?.fails(1)?;
        changes.says("+  a: \"2\"")?;
        bench.feed("apply -f -", &config("2"))?.ok()?.says("configmap/c2 configured")?;
        ensure!(bench.ok("get configmap c2 -o jsonpath={.data.a}")?.out == "2");
        let space = "apiVersion: v1\nkind: Namespace\nmetadata: {name: team2, labels: {a: b}}\n";
        bench.feed("apply -f -", space)?.ok()?.says("namespace/team2 created")?;
        bench.feed("apply -f -", &space.replace("a: b", "c: d"))?.ok()?.says("namespace/team2 configured")?;
        ensure!(bench.ok("get namespace team2 -o jsonpath={.metadata.labels.a}")?.out.is_empty());
        let network = NETWORK.replace("n1", "n3");
        bench.feed("apply -f -", &network)?.ok()?.says("network.hypermesh.online/n3 created")?;
        bench.feed("apply -f -", &network)?.ok()?.says("unchanged")?;
        let public = network.replace("Private", "Public");
        bench.feed("apply -f -", &public)?.ok()?.says("network.hypermesh.online/n3 configured")?;
        ensure!(bench.ok("get network n3 -o jsonpath={.spec.interface}")?.out == "Public");
        Ok(())
    });
    steps.step("replace", || {
        let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c2}\ndata: {b: '3'}\n";
        bench.feed("replace -f -", config)?.ok()?.says("configmap/c2 replaced")?;
        ensure!(bench.ok("get configmap c2 -o jsonpath={.data}")?.out == r#"{"b":"3"}"#);
        Ok(())
    });
    steps.end()
}
