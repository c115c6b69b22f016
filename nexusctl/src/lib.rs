//! The command line of HyperMesh.
