//! The guide of the first hour, replayed: every command in it runs, in order, against a new cluster, and says what the
//! guide shows.
//!
//! A `console` block is replayed: a line that begins with `$ ` is a command for a shell (with those that follow and
//! begin with `> ` as its further lines), what follows is its output, standard error included. `…` alone stands for any
//! lines; within a line it stands for any text. Ages, and the spaces that align columns, may differ. A block of another
//! language is not replayed. `HYPERMESH_RECORD=1` writes what the commands say into the guide instead.

use anyhow::{Context as _, Result, bail, ensure};
use hypermesh_e2e::load::{ServerSpec, binary};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The guide, from the repository's root.
const GUIDE: &str = "docs/guides/first-hour.md";

/// A command and what it is to say.
struct Step {
    /// Where it stands in the guide, from 1.
    line: usize,
    command: String,
    expected: Vec<String>,
}

/// What a guide consists of: text, and steps.
enum Part {
    Text(String),
    Step(Step),
}

fn parse(guide: &str) -> Result<Vec<Part>> {
    let (mut parts, mut replayed) = (Vec::new(), false);
    for (index, line) in guide.lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            replayed = !replayed && language == "console";
            parts.push(Part::Text(line.to_owned()));
        } else if !replayed {
            parts.push(Part::Text(line.to_owned()));
        } else if let Some(command) = line.strip_prefix("$ ") {
            parts.push(Part::Step(Step {
                line: index + 1,
                command: command.to_owned(),
                expected: Vec::new(),
            }));
        } else {
            let Some(Part::Step(step)) = parts.last_mut() else {
                bail!("{GUIDE}:{}: output before any command", index + 1);
            };
            match line.strip_prefix("> ").filter(|_| step.expected.is_empty()) {
                Some(more) => write!(step.command, "\n{more}")?,
                None => step.expected.push(line.to_owned()),
            }
        }
    }
    Ok(parts)
}

/// Whether a line is what the guide shows: `…` stands for any text, runs of blanks for one another, ages for ages.
fn line_matches(expected: &str, said: &str) -> bool {
    let words = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(|word| aged(word).to_owned()).collect();
        words.join(" ")
    };
    let (expected, said) = (words(expected), words(said));
    let mut pieces = expected.split('…');
    let Some(mut rest) = pieces.next().and_then(|first| said.strip_prefix(first)) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// An age such as `0s`, `12s` or `2m3s`, as any other.
fn aged(word: &str) -> &str {
    let bare = word.trim_end_matches([',', ')']);
    let digits = bare.starts_with(|c: char| c.is_ascii_digit()) && bare.ends_with(['s', 'm', 'h']);
    let age = digits && bare.chars().all(|c| c.is_ascii_digit() || "smh.".contains(c));
    if age { "AGE" } else { word }
}

/// Whether lines are what the guide shows.
fn matches(expected: &[String], said: &[&str]) -> bool {
    match expected.split_first() {
        None => said.is_empty(),
        Some((first, rest)) if first == "…" => (0..=said.len()).any(|skip| matches(rest, &said[skip..])),
        Some((first, rest)) => {
            said.split_first().is_some_and(|(line, more)| line_matches(first, line) && matches(rest, more))
        }
    }
}

struct Shell {
    folder: PathBuf,
    kubeconfig: PathBuf,
    path: std::ffi::OsString,
}

impl Shell {
    fn run(&self, command: &str) -> Result<String> {
        let output = Command::new("bash")
            .args(["-c", &format!("exec 2>&1\n{command}")])
            .current_dir(&self.folder)
            .env_clear()
            .env("HOME", &self.folder)
            .env("PATH", &self.path)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("running {command}"))?;
        String::from_utf8(output.stdout).with_context(|| format!("what {command} said"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_hour_goes_as_the_guide_tells() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let guide = std::fs::read_to_string(root.join(GUIDE)).with_context(|| format!("reading {GUIDE}"))?;
    let parts = parse(&guide)?;
    let folder = tempfile::tempdir()?;
    let mut spec = ServerSpec::new(binary()?, folder.path().join("cluster"));
    spec.genesis_kinds.clear();
    let server = spec.start().await?;
    let home = folder.path().join("home");
    std::fs::create_dir(&home)?;
    std::os::unix::fs::symlink(root.join("examples"), home.join("examples"))?;
    let own = spec.binary.canonicalize()?;
    let own = own.parent().context("the program lies in no folder")?;
    let kept = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(own.to_owned()).chain(std::env::split_paths(&kept)))?;
    let shell = Shell { folder: home, kubeconfig: spec.dir.join("admin.kubeconfig"), path };
    let record = std::env::var_os("HYPERMESH_RECORD").is_some();
    let (mut written, mut failures, mut steps) = (String::new(), String::new(), 0);
    for part in &parts {
        match part {
            Part::Text(line) => writeln!(written, "{line}")?,
            Part::Step(step) => {
                let said = shell.run(&step.command)?;
                steps += 1;
                let lines: Vec<&str> = said.lines().collect();
                let command = step.command.replace('\n', "\n> ");
                write!(written, "$ {command}\n{said}")?;
                if !matches(&step.expected, &lines) {
                    let expected = step.expected.join("\n");
                    let at = step.line;
                    writeln!(failures, "{GUIDE}:{at}: $ {command}\n--- shown\n{expected}\n--- said\n{said}")?;
                }
            }
        }
    }
    server.stop().await?;
    ensure!(steps > 0, "{GUIDE} has no command");
    if record {
        std::fs::write(root.join(GUIDE), written)?;
        return Ok(());
    }
    ensure!(failures.is_empty(), "{failures}");
    Ok(())
}

#[test]
fn a_guide_that_differs_is_noticed() {
    let shown = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
    assert!(matches(&shown(&["web  2   0s"]), &["web 2 14s"]));
    assert!(matches(&shown(&["a", "…", "z"]), &["a", "b", "c", "z"]));
    assert!(matches(&shown(&["revision … by admin"]), &["revision 12 by admin"]));
    assert!(!matches(&shown(&["web 2 0s"]), &["web 3 0s"]));
    assert!(!matches(&shown(&["a"]), &["a", "b"]));
    assert!(!matches(&shown(&["a", "…", "z"]), &["a", "b"]));
    assert!(!matches(&shown(&["…ab"]), &["b"]));
}
