"""Sparsifiers: published methods that attach to any model, any torch optimizer and any training loop."""

from tamis.methods._acdc import ACDC
from tamis.methods._calibration import CalibrationPruning
from tamis.methods._cap import CAP
from tamis.methods._checkpoint import SparsifierState, masks_of_state
from tamis.methods._collapse import CollapseWarning
from tamis.methods._decay_search import DecaySearch, DecayTrial
from tamis.methods._dpf import DPF
from tamis.methods._dynamic import DynamicSparse
from tamis.methods._examples import Examples
from tamis.methods._fisher_pruning import FisherPruning
from tamis.methods._gmp import GMP
from tamis.methods._grasp import GraSP
from tamis.methods._latent import LatentSparsifier
from tamis.methods._latent_weights import Reparameterisation
from tamis.methods._ledger import Stretch, ledger_rows, measure_layer_costs
from tamis.methods._levels import Levels
from tamis.methods._lottery_ticket import LTHT, LotteryTicket
from tamis.methods._lrr import LRR
from tamis.methods._memorisation import MemorisationProbe
from tamis.methods._mfac import MFAC
from tamis.methods._obert import OBERT
from tamis.methods._one_shot import KeepZeros, OneShot
from tamis.methods._optimizer_state import UnknownStateWarning
from tamis.methods._pair import DensePair
from tamis.methods._powerpropagation import PowerPropagation
from tamis.methods._random_masks import RandomPruning, Static
from tamis.methods._returning import Ramp, ReturnAsSaved, ReturnAsZero, ReturnAtRandom
from tamis.methods._rigl import RigL
from tamis.methods._set import SET
from tamis.methods._snapshot import Snapshot
from tamis.methods._snfs import SNFS
from tamis.methods._snip import SNIP
from tamis.methods._sparse_gpt import SparseGPT
from tamis.methods._sparsifier import Sparsifier
from tamis.methods._sr_ste import SRSTE
from tamis.methods._srigl import SRigL
from tamis.methods._ste import STE
from tamis.methods._str import STR
from tamis.methods._synflow import SynFlow
from tamis.methods._topkast import TopKAST
from tamis.methods._wanda import Wanda
from tamis.methods._wood_fisher import WoodFisher

METHODS: dict[str, type[Sparsifier]] = {
    kind.method: kind
    for kind in (
        *(ACDC, GMP, OneShot, RandomPruning, Static),
        *(SET, RigL, SNFS, SRigL, TopKAST),
        *(STE, DPF, SRSTE, STR),
        *(LotteryTicket, LTHT, LRR),
        *(SNIP, GraSP, SynFlow),
        *(WoodFisher, MFAC, OBERT, CAP, Wanda, SparseGPT),
    )
}
"""The methods that a recipe or a command can name."""

__all__ = [
    "ACDC",
    "CAP",
    "DPF",
    "GMP",
    "LRR",
    "LTHT",
    "METHODS",
    "MFAC",
    "OBERT",
    "SET",
    "SNFS",
    "SNIP",
    "SRSTE",
    "STE",
    "STR",
    "CalibrationPruning",
    "CollapseWarning",
    "DecaySearch",
    "DecayTrial",
    "DensePair",
    "DynamicSparse",
    "Examples",
    "FisherPruning",
    "GraSP",
    "KeepZeros",
    "LatentSparsifier",
    "Levels",
    "LotteryTicket",
    "MemorisationProbe",
    "OneShot",
    "PowerPropagation",
    "Ramp",
    "RandomPruning",
    "Reparameterisation",
    "ReturnAsSaved",
    "ReturnAsZero",
    "ReturnAtRandom",
    "RigL",
    "SRigL",
    "Snapshot",
    "SparseGPT",
    "Sparsifier",
    "SparsifierState",
    "Static",
    "Stretch",
    "SynFlow",
    "TopKAST",
    "UnknownStateWarning",
    "Wanda",
    "WoodFisher",
    "ledger_rows",
    "masks_of_state",
    "measure_layer_costs",
]
