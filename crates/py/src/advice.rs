//! What to do about an error, in words of the command line. The crates that most errors are from
//! know nothing of it.

use millstream_engine::cluster::{Absence, JoinError, Refusal};
use millstream_engine::recovery::{ErrorKind, SessionError};

/// What an error of joining is told with.
pub(crate) fn of_join(error: &JoinError) -> String {
    let mut options: Vec<_> = match error {
        JoinError::Exposed(_) => vec!["--secret-file", "--tls", "--insecure-cluster"],
        JoinError::Refused { cause, .. } => of_refusal(cause).to_vec(),
        JoinError::NeverCame {
            missing, refused, ..
        } => {
            let missing = missing.iter().map(|missing| &missing.cause);
            let missing = missing.flat_map(of_absence);
            let refused = refused.iter().map(|refused| &refused.cause);
            let refused = refused.flat_map(of_refusal);
            missing.chain(refused).copied().collect()
        }
        _ => Vec::new(),
    };
    options.sort_unstable();
    options.dedup();
    match options.as_slice() {
        [] => error.to_string(),
        options => format!("{error} (see `{}`)", options.join("`, `")),
    }
}

fn of_absence(absence: &Absence) -> &'static [&'static str] {
    match absence {
        Absence::NotHeardOf | Absence::Unreachable(_) | Absence::Waiting => &["--join-timeout"],
        Absence::Unresolved(_) => &["--addresses"],
        Absence::Refused(refusal) => of_refusal(refusal),
    }
}

fn of_refusal(refusal: &Refusal) -> &'static [&'static str] {
    match refusal {
        Refusal::Workers { .. } => &["--workers-per-process"],
        Refusal::Processes { .. } | Refusal::Process { .. } | Refusal::Sought(_) => {
            &["--addresses"]
        }
        Refusal::Duplicate(_) => &["--process-id"],
        Refusal::Distrust(_)
        | Refusal::WantsSecurity
        | Refusal::LacksSecurity
        | Refusal::HasSecurity => &["--secret-file", "--tls"],
        Refusal::Protocol { .. } | Refusal::Cluster | Refusal::Code | Refusal::Stranger => &[],
    }
}

/// What an error of the recovery store is told with when it ends a run.
pub(crate) fn of_recovery(error: &SessionError) -> String {
    match (error, error.kind()) {
        (SessionError::Store(_), ErrorKind::NoPartitions) => format!(
            "{error} `python -m millstream.recovery init DIRECTORY COUNT` makes one in a \
             directory that is there."
        ),
        _ => error.to_string(),
    }
}
