use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::part::Running;
use super::stop::StopToken;

/// Into so many looks a limit is divided.
const LOOKS: u32 = 20;

/// Watches the threads of a process for signs of life.
pub(super) struct Stalls {
    limit: Duration,
    watched: Vec<Watched>,
}

struct Watched {
    part: String,
    stop: StopToken,
    asked: Option<u64>,
    /// How many looks in a row have seen nothing.
    looks: u32,
}

impl Stalls {
    pub(super) fn of(running: &[Running], limit: Duration) -> Self {
        let watched = running.iter().filter(|part| part.asks).map(|part| Watched {
            part: part.name.clone(),
            stop: part.stop.clone(),
            asked: None,
            looks: 0,
        });
        Self { limit, watched: watched.collect() }
    }

    /// The first part that has given no sign of life for the limit, and what to say of it. Counted in looks and not in time:
    /// a process that was suspended as a whole has looked at nothing meanwhile.
    pub(super) async fn until_one_stalls(mut self) -> (String, String) {
        let mut looks = interval((self.limit / LOOKS).max(Duration::from_millis(1)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            for watched in &mut self.watched {
                let asked = watched.stop.asked();
                let alive = asked.is_none() || asked != watched.asked;
                watched.looks = if alive { 0 } else { watched.looks + 1 };
                watched.asked = asked;
                if watched.looks > LOOKS {
                    let reason = format!(
                        "it has given no sign of life for {}: it is stuck in a call that does not return; the process is to \
                         be started again",
                        domain::HumanDuration::from_millis(self.limit.as_millis() as i64)
                    );
                    return (watched.part.clone(), reason);
                }
            }
        }
    }
}
