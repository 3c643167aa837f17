//! What the pages say, in both languages.

use domain::Locale;

/// The fixed texts of the pages.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) locale: Locale,
    pub(super) demo: &'static str,
    pub(super) status: &'static str,
    pub(super) mailbox: &'static str,
    pub(super) shop_time: &'static str,
    pub(super) speed: &'static str,
    pub(super) speed_unit: &'static str,
    pub(super) customers: &'static str,
    pub(super) calls: &'static str,
    pub(super) runs_entered: &'static str,
    pub(super) runs_completed: &'static str,
    pub(super) exits_by_purchase: &'static str,
    pub(super) messages: &'static str,
    pub(super) messages_asked_for: &'static str,
    pub(super) outcomes: &'static str,
    pub(super) decisions: &'static str,
    pub(super) events: &'static str,
    pub(super) time: &'static str,
    pub(super) customer: &'static str,
    pub(super) decision: &'static str,
    pub(super) reason: &'static str,
    pub(super) event: &'static str,
    pub(super) product: &'static str,
    pub(super) cart: &'static str,
    pub(super) to: &'static str,
    pub(super) from: &'static str,
    pub(super) subject: &'static str,
    pub(super) template: &'static str,
    pub(super) why: &'static str,
    pub(super) journey: &'static str,
    pub(super) version: &'static str,
    pub(super) step: &'static str,
    pub(super) due: &'static str,
    pub(super) sent: &'static str,
    pub(super) as_text: &'static str,
    pub(super) unsubscribe: &'static str,
    pub(super) links_do_nothing: &'static str,
    pub(super) nothing_yet: &'static str,
    pub(super) not_here: &'static str,
    pub(super) only_read: &'static str,
    pub(super) added: &'static str,
    pub(super) looked: &'static str,
    pub(super) did: &'static str,
    pub(super) at: &'static str,
    pub(super) and_did_not_buy: &'static str,
}

/// In a language.
pub(super) const fn words(locale: Locale) -> &'static Words {
    match locale {
        Locale::En => &EN,
        Locale::Es => &ES,
    }
}

/// The first language of `Accept-Language` that there are texts in. Browsers list what they prefer first, so the weights
/// are not looked at.
pub(super) fn preferred(accept_language: &str) -> &'static Words {
    let tags = accept_language.split(',').filter_map(|entry| entry.split(';').next());
    words(tags.map(str::trim).find_map(Locale::from_tag).unwrap_or_default())
}

static EN: Words = Words {
    locale: Locale::En,
    demo: "Vuelve, the demo",
    status: "Status",
    mailbox: "Mailbox",
    shop_time: "The shop's time (UTC)",
    speed: "It goes",
    speed_unit: "times as fast as ours",
    customers: "Customers",
    calls: "Events that the shop sent",
    runs_entered: "Journeys entered",
    runs_completed: "Journeys walked to the end",
    exits_by_purchase: "Journeys ended by a purchase",
    messages: "Messages in the mailbox",
    messages_asked_for: "Messages, by journey and step",
    outcomes: "What became of them",
    decisions: "The latest decisions",
    events: "The latest events",
    time: "Time",
    customer: "Customer",
    decision: "Decision",
    reason: "Reason",
    event: "Event",
    product: "Product",
    cart: "Cart",
    to: "To",
    from: "From",
    subject: "Subject",
    template: "Template",
    why: "Why",
    journey: "Journey",
    version: "version",
    step: "Step",
    due: "Due",
    sent: "Sent",
    as_text: "As plain text",
    unsubscribe: "Unsubscribe (at the door)",
    links_do_nothing: "The message is shown without scripts and without the network; its links lead nowhere.",
    nothing_yet: "Nothing yet. The first reminder comes an hour of the shop's time after the first cart was left.",
    not_here: "There is no such page, or the message is not kept any more.",
    only_read: "These pages are only read.",
    added: "put into the cart:",
    looked: "looked at:",
    did: "did:",
    at: "on",
    and_did_not_buy: "and did not buy.",
};

static ES: Words = Words {
    locale: Locale::Es,
    demo: "Vuelve, la demo",
    status: "Estado",
    mailbox: "Buzón",
    shop_time: "Hora de la tienda (UTC)",
    speed: "Avanza",
    speed_unit: "veces más rápido que la nuestra",
    customers: "Clientes",
    calls: "Eventos que envió la tienda",
    runs_entered: "Recorridos empezados",
    runs_completed: "Recorridos hechos hasta el final",
    exits_by_purchase: "Recorridos que acabaron en compra",
    messages: "Mensajes en el buzón",
    messages_asked_for: "Mensajes, por recorrido y paso",
    outcomes: "Qué fue de ellos",
    decisions: "Últimas decisiones",
    events: "Últimos eventos",
    time: "Hora",
    customer: "Cliente",
    decision: "Decisión",
    reason: "Motivo",
    event: "Evento",
    product: "Producto",
    cart: "Carrito",
    to: "Para",
    from: "De",
    subject: "Asunto",
    template: "Plantilla",
    why: "Por qué",
    journey: "Recorrido",
    version: "versión",
    step: "Paso",
    due: "Previsto",
    sent: "Enviado",
    as_text: "En texto plano",
    unsubscribe: "Darse de baja (en la puerta)",
    links_do_nothing: "El mensaje se muestra sin scripts y sin red; sus enlaces no llevan a ninguna parte.",
    nothing_yet: "Todavía nada. El primer recordatorio llega una hora de la tienda después del primer carrito abandonado.",
    not_here: "Esa página no existe, o el mensaje ya no se guarda.",
    only_read: "Estas páginas solo se leen.",
    added: "puso en el carrito:",
    looked: "estuvo viendo:",
    did: "hizo:",
    at: "el",
    and_did_not_buy: "y no compró.",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_language_that_there_are_texts_in_is_taken() {
        assert_eq!(preferred("fr-FR, es-MX;q=0.9, en;q=0.8").locale, Locale::Es);
        assert_eq!(preferred("en-GB,es").locale, Locale::En);
        assert_eq!(preferred("de, ,;q=1").locale, Locale::En);
    }
}
