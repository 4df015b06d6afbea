"""The offline brain on whole messages: phrases and conversations with the pictures they must give."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from chatdit.agents.brain import (
    MAX_TEXT,
    InstructionError,
    Painter,
    PastPicture,
    PastTurn,
    Request,
    make_brain,
)
from chatdit.agents.drafts import draft_of, scene_of
from chatdit.agents.instruction import Instruction, InstructionInput
from chatdit.agents.offline_brain import OfflineBrain
from chatdit.tools.pocket.captions import caption
from chatdit.tools.pocket.scene import Scene
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, DRAWABLE, PERSON, SUBJECTS, find_background
from chatdit.tools.pocket.world import random_scene
from chatdit.tools.types import ImageRef

POCKET = Painter()
ON_MEADOW = "You named no place"


def picture(letter: str = "b") -> ImageRef:
    return ImageRef(sha256=letter * 64, width=256, height=256)


def attached(count: int) -> tuple[InstructionInput, ...]:
    return tuple(InstructionInput(id=f"input_{n}", image=picture("a")) for n in range(1, count + 1))


def talk(*texts: str, images: int = 0, painter: Painter = POCKET) -> Instruction:
    """The instruction of the last text, after the others have been drawn or asked about."""
    pictures: list[PastPicture] = []
    turns: list[PastTurn] = []
    instruction = Instruction()
    for text in texts:
        inputs = attached(images) if text is texts[-1] else ()
        instruction = OfflineBrain().parse(Request(text, inputs, tuple(turns), tuple(pictures), painter))
        drawn = []
        for output in instruction.outputs if not instruction.questions else ():
            pictures.append(PastPicture(len(pictures) + 1, picture(), output))
            drawn.append(len(pictures))
        turns.append(PastTurn(text, " ".join(instruction.questions), tuple(drawn)))
    return instruction


def captions(instruction: Instruction) -> list[str]:
    return [output.description for output in instruction.outputs]


@dataclass(frozen=True)
class Case:
    """Messages of one conversation, and what the last one must give."""

    said: str | Sequence[str]
    gives: Sequence[str]
    same: bool = False
    notice: str = ""
    new_seed: bool = False


CASES = [
    # again and things worn
    Case(["a fox at night", "put it on the beach again"], ["a fox on the beach"]),
    Case(["a fox at night", "draw it again"], ["a fox at night"], new_seed=True),
    Case(["a red fox at night", "give it its usual colours again"], ["a fox at night"]),
    Case(
        ["a fox left of a cat at night", "put a hat on the cat", "take off the hat"], ["a fox left of a cat at night"]
    ),
    Case(
        ["a fox left of a cat at night", "put a bow on the cat", "make the bow blue"],
        ["a fox left of a cat wearing a blue bow at night"],
    ),
    # one subject
    Case("a cat on the beach", ["a cat on the beach"]),
    Case("Draw me a picture of a cat on the beach, please!", ["a cat on the beach"]),
    Case("Could you please paint a lovely kitten at the seaside?", ["a cat on the beach"]),
    Case("cat", ["a cat on a meadow"], notice=ON_MEADOW),
    Case("a forest fox", ["a fox in the forest"]),
    Case("the fox is in the woods", ["a fox in the forest"]),
    Case("an alligator under the sea", ["a crocodile under water"]),
    Case("🦊 on the moon", ["a fox on the moon"]),
    Case("a boat at the lake at night", ["a ship at the lake"], notice="left out 'night'"),
    Case("an orange in the kitchen", ["a tangerine in the kitchen"]),
    Case("an orange cat in the kitchen", ["an orange cat in the kitchen"]),
    Case("a red apple in the garden", ["a red apple in the garden"]),
    Case("a fire engine in the city", ["a fire truck in the city"]),
    Case("A CAT ON THE BEACH!!!", ["a cat on the beach"]),
    # the moon is a place after a word of place, else a subject
    Case("a rocket on the moon", ["a rocket on the moon"]),
    Case("a moon at night", ["a moon at night"]),
    Case("a rocket left of the moon in space", ["a rocket left of a moon in space"]),
    Case("the moon above a house at night", ["a moon above a house at night"]),
    Case("a cat under the stars", ["a cat in space"]),
    Case("a star above a cat at night", ["a star above a cat at night"]),
    # sizes, tints, styles, positions, counts
    Case("a huge dragon in a cave", ["a large dragon in a cave"]),
    Case("a tiny mouse in the kitchen", ["a small mouse in the kitchen"]),
    Case("a small red car on the street", ["a small red car on the street"]),
    Case("a car that is red and big on the street", ["a large red car on the street"]),
    Case("a purple cat in the snow, pixel art", ["a purple cat in the snow, pixel art style"]),
    Case("a sketch of an owl at night", ["an owl at night, sketch style"]),
    Case("an owl at night. Sketch style.", ["an owl at night, sketch style"]),
    Case("a black and white photo of a bus on the street", ["a bus on the street, monochrome style"]),
    Case("a cat on the left on the beach", ["a cat on the left on the beach"]),
    Case("on the right a small cat, on the beach", ["a small cat on the right on the beach"]),
    Case("a bee in the middle of the picture, in the garden", ["a bee in the middle in the garden"]),
    Case("three cats on the beach", ["three cats on the beach"]),
    Case("a pair of blue owls at night", ["two blue owls at night"]),
    Case("4 mice in the kitchen", ["four mice in the kitchen"]),
    Case("many ducks at the lake", ["four ducks at the lake"], notice="did not say how many"),
    Case("ducks at the lake", ["two ducks at the lake"], notice="did not say how many"),
    Case("two big dogs on the farm", ["two dogs on a farm"], notice="A group has no size"),
    # two subjects
    Case("a cat to the left of a rocket on the beach", ["a cat left of a rocket on the beach"]),
    Case("a cat on the beach on the right of a dog", ["a cat right of a dog on the beach"]),
    Case("a rocket above a house in the city", ["a rocket above a house in the city"]),
    Case("a crab below a ship under water", ["a crab below a ship under water"]),
    Case("a cat and a dog in a room", ["a cat left of a dog in a room"]),
    Case("a cat with a dog in a room", ["a cat left of a dog in a room"]),
    Case("a cat on the left and a dog on the right, in a room", ["a cat left of a dog in a room"]),
    Case("on the left a cat and on the right a dog, in a room", ["a cat left of a dog in a room"]),
    Case("a dog on the right and a cat in a room", ["a dog right of a cat in a room"]),
    Case("a rocket with a fox to its left in space", ["a rocket right of a fox in space"]),
    Case("a house with a sun above it, on a farm", ["a house below a sun on a farm"]),
    Case("to the left of the cat is a rocket, on the beach", ["a cat right of a rocket on the beach"]),
    Case("a cat next to a dog in a room", ["a cat left of a dog in a room"], notice="'next to' as left of"),
    Case("a cat on a horse in the desert", ["a cat above a horse in the desert"], notice="'on' as above"),
    # things worn
    Case("a fox wearing a red top hat on the beach", ["a fox wearing a red top hat on the beach"]),
    Case("a cat with a blue bow in a room", ["a cat wearing a blue bow in a room"]),
    Case("the fox wears a yellow halo in a room", ["a fox wearing a yellow halo in a room"]),
    Case("a fox in a hat on the moon", ["a fox wearing a red top hat on the moon"]),
    Case("draw a fox with a red hat and a blue cat in a room",
         ["a fox wearing a red top hat left of a blue cat in a room"]),
    Case(["a fox in a room", "put a green party hat on it"], ["a fox wearing a green party hat in a room"]),
    Case(["a fox in a room", "put a red hat on the fox"], ["a fox wearing a red top hat in a room"]),
    Case(["a fox in a room", "let it wear a bow that is blue"], ["a fox wearing a blue bow in a room"]),
    Case(["a fox and a cat in a room", "give the cat a pink bow"],
         ["a fox left of a cat wearing a pink bow in a room"]),
    Case(["a fox wearing a red hat in a room", "make the hat blue"], ["a fox wearing a blue top hat in a room"]),
    Case(["a fox wearing a blue hat in a room", "give it a party hat"], ["a fox wearing a red party hat in a room"]),
    Case(["a fox wearing a red hat in a room", "now in the snow"], ["a fox wearing a red top hat in the snow"]),
    Case(["a fox wearing a red hat in a room", "take off the hat"], ["a fox in a room"]),
    Case(["a fox wearing a red hat in a room", "remove the hat from the fox"], ["a fox in a room"]),
    Case(["a fox wearing a red hat in a room", "the fox should not wear the hat"], ["a fox in a room"]),
    Case("two cats wearing hats in a room", ["two cats in a room"], notice="nobody wears anything"),
    Case("a cat, a dog and a fox in a room", ["a cat, a dog and a fox in a room"]),
    Case("two red apples and three stars in the desert", ["two red apples and three stars in the desert"]),
    Case("a big cat, a dog and a fox in a room", ["a cat, a dog and a fox in a room"], notice="no size or position"),
    Case("two cats left of a dog in a room", ["two cats and a dog in a room"], notice="Only two single subjects"),
    Case(["a cat on the beach", "add two foxes"], ["a cat and two foxes on the beach"]),
    Case("a big cat and a dog in a room", ["a cat left of a dog in a room"], notice="stands alone"),
    Case("a red cat and a blue cat in a room", ["a red cat left of a blue cat in a room"]),
    Case("a cat and another cat in a room", ["two cats in a room"]),
    Case("a happy cat on the beach", ["a cat on the beach"], notice="'happy'"),
    # several pictures in one message
    Case(
        "draw a fox and a rocket on the moon, then a second picture where the rocket has left",
        ["a fox left of a rocket on the moon", "a fox on the moon"],
        same=True,
    ),
    Case(
        "a cat to the left of a rocket on the beach, then the same cat on the moon",
        ["a cat left of a rocket on the beach", "a cat on the moon"],
        same=True,
    ),
    Case("a fox and a rocket on the moon, then it is alone: just the fox",
         ["a fox left of a rocket on the moon", "a fox on the moon"], same=True),
    Case("a fox in the forest, and a second picture where it is gone and a bear is there",
         ["a fox in the forest", "a bear in the forest"], same=True),
    Case("a cat on the beach, then a dog in the city", ["a cat on the beach", "a dog in the city"]),
    Case("a cat on the beach, then a dog", ["a cat on the beach", "a dog on the beach"]),
    Case("a cat on the beach and a dog in the forest", ["a cat on the beach", "a dog in the forest"]),
    Case("pictures of a cat in the forest, on the beach and in space",
         ["a cat in the forest", "a cat on the beach", "a cat in space"], same=True),
    Case("a cat in the forest, on the beach and in space",
         ["a cat in the forest", "a cat on the beach", "a cat in space"], same=True, notice="3 pictures"),
    Case("an oak tree in the four seasons",
         ["an oak tree on a meadow", "an oak tree on the beach", "an oak tree in autumn", "an oak tree in the snow"],
         same=True, notice="not all seasons"),
    Case("3 pages: a fox in the forest, the fox on the beach, the fox on the moon",
         ["a fox in the forest", "a fox on the beach", "a fox on the moon"], same=True),
    Case("three pictures: a cat, a dog and a fox in the garden",
         ["a cat in the garden", "a dog in the garden", "a fox in the garden"]),
    Case("two pictures, one with a cat on stage and one with a dog on stage", ["a cat on stage", "a dog on stage"]),
    Case("two pictures of a fox, one in the city and one in the forest",
         ["a fox in the city", "a fox in the forest"], same=True),
    Case("a comic with 3 panels: a dog in the garden; the dog in the kitchen; the dog on the street",
         ["a dog in the garden", "a dog in the kitchen", "a dog on the street"], same=True),
    Case("1. a dog in the city\n2. a cat in the snow", ["a dog in the city", "a cat in the snow"]),
    Case("Picture 1: a dog in a cave. Picture 2: the dog in space.", ["a dog in a cave", "a dog in space"], same=True),
    Case("Draw a cat on the beach. Draw a dog in the city.", ["a cat on the beach", "a dog in the city"]),
    Case("Draw a cat on the beach. It is red. A rocket is above it.", ["a red cat below a rocket on the beach"]),
    Case("a bear in the snow as a sketch, in pixel art and in sepia",
         ["a bear in the snow, sketch style", "a bear in the snow, pixel art style", "a bear in the snow, sepia style"],
         same=True, notice="3 pictures"),
    Case("two pictures of a fox in space", ["a fox in space"] * 2, same=True, notice="one scene for 2 pictures"),
    Case("a sketch of a cat on the beach, then it is in the forest",
         ["a cat on the beach, sketch style", "a cat in the forest, sketch style"], same=True),
    Case("a cat, then a dog, then a fox, all in the snow",
         ["a cat in the snow", "a dog in the snow", "a fox in the snow"]),
    Case("one picture with a cat in a cave, another with a dog in a cave, and a third with a bear in a cave",
         ["a cat in a cave", "a dog in a cave", "a bear in a cave"]),
    Case("a story in 3 pages about a fox: first in the forest, then on the beach, finally on the moon",
         ["a fox in the forest", "a fox on the beach", "a fox on the moon"], same=True),
    Case("a cat on the beach and a second one where it is at night",
         ["a cat on the beach", "a cat at night"], same=True),
    Case("a fox and a rocket on the moon, then the rocket has left and the fox is in the snow",
         ["a fox left of a rocket on the moon", "a fox in the snow"], same=True),
    # conversations
    Case(["a cat and a dog in space", "swap them"], ["a cat right of a dog in space"]),
    Case(["a train and a bus in the city", "the bus is yellow"], ["a train left of a yellow bus in the city"]),
    Case(["a lion in the desert", "now the lion has gone and a tiger is there"], ["a tiger in the desert"]),
    Case(["a cat in a room", "give it a crown"], ["a cat and a crown in a room"]),
    Case(["a cat in a room", "no background"], ["a cat in a studio"]),
    Case(["a cat on the beach", "make it bigger"], ["a large cat on the beach"]),
    Case(["a cat on the beach", "smaller please"], ["a small cat on the beach"]),
    Case(["a cat on the beach", "make it red"], ["a red cat on the beach"]),
    Case(["a cat on the beach", "make it a sketch"], ["a cat on the beach, sketch style"]),
    Case(["a cat on the beach", "in the snow instead"], ["a cat in the snow"]),
    Case(["a cat on the beach", "put it in the forest"], ["a cat in the forest"]),
    Case(["a cat on the beach", "move it to the right"], ["a cat on the right on the beach"]),
    Case(["a cat on the beach", "change the background from the beach to a cave"], ["a cat in a cave"]),
    Case(["a cat on the beach", "replace the cat with a dog"], ["a dog on the beach"]),
    Case(["a cat on the beach", "turn the cat into a blue dog"], ["a blue dog on the beach"]),
    Case(["a cat on the beach", "a dog instead of the cat"], ["a dog on the beach"]),
    Case(["a cat on the beach", "make it three dogs"], ["three dogs on the beach"]),
    Case(["a cat on the beach", "add a rocket"], ["a cat and a rocket on the beach"]),
    Case(["a cat on the beach", "add a rocket above it"], ["a cat below a rocket on the beach"]),
    Case(["a cat on the beach", "add another cat"], ["two cats on the beach"]),
    Case(["three cats on the beach", "remove one cat"], ["two cats on the beach"]),
    Case(["a cat and a rocket on the beach", "without the rocket"], ["a cat on the beach"]),
    Case(["a cat and a rocket on the beach", "the rocket left"], ["a cat on the beach"]),
    Case(["a cat and a rocket on the beach", "only the rocket now"], ["a rocket on the beach"]),
    Case(["a cat and a rocket on the beach", "make the cat small"], ["a small cat left of a rocket on the beach"]),
    Case(["a cat and a rocket on the beach", "swap the cat and the rocket"], ["a cat right of a rocket on the beach"]),
    Case(["a cat and a rocket on the beach", "make them pink"], ["a pink cat left of a pink rocket on the beach"]),
    Case(["a cat and a rocket on the beach", "put the rocket above the cat"], ["a cat below a rocket on the beach"]),
    Case(["a cat on the beach", "again"], ["a cat on the beach"], new_seed=True),
    Case(["a cat on the beach", "another one!"], ["a cat on the beach"], new_seed=True),
    Case(["a cat on the beach", "try again at night"], ["a cat at night"], new_seed=True),
    Case(["a red cat on the beach", "the same cat on the moon"], ["a red cat on the moon"]),
    Case(["a red cat on the beach", "the same in sepia"], ["a red cat on the beach, sepia style"]),
    Case(["a cat on the beach", "a dog"], ["a dog on a meadow"], notice=ON_MEADOW),
    Case(["a cat on the beach", "a dog in space", "make image 1 blue"], ["a blue cat on the beach"]),
    Case(["a cat on the beach", "a dog in space", "#1 in the city"], ["a cat in the city"]),
    Case(["a cat on the beach", "a dog in space", "the first one in the city"], ["a cat in the city"]),
    Case(["a cat on the beach", "a dog in space", "the last one in the city"], ["a dog in the city"]),
    Case(["a blue cat on the beach", "a dog in space", "the cat from picture 1 and the dog in a cave"],
         ["a blue cat left of a dog in a cave"]),
    Case(["a cat on the beach", "a second picture where it is blue"], ["a blue cat on the beach"]),
    Case(["a fox in space", "two more pictures of the fox, one in the city and one in a cave"],
         ["a fox in the city", "a fox in a cave"], same=True),
    Case(["a cat on the beach", "make it red, then put it in space"],
         ["a red cat on the beach", "a red cat in space"], same=True),
    # counting on
    Case(["two foxes in the snow", "two more foxes"], ["four foxes in the snow"]),
    Case(["a cat on the beach", "one more cat"], ["two cats on the beach"]),
    Case(["a cat on the beach", "more cats"], ["two cats on the beach"]),
    Case(["a cat on the beach", "another cat"], ["two cats on the beach"]),
    Case(["a cat on the beach", "draw another cat in space"], ["a cat in space"]),
    Case(["a cat on the beach", "a new cat"], ["a cat on a meadow"], notice=ON_MEADOW),
    Case(["a cat on the beach", "make it four"], ["four cats on the beach"]),
    Case(["a cat on the beach", "two of them, please"], ["two cats on the beach"]),
    Case("a small and a large cat in the snow", ["a small cat left of a cat in the snow"], notice="stands alone"),
    # corrections, and going on
    Case(["a cat on the beach", "a dog instead"], ["a dog on the beach"]),
    Case(["a cat on the beach", "no, a dog"], ["a dog on the beach"]),
    Case(["a cat on the beach", "I meant a dog"], ["a dog on the beach"]),
    Case(["a cat on the beach", "not a cat, a dog"], ["a dog on the beach"]),
    Case(["a cat on the beach", "and a mouse"], ["a cat and a mouse on the beach"]),
    Case(["a fox and a rocket in space", "instead of the fox draw an owl"], ["an owl left of a rocket in space"]),
    Case(["a fox and a rocket in space", "remove everything except the fox"], ["a fox in space"]),
    Case(["a fox and a rocket in space", "keep only the rocket"], ["a rocket in space"]),
    Case(["a fox and a rocket in space", "the rocket flies away"], ["a fox in space"]),
    Case(["a red cat in space", "remove the colour"], ["a cat in space"]),
    Case(["a cat in space, sketch style", "in colour"], ["a cat in space"]),
    Case(["a fox and a rocket in space", "no, only the rocket"], ["a rocket in space"]),
    Case("a lion in a cave, and a second one with two lions", ["a lion in a cave", "two lions in a cave"], same=True),
    # changing places
    Case(["a fox and a rocket in space", "switch places"], ["a fox right of a rocket in space"]),
    Case(["a fox and a rocket in space", "put the fox on the other side"], ["a fox right of a rocket in space"]),
    Case(["a fox and a rocket in space", "make everything blue"], ["a blue fox left of a blue rocket in space"]),
    # things told by their looks
    Case("a red rose and a yellow one in the garden", ["a red rose left of a yellow rose in the garden"]),
    Case(["a red fox and a blue fox in space", "make the red one smaller"],
         ["a small red fox left of a blue fox in space"]),
    Case(["a red fox and a blue fox in space", "remove the blue one"], ["a red fox in space"]),
    Case(["a red fox and a blue fox in space", "remove the blue fox"], ["a red fox in space"]),
    Case(["a red fox and a blue fox in space", "make the blue fox green"], ["a red fox left of a green fox in space"]),
    # several pictures drawn before, and lists that are not spelled out
    Case(["a cat on the beach, then a dog in a cave", "make both sketches"],
         ["a cat on the beach, sketch style", "a dog in a cave, sketch style"]),
    Case(["a cat on the beach, then a dog in a cave", "the same two pictures at night"],
         ["a cat at night", "a dog at night"]),
    Case(["a cat on the beach, then a dog in a cave", "remove the dog from the second picture and add a fox"],
         ["a fox in a cave"]),
    Case(["a cat on the beach", "show it in the forest and in a cave"], ["a cat in the forest", "a cat in a cave"],
         same=True, notice="2 pictures"),
    Case("a fox in 3 different places", ["a fox on the beach", "a fox on the moon", "a fox in the forest"], same=True,
         notice="I took beach, moon, forest"),
    Case("a cat in space in two styles", ["a cat in space", "a cat in space, sketch style"], same=True,
         notice="I took plain, sketch"),
    # what a painter of things cannot show is left out, and said
    Case("a fox sleeps in the forest", ["a fox in the forest"], notice="'sleeps'"),
    Case("a rabbit in the garden, then it meets a fox",
         ["a rabbit in the garden", "a rabbit and a fox in the garden"], same=True, notice="'meets'"),
    Case("a boat on the ocean", ["a ship at the lake"]),
    Case("an octopus under water with a crown on its head", ["an octopus below a crown under water"]),
    # answers to questions
    Case(["five dogs in a cave", "three"], ["three dogs in a cave"]),
    Case(["draw a griffin on the beach", "no, a lion"], ["a lion on the beach"]),
    Case(["draw a griffin on the beach", "a lion"], ["a lion on the beach"]),
    Case(["draw something on the beach", "a small red cat"], ["a small red cat on the beach"]),
    Case(["draw a rokcet in the snow", "yes"], ["a rocket in the snow"]),
    Case(["a black cat in the city", "blue"], ["a blue cat in the city"]),
    Case(["a cat and a dog in the city", "make it small", "the cat"], ["a small cat left of a dog in the city"]),
    Case(["a cat behind a house in the city", "left of"], ["a cat left of a house in the city"]),
    Case(["pictures of a cat in space", "2"], ["a cat in space"] * 2, same=True, notice="one scene for 2"),
    Case(["3 pages: a cat on the beach, then the cat in a cave", "the cat in space"],
         ["a cat on the beach", "a cat in a cave", "a cat in space"], same=True),
    Case(["on the beach", "a cat"], ["a cat on the beach"]),
]  # fmt: skip


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: case.said if isinstance(case.said, str) else " / ".join(case.said)
)
def test_phrases_give_these_pictures(case: Case) -> None:
    said = [case.said] if isinstance(case.said, str) else case.said

    instruction = talk(*said)

    assert instruction.questions == ()
    assert captions(instruction) == list(case.gives)
    assert instruction.same_identity is case.same
    assert instruction.new_seed is case.new_seed
    if case.notice:
        assert case.notice in " ".join(instruction.notices)
    else:
        assert instruction.notices == ()


ASKED = [
    (["draw a griffin on the beach"], "'griffin'"),
    (["draw a rokcet"], "Did you mean rocket?"),
    (["a black cat"], "'black'"),
    (["a cat with a scarf"], "'scarf'"),
    (["a cat wearing a blue hat", "give it a hat"], "change nothing"),
    ([""], "What should I draw?"),
    (["   \n\t "], "What should I draw?"),
    (["\x00\x07\x1b[31m"], "'31m'"),
    (["hello"], "What should I draw?"),
    (["on the beach"], "What should I draw?"),
    (["make it red"], "no picture yet"),
    (["again"], "no picture yet"),
    (["five dogs in the city"], "at most 4"),
    (["99 dogs in the city"], "99 dog"),
    (["a cat, a dog, a fox and an owl"], "one to three different subjects"),
    (["four cats and three dogs"], "at most 6"),
    (["a cat behind a dog"], "'behind'"),
    (["a cat in a box"], "'in'"),
    (["a cat in the forest or on the beach"], "'or'"),
    (["a red, blue and green cat"], "red or blue"),
    (["do not draw a cat"], "'do not'"),
    (["pictures of a cat"], "How many"),
    (["3 pages: a cat on the beach, then a dog in the city"], "What should picture 3 show?"),
    (["1000 pictures of a fox"], "at most 24"),
    (["an otter in the garden"], "never shown an otter"),
    (["dessine un chat sur la plage"], "English"),
    (["ein Hund und eine Katze am Strand"], "English"),
    (["画一只猫"], "画一只猫"),
    (["a cat and a dog", "make it bigger"], "the cat or the dog"),
    (["a cat and a dog", "replace it with a fox"], "the cat or the dog"),
    (["a cat", "remove the cat"], "Nothing would be left"),
    (["a cat", "make picture 9 red"], "no picture #9"),
    (["a cat on the beach", "on the beach"], "change nothing"),
    (["a cat", "change the background"], "Which background"),
    (["a cat", "replace the cat"], "take the place"),
    (["a bird in a cave"], "Did you mean owl, parrot or duck?"),
    (["three flowers in a cave"], "Did you mean rose, tulip or sunflower?"),
    (["a giraff and a zebre in the dessert"], "Did you mean giraffe? I do not know 'zebre'. Did you mean zebra?"),
    (["a man on a horse"], "no people, so no man"),
    (["two people in a cave"], "no people"),
    (["a jkl and a qwz in a cave"], "I do not know 'jkl', 'qwz'. Can you say it with other words"),
    (["five cats in a cave"], "not 5 cats"),
    (["three cats on the beach", "add four foxes"], "I cannot draw 3 cats and 4 foxes: 7 subjects"),
    (["a red fox and a blue fox in space", "make the green one bigger"], "the red fox or the blue fox"),
    (["make the red one bigger"], "I do not know which one you mean"),
    (["a fox and a rocket in space", "remove both"], "Nothing would be left"),
]


@pytest.mark.parametrize(
    ("said", "drawn"),
    [
        (
            "A set of three pictures in pixel art, all in the city and all large: a bicycle, a bus and a taxi.",
            [f"a large {s} in the city, pixel art style" for s in ("bicycle", "bus", "taxi")],
        ),
        (
            "Three pictures of a rabbit in the snow: on the left, in the middle and on the right.",
            [f"a rabbit {p} in the snow" for p in ("on the left", "in the middle", "on the right")],
        ),
        (
            "Show a horse on the playground in three colours: yellow, blue and green.",
            [f"a {t} horse on the playground" for t in ("yellow", "blue", "green")],
        ),
        (
            "A storyboard in two shots, all in the forest. Shot 1: a small monkey. Shot 2: the monkey on the moon.",
            ["a small monkey in the forest", "a small monkey on the moon"],
        ),
        (
            "A picture book with two pages. Page 1: a tiger at the lake. Page 2: the tiger, large, on the beach.",
            ["a tiger at the lake", "a large tiger on the beach"],
        ),
        (
            "Draw a large horse on the playground two times: as a sketch and in monochrome.",
            [f"a large horse on the playground, {s} style" for s in ("sketch", "monochrome")],
        ),
        ("A postcard of a large tent at night, and nothing else.", ["a large tent at night"]),
        (
            "Four pictures: a small cactus, the same cactus in medium size, a rose, and a tulip large in the desert.",
            [f"a {s} in the desert" for s in ("small cactus", "cactus", "rose", "large tulip")],
        ),
        (
            "How a seedling grows in the garden, two pictures: first small, then large.",
            ["a small seedling in the garden", "a large seedling in the garden"],
        ),
        (
            "The seasons with a blue horse, one picture each: in the forest, then at the lake.",
            ["a blue horse in the forest", "a blue horse at the lake"],
        ),
        (
            "Two stills with a crab. Still 1: the crab under water. Still 2: the crab on the beach.",
            ["a crab under water", "a crab on the beach"],
        ),
        (
            "three stickers with inverted colours at night: a bee, an ant and a snail",
            [f"{s} at night, negative style" for s in ("a bee", "an ant", "a snail")],
        ),
        (
            "Draw three icons that belong together, on stage: a piano, a drum and a violin.",
            ["a piano on stage", "a drum on stage", "a violin on stage"],
        ),
    ],
)  # fmt: skip
def test_what_is_said_of_a_whole_set_reaches_every_picture(said: str, drawn: list[str]) -> None:
    instruction = talk(said)
    assert captions(instruction) == drawn and not instruction.questions


def test_colours_that_are_named_stand_for_the_list_and_a_list_without_names_is_chosen() -> None:
    assert captions(talk("a fox at night in two colours: blue and pink")) == [
        "a blue fox at night",
        "a pink fox at night",
    ]
    chosen = talk("a fox at night in two colours")
    assert len(chosen.outputs) == 2 and any("You did not name the colours" in n for n in chosen.notices)


def test_what_is_not_near_is_not_offered() -> None:
    asked = " ".join(talk("a wug, a help and a friend").questions)

    assert "Did you mean" not in asked and "'friend'" in asked


def test_both_pictures_are_targets_of_what_is_said_of_both() -> None:
    instruction = talk("a cat on the beach, then a dog in a cave", "make them blue")

    assert [given.picture for given in instruction.inputs] == [1, 2]
    assert [output.references for output in instruction.outputs] == [("input_1",), ("input_2",)]


@pytest.mark.parametrize(
    ("said", "asked"), ASKED, ids=lambda value: " / ".join(value) if isinstance(value, list) else value
)
def test_what_is_not_understood_is_asked_about(said: list[str], asked: str) -> None:
    assert asked in " ".join(talk(*said).questions)


def test_the_parts_of_an_output_are_structured() -> None:
    instruction = talk("a small red cat to the left of a rocket on the beach as a sketch")

    output = instruction.outputs[0]

    assert output.subjects == ("cat", "rocket")
    assert (output.elements[0].size, output.elements[0].tint) == ("small", "red")
    assert [(r.a, r.kind, r.b) for r in output.relations] == [(0, "left of", 1)]
    assert (output.background, output.style, output.id) == ("beach", "sketch", "output_1")


def test_the_same_cat_refers_to_the_output_before() -> None:
    instruction = talk("a cat on the beach, then the same cat on the moon")

    assert instruction.outputs[1].references == ("output_1",)
    assert instruction.inputs == ()


def test_an_edit_takes_the_earlier_picture_as_its_target() -> None:
    instruction = talk("a cat on the beach", "a dog in space", "make picture 1 red")

    assert [(given.role, given.picture) for given in instruction.inputs] == [("edit_target", 1)]
    assert instruction.outputs[0].references == (instruction.inputs[0].id,)
    assert instruction.keep == ("everything else",)


def test_another_try_shows_the_old_picture_to_nobody() -> None:
    instruction = talk("a cat on the beach", "try again")

    assert instruction.outputs[0].references == ()


@pytest.mark.parametrize(
    ("text", "images", "caption_", "roles"),
    [
        ("this cat on the moon", 1, "a cat on the moon", ["subject"]),
        ("the cat from image 1 and the rocket from image 2 on the beach", 2, "a cat left of a rocket on the beach",
         ["subject", "subject"]),
        ("a cat in the style of image 1 in the city", 1, "a cat in the city", ["style"]),
        ("a cat in the city with the layout of image 2 and the style of image 1", 2, "a cat in the city",
         ["style", "layout"]),
        ("use this as the style for a cat in a cave", 1, "a cat in a cave", ["style"]),
        ("an otter in the garden", 1, "an otter in the garden", ["subject"]),
    ],
)  # fmt: skip
def test_attached_pictures_get_roles(text: str, images: int, caption_: str, roles: list[str]) -> None:
    instruction = talk(text, images=images)

    assert instruction.questions == ()
    assert captions(instruction) == [caption_]
    assert [given.role for given in instruction.inputs] == roles
    assert set(instruction.outputs[0].references) == {given.id for given in instruction.inputs}


@pytest.mark.parametrize(
    ("text", "seen", "drawn", "references"),
    [
        ("Take the drum out of this picture.", ["a fox above a drum at night"], "a fox at night", [1]),
        ("Take the fox out of picture 1 and put it in space.", ["a fox at night"], "a fox in space", [1]),
        ("Let the bus stand on the left instead of the right.", ["a bus on the right in the city"],
         "a bus on the left in the city", [1]),
        ("Replace the bear of picture 1 by the red pig of picture 2.", ["a small bear on a farm", "a red pig in space"],
         "a small red pig on a farm", [1, 2]),
        ("Replace the bear with the pig of picture 2.", ["a bear on a farm", "a blue pig in space"],
         "a blue pig on a farm", [1, 2]),
        ("Put the bear of picture 1 in space, as in picture 2.", ["a bear on a farm", "a pig in space"],
         "a bear in space", [1, 2]),
        ("Picture 1 shows a bear. Redraw it in the style of picture 2.",
         ["a bear on a farm", "a pig in space, sketch style"], "a bear on a farm, sketch style", [1, 2]),
        ("Place the drum of picture 2 to the right of the bear in picture 1.", ["a bear on a farm", "a drum in space"],
         "a bear left of a drum on a farm", [1, 2]),
        ("Move the bear to the right side of the picture.", ["a small bear on the left on a farm"],
         "a small bear on the right on a farm", [1]),
        ("Put the drum of the second picture in the place of the bear in the first.",
         ["a small bear on a farm", "a blue drum in space"], "a small blue drum on a farm", [1, 2]),
        ("Give the bear green fur.", ["a bear on a farm"], "a green bear on a farm", [1]),
    ],
)  # fmt: skip
def test_described_pictures_are_changed_as_told(text: str, seen: list[str], drawn: str, references: list[int]) -> None:
    inputs = tuple(g.model_copy(update={"description": d}) for g, d in zip(attached(len(seen)), seen, strict=True))
    instruction = OfflineBrain().parse(Request(text, inputs))
    assert captions(instruction) == [drawn] and not instruction.questions
    assert sorted(instruction.outputs[0].references) == [f"input_{n}" for n in references]


def test_numbered_shots_are_no_attached_pictures() -> None:
    text = "Two shots with this lion. Shot 1: the lion on the beach. Shot 2: the lion left of the pig of picture 2."
    inputs = tuple(
        g.model_copy(update={"description": d})
        for g, d in zip(attached(2), ("a pink lion at the lake", "a pig on a farm"), strict=True)
    )
    instruction = OfflineBrain().parse(Request(text, inputs))
    assert captions(instruction) == ["a pink lion on the beach", "a pink lion left of a pig on the beach"]
    assert not instruction.questions


def test_an_attachment_nobody_mentions_is_used_and_said() -> None:
    instruction = talk("a fox in space", images=1)

    assert instruction.outputs[0].references == ("input_1",)
    assert any("image 1" in notice and "fox" in notice for notice in instruction.notices)


def test_an_attachment_that_nobody_describes_is_asked_about() -> None:
    assert "image 1" in " ".join(talk("make this red", images=1).questions)


def test_an_open_painter_gets_the_persons_own_words() -> None:
    painter = Painter("flux", open_vocabulary=True, width=1024, height=1024)

    instruction = talk("please draw an astronaut riding a white horse, then a cat on the beach", painter=painter)

    assert instruction.questions == ()
    assert captions(instruction) == ["an astronaut riding a white horse", "a cat on the beach"]


@pytest.mark.parametrize("seed", range(4))
def test_captions_of_random_scenes_read_back(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(150):
        scene = _told_scene(rng)
        assert read_back(caption(scene)) == scene


def test_captions_of_random_sets_read_back() -> None:
    rng = random.Random(7)
    for _ in range(60):
        told = [caption(_told_scene(rng)) for _ in range(3)]
        assert captions(OfflineBrain().parse(Request(", then ".join(told)))) == told


def _told_scene(rng: random.Random) -> Scene:
    """A scene of the world as far as requests tell one: no people, and two single subjects in a relation."""
    while True:
        scene = random_scene(rng)
        pair = len(scene.things) == 2 and sum(thing.count for thing in scene.things) == 2
        if not any(thing.subject == PERSON for thing in scene.things) and not (pair and scene.relation is None):
            return scene


@pytest.mark.parametrize("name", DRAWABLE)
def test_every_word_for_a_subject_finds_it(name: str) -> None:
    subject = SUBJECTS[name]
    for word in (name, *subject.synonyms, subject.plural):
        output = talk(f"draw the {word} in the cave").outputs
        assert [o.subjects for o in output] == [(name,)], word


def test_every_place_is_found_by_its_phrase_and_synonyms() -> None:
    for background in BACKGROUNDS.values():
        for words in (background.phrase, *(f"in the {word}" for word in background.synonyms)):
            outputs = talk(f"a cat {words}").outputs
            assert [o.background for o in outputs] == [background.name], words
            assert find_background(background.name) == background.name


def read_back(text: str) -> Scene:
    return scene_of(draft_of(OfflineBrain().parse(Request(text)).outputs[0]))


def test_too_long_a_text_is_refused_at_once() -> None:
    started = time.perf_counter()
    with pytest.raises(InstructionError, match="1,000,000 characters"):
        OfflineBrain().parse(Request("a cat " * 166_666 + "cats"))
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    "text", ["cat and " * 2400, "then " * 3900, "zxq " * 4900, "((((" * 4900, "1" * MAX_TEXT, "a cat\n" * 3000]
)
def test_the_longest_text_is_read_quickly(text: str) -> None:
    started = time.perf_counter()
    instruction = OfflineBrain().parse(Request(text))
    assert instruction.questions
    assert time.perf_counter() - started < 5


def test_any_shuffle_of_known_words_gives_pictures_or_questions() -> None:
    said = "a the same cat rocket it on beach then and of left in moon with picture second make red 3 #2 where gone"
    words = [
        *said.split(),
        "replace",
        "instead",
        "of",
        ",",
        ".",
        "two",
        "pictures",
        "another",
        "this",
        "bigger",
        "to",
        "its",
        "left",
    ]
    rng = random.Random(3)
    for _ in range(1500):
        text = " ".join(rng.choices(words, k=rng.randint(1, 14)))
        instruction = talk("a dog in the city", text)
        assert instruction.outputs or instruction.questions, text


def test_random_bytes_never_crash_the_parser() -> None:
    rng = random.Random(5)
    for _ in range(200):
        text = "".join(chr(rng.choice((rng.randrange(0x20, 0x7F), rng.randrange(0x3000), 0x1F600))) for _ in range(60))
        assert isinstance(OfflineBrain().parse(Request(text)), Instruction)


def test_the_same_words_give_the_same_instruction() -> None:
    said = ("a cat and a rocket on the beach", "make the cat red, then without the rocket")
    assert talk(*said) == talk(*said)


def test_the_offline_brain_plans_what_it_parsed() -> None:
    brain = make_brain("offline")
    instruction = brain.parse(Request("a cat on the beach, then the same cat on the moon"))

    plan = brain.plan(instruction, painter=Painter(), seed=3)

    assert brain.name == "offline"
    assert [output.id for output in plan.outputs] == ["output_1", "output_2"]
    assert [node.tool for node in plan.nodes] == ["generate"]


def test_an_unknown_brain_is_named() -> None:
    with pytest.raises(ValueError, match=r"'oracle'.*offline, openai"):
        make_brain("oracle")
