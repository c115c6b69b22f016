//! Errors as people read them.

use std::error::Error;

/// An error and what it came from, on one line. What an error repeats of its source is said once. What an API server
/// answered is its message alone: kube-rs shows all of the answer, as a programmer would have it.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let answered = answered(error);
        next = error.source().filter(|_| answered.is_none());
        let more = answered.unwrap_or_else(|| error.to_string());
        if text.is_empty() {
            text = more;
        } else if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
    }
    text
}

/// What an API server answered, if that is the error.
fn answered(error: &(dyn Error + 'static)) -> Option<String> {
    let kube::Error::Api(status) = error.downcast_ref::<kube::Error>()? else { return None };
    let nothing = || format!("the API server answered {} {}", status.code, status.reason);
    Some(if status.message.is_empty() { nothing() } else { status.message.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_api_server_answers_is_told_as_its_message() {
        let status = |message: &str| kube::core::Status {
            message: message.to_owned(),
            reason: "Unauthorized".to_owned(),
            code: 401,
            ..kube::core::Status::default()
        };
        let told = |message: &str| chain(&kube::Error::Api(Box::new(status(message))));
        assert_eq!(told("the token is not known"), "the token is not known");
        assert_eq!(told(""), "the API server answered 401 Unauthorized");
        let source = kube::Error::Api(Box::new(status("denied")));
        assert_eq!(chain(&crate::api::ApiError { action: "x".to_owned(), source }), "cannot x: denied");
    }
}
