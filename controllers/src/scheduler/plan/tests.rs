//! The planner over small clusters, and properties over many.

use super::amounts::{Amounts, Resource};
use super::demand::Demand;
use super::node::{Node, Readiness};
use super::*;
use hypermesh_schemas::node::Taint;
use hypermesh_schemas::workload::placement::Placement;
use proptest::prelude::*;
use serde_json::{Value, json};

fn node(name: &str, allocatable: Value) -> Node {
    let allocatable: hypermesh_schemas::workload::container::Amounts =
        serde_json::from_value(allocatable).unwrap();
    Node {
        name: name.into(),
        labels: [("zone".to_owned(), name[..1].to_owned())].into(),
        readiness: Readiness::Ready,
        cordoned: false,
        taints: Vec::new(),
        allocatable: Amounts::read(&allocatable),
    }
}

fn plain(name: &str) -> Node {
    node(name, json!({"cpu": "4", "memory": "8Gi", "pods": 110}))
}

fn taint(text: &str) -> Taint {
    let (rest, effect) = text.split_once(':').unwrap();
    let (key, value) = rest.split_once('=').map_or((rest, None), |(key, value)| (key, Some(value)));
    serde_json::from_value(json!({"key": key, "value": value, "effect": effect})).unwrap()
}

fn demand(pod: Value, requests: Value) -> Arc<Demand> {
    let mut pod = pod;
    pod["containers"] = json!([{"name": "a", "image": "app:1", "resources": {"requests": requests},
        "ports": pod.get("ports").cloned().unwrap_or(json!([]))}]);
    Arc::new(Demand::read(&serde_json::from_value(pod).unwrap()))
}

fn key(name: &str) -> Key {
    Key::namespaced("n", name)
}

fn instance(name: &str, workload: &str, demand: &Arc<Demand>) -> (Key, Instance) {
    let instance = Instance {
        uid: format!("uid-{name}").into(),
        created: "2026-01-01T00:00:00Z".into(),
        workload: key(workload),
        revision: "1".into(),
        node: None,
        life: Life::Lives,
        demand: Arc::clone(demand),
    };
    (key(name), instance)
}

fn placement(value: Value) -> Option<Placement> {
    Some(serde_json::from_value(value).unwrap())
}

/// Places so many instances of a workload and gives where they went.
fn place(snapshot: &mut Snapshot, workload: &str, demand: &Arc<Demand>, count: usize) -> Vec<Option<String>> {
    let wishes: Vec<Key> = (0..count)
        .map(|n| {
            let (key, instance) = instance(&format!("{workload}-{n}"), workload, demand);
            snapshot.set_instance(key.clone(), instance);
            key
        })
        .collect();
    let decisions: HashMap<Key, Decision> = pass(&BestNode, snapshot, wishes.clone()).into_iter().collect();
    wishes
        .iter()
        .map(|key| match &decisions[key] {
            Decision::Bind(choice) => Some(choice.node.to_string()),
            Decision::Wait(_) => None,
        })
        .collect()
}

fn wait(snapshot: &mut Snapshot, demand: &Arc<Demand>) -> String {
    let (key, instance) = instance("waits", "web", demand);
    snapshot.set_instance(key.clone(), instance);
    match pass(BestNode.as_policy(), snapshot, vec![key]).remove(0).1 {
        Decision::Wait(refusal) => refusal.to_string(),
        Decision::Bind(choice) => panic!("bound: {choice}"),
    }
}

impl BestNode {
    fn as_policy(&self) -> &dyn Policy {
        self
    }
}

fn cluster(nodes: impl IntoIterator<Item = Node>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for node in nodes {
        snapshot.set_node(node);
    }
    snapshot
}

#[test]
fn what_keeps_an_instance_waiting_is_told_in_one_line() {
    let big = demand(json!({}), json!({"memory": "2Gi"}));
    let small = node("a1", json!({"cpu": "4", "memory": "1.2Gi"}));
    let tainted = |name| Node { taints: vec![taint("gpu=yes:NoSchedule")], ..plain(name) };
    assert_eq!(
        wait(&mut cluster([small.clone(), tainted("b1"), tainted("b2")]), &big),
        "0/3 nodes fit: 2 have the taint gpu=yes:NoSchedule, 1 has too little memory (needs 2Gi, has 1.2Gi in all)"
    );
    assert_eq!(wait(&mut cluster([]), &big), "there is no node: `nexus-agent` makes a machine one");
    let mut full = cluster([plain("a1"), plain("a2")]);
    assert_eq!(place(&mut full, "db", &demand(json!({}), json!({"memory": "7Gi"})), 2).len(), 2);
    assert_eq!(
        wait(&mut full, &big),
        "0/2 nodes fit: 2 have too little memory (needs 2Gi, at most 1Gi is left)"
    );
    let cordoned = Node { cordoned: true, ..plain("a1") };
    let silent = Node { readiness: Readiness::Unknown, ..plain("a2") };
    assert_eq!(
        wait(&mut cluster([cordoned, silent]), &big),
        "0/2 nodes fit: 1 is cordoned, 1 is not heard of"
    );
    let picky = demand(json!({"nodeSelector": {"disk": "ssd"}}), json!({}));
    assert_eq!(
        wait(&mut cluster([plain("a1")]), &picky),
        "0/1 nodes fit: 1 does not match nodeSelector disk=ssd"
    );
    let ports = demand(json!({"ports": [{"containerPort": 80, "hostPort": 80}]}), json!({}));
    let mut taken = cluster([plain("a1")]);
    place(&mut taken, "db", &ports, 1);
    assert_eq!(wait(&mut taken, &ports), "0/1 nodes fit: 1 has the port 80/TCP taken");
    let gpu = demand(json!({}), json!({"gpus.example/a": 1}));
    assert_eq!(
        wait(&mut cluster([plain("a1")]), &gpu),
        "0/1 nodes fit: 1 has too little gpus.example/a (needs 1, has 0 in all)"
    );
}

#[test]
fn requirements_spreads_and_relations_are_kept() {
    let any = demand(json!({}), json!({"cpu": "100m"}));
    let mut snapshot = cluster(["a1", "a2", "b1", "c1"].map(plain));
    snapshot.set_placement(&key("even"), placement(json!({"spread": [{"topologyKey": "zone"}]})));
    let went = place(&mut snapshot, "even", &any, 6);
    for zone in ["a", "b", "c"] {
        assert_eq!(went.iter().flatten().filter(|node| node.starts_with(zone)).count(), 2, "{went:?}");
    }
    // A zone whose nodes are all cordoned is no zone to spread over.
    let mut snapshot =
        cluster(["a1", "b1"].map(plain).into_iter().chain([Node { cordoned: true, ..plain("c1") }]));
    snapshot.set_placement(&key("even"), placement(json!({"spread": [{"topologyKey": "zone"}]})));
    assert!(place(&mut snapshot, "even", &any, 4).iter().all(Option::is_some));

    let mut snapshot = cluster(["a1", "a2", "b1"].map(plain));
    let apart = json!({"apart": [{"workload": "lone", "required": true}, {"workload": "db", "topologyKey": "zone", "required": true}]});
    snapshot.set_placement(&key("lone"), placement(apart));
    assert_eq!(place(&mut snapshot, "db", &any, 1).len(), 1);
    let db = snapshot.instance(&key("db-0")).unwrap().node.clone().unwrap();
    let lone = place(&mut snapshot, "lone", &any, 4);
    assert!(lone.iter().flatten().all(|node| node[..1] != db[..1]), "{lone:?} {db}");
    let nodes_left = if db.starts_with('a') { 1 } else { 2 };
    assert_eq!(lone.iter().flatten().count(), nodes_left, "one a node");
    // The one that asked to be apart is stayed away from, too.
    let more = place(&mut snapshot, "db", &any, 8);
    let taken: Vec<&String> = lone.iter().flatten().collect();
    assert!(more.iter().flatten().all(|node| taken.iter().all(|other| other[..1] != node[..1])), "{more:?}");
}

#[test]
fn what_must_be_near_follows_in_the_same_pass() {
    let any = demand(json!({}), json!({"cpu": "100m"}));
    let mut snapshot = cluster(["a1", "b1", "c1"].map(plain));
    snapshot.set_placement(&key("app"), placement(json!({"near": [{"workload": "db", "required": true}]})));
    // It is older than what it waits for.
    let (app, mut first) = instance("app", "app", &any);
    first.created = "2025-01-01T00:00:00Z".into();
    snapshot.set_instance(app.clone(), first);
    assert!(matches!(&pass(&BestNode, &mut snapshot, vec![app.clone()])[..], [(_, Decision::Wait(why))]
        if why.to_string() == "0/3 nodes fit: 3 are not near workload db (by kubernetes.io/hostname)"));
    let (db, second) = instance("db", "db", &any);
    snapshot.set_instance(db.clone(), second);
    pass(&BestNode, &mut snapshot, vec![app.clone(), db.clone()]);
    let at = |key: &Key| snapshot.instance(key).unwrap().node.clone();
    assert!(at(&app).is_some() && at(&app) == at(&db));
    // Near its own kind, the first one goes anywhere and the rest to it.
    snapshot
        .set_placement(&key("herd"), placement(json!({"near": [{"workload": "herd", "required": true}]})));
    let herd = place(&mut snapshot, "herd", &any, 3);
    assert!(herd.iter().all(|node| node.is_some() && *node == herd[0]), "{herd:?}");
}

#[test]
fn preferences_decide_among_nodes_that_do() {
    let any = demand(json!({}), json!({"cpu": "100m"}));
    let only =
        |snapshot: &mut Snapshot, workload: &str| place(snapshot, workload, &any, 1)[0].clone().unwrap();
    let mut snapshot = cluster([node("a1", json!({"cpu": "1"})), node("b1", json!({"cpu": "8"}))]);
    assert_eq!(only(&mut snapshot, "free"), "b1");
    let preferred = json!({"nodes": {"preferred": [{"weight": 1, "matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}});
    snapshot.set_placement(&key("picky"), placement(preferred));
    assert_eq!(only(&mut snapshot, "picky"), "a1");
    snapshot.set_placement(&key("shy"), placement(json!({"apart": [{"workload": "free"}]})));
    assert_eq!(only(&mut snapshot, "shy"), "a1");
    snapshot.set_placement(&key("fan"), placement(json!({"near": [{"workload": "picky"}]})));
    assert_eq!(only(&mut snapshot, "fan"), "a1");
    let soft = Node { taints: vec![taint("old:PreferNoSchedule")], ..node("b1", json!({"cpu": "8"})) };
    snapshot.set_node(soft);
    assert_eq!(only(&mut snapshot, "spoiled"), "a1");
    let (key, instance) = instance("told", "told", &any);
    let told = BestNode.decide(&snapshot, &key, &instance).to_string();
    assert!(
        told.starts_with("a1, the best of 2 nodes that fit (of 2): ") && told.contains("free +"),
        "{told}"
    );
}

#[test]
fn what_has_ended_takes_no_room_and_what_leaves_does() {
    let all = demand(json!({}), json!({"cpu": "4"}));
    let mut snapshot = cluster([plain("a1")]);
    assert!(place(&mut snapshot, "one", &all, 1)[0].is_some());
    let set = |snapshot: &mut Snapshot, life| {
        let was = snapshot.instance(&key("one-0")).unwrap().clone();
        snapshot.set_instance(key("one-0"), Instance { life, ..was });
    };
    set(&mut snapshot, Life::Leaves);
    assert_eq!(place(&mut snapshot, "two", &all, 1), [None]);
    set(&mut snapshot, Life::Ended);
    assert!(place(&mut snapshot, "two", &all, 1)[0].is_some());
}

#[derive(Clone, Debug)]
struct Wish {
    workload: u8,
    cpu: u32,
    memory: u32,
    port: Option<u16>,
    tolerates: bool,
    zone: Option<u8>,
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let wish = (
        0_u8..4,
        0_u32..3_000,
        0_u32..4_000,
        prop::option::weighted(0.2, 1_u16..3),
        any::<bool>(),
        prop::option::weighted(0.3, 0_u8..3),
    );
    let wish = wish.prop_map(|(workload, cpu, memory, port, tolerates, zone)| Wish {
        workload,
        cpu,
        memory,
        port,
        tolerates,
        zone,
    });
    prop::collection::vec(wish, 1..40)
}

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    let one = (0_u8..3, 0_u32..6, 0_u32..8, 0_u8..8);
    prop::collection::vec(one, 0..7).prop_map(|of| {
        let make = |(at, (zone, cpu, memory, odd)): (usize, (u8, u32, u32, u8))| {
            let name = format!("{}{at}", char::from(b'a' + zone));
            let mut node = node(&name, json!({"cpu": cpu, "memory": format!("{memory}Gi"), "pods": 5}));
            match odd {
                0 => node.cordoned = true,
                1 => node.readiness = Readiness::NotReady,
                2 => node.taints = vec![taint("odd:NoExecute")],
                3 => node.taints = vec![taint("odd:PreferNoSchedule")],
                _ => {}
            }
            node
        };
        of.into_iter().enumerate().map(make).collect()
    })
}

fn placements() -> impl Strategy<Value = Vec<Value>> {
    let one = prop_oneof![
        3 => Just(json!({})),
        2 => (1_u8..3, any::<bool>()).prop_map(|(skew, zone)| json!({"spread": [{"maxSkew": skew,
            "topologyKey": if zone { "zone" } else { "kubernetes.io/hostname" }}]})),
        1 => (0_u8..4, any::<bool>()).prop_map(|(other, required)| json!({"apart": [{"workload": format!("w{other}"), "required": required}]})),
        1 => (0_u8..4, any::<bool>()).prop_map(|(other, required)| json!({"near": [{"workload": format!("w{other}"), "topologyKey": "zone", "required": required}]})),
    ];
    prop::collection::vec(one, 4)
}

fn asked(wish: &Wish) -> Arc<Demand> {
    let mut pod = json!({});
    if let Some(port) = wish.port {
        pod["ports"] = json!([{"containerPort": 80, "hostPort": port}]);
    }
    if wish.tolerates {
        pod["tolerations"] = json!([{"key": "odd", "operator": "Exists"}]);
    }
    if let Some(zone) = wish.zone {
        pod["nodeSelector"] = json!({"zone": char::from(b'a' + zone).to_string()});
    }
    demand(pod, json!({"cpu": format!("{}m", wish.cpu), "memory": format!("{}Mi", wish.memory)}))
}

fn state(nodes: &[Node], placements: &[Value], wishes: &[Wish]) -> (Snapshot, Vec<Key>) {
    let mut snapshot = cluster(nodes.iter().cloned());
    for (at, value) in placements.iter().enumerate() {
        snapshot.set_placement(&key(&format!("w{at}")), placement(value.clone()));
    }
    let mut keys = Vec::new();
    for (at, wish) in wishes.iter().enumerate() {
        let (key, instance) = instance(&format!("i{at:02}"), &format!("w{}", wish.workload), &asked(wish));
        snapshot.set_instance(key.clone(), instance);
        keys.push(key);
    }
    (snapshot, keys)
}

/// Everything that must hold of a state in which instances have places, said a second time and without the sums.
fn check(snapshot: &Snapshot) {
    let mut used: HashMap<&str, Amounts> = HashMap::new();
    let mut ports: HashMap<&str, Vec<demand::HostPort>> = HashMap::new();
    for (key, instance) in snapshot.instances() {
        let Some(at) = instance.node.as_deref() else { continue };
        let node = snapshot.node(at).unwrap();
        assert!(node.readiness == Readiness::Ready && !node.cordoned, "{key} on {at}");
        assert!(instance.demand.selector.iter().all(|(key, value)| node.labels.get(key) == Some(value)));
        assert!(
            node.taints.iter().all(|t| t.effect == hypermesh_schemas::node::TaintEffect::PreferNoSchedule
                || instance.demand.tolerates(t))
        );
        used.entry(at).or_default().add(&instance.demand.needs, 1);
        for port in &instance.demand.ports {
            let taken = ports.entry(at).or_default();
            assert!(taken.iter().all(|other| !other.conflicts(port)), "{port} twice on {at}");
            taken.push(*port);
        }
        for apart in
            snapshot.placement(&instance.workload).iter().flat_map(|p| &p.apart).filter(|a| a.required)
        {
            let other = snapshot::sibling(&instance.workload, apart.workload.as_str());
            let met = snapshot
                .instances()
                .any(|(found, i)| found != key && i.workload == other && i.node.as_deref() == Some(at));
            assert!(!met, "{key} is not apart from {other}");
        }
    }
    for (at, used) in used {
        let all = &snapshot.node(at).unwrap().allocatable;
        for (resource, amount) in used.iter() {
            assert!(amount <= all.get(resource), "{at} is overcommitted: {resource} {amount}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn places_are_never_promised_twice_and_none_that_fits_is_left(
        nodes in nodes(), placements in placements(), wishes in wishes(),
    ) {
        let (mut snapshot, keys) = state(&nodes, &placements, &wishes);
        let decisions = pass(&BestNode, &mut snapshot, keys.clone());
        prop_assert_eq!(decisions.len(), keys.len());
        check(&snapshot);
        for (key, decision) in decisions {
            let instance = snapshot.instance(&key).unwrap();
            match decision {
                Decision::Bind(choice) => prop_assert_eq!(instance.node.as_ref(), Some(&choice.node)),
                Decision::Wait(refusal) => {
                    prop_assert_eq!(refusal.nodes.len(), nodes.len());
                    prop_assert!(refusal.nodes.iter().all(|(_, reasons)| !reasons.is_empty()));
                    let again = BestNode.decide(&snapshot, &key, instance);
                    prop_assert!(matches!(again, Decision::Wait(_)), "{} would fit: {}", key, again);
                }
            }
        }
    }

    #[test]
    fn the_order_in_which_a_state_came_to_be_changes_nothing(
        nodes in nodes(), placements in placements(), wishes in wishes(), seed in any::<u64>(),
    ) {
        let (mut snapshot, keys) = state(&nodes, &placements, &wishes);
        let mut decisions = pass(&BestNode, &mut snapshot, keys.clone());
        let (mut nodes, mut keys) = (nodes, keys);
        nodes.reverse();
        let by = |text: &str| text.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        keys.sort_by_key(|key| by(&key.name));
        // Through a detour: everything was somewhere else before.
        let (mut other, _) = state(&nodes, &placements, &[]);
        for key in &keys {
            let at: usize = key.name[1..].parse().unwrap();
            let (_, instance) = instance(&key.name, &format!("w{}", wishes[at].workload), &asked(&wishes[at]));
            other.set_instance(key.clone(), Instance { node: Some("elsewhere".into()), ..instance });
        }
        for key in &keys {
            other.bind(key, None);
        }
        let mut others = pass(&BestNode, &mut other, keys);
        decisions.sort_by(|(a, _), (b, _)| a.cmp(b));
        others.sort_by(|(a, _), (b, _)| a.cmp(b));
        prop_assert_eq!(decisions, others);
        prop_assert!(snapshot == other, "the sums depend on the way");
    }
}

#[test]
fn a_thousand_instances_find_their_places_among_a_hundred_nodes_at_once() {
    let any = demand(json!({}), json!({"cpu": "100m", "memory": "64Mi"}));
    let mut snapshot = cluster((0..100).map(|n| plain(&format!("{}{n}", char::from(b'a' + n % 3)))));
    snapshot.set_placement(&key("web"), placement(json!({"spread": [{"topologyKey": "zone"}]})));
    let begin = std::time::Instant::now();
    let went = place(&mut snapshot, "web", &any, 1_000);
    let took = begin.elapsed();
    assert!(went.iter().all(Option::is_some));
    println!("1,000 instances over 100 nodes: {took:?}");
    let most = snapshot.hosts().map(|(_, host)| host.used.get(&Resource::Instances)).max();
    assert!(most <= Some(11), "{most:?}");
}
