//! `config view`: all files as one, keys and tokens left out unless they are asked for.

use crate::{
    commands::config::read,
    error::Error,
    kubeconfig::edit::{FILES, Kind},
    output::{self, Format},
    session::Session,
};
use base64::Engine as _;
use clap::Args;
use serde_json::{Value, json};

/// Arguments of `config view`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl config view --minify
  nexusctl config view --raw --flatten > my.kubeconfig")]
pub struct Arguments {
    /// Show keys, certificates and tokens too
    #[arg(long)]
    pub raw: bool,
    /// Put what named files hold in place of their names, so that the output is enough by itself; implies --raw
    #[arg(long)]
    pub flatten: bool,
    /// Show what the current context uses, and nothing else
    #[arg(long)]
    pub minify: bool,
    /// json or yaml
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    pub output: Format,
}

pub(super) fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Error> {
    let mut view = read(session)?.merged();
    if let Some(context) = &session.options.context {
        view["current-context"] = json!(context);
    }
    if arguments.minify {
        minify(&mut view)?;
    }
    if arguments.flatten {
        flatten(&mut view)?;
    } else if !arguments.raw {
        redact(&mut view);
    }
    let text = match arguments.output {
        Format::Json => output::json(&view),
        Format::Yaml => output::yaml::to_string(&view),
        _ => return Err(Error::Message("a kubeconfig can be shown as json or yaml".into())),
    };
    session.print(&text)
}

/// Keeps what the current context names.
fn minify(view: &mut Value) -> Result<(), Error> {
    let current = view["current-context"].as_str().unwrap_or_default().to_owned();
    let named = |view: &Value, list: &str, name: &str| -> Option<Value> {
        view[list].as_array()?.iter().find(|entry| entry["name"] == name).cloned()
    };
    let Some(context) = named(view, "contexts", &current) else {
        return Err(Error::Message(match current.as_str() {
            "" => "current-context must be set in order to minify: name a context with --context".to_owned(),
            name => format!("cannot locate context {name}"),
        }));
    };
    for (list, kind) in [("clusters", Kind::Cluster), ("users", Kind::User)] {
        let name = context["context"][kind.word()].as_str().unwrap_or_default();
        view[list] = named(view, list, name).into_iter().collect();
    }
    view["contexts"] = json!([context]);
    Ok(())
}

fn each_entry(view: &mut Value, mut work: impl FnMut(&mut Value)) {
    for (list, word) in [("clusters", "cluster"), ("users", "user")] {
        for entry in view[list].as_array_mut().into_iter().flatten() {
            if let Some(inner) = entry.get_mut(word) {
                work(inner);
            }
        }
    }
}

/// What kubectl shows in place of secrets, so that scripts that look for it find it.
fn redact(view: &mut Value) {
    each_entry(view, |entry| {
        for (_, data) in FILES {
            if entry.get(data).is_some_and(|value| !value.is_null()) {
                entry[data] = json!("DATA+OMITTED");
            }
        }
        for secret in ["token", "password"] {
            if entry.get(secret).is_some_and(|value| !value.is_null()) {
                entry[secret] = json!("REDACTED");
            }
        }
        // What a plugin is told may be a secret, and nobody can tell.
        for plugin in ["exec", "auth-provider"] {
            for list in ["env", "config"] {
                if let Some(values) =
                    entry.get_mut(plugin).and_then(|p| p.get_mut(list)).filter(|v| !v.is_null())
                {
                    *values = json!("REDACTED");
                }
            }
        }
    });
}

fn flatten(view: &mut Value) -> Result<(), Error> {
    let mut failed = None;
    each_entry(view, |entry| {
        for (path, data) in FILES {
            let Some(named) = entry.get(path).and_then(Value::as_str).map(str::to_owned) else { continue };
            match std::fs::read(&named) {
                Ok(bytes) => {
                    // Data that is there wins over a file.
                    if entry.get(data).is_none_or(Value::is_null) {
                        entry[data] = json!(base64::engine::general_purpose::STANDARD.encode(bytes));
                    }
                    if let Some(entry) = entry.as_object_mut() {
                        entry.remove(path);
                    }
                }
                Err(error) => failed = Some(format!("{path}: cannot read {named}: {error}")),
            }
        }
    });
    failed.map_or(Ok(()), |why| Err(Error::Message(why)))
}
