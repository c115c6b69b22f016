//! Credential plugins: the program that a kubeconfig names is run, and what it says is who the caller is.
//!
//! It gets the question in `KUBERNETES_EXEC_INFO` and answers on standard output; standard error stays the caller's.
//! What it answers is never shown, since it holds secrets. It is kept in memory until it expires, and nowhere else.
//!
//! Source: `client.authentication.k8s.io/v1`, and `k8s.io/client-go/plugin/pkg/client/auth/exec`.

mod waiting;

use crate::kubeconfig::{Error, Interactive, Plugin};
use hypermesh_client::Material;
use serde::Deserialize;
use serde_json::json;
use std::{
    io::{self, ErrorKind, Read as _},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{RecvTimeoutError, channel},
    time::{Duration, Instant, SystemTime},
};
use waiting::Waiting;

/// The variable that holds the question.
const QUESTION: &str = "KUBERNETES_EXEC_INFO";
/// The longest that a plugin may take that asks nobody anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest that one may take that may ask: people look for their keys, or log in with a browser.
const PATIENCE_WITH_PEOPLE: Duration = Duration::from_secs(600);
/// The longest answer that is read, in bytes.
const LARGEST: u64 = 1 << 20;
/// How often a plugin is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// How long the output of a plugin that has ended is still read: what it left running may hold it open for good.
const AFTER_END: Duration = Duration::from_secs(1);

/// What a plugin hands out.
#[derive(Clone, PartialEq)]
pub struct Credential {
    /// A bearer token.
    pub token: Option<String>,
    /// A certificate chain and its key.
    pub certificate: Option<(Material, Material)>,
    /// When it is worth nothing any more.
    pub expires: Option<SystemTime>,
}

/// Runs a plugin. `terminal`: whether standard input is one, so that it can ask; `screen`: how wide the terminal behind
/// standard error is, where this may show what is waited for.
pub fn run(plugin: &Plugin, terminal: bool, screen: Option<usize>) -> Result<Credential, Error> {
    let interactive = match plugin.interactive {
        Interactive::Never => false,
        Interactive::IfAvailable => terminal,
        Interactive::Always if terminal => true,
        Interactive::Always => {
            return Err(plugin.fault(format!(
                "{} has to ask (interactiveMode: Always), and standard input is no terminal",
                plugin.command.display()
            )));
        }
    };
    let most = if interactive { PATIENCE_WITH_PEOPLE } else { PATIENCE };
    let mut err = io::stderr();
    let mut waiting = Waiting::new(plugin, most, interactive, screen, &mut err);
    let answer = ask(plugin, interactive, most, &mut |child| waiting.look(Instant::now(), child));
    waiting.end();
    read(plugin, &answer?, SystemTime::now())
}

/// Runs a plugin, and gives what it answers. While it runs, `look` is called often, with its process id.
fn ask(
    plugin: &Plugin,
    interactive: bool,
    most: Duration,
    look: &mut dyn FnMut(u32),
) -> Result<Vec<u8>, Error> {
    let shown = plugin.command.display();
    let mut spec = json!({"interactive": interactive});
    if let Some(cluster) = &plugin.cluster {
        spec["cluster"] = cluster.clone();
    }
    let question = json!({"apiVersion": plugin.version, "kind": "ExecCredential", "spec": spec});
    let started = Command::new(&plugin.command)
        .args(&plugin.arguments)
        .envs(plugin.variables.iter().map(|(name, value)| (name, value)))
        .env(QUESTION, question.to_string())
        .stdin(if interactive { Stdio::inherit() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .spawn();
    let mut child = started.map_err(|error| plugin.fault(not_started(plugin, &error)))?;
    match finish(&mut child, most, look) {
        Ok((_, answer)) if answer.len() as u64 > LARGEST => {
            Err(plugin.fault(format!("{shown} said more than {LARGEST} bytes, which no credential is")))
        }
        Ok((status, answer)) if status.success() => Ok(answer),
        Ok((status, _)) => {
            let how = match status.code() {
                Some(code) => format!("ended with {code}"),
                None => "was killed".to_owned(),
            };
            Err(plugin
                .fault(format!("{shown} {how}, so there are no credentials: run it by itself to see why")))
        }
        Err(error) => {
            // It is ours, and has not been waited for.
            let _ = child.kill();
            let _ = child.wait();
            let why = match error.kind() {
                ErrorKind::TimedOut => format!("handed out nothing within {} s", most.as_secs()),
                _ => format!("cannot be listened to: {error}"),
            };
            Err(plugin.fault(format!("{shown} {why}")))
        }
    }
}

/// How the child ends, and what it has said. On an error it may still run.
fn finish(child: &mut Child, most: Duration, look: &mut dyn FnMut(u32)) -> io::Result<(ExitStatus, Vec<u8>)> {
    let begin = Instant::now();
    let output = child.stdout.take().ok_or_else(|| io::Error::other("it has no output"))?;
    let (said, answers) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.take(LARGEST + 1).read_to_end(&mut bytes).map(|_| bytes);
        // Nobody listens any more where it took too long.
        let _ = said.send(read);
    });
    let (mut answer, mut ended) = (None, None);
    loop {
        if answer.is_some() {
            std::thread::sleep(LOOK);
        } else {
            match answers.recv_timeout(LOOK) {
                Ok(bytes) => answer = Some(bytes?),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other("its output cannot be read"));
                }
            }
        }
        if ended.is_none() {
            ended = child.try_wait()?.map(|status| (status, Instant::now()));
        }
        match (ended, answer.take()) {
            (Some((status, _)), Some(answer)) => return Ok((status, answer)),
            (Some((_, at)), None) if at.elapsed() >= AFTER_END => {
                return Err(io::Error::other(
                    "it has ended, and something that it started holds its output open",
                ));
            }
            (_, bytes) => answer = bytes,
        }
        if begin.elapsed() >= most {
            return Err(io::Error::from(ErrorKind::TimedOut));
        }
        look(child.id());
    }
}

fn not_started(plugin: &Plugin, error: &io::Error) -> String {
    let shown = plugin.command.display();
    let mut text = match error.kind() {
        ErrorKind::NotFound => format!("there is no program {shown}, which is to hand out credentials"),
        _ => format!("cannot run {shown}, which is to hand out credentials: {error}"),
    };
    if let Some(hint) = plugin.hint.as_ref().filter(|_| error.kind() == ErrorKind::NotFound) {
        text.push_str(&format!("\n\n{hint}"));
    }
    text
}

/// What plugins say.
#[derive(Deserialize)]
struct Answer {
    #[serde(default, rename = "apiVersion")]
    version: String,
    #[serde(default)]
    kind: String,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    client_certificate_data: Option<String>,
    #[serde(default)]
    client_key_data: Option<String>,
    #[serde(default)]
    expiration_timestamp: serde_json::Value,
}

/// Reads an answer. Nothing of it is in any error, but for when it expires.
fn read(plugin: &Plugin, answer: &[u8], now: SystemTime) -> Result<Credential, Error> {
    let shown = plugin.command.display();
    let fault = |what: String| plugin.fault(format!("{shown} {what}"));
    let Answer { version, kind, status } = serde_json::from_slice(answer).map_err(|error| {
        // The parser's words would quote the answer.
        fault(format!("said something that is no ExecCredential, at {}:{}", error.line(), error.column()))
    })?;
    if kind != "ExecCredential" || version != plugin.version {
        let wanted = &plugin.version;
        return Err(fault(format!(
            "answered with {version:?} {kind:?}, and the kubeconfig asks for {wanted:?} \"ExecCredential\""
        )));
    }
    let status = status.ok_or_else(|| fault("answered without a status".to_owned()))?;
    let token = status.token.filter(|token| !token.is_empty());
    if token.as_ref().is_some_and(|token| !token.chars().all(|c| c.is_ascii_graphic())) {
        return Err(fault("handed out a token with characters that no token has".to_owned()));
    }
    let material = |field: &str, pem: String| Material {
        pem: pem.into_bytes(),
        origin: format!("{}: {field} of {shown}", plugin.place),
    };
    let full = |text: Option<String>| text.filter(|text| !text.is_empty());
    let certificate = match (full(status.client_certificate_data), full(status.client_key_data)) {
        (Some(certificate), Some(key)) => {
            Some((material("clientCertificateData", certificate), material("clientKeyData", key)))
        }
        (None, None) => None,
        (Some(_), None) => return Err(fault("handed out a certificate without its key".to_owned())),
        (None, Some(_)) => return Err(fault("handed out a key without its certificate".to_owned())),
    };
    if token.is_none() && certificate.is_none() {
        return Err(fault("handed out neither a token nor a certificate".to_owned()));
    }
    let expiry = match status.expiration_timestamp {
        serde_json::Value::Null => None,
        given => {
            let time = given.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
            let wrong = "handed out credentials whose status.expirationTimestamp is no time of the form \
                         2026-11-21T09:30:00Z (RFC 3339)";
            Some(time.ok_or_else(|| fault(wrong.to_owned()))?)
        }
    };
    let expires = expiry.map(SystemTime::from);
    if let (Some(at), true) = (expiry, expires.is_some_and(|expires| expires <= now)) {
        return Err(fault(format!(
            "handed out credentials that have expired ({at}): log in again with it, and look at this machine's clock"
        )));
    }
    Ok(Credential { token, certificate, expires })
}

#[cfg(test)]
mod tests;
