//! What good definitions say once they are read.

use definitions::{
    Action, Awaited, Change, Channel, Consent, Definition, Definitions, Field, Folder, Journey, Kind, SourceFile,
    TimeOfDay, Tracking, Trigger, Wait, Zone, changes, digest, load, parse_document,
};
use domain::{HumanDuration, Locale};

use crate::folder::{one_file, read, workspace};

fn loaded(folder: &Folder) -> Definitions {
    load(folder, &|_| None).unwrap_or_else(|diagnostics| {
        panic!("{}", diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

const EVERYTHING: &str = "
journey: cart-recovery
version: 3
trigger: [ { event: Product Added }, Checkout Started ]
correlate: cart_id
goal: { event: Order Completed, within: 7d }
exit: [ { event: Order Completed, same: cart_id } ]
reentry: { after: 7d }
holdout: 2.5%
steps:
  - wait: 1h30m
    restart_on: [ { event: Product Added, same: cart_id } ]
  - message: { as: first, template: reminder, channel: [push, email], category: cart, expires: 6h }
  - wait: { until: '09:00', time_zone: Europe/Madrid }
  - wait: { as: answer, for: [ { event: Email Link Clicked, about: first }, { outcome: failed, about: first } ], timeout: 3d }
  - when: \"!run.first.clicked && run.answer.timed_out\"
    then:
      - message: { template: reminder }
    else: [ end ]
---
template: reminder
from_name: The shop
es: { subject: Hola, preheader: Una cosa, body: <mjml></mjml> }
---
messaging: default
categories:
  cart: { priority: 80 }
  marketing: { priority: 40, consent: marketing }
  transactional: { priority: 100, consent: none }
";

fn journey(definitions: &Definitions) -> &Journey {
    definitions.journeys().next().expect("a journey")
}

#[test]
fn a_journey_says_what_it_says() {
    let definitions = loaded(&one_file(EVERYTHING));
    assert!(definitions.warnings.is_empty(), "{:?}", definitions.warnings);
    let journey = journey(&definitions);
    assert_eq!((&*journey.name, journey.version), ("cart-recovery", 3));
    assert_eq!(journey.triggers.iter().map(Trigger::event).collect::<Vec<_>>(), ["Product Added", "Checkout Started"]);
    assert_eq!(journey.correlate, Some(Field::CartId));
    assert_eq!(journey.goal.as_ref().map(|goal| goal.within), Some(HumanDuration::from_hours(7 * 24)));
    assert_eq!(journey.exits[0].same, Some(Field::CartId));
    assert_eq!(journey.reentry, HumanDuration::from_hours(7 * 24));
    assert_eq!(journey.holdout.basis_points(), 250);
    let labels: Vec<_> = journey.all_steps().iter().map(|step| step.label.to_string()).collect();
    assert_eq!(labels, ["1", "first", "3", "answer", "5", "5.then.1", "5.else.1"]);

    let Action::Wait(wait) = &journey.steps[0].action else { panic!() };
    assert_eq!(wait.wait, Wait::Duration(HumanDuration::from_millis(5_400_000)));
    assert_eq!(&*wait.restart_on[0].event, "Product Added");
    let Action::Message(message) = &journey.steps[1].action else { panic!() };
    assert_eq!(message.channels, [Channel::Push, Channel::Email]);
    assert_eq!((&*message.category, message.expires), ("cart", HumanDuration::from_hours(6)));
    let Action::Wait(wait) = &journey.steps[2].action else { panic!() };
    let Wait::Until { at, zone: Zone::Named(zone) } = &wait.wait else { panic!() };
    assert_eq!((*at, zone.iana_name()), (TimeOfDay::parse("09:00").unwrap(), Some("Europe/Madrid")));
    let Action::Wait(wait) = &journey.steps[3].action else { panic!() };
    let Wait::For { what, timeout } = &wait.wait else { panic!() };
    assert!(matches!(&what[0], Awaited::Event { about: Some(about), .. } if &**about == "first"));
    assert!(matches!(&what[1], Awaited::Outcome { outcomes, .. } if &*outcomes[0] == "failed"));
    assert_eq!(*timeout, HumanDuration::from_hours(72));
    let Action::When(when) = &journey.steps[4].action else { panic!() };
    assert_eq!(when.condition.reads().steps.len(), 2);
    assert!(when.condition.reads().outcomes.is_empty());
    let Action::Message(message) = &when.then[0].action else { panic!() };
    assert_eq!((&*message.category, message.expires), ("marketing", HumanDuration::from_hours(12)));
    assert_eq!(when.otherwise[0].action, Action::End { reason: None });
}

#[test]
fn a_template_is_found_by_language_and_else_in_the_one_there_is() {
    let definitions = loaded(&one_file(EVERYTHING));
    let template = definitions.templates().next().unwrap();
    assert_eq!(template.from_name.as_deref(), Some("The shop"));
    for locale in [Some(Locale::Es), Some(Locale::En), None] {
        let (found, text) = template.text(locale).unwrap();
        assert_eq!((found, &*text.subject, text.preheader.as_deref()), (Locale::Es, "Hola", Some("Una cosa")));
    }
}

#[test]
fn a_template_that_lets_less_be_told_says_so_also_as_the_record_that_it_becomes() {
    for (line, tracking) in [
        ("", Tracking { opens: true, clicks: true }),
        ("tracking: { clicks: false }", Tracking { opens: true, clicks: false }),
        ("tracking: { opens: false, clicks: true }", Tracking { opens: false, clicks: true }),
    ] {
        let definitions = loaded(&one_file(&EVERYTHING.replace("from_name: The shop", line)));
        let template = definitions.templates().next().unwrap();
        assert_eq!(template.tracking, tracking);
        let document = definitions.documents.iter().find(|document| document.kind == Kind::Template).unwrap();
        let Ok(Definition::Template(read)) = parse_document(Kind::Template, "reminder", &document.body) else {
            panic!()
        };
        assert_eq!(read.tracking, tracking);
        assert_eq!(document.body.contains("tracking"), tracking != Tracking::default());
    }
}

#[test]
fn a_category_without_a_word_on_consent_is_marketing() {
    let definitions = loaded(&one_file(EVERYTHING));
    let messaging = definitions.messaging().unwrap();
    assert_eq!(messaging.categories["cart"].consent, Consent::Marketing);
    assert!(messaging.categories["transactional"].transactional());
    assert_eq!(messaging.categories["cart"].priority, 80);
}

/// Without the name of the file that a body came from: in the record it is part of the text.
fn without_files(mut definition: Definition) -> Definition {
    if let Definition::Template(template) = &mut definition {
        template.texts.values_mut().for_each(|text| text.body_file = None);
    }
    definition
}

#[test]
fn a_document_travels_as_its_text_and_is_read_again_as_the_same() {
    for folder in [one_file(EVERYTHING), read(&workspace().join("presets/basic"))] {
        for document in loaded(&folder).documents {
            let again = parse_document(document.kind, &document.name, &document.body).unwrap();
            assert_eq!(without_files(again), without_files(document.definition.clone()), "{}", document.key());
            assert_eq!(document.digest, digest(&document.body));
            assert_eq!(document.digest.len(), 64);
        }
    }
}

#[test]
fn a_body_from_a_file_of_its_own_travels_with_its_document() {
    let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
    let text = "template: t\nes: { subject: 'Hola: {{ customer.first_name }}', body_file: bodies/t.es.mjml }\n";
    let files = vec![file("mail/t.yaml", text), file("mail/bodies/t.es.mjml", "<mjml>\n  \"Hola\"\n</mjml>\n")];
    let definitions = loaded(&Folder { name: "test".to_owned(), files });
    let document = &definitions.documents[0];
    let Definition::Template(template) = parse_document(Kind::Template, "t", &document.body).unwrap() else { panic!() };
    let (_, text) = template.text(None).unwrap();
    assert_eq!(&*text.body, "<mjml>\n  \"Hola\"\n</mjml>\n");
    assert_eq!(&*text.subject, "Hola: {{ customer.first_name }}");
    let Definition::Template(template) = &document.definition else { panic!() };
    assert_eq!(template.texts[&Locale::Es].body_file.as_deref(), Some("mail/bodies/t.es.mjml"));
}

#[test]
fn a_folder_takes_the_place_of_what_it_extends_document_by_document() {
    let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
    let folder = |name: &str, files: Vec<SourceFile>| Folder { name: name.to_owned(), files };
    let template = |subject: &str| format!("template: t\nen: {{ subject: {subject}, body: <mjml></mjml> }}\n");
    let journey = "journey: j\ntrigger: Product Added\nsteps: [ { message: { template: t } } ]\n";
    let messaging = "messaging: default\ncategories: { marketing: {} }\n";
    let base =
        folder("base", vec![file("t.yaml", &template("Theirs")), file("j.yaml", journey), file("m.yaml", messaging)]);
    let own = folder("own", vec![file("preset.yaml", "extends: base\n"), file("t.yaml", &template("Ours"))]);
    let definitions = load(&own, &|name| (name == "base").then(|| base.clone())).unwrap();
    let names: Vec<_> = definitions.documents.iter().map(definitions::Document::key).collect();
    assert_eq!(names, ["journey/j/1", "template/t/1", "messaging/default/1"]);
    assert_eq!(&*definitions.templates().next().unwrap().texts[&Locale::En].subject, "Ours");
}

#[test]
fn the_basic_preset_is_sound_and_in_both_languages() {
    let definitions = loaded(&read(&workspace().join("presets/basic")));
    assert!(definitions.warnings.is_empty());
    let journeys: Vec<_> = definitions.journeys().map(|journey| journey.name.to_string()).collect();
    assert_eq!(journeys, ["browse-follow-up", "cart-recovery"]);
    for template in definitions.templates() {
        assert_eq!(template.texts.len(), 2, "{}", template.name);
        for text in template.texts.values() {
            assert!(text.body.contains("{{ unsubscribe_url }}") && text.body.contains("shop.name"));
        }
    }
}

#[test]
fn a_record_is_what_its_key_says() {
    let body = "journey: j\ntrigger: Product Added\nsteps: [ end ]\n";
    assert!(parse_document(Kind::Journey, "j", body).is_ok());
    for (kind, name) in [(Kind::Journey, "other"), (Kind::Template, "j")] {
        let said = parse_document(kind, name, body).unwrap_err();
        assert!(said[0].message.contains("that the record's key names"), "{said:?}");
    }
    assert!(parse_document(Kind::Journey, "j", "").is_err());
    assert!(parse_document(Kind::Journey, "j", &format!("{body}---\n{body}")).is_err());
    assert_eq!(parse_document(Kind::Control, "j", ""), Ok(Definition::Control));
}

#[test]
fn applying_writes_what_is_new_or_says_something_else_and_never_changes_a_version_of_a_journey() {
    let folder = |wait: &str, comment: &str| {
        one_file(&format!(
            "{comment}\njourney: j\nversion: 2\ntrigger: Product Added\nsteps: [ {{ wait: {wait} }} ]\n---\nmessaging: default\ncategories: {{ {comment}\n cart: {{}} }}\n"
        ))
    };
    let kinds = |folder: &Folder, current: &Definitions| -> Vec<Change> {
        let find = |key: &str| {
            let found = current.documents.iter().find(|document| document.key() == key);
            found.map(|document| document.body.clone())
        };
        changes(&loaded(folder), &find).unwrap().into_iter().map(|(_, change)| change).collect()
    };
    let first = loaded(&folder("1h", ""));
    assert_eq!(kinds(&folder("1h", ""), &Definitions::default()), [Change::New, Change::New]);
    assert_eq!(kinds(&folder("1h", ""), &first), [Change::None, Change::None]);
    assert_eq!(kinds(&folder("60m", "# the same"), &first), [Change::Text, Change::Text]);
    let find = |key: &str| {
        let found = first.documents.iter().find(|document| document.key() == key);
        found.map(|document| document.body.clone())
    };
    let said = changes(&loaded(&folder("2h", "")), &find).unwrap_err();
    assert_eq!(
        said[0].to_string(),
        "test.yaml:2:1: error: version 2 of the journey `j` is in force and says something else; raise `version`: runs end on the version that they began with"
    );
}
