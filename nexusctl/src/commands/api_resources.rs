//! `api-resources`: what the server serves.

use crate::{
    error::{Error, Exit},
    output::{Format, aligned},
    session::Session,
};
use clap::Args;

/// Arguments of `api-resources`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl api-resources
  nexusctl api-resources --api-group=hypermesh.online -o wide
  nexusctl api-resources --namespaced=false --verbs=list,watch -o name")]
pub struct Arguments {
    /// Of this group only; empty for the core group
    #[arg(long, value_name = "GROUP")]
    pub api_group: Option<String>,
    /// Only what lives in namespaces, or, with =false, only what does not
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub namespaced: Option<bool>,
    /// Only what these categories hold
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub categories: Vec<String>,
    /// Only what these verbs apply to
    #[arg(long, value_name = "VERBS", value_delimiter = ',')]
    pub verbs: Vec<String>,
    /// wide or name
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// Leave headings out
    #[arg(long)]
    pub no_headers: bool,
}

/// Runs the verb.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<Exit, Error> {
    if matches!(arguments.output, Some(Format::Json | Format::Yaml)) {
        return Err(Error::Message("api-resources can be shown as wide or name".into()));
    }
    let discovery = session.discovery().await?;
    let mut found: Vec<_> = discovery
        .resources
        .iter()
        .filter(|r| arguments.api_group.as_ref().is_none_or(|g| *g == r.group))
        .filter(|r| arguments.namespaced.is_none_or(|n| n == r.namespaced))
        .filter(|r| arguments.categories.iter().all(|c| r.categories.contains(c)))
        .filter(|r| arguments.verbs.iter().all(|v| r.verbs.contains(v)))
        .filter(|r| !r.verbs.is_empty())
        .collect();
    found.sort_by(|a, b| (&a.group, &a.plural).cmp(&(&b.group, &b.plural)));
    if arguments.output == Some(Format::Name) {
        for resource in found {
            session.say(&resource.qualified_plural())?;
        }
        return Ok(Exit::Success);
    }
    let wide = arguments.output == Some(Format::Wide);
    let mut lines: Vec<Vec<String>> = Vec::new();
    if !arguments.no_headers {
        let heading = ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND", "VERBS", "CATEGORIES"];
        lines.push(heading.iter().take(if wide { 7 } else { 5 }).map(|h| (*h).to_owned()).collect());
    }
    for resource in found {
        let mut line = vec![
            resource.plural.clone(),
            resource.short_names.join(","),
            resource.api_version(),
            resource.namespaced.to_string(),
            resource.kind.clone(),
        ];
        if wide {
            let mut verbs = resource.verbs.clone();
            verbs.sort();
            line.push(verbs.join(","));
            line.push(resource.categories.join(","));
        }
        lines.push(line);
    }
    session.print(&aligned::table(&lines, !arguments.no_headers, session.streams.out_width))?;
    Ok(Exit::Success)
}
