//! One message over one SMTP connection, command by command, so that it is known how far it got.
//!
//! Wanted property: whatever is lost before the final dot was begun to be written proves that nothing was done; after
//! that, only a reply does (RFC 5321, 4.2.5 and 6.1).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Response;
use tokio::time::timeout;

use crate::action::{Attempt, Refusal, RefusalKind};

/// The message is written in pieces of this size.
const PIECE_BYTES: usize = 16 * 1024;

/// How long the server may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) command: Duration,
    pub(super) accept: Duration,
}

/// How a conversation ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) attempt: Attempt,
    /// Whether the connection can carry another message.
    pub(super) reusable: bool,
    /// The connection was lost before the server said anything to this message: an idle one often is.
    pub(super) lost_at_once: bool,
}

/// Where in the conversation something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Mail,
    Rcpt,
    Data,
    Body,
    AfterBody,
}

impl Phase {
    const fn word(self) -> &'static str {
        match self {
            Self::Mail => "at_mail",
            Self::Rcpt => "at_rcpt",
            Self::Data => "at_data",
            Self::Body => "in_body",
            Self::AfterBody => "after_body",
        }
    }
}

/// What went wrong.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server said no: its code, with the enhanced one if there is one.
    Code(u16, Option<String>),
    /// No answer in time.
    TimedOut,
    /// The connection was lost, or what came over it is no SMTP.
    Lost,
}

impl Failure {
    pub(super) fn of(error: &Error) -> Self {
        match error.status() {
            Some(code) => Self::Code(code.into(), enhanced_code(error)),
            None if error.is_timeout() => Self::TimedOut,
            None => Self::Lost,
        }
    }

    /// The reason: a code or a word, nothing that the server wrote (which may be the address).
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Code(code, Some(enhanced)) => format!("{code} {enhanced}"),
            Self::Code(code, None) => code.to_string(),
            Self::TimedOut => "timed_out".to_owned(),
            Self::Lost => "connection_lost".to_owned(),
        }
    }
}

/// `5.1.1` of `5.1.1 <somebody@example.com>: unknown` (RFC 3463).
fn enhanced_code(error: &Error) -> Option<String> {
    let text = std::error::Error::source(error)?.to_string();
    let code = text.split_whitespace().next()?;
    let parts: Vec<&str> = code.split('.').collect();
    let is_number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    (parts.len() == 3 && matches!(parts[0], "4" | "5") && parts.iter().all(is_number)).then(|| code.to_owned())
}

/// Sends a message.
pub(super) async fn send(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    message: &[u8],
    patience: Patience,
) -> Ended {
    match converse(connection, envelope, message, patience).await {
        Ok(()) => Ended { attempt: Attempt::Sent, reusable: true, lost_at_once: false },
        Err((phase, failure)) => {
            let lost_at_once = phase == Phase::Mail && matches!(failure, Failure::Lost);
            let told = matches!(failure, Failure::Code(code, _) if code != 421);
            let reusable = told && reset(connection, patience).await;
            Ended { attempt: judge(phase, &failure), reusable, lost_at_once }
        }
    }
}

async fn reset(connection: &mut AsyncSmtpConnection, patience: Patience) -> bool {
    matches!(timeout(patience.command, connection.command(Rset)).await, Ok(Ok(_)))
}

async fn converse(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    message: &[u8],
    patience: Patience,
) -> Result<(), (Phase, Failure)> {
    let mut parameters = Vec::new();
    if envelope.to().iter().chain(envelope.from()).any(|address| !AsRef::<str>::as_ref(address).is_ascii()) {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err((Phase::Rcpt, Failure::Code(553, Some("5.6.7".to_owned()))));
        }
        parameters.push(MailParameter::SmtpUtfEight);
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    let mail = Mail::new(envelope.from().cloned(), parameters);
    answered(patience.command, connection.command(mail)).await.map_err(|failure| (Phase::Mail, failure))?;
    for to in envelope.to() {
        let rcpt = Rcpt::new(to.clone(), Vec::new());
        answered(patience.command, connection.command(rcpt)).await.map_err(|failure| (Phase::Rcpt, failure))?;
    }
    answered(patience.command, connection.command(Data)).await.map_err(|failure| (Phase::Data, failure))?;
    // The pieces are asked for as the ones before are written; asking for one more than there are comes right before the dot.
    let dot_begun = Arc::new(AtomicBool::new(false));
    let at_the_end = Arc::clone(&dot_begun);
    let end = std::iter::from_fn(move || {
        at_the_end.store(true, Ordering::SeqCst);
        None
    });
    let pieces = message.chunks(PIECE_BYTES).chain(end);
    answered(patience.accept, connection.message_iter(pieces)).await.map_err(|failure| {
        let phase = if dot_begun.load(Ordering::SeqCst) { Phase::AfterBody } else { Phase::Body };
        (phase, failure)
    })
}

async fn answered(patience: Duration, reply: impl Future<Output = Result<Response, Error>>) -> Result<(), Failure> {
    match timeout(patience, reply).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::of(&error)),
        Err(_) => Err(Failure::TimedOut),
    }
}

fn judge(phase: Phase, failure: &Failure) -> Attempt {
    let reason = failure.reason();
    match failure {
        // Log-in or encryption is missing: a matter of the settings, not of this message.
        Failure::Code(530 | 534 | 535 | 538, _) => Attempt::NotConnected(reason),
        Failure::Code(code, enhanced) => {
            let kind = match code {
                400..=499 => RefusalKind::Temporary,
                _ if phase != Phase::Mail && is_no_such_address(enhanced.as_deref()) => RefusalKind::NoSuchAddress,
                _ => RefusalKind::Permanent,
            };
            Attempt::Refused(Refusal { kind, reason })
        }
        Failure::TimedOut | Failure::Lost if phase == Phase::AfterBody => {
            Attempt::Uncertain(format!("{reason}_{}", phase.word()))
        }
        Failure::TimedOut | Failure::Lost => Attempt::NotConnected(format!("{reason}_{}", phase.word())),
    }
}

/// Bad destination mailbox, mailbox has moved, recipient address has null MX (RFC 3463, 3.2; RFC 7505).
fn is_no_such_address(enhanced: Option<&str>) -> bool {
    matches!(enhanced, Some("5.1.1" | "5.1.6" | "5.1.10"))
}
