//! The demo's pages where they are asked for what is not there, and what is left when its terminal is closed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{command, root};

struct Demo {
    child: Child,
    pages: String,
}

impl Demo {
    /// Opens it with temporary files in `temporary`, and SIGHUP met as at a terminal, however the tests were started.
    fn open(temporary: &Path) -> Self {
        let vuelve = command(&[]);
        let mut child = Command::new("env")
            .arg("--default-signal=HUP")
            .arg(vuelve.get_program())
            .args(["demo", "--listen", "127.0.0.1:0"])
            .env_remove("VUELVE_CONFIG")
            .env("TMPDIR", temporary)
            .current_dir(root())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let status = lines.map(Result::unwrap).find_map(|line| Some(line.split_once("status ")?.1.trim().to_owned()));
        Self { child, pages: status.unwrap() }
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Ended long since, unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_the_pages_do_not_have_is_told_as_a_page() {
    let folder = TempDir::new().unwrap();
    let demo = Demo::open(folder.path());
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = |path: &str| format!("{}{path}", demo.pages);
    let told = |response: Result<ureq::http::Response<ureq::Body>, ureq::Error>| {
        let mut response = response.unwrap();
        assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    };
    for path in ["mailbox/%ff", "mailbox/%ff/body", "mailbox/x", "%ff"] {
        let (status, page) = told(agent.get(url(path)).call());
        assert!(status == 404 && page.contains("There is no such page"), "{path}: {status} {page}");
    }
    let (status, page) = told(agent.post(url("mailbox")).send_empty());
    assert!(status == 405 && page.contains("These pages are only read."), "{status} {page}");
}

#[test]
fn secrets_are_the_users_own_and_a_closed_terminal_leaves_none() {
    let folder = TempDir::new().unwrap();
    let mut demo = Demo::open(folder.path());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let paths = |path: &Path| -> Vec<_> { fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect() };
    let folders = paths(folder.path());
    assert_eq!(folders.iter().map(|path| mode(path)).collect::<Vec<_>>(), [0o700]);
    let secrets = paths(&folders[0]);
    assert_eq!(secrets.iter().map(|path| mode(path)).collect::<Vec<_>>(), [0o600; 3]);

    demo.signal("-HUP");
    assert_eq!(demo.child.wait().unwrap().code(), Some(0));
    assert!(paths(folder.path()).is_empty());
}
