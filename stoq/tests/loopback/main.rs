//! Both ends in one process, over loopback.

mod http3;
mod pair;
