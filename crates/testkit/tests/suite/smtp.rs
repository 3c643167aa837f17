use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use testkit::{Process, SmtpBehaviour, SmtpOptions, SmtpRule, SmtpSecurity, SmtpSink, python};

use crate::{LIMIT, runs, timed};

const MESSAGE: &str = "Message-ID: <cart-1@shop.example.com>\r\n\
    Subject: =?utf-8?q?Tu_carrito_te_espera=2C_Bego=C3=B1a?=\r\n\
    List-Unsubscribe: <https://shop.example.com/u/1>\r\n\
    MIME-Version: 1.0\r\n\
    Content-Type: multipart/alternative; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHola \u{1f44b}\r\n\
    --b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hola</p>\r\n--b--\r\n";

/// Sends a message by hand; the replies to RCPT and to DATA's end, or how the connection failed.
fn send(sink: &SmtpSink, recipient: &str) -> std::io::Result<[String; 2]> {
    let stream = TcpStream::connect(("127.0.0.1", sink.port()))?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let mut say = |text: &str| -> std::io::Result<String> {
        writer.write_all(text.as_bytes())?;
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    };
    say("")?;
    say("HELO shop.example.com\r\n")?;
    say("MAIL FROM:<shop@example.com>\r\n")?;
    let rcpt = say(&format!("RCPT TO:<{recipient}>\r\n"))?;
    if !rcpt.starts_with("250") {
        return Ok([rcpt, String::new()]);
    }
    say("DATA\r\n")?;
    let data = say(&format!("{MESSAGE}.\r\n"))?;
    Ok([rcpt, data])
}

#[test]
fn the_sink_keeps_messages_as_they_came_through_a_kill() {
    let sink = timed("smtp start", || SmtpSink::start().unwrap());
    assert!(sink.messages().unwrap().is_empty());
    let [_, accepted] = send(&sink, "ana@example.com").unwrap();
    assert!(accepted.starts_with("250"), "{accepted}");
    let first = sink.process().pid().unwrap();
    sink.kill9().unwrap();
    assert!(send(&sink, "ana@example.com").is_err());
    sink.restart().unwrap();
    send(&sink, "eva@example.com").unwrap();

    let messages = sink.wait_for_messages(2, LIMIT).unwrap();
    let [message, second] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!(message.message_id, "<cart-1@shop.example.com>");
    assert_eq!((message.from.as_str(), &message.to[..]), ("shop@example.com", &["ana@example.com".to_owned()][..]));
    assert_eq!(message.subject, "Tu carrito te espera, Begoña");
    assert_eq!(message.header("list-unsubscribe"), Some("<https://shop.example.com/u/1>"));
    assert_eq!((message.body.trim(), message.html.as_deref().map(str::trim)), ("Hola 👋", Some("<p>Hola</p>")));
    assert_eq!(message.raw(), MESSAGE.as_bytes());
    assert!(message.received_at.ends_with('Z'));
    assert_eq!(second.to, ["eva@example.com"]);
    drop(sink);
    assert!(!runs(first));
}

#[test]
fn the_sink_refuses_delays_and_drops_as_it_is_told() {
    let sink = SmtpSink::start().unwrap();
    let rule = |pattern: &str, behaviour| sink.add_rule(SmtpRule::new(pattern, behaviour)).unwrap();
    sink.add_rule(SmtpRule::new("busy@*", SmtpBehaviour::RefuseTemporarily).times(2)).unwrap();
    rule("gone@*", SmtpBehaviour::RefusePermanently);
    rule("slow@*", SmtpBehaviour::Delay { delay_ms: 100 });
    rule("lost@*", SmtpBehaviour::DropAfterData { kept: false });
    rule("unknown@*", SmtpBehaviour::DropAfterData { kept: true });

    let rcpt = |recipient: &str| send(&sink, recipient).unwrap()[0].clone();
    assert!(rcpt("busy@example.com").starts_with("451"));
    assert!(rcpt("busy@example.com").starts_with("451"));
    assert!(rcpt("busy@example.com").starts_with("250"));
    assert!(rcpt("gone@example.com").starts_with("550"));
    let began = Instant::now();
    assert!(send(&sink, "slow@example.com").unwrap()[1].starts_with("250"));
    assert!(began.elapsed() >= Duration::from_millis(100));
    assert!(send(&sink, "lost@example.com").is_err());
    assert!(send(&sink, "unknown@example.com").is_err());

    let kept: Vec<String> = sink.messages().unwrap().into_iter().flat_map(|message| message.to).collect();
    assert_eq!(kept, ["busy@example.com", "slow@example.com", "unknown@example.com"]);
    sink.clear_rules().unwrap();
    assert!(rcpt("gone@example.com").starts_with("250"));
}

#[test]
fn the_sink_encrypts_and_asks_for_a_login() {
    const CLIENT: &str = "
import smtplib, ssl, sys
port, ca, security, password = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
tls = ssl.create_default_context(cafile=ca)
client = smtplib.SMTP_SSL('localhost', port, context=tls) if security == 'tls' else smtplib.SMTP('localhost', port)
if security == 'starttls':
    client.starttls(context=tls)
client.login('vuelve', password)
client.sendmail('shop@example.com', ['ana@example.com'], 'Subject: hola\\r\\n\\r\\nhola\\r\\n')
client.quit()
";
    for (security, name) in [(SmtpSecurity::StartTls, "starttls"), (SmtpSecurity::Tls, "tls")] {
        let login = Some(("vuelve".to_owned(), "right".to_owned()));
        let sink = SmtpSink::start_with(&SmtpOptions { security, login }).unwrap();
        let client = |password: &str| {
            Process::spec("smtplib", python().unwrap())
                .args(["-c", CLIENT, &sink.port().to_string()])
                .arg(sink.ca_certificate())
                .args([name, password])
                .start()
                .unwrap()
                .wait_for_success(LIMIT)
        };
        client("right").unwrap();
        let refused = client("wrong").unwrap_err().to_string();
        assert!(refused.contains("SMTPAuthenticationError"), "{refused}");
        assert_eq!(sink.messages().unwrap().len(), 1);
    }
}
