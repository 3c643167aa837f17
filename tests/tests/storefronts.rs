//! The storefront examples, run as they are: what a page shows by who its visitor is, and what where there is no answer.
#![allow(clippy::unwrap_used, reason = "a test may fail by it")]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use testkit::{free_port, node_dir, python, wait_until};
use tests::installation::{Installation, State};
use tests::root;

const TOKEN: &str = "a-token-of-this-test-only";
const LIMIT: Duration = Duration::from_mins(2);
/// Long: a page's own deadline is short, and the machine may be busy.
const DEADLINE_SECONDS: u32 = 60;

fn python_page(address: &str, token: &str, customers: &[&str]) -> Output {
    Command::new(python().unwrap())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("VUELVE_TOKEN", token)
        .args(["examples/lookups/python/storefront.py", "--vuelve", address])
        .args(["--deadline", &DEADLINE_SECONDS.to_string()])
        .args(customers)
        .current_dir(root())
        .output()
        .unwrap()
}

/// The example with its packages beside it, compiled.
fn compiled(folder: &Path) -> PathBuf {
    for file in ["storefront.ts", "tsconfig.json", "package.json"] {
        std::fs::copy(root().join("examples/lookups/typescript").join(file), folder.join(file)).unwrap();
    }
    symlink(node_dir().unwrap().join("node_modules"), folder.join("node_modules")).unwrap();
    let compiler = folder.join("node_modules/typescript/bin/tsc");
    let output = Command::new("node").arg(compiler).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    folder.join("storefront.js")
}

fn typescript_page(program: &Path, address: &str, token: &str, customers: &[&str]) -> Output {
    Command::new("node")
        .env("VUELVE_TOKEN", token)
        .env("VUELVE_PROTO", root().join("proto"))
        .env("DEADLINE_MS", (DEADLINE_SECONDS * 1_000).to_string())
        .arg(program)
        .arg(address)
        .args(customers)
        .output()
        .unwrap()
}

/// What was shown, line by line, and what was told to the log.
fn lines(output: Output) -> (Vec<String>, Vec<String>) {
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    (lines(&String::from_utf8(output.stdout).unwrap()), lines(&told))
}

#[test]
fn a_page_is_chosen_by_who_its_visitor_is_and_shown_to_everybody_where_there_is_no_answer() {
    let installation = Installation::start("live", State::Redis).unwrap();
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), TOKEN).unwrap();
    let address = format!("127.0.0.1:{}", free_port().unwrap());
    let settings = [format!("grpc.listen={address}"), format!("grpc.token_file={}", token.path().display())];
    let mut services = installation.run_each(&["door", "resolver"], 0..1).unwrap();
    installation.wait_for_door(&services[0]).unwrap();
    services.push(installation.run_with(&["segmentation"], 0, &settings).unwrap());
    let definitions = tempfile::tempdir().unwrap();
    let new = "segment: new\nversion: 1\nenter: customer.frequency == 1\n";
    std::fs::write(definitions.path().join("segments.yaml"), new).unwrap();
    installation.command(&["apply", &definitions.path().display().to_string(), "--wait"]).unwrap();
    let order = serde_json::json!({
        "event": "Order Completed", "userId": "ana", "messageId": "order-of-ana",
        "properties": { "order_id": "o-1", "total": 25, "currency": "EUR" },
    });
    installation.post("/v1/track", &[], &order.to_string()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = compiled(folder.path());
    let page = |language: &str, token: &str, customers: &[&str]| match language {
        "Python" => lines(python_page(&address, token, customers)),
        _ => lines(typescript_page(&program, &address, token, customers)),
    };
    for language in ["Python", "TypeScript"] {
        let (shown, told) = wait_until(LIMIT, "her page", || {
            let (shown, told) = page(language, TOKEN, &["ana", "nobody"]);
            (shown[0] == "ana: welcome").then_some((shown, told))
        })
        .unwrap();
        assert_eq!(shown, ["ana: welcome", "nobody: for everybody"], "{language}");
        assert!(told[0].contains("new") && told[1].ends_with("nobody knows her"), "{language}: {told:?}");
        let (shown, told) = page(language, "another-token-of-this-test", &["ana"]);
        assert_eq!(shown, ["ana: for everybody"], "{language}");
        assert!(told[0].ends_with("UNAUTHENTICATED"), "{language}: {told:?}");
    }
    // Nobody answers any more.
    drop(services);
    for language in ["Python", "TypeScript"] {
        let (shown, told) = page(language, TOKEN, &["ana"]);
        assert_eq!(shown, ["ana: for everybody"], "{language}");
        assert!(told[0].ends_with("UNAVAILABLE") || told[0].ends_with("DEADLINE_EXCEEDED"), "{language}: {told:?}");
    }
}
