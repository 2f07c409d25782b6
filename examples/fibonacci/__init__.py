"""One recursive function in Python, in Rust, and in Rust called from Python."""
