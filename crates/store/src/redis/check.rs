//! Is this Redis fit to hold state? Asked with each connection, as Redis may be replaced while we run.

use ::redis::{Connection, RedisResult};
use stream::StoreError;

/// The oldest version that is tested.
const OLDEST: (u32, u32) = (6, 0);

/// What a fit Redis says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// Its version.
    pub version: String,
    /// What works but may surprise: to be logged at start.
    pub warnings: Vec<String>,
}

/// What Redis says of itself.
#[derive(Debug, Default)]
pub(super) struct Facts {
    version: String,
    policy: String,
    role: String,
    cluster: bool,
    maximum_bytes: u64,
    append_only: bool,
    /// Whether it saves snapshots; unknown where it may not be asked (hosted Redis often refuses CONFIG).
    snapshots: Option<bool>,
}

/// Asks for what every connection has to know.
pub(super) fn ask(connection: &mut Connection) -> RedisResult<Facts> {
    let info: String = ::redis::cmd("INFO").query(connection)?;
    Ok(read(&info))
}

/// Asks for more, as far as the user may.
pub(super) fn ask_all(connection: &mut Connection) -> RedisResult<Facts> {
    let mut facts = ask(connection)?;
    let save: RedisResult<Vec<String>> = ::redis::cmd("CONFIG").arg("GET").arg("save").query(connection);
    facts.snapshots = match save {
        Ok(pair) => pair.get(1).map(|save| !save.is_empty()),
        Err(error) if error.is_io_error() => return Err(error),
        Err(_) => None,
    };
    Ok(facts)
}

pub(super) fn read(info: &str) -> Facts {
    let mut facts = Facts::default();
    for (name, value) in info.lines().filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name {
            "redis_version" => value.clone_into(&mut facts.version),
            "maxmemory_policy" => value.clone_into(&mut facts.policy),
            "maxmemory" => facts.maximum_bytes = value.parse().unwrap_or(0),
            "role" => value.clone_into(&mut facts.role),
            "cluster_enabled" => facts.cluster = value == "1",
            "aof_enabled" => facts.append_only = value == "1",
            _ => {}
        }
    }
    facts
}

impl Facts {
    /// Whether it may be used at all.
    pub(super) fn judge(&self) -> Result<(), StoreError> {
        let unusable = |why: String| Err(StoreError::Unusable(why));
        let mut numbers = self.version.split('.').map_while(|number| number.parse::<u32>().ok());
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version < OLDEST {
            let (major, minor) = OLDEST;
            return unusable(format!("it is Redis {}; version {major}.{minor} or newer is needed", self.version));
        }
        if self.cluster {
            return unusable(
                "it is a node of a Redis Cluster, which is not supported: use one primary (with replicas)".into(),
            );
        }
        if self.policy != "noeviction" {
            return unusable(format!(
                "its maxmemory-policy is {:?}, so it would drop customers' states when memory runs short: set maxmemory-policy to \
                 noeviction (CONFIG SET maxmemory-policy noeviction, and in redis.conf or the provider's parameters)",
                self.policy
            ));
        }
        Ok(())
    }

    /// Whether it takes no writes: for good where the address is wrong, for a while in a failover.
    pub(super) fn is_replica(&self) -> bool {
        self.role == "slave"
    }

    /// What an operator should know at start.
    pub(super) fn report(self) -> CheckReport {
        let mut warnings = Vec::new();
        if !self.append_only && self.snapshots == Some(false) {
            warnings.push(
                "Redis keeps nothing on disk (appendonly no, save \"\"): after a restart of Redis all state is rebuilt from the \
                 changelogs before events are processed again"
                    .to_owned(),
            );
        }
        if self.maximum_bytes == 0 {
            warnings.push(
                "Redis has no maxmemory: when the machine's memory ends, the kernel may kill it; set maxmemory below that"
                    .to_owned(),
            );
        }
        CheckReport { version: self.version, warnings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\nmaxmemory:1000\r\nmaxmemory_policy:noeviction\r\nrole:master\r\naof_enabled:1\r\n";

    #[test]
    fn a_fit_redis_is_accepted_without_warnings() {
        let facts = read(GOOD);
        facts.judge().unwrap();
        assert_eq!(facts.report(), CheckReport { version: "7.0.15".into(), warnings: vec![] });
    }

    #[test]
    fn what_makes_it_unfit_is_named_with_what_to_do() {
        for (from, to, named) in [
            ("noeviction", "allkeys-lru", "set maxmemory-policy to noeviction"),
            ("7.0.15", "5.0.7", "6.0 or newer"),
            ("role:master", "role:master\r\ncluster_enabled:1", "Cluster"),
        ] {
            let error = read(&GOOD.replace(from, to)).judge().unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn a_redis_that_keeps_nothing_and_has_no_limit_is_warned_of() {
        let mut facts = read(&GOOD.replace("aof_enabled:1", "aof_enabled:0").replace("maxmemory:1000", "maxmemory:0"));
        facts.snapshots = Some(false);
        assert_eq!(facts.report().warnings.len(), 2);
    }
}
