//! What a replication engine asks of a state machine, and the engine of one replica.
