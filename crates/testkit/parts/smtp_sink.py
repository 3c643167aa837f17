"""An SMTP server for tests: keeps what it receives, and refuses, delays or drops when told to.

Wanted properties:
- A message is on disk (one JSON line in `messages.jsonl`, synced) before it is acknowledged.
- `rules.json` is looked at anew for each recipient and each message, so a change holds at once.
"""

import argparse
import asyncio
import datetime
import email
import email.policy
import fnmatch
import json
import os
import pathlib
import ssl

from aiosmtpd.smtp import SMTP, AuthResult

SIZE_LIMIT_BYTES = 32 * 1024 * 1024


class Rules:
    """What `rules.json` says, and how often each rule has been used for each recipient."""

    def __init__(self, path):
        self.path = path
        self.version = None
        self.used = {}

    def take(self, recipient, behaviours):
        """The first rule for the recipient, among those of the given behaviours, that is not used up."""
        try:
            content = json.loads(self.path.read_text())
        except FileNotFoundError:
            return None
        if content["version"] != self.version:
            self.version, self.used = content["version"], {}
        for number, rule in enumerate(content["rules"]):
            if rule["behaviour"] not in behaviours or not fnmatch.fnmatch(recipient, rule["recipient"]):
                continue
            used = self.used.get((number, recipient), 0)
            if rule["times"] is None or used < rule["times"]:
                self.used[number, recipient] = used + 1
                return rule
        return None


class Sink:
    """The handler that aiosmtpd calls for each step of a session."""

    def __init__(self, directory):
        self.rules = Rules(directory / "rules.json")
        self.messages = open(directory / "messages.jsonl", "a", encoding="utf-8")

    async def handle_RCPT(self, server, session, envelope, address, options):
        rule = self.rules.take(address, ("refuse_temporarily", "refuse_permanently"))
        if rule is not None:
            if rule["behaviour"] == "refuse_temporarily":
                return "451 4.7.1 Please try again later"
            return "550 5.1.1 There is no such mailbox"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        rules = [self.rules.take(address, ("delay", "drop_after_data")) for address in envelope.rcpt_tos]
        rule = next((rule for rule in rules if rule is not None), None)
        drops = rule is not None and rule["behaviour"] == "drop_after_data"
        if not drops or rule["kept"]:
            self.keep(envelope)
        if drops:
            server.transport.abort()
            # Nobody hears it.
            return "451 4.3.0 Connection lost"
        if rule is not None:
            await asyncio.sleep(rule["delay_ms"] / 1000)
        return "250 OK: message kept"

    def keep(self, envelope):
        parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
        plain, html = parsed.get_body(("plain",)), parsed.get_body(("html",))
        line = {
            "message_id": str(parsed.get("Message-ID", "")).strip(),
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": str(parsed.get("Subject", "")),
            "headers": [[name, str(value)] for name, value in parsed.items()],
            "body": "" if plain is None else plain.get_content(),
            "html": None if html is None else html.get_content(),
            "received_at": datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z"),
            "raw": envelope.content.decode("latin-1"),
        }
        self.messages.write(json.dumps(line) + "\n")
        self.messages.flush()
        os.fsync(self.messages.fileno())


def make_certificate(directory):
    """An authority and a certificate for this machine, made once."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    paths = directory / "ca.pem", directory / "cert.pem", directory / "key.pem"
    if all(path.exists() for path in paths):
        return paths
    now = datetime.datetime.now(datetime.timezone.utc)

    def certificate(subject, key, issuer, issuer_key, is_authority):
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
             "decipher_only"), False)
        usage |= {"digital_signature": not is_authority, "key_cert_sign": is_authority, "crl_sign": is_authority}
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
        )
        if not is_authority:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
            server = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH])
            builder = builder.add_extension(server, critical=False)
        return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority, subject = "Test authority", "localhost"
    paths[0].write_bytes(certificate(authority, authority_key, authority, authority_key, True))
    paths[1].write_bytes(certificate(subject, key, authority, authority_key, False))
    paths[2].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return paths


def authenticate(server, session, envelope, mechanism, data):
    given = tuple(value.decode() for value in (data.login, data.password))
    wanted = os.environ["SMTP_SINK_USER"], os.environ["SMTP_SINK_PASSWORD"]
    # Not handled: aiosmtpd itself answers, 235 or 535.
    return AuthResult(success=given == wanted, handled=False)


async def serve(port, security, directory):
    tls = None
    if security != "plain":
        _, certificate, key = make_certificate(directory)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate, key)
    login = "SMTP_SINK_USER" in os.environ
    sink = Sink(directory)

    def session():
        return SMTP(
            sink,
            hostname="localhost",
            ident="test sink",
            data_size_limit=SIZE_LIMIT_BYTES,
            enable_SMTPUTF8=True,
            tls_context=tls if security == "starttls" else None,
            require_starttls=security == "starttls",
            authenticator=authenticate if login else None,
            auth_required=login,
            auth_require_tls=False,
        )

    server = await asyncio.get_running_loop().create_server(
        session, "127.0.0.1", port, ssl=tls if security == "tls" else None)
    print("the SMTP sink listens", flush=True)
    async with server:
        await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--security", choices=("plain", "starttls", "tls"), default="plain")
    parser.add_argument("--directory", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.security, arguments.directory))


if __name__ == "__main__":
    main()
