//! `token list`: the bootstrap tokens that there are, in kubeadm's columns.

use super::{GROUPS, PREFIX, SECRETS, is_group};
use crate::{
    client::Call,
    error::{Error, Exit},
    output::{self, Format, age::human, aligned},
    session::Session,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Arguments of `token list`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl token list
  nexusctl token list -o yaml")]
pub struct List {
    /// Leave the headings out
    #[arg(long)]
    pub no_headers: bool,
    /// json or yaml: the Secrets that the tokens are
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
}

/// Lists them.
pub(super) async fn run(arguments: &List, session: &mut Session) -> Result<Exit, Error> {
    if matches!(arguments.output, Some(Format::Wide | Format::Name)) {
        return Err(Error::Message("tokens can be shown as a table, as json or as yaml".into()));
    }
    let (mut secrets, mut after) = (Vec::new(), String::new());
    loop {
        let selector = "type=bootstrap.kubernetes.io/token";
        let call =
            Call::get(SECRETS).query(&[("limit", "500"), ("fieldSelector", selector), ("continue", &after)]);
        let mut page: Value = session.send(&call).await?.json()?;
        if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
            secrets.extend(items);
        }
        match page.pointer("/metadata/continue").and_then(Value::as_str) {
            Some(token) if !token.is_empty() => token.clone_into(&mut after),
            _ => break,
        }
    }
    let text = match arguments.output {
        Some(Format::Json) => output::json(&list(secrets)),
        Some(Format::Yaml) => output::yaml::to_string(&list(secrets)),
        _ => table(&secrets, arguments.no_headers, session.streams.out_width),
    };
    session.print(&text)?;
    Ok(Exit::Success)
}

/// The tokens among the Secrets, as a List; a list's items do not say what they are.
fn list(secrets: Vec<Value>) -> Value {
    let tokens = secrets.into_iter().filter(|secret| id(secret).is_some());
    let items: Vec<Value> = tokens
        .map(|mut token| {
            output::hide_managed_fields(&mut token);
            if let Some(token) = token.as_object_mut() {
                token.entry("apiVersion").or_insert_with(|| "v1".into());
                token.entry("kind").or_insert_with(|| "Secret".into());
            }
            token
        })
        .collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn table(secrets: &[Value], no_headers: bool, width: Option<usize>) -> String {
    let mut rows = Vec::new();
    if !no_headers {
        let headings = ["TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"];
        rows.push(headings.map(str::to_owned).to_vec());
    }
    let now = Timestamp::now();
    rows.extend(secrets.iter().filter_map(|secret| row(secret, now)));
    aligned::table(&rows, !no_headers, width)
}

fn field(secret: &Value, name: &str) -> Option<String> {
    let bytes = STANDARD.decode(secret.get("data")?.get(name)?.as_str()?).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned()).filter(|text| !text.is_empty())
}

/// A token's id; `None` for a Secret that is none, whatever its type says.
fn id(secret: &Value) -> Option<String> {
    let id = field(secret, "token-id")?;
    let name = secret.pointer("/metadata/name")?.as_str()?;
    (name.strip_prefix(PREFIX) == Some(&*id) && field(secret, "token-secret").is_some()).then_some(id)
}

/// A token's line; `None` for a Secret that is none.
fn row(secret: &Value, now: Timestamp) -> Option<Vec<String>> {
    let field = |name: &str| field(secret, name);
    let id = id(secret)?;
    let (mut ttl, expires) = match field("expiration") {
        None => ("<forever>".to_owned(), "<never>".to_owned()),
        Some(text) => match text.parse::<Timestamp>() {
            Err(_) => ("<invalid>".to_owned(), text),
            Ok(end) if end <= now => ("<invalid>".to_owned(), text),
            Ok(end) => (human(end.as_second().saturating_sub(now.as_second())), text),
        },
    };
    let usages: Vec<&str> = ["authentication", "signing"]
        .into_iter()
        .filter(|usage| field(&format!("usage-bootstrap-{usage}")).as_deref() == Some("true"))
        .collect();
    let mut groups = field("auth-extra-groups").unwrap_or_default();
    // The server takes no token that asks for more than it may be given.
    if let Some(wrong) = groups.split(',').find(|group| !group.is_empty() && !is_group(group)) {
        let why = format!("{groups} (refused: {wrong:?} is no group that begins with {GROUPS})");
        (ttl, groups) = ("<invalid>".to_owned(), why);
    }
    let or_none = |text: String| if text.is_empty() { "<none>".to_owned() } else { text };
    Some(vec![
        format!("{id}.{}", field("token-secret")?),
        ttl,
        expires,
        or_none(usages.join(",")),
        or_none(field("description").unwrap_or_default()),
        or_none(groups),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(id: &str, more: &[(&str, &str)]) -> Value {
        let mut data =
            json!({"token-id": STANDARD.encode(id), "token-secret": STANDARD.encode("0123456789abcdef")});
        for (name, value) in more {
            data[*name] = STANDARD.encode(value).into();
        }
        json!({"metadata": {"name": format!("bootstrap-token-{id}")}, "data": data})
    }

    #[test]
    fn a_line_says_what_kubeadm_says() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let line = |secret: &Value| row(secret, now).map(|cells| cells.join("|"));
        let whole = [
            ("expiration", "2026-01-01T23:00:00Z"),
            ("usage-bootstrap-authentication", "true"),
            ("usage-bootstrap-signing", "true"),
            ("description", "the rack"),
            ("auth-extra-groups", "system:bootstrappers:a,system:bootstrappers:b"),
        ];
        assert_eq!(
            line(&secret("abcdef", &whole)).unwrap(),
            "abcdef.0123456789abcdef|23h|2026-01-01T23:00:00Z|authentication,signing|the rack|\
             system:bootstrappers:a,system:bootstrappers:b"
        );
        assert_eq!(
            line(&secret("abcdef", &[])).unwrap(),
            "abcdef.0123456789abcdef|<forever>|<never>|<none>|<none>|<none>"
        );
        let past = secret("abcdef", &[("expiration", "2025-01-01T00:00:00Z")]);
        assert!(line(&past).unwrap().contains("|<invalid>|2025-01-01T00:00:00Z|"));
        let risen = secret("abcdef", &[("auth-extra-groups", "system:bootstrappers:a,system:masters")]);
        let risen = line(&risen).unwrap();
        assert!(
            risen.contains("|<invalid>|<never>|")
                && risen.contains("(refused: \"system:masters\" is no group"),
            "{risen}"
        );
        let described = secret("abcdef", &[("description", "a\nfedcba.0123456789abcdef")]);
        assert_eq!(table(&[described], true, None).lines().count(), 1);
        assert_eq!(list(vec![secret("abcdef", &[]), json!({})])["items"][0]["kind"], "Secret");
        assert_eq!(list(vec![json!({})])["items"], json!([]));
        let mut renamed = secret("abcdef", &[]);
        renamed["metadata"]["name"] = "other".into();
        assert_eq!(line(&renamed), None);
    }
}
