"""The claims of `story`: cases of subjects never shown, boxes at one side, and pages that are those of a set."""

from __future__ import annotations

import random
from dataclasses import replace

import torch

from chatdit.evals import effect_story
from chatdit.evals.effects import Bench
from chatdit.evals.sprite_fidelity import sighting_of
from chatdit.tools.dit.model import Row, Segment
from chatdit.tools.pocket.captions import joint_caption
from chatdit.tools.pocket.reading import Reading
from chatdit.tools.pocket.scene import Placement
from chatdit.tools.pocket.vocabulary import HELD_OUT


def test_cases_are_of_subjects_that_no_training_showed(bench: Bench) -> None:
    cases = effect_story._cases(bench, 4, random.Random(0))
    assert all(case.hero.subject in HELD_OUT and len(set(case.places)) == effect_story.PAGES for case in cases)
    for case in cases:
        straight, turned = (effect_story._pages(case, boxed=True, turned=t) for t in (False, True))
        assert all("subject" in page.caption and len(page.boxes) == 1 for page in straight)
        for one, other in zip(straight, turned, strict=True):
            assert (
                one.boxes[0].box.x2 < 0.56 < other.boxes[0].box.x2 or other.boxes[0].box.x2 < 0.56 < one.boxes[0].box.x2
            )


def test_scores_want_the_subject_itself_and_in_its_box(bench: Bench) -> None:
    (case,) = effect_story._cases(bench, 1, random.Random(1))
    box = case.boxes[0]
    left, top, side = round(256 * box.x1), round(256 * box.y1), round(256 * (box.x2 - box.x1))
    there = sighting_of(Placement(case.hero.subject, case.hero.tint, left, top, side, worn=case.hero.worn))
    reading = Reading((there,), case.places[0], "plain")
    assert effect_story._kept(case, 0, reading) == effect_story._kept_in_box(case, 0, reading) == 1.0
    other = replace(reading, sightings=(replace(there, subject="cat"),), background="moon")
    assert effect_story._kept(case, 0, other) == effect_story._kept_in_box(case, 0, other) == 0.0
    away = Placement(case.hero.subject, case.hero.tint, 0, 0, 24, worn=case.hero.worn)
    assert effect_story._kept_in_box(case, 0, replace(reading, sightings=(sighting_of(away),))) == 0.0


def test_without_boxes_a_story_is_a_set_of_generate(bench: Bench) -> None:
    (case,) = effect_story._cases(bench, 1, random.Random(2))
    assert effect_story._identity(bench, case) == 0.0
    boxed, plain = (effect_story._together(boxed=b)(bench, case, case.shown) for b in (True, False))
    assert len(boxed) == effect_story.PAGES and boxed[0].tobytes() != plain[0].tobytes()


def test_four_panels_whose_caption_fills_its_tokens_are_whole(bench: Bench) -> None:
    texts = (
        "a red cookie [136x158] [122r4] on a farm",
        "a red cookie [102x64] [95r0] left of a mammoth [194x72] [75r349] on the beach",
        "a red cookie [91x182] [126r0] in the forest",
        "a red cookie [75x196] [80r351] left of a rooster [195x173] [94r0] in the kitchen",
    )
    panels = tuple(Segment(256, 256, panel=i) for i in range(4))
    (drawn,) = bench.dit.sample([Row(joint_caption(texts), panels, 1)])
    readings = bench.reader.read(torch.stack(list(drawn.images)) * 2 - 1)
    assert [reading.background for reading in readings] == ["farm", "beach", "forest", "kitchen"]
    assert all(reading.find("cookie") for reading in readings)
    # without padding there was a band of black and white along the lower edge of the third
    assert drawn.images[2][:, 240:].mean() < 0.4 and drawn.images[2][:, 240:].std() < 0.2
