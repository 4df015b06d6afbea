"""Every policy by the name a person gives; policies that need a table or settings take them as arguments."""

from __future__ import annotations

from chatdit.kernels.policies.adaspa import AdaSpa
from chatdit.kernels.policies.clear import Clear
from chatdit.kernels.policies.draft import Draft
from chatdit.kernels.policies.efficient_vdit import EfficientVdit
from chatdit.kernels.policies.llsa import Llsa
from chatdit.kernels.policies.nabla import Nabla
from chatdit.kernels.policies.sparse_vdit import SparseVdit
from chatdit.kernels.policies.svg2 import Svg2
from chatdit.kernels.policies.tesa import Tesa
from chatdit.kernels.policies.vsa import Vsa

POLICIES = {
    "llsa": Llsa,
    "clear": Clear,
    "draft": Draft,
    "svg2": Svg2,
    "adaspa": AdaSpa,
    "nabla": Nabla,
    "vsa": Vsa,
    "efficient-vdit": EfficientVdit,
    "sparse-vdit": SparseVdit,
    "tesa": Tesa,
}
