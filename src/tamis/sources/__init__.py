"""Which of many untrusted data sources to learn from, before fair learning (FLEA, TMLR 2022; extra ``tamis[fair]``)."""

from tamis.sources._adversarial import AdversarialClassifier
from tamis.sources._adversary import Adversary, Manipulated
from tamis.sources._baselines import NaiveClassifier, OracleClassifier
from tamis.sources._classifier import FLEAClassifier
from tamis.sources._datasets import load_acs51, load_adult, load_compas, load_drugs, load_german, load_tabular
from tamis.sources._dro import DROClassifier
from tamis.sources._ensemble import RobustEnsembleClassifier
from tamis.sources._explain import SourceAccount, explain_sources
from tamis.sources._federated import FederatedSource, SourceClient, message_from_bytes, message_to_bytes
from tamis.sources._flea import FLEA
from tamis.sources._hterm import HTERMClassifier
from tamis.sources._konstantinov import KonstantinovClassifier
from tamis.sources._manipulations import ADVERSARIES, CODES, manipulate
from tamis.sources._measures import fairness_measures
from tamis.sources._openml import load_adult_openml, load_openml
from tamis.sources._postprocessed import PostprocessedClassifier
from tamis.sources._protocol import Split, bad_sources, split_sources
from tamis.sources._regularised import RegularisedClassifier
from tamis.sources._resampled import ResampledClassifier, independent_rows
from tamis.sources._roles import SieveOptions
from tamis.sources._sieve import Sieved, sieve_table
from tamis.sources._source import Source, as_source, pooled
from tamis.sources._stress import Stress, StressResult, stress_sources
from tamis.sources._stress_table import stress_table
from tamis.sources._table import DataTable, check_target, read_table, write_rows
from tamis.sources._tabular import TabularData
from tamis.sources._unaware import UnawareClassifier

__all__ = [
    "ADVERSARIES",
    "CODES",
    "FLEA",
    "AdversarialClassifier",
    "Adversary",
    "DROClassifier",
    "DataTable",
    "FLEAClassifier",
    "FederatedSource",
    "HTERMClassifier",
    "KonstantinovClassifier",
    "Manipulated",
    "NaiveClassifier",
    "OracleClassifier",
    "PostprocessedClassifier",
    "RegularisedClassifier",
    "ResampledClassifier",
    "RobustEnsembleClassifier",
    "SieveOptions",
    "Sieved",
    "Source",
    "SourceAccount",
    "SourceClient",
    "Split",
    "Stress",
    "StressResult",
    "TabularData",
    "UnawareClassifier",
    "as_source",
    "bad_sources",
    "check_target",
    "explain_sources",
    "fairness_measures",
    "independent_rows",
    "load_acs51",
    "load_adult",
    "load_adult_openml",
    "load_compas",
    "load_drugs",
    "load_german",
    "load_openml",
    "load_tabular",
    "manipulate",
    "message_from_bytes",
    "message_to_bytes",
    "pooled",
    "read_table",
    "sieve_table",
    "split_sources",
    "stress_sources",
    "stress_table",
    "write_rows",
]
