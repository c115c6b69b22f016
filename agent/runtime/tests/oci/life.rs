//! From being made to being forgotten.

use crate::harness::*;
use hypermesh_runtime::*;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_and_nothing_of_it_stays() {
    let Some(node) = Node::new().await else { return };
    println!("{:?}", node.class.report());
    let sandbox = node.sandbox("i1").await;
    let (exit, log) = node
        .run(&sandbox, node.spec("echo out; echo err >&2; hostname; id -u; cat /proc/self/uid_map; exit 3"))
        .await;
    assert_eq!((exit.code, exit.signal, exit.oom_killed()), (3, None, false), "{log}");
    assert!(log.contains("stdout F out\n"), "{log}");
    assert!(log.contains("stderr F err\n"), "{log}");
    assert!(log.contains("stdout F i1\n"), "{log}");
    assert!(log.contains("stdout F 0\n"), "{log}");
    sandbox.remove().await.unwrap();
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_asked_to_end_and_then_killed() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let nice = sandbox
        .create(id("nice"), node.spec("trap 'exit 7' TERM; echo up; sleep 1000 & wait"))
        .await
        .unwrap();
    nice.start().await.unwrap();
    until("it is up", || node.log().contains("up")).await;
    let options = StopOptions { grace: Duration::from_secs(10), signal: None };
    assert_eq!(nice.stop(options).await.unwrap().code, 7);
    let rude = sandbox
        .create(id("rude"), node.spec("trap '' TERM; echo deaf; while :; do sleep 1000; done"))
        .await
        .unwrap();
    rude.start().await.unwrap();
    until("it is deaf", || node.log().contains("deaf")).await;
    let exit = rude.stop(StopOptions { grace: Duration::from_millis(100), signal: None }).await.unwrap();
    assert_eq!((exit.code, exit.signal), (137, Some(9)));
    sandbox.remove().await.unwrap();
    node.finish().await;
}
