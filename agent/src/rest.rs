//! What a process does for the machine while nothing happens in it.

use std::time::Duration;

/// Gives back, once a minute and for ever, the pages of the program that nothing has touched since: most of the memory of an
/// agent whose instances only run, and of an idle cluster of one process. Finding the others again is some hundred page
/// faults, no reading.
pub async fn let_go() {
    loop {
        tokio::time::sleep(Duration::from_secs(60)).await;
        // A process that ends meanwhile has nothing to give back.
        drop(tokio::task::spawn_blocking(hypermesh_shim::memory::let_go).await);
    }
}
