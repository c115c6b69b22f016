//! Publishing: ports under which all ready instances of a workload are reached together.

use crate::network::Protocol;
use crate::privacy::Privacy;
use crate::value::{PortName, PortRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One published port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishedPort {
    /// A name for it, by which a Domain's SRV record may call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<PortName>,
    /// The port under which the workload is reached.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// The containers' port that it leads to, by number or name; left out: the same number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_port: Option<PortRef>,
    /// The transport protocol.
    #[serde(default)]
    pub protocol: Protocol,
    /// Who may reach it.
    #[serde(default = "private_network")]
    pub privacy: Privacy,
}

fn private_network() -> Privacy {
    Privacy::PrivateNetwork
}
