//! Hooks of the real server: where they run, what they cost, and how their failures show.

mod examples;
mod faults;
mod money;
mod setup;
mod streams;
mod surfaces;
mod tool_calls;
mod wire;
