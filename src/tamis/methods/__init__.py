"""Sparsifiers: published methods that attach to any model, any torch optimizer and any training loop."""

from tamis.methods._acdc import ACDC
from tamis.methods._checkpoint import SparsifierState
from tamis.methods._collapse import CollapseWarning
from tamis.methods._decay_search import DecaySearch, DecayTrial
from tamis.methods._dpf import DPF
from tamis.methods._examples import Examples
from tamis.methods._gmp import GMP
from tamis.methods._latent import LatentSparsifier
from tamis.methods._latent_weights import Reparameterisation
from tamis.methods._ledger import ledger_rows, measure_layer_costs
from tamis.methods._memorisation import MemorisationProbe
from tamis.methods._one_shot import KeepZeros, OneShot
from tamis.methods._optimizer_state import UnknownStateWarning
from tamis.methods._pair import DensePair
from tamis.methods._powerpropagation import PowerPropagation
from tamis.methods._returning import Ramp, ReturnAsSaved, ReturnAsZero, ReturnAtRandom
from tamis.methods._snapshot import Snapshot
from tamis.methods._sparsifier import Sparsifier
from tamis.methods._sr_ste import SRSTE
from tamis.methods._ste import STE
from tamis.methods._str import STR

__all__ = [
    "ACDC",
    "DPF",
    "GMP",
    "SRSTE",
    "STE",
    "STR",
    "CollapseWarning",
    "DecaySearch",
    "DecayTrial",
    "DensePair",
    "Examples",
    "KeepZeros",
    "LatentSparsifier",
    "MemorisationProbe",
    "OneShot",
    "PowerPropagation",
    "Ramp",
    "Reparameterisation",
    "ReturnAsSaved",
    "ReturnAsZero",
    "ReturnAtRandom",
    "Snapshot",
    "Sparsifier",
    "SparsifierState",
    "UnknownStateWarning",
    "ledger_rows",
    "measure_layer_costs",
]
