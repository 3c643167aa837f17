//! A template as messaging uses it.

use domain::Locale;

/// A template in the version that was in force when a message was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// SHA-256 of the definition that it was read from: names it in caches.
    pub digest: String,
    /// Its texts.
    pub definition: definitions::Template,
}

impl Template {
    /// Its texts in the language of a tag such as `es-AR`, else in English, else in any.
    pub fn text(&self, tag: Option<&str>) -> Option<(Locale, &definitions::TemplateText)> {
        self.definition.text(tag.and_then(Locale::from_tag))
    }
}
