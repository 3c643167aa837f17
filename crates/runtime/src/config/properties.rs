use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::secret::{Secret, SecretFile};

/// Properties that are handed to the Kafka client as they are: TLS, SASL, tuning.
///
/// Written flat (`"security.protocol" = "SASL_SSL"`), nested (`[kafka.properties.ssl] ca.location = …`) or, in the
/// environment, with `_` for `.` (`VUELVE__KAFKA__PROPERTIES__SASL_PASSWORD`). Passwords and keys are [`Secret`]s.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientProperties {
    plain: BTreeMap<String, String>,
    secret: BTreeMap<String, Secret>,
}

/// What exactly-once rests on, or what has a key of its own.
const OURS: [&str; 15] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "transactional.id",
    "transaction.timeout.ms",
    "session.timeout.ms",
    "enable.idempotence",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "partition.assignment.strategy",
    "isolation.level",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "partitioner",
];

/// More than any client has.
const MAX_PROPERTIES: usize = 200;

impl ClientProperties {
    /// All of them, secrets included: only for the client.
    pub fn expose(&self) -> impl Iterator<Item = (&str, &str)> {
        let plain = self.plain.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        plain.chain(self.secret.iter().map(|(key, value)| (key.as_str(), value.expose())))
    }

    /// A property that is no secret.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.plain.get(name).map(String::as_str)
    }
}

fn is_secret(name: &str) -> bool {
    let secret = ["password", "secret", "key.pem", "jaas.config", "oauthbearer.config", "credentials"];
    secret.iter().any(|word| name.ends_with(word))
}

impl<'de> Deserialize<'de> for ClientProperties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Root;

        impl<'de> Visitor<'de> for Root {
            type Value = ClientProperties;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of client properties")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ClientProperties, A::Error> {
                let mut properties = ClientProperties::default();
                read_table(map, "", &mut properties)?;
                Ok(properties)
            }
        }

        deserializer.deserialize_map(Root)
    }
}

fn read_table<'de, A: MapAccess<'de>>(mut map: A, above: &str, into: &mut ClientProperties) -> Result<(), A::Error> {
    while let Some(key) = map.next_key::<String>()? {
        // Client properties have no `_` in their names, and environment variables no `.`.
        let is_file = key.ends_with("_file");
        let name = format!("{above}{}", key.strip_suffix("_file").unwrap_or(&key).replace('_', "."));
        map.next_value_seed(Property { name, is_file, into })?;
    }
    Ok(())
}

/// Reads one property, or a table of properties whose names begin with this one's.
struct Property<'p> {
    name: String,
    is_file: bool,
    into: &'p mut ClientProperties,
}

impl<'de> DeserializeSeed<'de> for Property<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.is_file {
            let SecretFile(secret) = SecretFile::deserialize(deserializer)?;
            self.into.secret.insert(self.name, secret);
            return Ok(());
        }
        if is_secret(&self.name) {
            self.into.secret.insert(self.name, Secret::deserialize(deserializer)?);
            return Ok(());
        }
        deserializer.deserialize_any(self)
    }
}

impl Property<'_> {
    fn keep<E: de::Error>(self, value: String) -> Result<(), E> {
        if OURS.contains(&self.name.as_str()) {
            return Err(E::custom(format_args!(
                "`{}` is set by Vuelve itself: exactly-once rests on it, or it has a key of its own in [kafka]",
                self.name
            )));
        }
        if self.into.plain.len() >= MAX_PROPERTIES {
            return Err(E::custom(format_args!("more than {MAX_PROPERTIES} client properties are not taken")));
        }
        self.into.plain.insert(self.name, value);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Property<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true or false")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<(), E> {
        self.keep(value.to_owned())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.keep(value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.keep(value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.keep(value.to_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        read_table(map, &format!("{}.", self.name), self.into)
    }
}
