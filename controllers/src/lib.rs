//! The reconcilers and the runtime they share.
