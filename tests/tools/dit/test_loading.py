"""Loading: what is found, what is refused, and that nothing touches the network unasked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers.pipelines.flux.pipeline_flux import FluxPipeline

from chatdit.tools.dit import folders
from chatdit.tools.dit.codecs import PocketImageCodec, PocketTextCodec
from chatdit.tools.dit.loading import PocketDefaults, load_pocket_modules, save_pocket_folder
from chatdit.tools.dit.model import DiT
from chatdit.tools.dit.rows import Row, SamplingOptions, Segment
from chatdit.tools.types import ToolError

ONE_STEP = SamplingOptions(steps=1, guidance=1.0)


@pytest.fixture
def copied(pocket_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pocket_folder, tmp_path / "copy"))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_pocket_folder_tells_its_defaults(pocket: DiT) -> None:
    d = pocket.defaults
    assert (d.steps, d.guidance, d.shift, d.width, d.height, d.max_panels) == (3, 3.0, 2.0, 64, 64, 4)
    assert (d.open_vocabulary, d.token_size, pocket.token_size) == (False, 32, 32)
    assert (pocket.name, pocket.layers, len(pocket.weights_hash)) == ("tiny-pocket", 3, 64)
    assert (pocket.device.type, pocket.dtype) == ("cpu", torch.float32)


def test_weights_survive_the_folder(pocket: DiT, pocket_folder: Path, tmp_path: Path) -> None:
    assert isinstance(pocket.images, PocketImageCodec)
    assert isinstance(pocket.text, PocketTextCodec)
    parts = pocket.transformer, pocket.images.autoencoder, pocket.text.encoder
    save_pocket_folder(tmp_path, *parts, PocketDefaults(3, 3.0, 2.0, 64, 64, 4), quantize=False)
    assert DiT.load(tmp_path, device="cpu").weights_hash == pocket.weights_hash


def test_int8_storage_stays_close(pocket: DiT, tmp_path: Path) -> None:
    assert isinstance(pocket.images, PocketImageCodec)
    assert isinstance(pocket.text, PocketTextCodec)
    parts = pocket.transformer, pocket.images.autoencoder, pocket.text.encoder
    save_pocket_folder(tmp_path, *parts, PocketDefaults(3, 3.0, 2.0, 64, 64, 4), quantize=True)
    small = DiT.load(tmp_path, device="cpu")
    row = Row("a cat", (Segment(64, 64),), seed=1)
    one, other = (d.sample([row], sampling=ONE_STEP)[0].images[0] for d in (pocket, small))
    assert small.weights_hash != pocket.weights_hash
    assert 0 < (one - other).abs().max() < 0.05


def test_the_hash_follows_the_weights(copied: Path) -> None:
    before = folders.fingerprint(copied)
    weights = copied / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    assert folders.fingerprint(copied) != before


def test_large_models_are_identified_by_parts_of_their_files(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = folders.fingerprint(copied)
    monkeypatch.setattr(folders, "EXACT_DIGEST_BYTES", 0)
    sampled = folders.fingerprint(copied)
    assert sampled != exact
    assert sampled == folders.fingerprint(copied)
    weights = copied / "transformer" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    assert folders.fingerprint(copied) != sampled


@pytest.mark.parametrize("distilled", [True, False])
def test_a_flux_folder_loads(distilled: bool, flux_folder: Callable[[bool], Path]) -> None:
    dit = DiT.load(flux_folder(distilled), device="cpu")
    d = dit.defaults
    assert (d.steps, d.guidance, d.shift) == ((28, 3.5, None) if distilled else (4, 1.0, None))
    assert (d.open_vocabulary, d.token_size) == (True, 4)
    assert dit.unknown_words("zebra") == ()
    assert dit.token_report("ab") == (4, 0)
    limit = 512 if distilled else 256
    assert dit.token_report("a" * 600) == (602, 602 - limit)


@pytest.mark.parametrize("source", ["nonsense", "./no/such/folder", "a/b/c", "", "../x y", "~/models"])
def test_what_is_neither_folder_nor_hub_id_is_refused_offline(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FluxPipeline, "download", lambda *a, **k: pytest.fail("asked the hub"))
    monkeypatch.chdir("/")
    with pytest.raises(ToolError, match=r"expected .*hub id") as caught:
        DiT.load(source)
    assert "\n" not in str(caught.value)


def test_a_hub_id_is_downloaded_as_safetensors(pocket_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, object]] = []

    def download(name: str, use_safetensors: object = None) -> Path:
        asked.append((name, use_safetensors))
        return pocket_folder

    monkeypatch.setattr(FluxPipeline, "download", download)
    assert DiT.load("owner/model", device="cpu").name == "owner/model"
    assert asked == [("owner/model", True)]


def test_a_hub_that_does_not_answer_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(name: str, use_safetensors: object = None) -> Path:
        raise OSError("no route\nto host")

    monkeypatch.setattr(FluxPipeline, "download", download)
    with pytest.raises(ToolError, match=r"^owner/model: no folder of that name.*\(no route\)"):
        DiT.load("owner/model")


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "model.pt", "model.ckpt", "weights.pth"])
def test_pickle_weights_are_refused(name: str, copied: Path) -> None:
    part = copied / "transformer"
    (part / "diffusion_pytorch_model.safetensors").rename(part / name)
    with pytest.raises(ToolError, match=f"transformer/{name}: pickle weights can run code and are refused"):
        DiT.load(copied)


def test_a_flux_folder_with_pickle_weights_is_refused(flux_folder: Callable[[bool], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(flux_folder(False), tmp_path / "flux"))
    (folder / "text_encoder" / "model.safetensors").rename(folder / "text_encoder" / "pytorch_model.bin")
    with pytest.raises(ToolError, match=r"text_encoder/pytorch_model\.bin: pickle"):
        DiT.load(folder)


def test_damaged_folders_name_the_fault(copied: Path) -> None:
    weights = copied / "vae" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ToolError, match=r"cannot load it \(.+\); restore or replace the folder"):
        DiT.load(copied)
    weights.unlink()
    with pytest.raises(ToolError, match="cannot load it"):
        DiT.load(copied)
    (copied / "vae" / "config.json").write_text("{")
    with pytest.raises(ToolError, match=r"vae/config\.json: expected a readable JSON file"):
        DiT.load(copied)


def test_weights_that_are_not_the_folders_own_are_refused(copied: Path) -> None:
    DiT.load(copied)
    weights = copied / "vae" / "diffusion_pytorch_model.safetensors"
    turned = bytearray(weights.read_bytes())
    turned[-5] ^= 1
    weights.write_bytes(turned)
    for load in (DiT.load, load_pocket_modules):
        with pytest.raises(ToolError, match=r"not those of its model_index\.json \(SHA-256 .+, expected .+\); restore"):
            load(copied)
    index = copied / "model_index.json"
    index.write_text(json.dumps({k: v for k, v in json.loads(index.read_text()).items() if k != "sha256"}))
    DiT.load(copied)  # a folder that names none is taken as it is


def test_unknown_settings_of_a_part_are_an_error(copied: Path) -> None:
    edit(copied / "vae" / "config.json", latent_chanels=16)
    with pytest.raises(ToolError, match="latent_chanels"):
        DiT.load(copied)


def test_a_folder_of_another_kind_is_refused(copied: Path, tmp_path: Path) -> None:
    edit(copied / "model_index.json", _class_name="StableDiffusionPipeline")
    with pytest.raises(ToolError, match="holds a StableDiffusionPipeline; expected PocketPipeline or a FLUX"):
        DiT.load(copied)
    (copied / "model_index.json").unlink()
    with pytest.raises(ToolError, match=r"no model_index\.json"):
        DiT.load(copied)
    single = tmp_path / "model.safetensors"
    single.touch()
    with pytest.raises(ToolError, match="is a file; expected a diffusers folder"):
        DiT.load(single)


def test_flux_folders_with_foreign_or_missing_parts_are_refused(
    flux_folder: Callable[[bool], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(flux_folder(False), tmp_path / "flux"))
    index = json.loads((folder / "model_index.json").read_text())
    edit(folder / "model_index.json", text_encoder=["my_module", "Encoder"])
    with pytest.raises(ToolError, match=r"text_encoder is \['my_module', 'Encoder'\]"):
        DiT.load(folder)
    edit(folder / "model_index.json", text_encoder=index["text_encoder"])
    edit(folder / "transformer" / "config.json", in_channels=96, out_channels=16)
    with pytest.raises(ToolError, match=r"takes 96 channels and makes 16 \(Fill, Control\)"):
        DiT.load(folder)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"device": "gpu"}, "device is 'gpu'; expected auto, cpu, cuda"),
        ({"device": "cuda:99"}, "device is 'cuda:99'; there are"),
        ({"dtype": "int4"}, "dtype is 'int4'; expected auto, float32"),
    ],
)
def test_unknown_devices_and_dtypes_are_refused(chosen: dict[str, str], message: str, pocket_folder: Path) -> None:
    with pytest.raises(ToolError, match=message):
        DiT.load(pocket_folder, **chosen)
