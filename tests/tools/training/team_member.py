"""One process of two that train together; prints what it ends with, for test_team.py to compare."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from chatdit.tools.dit.autoencoder import AutoencoderConfig, PocketAutoencoder
from chatdit.tools.training.base import SMALL_RECIPE, train_base
from chatdit.tools.training.team import team

RECIPE = replace(SMALL_RECIPE, steps=2, warmup=1, blocks=(1, 1), batches={1: 2}, shares={1: 1.0}, pool=8, chunk=4)


def main(out: Path) -> None:
    with team(torch.device("cpu")) as members:
        weight = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(weight.weight, 5.0 + members.rank)
        members.share(weight)
        weight(torch.tensor([[1.0 + 2 * members.rank]])).sum().backward()
        members.average_gradients(weight.parameters())
        assert weight.weight.grad is not None
        torch.manual_seed(0)
        narrow = AutoencoderConfig(
            encoder_widths=(8, 16), encoder_blocks=(1, 1), decoder_widths=(16, 8, 8), decoder_blocks=(1, 1, 1)
        )
        trained = train_base(out, PocketAutoencoder(narrow).eval(), RECIPE, team=members, seed=0)
        digest = hashlib.sha256()
        for parameter in trained.parameters():
            digest.update(parameter.detach().numpy().tobytes())
        print(
            json.dumps(
                {
                    "rank": members.rank,
                    "agreed": members.agree(10.0 + members.rank),
                    "shared": weight.weight.item(),
                    "gradient": weight.weight.grad.item(),
                    "weights": digest.hexdigest(),
                }
            )
        )


main(Path(sys.argv[1]))
