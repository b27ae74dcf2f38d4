"""Sparsifiers: published methods that attach to any model, any torch optimizer and any training loop."""

from tamis.methods._acdc import ACDC
from tamis.methods._calibration import CalibrationPruning
from tamis.methods._cap import CAP
from tamis.methods._checkpoint import SparsifierState
from tamis.methods._collapse import CollapseWarning
from tamis.methods._examples import Examples
from tamis.methods._fisher_pruning import FisherPruning
from tamis.methods._gmp import GMP
from tamis.methods._ledger import ledger_rows, measure_layer_costs
from tamis.methods._memorisation import MemorisationProbe
from tamis.methods._mfac import MFAC
from tamis.methods._obert import OBERT
from tamis.methods._one_shot import KeepZeros, OneShot
from tamis.methods._optimizer_state import UnknownStateWarning
from tamis.methods._pair import DensePair
from tamis.methods._returning import Ramp, ReturnAsSaved, ReturnAsZero, ReturnAtRandom
from tamis.methods._snapshot import Snapshot
from tamis.methods._sparse_gpt import SparseGPT
from tamis.methods._sparsifier import Sparsifier
from tamis.methods._wanda import Wanda
from tamis.methods._wood_fisher import WoodFisher

__all__ = [
    "ACDC",
    "CAP",
    "GMP",
    "MFAC",
    "OBERT",
    "CalibrationPruning",
    "CollapseWarning",
    "DensePair",
    "Examples",
    "FisherPruning",
    "KeepZeros",
    "MemorisationProbe",
    "OneShot",
    "Ramp",
    "ReturnAsSaved",
    "ReturnAsZero",
    "ReturnAtRandom",
    "Snapshot",
    "SparseGPT",
    "Sparsifier",
    "SparsifierState",
    "UnknownStateWarning",
    "Wanda",
    "WoodFisher",
    "ledger_rows",
    "measure_layer_costs",
]
