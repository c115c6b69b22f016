//! What a server is shown as who asks, and where it was found: for the words to whom the server does not know.
//!
//! Names and places only; nothing here holds a secret.

use super::Place;
use std::path::PathBuf;

/// What is shown, and on whose word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credential {
    /// The context in use.
    pub context: Option<String>,
    /// The user's entry in use.
    pub user: Option<String>,
    /// What is shown.
    pub shown: Shown,
}

/// What is shown to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// Nothing at all.
    #[default]
    Nothing,
    /// What a flag of the command line says.
    Flag(&'static str),
    /// A token that a kubeconfig holds.
    Token(Place),
    /// A token in a file that a kubeconfig names.
    TokenFile {
        /// Where it is named.
        place: Place,
        /// The file.
        path: PathBuf,
    },
    /// A client certificate.
    Certificate {
        /// Where it was found.
        origin: String,
    },
    /// What a credential plugin handed out.
    Plugin {
        /// Where it is named.
        place: Place,
        /// The program.
        command: PathBuf,
    },
}

impl Credential {
    /// Why a server that does not know the caller may not, and what to do about it.
    pub fn refused(&self) -> String {
        let entries = [("context", &self.context), ("user", &self.user)];
        let entries: Vec<String> =
            entries.iter().filter_map(|(what, name)| Some(format!("{what} {:?}", name.as_ref()?))).collect();
        let by = if entries.is_empty() { String::new() } else { format!(" ({})", entries.join(", ")) };
        let old = "it expired, was revoked, or is of another cluster";
        match &self.shown {
            Shown::Nothing => match (&self.user, &self.context) {
                (Some(user), _) => format!(
                    "nothing was shown to it, as user {user:?} has no certificate, token or plugin: `nexusctl config \
                     set-credentials {user}` gives it one"
                ),
                (None, Some(context)) => format!(
                    "nothing was shown to it, as context {context:?} names no user: `nexusctl config set-context {context} \
                     --user=NAME` does, and `nexusctl config get-users` lists those there are"
                ),
                (None, None) => {
                    "nothing was shown to it: name a kubeconfig that says who you are, or give --token, or \
                    --client-certificate and --client-key"
                        .to_owned()
                }
            },
            Shown::Flag(flag) => format!("it refuses what {flag} says: {old}"),
            Shown::Token(place) => format!(
                "it refuses the token of {place}{by}: {old}. `nexusctl create token` makes a new one, by somebody whom the \
                 cluster knows"
            ),
            Shown::TokenFile { place, path } => format!(
                "it refuses the token in {}, which {place} names{by}: {old}. Whatever writes that file has to renew it",
                path.display()
            ),
            Shown::Certificate { origin } => format!(
                "it refuses the certificate of {origin}{by}: {old}. `nexusctl certs request` asks for a new one"
            ),
            Shown::Plugin { place, command } => format!(
                "it refuses what {} handed out, the credential plugin of {place}{by}: {old}. Log in again with that program, \
                 or run it by itself to see what it says",
                command.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_has_its_next_step() {
        let place = |field: &str| Place { file: "/k".into(), line: 3, column: 5, field: field.to_owned() };
        let path = PathBuf::from("/run/token");
        let all = [
            Shown::Nothing,
            Shown::Flag("--token"),
            Shown::Token(place("users[0].user.token")),
            Shown::TokenFile { place: place("users[0].user.tokenFile"), path },
            Shown::Certificate { origin: "/k:3:5: users[0].user.client-certificate-data".to_owned() },
            Shown::Plugin { place: place("users[0].user.exec.command"), command: "aws".into() },
        ];
        let mut told = String::new();
        for shown in all {
            let credential =
                Credential { context: Some("prod".to_owned()), user: Some("alice".to_owned()), shown };
            told += &(credential.refused() + "\n");
        }
        let nobody = Credential { context: Some("prod".to_owned()), ..Credential::default() };
        told += &(nobody.refused() + "\n" + &Credential::default().refused());
        insta::assert_snapshot!(told, @r#"
        nothing was shown to it, as user "alice" has no certificate, token or plugin: `nexusctl config set-credentials alice` gives it one
        it refuses what --token says: it expired, was revoked, or is of another cluster
        it refuses the token of /k:3:5: users[0].user.token (context "prod", user "alice"): it expired, was revoked, or is of another cluster. `nexusctl create token` makes a new one, by somebody whom the cluster knows
        it refuses the token in /run/token, which /k:3:5: users[0].user.tokenFile names (context "prod", user "alice"): it expired, was revoked, or is of another cluster. Whatever writes that file has to renew it
        it refuses the certificate of /k:3:5: users[0].user.client-certificate-data (context "prod", user "alice"): it expired, was revoked, or is of another cluster. `nexusctl certs request` asks for a new one
        it refuses what aws handed out, the credential plugin of /k:3:5: users[0].user.exec.command (context "prod", user "alice"): it expired, was revoked, or is of another cluster. Log in again with that program, or run it by itself to see what it says
        nothing was shown to it, as context "prod" names no user: `nexusctl config set-context prod --user=NAME` does, and `nexusctl config get-users` lists those there are
        nothing was shown to it: name a kubeconfig that says who you are, or give --token, or --client-certificate and --client-key
        "#);
    }
}
