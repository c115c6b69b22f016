//! `token list`: the bootstrap tokens that there are, in kubeadm's columns.

use super::{PREFIX, SECRETS};
use crate::{
    client::Call,
    error::{Error, Exit},
    output::{
        self,
        age::human,
        aligned::{TABLE, push_row},
    },
    session::Session,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

/// Arguments of `token list`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  nexusctl token list")]
pub struct List {
    /// Leave the headings out
    #[arg(long)]
    pub no_headers: bool,
}

/// Lists them.
pub(super) async fn run(arguments: &List, session: &mut Session) -> Result<Exit, Error> {
    let mut rows = Vec::new();
    if !arguments.no_headers {
        let headings = ["TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"];
        rows.push(headings.map(str::to_owned).to_vec());
    }
    let (mut after, now) = (String::new(), Timestamp::now());
    loop {
        let selector = "type=bootstrap.kubernetes.io/token";
        let call =
            Call::get(SECRETS).query(&[("limit", "500"), ("fieldSelector", selector), ("continue", &after)]);
        let page: Value = session.send(&call).await?.json()?;
        let items = page.get("items").and_then(Value::as_array);
        rows.extend(items.into_iter().flatten().filter_map(|secret| row(secret, now)));
        match page.pointer("/metadata/continue").and_then(Value::as_str) {
            Some(token) if !token.is_empty() => token.clone_into(&mut after),
            _ => break,
        }
    }
    let mut widths = Vec::new();
    for row in &rows {
        TABLE.fit(&mut widths, row);
    }
    let mut text = String::new();
    for row in &rows {
        push_row(&mut text, &widths, row);
    }
    session.print(&text)?;
    Ok(Exit::Success)
}

/// A token's line; `None` for a Secret that is none, whatever its type says.
fn row(secret: &Value, now: Timestamp) -> Option<Vec<String>> {
    let field = |name: &str| {
        let bytes = STANDARD.decode(secret.get("data")?.get(name)?.as_str()?).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned()).filter(|text| !text.is_empty())
    };
    let id = field("token-id")?;
    if secret.pointer("/metadata/name")?.as_str()? != format!("{PREFIX}{id}") {
        return None;
    }
    let (ttl, expires) = match field("expiration") {
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
    let or_none = |text: String| if text.is_empty() { "<none>".to_owned() } else { text };
    let cells = [
        format!("{id}.{}", field("token-secret")?),
        ttl,
        expires,
        or_none(usages.join(",")),
        or_none(field("description").unwrap_or_default()),
        or_none(field("auth-extra-groups").unwrap_or_default()),
    ];
    Some(cells.iter().map(|cell| output::escape(cell)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        let mut renamed = secret("abcdef", &[]);
        renamed["metadata"]["name"] = "other".into();
        assert_eq!(line(&renamed), None);
    }
}
