//! How a command ended, as the error channel tells it: Kubernetes' Status of `remotecommand` v4 and v5.

use hypermesh_api::{Cause, Details, Status};

/// The reason of a Status that tells an exit code.
const NON_ZERO: &str = "NonZeroExitCode";
/// The reason of the cause that holds it.
const EXIT_CODE: &str = "ExitCode";

/// The Status of a command that ended with `code`; Success for 0. Without a code of HTTP, as the kubelet has it.
#[must_use]
pub fn exited(code: i32) -> Status {
    if code == 0 {
        return Status { details: None, ..Status::success(Details::default()) };
    }
    let message = format!("command terminated with non-zero exit code: exit status {code}");
    let mut status = Status::failure(0, NON_ZERO, message);
    let cause = Cause { reason: EXIT_CODE.to_owned(), message: code.to_string(), ..Cause::default() };
    status.details = Some(Details { causes: vec![cause], ..Details::default() });
    status
}

/// The exit code that a Status tells: 0 of Success, `None` of a failure that is no command's end.
#[must_use]
pub fn exit_code(status: &Status) -> Option<i32> {
    if status.status == "Success" {
        return Some(0);
    }
    if status.reason != NON_ZERO {
        return None;
    }
    let causes = &status.details.as_ref()?.causes;
    causes.iter().find(|cause| cause.reason == EXIT_CODE)?.message.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_status() {
        let text = serde_json::to_string(&exited(3)).unwrap();
        let golden = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"command terminated with non-zero exit code: exit status 3","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#;
        assert_eq!(text, golden);
        let text = serde_json::to_string(&exited(0)).unwrap();
        assert_eq!(text, r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}"#);
    }

    #[test]
    fn codes_come_back_and_other_failures_have_none() {
        for code in [0, 1, 127, 137, 255] {
            assert_eq!(exit_code(&exited(code)), Some(code));
        }
        assert_eq!(exit_code(&Status::internal("the shim is gone")), None);
    }
}
