//! What a process has used, as Linux counts it.

use std::time::Duration;

use anyhow::Context;

/// Ticks of `/proc/<pid>/stat` are hundredths of a second on every Linux (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// How busy the machine is: processes that run or want to, on the average of the last minute.
pub(crate) fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

/// What a process has used since its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Of all its threads, user and system.
    pub(crate) cpu: Duration,
    /// The most memory that was resident at once (`VmHWM`).
    pub(crate) peak_bytes: u64,
}

impl Usage {
    /// Of the process with this id.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            std::fs::read_to_string(&path).context(path)
        };
        let cpu = cpu(&read("stat")?).context("/proc/<pid>/stat has no times")?;
        let peak_bytes = peak_bytes(&read("status")?).context("/proc/<pid>/status has no VmHWM")?;
        Ok(Self { cpu, peak_bytes })
    }
}

/// Fields 14 and 15 (proc(5)); the second is a name that may hold spaces, in parentheses.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(Duration::from_secs_f64((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND))
}

fn peak_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1_024)
}
