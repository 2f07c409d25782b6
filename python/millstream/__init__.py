"""A Python-native stateful stream processor with a Rust core.

Dataflows are written in Python and run by an engine in Rust. Start with
`millstream.dataflow` and `millstream.operators`; run them with
``python -m millstream.run`` or with the entry points in `millstream.testing`.
"""

from importlib.metadata import version
from pkgutil import extend_path

# Other distributions may add modules, such as `millstream.connectors.something`.
__path__ = extend_path(__path__, __name__)

__version__ = version("millstream")
