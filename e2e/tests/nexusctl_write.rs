//! The writing verbs of nexusctl against a whole server: apply sets, waiting, going back, editing, and what becomes of a
//! mistake.

use anyhow::{Context as _, Result, ensure};
use hypermesh_e2e::Cluster;
use nexusctl::{Environment, Streams};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().map_err(|_| io::Error::other("poisoned"))?.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        self.0.lock().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

/// Who reads so many lines, and then goes away.
#[derive(Clone)]
struct Reader {
    read: Shared,
    lines: usize,
}

impl Write for Reader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.read.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.read.text().lines().count() < self.lines {
            return Ok(());
        }
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

impl Reader {
    /// Waits until all of this has been read.
    fn wait_for(&self, text: &str) -> Result<()> {
        let begun = Instant::now();
        while !self.read.text().contains(text) {
            ensure!(begun.elapsed() < Duration::from_secs(60), "no {text:?} came: {}", self.read.text());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

struct Ran {
    code: u8,
    out: String,
    err: String,
}

struct Bench {
    cluster: Cluster,
    folder: tempfile::TempDir,
}

impl Bench {
    fn start() -> Result<Self> {
        Ok(Self { cluster: Cluster::start(Vec::new())?, folder: tempfile::tempdir()? })
    }

    /// Runs nexusctl as the administrator.
    fn run(&self, words: &str, input: &str) -> Result<Ran> {
        self.run_in(self.environment()?, words, input)
    }

    fn environment(&self) -> Result<Environment> {
        let editor = self.folder.path().join("editor");
        Ok(Environment {
            kubeconfig: Some(self.cluster.kubeconfig()?.into()),
            editor: Some(format!("sh {}", editor.display()).into()),
            tmpdir: Some(self.folder.path().to_owned()),
            ..Environment::default()
        })
    }

    /// Runs nexusctl in an environment.
    fn run_in(&self, environment: Environment, words: &str, input: &str) -> Result<Ran> {
        let (out, err) = (Shared::default(), Shared::default());
        let streams = Streams {
            input: Box::new(io::Cursor::new(input.to_owned().into_bytes())),
            out: Box::new(out.clone()),
            err: Box::new(err.clone()),
            ..Streams::of_process()
        };
        let arguments =
            ["nexusctl", "--color=never"].into_iter().chain(words.split_whitespace()).map(Into::into);
        let code = nexusctl::run(arguments, environment, streams);
        Ok(Ran { code, out: out.text(), err: err.text() })
    }

    /// Runs nexusctl, which has to succeed.
    fn ok(&self, words: &str, input: &str) -> Result<String> {
        let ran = self.run(words, input)?;
        ensure!(ran.code == 0, "nexusctl {words}: {}\n{}{}", ran.code, ran.out, ran.err);
        Ok(ran.out)
    }

    fn get(&self, path: &str) -> Result<Option<Value>> {
        let reply = self.cluster.admin()?.get(path)?;
        if reply.code == 404 { Ok(None) } else { reply.expect(200).map(Some) }
    }
}

fn map(name: &str, value: &str) -> String {
    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: '{value}'}}\n")
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const WORKLOADS: &str = "/apis/hypermesh.online/v1/namespaces/default/workloads";
const WEB: &str = "apiVersion: hypermesh.online/v1\nkind: Workload\nmetadata: {name: web}\nspec:\n  replicas: 2\n  template: {spec: {containers: [{name: web, image: 'a:1'}]}}\n";

#[test]
fn a_set_prunes_what_it_applied_alone_and_nothing_else() -> Result<()> {
    let bench = Bench::start()?;
    let all = map("one", "1") + &map("two", "2") + &map("shared", "3") + &map("taken", "4");
    bench.ok("apply --prune --applyset=maps -f -", &all)?;
    let parent = bench.get("/api/v1/namespaces/default/secrets/maps")?.context("no parent")?;
    let id = parent["metadata"]["labels"]["applyset.kubernetes.io/id"].as_str().context("no id")?.to_owned();
    let kinds = &parent["metadata"]["annotations"]["applyset.kubernetes.io/contains-group-kinds"];
    ensure!(kinds == "ConfigMap", "{parent}");
    // Another manager applies one of them too; somebody's object carries the label; a controller owns another.
    bench.ok("apply --field-manager=flux -f -", &map("shared", "3"))?;
    bench.ok("create configmap stranger --from-literal=a=1", "")?;
    bench.ok(&format!("label configmap stranger applyset.kubernetes.io/part-of={id}"), "")?;
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "one", "controller": true,
        "uid": bench.get(&format!("{MAPS}/one"))?.context("one")?["metadata"]["uid"]}]);
    let owned = json!({"metadata": {"ownerReferences": owner}});
    bench.cluster.admin()?.merge(&format!("{MAPS}/taken"), &owned)?.expect(200)?;

    let dry = bench.ok("apply --prune --applyset=maps --dry-run=server -f -", &map("one", "1"))?;
    ensure!(dry.contains("configmap/two pruned (server dry run)"), "{dry}");
    ensure!(bench.get(&format!("{MAPS}/two"))?.is_some(), "a dry run pruned");

    let ran = bench.run("apply --prune --applyset=maps --wait -f -", &map("one", "1"))?;
    ensure!(ran.code == 0, "{}{}", ran.out, ran.err);
    ensure!(
        ran.out == "configmap/one unchanged\nconfigmap/shared released to flux\nconfigmap/two pruned\n",
        "{}",
        ran.out
    );
    ensure!(ran.err.contains("configmap/stranger is not pruned: its label"), "{}", ran.err);
    ensure!(
        ran.err.contains("configmap/taken is not pruned: it belongs to ConfigMap \"one\""),
        "{}",
        ran.err
    );
    ensure!(bench.get(&format!("{MAPS}/two"))?.is_none(), "two is still there");
    let shared = bench.get(&format!("{MAPS}/shared"))?.context("what flux applies is gone")?;
    ensure!(shared["data"]["a"] == "3" && shared["metadata"].get("labels").is_none(), "{shared}");
    ensure!(bench.get(&format!("{MAPS}/stranger"))?.is_some(), "a stranger was pruned");
    // No set takes another's member, and no other object becomes a parent.
    let stolen = bench.run("apply --prune --applyset=thief -f -", &map("one", "1"))?;
    ensure!(stolen.code == 1 && stolen.err.contains("belongs to another apply set"), "{}", stolen.err);
    let hijacked = bench.run("apply --prune --applyset=configmap/one -f -", &map("x", "1"))?;
    ensure!(hijacked.code == 1 && hijacked.err.contains("is no apply set"), "{}", hijacked.err);
    Ok(())
}

#[test]
fn a_set_is_emptied_where_that_is_said() -> Result<()> {
    let bench = Bench::start()?;
    bench.ok("apply --prune --applyset=maps -f -", &format!("{}{}", map("one", "1"), map("two", "2")))?;
    // A set that is not there is a mistyped one.
    let mistyped = bench.run("apply --empty --prune --applyset=mpas", "")?;
    ensure!(mistyped.code == 1 && mistyped.err.contains("there is no secret/mpas"), "{}", mistyped.err);
    let unnamed = bench.run("apply --empty --prune", "")?;
    ensure!(unnamed.code == 1 && unnamed.err.contains("--applyset"), "{}", unnamed.err);
    let dry = bench.ok("apply --empty --prune --applyset=maps --dry-run", "")?;
    ensure!(dry == "configmap/one pruned (server dry run)\nconfigmap/two pruned (server dry run)\n", "{dry}");
    ensure!(bench.get(&format!("{MAPS}/one"))?.is_some(), "a dry run pruned");
    let ran = bench.run("apply --empty --prune --applyset=maps --wait", "")?;
    ensure!(
        ran.code == 0 && ran.out == "configmap/one pruned\nconfigmap/two pruned\n",
        "{}{}",
        ran.out,
        ran.err
    );
    ensure!(bench.get(&format!("{MAPS}/one"))?.is_none() && bench.get(&format!("{MAPS}/two"))?.is_none());
    let again = bench.run("apply --empty --prune --applyset=maps", "")?;
    ensure!(
        again.code == 0 && again.err.contains("nothing was pruned: secret/maps is empty already"),
        "{}",
        again.err
    );
    // What is only of the cluster is no reason to forget what lives in the set's own namespace.
    bench.ok("apply --prune --applyset=maps -f -", &map("one", "1"))?;
    let asset = "apiVersion: v1\nkind: Namespace\nmetadata: {name: beside}\n";
    let ran = bench.run("apply --prune --applyset=maps -f -", asset)?;
    ensure!(ran.out == "namespace/beside created\nconfigmap/one pruned\n", "{}{}", ran.out, ran.err);
    Ok(())
}

#[test]
fn a_namespace_with_strangers_in_it_is_not_pruned() -> Result<()> {
    let bench = Bench::start()?;
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n";
    let inside = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: in, namespace: team}\n";
    // The namespace stands last, and is made first.
    bench
        .ok("apply --prune --applyset=team -f -", &format!("{}{inside}---\n{namespace}", map("keep", "1")))?;
    bench.ok("create configmap mine --from-literal=a=1 -n team", "")?;
    let ran = bench.run("apply --prune --applyset=team -f -", &map("keep", "1"))?;
    ensure!(ran.out.contains("configmap/in pruned"), "{}{}", ran.out, ran.err);
    ensure!(ran.err.contains("namespace/team is not pruned: configmap/mine lives in it"), "{}", ran.err);
    bench.ok("delete configmap mine -n team", "")?;
    let ran = bench.run("apply --prune --applyset=team --wait -f -", &map("keep", "1"))?;
    ensure!(ran.code == 0 && ran.out.contains("namespace/team pruned"), "{}{}", ran.out, ran.err);
    ensure!(bench.get("/api/v1/namespaces/team")?.is_none(), "the namespace is still there");
    Ok(())
}

#[test]
fn ten_thousand_lines_with_one_mistake_apply_nothing() -> Result<()> {
    let bench = Bench::start()?;
    let mut manifest = String::new();
    for index in 0..1_400 {
        write!(
            manifest,
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m{index}\ndata:\n  a: x\n"
        )?;
    }
    let wrong = manifest.replacen("name: m777\ndata:", "name: m777\ndatum:", 1);
    let before = bench.cluster.revision()?;
    let ran = bench.run("apply -f -", &wrong)?;
    ensure!(ran.code == 1 && ran.out.is_empty(), "{}", ran.out);
    ensure!(ran.err.contains("unknown field `datum`") && ran.err.contains("<stdin>:5445:1"), "{}", ran.err);
    ensure!(bench.cluster.revision()? == before, "something was stored");
    // A thousand without one.
    let thousand: String = manifest.split_inclusive("  a: x\n").take(1_000).collect();
    let begun = Instant::now();
    let out = bench.ok("apply -f -", &thousand)?;
    eprintln!("applied 1,000 manifests in {:?}", begun.elapsed());
    ensure!(out.lines().count() == 1_000 && out.lines().all(|line| line.ends_with(" created")), "{out}");
    Ok(())
}

#[test]
fn waiting_ends_when_the_object_is_ready_and_says_what_for_when_it_is_not() -> Result<()> {
    let bench = Bench::start()?;
    let hasty = bench.run("apply --wait --timeout=200ms -f -", &format!("{WEB}{}", map("m", "1")))?;
    ensure!(hasty.code == 1, "{}", hasty.out);
    ensure!(
        hasty.err.contains("still waited for:") && hasty.err.contains("Ready=Unknown (NoController)"),
        "{}",
        hasty.err
    );
    ensure!(!hasty.err.contains("configmap/m"), "{}", hasty.err);
    let ran = std::thread::scope(|scope| -> Result<Ran> {
        let waiting = scope.spawn(|| {
            bench.run("apply --wait --timeout=60s -f -", &WEB.replace("replicas: 2", "replicas: 3"))
        });
        let admin = bench.cluster.admin()?;
        // The condition has to be of the new generation.
        let begun = Instant::now();
        loop {
            let object = admin.get(&format!("{WORKLOADS}/web"))?.json()?;
            if object["metadata"]["generation"] == 2 {
                break;
            }
            ensure!(begun.elapsed() < Duration::from_secs(60), "it was not applied: {object}");
            std::thread::yield_now();
        }
        let ready = json!({"status": {"observedGeneration": 2, "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 2,
            "reason": "Ready", "message": "", "lastTransitionTime": "2026-11-21T00:00:00Z"}]}});
        admin.merge(&format!("{WORKLOADS}/web/status"), &ready)?.expect(200)?;
        waiting.join().map_err(|_| anyhow::anyhow!("the wait panicked"))?
    })?;
    ensure!(ran.code == 0, "{}{}", ran.out, ran.err);
    Ok(())
}

#[test]
fn objects_go_back_to_what_they_were() -> Result<()> {
    let bench = Bench::start()?;
    bench.ok("apply -f -", WEB)?;
    let first = bench.get(&format!("{WORKLOADS}/web"))?.context("web")?;
    let revision = first["metadata"]["resourceVersion"].as_str().context("revision")?.to_owned();
    bench.ok("scale workload web --replicas=5", "")?;
    bench.ok("label workload web tier=front", "")?;
    let dry = bench.ok("rollback workload/web --dry-run=server", "")?;
    ensure!(dry.contains("-    tier: front") && dry.contains("(server dry run)"), "{dry}");
    let out = bench.ok(&format!("rollback workload/web --to-revision={revision}"), "")?;
    ensure!(out.contains("-  replicas: 5") && out.contains("+  replicas: 2"), "{out}");
    let now = bench.get(&format!("{WORKLOADS}/web"))?.context("web")?;
    ensure!(now["spec"] == first["spec"] && now["metadata"].get("labels").is_none(), "{now}");
    ensure!(now["metadata"]["uid"] == first["metadata"]["uid"], "{now}");
    bench.ok("delete workload web", "")?;
    bench.ok("rollback workload web", "")?;
    let again = bench.get(&format!("{WORKLOADS}/web"))?.context("web was not restored")?;
    ensure!(
        again["spec"] == first["spec"] && again["metadata"]["uid"] != first["metadata"]["uid"],
        "{again}"
    );
    let same = bench.run("rollback workload/web --to-revision=999999", "")?;
    ensure!(same.code == 1, "{}", same.out);
    Ok(())
}

#[test]
fn edits_patches_and_generators_reach_the_server() -> Result<()> {
    let bench = Bench::start()?;
    bench.ok("apply -f -", WEB)?;
    // The first try breaks a rule; the editor opens again with the reason, and puts it right.
    std::fs::write(
        bench.folder.path().join("editor"),
        "if grep -q 'replicas: -1' $1; then grep -q '^#! spec.replicas' $1 && sed -i 's/replicas: -1/replicas: 7/' $1; else sed -i 's/replicas: 2/replicas: -1/' $1; fi\n",
    )?;
    bench.ok("edit workload web", "")?;
    let web = bench.get(&format!("{WORKLOADS}/web"))?.context("web")?;
    ensure!(web["spec"]["replicas"] == 7, "{web}");
    bench.ok("create configmap c --from-literal=a=1", "")?;
    bench.ok("patch configmap c -p {\"data\":{\"b\":\"2\"}}", "")?;
    bench.ok("patch configmap c --type=json -p [{\"op\":\"remove\",\"path\":\"/data/a\"}]", "")?;
    let map = bench.get(&format!("{MAPS}/c"))?.context("c")?;
    ensure!(map["data"] == json!({"b": "2"}), "{map}");
    // What is refused is pointed at in the patch, and the object that it made is shown nowhere.
    let value = "\"value\":{\"x\":1}";
    for (form, patch, words) in [
        (
            "json",
            "[{\"op\":\"remove\",\"path\":\"/data/a\"}]".to_owned(),
            "remove \"/data/a\": \"/data\" has no field \"a\"\n --> --patch:1:24",
        ),
        (
            "json",
            format!("[{{\"op\":\"add\",\"path\":\"/dat\",{value}}}]"),
            "unknown field `dat`\n --> --patch:1:21",
        ),
        (
            "json",
            "[{\"op\":\"add\",\"path\":\"/metadata/labels\",\"value\":5}]".to_owned(),
            "expected map[string]string, found number\n --> --patch:1:48",
        ),
        ("json", "[{\"op\":\"frob\",\"path\":\"\"}]".to_owned(), "unknown \"op\" \"frob\"\n --> --patch:1:8"),
        ("strategic", "{\"metadata\":{\"labels\":5}}".to_owned(), "found number\n --> --patch:1:23"),
    ] {
        let refused = bench.run(&format!("patch configmap c --type={form} -p {patch}"), "")?;
        ensure!(refused.code == 1 && refused.err.contains(words), "{patch}: {}", refused.err);
        ensure!(!refused.err.contains("managedFields"), "{patch}: {}", refused.err);
    }
    bench.ok("create serviceaccount robot", "")?;
    ensure!(bench.ok("create token robot --duration=10m", "")?.split('.').count() == 3, "no token");
    bench.ok("create rolebinding b --clusterrole=view --user=jane --serviceaccount=default:robot", "")?;
    let none = bench.run("scale configmap c --replicas=1", "")?;
    ensure!(none.code == 1 && none.err.contains("configmaps cannot be scaled"), "{}", none.err);
    let stale = bench.run("label workload web a=b --resource-version=1", "")?;
    ensure!(stale.code == 1 && stale.err.contains("Conflict"), "{}", stale.err);
    Ok(())
}

#[test]
fn a_watch_shows_every_change() -> Result<()> {
    let bench = Bench::start()?;
    bench.ok("create configmap a --from-literal=k1=v", "")?;
    let reader = Reader { read: Shared::default(), lines: 5 };
    let environment = bench.environment()?;
    let watcher = std::thread::spawn({
        let reader = reader.clone();
        move || {
            let streams = Streams {
                out: Box::new(reader.clone()),
                err: Box::new(reader.read),
                ..Streams::of_process()
            };
            let words = "nexusctl --color=never get configmap a --watch --output-watch-events";
            nexusctl::run(words.split(' ').map(Into::into), environment, streams)
        }
    });
    reader.wait_for("ADDED")?;
    bench.ok("patch configmap a -p {\"data\":{\"k2\":\"v\"}}", "")?;
    bench.ok("patch configmap a -p {\"data\":{\"k3\":\"v\"}}", "")?;
    bench.ok("delete configmap a", "")?;
    reader.wait_for("DELETED")?;
    watcher.join().map_err(|_| anyhow::anyhow!("the watch panicked"))?;
    let text = reader.read.text();
    let shown: Vec<String> =
        text.lines().map(|line| line.split_whitespace().take(3).collect::<Vec<_>>().join(" ")).collect();
    ensure!(
        shown == ["EVENT NAME DATA", "ADDED a 1", "MODIFIED a 2", "MODIFIED a 3", "DELETED a 3"],
        "{text}"
    );
    Ok(())
}

#[test]
fn what_convert_makes_is_applied() -> Result<()> {
    let bench = Bench::start()?;
    let web = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/kubernetes/web.yaml");
    let refused = bench.run(&format!("apply -f {web}"), "")?;
    ensure!(refused.code == 1 && refused.err.contains("nexusctl convert -f"), "{}", refused.err);
    let made = bench.ok(&format!("convert --quiet -f {web}"), "")?;
    ensure!(bench.ok("validate -f -", &made)? == "3 valid\n", "{made}");
    bench.ok("apply -f -", &made)?;
    let same = bench.ok("diff -f -", &made)?;
    ensure!(same.is_empty(), "{same}");
    let other = bench.run("diff --fields -f -", &made.replace("replicas: 3", "replicas: 4"))?;
    ensure!(other.code == 1 && other.out.contains("~ spec.replicas: 3 → 4"), "{}{}", other.out, other.err);
    Ok(())
}

#[test]
fn a_server_is_held_to_the_cluster_that_it_was_of() -> Result<()> {
    let bench = Bench::start()?;
    let home = bench.folder.path().join("home");
    // What `nexusctl up` wrote, without the pin.
    let text = std::fs::read_to_string(bench.cluster.kubeconfig()?)?;
    let mut config: Value = serde_saphyr::from_str(&text)?;
    let cluster = config.pointer_mut("/clusters/0/cluster").and_then(Value::as_object_mut);
    let pin = cluster.and_then(|cluster| cluster.remove("extensions"));
    ensure!(pin.is_some(), "{config}");
    let unpinned = bench.folder.path().join("unpinned");
    std::fs::write(&unpinned, config.to_string())?;
    let run = |words: &str| {
        let environment = Environment {
            kubeconfig: Some(unpinned.clone().into()),
            home: Some(home.clone()),
            ..Environment::default()
        };
        bench.run_in(environment, words, "")
    };
    let known = home.join(".local/state/hypermesh/known-clusters");
    ensure!(run("get namespaces")?.err.is_empty() && !known.exists(), "a read asks for nothing");
    let first = run("create configmap a")?;
    ensure!(first.code == 0 && first.err.contains("does not say which cluster"), "{}", first.err);
    let text = std::fs::read_to_string(&known)?;
    let line = text.lines().last().context("the file is empty")?;
    ensure!(first.err.contains(line.split(' ').next_back().unwrap_or_default()), "{text}");
    let again = run("create configmap b")?;
    ensure!(again.code == 0 && again.err.is_empty(), "{}", again.err);

    let other = "1".repeat(64);
    let (server, id) = line.split_once(' ').context("a line has two words")?;
    std::fs::write(&known, format!("{server} {other}\n"))?;
    let changed = run("create configmap c")?;
    ensure!(changed.code == 1, "{}", changed.out);
    for word in [id, &other, "config forget-cluster", "nothing was done", &known.display().to_string()] {
        ensure!(changed.err.contains(word), "{word}: {}", changed.err);
    }
    ensure!(bench.get("/api/v1/namespaces/default/configmaps/c")?.is_none(), "it was made nonetheless");
    ensure!(run("get configmap a")?.code == 0, "reads are the authority's matter");

    ensure!(run(&format!("config forget-cluster {server}"))?.code == 0);
    ensure!(run("create configmap c")?.code == 0);
    let listed = run("config known-clusters")?.out;
    ensure!(listed.contains(server) && listed.contains(id), "{listed}");

    // A file with a broken line is believed in nothing.
    std::fs::write(&known, "what is this\n")?;
    let broken = run("create configmap d")?;
    ensure!(broken.code == 1 && broken.err.contains("known-clusters:1: "), "{}", broken.err);
    // Where nothing can be kept, the write goes on, and says so.
    std::fs::remove_file(&known)?;
    std::fs::remove_dir_all(&home)?;
    std::fs::write(&home, "a file where the home was")?;
    let kept = run("create configmap d")?;
    ensure!(kept.code == 0 && kept.err.contains("cannot be remembered"), "{}{}", kept.out, kept.err);
    Ok(())
}
