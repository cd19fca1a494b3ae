"""Engines: one runtime per file of this folder, and the listing of the folder is the registry.

An exporter is a module with `EXPORTER`, which builds an engine from the graph of a whole generation. What runs the
engine is the runtime's file in serving/backend/runners, the same one here and in the server.
"""

from gentrainers.exporters._base import Built, Exporter, Options, exporter, names
from gentrainers.exporters._errors import NotBuilt
from gentrainers.exporters._graph import Graph

__all__ = ["Built", "Exporter", "Graph", "NotBuilt", "Options", "exporter", "names"]
