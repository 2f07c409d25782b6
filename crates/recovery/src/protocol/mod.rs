//! What to do, decided from facts.
