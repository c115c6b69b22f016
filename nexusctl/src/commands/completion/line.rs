//! What an unfinished command line asks for. Pure.

use crate::{commands::verbs, kubeconfig::edit::Kind};
use clap::{Arg, Command};

/// Something that may stand next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The whole word.
    pub(super) value: String,
    /// A few words about it.
    pub(super) help: String,
}

impl Candidate {
    pub(super) fn new(value: impl Into<String>, help: impl Into<String>) -> Self {
        Self { value: value.into(), help: help.into() }
    }
}

/// What may stand next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// One of these.
    Words(Vec<Candidate>),
    /// The shell knows files.
    Files,
    /// One end of a copy: the shell knows files, the cluster instances.
    CopyEnd,
    /// Instances, each with the colon behind which a path of it stands.
    Instances,
    /// A path in an instance, where nothing but what stands before its last part is known.
    Remote {
        /// What `cp` calls it.
        instance: String,
        /// The container, where one is named.
        container: Option<String>,
        /// What stands behind the colon.
        path: String,
    },
    /// Namespaces, behind what stands already.
    Namespaces(String),
    /// Names of entries of the kubeconfigs.
    Entries(Kind, String),
    /// Servers whose cluster is remembered.
    Servers,
    /// Keys that are registered.
    Keys,
    /// Bootstrap tokens, by what is no secret of them.
    Tokens,
    /// Types, and objects as `type/name`.
    Kinds,
    /// Names of objects of a type.
    Names(String),
    /// Names of objects of a type that the verb implies, behind what stands already.
    Named(&'static str, String),
    /// ServiceAccounts as `namespace:name`, likewise.
    Accounts(String),
    /// Revisions of an object, given as type and name, likewise.
    Revisions(String, String, String),
    /// Revisions of a Workload's template, given as type and name, likewise.
    Templates(String, String, String),
    /// Containers of an object, given as type and name.
    Containers(String, String),
    /// `type.field.field`
    Fields,
    /// Nothing is known.
    Nothing,
}

/// Understands a line; the last word is the one to complete.
pub(super) fn understand(root: &Command, words: &[String]) -> Wanted {
    let (last, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", words),
    };
    let mut line = Line {
        command: root,
        over: root,
        pending: None,
        positional: Vec::new(),
        only_positional: false,
        container: None,
    };
    for word in before {
        line.take(word);
    }
    line.wanted(last)
}

/// The type of what runs.
const INSTANCES: &str = "instances.hypermesh.online";

struct Line<'c> {
    command: &'c Command,
    /// The command that this one is a verb of.
    over: &'c Command,
    /// A flag whose value comes next.
    pending: Option<&'c Arg>,
    positional: Vec<String>,
    only_positional: bool,
    /// What `--container` says.
    container: Option<String>,
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values() && !arg.is_require_equals_set()
}

impl<'c> Line<'c> {
    fn long(&self, name: &str) -> Option<&'c Arg> {
        self.command.get_arguments().find(|arg| {
            arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|all| all.contains(&name))
        })
    }

    fn short(&self, name: char) -> Option<&'c Arg> {
        self.command.get_arguments().find(|arg| arg.get_short() == Some(name))
    }

    fn take(&mut self, word: &str) {
        if let Some(arg) = self.pending.take() {
            self.note(arg, word);
            return;
        }
        if self.only_positional {
            self.positional.push(word.to_owned());
        } else if word == "--" {
            self.only_positional = true;
        } else if let Some(name) = word.strip_prefix("--") {
            match name.split_once('=') {
                Some((name, value)) => self.long(name).into_iter().for_each(|arg| self.note(arg, value)),
                None => self.pending = self.long(name).filter(|arg| takes_value(arg)),
            }
        } else if let Some(shorts) = word.strip_prefix('-').filter(|shorts| !shorts.is_empty()) {
            // `-n` waits for a value, `-nshop` has it.
            let mut chars = shorts.chars();
            while let Some(arg) = chars.next().map(|c| self.short(c)) {
                if let Some(arg) = arg.filter(|arg| takes_value(arg)) {
                    match chars.as_str() {
                        "" => self.pending = Some(arg),
                        value => self.note(arg, value.trim_start_matches('=')),
                    }
                    break;
                }
            }
        } else if let Some(verb) = self.command.find_subcommand(word).filter(|_| self.positional.is_empty()) {
            (self.over, self.command) = (self.command, verb);
        } else {
            self.positional.push(word.to_owned());
        }
    }

    /// A flag has this value.
    fn note(&mut self, arg: &Arg, value: &str) {
        if arg.get_id() == "container" {
            self.container = Some(value.to_owned());
        }
    }

    fn wanted(&self, last: &str) -> Wanted {
        if let Some(arg) = self.pending {
            return self.value(arg, "");
        }
        if !self.only_positional && last.starts_with('-') {
            if let Some((name, _)) = last.strip_prefix("--").and_then(|rest| rest.split_once('=')) {
                return self.long(name).map_or(Wanted::Nothing, |arg| self.value(arg, &format!("--{name}=")));
            }
            return Wanted::Words(self.flags());
        }
        let verbs: Vec<Candidate> = self
            .command
            .get_subcommands()
            .filter(|verb| !verb.is_hide_set() && self.positional.is_empty())
            .map(|verb| Candidate::new(verb.get_name(), about(verb.get_about())))
            .collect();
        if !verbs.is_empty() {
            return Wanted::Words(verbs);
        }
        self.word(last)
    }

    fn flags(&self) -> Vec<Candidate> {
        let shown = self.command.get_arguments().filter(|arg| !arg.is_hide_set());
        let mut flags: Vec<Candidate> = shown
            .filter_map(|arg| {
                let equals =
                    if arg.is_require_equals_set() && arg.get_default_values().is_empty() { "=" } else { "" };
                Some(Candidate::new(format!("--{}{equals}", arg.get_long()?), about(arg.get_help())))
            })
            .collect();
        flags.sort_by(|a, b| a.value.cmp(&b.value));
        flags
    }

    /// A word that is no flag.
    fn word(&self, last: &str) -> Wanted {
        let positionals: Vec<&Arg> = self.command.get_positionals().collect();
        let many = |arg: &Arg| arg.get_num_args().is_some_and(|range| range.max_values() > 1);
        let place = self.positional.len();
        let at = positionals.get(place).or_else(|| positionals.last().filter(|arg| many(arg)));
        let Some(arg) = at else { return Wanted::Nothing };
        let choices = choices(arg, "");
        if !choices.is_empty() {
            return Wanted::Words(choices);
        }
        let meaning = arg.get_value_names().and_then(|names| names.first()).map(|name| name.to_string());
        let meaning = meaning.unwrap_or_default();
        if meaning.contains(".FIELD") {
            return Wanted::Fields;
        }
        if self.command.get_name() == "can-i" {
            return self.of_right(arg, last);
        }
        match meaning.as_str() {
            "CONTEXT" => return Wanted::Entries(Kind::Context, String::new()),
            "CLUSTER" => return Wanted::Entries(Kind::Cluster, String::new()),
            // Whom a key stands for is a user of the cluster, and not an entry of a kubeconfig.
            "USER" if arg.get_id() == "whom" => return Wanted::Nothing,
            "USER" => return Wanted::Entries(Kind::User, String::new()),
            // `create token NAME`
            "NAME" if self.command.get_name() == "token" => {
                return Wanted::Named("serviceaccounts", String::new());
            }
            "SERVER" => return Wanted::Servers,
            // `certs approve NAME`
            "NAME"
                if self.over.get_name() == "certs"
                    && matches!(self.command.get_name(), "approve" | "deny") =>
            {
                return Wanted::Named("certificatesigningrequests", String::new());
            }
            "INSTANCE" if last.contains('/') => return Wanted::Kinds,
            "INSTANCE" => return Wanted::Named(INSTANCES, String::new()),
            "FROM" | "TO" if self.command.get_name() == "cp" => return self.copy_end(last),
            "NODE" => return Wanted::Named("nodes.hypermesh.online", String::new()),
            "KEY" if arg.get_id() == "keys" => return Wanted::Keys,
            "TOKEN" if arg.get_id() == "tokens" => return Wanted::Tokens,
            _ => {}
        }
        if arg.get_id() != "words" && !meaning.contains("TYPE") {
            return Wanted::Nothing;
        }
        // `label wl web a=b`: what is no name of an object is not known here.
        match self.positional.iter().find(|word| !word.contains('=')) {
            Some(kind) if !kind.contains('/') && !last.contains('/') => Wanted::Names(kind.clone()),
            None if !last.contains('/') && !self.kinds().is_empty() => Wanted::Words(
                self.kinds().iter().map(|kind| Candidate::new(format!("{kind}/"), "")).collect(),
            ),
            _ => Wanted::Kinds,
        }
    }

    /// What is asked whether it is allowed: a verb, a type or `type/name`, and a name.
    fn of_right(&self, arg: &Arg, last: &str) -> Wanted {
        match (arg.get_id().as_str(), self.positional.get(1)) {
            ("verb", _) => Wanted::Words(usual_verbs("")),
            ("what", _) if last.starts_with('/') => Wanted::Nothing,
            ("what", _) => Wanted::Kinds,
            (_, Some(kind)) if !kind.contains('/') => Wanted::Names(kind.clone()),
            _ => Wanted::Nothing,
        }
    }

    /// Of the two ends of a copy one is a path of this machine: what it is not yet, the other may be.
    fn copy_end(&self, last: &str) -> Wanted {
        let is_there = self.positional.iter().any(|word| remote_end(word).is_some());
        match remote_end(last) {
            Some(_) if is_there => Wanted::Nothing,
            Some((instance, path)) => Wanted::Remote {
                instance: instance.to_owned(),
                container: self.container.clone(),
                path: path.to_owned(),
            },
            None if last.starts_with(['.', '/', '~']) || is_there => Wanted::Files,
            None if !self.positional.is_empty() => Wanted::Instances,
            None => Wanted::CopyEnd,
        }
    }

    /// The types that the verb is about, where it is not about all of them.
    fn kinds(&self) -> &'static [&'static str] {
        match (self.over.get_name(), self.command.get_name()) {
            ("rollout", _) => &["workload"],
            (_, "why") => &["workload", "instance", "pod"],
            _ => &[],
        }
    }

    /// The object that the line names: `TYPE NAME` or `TYPE/NAME`, or the name of an instance alone.
    fn object(&self) -> Option<(String, String)> {
        let first = self.command.get_positionals().next().and_then(Arg::get_value_names);
        let of_instances = first.is_some_and(|names| names.iter().any(|name| *name == "INSTANCE"));
        if self.command.get_name() == "cp" {
            let (instance, _) = self.positional.iter().find_map(|word| remote_end(word))?;
            let named = instance.split_once('/').unwrap_or((INSTANCES, instance));
            return Some((named.0.to_owned(), named.1.to_owned()));
        }
        match self.positional.as_slice() {
            [one, ..] if one.contains('/') => {
                one.split_once('/').map(|(kind, name)| (kind.into(), name.into()))
            }
            [name, ..] if of_instances => Some((INSTANCES.to_owned(), name.clone())),
            [kind, name, ..] => Some((kind.clone(), name.clone())),
            _ => None,
        }
    }

    /// The value of a flag, behind `prefix`.
    fn value(&self, arg: &Arg, prefix: &str) -> Wanted {
        let choices = choices(arg, prefix);
        if !choices.is_empty() {
            return Wanted::Words(choices);
        }
        let words = |values: &[&str]| {
            Wanted::Words(values.iter().map(|value| Candidate::new(format!("{prefix}{value}"), "")).collect())
        };
        let meaning = arg.get_value_names().and_then(|names| names.first()).map(|name| name.to_string());
        let is_template = self.over.get_name() == "rollout"
            && arg.get_long().is_some_and(|long| matches!(long, "revision" | "to-revision"));
        match arg.get_id().as_str() {
            _ if is_template => match self.object() {
                Some((kind, name)) => Wanted::Templates(kind, name, prefix.to_owned()),
                None => Wanted::Nothing,
            },
            "namespace" => Wanted::Namespaces(prefix.to_owned()),
            "context" => Wanted::Entries(Kind::Context, prefix.to_owned()),
            "cluster" => Wanted::Entries(Kind::Cluster, prefix.to_owned()),
            // Who is bound is a user of the cluster, and not an entry of a kubeconfig.
            "user" if self.command.get_name().ends_with("binding") => Wanted::Nothing,
            "user" => Wanted::Entries(Kind::User, prefix.to_owned()),
            "clusterrole" => Wanted::Named("clusterroles", prefix.to_owned()),
            "role" => Wanted::Named("roles", prefix.to_owned()),
            "serviceaccount" => Wanted::Accounts(prefix.to_owned()),
            "revision" | "diff" | "to_revision" => match self.object() {
                Some((kind, name)) => Wanted::Revisions(kind, name, prefix.to_owned()),
                None => Wanted::Nothing,
            },
            "output" if meaning.as_deref() == Some("FORM") => words(&[
                "json",
                "yaml",
                "wide",
                "name",
                "jsonpath=",
                "jsonpath-file=",
                "custom-columns=",
                "custom-columns-file=",
            ]),
            "output" => words(&["json", "yaml", "wide", "name"]),
            "subresource" => words(&["status", "scale"]),
            "types" => words(&["Normal", "Warning"]),
            "goal" => words(&["condition=", "create", "delete", "jsonpath="]),
            "container" => {
                self.object().map_or(Wanted::Nothing, |(kind, name)| Wanted::Containers(kind, name))
            }
            "about" => Wanted::Kinds,
            // Of `create role`.
            "verb" => Wanted::Words(usual_verbs(prefix)),
            "resource" if prefix.is_empty() => Wanted::Kinds,
            _ => match meaning.as_deref() {
                Some("FILE" | "DIR" | "FOLDER" | "PATH_OF_FILE") => Wanted::Files,
                _ => Wanted::Nothing,
            },
        }
    }
}

/// `INSTANCE:PATH` in two, as `cp` reads it.
fn remote_end(word: &str) -> Option<(&str, &str)> {
    word.split_once(':').filter(|(instance, _)| !instance.is_empty() && !instance.starts_with(['.', '/']))
}

/// Verbs that rights are about, behind what stands already.
fn usual_verbs(prefix: &str) -> Vec<Candidate> {
    let verbs = verbs::OF_OBJECTS.iter().filter(|verb| **verb != "*");
    verbs.map(|verb| Candidate::new(format!("{prefix}{verb}"), "")).collect()
}

fn choices(arg: &Arg, prefix: &str) -> Vec<Candidate> {
    if !arg.get_action().takes_values() {
        return Vec::new();
    }
    let visible = arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set());
    visible
        .map(|value| Candidate::new(format!("{prefix}{}", value.get_name()), about(value.get_help())))
        .collect()
}

fn about(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory as _;

    fn wanted(line: &str) -> Wanted {
        let mut command = Cli::command();
        command.build();
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        understand(&command, &words)
    }

    fn values(line: &str) -> Vec<String> {
        match wanted(line) {
            Wanted::Words(candidates) => candidates.into_iter().map(|c| c.value).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_are_understood() {
        assert!(values("").contains(&"get".to_owned()) && !values("").iter().any(|v| v.starts_with('_')));
        assert!(values("get --").contains(&"--sort-by".to_owned()));
        assert!(values("get --").contains(&"--namespace".to_owned()));
        assert_eq!(wanted("get "), Wanted::Kinds);
        assert_eq!(wanted("get wl"), Wanted::Kinds);
        assert_eq!(wanted("get wl "), Wanted::Names("wl".into()));
        assert_eq!(wanted("-n shop get -o yaml wl web"), Wanted::Names("wl".into()));
        assert_eq!(wanted("get wl/"), Wanted::Kinds);
        assert_eq!(wanted("get wl/web "), Wanted::Kinds);
        assert_eq!(wanted("get -n "), Wanted::Namespaces(String::new()));
        assert_eq!(wanted("get -nshop "), Wanted::Kinds);
        assert_eq!(wanted("get --namespace=x"), Wanted::Namespaces("--namespace=".into()));
        let entries = |kind| Wanted::Entries(kind, String::new());
        assert_eq!(wanted("--context "), entries(Kind::Context));
        assert_eq!(wanted("get --cluster "), entries(Kind::Cluster));
        assert_eq!(wanted("config use-context "), entries(Kind::Context));
        assert_eq!(wanted("config get-contexts a "), entries(Kind::Context));
        assert_eq!(wanted("config delete-user "), entries(Kind::User));
        assert_eq!(wanted("config rename-context a "), Wanted::Nothing);
        assert_eq!(wanted("config forget-cluster "), Wanted::Servers);
        assert_eq!(wanted("auth register "), Wanted::Nothing);
        assert_eq!(wanted("auth revoke 3f9c2b7a "), Wanted::Keys);
        assert_eq!(wanted("token delete "), Wanted::Tokens);
        assert_eq!(wanted("apply -f "), Wanted::Files);
        assert_eq!(wanted("explain work"), Wanted::Fields);
        assert_eq!(wanted("events --for wl/"), Wanted::Kinds);
        assert_eq!(values("completion "), ["bash", "zsh", "fish"]);
        assert!(values("get wl -o ").contains(&"jsonpath=".to_owned()));
        assert!(values("get --color ").contains(&"never".to_owned()));
        assert!(values("auth ").contains(&"can-i".to_owned()));
        assert_eq!(wanted("version x y z"), Wanted::Nothing);
        let revisions = |prefix: &str| Wanted::Revisions("wl".into(), "web".into(), prefix.into());
        assert_eq!(wanted("history wl/web --revision "), revisions(""));
        assert_eq!(wanted("history wl web --diff="), revisions("--diff="));
        assert_eq!(wanted("rollback wl web --to-revision 4"), revisions(""));
        assert_eq!(wanted("history --revision "), Wanted::Nothing);
        let templates = |prefix: &str| Wanted::Templates("workload".into(), "web".into(), prefix.into());
        assert_eq!(wanted("rollout undo workload/web --to-revision "), templates(""));
        assert_eq!(wanted("rollout history workload web --revision="), templates("--revision="));
        assert_eq!(wanted("rollout undo --to-revision "), Wanted::Nothing);
        assert_eq!(wanted("rollback wl "), Wanted::Names("wl".into()));
        assert_eq!(wanted("create token "), Wanted::Named("serviceaccounts", String::new()));
        assert_eq!(
            wanted("create rolebinding x --clusterrole "),
            Wanted::Named("clusterroles", String::new())
        );
        assert_eq!(wanted("create rolebinding x --role=v"), Wanted::Named("roles", "--role=".into()));
        assert_eq!(wanted("create rolebinding x --serviceaccount "), Wanted::Accounts(String::new()));
        assert_eq!(wanted("create rolebinding x --user "), Wanted::Nothing);
        assert_eq!(wanted("node drain "), Wanted::Named("nodes.hypermesh.online", String::new()));
    }

    #[test]
    fn what_runs_is_offered_where_it_is_asked_for() {
        let instances = Wanted::Named(INSTANCES, String::new());
        for verb in ["logs", "exec", "attach", "port-forward"] {
            assert_eq!(wanted(&format!("{verb} ")), instances, "{verb}");
            assert_eq!(wanted(&format!("{verb} workload/")), Wanted::Kinds, "{verb}");
        }
        let containers = |kind: &str, name: &str| Wanted::Containers(kind.into(), name.into());
        assert_eq!(wanted("logs web-1 -c "), containers(INSTANCES, "web-1"));
        assert_eq!(wanted("exec workload/web -c "), containers("workload", "web"));
        assert_eq!(containers(INSTANCES, "web-1"), wanted("cp web-1:/srv . -c "));
        assert_eq!(containers("workload", "web"), wanted("cp ./x workload/web:/srv --container="));
        assert_eq!(
            (wanted("cp "), wanted("cp we"), wanted("cp ./we")),
            (Wanted::CopyEnd, Wanted::CopyEnd, Wanted::Files)
        );
        assert_eq!((wanted("cp web-1:/a "), wanted("cp web-1:/a x")), (Wanted::Files, Wanted::Files));
        assert_eq!((wanted("cp ./a "), wanted("cp ./a ./b")), (Wanted::Instances, Wanted::Files));
        assert_eq!(wanted("cp web-1:/a db-1:/"), Wanted::Nothing);
        let remote = |container: Option<&str>| Wanted::Remote {
            instance: "pod/web-1".into(),
            container: container.map(str::to_owned),
            path: "/srv/".into(),
        };
        assert_eq!(wanted("cp pod/web-1:/srv/"), remote(None));
        for container in ["-c db", "-cdb", "--container db", "--container=db"] {
            assert_eq!(
                wanted(&format!("cp {container} ./a pod/web-1:/srv/")),
                remote(Some("db")),
                "{container}"
            );
        }
        assert!(values("auth can-i ").contains(&"delete".to_owned()));
        assert_eq!((wanted("auth can-i get "), wanted("auth can-i get wl/")), (Wanted::Kinds, Wanted::Kinds));
        assert_eq!(wanted("auth can-i get wl "), Wanted::Names("wl".into()));
        assert_eq!(wanted("auth can-i get /me"), Wanted::Nothing);
        assert!(values("create role x --verb=").contains(&"--verb=list".to_owned()));
        assert_eq!(wanted("create role x --resource "), Wanted::Kinds);
        let requests = Wanted::Named("certificatesigningrequests", String::new());
        assert_eq!((wanted("certs approve "), wanted("certs deny a ")), (requests.clone(), requests));
        assert_eq!(values("why "), ["workload/", "instance/", "pod/"]);
        assert_eq!(wanted("why workload/"), Wanted::Kinds);
        assert_eq!(wanted("why instance "), Wanted::Names("instance".into()));
        assert_eq!(values("rollout restart "), ["workload/"]);
        assert_eq!(wanted("rollout restart wl/"), Wanted::Kinds);
    }
}
