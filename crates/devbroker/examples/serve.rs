//! Runs the broker and its registry until Ctrl-C: `serve [BROKER_ADDRESS [REGISTRY_ADDRESS]]`.

use devbroker::{DevBroker, DevBrokerConfig, banner};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().as_deref().unwrap_or("127.0.0.1:9092").parse()?;
    let registry_listen = Some(arguments.next().as_deref().unwrap_or("127.0.0.1:8081").parse()?);
    let broker = DevBroker::start(DevBrokerConfig { listen, registry_listen, ..DevBrokerConfig::default() }).await?;
    println!("{}", banner(&broker));
    tokio::signal::ctrl_c().await?;
    broker.shutdown().await;
    Ok(())
}
