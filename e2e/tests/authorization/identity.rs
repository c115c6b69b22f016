//! Tokens: made, shown, and worth nothing once they should not be.

use crate::{account, nothing_was_stored, token};
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hypermesh_e2e::{Client, Cluster};
use serde_json::{Value, json};

const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

fn who(client: &Client) -> Result<(u16, Value)> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let reply = client.post(WHO, &review)?;
    Ok((reply.code, reply.json()?))
}

#[test]
fn a_token_lives_as_long_as_its_account() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let admin = cluster.admin()?;
    let robot = account(&cluster, "robot")?;
    let (code, review) = who(&robot)?;
    ensure!(code == 201, "{review}");
    let name = "system:serviceaccount:default:robot";
    ensure!(review.pointer("/status/userInfo/username").and_then(Value::as_str) == Some(name), "{review}");
    let text = token(&admin, "robot")?;
    let authenticated = || -> Result<Value> {
        let review =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": text}});
        admin.post("/apis/authentication.k8s.io/v1/tokenreviews", &review)?.expect(201)
    };
    let review = authenticated()?;
    ensure!(review["status"]["authenticated"] == true, "{review}");
    ensure!(review["status"]["user"]["username"] == name, "{review}");
    admin.delete("/api/v1/namespaces/default/serviceaccounts/robot")?.expect(200)?;
    ensure!(authenticated()?["status"]["authenticated"] != true);
    ensure!(who(&robot)?.0 == 401);
    // An account of the same name is another account.
    account(&cluster, "robot")?;
    ensure!(who(&robot)?.0 == 401);
    Ok(())
}

#[test]
fn tokens_that_nobody_issued_are_refused() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let admin = cluster.admin()?;
    account(&cluster, "robot")?;
    let good = token(&admin, "robot")?;
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else {
        anyhow::bail!("a token of {} parts", parts.len())
    };
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let hmac = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let mut other: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    other["sub"] = json!("system:serviceaccount:kube-system:root");
    let other = URL_SAFE_NO_PAD.encode(other.to_string());
    let flipped = format!("{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    let forged = [
        "garbage".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        "abcdef.0123456789abcdef".to_owned(),
        "x".repeat(20_000),
        format!("{header}.{claims}."),
        format!("{header}.{claims}"),
        format!("{header}.{other}.{signature}"),
        format!("{header}.{claims}.{flipped}"),
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
        format!("{hmac}.{claims}.{signature}"),
    ];
    let before = cluster.revision()?;
    for text in forged {
        let client = cluster.anonymous()?.bearer(&text);
        ensure!(who(&client)?.0 == 401, "{} is taken", text.get(..40).unwrap_or(&text));
        // Not even an administrator's certificate makes a bad token good.
        ensure!(who(&admin.clone().bearer(&text))?.0 == 401);
    }
    for header in ["Basic YWRtaW46YWRtaW4=", "Bearer", "Bearer ", "garbage"] {
        ensure!(who(&cluster.anonymous()?.header("authorization", header))?.0 == 401, "{header} is taken");
    }
    nothing_was_stored(&cluster, before)?;
    ensure!(who(&cluster.anonymous()?.bearer(&good))?.0 == 201);
    Ok(())
}

#[test]
fn a_bootstrap_token_works_until_it_expires() -> Result<()> {
    let cluster = Cluster::start(Vec::new())?;
    let admin = cluster.admin()?;
    let secret = |expiration: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bootstrap-token-abcdef"},
            "type": "bootstrap.kubernetes.io/token",
            "stringData": {"token-id": "abcdef", "token-secret": "0123456789abcdef",
                "usage-bootstrap-authentication": "true", "expiration": expiration,
                "auth-extra-groups": "system:bootstrappers:nodes"}})
    };
    let space = "/api/v1/namespaces/kube-system/secrets";
    admin.post(space, &secret("2099-01-01T00:00:00Z"))?.expect(201)?;
    let joining = cluster.anonymous()?.bearer("abcdef.0123456789abcdef");
    let (code, review) = who(&joining)?;
    ensure!(code == 201, "{review}");
    let user = review.pointer("/status/userInfo").context("no user")?;
    ensure!(user["username"] == "system:bootstrap:abcdef", "{user}");
    let groups = user["groups"].as_array().context("no groups")?;
    ensure!(groups.contains(&json!("system:bootstrappers:nodes")), "{user}");
    ensure!(joining.get(space)?.code == 403);
    let wrong = cluster.anonymous()?.bearer("abcdef.0123456789abcdee");
    ensure!(who(&wrong)?.0 == 401);
    let past = json!({"stringData": {"expiration": "2020-01-01T00:00:00Z"}});
    admin.merge(&format!("{space}/bootstrap-token-abcdef"), &past)?.expect(200)?;
    ensure!(who(&joining)?.0 == 401);
    Ok(())
}
