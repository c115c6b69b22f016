//! IP addresses and networks. Source: Kubernetes' `library/ip.go` and `cidr.go`, over Go's `net/netip`.
//!
//! As there, addresses with a zone and IPv4 addresses mapped into IPv6 are refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Context, text};
use crate::error::EvalError;
use crate::time::clip;
use crate::value::{Extension, Value};

/// A network: an address, with whatever bits, and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    fn parse(source: &str) -> Option<Self> {
        let (address, prefix) = source.split_once('/')?;
        let address = parse_ip(address)?;
        let digits =
            prefix.bytes().all(|byte| byte.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
        let prefix: u8 = prefix.parse().ok().filter(|_| digits)?;
        (prefix <= width(address)).then_some(Self { address, prefix })
    }

    fn masked(self) -> Self {
        Self { address: mask(self.address, self.prefix), prefix: self.prefix }
    }

    fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && mask(address, self.prefix) == mask(self.address, self.prefix)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn mask(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(u32::from(32 - prefix.min(32))).unwrap_or(0);
            Ipv4Addr::from(u32::from(address) & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(u32::from(128 - prefix.min(128))).unwrap_or(0);
            Ipv6Addr::from(u128::from(address) & mask).into()
        }
    }
}

fn parse_ip(source: &str) -> Option<IpAddr> {
    match source.parse().ok()? {
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => None,
        address => Some(address),
    }
}

fn receiver(args: &[Value<'_>]) -> Result<IpAddr, EvalError> {
    match args.first() {
        Some(Value::Extension(Extension::Ip(address))) => Ok(*address),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn network(args: &[Value<'_>]) -> Result<Cidr, EvalError> {
    match args.first() {
        Some(Value::Extension(Extension::Cidr(cidr))) => Ok(*cidr),
        _ => Err(EvalError::NoSuchOverload),
    }
}

fn malformed_ip(source: &str) -> EvalError {
    EvalError::argument(format!("IP Address {} parse error during conversion from string", clip(source)))
}

fn malformed_cidr(source: &str) -> EvalError {
    EvalError::argument(format!(
        "network address parse error during conversion from string: {}",
        clip(source)
    ))
}

pub(crate) fn ip<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.scan(subject.len())?;
    parse_ip(subject).map(|ip| Value::Extension(Extension::Ip(ip))).ok_or_else(|| malformed_ip(subject))
}

pub(crate) fn is_ip<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.scan(subject.len())?;
    Ok(Value::Bool(parse_ip(subject).is_some()))
}

/// Whether an address is written as it would be printed.
pub(crate) fn is_canonical<'a>(
    context: &mut Context<'_>,
    args: &[Value<'a>],
) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.scan(subject.len().saturating_mul(2))?;
    let address = parse_ip(subject).ok_or_else(|| malformed_ip(subject))?;
    Ok(Value::Bool(address.to_string() == **subject))
}

/// 4 or 6.
pub(crate) fn family<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    Ok(Value::Int(if receiver(args)?.is_ipv4() { 4 } else { 6 }))
}

pub(crate) fn is_unspecified<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    Ok(Value::Bool(receiver(args)?.is_unspecified()))
}

pub(crate) fn is_loopback<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    Ok(Value::Bool(receiver(args)?.is_loopback()))
}

fn link_local_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// 224.0.0.0/24, or ff02::/16 whatever its flags.
pub(crate) fn is_link_local_multicast<'a>(
    _: &mut Context<'_>,
    args: &[Value<'a>],
) -> Result<Value<'a>, EvalError> {
    Ok(Value::Bool(match receiver(args)? {
        IpAddr::V4(address) => address.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(address) => address.segments().first().is_some_and(|first| first & 0xff0f == 0xff02),
    }))
}

pub(crate) fn is_link_local_unicast<'a>(
    _: &mut Context<'_>,
    args: &[Value<'a>],
) -> Result<Value<'a>, EvalError> {
    Ok(Value::Bool(link_local_unicast(receiver(args)?)))
}

/// Any unicast address that is neither unspecified, loopback nor link-local: private ones count.
pub(crate) fn is_global_unicast<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let address = receiver(args)?;
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    Ok(Value::Bool(
        !(broadcast
            || address.is_unspecified()
            || address.is_loopback()
            || address.is_multicast()
            || link_local_unicast(address)),
    ))
}

pub(crate) fn cidr<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.scan(subject.len())?;
    Cidr::parse(subject)
        .map(|cidr| Value::Extension(Extension::Cidr(cidr)))
        .ok_or_else(|| malformed_cidr(subject))
}

pub(crate) fn is_cidr<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let subject = text(args, 0)?;
    context.meter.scan(subject.len())?;
    Ok(Value::Bool(Cidr::parse(subject).is_some()))
}

pub(crate) fn contains_ip<'a>(context: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let cidr = network(args)?;
    context.meter.charge(4)?;
    let address = match args.get(1) {
        Some(Value::Extension(Extension::Ip(address))) => *address,
        Some(Value::String(subject)) => {
            context.meter.scan(subject.len())?;
            parse_ip(subject).ok_or_else(|| malformed_ip(subject))?
        }
        _ => return Err(EvalError::NoSuchOverload),
    };
    Ok(Value::Bool(cidr.contains(address)))
}

pub(crate) fn contains_cidr<'a>(
    context: &mut Context<'_>,
    args: &[Value<'a>],
) -> Result<Value<'a>, EvalError> {
    let cidr = network(args)?;
    context.meter.charge(7)?;
    let inner = match args.get(1) {
        Some(Value::Extension(Extension::Cidr(inner))) => *inner,
        Some(Value::String(subject)) => {
            context.meter.scan(subject.len())?;
            Cidr::parse(subject).ok_or_else(|| malformed_cidr(subject))?
        }
        _ => return Err(EvalError::NoSuchOverload),
    };
    Ok(Value::Bool(cidr.prefix <= inner.prefix && cidr.contains(inner.address)))
}

pub(crate) fn network_ip<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    Ok(Value::Extension(Extension::Ip(network(args)?.address)))
}

pub(crate) fn masked<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    Ok(Value::Extension(Extension::Cidr(network(args)?.masked())))
}

pub(crate) fn prefix_length<'a>(_: &mut Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    Ok(Value::Int(i64::from(network(args)?.prefix)))
}
