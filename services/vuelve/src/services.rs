//! Which services a process hosts.

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::ValueEnum;
use runtime::config::{Config, Layout};
use runtime::host::Host;

use crate::hosting::{self, Channel, Installation, Need, Views};

/// A service, or one role of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum ServiceName {
    /// Ingestion's HTTP side: takes events and answers once the broker has them.
    Door,
    /// Ingestion's worker: drops repeats and puts each event under its customer.
    Resolver,
    /// Both roles of ingestion.
    Ingestion,
    /// Who each customer is, and the segments that she is in.
    Segmentation,
    /// Who is where in which journey.
    Journeys,
    /// Renders and sends.
    Messaging,
}

impl ServiceName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ingestion, Self::Segmentation, Self::Journeys, Self::Messaging];

    /// Its word on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Door => "door",
            Self::Resolver => "resolver",
            Self::Ingestion => "ingestion",
            Self::Segmentation => "segmentation",
            Self::Journeys => "journeys",
            Self::Messaging => "messaging",
        }
    }
}

/// What services need beside a valid configuration.
fn needs(services: &[ServiceName]) -> BTreeSet<Need> {
    let of_one = |service: &ServiceName| match service {
        ServiceName::Door | ServiceName::Ingestion => {
            &[Need::WriteKeys, Need::Webhooks, Need::Certificate, Need::LinkKeys, Need::AddressSecret][..]
        }
        ServiceName::Messaging => &[Need::LinkKeys, Need::AddressSecret, Need::Mail][..],
        ServiceName::Segmentation => &[Need::LookupCertificates, Need::ErasersSecret],
        ServiceName::Journeys => &[Need::LookupCertificates],
        ServiceName::Resolver => &[],
    };
    services.iter().flat_map(of_one).copied().collect()
}

/// The layout of a process that runs these services: what they need is told with everything else that is wrong.
pub fn layout(services: &[ServiceName]) -> Layout {
    let needs = needs(services);
    hosting::layout().check(move |config, findings| needs.iter().for_each(|need| need.check(config, findings)))
}

/// The layout of somebody who looks at a configuration: beside what the services need, all that it names.
pub fn layout_of_all(services: &[ServiceName]) -> Layout {
    let needs = needs(services);
    hosting::layout().check(move |config, findings| {
        for need in needs.union(&Need::given(config)) {
            need.check(config, findings);
        }
    })
}

/// Adds services to a host. Messages leave by `channel`, or else as the configuration says. Returns where the door
/// listens over HTTP, if there is one.
pub async fn add(
    host: &mut Host,
    config: &Config,
    installation: &Installation,
    services: &[ServiceName],
    channel: Option<(messaging::Settings, Arc<dyn Channel>)>,
) -> anyhow::Result<Option<std::net::SocketAddr>> {
    let wants = |names: &[ServiceName]| names.iter().any(|name| services.contains(name));
    let (mut door, mut views) = (None, Views::default());
    if wants(&[ServiceName::Door, ServiceName::Ingestion]) {
        door = Some(hosting::add_door(host, config, installation).await?.http);
    }
    if wants(&[ServiceName::Resolver, ServiceName::Ingestion]) {
        hosting::add_resolver(host, config, installation).await?;
    }
    if wants(&[ServiceName::Segmentation]) {
        views.segmentation = Some(hosting::add_segmentation(host, config, installation).await?);
    }
    if wants(&[ServiceName::Journeys]) {
        views.journeys = Some(hosting::add_journeys(host, config, installation).await?);
    }
    hosting::add_lookups(host, config, installation, views).await?;
    if wants(&[ServiceName::Messaging]) {
        let (settings, channel) = if let Some(given) = channel {
            given
        } else {
            let settings = hosting::messaging_settings(config, installation.replay);
            let channel = hosting::channel(host, config, &settings)?;
            (settings, channel)
        };
        hosting::add_messaging(host, config, installation, settings, channel).await?;
    }
    Ok(door)
}
