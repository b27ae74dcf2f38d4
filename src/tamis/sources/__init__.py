"""Which of many untrusted data sources to learn from, before fair learning (FLEA, TMLR 2022; extra ``tamis[fair]``)."""

from tamis.sources._classifier import FLEAClassifier
from tamis.sources._federated import FederatedSource, SourceClient, message_from_bytes, message_to_bytes
from tamis.sources._flea import FLEA

__all__ = [
    "FLEA",
    "FLEAClassifier",
    "FederatedSource",
    "SourceClient",
    "message_from_bytes",
    "message_to_bytes",
]
