//! What a process does for the machine while nothing happens in it.

use std::time::Duration;

/// Gives back, soon after the start and then once a minute for ever, the pages of the program that nothing has touched
/// since: most of the memory of an agent whose instances only run, and of an idle cluster of one process. Finding the
/// others again is some hundred page faults, no reading.
pub async fn let_go() {
    // What only a start needs is half of the pages there are then.
    tokio::time::sleep(Duration::from_secs(3)).await;
    loop {
        // A process that ends meanwhile has nothing to give back.
        drop(tokio::task::spawn_blocking(hypermesh_shim::memory::let_go).await);
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}
