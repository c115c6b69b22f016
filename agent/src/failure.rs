//! Errors as people read them.

use std::error::Error;

/// An error and what it came from, on one line. What an error repeats of its source is said once.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = words(error);
    let mut next = error.source();
    while let Some(error) = next {
        let more = words(error);
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = error.source();
    }
    text
}

/// What an error says itself. What an API server answered is its message: kube-rs shows all of the answer, as a programmer
/// would have it.
fn words(error: &(dyn Error + 'static)) -> String {
    let status = match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => Some(&**status),
        _ => error.downcast_ref::<kube::core::Status>(),
    };
    match status {
        Some(status) if !status.message.is_empty() => status.message.clone(),
        Some(status) => format!("the API server answered {} {}", status.code, status.reason),
        None => error.to_string(),
    }
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
        let of =
            crate::api::ApiError { action: "x".to_owned(), source: kube::Error::Api(Box::new(status("no"))) };
        assert_eq!(chain(&of), "cannot x: no");
    }
}
