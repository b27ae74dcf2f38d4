"""Other implementations, measured beside ours where they are installed."""

from tamis.bench.peers._base import Network, NotServed, Peer
from tamis.bench.peers._csr import CSR, SCIPY
from tamis.bench.peers._onnxruntime import ONNXRUNTIME
from tamis.bench.peers._sparselab import SPARSELAB
from tamis.bench.peers._sparseprop import SPARSEPROP
from tamis.bench.peers._torch import COMPILE, DENSE, DENSE_FORMS, fold_batch_norm

PEERS: dict[str, Peer] = {peer.name: peer for peer in (DENSE, COMPILE, CSR, SCIPY, SPARSELAB, SPARSEPROP, ONNXRUNTIME)}

__all__ = ["DENSE_FORMS", "PEERS", "Network", "NotServed", "Peer", "fold_batch_norm"]
