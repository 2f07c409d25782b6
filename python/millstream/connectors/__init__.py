"""Sources and sinks that come with millstream, one module per kind of system."""

from pkgutil import extend_path

# Other distributions may add connectors.
__path__ = extend_path(__path__, __name__)
