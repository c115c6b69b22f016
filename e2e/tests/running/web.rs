//! A web server of a shell and busybox, and who asks it.

use crate::rig::IMAGE;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A workload of one container that runs a script.
pub fn workload(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "hypermesh.online/v1", "kind": "Workload",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": 1, "template": {"spec": {
            "terminationGracePeriodSeconds": 2,
            "containers": [{"name": "main", "image": IMAGE, "command": ["/bin/sh", "-c", script]}],
        }}},
    })
}

/// The first container of a workload.
pub fn main_of(workload: &mut Value) -> &mut Value {
    &mut workload["spec"]["template"]["spec"]["containers"][0]
}

/// Two instances that answer with a greeting and their own name, published.
pub fn web(greeting: &str, port: u16) -> Value {
    let script = "mkdir -p /www && echo \"$GREETING from $(hostname)\" > /www/index.html && echo \"$GREETING, I begin\"\n\
                  trap 'echo I end; exit 0' TERM\n\
                  httpd -f -p 8080 -h /www & wait";
    let mut web = workload("web", script);
    web["spec"]["replicas"] = json!(2);
    web["spec"]["publish"] = json!([{"port": port, "targetPort": "http"}]);
    web["spec"]["rollout"] = json!({"strategy": "Rolling", "rolling": {"maxSurge": 1, "maxUnavailable": 0}});
    let main = main_of(&mut web);
    main["ports"] = json!([{"name": "http", "containerPort": 8080}]);
    main["env"] = json!([{"name": "GREETING", "value": greeting}]);
    main["resources"] = json!({"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"memory": "64Mi"}});
    main["readinessProbe"] = json!({"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1});
    web
}

/// What is answered at a port of this machine.
pub fn ask(port: u16) -> Result<String> {
    ask_at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// What is answered at an address.
pub fn ask_at(address: SocketAddr) -> Result<String> {
    let patience = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address, patience).context("connecting")?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: web\r\n\r\n").context("asking")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("reading, after {answer:?}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no head: {answer:?}"))?;
    ensure!(head.lines().next().is_some_and(|line| line.contains(" 200 ")), "refused: {head}");
    Ok(body.trim().to_owned())
}

/// Asks without a pause until it is told to stop.
pub struct Load {
    over: Arc<AtomicBool>,
    asking: Vec<JoinHandle<(usize, Vec<String>)>>,
}

impl Load {
    /// Begins with two who ask.
    pub fn begin(port: u16) -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// The same at an address.
    pub fn at(address: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let asking = (0..2).map(|_| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                let (mut answered, mut failed) = (0, Vec::new());
                while !over.load(Ordering::Relaxed) {
                    match ask_at(address) {
                        Ok(_) => answered += 1,
                        Err(error) => failed.push(format!("{error:#} (after {answered} answers)")),
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                (answered, failed)
            })
        });
        Self { asking: asking.collect(), over }
    }

    /// Ends, and says how many were answered; an error if one was not.
    pub fn end(self) -> Result<usize> {
        self.over.store(true, Ordering::Relaxed);
        let mut all = 0;
        for asking in self.asking {
            let (answered, failed) = asking.join().ok().context("who asked panicked")?;
            ensure!(failed.is_empty(), "{} failed: {failed:#?}", failed.len());
            all += answered;
        }
        ensure!(all > 0, "nobody was answered");
        Ok(all)
    }
}
