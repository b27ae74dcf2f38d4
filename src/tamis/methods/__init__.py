"""Sparsifiers: published methods that attach to any model, any torch optimizer and any training loop."""

from tamis.methods._acdc import ACDC
from tamis.methods._checkpoint import SparsifierState
from tamis.methods._collapse import CollapseWarning
from tamis.methods._examples import Examples
from tamis.methods._gmp import GMP
from tamis.methods._grasp import GraSP
from tamis.methods._ledger import Stretch, ledger_rows, measure_layer_costs
from tamis.methods._lottery_ticket import LTHT, LotteryTicket
from tamis.methods._lrr import LRR
from tamis.methods._memorisation import MemorisationProbe
from tamis.methods._one_shot import KeepZeros, OneShot
from tamis.methods._optimizer_state import UnknownStateWarning
from tamis.methods._pair import DensePair
from tamis.methods._returning import Ramp, ReturnAsSaved, ReturnAsZero, ReturnAtRandom
from tamis.methods._snapshot import Snapshot
from tamis.methods._snip import SNIP
from tamis.methods._sparsifier import Sparsifier
from tamis.methods._synflow import SynFlow

__all__ = [
    "ACDC",
    "GMP",
    "LRR",
    "LTHT",
    "SNIP",
    "CollapseWarning",
    "DensePair",
    "Examples",
    "GraSP",
    "KeepZeros",
    "LotteryTicket",
    "MemorisationProbe",
    "OneShot",
    "Ramp",
    "ReturnAsSaved",
    "ReturnAsZero",
    "ReturnAtRandom",
    "Snapshot",
    "Sparsifier",
    "SparsifierState",
    "Stretch",
    "SynFlow",
    "UnknownStateWarning",
    "ledger_rows",
    "measure_layer_costs",
]
