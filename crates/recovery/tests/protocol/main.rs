//! The protocol, driven by a small simulated world.
