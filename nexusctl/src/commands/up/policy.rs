//! What the agent of `up` may let instances do: the flags that `nexus-agent` takes on its own, by the same names.

use clap::Args;
use hypermesh_agent::Settings;
use hypermesh_agent::settings::FlagError;
use std::path::PathBuf;

/// Flags of `up` that are its agent's.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "What instances may do on this machine")]
pub struct Policy {
    /// A path of this machine below which instances may see files (hostPath); may be given several times
    #[arg(long, value_name = "PATH", conflicts_with = "no_agent")]
    pub allow_host_path: Vec<PathBuf>,
    /// Let containers be privileged, add any capability and go without a filter of system calls
    #[arg(long, conflicts_with = "no_agent")]
    pub allow_privileged: bool,
    /// A capability that containers may add beside the usual fourteen: NET_ADMIN; may be given several times
    #[arg(long, value_name = "NAME", conflicts_with = "no_agent")]
    pub allow_capability: Vec<String>,
    /// Refuse instances where their root would be this machine's
    #[arg(long, conflicts_with = "no_agent")]
    pub require_user_namespaces: bool,
    /// Let instances reach what tells a machine of a cloud who it is, and gives it keys (169.254.169.254)
    #[arg(long, conflicts_with = "no_agent")]
    pub allow_metadata: bool,
    /// Another place of a registry's images: registry=host[/prefix]; may be given several times
    #[arg(long, value_name = "REGISTRY=HOST", conflicts_with = "no_agent")]
    pub mirror: Vec<String>,
    /// A registry that is spoken to in plain HTTP; may be given several times
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with = "no_agent")]
    pub plain_http: Vec<String>,
    /// Authorities in PEM that registries may have their certificates from; may be given several times
    #[arg(long, value_name = "FILE", conflicts_with = "no_agent")]
    pub registry_ca: Vec<PathBuf>,
    /// A label that this machine's node gets when it is made: key=value; may be given several times
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "no_agent")]
    pub node_label: Vec<String>,
    /// Percent of the disk that have to be available, or instances have to go; 4Gi are enough [default: 10]
    #[arg(long, value_name = "PERCENT", conflicts_with = "no_agent", value_parser = clap::value_parser!(u8).range(0..=99))]
    pub evict_below_disk: Option<u8>,
}

impl Policy {
    /// Puts them into an agent's settings.
    pub fn apply(&self, settings: &mut Settings) -> Result<(), FlagError> {
        settings.policy.host_paths.clone_from(&self.allow_host_path);
        settings.policy.privileged = self.allow_privileged;
        settings.policy.require_user_namespaces = self.require_user_namespaces;
        settings.network.metadata = self.allow_metadata;
        settings.images.plain_http = self.plain_http.iter().cloned().collect();
        settings.pressure.disk_percent = self.evict_below_disk.unwrap_or(settings.pressure.disk_percent);
        for name in &self.allow_capability {
            settings.allow_capability(name)?;
        }
        for mirror in &self.mirror {
            settings.add_mirror(mirror)?;
        }
        for path in &self.registry_ca {
            settings.add_registry_ca(path)?;
        }
        for label in &self.node_label {
            settings.add_label(label)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::up::Arguments;
    use clap::Parser;
    use std::path::Path;

    #[derive(Parser)]
    struct Up {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn what_is_said_to_up_is_what_its_agent_lets_instances_do() {
        let words = "up --allow-host-path /srv --allow-host-path /data --allow-privileged --allow-capability net_admin \
                     --require-user-namespaces --allow-metadata --mirror docker.io=127.0.0.1:5000/hub --plain-http 127.0.0.1:5000 \
                     --node-label disk=fast --evict-below-disk 2";
        let up = Up::parse_from(words.split_whitespace());
        let mut settings = Settings::new("node-1", Path::new("/var/lib/x"));
        up.arguments.policy.apply(&mut settings).unwrap();
        assert_eq!(settings.policy.host_paths, ["/srv", "/data"].map(PathBuf::from));
        assert!(settings.policy.privileged && settings.policy.require_user_namespaces);
        assert!(settings.network.metadata);
        assert!(settings.policy.capabilities.contains("NET_ADMIN"));
        assert_eq!(settings.images.mirrors["docker.io"][0].prefix, "hub");
        assert!(settings.images.plain_http.contains("127.0.0.1:5000"));
        assert_eq!(settings.labels["disk"], "fast");
        assert_eq!(settings.pressure.disk_percent, 2);
    }

    #[test]
    fn what_would_have_no_effect_is_refused() {
        assert!(Up::try_parse_from(["up", "--no-agent", "--allow-host-path", "/srv"]).is_err());
        let policy = Policy { mirror: vec!["docker.io".to_owned()], ..Policy::default() };
        let mut settings = Settings::new("node-1", Path::new("/var/lib/x"));
        assert!(policy.apply(&mut settings).unwrap_err().to_string().contains("--mirror docker.io: write"));
    }
}
