//! Workloads that run on one node: what a person does with them, what bad input gets, and what outlives whom.
//!
//! Each test has a cluster of its own: `nexusctl up` as a process, with its agent, on ports that were free, and an image
//! of Debian's static busybox that no registry holds. What a test made is gone at its end, and that is looked at.
//! Real containers, so the tests need root; without it they are skipped and said.

mod admission;
mod bad_input;
mod contents;
mod images;
mod jobs;
mod leaving;
mod limits;
mod operator;
mod quickstart;
mod registry;
mod rig;
mod survival;
mod traces;
mod web;
