//! What an error of Redis means: try again, on this connection or another; or say what is wrong.

use ::redis::{ErrorKind, RedisError, ServerErrorKind};
use stream::StoreError;

/// What to do about an error.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection is of no use any more: another one, after a pause.
    Connection,
    /// Redis is busy for a while (loading its data, a long script): the same again, after a pause.
    Busy,
    /// Redis does not know the scripts (it was restarted, or told to forget them): teach, then the same again.
    Untaught,
    /// Trying again would not help.
    Final(StoreError),
}

/// Says what an error means.
pub(super) fn judge(error: &RedisError) -> Fault {
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse | ErrorKind::InvalidClientConfig => return Fault::Connection,
        ErrorKind::AuthenticationFailed => return Fault::Final(credentials(error)),
        ErrorKind::Server(ServerErrorKind::NoScript) => return Fault::Untaught,
        ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::TryAgain) => return Fault::Busy,
        // A replica answers: the name points at the new primary soon.
        ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown | ServerErrorKind::ClusterDown) => {
            return Fault::Connection;
        }
        ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::CrossSlot) => {
            return Fault::Final(StoreError::Unusable(
                "it is a node of a Redis Cluster, which is not supported: use one primary (with replicas)".into(),
            ));
        }
        _ => {}
    }
    // What the client itself finds wrong has no code.
    let code = error.code().unwrap_or_else(|| error.category());
    let detail = error.detail().unwrap_or_default();
    if code == "BUSY" {
        return Fault::Busy;
    }
    if detail.contains("max number of clients") || detail.contains("UNBLOCKED") {
        return Fault::Connection;
    }
    Fault::Final(match code {
        "OOM" => StoreError::Unusable(
            "its memory is full (maxmemory) and nothing was written: raise maxmemory, or give it a larger machine"
                .into(),
        ),
        "MISCONF" => StoreError::Unusable(
            "it refuses writes because it can't save to disk: mend its disk, or set stop-writes-on-bgsave-error to no"
                .into(),
        ),
        "NOPERM" | "NOAUTH" | "WRONGPASS" => credentials(error),
        // How Redis 7 says NOPERM of a command in a script.
        _ if detail.contains("user executing the script can't") => permissions(detail),
        // A script's error begins with its own code; what follows names commands and keys' types, never values.
        _ if detail.contains("OOM ") => StoreError::Unusable("its memory is full (maxmemory): raise it".into()),
        _ => StoreError::Unusable(format!("it answered {code} {detail}")),
    })
}

fn credentials(error: &RedisError) -> StoreError {
    match error.code() {
        Some("NOPERM") => permissions(error.detail().unwrap_or_default()),
        code => StoreError::Unusable(format!(
            "it refused the user name or password ({}): check the URL and the password file",
            code.unwrap_or("NOAUTH")
        )),
    }
}

fn permissions(detail: &str) -> StoreError {
    StoreError::Unusable(format!(
        "its user may not do what is needed ({detail}): allow +@hash +@sortedset +@set +@scripting +@connection +exists +del \
         +unlink +info, on the keys that begin with the prefix"
    ))
}
