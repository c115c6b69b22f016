//! The replicas of a cluster in one process: to try what several are like, and for what is tested of them.

use hypermesh_apiserver::{Config, Replication, Server, ServerError, folders};
use std::net::SocketAddr;

/// The most replicas of one process.
pub const MOST_REPLICAS: i64 = 16;

/// Running replicas, at least one.
pub struct Replicas {
    first: Server,
    others: Vec<Server>,
}

impl Replicas {
    /// Starts so many, of which the first serves at the address of `config` and the others on free ports of the same host.
    pub async fn start(config: Config, replicas: u32) -> Result<Self, ServerError> {
        if replicas < 2 {
            return Ok(Self { first: Server::start(config).await?, others: Vec::new() });
        }
        let count = usize::try_from(replicas).unwrap_or(usize::MAX);
        let of = |(number, dir)| Config {
            dir,
            api: if number == 0 { config.api } else { SocketAddr::new(config.api.ip(), 0) },
            replication: Some(Replication::default()),
            ..config.clone()
        };
        let configs: Vec<Config> = folders(&config.dir, count).into_iter().enumerate().map(of).collect();
        Server::found(configs.clone(), Vec::new()).await?;
        let mut servers = Vec::new();
        for config in configs {
            match Server::start(config).await {
                Ok(server) => servers.push(server),
                Err(error) => {
                    stop(servers).await;
                    return Err(error);
                }
            }
        }
        let peers: Vec<_> = servers.iter().filter_map(Server::peer).collect();
        for server in &servers {
            server.meet(peers.clone());
        }
        let others = servers.split_off(1);
        match servers.pop() {
            Some(first) => Ok(Self { first, others }),
            None => Err(ServerError::Genesis("there is no replica".to_owned())),
        }
    }

    /// The one that serves at the address that was asked for.
    pub fn first(&self) -> &Server {
        &self.first
    }

    /// What there is to say of several.
    pub fn words(&self) -> Vec<String> {
        if self.others.is_empty() {
            return Vec::new();
        }
        let count = self.others.len() + 1;
        let faulty = (count - 1) / 3;
        let may = match faulty {
            0 => "none of which may be faulty: four are needed for that".to_owned(),
            1 => "one of which may be faulty".to_owned(),
            many => format!("{many} of which may be faulty"),
        };
        let mut lines = vec![format!(
            "replicas    {count} in this process, {may}; they survive no failure of this machine"
        )];
        let addresses: Vec<_> =
            self.others.iter().map(|other| format!("https://{}", other.address())).collect();
        lines.push(format!("            the others serve at {}", addresses.join(", ")));
        lines
    }

    /// Ends them all, side by side: what one still has to say to the others, they hear.
    pub async fn stop(self) {
        stop(std::iter::once(self.first).chain(self.others)).await;
    }
}

async fn stop(servers: impl IntoIterator<Item = Server>) {
    let ends: Vec<_> = servers.into_iter().map(|server| tokio::spawn(server.stop())).collect();
    for end in ends {
        if let Err(error) = end.await {
            tracing::error!(%error, "a replica ended by a panic");
        }
    }
}
