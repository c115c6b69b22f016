//! `edit`: objects in an editor, and back.
//!
//! What somebody has typed is never lost: the file stays until the server has taken it, and whoever is interrupted is
//! told where it lies and how to go on. A refusal opens the editor again, with the reasons above the text. Only what was
//! changed is sent; if the object changed meanwhile, the edit is made again on the newest version, unless both changed
//! the same fields.

mod editor;
mod lasting;
mod round;
mod sheet;

use crate::{
    client::Call,
    commands::{
        apply::DryRun,
        results::{Manner, ResultFormat},
        targets::{Choice, Target},
    },
    error::{Error, Exit},
    manifest, output,
    scratch::Kept,
    session::Session,
    shell,
};
use clap::Args;
use editor::Editor;
use lasting::Lasting;
use round::{Round, Verdict};
use serde_json::Value;
use sheet::Sheet;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "Examples:
  nexusctl edit workload web
  nexusctl edit workload/web network/office -o json
The editor is that of KUBE_EDITOR, VISUAL or EDITOR, else vi.";

/// How often a refusal opens the editor again where nobody is at a terminal to answer it.
const MOST_BLIND_ROUNDS: usize = 8;

/// Arguments of `edit`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// TYPE NAME… or TYPE/NAME…
    #[arg(value_name = "TYPE/NAME")]
    pub words: Vec<String>,
    /// Which objects
    #[command(flatten)]
    pub choice: Choice,
    /// Go on with an edit that was interrupted; a file that `edit` did not make is copied first
    #[arg(long, value_name = "FILE", conflicts_with_all = ["words", "filenames"])]
    pub resume: Option<PathBuf>,
    /// Edit this part of the object: status
    #[arg(long, value_name = "NAME")]
    pub subresource: Option<String>,
    /// Show metadata.managedFields in the editor
    #[arg(long)]
    pub show_managed_fields: bool,
    /// How it is done and told; -o json edits JSON
    #[command(flatten)]
    pub manner: Manner,
}

/// One object that is being edited.
struct Subject {
    target: Target,
    /// As it was when the editor opened.
    base: Value,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    if arguments.manner.dry_run == DryRun::Client {
        return Err(Error::Message("only the server can judge an edit: --dry-run=server".into()));
    }
    let json = arguments.manner.output == Some(ResultFormat::Json);
    let (mut subjects, kept, mut sheet) = match &arguments.resume {
        Some(path) => resume(&arguments, path, session).await?,
        None => begin(&arguments, json, session).await?,
    };
    let editor = Editor::of(&session.environment);
    let mut rounds = 0_usize;
    loop {
        let edited = rounds > 0;
        let before = kept.read()?;
        session.flush()?;
        editor.open(kept.path()).await.map_err(|why| kept.lost(&why, edited))?;
        let after = kept.read()?;
        // The reasons quote the text: an editor that is a script may change them and nothing else, for ever.
        if edited && sheet::plain(&after) == sheet::plain(&before) {
            return Err(kept.lost("nothing was changed after the last refusal", true));
        }
        if sheet.is_same(&after) {
            finish(kept, session);
            session.say("nothing was changed")?;
            return Ok(Exit::Success);
        }
        rounds += 1;
        let round = Round { arguments: &arguments, subjects: &subjects, text: &after };
        match round.run(session).await {
            Ok(Verdict::Done) => {
                finish(kept, session);
                return Ok(Exit::Success);
            }
            Ok(Verdict::Empty) => {
                finish(kept, session);
                session.say("the file is empty: nothing was changed")?;
                return Ok(Exit::Success);
            }
            Ok(Verdict::Again { left, reasons, text }) => {
                if let Some(left) = left {
                    subjects.retain(|subject| left.contains(&subject.target.path()));
                }
                sheet = sheet.again(&reasons, &text);
                session.note(
                    &reasons.iter().map(|reason| format!("error: {reason}")).collect::<Vec<_>>().join("\n"),
                );
                kept.write(&sheet.text).map_err(|error| kept.lost(&error.render(false), true))?;
                if rounds >= MOST_BLIND_ROUNDS && session.streams.err_width.is_none() {
                    return Err(
                        kept.lost(&format!("refused {rounds} times, and nobody is at a terminal"), true)
                    );
                }
            }
            Err(error) => return Err(kept.lost(&error.render(false), true)),
        }
    }
}

/// Takes the file away, as nobody needs it any more.
fn finish(kept: Lasting, session: &mut Session) {
    if let Some(told) = kept.done() {
        session.note(&told);
    }
}

/// Fetches the objects, and writes them down.
async fn begin(
    arguments: &Arguments,
    json: bool,
    session: &mut Session,
) -> Result<(Vec<Subject>, Lasting, Sheet), Error> {
    let targets = arguments.choice.targets(&arguments.words, session).await?;
    let mut subjects = Vec::with_capacity(targets.len());
    for target in targets {
        let path = part(arguments, &target)?;
        let mut base: Value = session.send(&Call::get(path)).await?.json()?;
        if !arguments.show_managed_fields {
            output::hide_managed_fields(&mut base);
        }
        remind(&target, &base, session);
        subjects.push(Subject { target, base });
    }
    let objects: Vec<&Value> = subjects.iter().map(|subject| &subject.base).collect();
    let sheet = Sheet::new(&objects, json);
    let extension = if json { "json" } else { "yaml" };
    let kept = Lasting::new(&session.environment, extension, &sheet.text)?;
    Ok((subjects, kept, sheet))
}

/// Tells of edits of the object that came to no end.
fn remind(target: &Target, object: &Value, session: &mut Session) {
    let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default();
    if uid.is_empty() {
        return;
    }
    for (path, age) in lasting::earlier(&session.environment, uid) {
        let path = shell::quote(&path.display().to_string());
        let age = output::age::human(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
        session.note(&format!(
            "Warning: an edit of {} that came to no end, {age} ago, is kept at {path}: it is open elsewhere, or was \
             cut off; to go on with it: nexusctl edit --resume={path}; to be rid of it: rm {path}",
            target.shown()
        ));
    }
}

/// Takes up a file that was kept: each object says which version it was made from, and the server still has that.
async fn resume(
    arguments: &Arguments,
    path: &Path,
    session: &mut Session,
) -> Result<(Vec<Subject>, Lasting, Sheet), Error> {
    let text = Kept::at(path.to_owned()).read()?;
    let source = std::sync::Arc::new(manifest::Source::new(path.display().to_string(), text.clone()));
    let documents = manifest::documents(&[source]).map_err(|faults| {
        let shown: Vec<String> = faults.iter().map(|fault| fault.render(session.streams.err_color)).collect();
        Error::Message(format!(
            "{} cannot be taken up as long as it is not right:\n{}",
            path.display(),
            shown.join("\n")
        ))
    })?;
    let namespace = session.namespace()?;
    let discovery = session.discovery().await?;
    let placed = manifest::place(documents, &discovery, &namespace, None).map_err(Error::Manifests)?;
    let mut subjects = Vec::new();
    for item in placed {
        let edited = item.document.object();
        let version = edited.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default();
        let target =
            Target { resource: item.resource, namespace: item.namespace, name: item.document.name.clone() };
        let path = part(arguments, &target)?;
        let exact = [("resourceVersion", version), ("resourceVersionMatch", "Exact")];
        let then = if version.is_empty() {
            session.send(&Call::get(&path)).await
        } else {
            match session.send(&Call::get(&path).query(&exact)).await {
                // What is too far back to be read is compared with what is there now.
                Err(error) if error.status().is_some_and(|s| s.code == 410) => {
                    session.send(&Call::get(&path)).await
                }
                other => other,
            }
        };
        let mut base: Value = then?.json()?;
        output::hide_managed_fields(&mut base);
        subjects.push(Subject { target, base });
    }
    let kept = Lasting::resume(&session.environment, path, &text)?;
    Ok((subjects, kept, Sheet::kept(text)))
}

/// The path of the part of an object that is edited.
fn part(arguments: &Arguments, target: &Target) -> Result<String, Error> {
    let Some(name) = &arguments.subresource else { return Ok(target.path()) };
    target.resource.has_part(name, "patch")?;
    Ok(format!("{}/{name}", target.path()))
}
