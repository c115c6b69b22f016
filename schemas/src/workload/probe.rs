//! Probes and lifecycle handlers: what is asked of a container, and how often.

use crate::value::PortRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A question put to a container again and again: exactly one of httpGet, tcpSocket and exec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "[has(self.httpGet), has(self.tcpSocket), has(self.exec)].filter(x, x).size() == 1",
    "message": "a probe is exactly one of httpGet, tcpSocket and exec",
}]))]
pub struct Probe {
    /// Succeeds when an HTTP request is answered with 200 to 399.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_get: Option<HttpGet>,
    /// Succeeds when a TCP connection opens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_socket: Option<TcpSocket>,
    /// Succeeds when a command in the container ends with 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<Exec>,
    /// How long after the container's start it is first asked, in seconds.
    #[serde(default)]
    #[schemars(range(min = 0, max = 86400))]
    pub initial_delay_seconds: i32,
    /// How often it is asked, in seconds.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 86400))]
    pub period_seconds: i32,
    /// How long an answer may take, in seconds.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 3600))]
    pub timeout_seconds: i32,
    /// Successes in a row after a failure that make it succeed.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub success_threshold: i32,
    /// Failures in a row after a success that make it fail.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 1000))]
    pub failure_threshold: i32,
}

fn ten() -> i32 {
    10
}

fn one() -> i32 {
    1
}

fn three() -> i32 {
    3
}

/// What is done once: exactly one of httpGet, exec and sleep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct Handler {
    /// Sends an HTTP request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_get: Option<HttpGet>,
    /// Runs a command in the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec: Option<Exec>,
    /// Waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sleep: Option<Sleep>,
}

/// An HTTP request to the instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpGet {
    /// The port, by number or name.
    pub port: PortRef,
    /// The path, with its query.
    #[serde(default = "root")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = "^/[!-~]*$"))]
    pub path: String,
    /// In the clear or over TLS, whose certificate is not checked.
    #[serde(default)]
    pub scheme: Scheme,
    /// The host to ask; left out: the instance itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[0-9A-Za-z.:-]+$"))]
    pub host: Option<String>,
    /// Headers to send.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub http_headers: Vec<HttpHeader>,
}

fn root() -> String {
    "/".to_owned()
}

/// How HTTP travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Scheme {
    /// In the clear.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

/// A header of an HTTP request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpHeader {
    /// Its name (RFC 9110, section 5.1).
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"))]
    pub name: String,
    /// Its value, on one line.
    #[schemars(length(max = 4096), regex(pattern = "^[ -~]*$"))]
    pub value: String,
}

/// A TCP connection to the instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TcpSocket {
    /// The port, by number or name.
    pub port: PortRef,
    /// The host to connect to; left out: the instance itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[0-9A-Za-z.:-]+$"))]
    pub host: Option<String>,
}

/// A command in the container. No shell reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exec {
    /// The program and its arguments.
    #[schemars(length(min = 1, max = 1024), inner(length(max = 131071)), extend("x-kubernetes-list-type" = "atomic"))]
    pub command: Vec<String>,
}

/// Waiting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sleep {
    /// How long, in seconds.
    #[schemars(range(min = 0, max = 86400))]
    pub seconds: i64,
}
