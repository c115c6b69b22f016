//! Routes: what an agent is asked, as a method, a path and a query, and back.
//!
//! Parameters have the names that Kubernetes' have, so that what a client asks the API server
//! (`…/pods/web-0/exec?command=sh&stdin=true`) and what the agent is asked differ in the path alone. [`Route::of_api`] is
//! the one reading of the former: the API server forwards by it, and an agent holds a user's signed request against it.

use crate::frame::Resize;
use hypermesh_api::query::Query;
use hypermesh_api::request::{RequestInfo, Target};
use hypermesh_api::{FieldError, Status, Subject};

/// Arguments of a command, at most.
const MOST_ARGUMENTS: usize = 1024;
/// Bytes of a command, at most.
const MOST_COMMAND: usize = 48 * 1024;

/// What an agent is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The log of a container.
    Log(Instance, LogOptions),
    /// A command in a container.
    Exec(Instance, Terminal),
    /// What a container reads and writes.
    Attach(Instance, Terminal),
    /// One connection to a port of an instance. 0: not said yet, which no agent takes.
    PortForward(Instance, u16),
    /// Usage of the node and what runs there.
    Stats,
    /// What it counts, as Prometheus scrapes it.
    Metrics,
    /// Its images.
    Images(ImageAction),
}

/// An instance on the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instance {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: the agent answers 404 for another of the same name. Empty where it is not known, which no agent takes.
    pub uid: String,
}

/// What of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Whose; left out: the only container's, or that of the annotation `kubectl.kubernetes.io/default-container`.
    pub container: Option<String>,
    /// Whether to go on as it grows.
    pub follow: bool,
    /// Of the run before the last restart.
    pub previous: bool,
    /// Whether each line begins with its time, RFC 3339 in nanoseconds.
    pub timestamps: bool,
    /// So many lines from the end.
    pub tail_lines: Option<u64>,
    /// From when on.
    pub since: Option<Since>,
    /// Bytes at most.
    pub limit_bytes: Option<u64>,
}

/// From when on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Since {
    /// So many seconds ago.
    Seconds(u64),
    /// RFC 3339.
    Time(String),
}

/// An exec or attach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terminal {
    /// In which container; left out: as for logs.
    pub container: Option<String>,
    /// The command and its arguments, not through a shell; empty for an attach.
    pub command: Vec<String>,
    /// Whether it is given input.
    pub stdin: bool,
    /// Whether its output is wanted.
    pub stdout: bool,
    /// Whether its errors are wanted; never with a terminal, which shows both as output.
    pub stderr: bool,
    /// Whether it has a terminal.
    pub tty: bool,
    /// How large the terminal is to begin with, where it is said. Kubernetes' clients say it later, by a resize.
    pub size: Option<Resize>,
}

/// What is done to a node's images; see [`crate::image`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageAction {
    /// Tell all, or one by name or digest.
    List(Option<String>),
    /// Pull one.
    Pull(String),
    /// Take the archive that is sent.
    Import,
    /// Remove a name, or all of a digest's.
    Remove(String),
}

impl Route {
    /// The method it is asked by.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self {
            Self::Log(..) | Self::Stats | Self::Metrics | Self::Images(ImageAction::List(_)) => "GET",
            Self::Images(ImageAction::Remove(_)) => "DELETE",
            _ => "POST",
        }
    }

    /// Path and query.
    #[must_use]
    pub fn target(&self) -> String {
        match self {
            Self::Log(instance, options) => {
                let mut to = Writer::at("/v1/log", instance);
                options.write(&mut to);
                to.0
            }
            Self::Exec(instance, terminal) => terminal.written(Writer::at("/v1/exec", instance)),
            Self::Attach(instance, terminal) => terminal.written(Writer::at("/v1/attach", instance)),
            Self::PortForward(instance, port) => {
                let mut to = Writer::at("/v1/portforward", instance);
                to.pair("port", &port.to_string());
                to.0
            }
            Self::Stats => "/v1/stats".to_owned(),
            Self::Metrics => "/v1/metrics".to_owned(),
            Self::Images(action) => {
                let mut to = Writer("/v1/images".to_owned());
                if let Some(reference) = action.reference() {
                    to.pair("reference", reference);
                }
                to.0
            }
        }
    }

    /// Reads what an agent is asked. 404 for a path there is not, 405 for another method, 400 or 422 for a query that
    /// cannot be meant.
    pub fn parse(method: &str, target: &str) -> Result<Self, Box<Status>> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = Query::parse(query)?;
        let instance = || Instance::parse(&query);
        let route = match path {
            "/v1/log" => Self::Log(instance()?, LogOptions::parse(&query)?),
            "/v1/exec" => Self::Exec(instance()?, Terminal::parse(&query, true)?),
            "/v1/attach" => Self::Attach(instance()?, Terminal::parse(&query, false)?),
            "/v1/portforward" => match port(&query)? {
                Some(port) => Self::PortForward(instance()?, port),
                None => return Err(bad("port is missing")),
            },
            "/v1/stats" => Self::Stats,
            "/v1/metrics" => Self::Metrics,
            "/v1/images" => Self::Images(ImageAction::parse(method, &query)?),
            _ => return Err(Box::new(Status::unknown_path())),
        };
        if route.method() == method {
            return Ok(route);
        }
        let words = format!("{path} is asked by {}, not {method}", route.method());
        Err(Box::new(Status::failure(405, "MethodNotAllowed", words)))
    }

    /// What a request to the API server about a subresource of a Pod (or Instance) or Node asks of an agent; `None` where it
    /// asks none. The instance's uid is not known from it, and the port of a forwarded connection may come later.
    pub fn of_api(info: &RequestInfo, method: &str, query: &Query) -> Result<Option<Self>, Box<Status>> {
        let instance =
            || Instance { namespace: info.namespace.clone(), name: info.name.clone(), uid: String::new() };
        let pods = info.group.is_empty() && info.resource == "pods";
        let ours = info.group == "hypermesh.online";
        let route = match (info.resource.as_str(), info.subresource.as_str()) {
            ("nodes", "images") if ours => Self::Images(ImageAction::parse(method, query)?),
            ("nodes", "stats") if ours => Self::Stats,
            ("nodes", "metrics") if ours => Self::Metrics,
            ("pods" | "instances", subresource) if pods || (ours && info.resource == "instances") => {
                match subresource {
                    "log" => Self::Log(instance(), LogOptions::parse(query)?),
                    "exec" => Self::Exec(instance(), Terminal::parse(query, true)?),
                    "attach" => Self::Attach(instance(), Terminal::parse(query, false)?),
                    "portforward" => Self::PortForward(instance(), port(query)?.unwrap_or_default()),
                    _ => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        Ok(Some(route))
    }

    /// The same of method, path and query as they were sent, and signed.
    pub fn of_signed(method: &str, target: &str) -> Result<Option<Self>, Box<Status>> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = Query::parse(query)?;
        match Target::parse(method, path, &query)? {
            Target::Resource(info) => Self::of_api(&info, method, &query),
            Target::NonResource(_) => Ok(None),
        }
    }

    /// Which container it is about, where it is about one.
    fn container_mut(&mut self) -> Option<&mut Option<String>> {
        match self {
            Self::Log(_, options) => Some(&mut options.container),
            Self::Exec(_, terminal) | Self::Attach(_, terminal) => Some(&mut terminal.container),
            Self::PortForward(..) | Self::Stats | Self::Metrics | Self::Images(_) => None,
        }
    }

    /// The instance that it is about.
    #[must_use]
    pub fn instance(&self) -> Option<&Instance> {
        match self {
            Self::Log(instance, _)
            | Self::Exec(instance, _)
            | Self::Attach(instance, _)
            | Self::PortForward(instance, _) => Some(instance),
            Self::Stats | Self::Metrics | Self::Images(_) => None,
        }
    }

    /// The same about the instance with this uid.
    #[must_use]
    pub fn with_uid(mut self, is: &str) -> Self {
        match &mut self {
            Self::Log(instance, _)
            | Self::Exec(instance, _)
            | Self::Attach(instance, _)
            | Self::PortForward(instance, _) => is.clone_into(&mut instance.uid),
            Self::Stats | Self::Metrics | Self::Images(_) => {}
        }
        self
    }

    /// The same for one connection to this port.
    #[must_use]
    pub fn with_port(mut self, is: u16) -> Self {
        if let Self::PortForward(_, port) = &mut self {
            *port = is;
        }
        self
    }

    /// Whether `asked`, which a user signed, covers this: the same but for the uid, and for a port or a container that it
    /// leaves open.
    #[must_use]
    pub fn is_covered_by(&self, asked: &Self) -> bool {
        let mut asked = match (self, asked) {
            (Self::PortForward(_, port), Self::PortForward(_, 0)) => asked.clone().with_port(*port),
            _ => asked.clone(),
        };
        if let (Some(open @ None), Some(container)) = (asked.container_mut(), self.clone().container_mut()) {
            open.clone_from(container);
        }
        let uid = self.instance().map(|instance| instance.uid.as_str()).unwrap_or_default();
        asked.with_uid(uid) == *self
    }
}

fn bad(words: &str) -> Box<Status> {
    Box::new(Status::bad_request(words))
}

fn text(query: &Query, key: &str) -> Option<String> {
    query.first(key).filter(|value| !value.is_empty()).map(str::to_owned)
}

fn port(query: &Query) -> Result<Option<u16>, Box<Status>> {
    match query.first("port") {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(port) if port > 0 => Ok(Some(port)),
            _ => Err(bad(&format!("port {text:?} is none: 1 to 65535"))),
        },
    }
}

impl Instance {
    fn parse(query: &Query) -> Result<Self, Box<Status>> {
        let part = |key: &str| text(query, key).ok_or_else(|| bad(&format!("{key} is missing")));
        Ok(Self { namespace: part("namespace")?, name: part("name")?, uid: part("uid")? })
    }
}

impl LogOptions {
    /// Reads Kubernetes' PodLogOptions. 422 for what they cannot be.
    pub fn parse(query: &Query) -> Result<Self, Box<Status>> {
        let mut errors = Vec::new();
        let mut number = |key: &'static str, least: i64| -> Result<Option<u64>, Box<Status>> {
            let Some(value) = query.integer(key)? else { return Ok(None) };
            if value < least {
                let words = if least == 0 { "must be non-negative" } else { "must be greater than 0" };
                errors.push(FieldError::invalid(key, value.into(), words));
            }
            Ok(u64::try_from(value).ok())
        };
        let tail_lines = number("tailLines", 0)?;
        let limit_bytes = number("limitBytes", 1)?;
        let seconds = number("sinceSeconds", 1)?;
        let time = text(query, "sinceTime");
        let since = match (seconds, time) {
            (Some(_), Some(_)) => {
                let words = "at most one of `sinceTime` or `sinceSeconds` may be specified";
                errors.push(FieldError::forbidden("", words));
                None
            }
            (Some(seconds), None) => Some(Since::Seconds(seconds)),
            (None, Some(time)) if is_rfc3339(&time) => Some(Since::Time(time)),
            (None, Some(time)) => {
                errors.push(FieldError::invalid("sinceTime", time.into(), "must be a time as in RFC 3339"));
                None
            }
            (None, None) => None,
        };
        if !errors.is_empty() {
            let subject = Subject { group: "", resource: "PodLogOptions", name: "" };
            return Err(Box::new(Status::invalid(subject, &errors)));
        }
        Ok(Self {
            container: text(query, "container"),
            follow: query.flag("follow"),
            previous: query.flag("previous"),
            timestamps: query.flag("timestamps"),
            tail_lines,
            since,
            limit_bytes,
        })
    }

    fn write(&self, to: &mut Writer) {
        to.optional("container", self.container.as_deref());
        to.flag("follow", self.follow);
        to.flag("previous", self.previous);
        to.flag("timestamps", self.timestamps);
        let numbers = [("tailLines", self.tail_lines), ("limitBytes", self.limit_bytes)];
        for (key, value) in numbers {
            to.optional(key, value.map(|value| value.to_string()).as_deref());
        }
        match &self.since {
            Some(Since::Seconds(seconds)) => to.pair("sinceSeconds", &seconds.to_string()),
            Some(Since::Time(time)) => to.pair("sinceTime", time),
            None => {}
        }
    }
}

/// Whether a text has the form of a time of RFC 3339; whether there is such a day is for who reads it.
fn is_rfc3339(text: &str) -> bool {
    let form = |text: &str, form: &str| {
        text.len() == form.len()
            && text
                .bytes()
                .zip(form.bytes())
                .all(|(c, f)| if f == b'0' { c.is_ascii_digit() } else { c == f })
    };
    let Some((day, rest)) = text.split_at_checked(19) else { return false };
    let digits = rest.strip_prefix('.').map_or(0, |f| f.bytes().take_while(u8::is_ascii_digit).count() + 1);
    let zone = rest.get(digits..).unwrap_or_default();
    form(day, "0000-00-00T00:00:00")
        && digits <= 10
        && digits != 1
        && (zone == "Z" || form(zone, "+00:00") || form(zone, "-00:00"))
}

impl Terminal {
    /// Reads Kubernetes' PodExecOptions, or PodAttachOptions, which have no command. 400 for what they cannot be.
    pub fn parse(query: &Query, command: bool) -> Result<Self, Box<Status>> {
        let needed = command;
        let command: Vec<String> =
            if needed { query.all("command").map(str::to_owned).collect() } else { Vec::new() };
        if needed && command.first().is_none_or(String::is_empty) {
            return Err(bad("you must specify a command: ?command=PROGRAM&command=ARGUMENT"));
        }
        let read = Self {
            container: text(query, "container"),
            stdin: query.flag("stdin"),
            // As PodAttachOptions' defaults, where nothing is said.
            stdout: query.optional_flag("stdout").unwrap_or(command.is_empty()),
            stderr: query.optional_flag("stderr").unwrap_or(command.is_empty()) && !query.flag("tty"),
            tty: query.flag("tty"),
            size: size(query).filter(|_| query.flag("tty")),
            command,
        };
        let bytes: usize = read.command.iter().map(String::len).sum();
        if read.command.len() > MOST_ARGUMENTS || bytes > MOST_COMMAND {
            return Err(bad(&format!(
                "the command has {} arguments of {bytes} bytes; the limits are {MOST_ARGUMENTS} and {MOST_COMMAND}",
                read.command.len()
            )));
        }
        if !(read.stdin || read.stdout || read.stderr) {
            return Err(bad("you must specify at least 1 of stdin, stdout, stderr"));
        }
        Ok(read)
    }

    fn written(&self, mut to: Writer) -> String {
        to.optional("container", self.container.as_deref());
        for argument in &self.command {
            to.pair("command", argument);
        }
        for (key, value) in
            [("stdin", self.stdin), ("stdout", self.stdout), ("stderr", self.stderr), ("tty", self.tty)]
        {
            to.pair(key, if value { "true" } else { "false" });
        }
        if let Some(size) = self.size.filter(|_| self.tty) {
            to.pair("width", &size.width.to_string());
            to.pair("height", &size.height.to_string());
        }
        to.0
    }
}

/// The size of a terminal; what is none is passed over, as a resize that is none.
fn size(query: &Query) -> Option<Resize> {
    let number = |key| query.first(key)?.parse::<u16>().ok().filter(|number| *number > 0);
    Some(Resize { width: number("width")?, height: number("height")? })
}

impl ImageAction {
    fn parse(method: &str, query: &Query) -> Result<Self, Box<Status>> {
        let reference = text(query, "reference");
        match (method, reference) {
            ("POST", Some(reference)) => Ok(Self::Pull(reference)),
            ("POST", None) => Ok(Self::Import),
            ("DELETE", Some(reference)) => Ok(Self::Remove(reference)),
            ("DELETE", None) => Err(bad("reference is missing: it names the image to remove")),
            (_, reference) => Ok(Self::List(reference)),
        }
    }

    fn reference(&self) -> Option<&str> {
        match self {
            Self::List(reference) => reference.as_deref(),
            Self::Pull(reference) | Self::Remove(reference) => Some(reference),
            Self::Import => None,
        }
    }
}

/// A target in the making.
struct Writer(String);

impl Writer {
    fn at(path: &str, instance: &Instance) -> Self {
        let mut to = Self(path.to_owned());
        to.pair("namespace", &instance.namespace);
        to.pair("name", &instance.name);
        to.pair("uid", &instance.uid);
        to
    }

    fn pair(&mut self, key: &str, value: &str) {
        self.0.push(if self.0.contains('?') { '&' } else { '?' });
        self.0.push_str(key);
        self.0.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b':') {
                self.0.push(char::from(byte));
            } else {
                self.0.push_str(&format!("%{byte:02X}"));
            }
        }
    }

    fn optional(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.pair(key, value);
        }
    }

    fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.pair(key, "true");
        }
    }
}

#[cfg(test)]
#[path = "route/tests.rs"]
mod tests;
