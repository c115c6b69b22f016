//! One request of HTTP/1 and its answer: as much of it as a greeting needs, and no byte more than that is read.

use std::io::{self, BufRead as _, BufReader, Read};

/// Most bytes that the head of a request may take.
const HEAD: u64 = 8 * 1024;

/// A request: its first line.
pub struct Request {
    /// `GET`, `HEAD` or another method.
    pub method: String,
    /// The path, without its query; control characters are replaced, since it is printed.
    pub path: String,
}

/// An answer in plain text.
pub struct Response {
    /// The status code.
    pub status: u16,
    reason: &'static str,
    body: String,
    /// Whether the body is left out, as HEAD asks.
    headless: bool,
}

impl Request {
    /// Reads the head of a request; none: the client has closed without one.
    pub fn read(stream: impl Read) -> io::Result<Option<Self>> {
        let mut lines = BufReader::new(stream.take(HEAD));
        let mut first = String::new();
        if lines.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let mut line = String::new();
        while {
            line.clear();
            lines.read_line(&mut line)? > 0 && !line.trim_end().is_empty()
        } {}
        if !line.ends_with('\n') {
            return Err(io::Error::other("a head without an end"));
        }
        let mut words = first.split_ascii_whitespace();
        let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
            return Err(io::Error::other("no request line"));
        };
        if !version.starts_with("HTTP/1.") {
            return Err(io::Error::other("not HTTP/1"));
        }
        let path = target.split('?').next().unwrap_or(target);
        let printable =
            |text: &str| text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        Ok(Some(Self { method: printable(method), path: printable(path) }))
    }

    /// The answer; `ending` is whether the process has been asked to end.
    pub fn answer(&self, ending: bool) -> Response {
        let headless = self.method == "HEAD";
        let (status, reason, body) = match (self.method.as_str(), self.path.as_str()) {
            ("GET" | "HEAD", "/") => (200, "OK", greeting()),
            ("GET" | "HEAD", "/healthz") if ending => (503, "Service Unavailable", "ending\n".to_owned()),
            ("GET" | "HEAD", "/healthz") => (200, "OK", "ok\n".to_owned()),
            ("GET" | "HEAD", _) => (404, "Not Found", "not found\n".to_owned()),
            _ => (405, "Method Not Allowed", "GET is expected\n".to_owned()),
        };
        Response { status, reason, body, headless }
    }
}

impl Response {
    /// For who sent something that is no request.
    pub fn bad() -> Self {
        Self {
            status: 400,
            reason: "Bad Request",
            body: "no request of HTTP/1\n".to_owned(),
            headless: false,
        }
    }

    /// For who came when too many others were there.
    pub fn busy() -> Self {
        Self { status: 503, reason: "Service Unavailable", body: "busy\n".to_owned(), headless: false }
    }

    /// As it goes over the wire.
    pub fn text(&self) -> String {
        let retry = if self.status == 503 { "Retry-After: 1\r\n" } else { "" };
        format!(
            "HTTP/1.1 {} {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n{retry}Connection: close\r\n\r\n{}",
            self.status,
            self.reason,
            self.body.len(),
            if self.headless { "" } else { &self.body },
        )
    }
}

/// What it says, and who says it: behind one port there may be many of it.
fn greeting() -> String {
    let word = std::env::var("GREETING").unwrap_or_else(|_| "hello".to_owned());
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{word} from {}\n", name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(head: &str, ending: bool) -> u16 {
        Request::read(head.as_bytes()).unwrap().unwrap().answer(ending).status
    }

    #[test]
    fn answers_what_it_knows() {
        assert_eq!(ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false), 200);
        assert_eq!(ask("GET /healthz?full HTTP/1.1\r\n\r\n", false), 200);
        assert_eq!(ask("GET /healthz HTTP/1.1\r\n\r\n", true), 503);
        assert_eq!(ask("GET / HTTP/1.0\r\n\r\n", true), 200);
        assert_eq!(ask("GET /other HTTP/1.1\r\n\r\n", false), 404);
        assert_eq!(ask("POST / HTTP/1.1\r\n\r\n", false), 405);
    }

    #[test]
    fn refuses_what_is_no_request() {
        assert!(Request::read(&b""[..]).unwrap().is_none());
        for head in ["GET / HTTP/1.1\r\n", "GET\r\n\r\n", "GET / HTTP/2\r\n\r\n"] {
            assert!(Request::read(head.as_bytes()).is_err(), "{head:?}");
        }
        let endless = format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(1 << 20));
        assert!(Request::read(endless.as_bytes()).is_err());
    }

    #[test]
    fn a_head_has_no_body() {
        let answer = Request::read(&b"HEAD / HTTP/1.1\r\n\r\n"[..]).unwrap().unwrap().answer(false).text();
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
}
