//! The least there can be: a namespace of its own for each instance, with a loopback interface and nothing else.
//!
//! Nobody reaches such an instance over a network, and it reaches nobody; probes and port forwarding, which the agent
//! does from inside the namespace, work. The Node says so in its condition `NetworkUnavailable`.

use super::{Adopted, Attached, Attachment, Connectivity, ConnectivityError, Missing, PublishedPort, Report};
use futures_util::future::BoxFuture;
use hypermesh_network::netns;
use hypermesh_planner::InstanceUid;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Namespaces below a folder, one file each.
#[derive(Debug)]
pub struct LoopbackOnly {
    folder: PathBuf,
    why: String,
    makes_namespaces: bool,
}

impl LoopbackOnly {
    /// Keeps namespaces in `folder`. `why` tells people why there is no more than this.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(folder: &Path, why: impl Into<String>) -> Result<Self, ConnectivityError> {
        std::fs::create_dir_all(folder)
            .map_err(ConnectivityError::of(format!("make {}", folder.display())))?;
        let makes_namespaces = rustix::process::geteuid().is_root();
        Ok(Self { folder: folder.to_owned(), why: why.into(), makes_namespaces })
    }

    fn path(&self, uid: &InstanceUid) -> PathBuf {
        self.folder.join(uid.as_str())
    }
}

/// The content of `/etc/hosts` of an instance that has these names for itself.
fn hosts(name: &str) -> String {
    format!("127.0.0.1\tlocalhost {name}\n::1\tlocalhost ip6-localhost ip6-loopback {name}\n")
}

impl Connectivity for LoopbackOnly {
    fn attach<'a>(&'a self, instance: &'a Attachment) -> BoxFuture<'a, Result<Attached, ConnectivityError>> {
        Box::pin(async move {
            let mut attached = Attached {
                resolv_conf: "# This instance has no network.\n".to_owned(),
                hosts: hosts(&instance.name),
                ..Attached::default()
            };
            if self.makes_namespaces {
                let path = self.path(&instance.uid);
                netns::create_alone(&path)
                    .map_err(ConnectivityError::of(format!("connect the instance {}", instance.name)))?;
                attached.namespace = Some(path);
            }
            Ok(attached)
        })
    }

    fn detach<'a>(&'a self, instance: &'a InstanceUid) -> BoxFuture<'a, Result<(), ConnectivityError>> {
        Box::pin(async move {
            netns::remove(&self.path(instance))
                .map_err(ConnectivityError::of(format!("disconnect the instance {instance}")))
        })
    }

    fn adopt<'a>(
        &'a self,
        wanted: &'a BTreeSet<InstanceUid>,
    ) -> BoxFuture<'a, Result<Adopted, ConnectivityError>> {
        Box::pin(async move {
            let failed =
                |error: io::Error| ConnectivityError::of(format!("read {}", self.folder.display()))(error);
            let mut adopted = Adopted::default();
            for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name();
                match name.to_str().and_then(|name| InstanceUid::parse(name).ok()) {
                    Some(uid) if wanted.contains(&uid) => {
                        adopted.kept.insert(uid);
                    }
                    _ => {
                        netns::remove(&entry.path()).map_err(ConnectivityError::of("remove a leftover"))?;
                        adopted.removed.push(format!("network namespace {}", entry.path().display()));
                    }
                }
            }
            Ok(adopted)
        })
    }

    fn publish<'a>(&'a self, _: &'a [PublishedPort]) -> BoxFuture<'a, Result<(), ConnectivityError>> {
        // That ports are not published is said by the report.
        Box::pin(async { Ok(()) })
    }

    fn report(&self) -> Report {
        let message = format!(
            "instances have a loopback interface alone: {}. They reach nobody, nobody reaches them, and published ports \
             are not served",
            self.why
        );
        Report { kind: "loopback", missing: vec![Missing { reason: "LoopbackOnly", message }] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> bool {
        let root = rustix::process::geteuid().is_root();
        if !root {
            eprintln!("skipped: network namespaces need root");
        }
        root
    }

    fn attachment(uid: &str) -> Attachment {
        let uid = InstanceUid::parse(uid).unwrap();
        Attachment {
            uid,
            namespace: "default".into(),
            name: "web-1".into(),
            since: 0,
            host_ports: Vec::new(),
        }
    }

    #[tokio::test]
    async fn an_instance_keeps_its_namespace_until_it_is_let_go() {
        if !root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let network = LoopbackOnly::new(folder.path(), "a test").unwrap();
        let one = attachment("01");
        let first = network.attach(&one).await.unwrap();
        let path = first.namespace.clone().unwrap();
        let identity = |path: &Path| rustix::fs::stat(path).unwrap().st_ino;
        let inode = identity(&path);
        assert_eq!(network.attach(&one).await.unwrap(), first);
        assert_eq!(identity(&path), inode, "asking again makes no other namespace");
        network.attach(&attachment("02")).await.unwrap();
        let adopted = network.adopt(&BTreeSet::from([one.uid.clone()])).await.unwrap();
        assert_eq!((adopted.kept.len(), adopted.removed.len()), (1, 1));
        network.detach(&one.uid).await.unwrap();
        network.detach(&one.uid).await.unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn sockets_live_in_the_namespace_that_they_were_made_in() {
        if !root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let network = LoopbackOnly::new(folder.path(), "a test").unwrap();
        let one = attachment("0a");
        let path = network.attach(&one).await.unwrap().namespace.unwrap();
        let make = || {
            let socket = netns::socket(&path, netns::Domain::IPV4, netns::Type::STREAM).unwrap();
            tokio::net::TcpSocket::from_std_stream(socket.into())
        };
        let server = make();
        server.bind("127.0.0.1:1".parse().unwrap()).unwrap();
        let listener = server.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, connected) = tokio::join!(listener.accept(), make().connect(address));
        assert!(accepted.is_ok() && connected.is_ok());
        assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the node does not see the listener");
        network.detach(&one.uid).await.unwrap();
    }
}
