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

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_executed_is_told_when_it_is_made() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let make = async |args: &[&str]| {
        let mut spec = node.spec("");
        spec.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let error = sandbox.create(id("c"), spec).await.err().expect("it cannot");
        told(&error)
    };
    std::fs::write(node.dir.path().join("root/etc/text"), "no program").unwrap();
    let missing = make(&["nothing"]).await;
    assert!(missing.contains("\"nothing\": it is in no folder of PATH"), "{missing}");
    let text = make(&["/etc/text"]).await;
    assert!(text.contains("permissions"), "{text}");
    let shim = make(&["/proc/self/exe"]).await;
    assert!(shim.contains("agent"), "{shim}");
    // None of it stays: the same name serves again.
    assert!(sandbox.containers().is_empty());
    let (exit, _) = node.run(&sandbox, node.spec("true")).await;
    assert!(exit.success());
    sandbox.remove().await.unwrap();
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_without_its_interpreter_is_told_when_it_is_started() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let script = node.dir.path().join("root/bin/script");
    std::fs::write(&script, "#!/nowhere/sh\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut spec = node.spec("");
    spec.args = vec!["script".to_owned()];
    let container = sandbox.create(id("c"), spec).await.unwrap();
    let error = told(&container.start().await.unwrap_err());
    assert!(error.contains("its interpreter is not there"), "{error}");
    assert!(!container.wait().await.unwrap().success());
    assert_eq!(container.state().started_at, None);
    sandbox.remove().await.unwrap();
    node.finish().await;
}

/// One process makes one container at a time, and many processes many: none is lost, and the agent's own state stays.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_are_all_run() {
    let Some(node) = Node::new().await else { return };
    let before = std::env::current_dir().unwrap();
    let names: Vec<String> = (0..6).map(|number| format!("i{number}")).collect();
    let sandboxes = futures_util::future::join_all(names.iter().map(|name| node.sandbox(name))).await;
    let runs = sandboxes.iter().enumerate().flat_map(|(instance, sandbox)| {
        let node = &node;
        (0..6).map(move |number| async move {
            let mut spec = node.spec(&format!("echo {instance}-{number}; exit {number}"));
            spec.log = Some(Log {
                path: node.dir.path().join(format!("{instance}-{number}.log")),
                ..Log::default()
            });
            let container = sandbox.create(id(&format!("c{number}")), spec).await.unwrap();
            container.start().await.unwrap();
            (instance, number, container.wait().await.unwrap().code)
        })
    });
    for (instance, number, code) in futures_util::future::join_all(runs).await {
        assert_eq!(code, number);
        let log = log_at(&node.dir.path().join(format!("{instance}-{number}.log")));
        assert_eq!(log, format!("stdout F {instance}-{number}\n"));
    }
    assert_eq!(std::env::current_dir().unwrap(), before);
    let maps: std::collections::BTreeSet<u32> =
        sandboxes.iter().filter_map(|sandbox| Some(sandbox.id_maps()?.users[0].outside)).collect();
    assert!(maps.is_empty() || maps.len() == sandboxes.len(), "{maps:?}");
    futures_util::future::join_all(sandboxes.iter().map(|sandbox| sandbox.remove())).await;
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_put_aside_by_size_and_when_asked() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let mut spec = node.spec("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; sleep 1000");
    let log = Log { path: node.dir.path().join("0.log"), max_size: 40_000, max_files: 3, ..Log::default() };
    spec.log = Some(log);
    let container = sandbox.create(id("c"), spec).await.unwrap();
    container.start().await.unwrap();
    until("all is written", || node.log().contains("line 1999")).await;
    let files = ["0.log", "0.log.1", "0.log.2"].map(|name| node.dir.path().join(name));
    for file in &files {
        let size = std::fs::metadata(file).unwrap().len();
        assert!(size <= 40_000, "{file:?} {size}");
    }
    assert!(!node.dir.path().join("0.log.3").exists());
    container.rotate_log().await.unwrap();
    assert_eq!(node.log(), "");
    assert!(log_at(&files[1]).contains("line 1999"));
    sandbox.remove().await.unwrap();
    node.finish().await;
}

/// A container does not wait for a log that cannot be written, and it is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_no_container() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let mut events = sandbox.events();
    let logs = node.dir.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let mut spec =
        node.spec("cat; echo more; cat; i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done");
    // The folder is gone when the file is to be put aside: as good as no room.
    spec.log = Some(Log { path: logs.join("0.log"), max_size: 1000, ..Log::default() });
    let container = sandbox.create(id("c"), spec).await.unwrap();
    std::fs::remove_dir_all(&logs).unwrap();
    container.start().await.unwrap();
    assert!(
        tokio::time::timeout(Duration::from_secs(20), container.wait()).await.unwrap().unwrap().success()
    );
    let failed = async {
        loop {
            if let ContainerEvent::LogFailed { message, .. } = events.recv().await.unwrap() {
                return message;
            }
        }
    };
    let message = tokio::time::timeout(Duration::from_secs(5), failed).await.unwrap();
    assert!(message.contains("No such file"), "{message}");
    sandbox.remove().await.unwrap();
    node.finish().await;
}

/// Whoever removes the folder of an instance ends all of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_shim_ends_with_its_folder() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let container = sandbox.create(id("c"), node.spec("echo up; sleep 1000")).await.unwrap();
    container.start().await.unwrap();
    let mut lost = sandbox.lost();
    std::fs::remove_file(node.dir.path().join("instances/i1/shim.json")).unwrap();
    tokio::time::timeout(Duration::from_secs(20), lost.wait_for(|lost| *lost)).await.unwrap().unwrap();
    until("nothing runs", || processes_of(node.dir.path()).is_empty()).await;
    assert!(container.start().await.is_err());
    node.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_class_refuses() {
    let Some(node) = Node::new().await else { return };
    let sandbox = node.sandbox("i1").await;
    let twice = node.class.create(node.sandbox_spec("i1")).await.err().unwrap();
    assert!(matches!(twice, RuntimeError::Exists(_)), "{twice}");
    let mut named = node.sandbox_spec("i2");
    named.hostname = "a b".to_owned();
    assert!(node.class.create(named).await.err().unwrap().is_permanent());
    let mut nowhere = node.sandbox_spec("i3");
    nowhere.network = Network::Path("/nowhere/net".into());
    let error = told(&node.class.create(nowhere).await.err().unwrap());
    assert!(error.contains("the network /nowhere/net could not be opened"), "{error}");
    let _one = sandbox.create(id("c"), node.spec("sleep 1000")).await.unwrap();
    let error = told(&sandbox.create(id("c"), node.spec("true")).await.err().unwrap());
    assert!(error.contains("already"), "{error}");
    // It did not take the first one's folder with it.
    let first = sandbox.container(&id("c")).unwrap();
    first.start().await.unwrap();
    assert!(told(&first.start().await.unwrap_err()).contains("started already"));
    sandbox.remove().await.unwrap();
    sandbox.remove().await.unwrap();
    node.finish().await;
}
