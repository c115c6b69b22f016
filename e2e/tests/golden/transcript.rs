//! The transcript of the reference's replies: requests as curl was given them, replies as curl showed them.

use anyhow::{Context as _, Result, bail};

/// The server that the transcript was taken from.
const SERVER: &str = "https://127.0.0.1:16443";

/// The options of curl that the transcript uses, each with one argument.
const OPTIONS: [&str; 5] = ["-X ", "-H ", "--data-binary ", "--data ", "-d "];

/// One request and its reply.
#[derive(Debug)]
pub struct Case {
    /// The request as it stands in the transcript.
    pub line: String,
    /// `GET` unless said.
    pub method: String,
    /// Headers of the request.
    pub headers: Vec<(String, String)>,
    /// The body, or `@` and the file that holds it.
    pub data: Option<String>,
    /// Path and query.
    pub target: String,
    /// Status code; `None` where the capture lost it.
    pub code: Option<u16>,
    /// Telling headers of the reply.
    pub reply_headers: Vec<(String, String)>,
    /// The reply's body, perhaps cut.
    pub body: String,
    /// Whether the reference's store was compacted then, after further writes.
    pub compacted: bool,
}

/// Reads a transcript.
pub fn parse(text: &str) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for block in text.split("\n### ").skip(1) {
        let (line, reply) = block.split_once('\n').unwrap_or((block, ""));
        cases.push(case(line, reply).with_context(|| format!("in the transcript: {line}"))?);
    }
    Ok(cases)
}

fn case(line: &str, reply: &str) -> Result<Case> {
    let (options, target) = line.rsplit_once(SERVER).context("no request to the server")?;
    let mut case = Case {
        line: line.to_owned(),
        method: "GET".to_owned(),
        headers: Vec::new(),
        data: None,
        target: target.to_owned(),
        code: None,
        reply_headers: Vec::new(),
        body: String::new(),
        compacted: false,
    };
    let mut rest = options.trim();
    while !rest.is_empty() {
        let option = OPTIONS.iter().find(|option| rest.starts_with(*option)).context("an unknown option")?;
        rest = &rest[option.len()..];
        let next = OPTIONS.iter().filter_map(|option| rest.find(&format!(" {option}"))).min();
        let (value, after) = rest.split_at(next.unwrap_or(rest.len()));
        rest = after.trim_start();
        match *option {
            "-X " => case.method = value.to_owned(),
            "-H " => match value.split_once(':') {
                // `-H Expect:` takes the header away.
                Some((_, "")) => {}
                Some((name, value)) => case.headers.push((name.to_lowercase(), value.trim().to_owned())),
                None => bail!("{value} is no header"),
            },
            _ => case.data = Some(value.to_owned()),
        }
    }
    read_reply(&mut case, reply)?;
    Ok(case)
}

fn read_reply(case: &mut Case, reply: &str) -> Result<()> {
    let Some(reply) = reply.strip_prefix("HTTP/2 ") else {
        reply.clone_into(&mut case.body);
        return Ok(());
    };
    let (code, mut rest) = reply.split_once('\n').context("a reply without headers")?;
    case.code = Some(code.trim().parse()?);
    while let Some((line, after)) = rest.split_once('\n') {
        let header = line.split_once(": ").filter(|(name, _)| is_header_name(name));
        let Some((name, value)) = header else { break };
        case.reply_headers.push((name.to_owned(), value.trim().to_owned()));
        rest = after;
    }
    let compaction = rest.find("\ncompacted revision ");
    case.compacted = compaction.is_some();
    rest[..compaction.unwrap_or(rest.len())].clone_into(&mut case.body);
    Ok(())
}

fn is_header_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}
