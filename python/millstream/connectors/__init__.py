"""Sources and sinks that come with millstream, one module per kind of system."""
