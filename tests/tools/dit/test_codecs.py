"""Codecs: latents like diffusers' own, captions that do not depend on their company."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.pipelines.flux.pipeline_flux import FluxPipeline

from chatdit.tools.dit.codecs import KLImageCodec
from chatdit.tools.dit.model import DiT


def test_kl_latents_are_shifted_and_scaled_as_flux_does(flux_folder: Callable[[bool], Path]) -> None:
    vae: Any = AutoencoderKL.from_pretrained(str(flux_folder(False)), subfolder="vae", low_cpu_mem_usage=False)
    codec = KLImageCodec(vae)
    assert (codec.downscale, codec.latent_channels) == (2, 4)
    pictures = torch.rand(2, 3, 16, 24) * 2 - 1
    with torch.no_grad():
        latents = codec.encode(pictures)
        torch.testing.assert_close(latents, (vae.encode(pictures).latent_dist.mean - 0.11) * 0.36)
        torch.testing.assert_close(codec.decode(latents), vae.decode(latents / 0.36 + 0.11).sample)


def test_flux_captions_are_encoded_as_its_pipeline_does(flux_folder: Callable[[bool], Path]) -> None:
    folder = flux_folder(False)
    dit = DiT.load(folder, device="cpu")
    pipeline: Any = FluxPipeline.from_pretrained(str(folder), low_cpu_mem_usage=False)
    captions = ["a cat", "b" * 400]
    with torch.no_grad():
        sequences, pooled, _ = pipeline.encode_prompt(captions, max_sequence_length=256)
        for i, encoded in enumerate(dit.text.encode(captions, [1] * len(captions))):
            torch.testing.assert_close(encoded.sequence, sequences[i])
            torch.testing.assert_close(encoded.pooled, pooled[i])


def test_pocket_captions_do_not_depend_on_their_company(pocket: DiT) -> None:
    with torch.no_grad():
        short, long = pocket.text.encode(["a cat", "cat dog " * 17], [1, 1])
        alone = pocket.text.encode(["a cat"], [1])[0]
    assert (len(short.sequence), len(long.sequence)) == (32, 40)
    assert torch.equal(short.sequence, alone.sequence)
    assert torch.equal(short.pooled, alone.pooled)


def test_captions_of_many_panels_are_padded_as_training_pads_them(pocket: DiT) -> None:
    texts = ["a cat", "cat dog " * 16, "cat dog " * 16, "cat dog " * 40]
    with torch.no_grad():
        found = pocket.text.encode(texts, [2, 2, 3, 4])
    assert [len(one.sequence) for one in found] == [32, 32, 40, 40], "64, or as many as this small model holds"


def test_the_empty_caption_is_zeros_for_pocket(pocket: DiT) -> None:
    with torch.no_grad():
        empty = pocket.text.encode([""], [1])[0]
    assert not empty.sequence.any()
    assert not empty.pooled.any()


def test_pocket_reports_tokens_cuts_and_unknown_words(pocket: DiT) -> None:
    report = pocket.text.report("a blue cat on the beach " + "fox " * 40)
    assert (report.tokens, report.truncated, report.unknown) == (43, 3, ("blue",))
