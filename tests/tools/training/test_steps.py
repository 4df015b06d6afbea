"""A step call by call, and a recorded one that does the same."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from chatdit.tools.training.base import BaseRecipe
from chatdit.tools.training.examples import Batch, untold
from chatdit.tools.training.pooled import step_of
from chatdit.tools.training.steps import RecordedStep, eager_step


def _batch(size: int, device: str) -> Batch:
    tokens = torch.arange(size * 8.0, device=device).view(size, 2, 4) / 10
    nothing = torch.zeros(size, 2, dtype=torch.bool, device=device)
    ids, positions = torch.ones(size, 3, dtype=torch.int64, device=device), torch.zeros(2, 3, device=device)
    return Batch(tokens, ids, positions, nothing, untold(size, 1, torch.device(device)))


def _loss(model: nn.Module, batch: Batch) -> Tensor:
    loss: Tensor = model(batch.tokens).square().mean()
    return loss


def test_a_step_leaves_gradients_and_gives_the_loss() -> None:
    model = nn.Linear(4, 2)
    step = step_of(lambda batch: _loss(model, batch), model, BaseRecipe(), torch.device("cpu"))
    loss = step(_batch(3, "cpu"))
    assert not loss.requires_grad and loss > 0
    assert model.weight.grad is not None and model.weight.grad.abs().max() > 0


@pytest.mark.gpu
def test_a_recorded_step_trains_as_one_call_by_call() -> None:
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 2)).cuda()]
    models.append(copy.deepcopy(models[0]))
    losses: list[list[float]] = []
    for model, recorded in zip(models, (False, True), strict=True):
        loss_of = lambda batch, model=model: _loss(model, batch)  # noqa: E731
        step = RecordedStep(loss_of, model) if recorded else eager_step(loss_of)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
        losses.append([])
        for size in (3, 5, 3, 3, 5):
            losses[-1].append(step(_batch(size, "cuda")).item())
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[0][3] < losses[0][2] < losses[0][0]


@pytest.mark.gpu
def test_what_cannot_be_recorded_runs_call_by_call(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Linear(4, 2).cuda()

    def loss_of(batch: Batch) -> Tensor:
        loss = _loss(model, batch)
        return loss * (2.0 if loss.item() > 0 else 1.0)  # reads back from the device

    step = RecordedStep(loss_of, model)
    assert step(_batch(3, "cuda")) > 0 and step(_batch(3, "cuda")) > 0
    assert model.weight.grad is not None and not step.records
    assert "steps are not recorded" in capsys.readouterr().err
