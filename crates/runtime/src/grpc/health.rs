use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

use crate::readiness::Readiness;

/// `grpc.health.v1.Health`, following readiness.
pub(super) struct Health {
    reporter: HealthReporter,
    services: Vec<&'static str>,
}

impl Health {
    pub(super) fn new()
    -> (Self, tonic_health::pb::health_server::HealthServer<impl tonic_health::pb::health_server::Health>) {
        let (reporter, service) = health_reporter();
        // The empty name stands for the whole server.
        (Self { reporter, services: vec![""] }, service)
    }

    pub(super) fn add(&mut self, service: &'static str) {
        self.services.push(service);
    }

    /// Tells every change of readiness on; never ends by itself.
    pub(super) async fn follow(self, readiness: Readiness) {
        let mut reports = readiness.watch();
        loop {
            let is_ready = reports.borrow_and_update().is_ready();
            let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            for service in &self.services {
                self.reporter.set_service_status(*service, status).await;
            }
            if reports.changed().await.is_err() {
                return;
            }
        }
    }
}
