"""A Python-native stateful stream processor with a Rust core.

Dataflows are written in Python and run by an engine in Rust. Start with
`millstream.dataflow` and `millstream.operators`; run them with
``python -m millstream.run`` or with the entry points in `millstream.testing`.
"""

from importlib.metadata import version

__version__ = version("millstream")
