//! How a process ends.

use std::sync::Arc;
use std::time::Duration;

use domain::HumanDuration;
use parking_lot::Mutex;
use runtime::config::HostOptions;
use runtime::host::{Exit, Host, Signal, Signals, StopToken};
use runtime::readiness::Readiness;
use tokio::sync::{Notify, mpsc};

/// What happened, in order.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().push(what.into());
    }

    fn read(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

fn host(drain_deadline: &str, unready_pause: &str) -> Host {
    host_with(drain_deadline, unready_pause, "1h")
}

fn host_with(drain_deadline: &str, unready_pause: &str, stall_limit: &str) -> Host {
    let [drain_deadline, unready_pause, stall_limit] =
        [drain_deadline, unready_pause, stall_limit].map(|text| text.parse::<HumanDuration>().unwrap());
    Host::new(&HostOptions { drain_deadline, unready_pause, stall_limit }, Readiness::new())
}

async fn sent(signals: &[Signal]) -> Signals {
    let (sender, receiver): (mpsc::Sender<Signal>, Signals) = Signals::by_hand();
    for signal in signals {
        sender.send(*signal).await.unwrap();
    }
    receiver
}

async fn until_stopped(stop: StopToken) -> anyhow::Result<()> {
    stop.stopped().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn on_sigterm_readiness_goes_off_then_doors_close_then_workers_finish_and_the_observer_goes_last() {
    let diary = Diary::default();
    let mut host = host("10s", "0s");
    let notes = |name: &'static str| {
        let (diary, readiness) = (diary.clone(), host.readiness().clone());
        move |stop: StopToken| async move {
            stop.stopped().await;
            diary.note(format!("{name} asked to end, ready: {}", readiness.report().is_ready()));
            // Later stages must wait for it.
            tokio::time::sleep(Duration::from_secs(1)).await;
            diary.note(format!("{name} ended"));
            Ok(())
        }
    };
    let (observer, worker, door) = (notes("observer"), notes("worker"), notes("door"));
    host.observer("admin", observer);
    host.task("worker", worker);
    host.door("door", door);
    assert_eq!(host.run(sent(&[Signal::Terminate]).await).await, Exit::Drained(Some(Signal::Terminate)));
    let expected = [
        "door asked to end, ready: false",
        "door ended",
        "worker asked to end, ready: false",
        "worker ended",
        "observer asked to end, ready: false",
        "observer ended",
    ];
    assert_eq!(diary.read(), expected);
}

#[tokio::test(start_paused = true)]
async fn doors_stay_open_for_a_while_after_readiness_went_off() {
    let mut host = host("10s", "5s");
    let readiness = host.readiness().clone();
    host.door("door", |stop| async move {
        readiness.watch().wait_for(|report| !report.is_ready()).await?;
        let unready_at = tokio::time::Instant::now();
        assert!(!stop.is_stopped());
        stop.stopped().await;
        anyhow::ensure!(unready_at.elapsed() >= Duration::from_secs(5), "closed too early");
        Ok(())
    });
    assert_eq!(host.run(sent(&[Signal::Interrupt]).await).await, Exit::Drained(Some(Signal::Interrupt)));
}

#[tokio::test(start_paused = true)]
async fn a_part_that_fails_ends_the_process_with_its_name_and_the_whole_reason() {
    let mut host = host("10s", "0s");
    host.task("journeys worker", until_stopped);
    host.task("messaging worker", |_| async {
        Err(anyhow::anyhow!("connection refused").context("the broker at 127.0.0.1:9092 does not answer"))
    });
    let exit = host.run(sent(&[]).await).await;
    let reason = "the broker at 127.0.0.1:9092 does not answer: connection refused";
    assert_eq!(exit, Exit::Failed(vec![("messaging worker".into(), reason.into())]));
    assert_eq!(exit.code(), 1);
    assert_eq!(exit.to_string(), format!("ended by a failure; messaging worker: {reason}"));
}

#[tokio::test]
async fn a_thread_that_panics_ends_the_process_too() {
    let mut host = host("10s", "0s");
    host.door("door", until_stopped);
    host.thread("worker", |_| panic!("index out of bounds"));
    let exit = host.run(sent(&[]).await).await;
    assert_eq!(exit, Exit::Failed(vec![("worker".into(), "panicked: index out of bounds".into())]));
}

#[tokio::test(start_paused = true)]
async fn a_part_that_ends_by_itself_is_a_failure_because_nothing_is_restarted_in_silence() {
    let mut host = host("10s", "0s");
    host.task("worker", |_| async { Ok(()) });
    host.door("door", until_stopped);
    let exit = host.run(sent(&[]).await).await;
    assert_eq!(exit, Exit::Failed(vec![("worker".into(), "ended although nobody asked it to".into())]));
}

#[tokio::test(start_paused = true)]
async fn when_the_work_is_done_everything_else_is_drained_and_the_exit_is_clean() {
    let diary = Diary::default();
    let mut host = host("10s", "1h");
    let of_worker = diary.clone();
    host.task("worker", |stop| async move {
        stop.stopped().await;
        of_worker.note("worker drained");
        Ok(())
    });
    host.main("replay", |_| async { Ok(()) });
    assert_eq!(host.run(sent(&[]).await).await, Exit::Drained(None));
    assert_eq!(diary.read(), ["worker drained"]);
}

#[tokio::test(start_paused = true)]
async fn who_has_not_ended_at_the_drain_deadline_is_named() {
    let mut host = host("3s", "0s");
    host.door("door", until_stopped);
    host.task("stuck worker", |_| std::future::pending());
    let began = tokio::time::Instant::now();
    let exit = host.run(sent(&[Signal::Terminate]).await).await;
    assert_eq!(exit, Exit::TimedOut(vec!["stuck worker".into()]));
    assert_eq!((exit.code(), began.elapsed().as_secs()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_ends_the_process_at_once() {
    let mut host = host("1h", "0s");
    host.task("slow worker", |_| std::future::pending());
    let began = tokio::time::Instant::now();
    let exit = host.run(sent(&[Signal::Terminate, Signal::Interrupt]).await).await;
    assert_eq!((exit.clone(), exit.code()), (Exit::Forced(Signal::Interrupt), 130));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_blocked_thread_is_woken_to_end() {
    let mut host = host("60s", "0s");
    let (entered, waits) = (Arc::new(Notify::new()), Arc::new(Mutex::new(false)));
    let (of_thread, of_wait) = (Arc::clone(&entered), Arc::clone(&waits));
    host.thread("worker", move |stop| {
        of_thread.notify_one();
        *of_wait.lock() = stop.wait_timeout(Duration::from_hours(1));
        Ok(())
    });
    let (sender, signals) = Signals::by_hand();
    let running = tokio::spawn(host.run(signals));
    entered.notified().await;
    sender.send(Signal::Terminate).await.unwrap();
    assert_eq!(running.await.unwrap(), Exit::Drained(Some(Signal::Terminate)));
    assert!(*waits.lock());
}

#[tokio::test]
async fn a_thread_that_is_stuck_in_a_call_ends_the_process_with_its_name_and_one_that_waits_or_asks_does_not() {
    let mut host = host_with("10ms", "0s", "200ms");
    let (release, stuck) = std::sync::mpsc::channel::<()>();
    host.thread("waits", |stop| {
        stop.wait_timeout(Duration::from_hours(1));
        Ok(())
    });
    host.thread("asks", |stop| {
        while !stop.is_stopped() {
            std::thread::yield_now();
        }
        Ok(())
    });
    host.thread("stuck", move |stop| {
        assert!(!stop.is_stopped());
        // Until the test is over.
        let _ = stuck.recv();
        Ok(())
    });
    let exit = host.run(sent(&[]).await).await;
    drop(release);
    let Exit::Failed(failures) = exit else { panic!("{exit:?}") };
    let [(part, reason)] = &failures[..] else { panic!("{failures:?}") };
    assert_eq!(part, "stuck");
    assert!(reason.contains("no sign of life for 200ms"), "{reason}");
}

#[tokio::test]
async fn every_way_to_end_has_its_exit_code() {
    let codes = [
        (Exit::Drained(None), 0),
        (Exit::Drained(Some(Signal::Interrupt)), 0),
        (Exit::Failed(Vec::new()), 1),
        (Exit::TimedOut(Vec::new()), 3),
        (Exit::Forced(Signal::Interrupt), 130),
        (Exit::Forced(Signal::Terminate), 143),
        (Exit::Forced(Signal::HangUp), 129),
    ];
    for (exit, code) in codes {
        assert_eq!(exit.code(), code, "{exit:?}");
    }
}
