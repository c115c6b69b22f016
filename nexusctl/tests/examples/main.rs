//! Every example of every verb's help, run by a shell against a real server, and completion as bash does it.
//!
//! A verb is a cluster: one verb's examples run after one another, in the order in which they are read, on what
//! `examples/quickstart` applies. A verb without an example fails.

#![expect(clippy::unwrap_used, reason = "a harness that fails is a test that fails")]

mod explained;

use clap::{CommandFactory as _, Parser as _};
use hypermesh_apiserver::{Config, Server};
use std::{
    io::Read as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Verbs that end with a signal only: their own tests run them.
const ENDLESS: [&str; 2] = ["up", "proxy"];
/// Beginnings of examples that need a node which runs something, or what could run there. They are understood, and not run:
/// tests with agents do.
const OF_NODES: [&str; 13] = [
    "nexusctl attach",
    "nexusctl cp",
    "nexusctl delete node",
    "nexusctl exec",
    "nexusctl image import",
    "nexusctl image inspect",
    "nexusctl image list",
    "nexusctl image pack",
    "nexusctl image pull",
    "nexusctl image rm",
    "nexusctl logs",
    "nexusctl port-forward",
    "nexusctl top",
];
/// What fish offers behind `--to-revision`.
const FISH: &str = r#"fish --no-config -c 'nexusctl completion fish | source; complete -C "nexusctl rollback wl web --to-revision "'"#;
/// The same of zsh, whose own part is only to show it.
const ZSH: &str = r#"zsh -fc '
    compdef() { : }
    _describe() { while [[ $1 == -* ]]; do shift; done; shift; print -rl -- "${(@P)1}" }
    source <(nexusctl completion zsh)
    words=(nexusctl rollback wl web --to-revision "") CURRENT=6
    _nexusctl'"#;
/// An example that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(60);

/// A cluster, a folder to work in, and a home.
struct Place {
    runtime: tokio::runtime::Runtime,
    server: Option<Server>,
    folder: TempDir,
    kubeconfig: PathBuf,
}

impl Place {
    /// With what `examples/quickstart` applies, or empty.
    fn new(filled: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let config = Config::new(folder.path().join("data"), SocketAddr::from(([127, 0, 0, 1], 0)));
        let server = runtime.block_on(Server::start(config)).unwrap();
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::copy(server.kubeconfig(), &kubeconfig).unwrap();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        copy(&examples, &folder.path().join("examples"));
        std::fs::write(folder.path().join("README.md"), "a text\n").unwrap();
        let place = Self { runtime, server: Some(server), folder, kubeconfig };
        if filled {
            let (ok, text) = place.shell("nexusctl apply -f examples/quickstart");
            assert!(ok, "{text}");
            // A past that can be looked at and gone back to.
            let (ok, text) = place.shell("nexusctl label network/office workload/web seen=yes");
            assert!(ok, "{text}");
        }
        if filled {
            place.fill_in_what_was_rolled_out();
        }
        place.fill_in_whom_examples_name();
        place.fill_in_what_runs();
        // Where a controller has not made it.
        let _ = place.shell("nexusctl create serviceaccount default");
        place
    }

    /// Nodes and an instance that examples name.
    fn fill_in_what_runs(&self) {
        let mut manifest = String::new();
        for node in ["rack-1", "rack-2", "node1"] {
            let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
            let key: String = pair.public_key_raw().iter().map(|byte| format!("{byte:02x}")).collect();
            manifest += &format!(
                "apiVersion: hypermesh.online/v1\nkind: Node\nmetadata: {{name: {node}}}\nspec: {{publicKey: {key}}}\n---\n"
            );
        }
        manifest += "apiVersion: hypermesh.online/v1\nkind: Instance\nmetadata: {name: web-7d4f9-x2x1}\n\
                     spec: {workload: web, revision: web-7d4f9, pod: {containers: [{name: web, image: 'web:1'}]}}\n";
        std::fs::write(self.folder.path().join("running.yaml"), manifest).unwrap();
        let (ok, text) = self.shell("nexusctl apply -f running.yaml");
        assert!(ok, "{text}");
    }

    /// What a controller would keep of the workload: the template that it has, and one before.
    fn fill_in_what_was_rolled_out(&self) {
        for (number, image) in [(1, "localhost/hello:0"), (2, "localhost/hello:1")] {
            let line = format!(
                r#"uid=$(nexusctl get workload web -o 'jsonpath={{.metadata.uid}}') &&
                template=$(nexusctl get workload web -o 'jsonpath={{.spec.template}}' | sed 's|localhost/hello:1|{image}|') &&
                nexusctl create -f - <<END
{{"apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": {number}, "data": $template, "metadata": {{
  "name": "web-{number}", "labels": {{"hypermesh.online/workload": "web", "hypermesh.online/revision": "r{number}"}},
  "ownerReferences": [{{"apiVersion": "hypermesh.online/v1", "kind": "Workload", "name": "web", "uid": "$uid"}}]}}}}
END"#
            );
            let (ok, text) = self.shell(&line);
            assert!(ok, "{text}");
        }
    }

    /// Keys, accounts and tokens that examples name.
    fn fill_in_whom_examples_name(&self) {
        for file in ["alice.pub", "deployer.pub", "new.pub"] {
            let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
            std::fs::write(self.folder.path().join(file), pair.public_key_pem()).unwrap();
        }
        let folder = self.folder.path();
        std::fs::copy(folder.join("data/controllers.kubeconfig"), folder.join("controllers.kubeconfig"))
            .unwrap();
        for line in [
            "nexusctl create namespace ci",
            "nexusctl create serviceaccount deployer -n ci",
            "nexusctl create secret generic bootstrap-token-abcdef -n kube-system",
        ] {
            let (ok, text) = self.shell(line);
            assert!(ok, "{line}: {text}");
        }
        // Half of all numbers are keys.
        for digits in ["3f9c2b7a61d0e8f4", "c4aa91d2b0b1b2b3"] {
            let register =
                |n: u64| self.shell(&format!("nexusctl auth register carol --key {digits}{n:048x}"));
            assert!((0..64).any(|n| register(n).0), "{digits}");
        }
    }

    /// Runs a line in a shell; whether it succeeded, and what it wrote.
    fn shell(&self, line: &str) -> (bool, String) {
        let binary = Path::new(env!("CARGO_BIN_EXE_nexusctl"));
        let path = std::env::var("PATH").unwrap_or_default();
        let output = self.folder.path().join("output");
        let file = std::fs::File::create(&output).unwrap();
        let mut child = Command::new("bash")
            .args(["-c", &format!("set -o pipefail\n{line}")])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", format!("{}:{path}", binary.parent().unwrap().display()))
            .env("HOME", self.folder.path())
            .env("KUBECONFIG", &self.kubeconfig)
            // Saves what it is given.
            .env("EDITOR", "true")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if begun.elapsed() > LONGEST => {
                    child.kill().unwrap();
                    return (false, format!("{line} did not end within {LONGEST:?}"));
                }
                None => std::thread::park_timeout(Duration::from_millis(5)),
            }
        };
        let mut text = String::new();
        std::fs::File::open(&output).unwrap().read_to_string(&mut text).unwrap();
        // Differences are no failure.
        let ok = status.success() || (line.contains("nexusctl diff") && status.code() == Some(1));
        (ok, text)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The examples in a verb's help and in that of its own verbs.
fn examples(command: &clap::Command) -> Vec<String> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let below = help.lines().skip_while(|line| line.trim() != "Examples:").skip(1);
    let own = below.take_while(|line| line.starts_with("  ")).map(str::trim);
    let own = own.filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    // One that goes on in the next line is one.
    let own: Vec<String> = own.replace("\\\n", "").lines().map(str::to_owned).collect();
    own.into_iter()
        .chain(command.get_subcommands().filter(|verb| !verb.is_hide_set()).flat_map(examples))
        .collect()
}

/// What is wrong with the words of an example that is not run; of a plain one, as a shell's words are not these.
fn misunderstood(line: &str) -> Option<String> {
    if line.contains(['|', '<', '>', '$', '&', '\'', '"']) {
        return None;
    }
    let error = nexusctl::cli::Cli::try_parse_from(line.split_whitespace()).err()?;
    Some(format!("{line}\n{error}"))
}

#[test]
fn every_verb_has_an_example_that_runs() {
    let mut command = nexusctl::cli::Cli::command();
    command.build();
    let mut faults = Vec::new();
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let examples = examples(verb);
        if examples.is_empty() {
            faults.push(format!("nexusctl {}: its help has no example", verb.get_name()));
            continue;
        }
        if ENDLESS.contains(&verb.get_name()) {
            continue;
        }
        // What is created must not be there.
        let place = Place::new(verb.get_name() != "create");
        for line in examples {
            if line.contains("https://") {
                println!("not run, for there is no network here: {line}");
                continue;
            }
            if OF_NODES.iter().any(|begins| line.contains(begins)) {
                println!("not run, for there is no node here: {line}");
                faults.extend(misunderstood(&line));
                continue;
            }
            // The cluster is younger than the moments that people ask about, and than a rotation has to be to be ended
            // without force.
            let line = line.replace("--at 10m", "--at 1ms").replace("--at=10s", "--at=1ms");
            let line = line.replace("--finish", "--finish --force");
            // No controller and no node make anything ready here.
            let line = line.replace("--for=condition=Ready --timeout=5m", "--for=condition=Ready=Unknown");
            let (ok, text) = place.shell(&line);
            if !ok {
                faults.push(format!("{line}\n{text}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n---\n"));
}

#[test]
fn bash_completes_with_live_names() {
    let place = Place::new(true);
    let complete = |line: &str| {
        let script = format!(
            "source <(nexusctl completion bash); COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; _nexusctl; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let (ok, text) = place.shell(&script);
        assert!(ok, "{text}");
        text.lines().map(str::to_owned).collect::<Vec<String>>()
    };
    assert_eq!(complete("nexusctl descr"), ["describe"]);
    assert_eq!(complete("nexusctl get worklo"), ["workloads"]);
    assert_eq!(complete("nexusctl get workload w"), ["web"]);
    assert_eq!(complete("nexusctl get wl/"), ["wl/web"]);
    assert!(complete("nexusctl get wl -n ").contains(&"default".to_owned()));
    assert_eq!(complete("nexusctl get wl --namespace=def"), ["default"]);
    assert_eq!(complete("nexusctl explain wl.spec.repl"), ["wl.spec.replicas"]);
    assert!(complete("nexusctl get wl -o js").contains(&"jsonpath=".to_owned()));
    assert_eq!(complete("nexusctl apply -f exa"), ["examples"]);
    assert_eq!(complete("nexusctl --kubeconfig /nowhere get workload w"), [""]);
    // What stands in quotes is one word.
    assert_eq!(complete("nexusctl get -l \"tier in (a, b)\" workload w"), ["web"]);
    assert_eq!(complete("nexusctl get workload \"w"), ["web"]);
    assert_eq!(complete("nexusctl get wl --namespace=\"def"), ["default"]);
    assert_eq!(complete("nexusctl create token def"), ["default"]);
    assert_eq!(complete("nexusctl create rolebinding x --serviceaccount default:"), ["default"]);
    assert!(complete("nexusctl create rolebinding x --clusterrole vi").contains(&"view".to_owned()));
    let revisions = complete("nexusctl history wl/web --revision ");
    assert!(!revisions.is_empty() && revisions.iter().all(|r| r.parse::<u64>().is_ok()), "{revisions:?}");
    assert_eq!(complete("nexusctl rollback wl web --to-revision="), revisions);
    // One end of a copy is a file here or an instance, whose paths stand behind a colon.
    assert_eq!(complete("nexusctl cp web-7"), ["web-7d4f9-x2x1:"]);
    assert_eq!(complete("nexusctl cp exa"), ["examples"]);
    assert_eq!(complete("nexusctl cp ./README.md pod/web"), ["pod/web-7d4f9-x2x1:"]);
    assert_eq!(complete("nexusctl cp web-7d4f9-x2x1:/srv . -c w"), ["web"]);
    assert_eq!(complete("nexusctl logs web-7d4f9-x2x1 -c "), ["web"]);
    // No agent answers, so nothing is known of what lies there.
    assert_eq!(complete("nexusctl cp web-7d4f9-x2x1:/srv"), [""]);
    for (shell, script) in [("fish", FISH), ("zsh", ZSH)] {
        if Command::new(shell).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
        {
            println!("{shell} is not here: nothing is completed with it");
            continue;
        }
        let (ok, text) = place.shell(script);
        assert!(ok, "{shell}: {text}");
        let words: Vec<&str> = text.lines().filter_map(|line| line.split(['\t', ':']).next()).collect();
        assert_eq!(words, revisions, "{shell}: {text}");
    }
    for (shell, check) in [("zsh", "zsh -n"), ("fish", "fish --no-execute")] {
        if Command::new(shell).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
        {
            println!("{shell} is not here: its script is not checked");
            continue;
        }
        let (ok, text) = place.shell(&format!("nexusctl completion {shell} > script && {check} script"));
        assert!(ok, "{shell}: {text}");
    }
}
