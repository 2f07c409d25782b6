//! What to do about an error, in words of the command line and of Python. The crates that the
//! errors are from know neither.

use millstream_engine::cluster::{Absence, JoinError, Refusal};
use millstream_engine::recovery::{ErrorKind, SessionError};

/// What an error of joining is told with.
pub(crate) fn of_join(error: &JoinError) -> String {
    let options = match error {
        JoinError::Exposed(_) => " (`--secret-file`, `--tls`, `--insecure-cluster`)",
        JoinError::Refused { cause, .. } => of_refusal(cause),
        JoinError::NeverCame {
            missing, refused, ..
        } => {
            let causes = || missing.iter().map(|missing| &missing.cause);
            let refusal = causes().find_map(|cause| match cause {
                Absence::Refused(refusal) => Some(refusal),
                _ => None,
            });
            let is_late =
                |cause: &Absence| matches!(cause, Absence::NotHeardOf | Absence::Unreachable(_));
            match refusal {
                Some(refusal) => of_refusal(refusal),
                None if refused.is_empty() && causes().any(is_late) => " (`--join-timeout`)",
                None => "",
            }
        }
        _ => "",
    };
    format!("{error}{options}")
}

fn of_refusal(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Workers { .. } => " (`-w`)",
        Refusal::Distrust(_)
        | Refusal::WantsSecurity
        | Refusal::LacksSecurity
        | Refusal::HasSecurity => " (`--secret-file` or `--tls`)",
        _ => "",
    }
}

/// What an error of the recovery store is told with.
pub(crate) fn of_recovery(error: &SessionError) -> String {
    let advice = match error.kind() {
        ErrorKind::NoPartitions => {
            " `python -m millstream.recovery init DIRECTORY COUNT` makes a store."
        }
        _ => "",
    };
    format!("{error}{advice}")
}
