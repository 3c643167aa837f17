//! The preference page's HTML: small, without script, the same for everybody.

use domain::Locale;

use super::page;

/// The page, with what it says of the last thing that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PreferencesPage(pub(crate) Said);

/// What came of the last thing that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nothing was done yet.
    Nothing,
    /// The form came without a choice.
    NothingChosen,
    /// She is written to again.
    Subscribed,
    /// She is written to no more.
    Unsubscribed,
    /// It could not be stored.
    NotNow,
}

/// All that does not depend on what was done.
struct Words {
    title: &'static str,
    about: &'static str,
    legend: &'static str,
    on: &'static str,
    off: &'static str,
    save: &'static str,
    /// The other language, in itself.
    other: (Locale, &'static str),
}

const ENGLISH: Words = Words {
    title: "What do you want to get from us?",
    about: "It holds for the address that this message came to. What concerns your orders comes in any case. \
        This page does not show what you chose before; what you choose now holds from now on.",
    legend: "Reminders and offers by e-mail",
    on: "Yes, write to me",
    off: "No, write to me no more",
    save: "Save",
    other: (Locale::Es, "En español"),
};

const SPANISH: Words = Words {
    title: "¿Qué quieres recibir?",
    about: "Vale para la dirección a la que llegó este mensaje. Lo que se refiere a tus pedidos te llegará en cualquier caso. \
        Esta página no muestra lo que elegiste antes; lo que elijas ahora vale desde ahora.",
    legend: "Recordatorios y ofertas por correo",
    on: "Sí, quiero recibirlos",
    off: "No, no quiero recibir más",
    save: "Guardar",
    other: (Locale::En, "In English"),
};

impl PreferencesPage {
    pub(crate) fn html(self, locale: Locale) -> String {
        let Words { title, about, legend, on, off, save, other: (other, in_other) } = match locale {
            Locale::En => ENGLISH,
            Locale::Es => SPANISH,
        };
        let other = other.tag();
        let status = self
            .status(locale)
            .map(|status| format!("<p role=\"status\"><strong>{status}</strong></p>"))
            .unwrap_or_default();
        let radio = |value: &str, label: &str| {
            format!("<label><input type=\"radio\" name=\"marketing\" value=\"{value}\" required> {label}</label>")
        };
        let (on, off) = (radio("on", on), radio("off", off));
        // The form posts to the page's own address, which holds the token.
        let content = format!(
            "{status}<p>{about}</p><form method=\"post\"><fieldset><legend>{legend}</legend>{on}{off}</fieldset>\
             <button type=\"submit\">{save}</button></form>\
             <p><a href=\"?lang={other}\" hreflang=\"{other}\" lang=\"{other}\">{in_other}</a></p>"
        );
        page::document(locale, title, &content)
    }

    const fn status(self, locale: Locale) -> Option<&'static str> {
        Some(match (self.0, locale) {
            (Said::Nothing, _) => return None,
            (Said::NothingChosen, Locale::En) => "Nothing is saved yet: please choose one of the two.",
            (Said::NothingChosen, Locale::Es) => "Todavía no se ha guardado nada: elige una de las dos opciones.",
            (Said::Subscribed, Locale::En) => "Saved. Reminders and offers may come to this address again.",
            (Said::Subscribed, Locale::Es) => {
                "Guardado. Puedes volver a recibir recordatorios y ofertas en esta dirección."
            }
            (Said::Unsubscribed, Locale::En) => "Saved. You will get no more reminders and offers at this address.",
            (Said::Unsubscribed, Locale::Es) => {
                "Guardado. No volverás a recibir recordatorios ni ofertas nuestras en esta dirección."
            }
            (Said::NotNow, Locale::En) => {
                "Not saved yet: something went wrong on our side. Please try again in a moment."
            }
            (Said::NotNow, Locale::Es) => {
                "Todavía no está guardado: algo falló de nuestro lado. Inténtalo de nuevo en un momento."
            }
        })
    }
}
