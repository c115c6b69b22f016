//! `edit`: what the editor gets, what is sent, and that nothing that was typed is lost.

use super::{
    Ran, run_in,
    server::{Scripted, Server},
};
use http::Method;
use insta::assert_snapshot;
use nexusctl::Environment;
use serde_json::json;
use std::{fs, path::Path};

const WEB: &str = "/apis/hypermesh.online/v1/namespaces/default/workloads/web";

fn filled() -> Server {
    let server = Server::start();
    for name in ["web", "api"] {
        server.put(
            &WEB.replace("web", name),
            json!({"apiVersion": "hypermesh.online/v1", "kind": "Workload", "metadata": {"name": name,
                "namespace": "default", "labels": {"tier": "front"}}, "spec": {"replicas": 2, "more": 1}}),
        );
    }
    server
}

/// Runs `edit` with a script as the editor, in a folder of its own.
fn edit(server: &Server, words: &str, script: &str, folder: &Path) -> Ran {
    let editor = folder.join("editor");
    fs::write(&editor, format!("set -e\nfile=$1\n{script}\n")).unwrap();
    let environment = Environment {
        editor: Some(format!("sh {}", editor.display()).into()),
        tmpdir: Some(folder.to_owned()),
        ..Environment::default()
    };
    let mut ran = run_in(environment, &format!("--server {} edit {words}", server.url()), "");
    ran.err = ran.err.replace(&folder.display().to_string(), "TMP");
    ran
}

fn kept(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.display().to_string().contains("nexusctl-edit")).collect()
}

#[test]
fn an_edit_that_was_cut_off_is_told_of_next_time() {
    let (server, folder) = (filled(), tempfile::tempdir().unwrap());
    // What a killed process leaves: the file as the editor left it.
    let script = format!("cp $file {}/nexusctl-edit-abcdefgh.yaml", folder.path().display());
    assert_eq!(edit(&server, "wl web", &script, folder.path()).err, "");
    let told = edit(&server, "wl web", ":", folder.path());
    assert_eq!(told.code, 0);
    assert!(
        told.err.starts_with("Warning: an edit of workload.hypermesh.online/web that came to no end, ")
            && told.err.contains("ago, is kept at TMP/nexusctl-edit-abcdefgh.yaml: it is open elsewhere, or was cut off; \
             to go on with it: nexusctl edit --resume=TMP/nexusctl-edit-abcdefgh.yaml; to be rid of it: rm TMP/"),
        "{}",
        told.err
    );
    assert_eq!(edit(&server, "wl api", ":", folder.path()).err, "", "another object");
    // Half an edit is one too.
    let left = folder.path().join("nexusctl-edit-abcdefgh.yaml");
    fs::write(&left, fs::read_to_string(&left).unwrap() + "  : [half\n").unwrap();
    assert!(edit(&server, "wl web", ":", folder.path()).err.contains("came to no end"));
    let resumed = format!("--resume={}", left.display());
    fs::write(&left, fs::read_to_string(&left).unwrap().replace("  : [half\n", "")).unwrap();
    assert_eq!(edit(&server, &resumed, "sed -i 's/replicas: 2/replicas: 9/' $file", folder.path()).code, 0);
    assert_eq!(server.object(WEB).unwrap()["spec"]["replicas"], 9);
    assert!(!left.exists());
}

#[test]
fn sends_what_was_changed_and_no_more() {
    let (server, folder) = (filled(), tempfile::tempdir().unwrap());
    let script =
        format!("cp $file {}/seen\nsed -i 's/replicas: 2/replicas: 3/' $file", folder.path().display());
    let ran = edit(&server, "wl web", &script, folder.path());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_snapshot!(ran.out, @"workload.hypermesh.online/web edited");
    assert_snapshot!(fs::read_to_string(folder.path().join("seen")).unwrap(), @r#"
    # Change what is below and save it; an empty file changes nothing. Lines that begin with '#' are comments.
    #
    apiVersion: hypermesh.online/v1
    kind: Workload
    metadata:
      labels:
        tier: front
      name: web
      namespace: default
      resourceVersion: "101"
      uid: uid-101
    spec:
      more: 1
      replicas: 2
    "#);
    assert_snapshot!(server.writes()[0].body, @r#"{"metadata":{"resourceVersion":"101"},"spec":{"replicas":3}}"#);
    assert_eq!(kept(folder.path()).len(), 0);
    let same = edit(&server, "wl web", "true", folder.path());
    assert_eq!((same.code, same.out.as_str()), (0, "nothing was changed\n"));
    let empty = edit(&server, "wl web", ": > $file", folder.path());
    assert_eq!((empty.code, empty.out.as_str()), (0, "the file is empty: nothing was changed\n"));
    assert_eq!(kept(folder.path()).len(), 0);
    assert_eq!(server.writes().len(), 1);
}

#[test]
fn several_objects_are_edited_in_one_file() {
    let (server, folder) = (filled(), tempfile::tempdir().unwrap());
    let ran = edit(&server, "wl web api", "sed -i '0,/replicas: 2/s//replicas: 7/' $file", folder.path());
    assert_snapshot!(ran.out + &ran.err, @"
    workload.hypermesh.online/web edited
    workload.hypermesh.online/api not changed
    ");
    let json = edit(
        &server,
        "wl/web wl/api -o json",
        "sed -i 's/\"replicas\": 2/\"replicas\": 4/' $file",
        folder.path(),
    );
    assert_snapshot!(json.out + &json.err, @"
    workload.hypermesh.online/web not changed
    workload.hypermesh.online/api edited
    ");
}

#[test]
fn a_refusal_opens_the_editor_again_with_the_reason() {
    let (server, folder) = (filled(), tempfile::tempdir().unwrap());
    server.script_full(Scripted {
        method: Method::PATCH,
        path: WEB.into(),
        code: 422,
        headers: Vec::new(),
        body: json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "reason": "Invalid", "code": 422, "message": "x",
            "details": {"causes": [{"reason": "FieldValueInvalid", "message": "Invalid value: 9: too many", "field": "spec.replicas"}]}})
        .to_string(),
        times: 1,
    });
    let script = format!(
        "if grep -q 'replicas: 9' $file; then cp $file {0}/second; sed -i 's/replicas: 9/replicas: 5/' $file; else sed -i 's/replicas: 2/replicas: 9/' $file; fi",
        folder.path().display()
    );
    let ran = edit(&server, "wl web", &script, folder.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_snapshot!(ran.out + &ran.err, @"
    workload.hypermesh.online/web edited
    error: spec.replicas: Invalid value: 9: too many (at `replicas: 9`)
    ");
    let second = fs::read_to_string(folder.path().join("second")).unwrap();
    assert_snapshot!(second.lines().take(3).collect::<Vec<_>>().join("\n"), @"
    #! spec.replicas: Invalid value: 9: too many (at `replicas: 9`)
    # Change what is below and save it; an empty file changes nothing. Lines that begin with '#' are comments.
    #
    ");
    assert_eq!(server.object(WEB).unwrap()["spec"]["replicas"], 5);
    assert_eq!(kept(folder.path()).len(), 0);
}

#[test]
fn what_was_typed_is_kept_and_taken_up_again() {
    let (server, folder) = (filled(), tempfile::tempdir().unwrap());
    // Broken YAML twice: whoever gives up keeps the file.
    let ran = edit(&server, "wl web", "grep -q tail $file || echo 'tail: [' >> $file", folder.path());
    assert_eq!(ran.code, 1);
    let files = kept(folder.path());
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let name = file.file_name().unwrap().to_str().unwrap();
    assert_snapshot!(ran.err.replace(name, "FILE"), @"
    error: unclosed bracket '[' (at `tail: [`)
    error: nothing was changed after the last refusal
    your edit is kept at TMP/FILE; to go on: nexusctl edit --resume=TMP/FILE
    ");
    assert!(fs::read_to_string(file).unwrap().contains("tail: ["));
    // An editor that fails.
    let failed = edit(&server, "wl web", "exit 3", folder.path());
    assert!(failed.err.contains("ended with 3"), "{}", failed.err);
    assert!(server.writes().is_empty());
    // And on it goes.
    let repaired =
        fs::read_to_string(file).unwrap().replace("tail: [\n", "").replace("replicas: 2", "replicas: 6");
    fs::write(file, repaired).unwrap();
    let resumed = edit(&server, &format!("--resume={}", file.display()), "true", folder.path());
    assert_snapshot!(resumed.out + &resumed.err, @"workload.hypermesh.online/web edited");
    assert_eq!(server.object(WEB).unwrap()["spec"]["replicas"], 6);
    assert!(!file.exists());
}

#[test]
fn an_edit_survives_changes_elsewhere_and_stops_at_those_of_the_same_field() {
    let (server, folder) = (filled(), tempfile::tempdir().unwrap());
    // Somebody else changes another field while the editor is open.
    let curl = |body: &str| {
        format!(
            "exec 3<>/dev/tcp/127.0.0.1/{}; printf 'PATCH {WEB} HTTP/1.1\\r\\nHost: x\\r\\nContent-Type: application/merge-patch+json\\r\\nConnection: close\\r\\nContent-Length: {}\\r\\n\\r\\n%s' '{body}' >&3; cat <&3 >/dev/null",
            server.port(),
            body.len()
        )
    };
    let theirs = |body: &str| format!("bash -c \"{}\"", curl(body).replace('"', "\\\"").replace('$', "\\$"));
    let script = format!("sed -i 's/replicas: 2/replicas: 3/' $file\n{}", theirs(r#"{"spec":{"more":2}}"#));
    let ran = edit(&server, "wl web", &script, folder.path());
    assert_snapshot!(ran.out + &ran.err, @"
    workload.hypermesh.online/web edited
    workload.hypermesh.online/web changed meanwhile, elsewhere: the edit is made on its newest version
    ");
    let object = server.object(WEB).unwrap();
    assert_eq!((&object["spec"]["replicas"], &object["spec"]["more"]), (&json!(3), &json!(2)));
    // Then the same field.
    let script = format!(
        "grep -q 'replicas: 4' $file && exit 0\nsed -i 's/replicas: 3/replicas: 4/' $file\n{}",
        theirs(r#"{"spec":{"replicas":8}}"#)
    );
    let ran = edit(&server, "wl web", &script, folder.path());
    assert_eq!(ran.code, 1);
    let files = kept(folder.path());
    let name = files[0].file_name().unwrap().to_str().unwrap();
    assert_snapshot!(ran.err.replace(name, "FILE"), @r#"
    error: workload.hypermesh.online/web changed meanwhile, where you changed it too. To overrule, set metadata.resourceVersion to "105". It now has
      spec.replicas: 8
    error: nothing was changed after the last refusal
    your edit is kept at TMP/FILE; to go on: nexusctl edit --resume=TMP/FILE
    "#);
    assert_eq!(server.object(WEB).unwrap()["spec"]["replicas"], 8);
}

#[test]
fn a_file_of_somebody_elses_is_read_and_no_more() {
    let (server, folder) = (filled(), tempfile::tempdir().unwrap());
    let mine = folder.path().join("mine.yaml");
    let text = "apiVersion: hypermesh.online/v1\nkind: Workload\nmetadata:\n  labels: {tier: front}\n  name: web\n  namespace: default\nspec:\n  replicas: 2\n  more: 1\n";
    fs::write(&mine, text).unwrap();
    let words = format!("--resume={}", mine.display());
    let ran = edit(&server, &words, "sed -i 's/replicas: 2/replicas: 7/' $file", folder.path());
    assert_snapshot!(ran.out + &ran.err, @"
    workload.hypermesh.online/web edited
    TMP/mine.yaml is kept as it was
    ");
    assert_eq!(server.object(WEB).unwrap()["spec"]["replicas"], 7);
    assert_eq!(fs::read_to_string(&mine).unwrap(), text);
    assert_eq!(kept(folder.path()).len(), 0);
}

#[test]
fn an_editor_that_makes_the_same_mistake_again_is_not_asked_for_ever() {
    let (server, folder) = (filled(), tempfile::tempdir().unwrap());
    let refuse = |times| {
        server.script_full(Scripted {
            method: Method::PATCH,
            path: WEB.into(),
            code: 422,
            headers: Vec::new(),
            body: json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "reason": "Invalid", "code": 422, "message": "x",
                "details": {"causes": [{"reason": "FieldValueInvalid", "message": "Invalid value: no", "field": "spec.replicas"}]}})
            .to_string(),
            times,
        });
    };
    refuse(100);
    // The reason quotes the line, so this changes the reason too.
    let ran = edit(&server, "wl web", "sed -i 's/replicas:.*/replicas: x/' $file", folder.path());
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("error: nothing was changed after the last refusal\n"), "{}", ran.err);
    assert_eq!(server.writes().len(), 1);
    // Another mistake each time.
    let ran = edit(&server, "wl web", "sed -i 's/^  replicas: /&1/' $file", folder.path());
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("error: refused 8 times, and nobody is at a terminal\n"), "{}", ran.err);
    assert_eq!((server.writes().len(), kept(folder.path()).len()), (9, 2));
}
