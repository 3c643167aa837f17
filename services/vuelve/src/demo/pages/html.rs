//! HTML that is written piece by piece: markup comes from the program's text, everything else is escaped.

use domain::Timestamp;
use messaging::rendering::escape_html;
use messaging::shell::KeptMessage;

/// A page, or a part of one, under construction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Html {
    text: String,
}

impl Html {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Markup. It is part of the program, so that nothing that came from outside can be taken for it.
    pub(super) fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.text.push_str(markup);
        self
    }

    /// Text, inside or outside of an attribute in quotes.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.text.push_str(&escape_html(text));
        self
    }

    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.text.push_str(&number.to_string());
        self
    }

    /// The day and the minute, in UTC.
    pub(super) fn time(&mut self, time: Timestamp) -> &mut Self {
        let text =
            jiff::Timestamp::from_millisecond(time.as_millis()).map(|time| time.strftime("%Y-%m-%d %H:%M").to_string());
        self.text(&text.unwrap_or_default())
    }

    /// Cells of a table's row.
    pub(super) fn cells(&mut self, texts: &[&str]) -> &mut Self {
        for text in texts {
            self.markup("<td>").text(text).markup("</td>");
        }
        self
    }

    /// A table's begin, with its columns.
    pub(super) fn head(&mut self, columns: &[&str]) -> &mut Self {
        self.markup("<table><tr>");
        for column in columns {
            self.markup("<th>").text(column).markup("</th>");
        }
        self.markup("</tr>")
    }

    /// A part that was written by itself.
    pub(super) fn part(&mut self, part: &Self) -> &mut Self {
        self.text.push_str(&part.text);
        self
    }

    /// A message as it was rendered: the one exception, and for the sandboxed frame only.
    pub(super) fn of_message(message: &KeptMessage) -> Self {
        Self { text: message.html.clone() }
    }

    pub(super) fn into_string(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_never_markup() {
        let mut html = Html::new();
        html.markup("<p title=\"").text("\"'><script>&\0").markup("\">");
        assert_eq!(html.into_string(), "<p title=\"&quot;&#39;&gt;&lt;script&gt;&amp;\">");
    }

    #[test]
    fn a_time_is_shown_to_the_minute() {
        let mut html = Html::new();
        html.time(Timestamp::from_seconds(1_700_000_000));
        assert_eq!(html.into_string(), "2023-11-14 22:13");
    }
}
