//! Signals by what images call them.

use super::Invalid;
use rustix::process::Signal;

/// The number of a signal: `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`.
///
/// # Errors
/// If there is none of that name.
pub fn parse(text: &str) -> Result<i32, Invalid> {
    let unknown = || Invalid::new("stop_signal", format!("{text:?} is no signal; SIGTERM or 15 would be"));
    if let Ok(number) = text.parse::<i32>() {
        return if (1..=64).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    // glibc keeps the first two real-time signals for itself.
    let (first, last) = (34, 64);
    let offset = |rest: &str, sign: char| -> Option<i32> {
        if rest.is_empty() { Some(0) } else { rest.strip_prefix(sign)?.parse().ok() }
    };
    if let Some(rest) = name.strip_prefix("RTMIN") {
        let number = offset(rest, '+').and_then(|offset: i32| offset.checked_add(first));
        return number.filter(|number| (first..=last).contains(number)).ok_or_else(unknown);
    }
    if let Some(rest) = name.strip_prefix("RTMAX") {
        let number = offset(rest, '-').and_then(|offset| last.checked_sub(offset));
        return number.filter(|number| (first..=last).contains(number)).ok_or_else(unknown);
    }
    let found = NAMES.iter().find(|(known, _)| *known == name);
    found.map(|(_, signal)| signal.as_raw()).ok_or_else(unknown)
}

const NAMES: [(&str, Signal); 31] = [
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("ILL", Signal::ILL),
    ("TRAP", Signal::TRAP),
    ("ABRT", Signal::ABORT),
    ("BUS", Signal::BUS),
    ("FPE", Signal::FPE),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("SEGV", Signal::SEGV),
    ("USR2", Signal::USR2),
    ("PIPE", Signal::PIPE),
    ("ALRM", Signal::ALARM),
    ("TERM", Signal::TERM),
    ("STKFLT", Signal::STKFLT),
    ("CHLD", Signal::CHILD),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("TSTP", Signal::TSTP),
    ("TTIN", Signal::TTIN),
    ("TTOU", Signal::TTOU),
    ("URG", Signal::URG),
    ("XCPU", Signal::XCPU),
    ("XFSZ", Signal::XFSZ),
    ("VTALRM", Signal::VTALARM),
    ("PROF", Signal::PROF),
    ("WINCH", Signal::WINCH),
    ("IO", Signal::IO),
    ("PWR", Signal::POWER),
    ("SYS", Signal::SYS),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("9", 9),
            ("SIGRTMIN+3", 37),
            ("RTMAX-1", 63),
            ("SIGRTMIN", 34),
            ("64", 64),
        ] {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for bad in
            ["", "SIG", "0", "65", "-1", "SIGRTMIN+31", "RTMIN-1", "RTMAX+1", "SIGFLY", "RTMIN+99999999999"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
