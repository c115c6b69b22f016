//! Logs, shells, forwarded ports: real kubectl, real bytes.

use super::Bench;
use anyhow::{Context as _, Result, bail, ensure};
use hypermesh_e2e::Kubectl;
use hypermesh_stream::Route;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

#[test]
fn logs() -> Result<()> {
    let Some(mut bench) = Bench::start("logs")? else { return Ok(()) };
    let all = bench.ok("logs web-1")?;
    ensure!(all.out == "web-1/web line 1\nweb-1/web line 2\nweb-1/web line 3\n", "{}", all.out);
    ensure!(bench.ok("logs web-1 -c web --tail=1")?.out == "web-1/web line 3\n");
    bench.run("logs web-1 -c other")?.fails(1)?.says("container other is not valid for pod web-1")?;
    // It goes on until somebody ends it.
    let mut child = bench.kubectl.command(&["logs", "-f", "web-1", "--tail=1"]).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    ensure!(lines.next().context("no line")?? == "web-1/web line 3");
    ensure!(lines.next().context("no line")?? == "and it goes on");
    child.kill()?;
    drop(Kubectl::finish(child, &["logs", "-f"])?);
    // Who asked is told to the agent, and so is the instance's uid.
    let asked = bench.agent.asked.lock().unwrap();
    let (caller, route) = asked.first().context("the agent was asked nothing")?;
    ensure!(caller.user.name == "admin" && !caller.audit.is_empty(), "{caller:?}");
    ensure!(matches!(route, Route::Log(instance, _) if instance.uid == bench.uid), "{route:?}");
    drop(asked);
    bench.agent.vanish();
    let gone = bench.run("logs web-1")?.fails(1)?;
    gone.says("the agent of node \"node-1\" cannot be asked at 127.0.0.1:")?;
    Ok(())
}

#[test]
fn commands() -> Result<()> {
    let Some(bench) = Bench::start("commands")? else { return Ok(()) };
    ensure!(bench.ok("exec web-1 -- echo hello there")?.out == "hello there\n");
    let failed = bench.run("exec web-1 -- exit 3")?.fails(3)?;
    failed.says("command terminated with exit code 3")?;
    let complained = bench.ok("exec web-1 -- complain")?;
    ensure!(complained.out.is_empty() && complained.err.contains("no!"), "{complained:?}");
    // More than any window between the two holds, there and back.
    let large = "0123456789abcdef".repeat(128 * 1024);
    let back = bench.kubectl.feed(&["exec", "-i", "web-1", "--", "cat"], &large)?.ok()?;
    ensure!(back.out == large, "{} bytes came back of {}", back.out.len(), large.len());
    let attached = bench.kubectl.feed(&["attach", "-i", "web-1"], "typed\n")?;
    ensure!(attached.out.contains("typed"), "{attached:?}");
    let cut = bench.run("exec web-1 -- vanish")?.fails(1)?;
    cut.says("the stream from the node's agent broke off")?;
    bench.run("exec web-1 -c other -- echo")?.fails(1)?.says("container other is not valid")?;
    bench.ok("create rolebinding mallory --clusterrole=view --user=mallory")?;
    bench.run("exec --as=mallory web-1 -- echo")?.fails(1)?.says("cannot create resource \"pods/exec\"")?;
    bench.report("web-1", &serde_json::json!({"phase": "Succeeded"}))?;
    bench.run("exec web-1 -- echo")?.fails(1)?.says("current phase is Succeeded")?;
    Ok(())
}

/// kubectl falls back to SPDY whenever WebSocket is refused, and shows what it is then told.
#[test]
fn commands_over_spdy() -> Result<()> {
    let Some(bench) = Bench::start("commands over SPDY")? else { return Ok(()) };
    let run = |line: &str, input: &str| -> Result<hypermesh_e2e::kubectl::Ran> {
        let words: Vec<&str> = line.split(' ').collect();
        let mut command = bench.kubectl.command(&words);
        let mut child =
            command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false").stdin(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("no input")?;
        let input = input.to_owned();
        let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let ran = Kubectl::finish(child, &words);
        drop(writer.join());
        ran
    };
    ensure!(run("exec web-1 -- echo by spdy", "")?.ok()?.out == "by spdy\n");
    run("exec web-1 -- exit 3", "")?.fails(3)?;
    ensure!(run("exec web-1 -- complain", "")?.ok()?.err.contains("no!"));
    let large = "0123456789abcdef".repeat(64 * 1024);
    ensure!(run("exec -i web-1 -- cat", &large)?.ok()?.out == large);
    run("exec web-1 -- vanish", "")?.fails(1)?.says("the stream from the node's agent broke off")?;
    // What the agent refuses is said, whichever way kubectl tries.
    run("exec web-1 -- missing", "")?.fails(1)?.says("no such program")?;
    bench.run("exec web-1 -- missing")?.fails(1)?.says("no such program")?;
    Ok(())
}

/// util-linux' `script` gives kubectl a terminal.
#[test]
fn a_terminal() -> Result<()> {
    let Some(bench) = Bench::start("terminal")? else { return Ok(()) };
    let kubectl = bench.kubectl.command(&[]);
    let program = kubectl.get_program().to_string_lossy().into_owned();
    let line = format!("stty rows 33 cols 101; exec {program} exec -it web-1 -- size");
    let mut script = Command::new("script");
    script
        .args(["-qec", &line, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for (name, value) in kubectl.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let Ok(child) = script.spawn() else {
        hypermesh_e2e::skip::skip("pods a_terminal", "there is no `script` of util-linux");
        return Ok(());
    };
    let ran = Kubectl::finish(child, &["exec", "-it"])?.ok()?;
    ran.says("101 by 33, tty true")?;
    Ok(())
}

/// Answers each connection with what it was sent, in capitals, then ends it.
pub fn shouting() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut line = String::new();
                let _ = BufReader::new(&stream).read_line(&mut line);
                let _ = stream.write_all(line.to_uppercase().as_bytes());
            });
        }
    });
    Ok(port)
}

/// Says a word, and hears it in capitals.
fn speak(port: u16, word: &str) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(format!("{word}\n").as_bytes())?;
    let mut back = String::new();
    stream.read_to_string(&mut back)?;
    ensure!(back == format!("{}\n", word.to_uppercase()), "{back:?}");
    Ok(())
}

#[test]
fn forwarded_ports() -> Result<()> {
    let Some(bench) = Bench::start("forwarded ports")? else { return Ok(()) };
    let (port, dead) = (shouting()?, TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port());
    for variable in ["true", "false"] {
        // With false, kubectl speaks SPDY without WebSocket, as older ones do.
        let mut command =
            bench.kubectl.command(&["port-forward", "web-1", &format!(":{port}"), &format!(":{dead}")]);
        command.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", variable);
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let mut local = |to: u16| -> Result<u16> {
            for line in lines.by_ref() {
                let line = line?;
                let Some(rest) = line.strip_prefix("Forwarding from 127.0.0.1:") else { continue };
                if rest.ends_with(&format!("-> {to}")) {
                    return Ok(rest.split(' ').next().context("no port")?.parse()?);
                }
            }
            bail!("kubectl does not forward {to} (WebSocket: {variable})")
        };
        let (live, broken) = (local(port)?, local(dead)?);
        let spoken = ["one", "two"].into_iter().try_for_each(|word| speak(live, word));
        let mut stream = TcpStream::connect(("127.0.0.1", broken))?;
        let mut nothing = Vec::new();
        let _ = stream.read_to_end(&mut nothing);
        ensure!(nothing.is_empty());
        child.kill()?;
        let ran = Kubectl::finish(child, &["port-forward"])?;
        spoken.with_context(|| format!("{ran:?}"))?;
        ran.says("nothing listens on port")?;
    }
    Ok(())
}
