//! Journeys in the engine's test driver: no broker, no store, no clock.

mod conditions;
mod contract;
mod control;
mod entering;
mod identity;
mod messages;
mod properties;
mod retailrocket;
mod segments;
mod support;
mod waiting;
