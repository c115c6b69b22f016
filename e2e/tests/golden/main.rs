//! Replies of the reference, request by request, against ours.
//!
//! `golden/` holds a transcript of a Kubernetes API server and the kind it was taken with. The requests are sent in
//! its order, with what happened between them; each reply is compared, or stands in [`differences`] with a reason.

mod compare;
mod differences;
mod transcript;

use anyhow::{Context as _, Result, ensure};
use differences::{DIFFERENCES, Difference};
use hypermesh_e2e::{Client, Cluster, Reply};
use hypermesh_schemas::KindDefinition;
use serde_json::json;
use transcript::Case;

const TRANSCRIPT: &[u8] = include_bytes!("../../golden/kubernetes-api-replies.txt");
const CRD: &str = include_str!("../../golden/crd.json");

/// The object that most requests are about.
const A1: &str = "/apis/hm.example.com/v1/namespaces/default/assets/a1";

#[test]
fn replies_are_those_of_the_reference() -> Result<()> {
    let kind = KindDefinition::from_crd(&serde_json::from_str(CRD)?)?;
    let cluster = Cluster::start(vec![kind])?;
    let mut replay = Replay {
        client: cluster.admin()?.header("user-agent", "curl/8.5.0"),
        before: cluster.revision()?,
        last: 0,
        token: String::new(),
    };
    let cases = transcript::parse(&String::from_utf8_lossy(TRANSCRIPT))?;
    ensure!(cases.len() > 30, "the transcript has {} requests", cases.len());
    let mut failures = Vec::new();
    let mut differing = 0;
    for case in &cases {
        let reply = replay.send(case).with_context(|| case.line.clone())?;
        let difference = DIFFERENCES.iter().find(|difference| case.line.contains(difference.request));
        differing += usize::from(difference.is_some());
        if let Err(error) = judge(case, &reply, difference) {
            failures.push(format!("### {}\n{error:#}\n", case.line));
        }
        replay.after(case, &reply)?;
    }
    ensure!(
        failures.is_empty(),
        "{} of {} replies differ:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
    ensure!(differing == DIFFERENCES.len(), "a deliberate difference belongs to no request, or to several");
    Ok(())
}

fn judge(case: &Case, reply: &Reply, difference: Option<&Difference>) -> Result<()> {
    let audit = reply.header("audit-id").unwrap_or_default();
    ensure!(audit.len() == 36, "Audit-ID is {audit:?}");
    if let Some(difference) = difference {
        let Difference { code, content_type, reason, body, .. } = difference;
        ensure!(reply.code == *code, "expected {code} ({reason}), got {}: {}", reply.code, reply.text());
        ensure!(
            reply.header("content-type") == Some(content_type),
            "content-type: {:?}",
            reply.header("content-type")
        );
        return body(reply).context(*reason);
    }
    if let Some(code) = case.code {
        ensure!(reply.code == code, "expected {code}, got {}: {}", reply.code, reply.text());
    }
    let kept = |name: &str| !matches!(name, "audit-id" | "etag");
    for (name, value) in case.reply_headers.iter().filter(|(name, _)| kept(name)) {
        ensure!(
            reply.header(name) == Some(value),
            "{name}: expected {value:?}, got {:?}",
            reply.header(name)
        );
    }
    compare::bodies(&case.body, &reply.text())
}

/// The state of a replay: what later requests take from earlier replies.
struct Replay {
    client: Client,
    /// The revision before the first request.
    before: u64,
    /// The revision after the second creation.
    last: u64,
    /// The continue token of the first page.
    token: String,
}

impl Replay {
    fn send(&self, case: &Case) -> Result<Reply> {
        if case.target.contains("propagationPolicy=Foreground") {
            // What keeps the object.
            self.client.merge(A1, &json!({"metadata": {"finalizers": ["x.io/f"]}}))?.expect(200)?;
        }
        let headers: Vec<(&str, &str)> = case.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let body = match case.data.as_deref() {
            None => Vec::new(),
            Some("@crd.json") => CRD.into(),
            Some("@big.json") => vec![b' '; 3 * 1024 * 1024 + 1],
            Some(data) => data.into(),
        };
        let body_type = ("content-type", "application/x-www-form-urlencoded");
        let typed = headers.iter().any(|(name, _)| *name == "content-type") || body.is_empty();
        let headers = if typed { headers } else { headers.into_iter().chain([body_type]).collect() };
        self.client.send(&case.method, &self.target(&case.target), &headers, body)
    }

    /// The target with our revisions and tokens in place of the reference's.
    fn target(&self, target: &str) -> String {
        let target = target
            .replace("resourceVersion=1&", &format!("resourceVersion={}&", self.before))
            .replace("resourceVersion=2&", &format!("resourceVersion={}&", self.before))
            .replace("resourceVersion=6&", &format!("resourceVersion={}&", self.last))
            .replace("timeoutSeconds=2", "timeoutSeconds=1");
        match target.split_once("continue=") {
            Some((before, _)) => format!("{before}continue={}", self.token),
            None => target,
        }
    }

    /// What the capture did between this request and the next, and what the next ones need of its reply.
    fn after(&mut self, case: &Case, reply: &Reply) -> Result<()> {
        if case.line.contains("generateName") {
            let version = reply.json()?["metadata"]["resourceVersion"].clone();
            self.last = version.as_str().context("an object without resourceVersion")?.parse()?;
        }
        if case.line.contains("as=Table") {
            let token = reply.json()?["metadata"]["continue"].clone();
            token.as_str().context("no continue token")?.clone_into(&mut self.token);
        }
        if case.compacted {
            // Three writes made revisions to compact.
            for color in ["c1", "c2", "c3"] {
                self.client.merge(A1, &json!({"spec": {"color": color}}))?.expect(200)?;
            }
        }
        Ok(())
    }
}
