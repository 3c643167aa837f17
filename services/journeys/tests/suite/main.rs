//! Journeys in the engine's test driver: no broker, no store, no clock.

mod retailrocket;
mod support;
