//! How daemons reach the API server: kube's client over HTTP/3, signed end to end.
