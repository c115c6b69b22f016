//! The deterministic write pipeline: the state machine that every replica runs.
