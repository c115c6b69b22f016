//! QUIC endpoints with mutual identity, and HTTP/3 over them for any tower service.
