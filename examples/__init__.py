"""Dataflows to read, run and change; start them from the repository's root.

``python -m millstream.run examples.wordcount`` runs the `flow` of a module here.
"""
