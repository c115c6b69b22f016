//! Changing, waiting, deleting.

use crate::{Bench, QUICKSTART, Steps};
use anyhow::{Result, ensure};
use hypermesh_e2e::Kubectl;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn changes_and_deletes() -> Result<()> {
    let Some(bench) = Bench::start("changes_and_deletes")? else { return Ok(()) };
    let mut steps = Steps::default();
    bench.feed("apply --server-side -f -", QUICKSTART)?.ok()?;
    bench.ok("create configmap c1 --from-literal=a=1")?;
    steps.step("label and annotate", || {
        bench.ok("label workload web tier=front")?.says("labeled")?;
        ensure!(bench.ok("get workloads -l tier=front -o name")?.out == "workload.hypermesh.online/web\n");
        bench.run("label workload web tier=back")?.fails(1)?.says("--overwrite is false")?;
        bench.ok("label --overwrite workload web tier=back")?;
        bench.ok("label workload web tier-")?.says("unlabeled")?;
        bench.ok("annotate configmap c1 note=hello")?.says("annotated")?;
        ensure!(bench.ok("get configmap c1 -o jsonpath={.metadata.annotations.note}")?.out == "hello");
        Ok(())
    });
    steps.step("patch", || {
        bench.ok(r#"patch workload web --type=merge -p {"spec":{"replicas":3}}"#)?.says("patched")?;
        bench.ok(
            r#"patch workload web --type=json -p [{"op":"replace","path":"/spec/replicas","value":4}]"#,
        )?;
        ensure!(bench.ok("get workload web -o jsonpath={.spec.replicas}")?.out == "4");
        bench.ok(r#"patch configmap c1 --type=strategic -p {"data":{"b":"2"}}"#)?.says("patched")?;
        bench.ok(r#"patch configmap c1 -p {"data":{"a":null}}"#)?;
        ensure!(bench.ok("get configmap c1 -o jsonpath={.data}")?.out == r#"{"b":"2"}"#);
        bench.run(r#"patch workload web --type=strategic -p {"spec":{"replicas":5}}"#)?.fails(1)?;
        let refused =
            bench.run(r#"patch workload web --type=merge -p {"spec":{"replicas":-1}}"#)?.fails(1)?;
        refused.says("spec.replicas")?;
        Ok(())
    });
    steps.step("edit", || {
        let editor = bench.file("editor", "#!/bin/sh\nexec sed -i 's/b: \"2\"/b: \"edited\"/' \"$1\"\n")?;
        std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755))?;
        let arguments = ["edit", "configmap", "c1"];
        let child = bench.kubectl.command(&arguments).env("KUBE_EDITOR", &editor).spawn()?;
        Kubectl::finish(child, &arguments)?.ok()?.says("configmap/c1 edited")?;
        ensure!(bench.ok("get configmap c1 -o jsonpath={.data.b}")?.out == "edited");
        let editor = bench.file("editor2", "#!/bin/sh\nexec sed -i 's/replicas: 4/replicas: 6/' \"$1\"\n")?;
        std::fs::set_permissions(&editor, std::fs::Permissions::from_mode(0o755))?;
        let arguments = ["edit", "workload", "web"];
        let child = bench.kubectl.command(&arguments).env("KUBE_EDITOR", &editor).spawn()?;
        Kubectl::finish(child, &arguments)?.ok()?.says("edited")?;
        ensure!(bench.ok("get workload web -o jsonpath={.spec.replicas}")?.out == "6");
        Ok(())
    });
    steps.step("scale", || {
        bench.ok("scale workload web --replicas=5")?.says("scaled")?;
        ensure!(bench.ok("get workload web -o jsonpath={.spec.replicas}")?.out == "5");
        bench.run("scale workload web --replicas=7 --current-replicas=1")?.fails(1)?;
        ensure!(bench.ok("get workload web --subresource=scale -o jsonpath={.spec.replicas}")?.out == "5");
        Ok(())
    });
    steps.step("status", || {
        let patch = r#"patch workload web --subresource=status --type=merge -p {"status":{"replicas":2}}"#;
        bench.ok(patch)?;
        bench
            .ok("wait workload/web --for=jsonpath={.status.replicas}=2 --timeout=20s")?
            .says("condition met")?;
        Ok(())
    });
    steps.step("wait", || {
        bench
            .ok("wait workload/web --for=jsonpath={.spec.replicas}=5 --timeout=20s")?
            .says("condition met")?;
        bench
            .run("wait workload/web --for=jsonpath={.spec.replicas}=9 --timeout=1s")?
            .fails(1)?
            .says("timed out")?;
        let arguments = ["wait", "configmap/c1", "--for=delete", "--timeout=20s"];
        let child = bench.kubectl.command(&arguments).spawn()?;
        bench.ok("delete configmap c1 --wait=false")?;
        Kubectl::finish(child, &arguments)?.ok()?;
        Ok(())
    });
    steps.step("refused while sending", || {
        let large = |bytes: usize| {
            let data = "x".repeat(bytes);
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: large\ndata:\n  k: {data}\n")
        };
        let too_large = bench.feed("create -f - --validate=false", &large(4_000_000))?;
        too_large.fails(1)?.says("Request entity too large: limit is 3145728")?;
        let nobody = bench.feed("create -f - --validate=false --as=nobody", &large(2_000_000))?;
        nobody.fails(1)?.says("(Forbidden)")?;
        Ok(())
    });
    steps.step("a dry run, and what does not fit", || {
        bench.ok("create configmap p1 --from-literal=k=1")?;
        let rehearsed = bench.ok("create configmap p2 --dry-run=server -o yaml")?;
        ensure!(!rehearsed.out.contains("resourceVersion"), "{rehearsed:?}");
        let same = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"p1"},"data":{"k":"2"}}"#;
        let diff = bench.feed("diff --server-side -f - --force-conflicts", same)?.fails(1)?;
        ensure!(!diff.out.contains("resourceVersion") && diff.out.contains("+  k: \"2\""), "{diff:?}");
        let patch = r#"[{"op":"test","path":"/data/k","value":"9"}]"#;
        let failed =
            bench.kubectl.run(&["patch", "configmap", "p1", "--type=json", "-p", patch])?.fails(1)?;
        failed.says("operation 0: test \"/data/k\" failed: it is another string")?;
        Ok(())
    });
    steps.step("a namespace that is let go", || {
        bench.ok("create namespace stuck")?;
        let held = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"h","finalizers":["example.com/hold"]}}"#;
        bench.feed("create -n stuck -f -", held)?.ok()?;
        bench.ok("delete namespace stuck --wait=false")?;
        // As the guides of Kubernetes have it for a namespace that does not end: here nobody inherits what is left in it.
        let empty = r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"stuck"},"spec":{"finalizers":[]}}"#;
        let refused = bench.feed("replace --raw /api/v1/namespaces/stuck/finalize -f -", empty)?.fails(1)?;
        refused.says("\"kubernetes\" goes when the namespace is empty")?;
        bench.ok("patch configmap h -n stuck --type=merge -p {\"metadata\":{\"finalizers\":null}}")?;
        bench.ok("delete namespace stuck --ignore-not-found --timeout=30s")?;
        bench.run("get namespace stuck")?.fails(1)?.says("NotFound")?;
        Ok(())
    });
    steps.step("delete", || {
        bench.feed("delete -f -", QUICKSTART)?.ok()?.says("workload.hypermesh.online \"web\" deleted")?;
        bench.run("get workload web")?.fails(1)?;
        bench.run("delete workload web")?.fails(1)?.says("NotFound")?;
        bench.ok("delete workload web --ignore-not-found")?;
        bench.ok("create configmap d1")?;
        bench.ok("create configmap d2")?;
        bench.ok("delete configmaps --all")?.says("\"d2\" deleted")?;
        bench.ok("get configmaps")?.says("No resources found")?;
        Ok(())
    });
    steps.step("a namespace is emptied", || {
        bench.ok("create namespace gone")?;
        bench.ok("create configmap d1 -n gone")?;
        bench.ok("create secret generic s1 -n gone")?;
        bench.ok("delete namespace gone --timeout=30s")?.says("deleted")?;
        bench.run("get namespace gone")?.fails(1)?;
        bench.ok("get configmaps,secrets -n gone")?.says("No resources found")?;
        Ok(())
    });
    steps.end()
}
