//! Puts the rules in force with `nft`, which talks to the kernel in one transaction: all of them, or none.

use crate::error::NetworkError;
use crate::guard;
use crate::host::Host;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

/// The program.
#[derive(Clone, Debug)]
pub struct Firewall {
    host: Host,
}

impl Firewall {
    /// Looks whether the node has `nft` and may use it. The error says what it lacks.
    pub fn open(host: &Host) -> Result<Self, String> {
        let firewall = Self { host: host.clone() };
        match firewall.nft("list tables\n") {
            Ok(()) => Ok(firewall),
            Err(Failure::Start(error)) if error.kind() == io::ErrorKind::NotFound => {
                Err("nft is not installed (package nftables)".to_owned())
            }
            Err(Failure::Start(error)) => Err(format!("nft cannot be started: {error}")),
            Err(Failure::Refused(words)) => Err(format!("nft is refused by the kernel: {words}")),
        }
    }

    /// Replaces all rules.
    pub fn set(&self, rules: &str) -> Result<(), NetworkError> {
        self.nft(rules).map_err(|failure| NetworkError::Rules(failure.words()))
    }

    /// Takes all rules of a bridge away; `guarded`: those of what comes in by its ports too.
    pub fn clear(&self, bridge: &str, guarded: bool) -> Result<(), NetworkError> {
        let guard = if guarded { guard::nothing(bridge) } else { String::new() };
        self.set(&format!("table inet {bridge} {{}}\ndelete table inet {bridge}\n{guard}"))
    }

    fn nft(&self, script: &str) -> Result<(), Failure> {
        let output = self.host.run(|| {
            let mut nft = Command::new("nft")
                .args(["-f", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?;
            // Where it ends early the pipe breaks; its words say why.
            let written = nft.stdin.take().map(|mut stdin| stdin.write_all(script.as_bytes()));
            let output = nft.wait_with_output()?;
            match written {
                Some(Err(error)) if output.status.success() => Err(error),
                _ => Ok(output),
            }
        });
        match output {
            Err(error) => Err(Failure::Start(error)),
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let words = String::from_utf8_lossy(&output.stderr);
                Err(Failure::Refused(
                    words.lines().find(|line| !line.is_empty()).unwrap_or("without a word").to_owned(),
                ))
            }
        }
    }
}

enum Failure {
    Start(io::Error),
    Refused(String),
}

impl Failure {
    fn words(self) -> String {
        match self {
            Self::Start(error) => error.to_string(),
            Self::Refused(words) => words,
        }
    }
}
