//! What the tests of the whole share: the binary, an installation on real parts, and a batch computation to compare with.

pub mod admin;
pub mod checker;
pub mod clickstream;
pub mod expected;
pub mod faults;
pub mod installation;
pub mod newer;
pub mod result;
pub mod retail;
pub mod scene;
pub mod soak;

use std::path::{Path, PathBuf};

/// The `vuelve` binary that this test run built.
pub fn vuelve() -> PathBuf {
    // target/<profile>/deps/<this test>
    let here = std::env::current_exe().unwrap_or_default();
    let profile = here.parent().and_then(Path::parent).unwrap_or(Path::new("."));
    profile.join("vuelve")
}

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file of the evaluation data; none, with a message, where the data is not at hand.
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("VUELVE_SHARED_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    let path = folder.join(name);
    if !path.is_file() {
        eprintln!(
            "{} is not there, so only made-up data is used (VUELVE_SHARED_DATA names the folder)",
            path.display()
        );
        return None;
    }
    Some(path)
}

/// A customer puts something into her cart, as a `track` call says it; her address is known.
pub fn added(user: &str) -> String {
    format!(
        r#"{{"type":"track","event":"Product Added","userId":"{user}","messageId":"added-{user}",
            "properties":{{"cart_id":"c-{user}"}},"context":{{"traits":{{"email":"{user}@example.com"}}}}}}"#
    )
}

/// Writes definitions of a cart recovery that sends a message after each of these waits, three at most.
pub fn write_definitions(folder: &Path, waits: &[&str]) -> std::io::Result<()> {
    let mut steps = String::new();
    for (wait, (name, subject)) in waits.iter().zip([("first", "Primero"), ("second", "Segundo"), ("third", "Tercero")])
    {
        let message = format!("{{ as: {name}, template: {name}, channel: email, category: cart }}");
        steps.extend(["  - wait: ", wait, "\n  - message: ", &message, "\n"]);
        let body =
            "<mjml><mj-body><mj-section><mj-column><mj-text>Hola</mj-text></mj-column></mj-section></mj-body></mjml>";
        let text = |language: &str, subject: &str| format!("{language}:\n  subject: {subject}\n  body: '{body}'\n");
        let template = format!("template: {name}\nversion: 1\n{}{}", text("en", name), text("es", subject));
        std::fs::write(folder.join(format!("{name}.yaml")), template)?;
    }
    let journey = format!(
        "journey: cart-recovery\nversion: 1\ntrigger: {{ event: Product Added }}\ncorrelate: cart_id\n\
         exit: [ {{ event: Order Completed, same: cart_id }} ]\nholdout: 0%\nsteps:\n{steps}"
    );
    std::fs::write(folder.join("cart-recovery.yaml"), journey)?;
    let messaging = "messaging: default\ncategories:\n  cart: { priority: 80, consent: marketing }\n";
    std::fs::write(folder.join("messaging.yaml"), messaging)
}
