"""Grounding DINO and SAM 2: tiny random models of the real classes, loaded by the real code. Mechanics, not quality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from chatdit.tools import grounding
from chatdit.tools.grounding import Grounder, GroundingFolders, prompt
from chatdit.tools.segment import GROUNDING_VARIABLE, SAM_VARIABLE
from chatdit.tools.types import Box, ToolError

VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "red", "fox", "cat", ".", ",", "?")
SIZE = (80, 48)


def save_tiny_dino(folder: Path) -> None:
    """A Grounding DINO of twelve queries and its tokenizer, with random weights."""
    from transformers import BertConfig, BertTokenizer, GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig

    torch.manual_seed(0)
    text = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    backbone = SwinConfig.from_dict(
        {
            "image_size": 64,
            "embed_dim": 8,
            "depths": [1, 1, 1, 1],
            "num_heads": [1, 1, 2, 2],
            "window_size": 2,
            "out_indices": [2, 3, 4],
        }
    )
    config = GroundingDinoConfig(
        backbone_config=backbone,
        text_config=text,
        num_queries=12,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        d_model=32,
        max_text_len=16,
    )
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    BertTokenizer({word: i for i, word in enumerate(VOCABULARY)}).save_pretrained(folder)


def save_tiny_sam(folder: Path) -> None:
    """A SAM 2 that sees 64 x 64 pixels, with random weights."""
    from transformers import Sam2Config, Sam2HieraDetConfig, Sam2Model, Sam2VisionConfig

    torch.manual_seed(0)
    backbone = Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[64, 64],
        window_positional_embedding_background_size=[2, 2],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 24, 32],
        num_attention_heads_per_stage=[1, 1, 1, 1],
        window_size_per_stage=[2, 2, 2, 2],
        global_attention_blocks=[3],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[32, 24, 16, 8],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=32,
    )
    config = Sam2Config(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 32, "image_size": 64, "patch_size": 16},
        mask_decoder_config={
            "hidden_size": 32,
            "mlp_dim": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )
    Sam2Model(config).save_pretrained(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> GroundingFolders:
    root = tmp_path_factory.mktemp("models")
    save_tiny_dino(root / "dino")
    save_tiny_sam(root / "sam")
    return GroundingFolders(root / "dino", root / "sam")


@pytest.fixture
def picture() -> Image.Image:
    levels = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
    return Image.fromarray(levels)


def test_a_phrase_gives_boxes_the_surest_first_and_apart(
    folders: GroundingFolders, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grounding, "MIN_SCORE", 0.0)
    found = Grounder(folders).boxes(picture, "the red fox and a cat")
    scores = [spotted.score for spotted in found]
    assert found and scores == sorted(scores, reverse=True) and all(0 < score <= 1 for score in scores)
    boxes = [spotted.box for spotted in found]
    assert all(grounding._overlap(a, b) < grounding.SAME_BOX for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    monkeypatch.setattr(grounding, "MIN_SCORE", 1.0)
    assert Grounder(folders).boxes(picture, "the red fox and a cat") == []


def test_boxes_and_points_give_masks_of_the_pictures_size(folders: GroundingFolders, picture: Image.Image) -> None:
    grounder = Grounder(folders)
    boxes = [Box(x1=0.1, y1=0.1, x2=0.6, y2=0.7), Box(x1=0.5, y1=0.2, x2=1, y2=1)]
    by_box = grounder.masks(picture, boxes)
    by_points = grounder.masks(picture, points=[[(0.2, 0.3)], [(0.8, 0.9)], [(0.5, 0.5)]])
    together = grounder.masks(picture, points=[[(0.2, 0.3), (0.8, 0.9)]])
    assert (len(by_box), len(by_points), len(together)) == (2, 3, 1)
    for mask in (*by_box, *by_points, *together, *grounder.masks(picture, boxes[:1], [[(0.2, 0.3)]])):
        assert mask.size == SIZE and mask.mode == "L" and set(np.unique(np.asarray(mask))) <= {0, 255}
    assert by_box[0].tobytes() != by_box[1].tobytes(), "the prompt counts"


def test_the_same_prompt_gives_the_same_mask(folders: GroundingFolders, picture: Image.Image) -> None:
    box = [Box(x1=0.1, y1=0.1, x2=0.6, y2=0.7)]
    first, second = (Grounder(folders).masks(picture, box)[0] for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_phrases_as_the_model_reads_them() -> None:
    assert prompt("The red Fox") == "the red fox."
    assert prompt("a fox, two dogs and the sand.") == "a fox. two dogs. the sand."


def test_pictures_are_scaled_as_the_models_were_trained() -> None:
    assert grounding._dino_size((1000, 500)) == (1333, 666) and grounding._dino_size((400, 400)) == (800, 800)
    white = grounding._normalised(Image.new("RGB", (10, 10), "white"), (4, 6))
    assert white.shape == (3, 6, 4) and torch.allclose(white[:, 0, 0], torch.tensor([2.2489, 2.4286, 2.64]), atol=1e-3)


def test_what_nobody_named_is_told_in_one_line() -> None:
    with pytest.raises(ToolError) as caught:
        Grounder(GroundingFolders()).check(phrase=True)
    text = str(caught.value)
    assert "\n" not in text and "expected" in text
    for word in (SAM_VARIABLE, GROUNDING_VARIABLE, "facebook/sam2.1-hiera-tiny", "IDEA-Research/grounding-dino-tiny"):
        assert word in text
    with pytest.raises(ToolError) as caught:
        Grounder(GroundingFolders()).check(phrase=False)
    assert GROUNDING_VARIABLE not in str(caught.value)


def test_folders_without_a_model_are_told(tmp_path: Path, folders: GroundingFolders, picture: Image.Image) -> None:
    empty = Grounder(GroundingFolders(tmp_path, tmp_path))
    with pytest.raises(
        ToolError, match=r"CHATDIT_SAM2 names .* holds no config.json: expected a folder with facebook/"
    ):
        empty.masks(picture, points=[[(0.5, 0.5)]])
    with pytest.raises(ToolError, match="CHATDIT_GROUNDING_DINO names"):
        empty.boxes(picture, "a fox")
    swapped = Grounder(GroundingFolders(folders.sam, folders.grounding))
    with pytest.raises(ToolError, match="expected"):
        swapped.masks(picture, points=[[(0.5, 0.5)]])


def test_weights_that_are_no_safetensors_are_refused(
    tmp_path: Path, folders: GroundingFolders, picture: Image.Image
) -> None:
    assert folders.sam is not None
    (tmp_path / "config.json").write_bytes((folders.sam / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ToolError, match="cannot read the model"):
        Grounder(GroundingFolders(sam=tmp_path)).masks(picture, points=[[(0.5, 0.5)]])


def test_folders_come_from_the_environment(tmp_path: Path) -> None:
    assert not GroundingFolders.from_environment({}).named
    assert not GroundingFolders.from_environment({SAM_VARIABLE: " "}).named
    found = GroundingFolders.from_environment({SAM_VARIABLE: str(tmp_path), GROUNDING_VARIABLE: "~/dino"})
    assert found == GroundingFolders(Path.home() / "dino", tmp_path) and found.named
