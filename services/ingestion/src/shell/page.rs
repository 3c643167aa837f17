//! The pages behind the links of messages: small, without script, the same for everybody.

use axum::http::{HeaderMap, Uri, header};
use domain::Locale;

/// Nobody keeps these pages, frames them, indexes them, or learns the link from them.
pub(crate) const HEADERS: [(&str, &str); 6] = [
    ("content-type", "text/html; charset=utf-8"),
    ("cache-control", "no-store"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-robots-tag", "noindex, nofollow"),
    (
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
];

/// What a page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// Unsubscribe?
    Ask,
    /// Unsubscribed.
    Done,
    /// The link is not one of ours, or not whole.
    BadLink,
    /// It could not be stored.
    NotNow,
}

impl Page {
    pub(crate) fn html(self, locale: Locale) -> String {
        let (title, text) = self.words(locale);
        let action = match (self, locale) {
            (Self::Ask, Locale::En) => button("Unsubscribe"),
            (Self::Ask, Locale::Es) => button("Darme de baja"),
            (Self::NotNow, Locale::En) => button("Try again"),
            (Self::NotNow, Locale::Es) => button("Intentar de nuevo"),
            (Self::Done | Self::BadLink, _) => String::new(),
        };
        document(locale, title, &format!("<p>{text}</p>{action}"))
    }

    fn words(self, locale: Locale) -> (&'static str, &'static str) {
        match (self, locale) {
            (Self::Ask, Locale::En) => {
                ("Unsubscribe?", "You will get no more reminders and offers from us at this address.")
            }
            (Self::Ask, Locale::Es) => {
                ("¿Darte de baja?", "No volverás a recibir recordatorios ni ofertas nuestras en esta dirección.")
            }
            (Self::Done, Locale::En) => ("You are unsubscribed", "It is done. You can close this page."),
            (Self::Done, Locale::Es) => ("Te diste de baja", "Listo. Puedes cerrar esta página."),
            (Self::BadLink, Locale::En) => (
                "This link does not work",
                "It is not complete, or it is too old. Please use the link in our latest message, or answer that message.",
            ),
            (Self::BadLink, Locale::Es) => (
                "Este enlace no funciona",
                "Está incompleto o es demasiado antiguo. Usa el enlace de nuestro último mensaje o responde a ese mensaje.",
            ),
            (Self::NotNow, Locale::En) => {
                ("Not done yet", "Something went wrong on our side. Please try again in a moment.")
            }
            (Self::NotNow, Locale::Es) => {
                ("Todavía no está hecho", "Algo falló de nuestro lado. Inténtalo de nuevo en un momento.")
            }
        }
    }
}

/// A page with this title and, under it, this content, which is HTML.
pub(crate) fn document(locale: Locale, title: &str, content: &str) -> String {
    let language = locale.tag();
    format!(
        "<!doctype html><html lang=\"{language}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
         <style>{STYLE}</style></head><body><main><h1>{title}</h1>{content}</main></body></html>"
    )
}

/// The language to answer in: the one that the address asks for by `lang`, else the first that the browser names and that we
/// have pages in. Browsers list what they prefer first, so the weights are not looked at.
pub(crate) fn language(headers: &HeaderMap, uri: &Uri) -> Locale {
    let fields = uri.query().unwrap_or_default().split('&');
    let asked = fields.filter_map(|field| field.strip_prefix("lang=")).find_map(Locale::from_tag);
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut tags = accepted.split(',').filter_map(|entry| entry.split(';').next());
    asked.or_else(|| tags.find_map(|tag| Locale::from_tag(tag.trim()))).unwrap_or_default()
}

/// The form posts to the page's own address.
fn button(label: &str) -> String {
    format!("<form method=\"post\"><button type=\"submit\">{label}</button></form>")
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;margin:0;color:#1c1c1c;background:#fff}\
main{max-width:30rem;margin:15vh auto;padding:0 1.5rem}h1{font-size:1.5rem}\
fieldset{border:1px solid #888;border-radius:.4rem;margin:0 0 1rem;padding:.6rem 1rem}label{display:block;padding:.4rem 0}\
button{font:inherit;padding:.6rem 1.4rem;border:0;border-radius:.4rem;background:#1c4fd6;color:#fff;cursor:pointer}\
@media(prefers-color-scheme:dark){a{color:#9db7ff}body{color:#eee;background:#161616}button{background:#6d95ff;color:#111}}";
