"""Ports that more than one room uses. A port that one room uses lives in that room.

Arrow is the interchange format between ports (`pyarrow` appears in annotations only), and an
Ibis backend is how a room asks the lake a question.
"""

from __future__ import annotations

from onward.core.ports.compute import Compute, Tracker
from onward.core.ports.features import Entity, Lookup, OnlineRow, OnlineStore, RequestFeatures
from onward.core.ports.lake import Change, Erased, Lake, Rows, Snapshot, Staged, Swept
from onward.core.ports.ledger import Ledger
from onward.core.ports.masks import Masks
from onward.core.ports.secrets import Secret, SecretEntry, Secrets
from onward.core.ports.servers import Server, Servers
from onward.core.ports.workflows import Steps, Workflows

__all__ = [
    "Change",
    "Compute",
    "Entity",
    "Erased",
    "Lake",
    "Ledger",
    "Lookup",
    "Masks",
    "OnlineRow",
    "OnlineStore",
    "RequestFeatures",
    "Rows",
    "Secret",
    "SecretEntry",
    "Secrets",
    "Server",
    "Servers",
    "Snapshot",
    "Staged",
    "Steps",
    "Swept",
    "Tracker",
    "Workflows",
]
