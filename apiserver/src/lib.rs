//! The API server: REST over TLS, one generic path for every kind.
