//! Both ends in one process, over loopback.

mod early;
mod hostile;
mod http3;
mod network;
mod pair;
mod proxy;
mod trust;
