"""Which of many untrusted data sources to learn from, before fair learning (FLEA, TMLR 2022; extra ``tamis[fair]``)."""

from tamis.sources._classifier import FLEAClassifier
from tamis.sources._explain import SourceAccount, explain_sources
from tamis.sources._federated import FederatedSource, SourceClient, message_from_bytes, message_to_bytes
from tamis.sources._flea import FLEA
from tamis.sources._sieve import Sieved, SieveOptions, sieve_table
from tamis.sources._table import DataTable, check_target, read_table, write_rows

__all__ = [
    "FLEA",
    "DataTable",
    "FLEAClassifier",
    "FederatedSource",
    "SieveOptions",
    "Sieved",
    "SourceAccount",
    "SourceClient",
    "check_target",
    "explain_sources",
    "message_from_bytes",
    "message_to_bytes",
    "read_table",
    "sieve_table",
    "write_rows",
]
