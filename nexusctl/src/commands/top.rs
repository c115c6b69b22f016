//! `top`: what nodes and instances use now.

use crate::{
    client::{Call, path_segment},
    error::{Error, Exit},
    output::aligned,
    session::Session,
};
use clap::{Args, Subcommand, ValueEnum};
use hypermesh_schemas::value::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";
/// What stands where nobody has said how much.
const UNKNOWN: &str = "<unknown>";
const NODES: &str = "/apis/hypermesh.online/v1/nodes";

const EXAMPLES: &str = "Examples:
  nexusctl top node
  nexusctl top instance -A --sort-by memory
  nexusctl top instance web-1 --containers";

/// Whose usage.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// Of nodes, and how much of what they have that is
    #[command(visible_alias = "nodes")]
    Node(Choice),
    /// Of instances
    #[command(visible_aliases = ["instances", "pod", "pods"])]
    Instance(Instances),
}

/// Which, and in which order.
#[derive(Args, Debug)]
pub struct Choice {
    /// Only this one
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Only those with these labels
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,
    /// Those that use most first
    #[arg(long, value_name = "WHAT")]
    pub sort_by: Option<Measure>,
    /// Without the heading
    #[arg(long)]
    pub no_headers: bool,
}

/// Which instances, and how.
#[derive(Args, Debug)]
pub struct Instances {
    /// Which, and in which order
    #[command(flatten)]
    pub choice: Choice,
    /// Of all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Each container by itself
    #[arg(long)]
    pub containers: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
}

/// One line.
struct Used {
    words: Vec<String>,
    /// Thousandths of a core; below nothing where nobody has said.
    cpu: i128,
    /// Bytes.
    memory: i128,
}

/// Runs the verb.
pub async fn run(command: Command, session: &mut Session) -> Result<Exit, Error> {
    match command {
        Command::Node(choice) => nodes(choice, session).await,
        Command::Instance(arguments) => instances(arguments, session).await,
    }
}

async fn nodes(choice: Choice, session: &mut Session) -> Result<Exit, Error> {
    let items = read(&format!("{METRICS}/nodes"), &choice, session).await?;
    let call = Call::get(NODES).query(&[("labelSelector", choice.selector.as_deref().unwrap_or_default())]);
    let all: Value = session.send(&call).await?.json()?;
    let mut rows = Vec::new();
    let has: BTreeMap<&str, &Value> = all["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|node| {
            let amounts = node.pointer("/status/allocatable").unwrap_or(&Value::Null);
            Some((node.pointer("/metadata/name")?.as_str()?, amounts))
        })
        .collect();
    if choice.name.is_none() {
        let silent = silent(&items, has.keys().copied());
        if !silent.is_empty() && items.is_empty() {
            return Err(Error::Message(format!(
                "metrics are not available: no node has said what it uses ({}); each does so as long as its agent runs",
                silent.join(", ")
            )));
        }
        rows.extend(silent.into_iter().map(|name| Used { words: vec![name], cpu: -1, memory: -1 }));
    }
    for item in &items {
        let name = text(item, "/metadata/name");
        let (cpu, memory) = usage(&item["usage"]);
        let allocatable = has.get(name.as_str()).map(|amounts| usage(amounts)).unwrap_or_default();
        let words = vec![name, share(cpu, allocatable.0), share(memory, allocatable.1)];
        rows.push(Used { words, cpu, memory });
    }
    let shown = |row: &Used| {
        let word = |at: usize| row.words.get(at).cloned().unwrap_or_else(|| UNKNOWN.to_owned());
        vec![word(0), cores(row.cpu), word(1), bytes(row.memory), word(2)]
    };
    show(&["NAME", "CPU", "CPU%", "MEMORY", "MEMORY%"], rows, shown, &choice, session)
}

async fn instances(arguments: Instances, session: &mut Session) -> Result<Exit, Error> {
    let path = if arguments.all_namespaces {
        format!("{METRICS}/pods")
    } else {
        format!("{METRICS}/namespaces/{}/pods", path_segment(&session.namespace()?))
    };
    let items = read(&path, &arguments.choice, session).await?;
    let mut rows = Vec::new();
    for item in &items {
        let mut words = vec![text(item, "/metadata/name")];
        if arguments.all_namespaces {
            words.insert(0, text(item, "/metadata/namespace"));
        }
        let containers = item["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let used = containers.iter().map(|container| (text(container, "/name"), usage(&container["usage"])));
        if arguments.containers {
            rows.extend(used.map(|(name, (cpu, memory))| {
                let words = words.iter().cloned().chain([name]).collect();
                Used { words, cpu, memory }
            }));
        } else {
            let (cpu, memory) = used.fold((0, 0), |sum, (_, one)| (sum.0 + one.0, sum.1 + one.1));
            rows.push(Used { words, cpu, memory });
        }
    }
    let mut heading = Vec::new();
    heading.extend(arguments.all_namespaces.then_some("NAMESPACE"));
    heading.push("NAME");
    heading.extend(arguments.containers.then_some("CONTAINER"));
    heading.extend(["CPU", "MEMORY"]);
    let shown = |row: &Used| [row.words.clone(), vec![cores(row.cpu), bytes(row.memory)]].concat();
    show(&heading, rows, shown, &arguments.choice, session)
}

async fn read(path: &str, choice: &Choice, session: &mut Session) -> Result<Vec<Value>, Error> {
    if let Some(name) = &choice.name {
        return Ok(vec![session.send(&Call::get(format!("{path}/{}", path_segment(name)))).await?.json()?]);
    }
    let call = Call::get(path).query(&[("labelSelector", choice.selector.as_deref().unwrap_or_default())]);
    let mut list: Value = session.send(&call).await?.json()?;
    match list["items"].take() {
        Value::Array(items) => Ok(items),
        _ => Ok(Vec::new()),
    }
}

fn show(
    heading: &[&str],
    mut rows: Vec<Used>,
    shown: impl Fn(&Used) -> Vec<String>,
    choice: &Choice,
    session: &mut Session,
) -> Result<Exit, Error> {
    if rows.is_empty() {
        session.note("Nothing runs there");
        return Ok(Exit::Success);
    }
    match choice.sort_by {
        Some(Measure::Cpu) => rows.sort_by_key(|row| -row.cpu),
        Some(Measure::Memory) => rows.sort_by_key(|row| -row.memory),
        None => rows.sort_by(|a, b| a.words.cmp(&b.words)),
    }
    let heading = (!choice.no_headers).then(|| heading.iter().map(|word| (*word).to_owned()).collect());
    let cells: Vec<Vec<String>> = heading.into_iter().chain(rows.iter().map(shown)).collect();
    session.print(&aligned::table(&cells, !choice.no_headers, session.streams.out_width))?;
    Ok(Exit::Success)
}

fn text(value: &Value, at: &str) -> String {
    value.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Thousandths of a core, and bytes.
fn usage(amounts: &Value) -> (i128, i128) {
    let amount = |name: &str, thousandths: bool| {
        let quantity = Quantity::parse(amounts[name].as_str().unwrap_or("0")).ok();
        quantity.map_or(0, |quantity| if thousandths { quantity.millis() } else { quantity.units() })
    };
    (amount("cpu", true), amount("memory", false))
}

/// Those of the nodes that nobody has heard of what they use.
fn silent<'n>(items: &[Value], nodes: impl Iterator<Item = &'n str>) -> Vec<String> {
    let told = |name: &str| items.iter().any(|item| text(item, "/metadata/name") == name);
    nodes.filter(|name| !told(name)).map(str::to_owned).collect()
}

fn cores(thousandths: i128) -> String {
    if thousandths < 0 { UNKNOWN.to_owned() } else { format!("{thousandths}m") }
}

fn bytes(count: i128) -> String {
    if count < 0 { UNKNOWN.to_owned() } else { format!("{}Mi", count / (1 << 20)) }
}

fn share(part: i128, whole: i128) -> String {
    if whole <= 0 { UNKNOWN.to_owned() } else { format!("{}%", part * 100 / whole) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn amounts() {
        assert_eq!(usage(&json!({"cpu": "1500000n", "memory": "2Mi"})), (2, 2 << 20));
        assert_eq!(usage(&json!({"cpu": "2", "memory": "x"})), (2000, 0));
        assert_eq!(usage(&json!(null)), (0, 0));
        assert_eq!(
            (cores(5), bytes(3 << 20), share(1, 4), share(1, 0)),
            ("5m".into(), "3Mi".into(), "25%".into(), "<unknown>".into())
        );
        assert_eq!((cores(-1), bytes(-1)), ("<unknown>".into(), "<unknown>".into()));
    }

    #[test]
    fn nodes_that_say_nothing_are_no_empty_ones() {
        let items = [json!({"metadata": {"name": "a"}})];
        assert_eq!(silent(&items, ["a", "b"].into_iter()), ["b"]);
        assert_eq!(silent(&[], ["a"].into_iter()), ["a"]);
        assert_eq!(silent(&items, ["a"].into_iter()), Vec::<String>::new());
    }
}
