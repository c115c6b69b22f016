//! The command line of HyperMesh.
fn main() {}
