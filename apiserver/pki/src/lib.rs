//! The cluster's certificate authorities, certificates and tokens.
