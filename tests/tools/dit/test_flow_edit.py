"""FlowEdit on tiny real models: neutral it changes nothing, and it is the algorithm of its paper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from chatdit.tools.dit import edited_rows
from chatdit.tools.dit.model import DiT, Row, SamplingOptions, Segment
from chatdit.tools.dit.packing import pack, unpack
from chatdit.tools.dit.rows import EditSource
from chatdit.tools.dit.schedule import noise_levels

PACK = 4
"""Cells on the side of a token of the tiny pocket."""


def painted(side: int = 64) -> Segment:
    known = (torch.rand(3, side, side, generator=torch.Generator().manual_seed(4)) - 0.5).clamp(-1, 1)
    return Segment(side, side, known=known)


def flow(caption: str = "a dog", shown: str = "a cat", side: int = 64, seed: int = 1, **source: float) -> Row:
    return Row(caption, (painted(side),), seed, "edited", source=EditSource(shown, **source))  # type: ignore[arg-type]


def picture(dit: DiT, row: Row, **options: object) -> Tensor:
    return dit.sample([row], sampling=SamplingOptions(**options))[0].images[0]  # type: ignore[arg-type]


def as_given(side: int = 64) -> Tensor:
    known = painted(side).known
    assert known is not None
    return known / 2 + 0.5


@pytest.fixture
def all_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pixel of an edited picture is as the autoencoder shows it, however little it has changed."""
    monkeypatch.setattr(edited_rows, "UNCHANGED", 0.0)
    monkeypatch.setattr(edited_rows, "CHANGED", 1e-12)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_equal_captions_change_nothing(guidance: float, pocket: DiT, flux_folder: Callable[[bool], Path]) -> None:
    assert torch.equal(picture(pocket, flow("a cat", guidance=guidance), guidance=guidance), as_given())
    for distilled in (True, False):
        dit = DiT.load(flux_folder(distilled), device="cpu")
        same = flow("a cat", side=32, guidance=guidance)
        assert torch.equal(picture(dit, same, steps=3, guidance=guidance), as_given(32))


@pytest.mark.parametrize("distilled", [True, False])
def test_another_caption_and_another_guidance_change_something(
    distilled: bool, flux_folder: Callable[[bool], Path]
) -> None:
    dit = DiT.load(flux_folder(distilled), device="cpu")
    assert (picture(dit, flow(side=32), steps=3, guidance=1.0) - as_given(32)).abs().max() > 1e-4
    assert (picture(dit, flow("a cat", side=32), steps=3, guidance=4.0) - as_given(32)).abs().max() > 1e-4


def test_a_seed_is_a_picture_and_noise_is_fresh_at_every_step(pocket: DiT, all_new: None) -> None:
    fed: list[Tensor] = []
    hook: Any = pocket.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: fed.append(kwargs["hidden_states"]), with_kwargs=True
    )
    try:
        first = picture(pocket, flow(draws=2), guidance=1.0, steps=2)
    finally:
        hook.remove()
    assert torch.equal(first, picture(pocket, flow(draws=2), guidance=1.0, steps=2))
    assert not torch.equal(first, picture(pocket, flow(draws=2, seed=2), guidance=1.0, steps=2))
    sources = [call[1] for call in fed]
    assert len(sources) == 4
    assert torch.equal(fed[0][0], fed[0][1]), "before the first step there is no difference yet"
    assert all(not torch.equal(a, b) for i, a in enumerate(sources) for b in sources[i + 1 :])


@pytest.mark.parametrize("guidance", [(1.0, 1.0), (1.0, 3.0), (1.5, 3.0)])
def test_it_is_the_papers_algorithm(guidance: tuple[float, float], pocket: DiT, all_new: None) -> None:
    """Algorithm 1 of arXiv 2412.08629, written down again over plain forwards of the transformer."""
    steps, done, draws = 4, 3, 2
    row = flow(start=done / steps, draws=draws, guidance=guidance[0])
    known = row.segments[0].known
    assert known is not None and row.source is not None
    clean = pack(pocket.images.encode(known[None])[0], PACK)[None]
    levels = noise_levels({"shift": 2.0}, steps, clean.shape[1], 2.0)
    generator, z = torch.Generator().manual_seed(row.seed), clean
    for level, following in list(pairwise(levels))[steps - done :]:
        change = torch.zeros_like(z)
        for _ in range(draws):
            noise = torch.randn(clean.shape[1:], generator=generator)[None]
            source = (1 - level) * clean + level * noise
            target = z + source - clean
            wanted = _velocity(pocket, target, level, row.caption, guidance[1])
            change += wanted - _velocity(pocket, source, level, row.source.caption, guidance[0])
        z = z + (following - level) * change / draws
    expected = pocket.images.decode(unpack(z[0], 2, 2, PACK)[None])[0] / 2 + 0.5
    made = picture(pocket, row, guidance=guidance[1], steps=steps)
    torch.testing.assert_close(made, expected.clamp(0, 1), atol=1e-5, rtol=0)


def _velocity(dit: DiT, x: Tensor, level: float, caption: str, guidance: float) -> Tensor:
    def plain(text: str) -> Tensor:
        (told,) = dit.text.encode([text], [1])
        ids = torch.cartesian_prod(torch.zeros(1), torch.arange(2.0), torch.arange(2.0))
        output: Tensor = dit.transformer(
            hidden_states=x,
            encoder_hidden_states=told.sequence[None],
            pooled_projections=told.pooled[None],
            timestep=torch.tensor([level]),
            img_ids=ids,
            txt_ids=torch.zeros(told.sequence.shape[0], 3),
            return_dict=False,
        )[0]
        return output

    with torch.no_grad():
        wanted = plain(caption)
        return wanted if guidance == 1 else plain("") + guidance * (wanted - plain(""))


def test_a_few_step_painter_edits_too(pocket: DiT, all_new: None) -> None:
    """With the velocities of a segment in place of one; equal captions still change nothing."""
    few = _few_step(pocket)
    assert torch.equal(picture(few, flow("a cat"), guidance=1.0), as_given())
    plain = picture(few, flow(), guidance=1.0)
    assert not torch.equal(plain, picture(few, flow("a fox"), guidance=1.0))
    inverted = replace(flow(), source=EditSource("a cat", "fireflow"))
    assert not torch.equal(plain, picture(few, inverted, guidance=1.0))


def _few_step(dit: DiT) -> DiT:
    """A model with the parts of `dit` and two velocities for each call."""
    from chatdit.tools.dit.loading import LoadedModel
    from tests.tools.dit.conftest import tiny_transformer

    transformer = tiny_transformer(in_channels=256, text_width=32)
    transformer.proj_out = torch.nn.Linear(transformer.proj_out.in_features, 512)
    defaults = replace(dit.defaults, horizon=0.25)
    loaded = LoadedModel("few", "f" * 64, transformer, dit.images, dit.text, {"shift": 2.0}, defaults)
    return DiT(loaded, torch.device("cpu"), torch.float32)
