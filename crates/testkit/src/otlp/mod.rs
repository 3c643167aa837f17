//! A real OTLP receiver (rotel), and the spans that it received.
//!
//! This rotel has no exporter to a file; it can print each span in full, as the OpenTelemetry Collector's debug
//! exporter does, and that is read here.

mod parse;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::parts::python;
use crate::watchdog::Scratch;
use crate::{Process, free_port, wait_until};

const START: Duration = Duration::from_secs(30);
const STARTED: &str = "Starting Rotel";

/// A span as it was received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// 16 hex digits; `None` for a root.
    pub parent_id: Option<String>,
    /// Its name.
    pub name: String,
    /// `INTERNAL`, `SERVER`, `CLIENT`, `PRODUCER`, `CONSUMER` or `UNSPECIFIED`.
    pub kind: String,
    /// `UNSET`, `OK` or `ERROR`.
    pub status: String,
    /// What goes with the status.
    pub status_message: String,
    /// Nanoseconds since 1970.
    pub start_nanos: u64,
    /// Nanoseconds since 1970.
    pub end_nanos: u64,
    /// The resource's attributes, values as text.
    pub resource: BTreeMap<String, String>,
    /// Its attributes, values as text.
    pub attributes: BTreeMap<String, String>,
    /// The spans that it is linked to.
    pub links: Vec<SpanLink>,
    /// The names of its events.
    pub events: Vec<String>,
}

/// A link from one span to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpanLink {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
}

impl Span {
    /// `service.name` of its resource; empty without one.
    pub fn service(&self) -> &str {
        self.resource.get("service.name").map_or("", String::as_str)
    }
}

/// An OTLP receiver on free ports.
#[derive(Debug)]
pub struct OtlpReceiver {
    process: Process,
    grpc_port: u16,
    http_port: u16,
    _scratch: Scratch,
}

impl OtlpReceiver {
    /// An empty one.
    pub fn start() -> Result<Self> {
        let program = python::rotel()?;
        let scratch = Scratch::new("otlp")?;
        let (grpc_port, http_port) = (free_port()?, free_port()?);
        let process = Process::spec("otlp receiver", program)
            .args(["start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log-verbosity", "detailed"])
            // One JSON object a line: told from spans at a glance.
            .args(["--log-format", "json"])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{grpc_port}")])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{http_port}")])
            .arg("--pid-file")
            .arg(scratch.path().join("pid"))
            .log(scratch.path().join("log"))
            .start()?;
        let receiver = Self { process, grpc_port, http_port, _scratch: scratch };
        receiver.wait_ready()?;
        Ok(receiver)
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT` with gRPC: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc_port)
    }

    /// The same for OTLP over HTTP.
    pub fn http_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.http_port)
    }

    /// All spans received since its latest start, in the order of arrival.
    pub fn spans(&self) -> Vec<Span> {
        // Spans are printed in pieces: read again until nothing was added in between.
        let mut text = self.process.log();
        loop {
            std::thread::sleep(Duration::from_millis(20));
            let again = self.process.log();
            if again.len() == text.len() {
                return parse::spans(&text);
            }
            text = again;
        }
    }

    /// Waits until the spans received fulfil `enough`, and gives them all; the error lists what did come.
    pub fn wait_for_spans(&self, limit: Duration, mut enough: impl FnMut(&[Span]) -> bool) -> Result<Vec<Span>> {
        let mut latest = Vec::new();
        let outcome = wait_until(limit, "the spans waited for", || {
            latest = self.spans();
            enough(&latest).then_some(())
        });
        match outcome {
            Ok(()) => Ok(latest),
            Err(error) => {
                let names: Vec<String> =
                    latest.iter().map(|span| format!("{} ({})", span.name, span.service())).collect();
                Err(Error::new("otlp receiver", format!("{error}; received: {}", names.join(", "))))
            }
        }
    }

    /// SIGKILL.
    pub fn kill9(&self) -> Result<()> {
        self.process.kill9()
    }

    /// Starts it again on the same ports, without the spans received before; kills it first if it runs.
    pub fn restart(&self) -> Result<()> {
        self.process.restart()?;
        self.wait_ready()
    }

    /// Its process, to pause, resume and look at.
    pub fn process(&self) -> &Process {
        &self.process
    }

    fn wait_ready(&self) -> Result<()> {
        let listens = |port| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        self.process.wait_for_log(STARTED, START)?;
        self.process.wait_ready(START, "listen", || listens(self.grpc_port) && listens(self.http_port))
    }
}
