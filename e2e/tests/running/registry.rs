//! Debian's registry behind a password, and the way to it, which breaks and lies as tests have it.

use anyhow::{Context as _, Result};
use hypermesh_e2e::skip::skip;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

/// Who may, and with which password.
pub const USER: &str = "me:secret";
/// The same for the registry: `secret`, by bcrypt.
const HTPASSWD: &str = "me:$2b$05$eFceaLcnVEfQHPmod9Sug.O7hfR7seNEqSJWsOVbBCZs64QADGM8.\n";

fn program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// What happens between the registry and who asks it.
#[derive(Default)]
struct Way {
    /// The next connection that has brought so many bytes is cut; 0: none.
    cut_after: AtomicU64,
    cut: AtomicBool,
    /// Bytes that came from the registry.
    came: AtomicU64,
    /// What is answered to whoever asks for a manifest by a digest, instead of what the registry has.
    lie: Mutex<Option<String>>,
    /// Connections that there were.
    open: Mutex<Vec<TcpStream>>,
}

/// A running registry.
pub struct Registry {
    process: Child,
    skopeo: PathBuf,
    way: Arc<Way>,
    /// Where it is reached: host and port.
    pub host: String,
    _folder: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Registry {
    /// Starts one; none where it or skopeo is not installed, which is said.
    pub fn start(test: &str) -> Result<Option<Self>> {
        let (Some(registry), Some(skopeo)) = (program("docker-registry"), program("skopeo")) else {
            skip(test, "there is no docker-registry or no skopeo (Debian's packages of these names)");
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let at = folder.path().display();
        std::fs::write(folder.path().join("htpasswd"), HTPASSWD)?;
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {at}/data}}}}\n\
             http: {{net: unix, addr: {at}/socket}}\nauth: {{htpasswd: {{realm: test, path: {at}/htpasswd}}}}\n"
        );
        std::fs::write(folder.path().join("config.yml"), config)?;
        let process = Command::new(registry)
            .arg("serve")
            .arg(folder.path().join("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log"))?)
            .spawn()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let host = listener.local_addr()?.to_string();
        let way = Arc::new(Way::default());
        let started = Self { process, skopeo, way: Arc::clone(&way), host, _folder: folder };
        let socket = started._folder.path().join("socket");
        let begin = Instant::now();
        while let Err(error) = UnixStream::connect(&socket) {
            let log = || std::fs::read_to_string(started._folder.path().join("log")).unwrap_or_default();
            (begin.elapsed() < Duration::from_secs(30))
                .then_some(())
                .with_context(|| format!("the registry does not start: {error}\n{}", log()))?;
            sleep(Duration::from_millis(20));
        }
        spawn(move || {
            for outside in listener.incoming().flatten() {
                let (way, socket) = (Arc::clone(&way), socket.clone());
                spawn(move || way.lead(outside, &socket));
            }
        });
        Ok(Some(started))
    }

    /// Pushes what skopeo reads there, with all that an index leads to.
    pub fn push(&self, from: &str, name: &str) -> Result<()> {
        let output = Command::new(&self.skopeo)
            .args(["--insecure-policy", "copy", "--all", "--quiet", "--dest-tls-verify=false"])
            .args(["--dest-creds", USER, from])
            .arg(format!("docker://{}/{name}", self.host))
            .stdin(Stdio::null())
            .output()?;
        anyhow::ensure!(
            output.status.success(),
            "skopeo does not push {from}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Cuts the next connection that has brought so many bytes, once.
    pub fn cut_after(&self, bytes: u64) {
        self.way.came.store(0, Ordering::Relaxed);
        self.way.cut.store(false, Ordering::Relaxed);
        self.way.cut_after.store(bytes, Ordering::Relaxed);
    }

    /// Whether a connection was cut, and how many bytes have come since that was asked for.
    pub fn came(&self) -> (bool, u64) {
        (self.way.cut.load(Ordering::Relaxed), self.way.came.load(Ordering::Relaxed))
    }

    /// Answers this whenever a manifest is asked for by its digest; none: what the registry has.
    pub fn lie(&self, manifest: Option<&str>) {
        *self.way.lie.lock().unwrap_or_else(PoisonError::into_inner) = manifest.map(str::to_owned);
        // Only the first request of a connection is looked at.
        for connection in self.way.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Way {
    fn lead(&self, mut outside: TcpStream, socket: &Path) -> Option<()> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).push(outside.try_clone().ok()?);
        let head = head(&mut outside)?;
        let lie = self.lie.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(manifest) = lie.filter(|_| head.contains("/manifests/sha256:")) {
            let kind = "application/vnd.oci.image.manifest.v1+json";
            let length = manifest.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{manifest}"
            );
            return outside.write_all(answer.as_bytes()).ok();
        }
        let mut inside = UnixStream::connect(socket).ok()?;
        inside.write_all(head.as_bytes()).ok()?;
        let (mut from, mut to) = (outside.try_clone().ok()?, inside.try_clone().ok()?);
        spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let (mut piece, mut brought) = (vec![0; 16 << 10], 0);
        loop {
            let length = inside.read(&mut piece).ok().filter(|length| *length > 0);
            let Some(length) = length else { break };
            outside.write_all(piece.get(..length)?).ok()?;
            brought += u64::try_from(length).ok()?;
            self.came.fetch_add(u64::try_from(length).ok()?, Ordering::Relaxed);
            let most = self.cut_after.load(Ordering::Relaxed);
            if most > 0 && brought >= most && !self.cut.swap(true, Ordering::Relaxed) {
                break;
            }
        }
        let _ = inside.shutdown(Shutdown::Both);
        outside.shutdown(Shutdown::Both).ok()
    }
}

/// The first request of a connection, up to where its body would begin.
fn head(from: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && bytes.len() < 16 << 10 {
        from.read_exact(&mut byte).ok()?;
        bytes.extend(byte);
    }
    String::from_utf8(bytes).ok()
}
