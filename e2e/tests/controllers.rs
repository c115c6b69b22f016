//! The controllers as an operator runs them: processes of their own, killed, stopped and left alone.

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hypermesh_client::{Config, Material, Trust};
use hypermesh_e2e::controllers::{Controllers, PATIENCE, grant, until};
use hypermesh_e2e::kubeconfig::Kubeconfig;
use hypermesh_e2e::load::{Call, ServerSpec, binary};
use hypermesh_e2e::{Client, Cluster};
use k8s_openapi::api::core::v1::ConfigMap;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

const ACCOUNT: &str = "/api/v1/namespaces/default/serviceaccounts/default";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/nexus-controllers";

fn cluster() -> Result<Cluster> {
    let cluster = Cluster::start(Vec::new())?;
    grant(&cluster)?;
    Ok(cluster)
}

/// The object at `path`, as soon as there is one.
fn comes(client: &Client, path: &str) -> Result<Value> {
    until(path, || {
        let reply = client.get(path)?;
        if reply.code == 404 { Ok(None) } else { reply.expect(200).map(Some) }
    })
}

fn goes(client: &Client, path: &str) -> Result<()> {
    until(&format!("the end of {path}"), || Ok((client.get(path)?.code == 404).then_some(())))
}

fn namespace(client: &Client, name: &str) -> Result<()> {
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    client.post("/api/v1/namespaces", &object)?.expect(201)?;
    Ok(())
}

/// Waits until what there was to do is done: every namespace was looked at, and nothing failed.
fn rests(cluster: &Cluster, controllers: &Controllers) -> Result<u64> {
    let mut before = (0, 0.0);
    until("rest", || {
        std::thread::sleep(Duration::from_millis(300));
        let done = controllers.metric(
            "hypermesh_controller_reconcile_duration_seconds_count{controller=\"namespace-contents\"}",
        )?;
        let now = (cluster.revision()?, done);
        let rests = now == before && done >= 3.0 && controllers.get("/readyz")?.0 == 200;
        before = now;
        Ok(rests.then_some(now.0))
    })
}

#[test]
fn every_namespace_has_an_account_and_the_authorities() -> Result<()> {
    let cluster = cluster()?;
    let controllers = Controllers::start(&cluster, &["--alone"])?;
    let admin = cluster.admin()?;
    let authority = String::from_utf8(cluster.credentials().authority.clone())?;
    for name in ["default", "kube-public", "kube-system"] {
        comes(&admin, &format!("/api/v1/namespaces/{name}/serviceaccounts/default"))?;
        let map = comes(&admin, &format!("/api/v1/namespaces/{name}/configmaps/kube-root-ca.crt"))?;
        ensure!(map["data"] == json!({"ca.crt": authority}), "{map}");
    }
    rests(&cluster, &controllers)?;

    // Whatever is done to them.
    let first = comes(&admin, ACCOUNT)?;
    admin.delete(ACCOUNT)?.expect(200)?;
    let second = comes(&admin, ACCOUNT)?;
    ensure!(first["metadata"]["uid"] != second["metadata"]["uid"], "it was never gone");
    let map = "/api/v1/namespaces/default/configmaps/kube-root-ca.crt";
    let change = json!({"data": {"ca.crt": "mine", "other": "x"}, "metadata": {"labels": {"mine": "yes"}}});
    admin.merge(map, &change)?.expect(200)?;
    let mended = until("the data put right", || {
        let map = admin.get(map)?.expect(200)?;
        Ok((map["data"] == json!({"ca.crt": authority})).then_some(map))
    })?;
    ensure!(
        mended["metadata"]["labels"]["mine"] == "yes",
        "what is not its business is left alone: {mended}"
    );
    // What cannot be changed any more is made anew.
    admin.merge(map, &json!({"data": {"ca.crt": "mine"}, "immutable": true}))?;
    until("the immutable one replaced", || {
        let reply = admin.get(map)?;
        let map = reply.json()?;
        Ok((reply.code == 200 && map["immutable"].is_null() && map["data"]["ca.crt"] == *authority)
            .then_some(()))
    })?;

    // New namespaces too; and they end as before.
    namespace(&admin, "team")?;
    comes(&admin, "/api/v1/namespaces/team/serviceaccounts/default")?;
    comes(&admin, "/api/v1/namespaces/team/configmaps/kube-root-ca.crt")?;
    admin.delete("/api/v1/namespaces/team")?.expect(200)?;
    goes(&admin, "/api/v1/namespaces/team")?;
    let why = controllers.decisions("default")?;
    ensure!(
        why.iter().any(|d| d["why"].as_str().is_some_and(|why| why.contains("ServiceAccount"))),
        "{why:?}"
    );
    controllers.stop()
}

/// The authorities of a cluster change in two steps, so that nobody is locked out: first everyone is told to trust the new
/// one too, then the server shows a certificate of the new one.
#[test]
fn the_authorities_of_namespaces_follow_those_of_the_cluster() -> Result<()> {
    let mut cluster = cluster()?;
    let controllers = Controllers::start(&cluster, &["--alone"])?;
    let admin = cluster.admin()?;
    namespace(&admin, "team")?;
    let path = |name: &str| format!("/api/v1/namespaces/{name}/configmaps/kube-root-ca.crt");
    let told = |client: &Client, wanted: &str| {
        for name in ["default", "kube-system", "team"] {
            until(&format!("other authorities in {name}"), || {
                let reply = client.get(&path(name))?;
                Ok((reply.code == 200 && reply.json()?["data"] == json!({"ca.crt": wanted})).then_some(()))
            })?;
        }
        anyhow::Ok(())
    };
    let old = String::from_utf8(cluster.credentials().authority.clone())?;
    told(&admin, &old)?;

    // First step: the controllers' kubeconfig names both.
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "another CA of the cluster");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let new = params.self_signed(&key)?.pem().replace('\r', "");
    let both = format!("{old}{new}");
    let kubeconfig = cluster.dir().join("controllers.kubeconfig");
    let text = std::fs::read_to_string(&kubeconfig)?;
    ensure!(text.contains(&STANDARD.encode(&old)), "the authority is not where it is looked for");
    let beside = kubeconfig.with_extension("new");
    std::fs::write(&beside, text.replace(&STANDARD.encode(&old), &STANDARD.encode(&both)))?;
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&beside, &kubeconfig)?;
    told(&admin, &both)?;

    // What a program in a namespace has now is enough before and after the second step.
    let config = |pem: &str| -> Result<Config> {
        let mut config = Config::from_kubeconfig(cluster.kubeconfig()?)?;
        config.trust =
            Trust::Authorities(Material { pem: pem.into(), origin: "kube-root-ca.crt".to_owned() });
        Ok(config)
    };
    let (follows, does_not) = (config(&both)?, config(&old)?);
    let runtime = cluster.runtime().clone();
    let client = {
        let _inside = runtime.enter();
        hypermesh_client::connect(&follows)?
    };
    let maps: kube::Api<ConfigMap> = kube::Api::namespaced(client, "team");
    runtime.block_on(maps.get("kube-root-ca.crt"))?;
    cluster.restart(|dir| {
        let at = |name: &str| dir.join("pki").join(name);
        std::fs::write(at("ca.key"), key.serialize_pem().replace('\r', ""))?;
        std::fs::write(at("ca.crt"), &new)?;
        // It is issued anew.
        Ok(std::fs::remove_file(at("server.crt"))?)
    })?;
    ensure!(cluster.credentials().authority == new.as_bytes(), "the kubeconfig names the new one");
    runtime.block_on(maps.get("kube-root-ca.crt")).context("a client that trusts both goes on")?;
    let _inside = runtime.enter();
    let late: kube::Api<ConfigMap> = kube::Api::namespaced(hypermesh_client::connect(&does_not)?, "team");
    let Err(error) = runtime.block_on(late.get("kube-root-ca.crt")) else { bail!("it was believed") };
    let error = format!("{:#}", anyhow::Error::from(error));
    ensure!(error.contains("its certificate was not issued by an authority that is trusted here"), "{error}");

    // The controllers go on by themselves: the server has written their kubeconfig, too.
    told(&cluster.admin()?, &new)?;
    controllers.stop()
}

#[test]
fn one_leads_and_another_takes_over() -> Result<()> {
    let cluster = cluster()?;
    let admin = cluster.admin()?;
    let flags = ["--lease-duration", "6s"];
    let first = Controllers::start(&cluster, &flags)?;
    until("a leader", || Ok(first.leads()?.then_some(())))?;
    // What its client counts stands beside its own.
    let replied = |transport| {
        first.metric(&format!("hypermesh_client_requests_total{{transport=\"{transport}\",code=\"2xx\"}}"))
    };
    ensure!(replied("http3")? + replied("tcp")? > 0.0, "it leads and has asked nothing");
    let second = Controllers::start(&cluster, &flags)?;
    comes(&admin, ACCOUNT)?;
    until("a candidate", || Ok((second.get("/readyz")?.0 == 200).then_some(())))?;
    ensure!(!second.leads()? && second.get("/readyz")? == (200, "ok: standing by\n".into()), "two lead");
    let holder = |lease: &Value| lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
    let before = holder(&comes(&admin, LEASE)?);
    ensure!(!before.is_empty(), "nobody holds the lease");

    // Killed: the other waits the lease out, then does what is to be done.
    first.kill()?;
    admin.delete(ACCOUNT)?.expect(200)?;
    comes(&admin, ACCOUNT)?;
    ensure!(second.leads()?, "somebody else did it");
    ensure!(holder(&comes(&admin, LEASE)?) != before, "the lease did not change hands");

    // Stopped: the lease is given back, so the next need not wait for it to run out.
    let third = Controllers::start(&cluster, &["--lease-duration", "30s"])?;
    until("a candidate", || Ok((third.get("/readyz")?.0 == 200).then_some(())))?;
    let begin = Instant::now();
    second.stop()?;
    until("the hand-over", || Ok(third.leads()?.then_some(())))?;
    let took = begin.elapsed();
    ensure!(took < Duration::from_secs(15), "the hand-over took {took:?}: the lease was waited out");
    admin.delete(ACCOUNT)?.expect(200)?;
    comes(&admin, ACCOUNT)?;
    third.stop()
}

#[test]
fn events_expire_and_a_wish_that_cannot_be_met_is_told_once() -> Result<()> {
    let cluster = cluster()?;
    let admin = cluster.admin()?;
    namespace(&admin, "short")?;
    namespace(&admin, "odd")?;
    let event = |namespace: &str| {
        let object = json!({"apiVersion": "v1", "kind": "Event", "reason": "Test", "type": "Normal",
            "metadata": {"name": "old"}, "involvedObject": {"kind": "Namespace", "name": namespace, "namespace": namespace}});
        admin.post(&format!("/api/v1/namespaces/{namespace}/events"), &object)?.expect(201)
    };
    let wish = json!({"metadata": {"annotations": {"hypermesh.online/event-retention": "soon"}}});
    admin.merge("/api/v1/namespaces/odd", &wish)?.expect(200)?;
    // What is told of a Namespace is told in `default`, and is to be found there for longer than this takes.
    let longer = json!({"metadata": {"annotations": {"hypermesh.online/event-retention": "1h"}}});
    admin.merge("/api/v1/namespaces/default", &longer)?.expect(200)?;
    event("short")?;
    event("odd")?;
    let controllers = Controllers::start(&cluster, &["--alone", "--event-retention", "1s"])?;
    goes(&admin, "/api/v1/namespaces/short/events/old")?;

    let condition = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|condition| condition["type"] == "EventRetention")
    };
    let odd = "/api/v1/namespaces/odd";
    let told = until("the condition", || Ok(condition(&admin.get(odd)?.expect(200)?)))?;
    ensure!(told["status"] == "False" && told["reason"] == "InvalidEventRetention", "{told}");
    ensure!(told["message"].as_str().is_some_and(|m| m.contains("\"soon\" is no duration")), "{told}");
    let events =
        admin.get("/api/v1/namespaces/default/events?fieldSelector=reason%3DInvalidEventRetention")?;
    ensure!(
        events.expect(200)?["items"].as_array().is_some_and(|items| items.len() == 1),
        "one event tells it"
    );
    rests(&cluster, &controllers)?;
    let before = admin.get(odd)?.expect(200)?["metadata"]["resourceVersion"].clone();
    // Somebody touches it without mending it: nothing is written.
    let labelled = admin.merge(odd, &json!({"metadata": {"labels": {"touched": "yes"}}}))?.expect(200)?;
    ensure!(labelled["metadata"]["resourceVersion"] != before, "it was touched");
    until("another look", || {
        let decisions = controllers.decisions("odd")?;
        Ok(decisions
            .iter()
            .any(|d| d["verdict"] == "Invalid" && d["count"].as_u64() >= Some(2))
            .then_some(()))
    })?;
    let after = admin.get(odd)?.expect(200)?;
    ensure!(after["metadata"]["resourceVersion"] == labelled["metadata"]["resourceVersion"], "{after}");
    ensure!(admin.get("/api/v1/namespaces/odd/events/old")?.code == 200, "its events wait");
    // Mended.
    let wish = json!({"metadata": {"annotations": {"hypermesh.online/event-retention": null}}});
    admin.merge(odd, &wish)?.expect(200)?;
    goes(&admin, "/api/v1/namespaces/odd/events/old")?;
    until("the end of the condition", || {
        Ok(condition(&admin.get(odd)?.expect(200)?).is_none().then_some(()))
    })?;
    controllers.stop()
}

/// Runs nexusctl as the administrator.
fn nexusctl(cluster: &Cluster, words: &[&str]) -> Result<String> {
    let output = std::process::Command::new(binary()?)
        .args(words)
        .env("KUBECONFIG", cluster.kubeconfig()?)
        .output()
        .context("running nexusctl")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{words:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}

/// By which keys the newest version of an object was signed.
fn signed_by(admin: &Client, path: &str) -> Result<(Value, Value)> {
    let history = admin.get(&format!("{path}?history=true"))?.expect(200)?;
    let by = history.pointer("/items/0/by").context("nobody wrote it")?;
    Ok((by["user"].clone(), by["keys"].clone()))
}

#[test]
fn what_controllers_write_is_signed_once_their_key_is_registered() -> Result<()> {
    let cluster = cluster()?;
    let admin = cluster.admin()?;
    let controllers = Controllers::start(&cluster, &["--alone"])?;
    comes(&admin, ACCOUNT)?;
    let (user, keys) = signed_by(&admin, ACCOUNT)?;
    ensure!(user == "system:nexus-controllers" && keys.is_null(), "{user} {keys}");
    controllers.stop()?;

    let kubeconfig = cluster.dir().join("controllers.kubeconfig");
    let kubeconfig = kubeconfig.to_str().context("a path that is no text")?;
    let said = nexusctl(&cluster, &["auth", "register", "system:nexus-controllers", "--key", kubeconfig])?;
    let key = said.split(['/', ' ']).nth(1).context("no key")?.to_owned();
    ensure!(said.contains("registered: it signs for system:nexus-controllers"), "{said}");
    let again = nexusctl(&cluster, &["auth", "register", "system:nexus-controllers", "--key", &key])?;
    ensure!(again.contains("unchanged"), "{again}");
    let known = nexusctl(&cluster, &["auth", "keys"])?;
    ensure!(
        known.contains("admin") && known.contains("(in use here)") && known.contains(&key[..16]),
        "{known}"
    );
    let who = nexusctl(&cluster, &["auth", "whoami"])?;
    ensure!(who.contains("Signed      by "), "{who}");

    let controllers = Controllers::start(&cluster, &["--alone"])?;
    admin.delete(ACCOUNT)?.expect(200)?;
    comes(&admin, ACCOUNT)?;
    let (user, keys) = signed_by(&admin, ACCOUNT)?;
    ensure!(user == "system:nexus-controllers" && keys == json!([key]), "{user} {keys}");
    controllers.stop()?;

    let gone = nexusctl(&cluster, &["auth", "revoke", &key[..10]])?;
    ensure!(gone.trim_end().ends_with("revoked"), "{gone}");
    let controllers = Controllers::start(&cluster, &["--alone"])?;
    admin.delete(ACCOUNT)?.expect(200)?;
    comes(&admin, ACCOUNT)?;
    ensure!(signed_by(&admin, ACCOUNT)?.1.is_null(), "a revoked key signs");
    controllers.stop()
}

#[test]
fn bootstrap_tokens_that_have_expired_go() -> Result<()> {
    let cluster = cluster()?;
    let admin = cluster.admin()?;
    let forever = nexusctl(&cluster, &["token", "create", "--ttl=0", "--description=for ever"])?;
    let short = nexusctl(&cluster, &["token", "create", "--ttl=2s"])?;
    let long = nexusctl(&cluster, &["token", "create", "--ttl=1h", "--group=system:bootstrappers:racks"])?;
    let place = |token: &str| {
        format!(
            "/api/v1/namespaces/kube-system/secrets/bootstrap-token-{}",
            token.split('.').next().unwrap_or("")
        )
    };
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "other"},
        "stringData": {"expiration": "2020-01-01T00:00:00Z"}});
    admin.post("/api/v1/namespaces/kube-system/secrets", &secret)?.expect(201)?;
    let controllers = Controllers::start(&cluster, &["--alone"])?;
    goes(&admin, &place(&short))?;
    let listed = nexusctl(&cluster, &["token", "list"])?;
    for word in [forever.trim(), "<forever>", "<never>", long.trim(), "59m", "system:bootstrappers:racks"] {
        ensure!(listed.contains(word), "{word} is not in\n{listed}");
    }
    ensure!(!listed.contains(short.trim()), "{listed}");
    admin.get("/api/v1/namespaces/kube-system/secrets/other")?.expect(200)?;
    let joining = cluster.anonymous()?.bearer(forever.trim());
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    joining.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review)?.expect(201)?;
    let deleted = nexusctl(&cluster, &["token", "delete", forever.trim()])?;
    ensure!(deleted.starts_with("bootstrap token "), "{deleted}");
    goes(&admin, &place(&forever))?;
    controllers.stop()
}

#[test]
fn an_idle_cluster_orders_at_most_one_block_in_ten_seconds() -> Result<()> {
    let cluster = cluster()?;
    let leader = Controllers::start(&cluster, &[])?;
    until("a leader", || Ok(leader.leads()?.then_some(())))?;
    let standby = Controllers::start(&cluster, &[])?;
    let begin = rests(&cluster, &leader)?;
    let interval = Duration::from_secs(30);
    std::thread::sleep(interval);
    let orders = cluster.revision()? - begin;
    ensure!(orders <= 3, "{orders} writes in {interval:?} of idleness");
    ensure!(orders >= 1, "the lease is not renewed, so this measures nothing");
    ensure!(!standby.leads()?, "two lead");
    standby.stop()?;
    leader.stop()
}

#[test]
fn the_controllers_may_do_what_they_need_and_nothing_else() -> Result<()> {
    let cluster = cluster()?;
    let own = Kubeconfig::read(&cluster.dir().join("controllers.kubeconfig"))?;
    let controllers = cluster.with_certificate(&own.certificate, &own.key)?;
    let allowed = [
        "/api/v1/namespaces",
        "/api/v1/events",
        "/api/v1/configmaps?fieldSelector=metadata.name%3Dkube-root-ca.crt",
        "/api/v1/serviceaccounts?fieldSelector=metadata.name%3Ddefault",
        "/api/v1/namespaces/kube-system/secrets?fieldSelector=type%3Dbootstrap.kubernetes.io%2Ftoken",
    ];
    for path in allowed {
        controllers.get(path)?.expect(200).with_context(|| path.to_owned())?;
    }
    let refused = [
        "/api/v1/secrets",
        "/api/v1/namespaces/default/secrets",
        "/api/v1/configmaps",
        "/api/v1/serviceaccounts",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        "/apis/hypermesh.online/v1/networks",
        "/metrics",
    ];
    for path in refused {
        ensure!(controllers.get(path)?.code == 403, "{path} is not refused");
    }
    // What a template refers to is read by its name, and never changed.
    let keys = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}});
    cluster.admin()?.post("/api/v1/namespaces/default/secrets", &keys)?.expect(201)?;
    controllers.get("/api/v1/namespaces/default/secrets/keys")?.expect(200)?;
    let change =
        controllers.merge("/api/v1/namespaces/default/secrets/keys", &json!({"data": {"a": "eA=="}}))?;
    ensure!(change.code == 403, "a Secret is changed");
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "x"}, "rules": []});
    ensure!(
        controllers.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", &role)?.code == 403,
        "a role"
    );
    Ok(())
}

#[test]
fn controllers_without_rights_wait_for_them() -> Result<()> {
    // Nobody grants them anything at first: they say so, keep trying, and go on by themselves.
    let cluster = Cluster::start(Vec::new())?;
    let controllers = Controllers::start(&cluster, &["--alone"])?;
    until("the watches' errors", || {
        let errors = controllers
            .metric("hypermesh_controller_watch_errors_total{controller=\"namespace-contents\"}")?;
        Ok((errors >= 1.0).then_some(()))
    })?;
    ensure!(controllers.get("/readyz")?.0 == 503, "it is not ready");
    ensure!(controllers.get("/healthz")?.0 == 200, "and it lives");
    grant(&cluster)?;
    comes(&cluster.admin()?, ACCOUNT)?;
    controllers.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_in_one_process_runs_them_itself() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let spec = ServerSpec::new(binary()?, scratch.path().join("data"));
    // The second start finds everything as it should be.
    for _ in 0..2 {
        let server = spec.start().await?;
        let begin = Instant::now();
        let mut connection = server.target.connect().await?;
        while connection.expect(Call::get(ACCOUNT)).await.is_err() {
            ensure!(begin.elapsed() < PATIENCE, "there is no {ACCOUNT}");
            tokio::time::sleep(Duration::from_millis(20)).await;
            connection = server.target.connect().await?;
        }
        // They sign from the first write on.
        let history = connection.expect(Call::get(format!("{ACCOUNT}?history=true"))).await?;
        let history: Value = serde_json::from_slice(&history)?;
        let by = history.pointer("/items/0/by").context("nobody wrote it")?;
        ensure!(by["keys"].as_array().is_some_and(|keys| keys.len() == 1), "{by}");
        // Who deletes what is there in numbers deletes their key too: it comes back, and they go on.
        let key = by["keys"][0].as_str().context("no key")?;
        let identity = format!("/apis/hypermesh.online/v1/identities/{key}");
        connection.expect(Call::delete(&*identity)).await?;
        while connection.expect(Call::get(&*identity)).await.is_err() {
            ensure!(begin.elapsed() < PATIENCE, "{identity} does not come back");
            tokio::time::sleep(Duration::from_millis(20)).await;
            connection = server.target.connect().await?;
        }
        connection.expect(Call::delete(ACCOUNT)).await?;
        while connection.expect(Call::get(ACCOUNT)).await.is_err() {
            ensure!(begin.elapsed() < PATIENCE, "{ACCOUNT} does not come back");
            tokio::time::sleep(Duration::from_millis(20)).await;
            connection = server.target.connect().await?;
        }
        drop(connection);
        server.stop().await?;
    }
    let (said, sound) = spec.check().await?;
    ensure!(sound, "{said}");
    Ok(())
}
