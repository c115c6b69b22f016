//! Workloads, jobs and schedules, and the containers of their templates.

use super::*;

#[test]
fn pods() {
    right("Workload", workload(json!({})));
    let two = |second: Value| pod(json!({"initContainers": [second]}));
    right(
        "Workload",
        two(
            json!({"name": "log", "image": "log:1", "restartPolicy": "Always", "readinessProbe": {"tcpSocket": {"port": 1}}}),
        ),
    );
    wrong(
        "Workload",
        two(json!({"name": "web", "image": "log:1"})),
        ".spec.template.spec.initContainers: no two containers of an instance have the same name",
    );
    wrong(
        "Workload",
        two(json!({"name": "log", "image": "log:1", "livenessProbe": {"exec": {"command": ["true"]}}})),
        ".spec.template.spec.initContainers: a container that runs to its end has neither probes nor lifecycle; restartPolicy: Always makes it a sidecar",
    );
    wrong(
        "Workload",
        container(json!({"restartPolicy": "Always"})),
        ".spec.template.spec.containers: only a container of initContainers has a restartPolicy of its own",
    );
    let mount = json!([{"name": "data", "mountPath": "/data"}]);
    wrong(
        "Workload",
        container(json!({"volumeMounts": mount})),
        ".spec.template.spec.containers: a container mounts a volume that volumes does not have",
    );
    let mut mounted = container(json!({"volumeMounts": mount}));
    mounted["spec"]["template"]["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
    right("Workload", mounted);
    wrong(
        "Workload",
        two(json!({"name": "log", "image": "log:1", "volumeMounts": mount})),
        ".spec.template.spec.initContainers: a container mounts a volume that volumes does not have",
    );
}

#[test]
fn containers() {
    let path = ".spec.template.spec.containers[0]";
    let probe = json!({"httpGet": {"port": "http"}});
    right(
        "Workload",
        container(
            json!({"livenessProbe": probe, "readinessProbe": {"tcpSocket": {"port": 80}, "successThreshold": 3}}),
        ),
    );
    let mut eager = probe.clone();
    eager["successThreshold"] = 2.into();
    wrong(
        "Workload",
        container(json!({"livenessProbe": eager})),
        &format!("{path}.livenessProbe.successThreshold: one success is enough to be alive"),
    );
    wrong(
        "Workload",
        container(json!({"startupProbe": eager})),
        &format!("{path}.startupProbe.successThreshold: one success is enough to have started"),
    );
    for pids in [json!(1), json!(4_194_304), json!("20"), json!("4194304")] {
        right("Workload", container(json!({"resources": {"limits": {"pids": pids, "memory": "1Gi"}}})));
    }
    let message =
        format!("{path}.resources.limits: a limit of processes is a whole number, from 1 to 4194304");
    for pids in [json!(0), json!(4_194_305), json!("4194305"), json!("0"), json!("1k"), json!("0.5")] {
        wrong("Workload", container(json!({"resources": {"limits": {"pids": pids}}})), &message);
    }
    wrong(
        "Workload",
        container(json!({"resources": {"requests": {"pids": 5}}})),
        &format!("{path}.resources.requests: processes are limited and not asked for: write limits.pids"),
    );
    let message = format!("{path}.readinessProbe: a probe is exactly one of httpGet, tcpSocket and exec");
    wrong("Workload", container(json!({"readinessProbe": {}})), &message);
    wrong(
        "Workload",
        container(json!({"readinessProbe": {"httpGet": {"port": 1}, "tcpSocket": {"port": 1}}})),
        &message,
    );
    right(
        "Workload",
        container(
            json!({"env": [{"name": "A"}, {"name": "B", "value": ""}, {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
        ),
    );
    wrong(
        "Workload",
        container(
            json!({"env": [{"name": "A", "value": "", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
        ),
        &format!("{path}.env[0]: a variable has either value or valueFrom"),
    );
    wrong(
        "Workload",
        container(json!({"env": [{"name": "A", "valueFrom": {}}]})),
        &format!("{path}.env[0].valueFrom: 0 fields"),
    );
    right(
        "Workload",
        container(
            json!({"envFrom": [{"configMapRef": {"name": "a"}}, {"prefix": "B_", "secretRef": {"name": "b"}}]}),
        ),
    );
    for source in [json!({}), json!({"configMapRef": {"name": "a"}, "secretRef": {"name": "b"}})] {
        wrong(
            "Workload",
            container(json!({"envFrom": [source]})),
            &format!("{path}.envFrom[0]: a source is exactly one of configMapRef and secretRef"),
        );
    }
    right(
        "Workload",
        container(
            json!({"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}, "securityContext": {"privileged": true}}),
        ),
    );
    wrong(
        "Workload",
        container(json!({"securityContext": {"privileged": true, "allowPrivilegeEscalation": false}})),
        &format!(
            "{path}.securityContext.allowPrivilegeEscalation: a privileged container can gain privileges"
        ),
    );
    right(
        "Workload",
        container(
            json!({"securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "a/b.json"}}}),
        ),
    );
    for profile in [json!({"type": "Localhost"}), json!({"type": "Unconfined", "localhostProfile": "a"})] {
        wrong(
            "Workload",
            container(json!({"securityContext": {"seccompProfile": profile}})),
            &format!(
                "{path}.securityContext.seccompProfile.localhostProfile: localhostProfile goes with the type Localhost, and only with it"
            ),
        );
    }
}

#[test]
fn volumes_and_tolerations() {
    let volume = |source: Value| {
        let mut volume = json!({"name": "data"});
        merge(&mut volume, source);
        pod(json!({"volumes": [volume]}))
    };
    right(
        "Workload",
        volume(
            json!({"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}, {"secret": {"name": "a"}}]}}),
        ),
    );
    right("Workload", volume(json!({"hostPath": {"path": "/etc/..hidden", "type": "Directory"}})));
    let message = ".spec.template.spec.volumes[0]: a volume is exactly one of emptyDir, configMap, secret, hostPath and projected";
    wrong("Workload", volume(json!({})), message);
    wrong("Workload", volume(json!({"emptyDir": {}, "secret": {"secretName": "a"}})), message);
    for path in ["/etc/../root", "/etc/.."] {
        wrong(
            "Workload",
            volume(json!({"hostPath": {"path": path}})),
            ".spec.template.spec.volumes[0].hostPath.path: a path of the node has no .. steps",
        );
    }
    let toleration = |toleration: Value| pod(json!({"tolerations": [toleration]}));
    right("Workload", toleration(json!({"operator": "Exists"})));
    right(
        "Workload",
        toleration(json!({"key": "gpu", "value": "a", "effect": "NoExecute", "tolerationSeconds": 5})),
    );
    let path = ".spec.template.spec.tolerations[0]";
    wrong(
        "Workload",
        toleration(json!({"value": "a"})),
        &format!("{path}: without a key, which stands for all of them, the operator is Exists"),
    );
    wrong(
        "Workload",
        toleration(json!({"key": "a", "operator": "Exists", "value": "b"})),
        &format!("{path}.value: Exists compares with no value"),
    );
    wrong(
        "Workload",
        toleration(json!({"key": "a", "tolerationSeconds": 5})),
        &format!("{path}.tolerationSeconds: tolerationSeconds belongs to the effect NoExecute"),
    );
}

fn jobs() {
    let job = |more: Value| {
        let mut full = json!({"job": {}, "template": {"spec": {"restartPolicy": "Never"}}});
        merge(&mut full, more);
        workload(full)
    };
    right("Workload", job(json!({})));
    right("Workload", job(json!({"schedule": {"cron": "@daily"}})));
    wrong(
        "Workload",
        job(json!({"template": {"spec": {"restartPolicy": "Always"}}})),
        ".spec.template.spec.restartPolicy: a job ends, so its restartPolicy is OnFailure or Never",
    );
    wrong(
        "Workload",
        pod(json!({"restartPolicy": "Never"})),
        ".spec.template.spec.restartPolicy: instances of a workload that is no job are kept running, so their restartPolicy is Always; `job: {}` makes it a job",
    );
    wrong(
        "Workload",
        job(json!({"replicas": 2})),
        ".spec.replicas: how many instances of a job run is job.parallelism",
    );
    wrong(
        "Workload",
        workload(json!({"schedule": {"cron": "@daily"}})),
        ".spec.schedule: what runs by the clock is a job: `job: {}` makes it one",
    );
    let stays = ".spec: a workload stays the service, the job or the schedule that it was made as";
    frozen("Workload", workload(json!({})), job(json!({})), stays);
    frozen("Workload", job(json!({"schedule": {"cron": "@daily"}})), job(json!({})), stays);
    let other = json!({"template": {"metadata": {"labels": {"a": "b"}}}});
    let template = ".spec.template: the template of a job never changes, since some of its instances may have ended already; make another job";
    frozen("Workload", job(json!({})), job(other.clone()), template);
    // The template of a schedule is that of its next run.
    let mut next = other;
    next["schedule"] = json!({"cron": "@daily"});
    let old = job(json!({"schedule": {"cron": "@daily"}}));
    assert_eq!(problems(kind("Workload"), &job(next), Some(&old)), Vec::<String>::new());
}

#[test]
fn crontabs() {
    let schedule = |cron: &str| {
        workload(
            json!({"job": {}, "schedule": {"cron": cron}, "template": {"spec": {"restartPolicy": "Never"}}}),
        )
    };
    for cron in [
        "* * * * *",
        "*/20 0-23/2 1,15,31 * *",
        "30 3 * * 1-5",
        "\t05  03 * jan-Mar mon,FRI ",
        "0 0 L,15W * 5#2",
        "0 0 LW * *",
        "0 0 ? 12 0L",
        "0 0 1 1 7",
        "@Hourly",
        "@annually",
        // It never comes, which is for the controller to tell.
        "0 0 30 2 *",
    ] {
        right("Workload", schedule(cron));
    }
    let path = ".spec.schedule.cron";
    let fields = "there are five fields, minute (0-59), hour (0-23), day of month (1-31), month (1-12) and day of week (0-7), as in \"30 3 * * 1-5\", or one of @hourly, @daily, @weekly, @monthly, @yearly";
    for cron in [
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * * 8",
        "*/0 * * * *",
        "1, * * * *",
        "a b c d e",
        "@often",
        "@midnight",
        "@every 1h",
        " ",
    ] {
        wrong("Workload", schedule(cron), &format!("{path}: {fields}"));
    }
    for cron in ["TZ=UTC * * * * *", "CRON_TZ=Europe/Zurich @daily"] {
        wrong(
            "Workload",
            schedule(cron),
            &format!("{path}: the time zone is a field of its own: schedule.timeZone"),
        );
    }
}

#[test]
fn workloads() {
    right(
        "Workload",
        workload(
            json!({"publish": [{"port": 80, "targetPort": "http"}, {"port": 81}, {"port": 82, "targetPort": 9}]}),
        ),
    );
    wrong(
        "Workload",
        workload(json!({"publish": [{"port": 80, "targetPort": "https"}]})),
        ".spec.publish: publish names a port that no container of the template has",
    );
    right("Workload", workload(json!({"rollout": {"strategy": "Recreate"}})));
    jobs();
    wrong(
        "Workload",
        workload(json!({"rollout": {"strategy": "Recreate", "rolling": {}}})),
        ".spec.rollout.rolling: rolling belongs to the strategy Rolling",
    );
    right("Workload", workload(json!({"rollout": {"rolling": {"maxSurge": 0}}})));
    for zero in [json!(0), json!("0%")] {
        wrong(
            "Workload",
            workload(json!({"rollout": {"rolling": {"maxSurge": zero, "maxUnavailable": "0%"}}})),
            ".spec.rollout.rolling: with neither more nor fewer instances than replicas no step can be made",
        );
    }
    let nodes = |requirement: Value| workload(json!({"placement": {"nodes": {"required": [requirement]}}}));
    right("Workload", nodes(json!({"key": "disk", "operator": "In", "values": ["ssd"]})));
    right("Workload", nodes(json!({"key": "disk", "operator": "Exists"})));
    let message =
        ".spec.placement.nodes.required[0]: In and NotIn need values; Exists and DoesNotExist take none";
    wrong("Workload", nodes(json!({"key": "disk", "operator": "In"})), message);
    wrong("Workload", nodes(json!({"key": "disk", "operator": "Exists", "values": ["ssd"]})), message);
}
