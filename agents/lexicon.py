"""The words the offline parser knows, as one table from phrase to (kind, value).

Painter words (subjects, backgrounds, styles, tints) come from the pocket vocabulary; the rest is
grammar. Words that carry nothing a painter needs stand in the explicit lists FILLER (ignored in
silence) and UNDRAWABLE (left out with a notice); every other word is unknown and is asked about.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal, NamedTuple

from chatdit.agents.word_lists import COLOURS, FILLER, SIZES, UNDRAWABLE
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, STYLES, SUBJECTS, TINT_SYNONYMS, TINTS, find_subject

Kind = Literal[
    "subject", "background", "style", "tint", "size", "resize", "number", "vague", "article", "definite", "same",
    "another", "pronoun", "deictic", "relation", "side", "near", "hidden", "position", "locative", "draw", "make",
    "put", "turn", "add", "remove", "replace", "keep", "gone", "again", "instead", "instead_of", "with", "into",
    "from", "picture", "picture_number", "ordinal", "each", "then", "and", "or", "comma", "colon", "stop", "item",
    "aspect", "season", "every", "swap", "only", "filler", "undrawable", "colour", "negation", "attached", "yes",
    "wear", "worn", "way", "unknown",
]  # fmt: skip


class Meaning(NamedTuple):
    """What a phrase is for the grammar, and its value (canonical name, number, direction)."""

    kind: Kind
    value: str | int = ""


_GRAMMAR: Mapping[Kind, Mapping[str | int, tuple[str, ...]]] = {
    "wear": {"": ("wearing", "wears", "wear", "wore", "dressed in", "dressed with", "has on")},
    "worn": {
        "top hat": ("top hat", "hat", "cylinder hat", "tall hat", "top hats", "hats"),
        "party hat": ("party hat", "birthday hat", "paper hat", "pointed hat", "party hats"),
        "bow": ("bow", "bow tie", "ribbon", "bows"),
        "flower": ("flower",),
        "halo": ("halo", "halos"),
        "badge": ("badge", "name badge", "medal", "badges"),
        "": ("what it wears", "what he wears", "what she wears"),
    },
    "way": {
        "afresh": ("repair", "restore", "sharpen", "deblur", "sharp", "sharper", "crisp", "in focus", "out of focus",
                   "blurred", "blurry", "blurred by motion", "motion blur", "the blur", "noisy", "grainy", "denoise",
                   "blurred by a turn of the camera", "shaken"),
        "upright": ("straighten", "upright", "crooked", "straight", "tilted", "lopsided", "level it"),
    },
    "resize": {
        1: ("bigger", "larger", "enlarge", "enlarged", "grow", "grows", "much bigger", "a bit bigger"),
        -1: ("smaller", "shrink", "shrinks", "tinier", "much smaller", "a bit smaller", "littler"),
    },
    "tint": {
        "": ("remove the colour", "remove the color", "no colour", "no color", "without colour", "without color",
             "untinted", "its own colour", "its own color", "its natural colour", "its natural color",
             "its original colour", "its original color", "its own colours", "its own colors", "its usual colour",
             "its usual color", "its usual colours", "its usual colors", "its original colours",
             "its original colors", "its natural colours", "its natural colors", "its normal colour",
             "its normal color", "its normal colours", "its normal colors", "its old colour", "its old color",
             "its real colour", "its real color", "their own colours", "their own colors"),
    },
    "number": {
        1: ("one", "a single", "single"),
        2: ("two", "a pair of", "pair of", "a couple of", "couple of", "twin", "both"),
        3: ("three", "a trio of", "trio of"),
        4: ("four", "a quartet of"),
        5: ("five",),
        6: ("six", "half a dozen"),
        7: ("seven",),
        8: ("eight",),
        9: ("nine",),
        10: ("ten",),
        11: ("eleven",),
        12: ("twelve", "a dozen", "dozen"),
    },
    "vague": {
        3: ("some", "a few", "few", "a group of", "group of", "a bunch of", "a bouquet of", "various"),
        4: ("several", "many", "lots of", "a lot of", "loads of", "a herd of", "a flock of", "multiple", "a crowd of"),
    },
    "article": {"": ("a", "an", "any", "a slice of", "a piece of", "a glass of", "a bowl of")},
    "definite": {"": ("the", "that", "these", "those", "said")},
    "same": {"": ("the same", "same", "this same", "that same", "the very same", "identical")},
    "another": {
        "": ("another", "a second"),
        "more": ("more", "one more", "an extra", "extra", "an additional", "additional", "a further", "further"),
        "new": ("a new",),
    },
    "pronoun": {
        1: ("it", "he", "she", "him", "her", "this one", "that one"),
        2: ("they", "them", "both of them", "all of them", "all", "everything", "of them"),
    },
    "deictic": {"": ("this",)},
    "attached": {
        "": (
            "this image", "this picture", "this photo", "the attached image", "the attached picture", "the attachment",
            "the attached photo", "attached image", "attached", "the image", "the photo", "my image", "my picture",
            "my photo", "the uploaded image", "uploaded", "the reference", "the reference image",
        ),
    },
    "relation": {
        "left of": (
            "left of", "to the left of", "on the left of", "at the left of", "on the left side of", "to the left from",
            "to the left side of", "on the left hand side of", "the left of",
        ),
        "right of": (
            "right of", "to the right of", "on the right of", "at the right of", "on the right side of",
            "to the right from", "to the right side of", "on the right hand side of", "the right of",
        ),
        "above": ("above", "over", "on top of", "atop", "higher than", "hovering over", "on the top of"),
        "below": ("below", "under", "underneath", "beneath", "lower than", "at the bottom of"),
    },
    "side": {
        "left of": ("to its left", "on its left", "on its left side", "to his left", "to her left", "to their left"),
        "right of": ("to its right", "on its right", "on its right side", "to his right", "to her right",
                     "to their right"),
        "above": ("above its head", "above their heads", "over its head", "on its head", "on his head", "on her head",
                  "on it", "on its back"),
        "below": ("below its feet", "at its feet", "under its feet"),
    },
    "near": {
        "left of": ("next to", "beside", "near", "close to", "alongside", "by the side of", "besides", "facing",
                    "along with", "side by side with", "nearby", "not far from"),
    },
    "hidden": {"": ("behind", "in front of", "between", "around", "surrounded by", "inside of", "hidden by")},
    "position": {
        "left": ("on the left", "to the left", "at the left", "on the left side", "left side", "left", "leftmost",
                 "on the left hand side", "in the left", "on the left of the picture", "in the left half"),
        "right": ("on the right", "to the right", "at the right", "on the right side", "right side", "right",
                  "on the right hand side", "in the right", "on the right of the picture", "in the right half"),
        "middle": ("in the middle", "in the center", "in the centre", "at the center", "at the centre", "centered",
                   "centred", "middle", "in the middle of the picture", "to the middle", "to the center"),
        "top": ("at the top", "on top", "at the top of the picture", "to the top", "top", "in the upper half"),
        "bottom": ("at the bottom", "at the bottom of the picture", "to the bottom", "bottom", "in the lower half"),
    },
    "locative": {"": ("in", "on", "at", "onto", "inside", "within", "through", "among", "across", "across from",
                      "out in", "out on", "up on", "up in", "off to", "amid")},
    "draw": {"": ("draw", "paint", "create", "generate", "render", "illustrate", "show me", "give me", "i want",
                  "i would like", "i'd like", "produce", "depict", "draw me", "paint me", "imagine", "design",
                  "let me see", "make me", "surprise me", "drawing", "compose", "do")},
    "make": {"": ("make", "making", "made")},
    "put": {"": ("put", "place", "take", "move", "send", "bring", "position", "shift", "take it to", "stand")},
    "turn": {"": ("turn", "change", "convert", "transform", "recolor", "recolour", "colour it", "color it", "switch",
                  "becomes", "become", "tint", "modify", "update", "adjust")},
    "add": {"": ("add", "include", "insert", "plus", "give", "with an added", "adding")},
    "remove": {"": ("without", "remove", "no", "minus", "delete", "erase", "get rid of", "take away", "take out",
                    "leave out", "omit", "except", "excluding", "there is no", "there are no", "has no", "no more",
                    "should not wear", "does not wear", "not wearing", "no longer wears",
                    "there is no longer", "is without", "removing", "cut out")},
    "swap": {"": ("switch places", "swap places", "trade places", "change places", "switch sides", "swap sides", "flip",
                  "the other way round", "the other way around", "on the other side", "to the other side")},
    "replace": {"": ("replace", "swap", "substitute", "exchange", "swap out", "switch out", "replacing")},
    "keep": {"": ("keep", "keeping", "preserve", "leave", "retain", "maintain")},
    "gone": {"": ("has left", "have left", "had left", "has already left", "has just left", "is gone", "are gone",
                  "has gone", "have gone", "has disappeared", "have disappeared", "disappears", "disappear",
                  "vanishes", "has vanished", "is missing", "are missing", "has departed", "has flown away",
                  "flew away", "flies away", "went away", "goes away", "runs away", "walks away", "drives away",
                  "swims away", "flies off", "runs off", "drives off", "is not there", "are not there",
                  "is not there anymore", "is no longer there", "are no longer there", "leaves the picture",
                  "left the picture", "left the scene", "takes off", "took off", "has taken off", "is away",
                  "has flown off", "walked away",
                  "ran away", "is removed", "are removed", "gone", "has been removed", "is no more", "departs",
                  "is no longer in the picture", "is absent")},
    "again": {"": ("again", "another one", "try again", "redo", "redraw", "once more", "retry", "another try",
                   "do it again", "one more time", "another version", "another variation", "a different one",
                   "reroll", "another attempt", "regenerate", "do over", "give me another", "a new one",
                   "another take", "try another", "do that again", "do another")},
    "instead": {"": ("instead", "rather", "i meant", "i mean")},
    "instead_of": {
        "": ("instead of", "in place of", "in the place of", "in the position of", "rather than", "in lieu of"),
    },
    "with": {"": ("with", "together with", "accompanied by", "plus also")},
    "into": {"": ("into", "to", "for", "by", "becoming")},
    "from": {"": ("from", "out of", "taken from")},
    "picture": {
        1: ("picture", "image", "photo", "page", "panel", "illustration", "painting", "frame", "pic", "shot", "card",
            "poster", "picture of", "image of", "photograph", "artwork", "snapshot", "portrait", "slide", "postcard",
            "ticket", "logo", "icon", "business card", "greeting card", "chart", "counting chart", "screen",
            "advertisement", "advert", "ad", "packaging", "label", "id photo", "passport photo", "flyer",
            "brochure", "leaflet", "invitation", "sticker", "stamp", "wallpaper", "cover", "book cover", "album cover",
            "menu", "collage", "close-up", "wide view", "wide shot", "panorama", "still", "thumbnail", "avatar"),
        2: ("pictures", "images", "photos", "pages", "panels", "illustrations", "paintings", "frames", "pics", "shots",
            "cards", "posters", "comic", "comic strip", "storyboard", "series", "sequence", "drawings", "photographs",
            "sequence of", "series of", "set of pictures", "variations", "versions", "variants", "slides",
            "picture set", "picture story", "portraits", "scenes", "locations", "different pictures", "icons",
            "postcards", "logos", "advertisements", "adverts", "ads", "labels", "flyers", "stickers",
            "stamps", "invitations", "covers", "stills", "thumbnails", "avatars",
            "picture book", "storybook", "story book", "children's book", "times"),
    },
    "ordinal": {
        1: ("first", "1st"), 2: ("second", "2nd"), 3: ("third", "3rd"), 4: ("fourth", "4th"), 5: ("fifth", "5th"),
        6: ("sixth", "6th"), 7: ("seventh", "7th"), 8: ("eighth", "8th"), 9: ("ninth", "9th"), 10: ("tenth", "10th"),
        -1: ("last", "latest", "previous", "most recent", "final"),
    },
    "each": {"": ("each", "every", "each of them", "for each", "one each", "one for each", "respectively",
                  "one picture each", "one image each", "a picture each", "an image each",
                  "separately", "each on its own", "each on their own", "each in its own", "all of these")},
    "then": {"": ("then", "and then", "after that", "afterwards", "next", "followed by", "finally", "later",
                  "then finally", "and finally", "and after that", "and next", "subsequently", "and afterwards",
                  "next up", "secondly", "thirdly")},
    "and": {"": ("and", "&")},
    "or": {"": ("or",)},
    "aspect": {
        "background": ("the background", "background", "the place", "the setting", "the scenery", "the location",
                       "backdrop", "the backdrop", "scenery"),
        "style": ("the style", "the look"),
        "layout": ("the layout", "layout", "the composition", "composition", "the pose", "pose"),
        "size": ("the size",),
        "colour": ("the colour", "the color", "the tint"),
    },
    "season": {"meadow": ("spring", "springtime", "the spring"), "beach": ("summer", "summertime", "the summer")},
    "every": {
        "season": ("four seasons", "the four seasons", "all four seasons", "the seasons", "each season",
                   "every season", "all seasons", "different seasons", "seasons", "all the seasons"),
        "style": ("every style", "each style", "all styles", "all the styles", "different styles", "styles"),
        "tint": ("every colour", "every color", "each colour", "each color", "all colours", "all colors",
                 "all the colours", "all the colors", "different colours", "different colors", "colours", "colors"),
        "place": ("places", "different places", "different settings", "different scenes", "different backgrounds",
                  "different locations", "rooms", "different rooms"),
    },
    "only": {"": ("only", "only keep", "keep only", "just keep", "keep just", "remove everything except",
                  "remove everything but", "remove all but", "remove all except", "everything but", "alone",
                  "by itself", "on its own", "nothing but", "all alone")},
    "yes": {"": ("yes", "yeah", "yep", "sure", "y", "correct", "exactly", "right you are")},
    "negation": {"": ("not", "don't", "never", "do not", "isn't", "nor", "neither", "is not", "cannot")},
    "undrawable": {"corner": ("top left", "top right", "bottom left", "bottom right", "upper left", "upper right",
                              "lower left", "lower right", "in the corner", "corner", "in the top left corner",
                              "in the top right corner", "in the bottom left corner", "in the bottom right corner",
                              "in the foreground", "in the distance")},
    "filler": {"": ("where", "in which", "that is", "as before", "of course", "a picture where", "such that",
                    "in the picture", "in the scene", "in it", "in there", "in style", "come on", "a bit",
                    "a little", "in the background", "to be", "kind of", "at the same place",
                    "in the image", "it to be", "thank you", "in the same picture", "a lot", "in one picture",
                    "as a background", "into the picture", "to the picture", "to the scene", "into the scene",
                    "for the background", "as the background", "i'd love", "along", "about a", "the rest",
                    "everything else", "the other things", "at all", "out", "off", "away", "up", "its", "their",
                    "his", "when", "the whole", "out there", "this time", "called", "scenario", "view", "at it",
                    "of it", "as is", "as it is", "unchanged", "the one", "there is", "there are", "nothing else",
                    "and nothing else", "nothing besides", "nothing else may change", "change nothing else",
                    "and change nothing else", "leave everything else as it is", "keep the rest", "belong together",
                    "that belong together", "retouch", "retouch it", "the mask", "in the mask", "inside the mask",
                    "within the mask",
                    "with the mask", "using the mask", "use the mask", "where the mask is white", "in the masked area",
                    "inside the masked area", "in the masked part", "in the masked region", "the masked area",
                    "in the marked area", "inside the marked area", "where it is marked", "in the white area",
                    "in the white part", "is the mask", "is a mask", "is its mask")},
}  # fmt: skip


_MORE_SUBJECTS = {
    "oranges": "tangerine", "mangoes": "mango", "potatoes": "potato", "snowmen": "snowman",
}  # fmt: skip
"""Plurals that the vocabulary spells otherwise."""

_MORE_PLACES = {"water": "underwater", "hill": "mountains", "lakeshore": "lake", "outdoors": "meadow", "snowy": "snow"}
_MORE_PLACES |= dict.fromkeys(("no background", "without background", "without a background"), "studio")
_MORE_PLACES |= dict.fromkeys(("on the sea", "on the ocean", "on the water", "on the open sea", "at sea"), "lake")

PLACE_OR_SUBJECT: Mapping[str, str] = {"moon": "moon", "full moon": "moon", "stars": "space"}
"""Subject words that name a background when they follow a word of place ("on the moon")."""


@cache
def phrase_table() -> Mapping[str, Meaning]:
    """Every known phrase in lower case; words of a phrase are separated by single spaces."""
    table = {word: Meaning("filler") for word in FILLER}
    table |= {word: Meaning("undrawable") for word in UNDRAWABLE}
    table |= {word: Meaning("colour") for word in COLOURS}
    table |= _painter_words()
    for kind, values in _GRAMMAR.items():
        table |= {phrase: Meaning(kind, value) for value, phrases in values.items() for phrase in phrases}
    table |= {word: Meaning("size", size) for size, words in SIZES.items() for word in words}
    return table


@cache
def longest_phrase() -> int:
    """Words in the longest known phrase."""
    return max(len(phrase.split()) for phrase in phrase_table())


@cache
def painter_names() -> tuple[str, ...]:
    """Every word for something that can be drawn, to offer near matches for unknown words."""
    kinds = ("subject", "background", "style", "tint")
    return tuple(phrase for phrase, meaning in _painter_words().items() if meaning.kind in kinds)


@cache
def plural_words() -> frozenset[str]:
    """Subject words that speak of more than one: plurals that differ from their singular."""
    plurals: set[str] = set()
    for subject in SUBJECTS.values():
        forms = {subject.name, subject.plural, *subject.synonyms}
        plurals |= {form for form in forms if {form[:-1], form[:-2], f"{form[:-3]}y"} & forms and form.endswith("s")}
        plurals = (plurals | {subject.plural}) - {subject.name}
    return frozenset(plurals | set(_MORE_SUBJECTS))


def _painter_words() -> dict[str, Meaning]:
    words: dict[str, Meaning] = {}
    for background in BACKGROUNDS.values():
        forms = (background.name, background.phrase, *background.synonyms)
        words |= {form.lower(): Meaning("background", background.name) for form in forms}
    for style in STYLES.values():
        forms = (style.name, *style.synonyms)
        words |= {f"{form.lower()}{end}": Meaning("style", style.name) for form in forms for end in ("", " style")}
    for tint in TINTS:
        words |= {form.lower(): Meaning("tint", tint) for form in (tint, *TINT_SYNONYMS.get(tint, ()))}
    for subject in SUBJECTS.values():
        for form in (subject.name, subject.plural, *subject.synonyms):
            if not _tint_then_subject(form):
                words.setdefault(form.lower(), Meaning("subject", find_subject(form) or subject.name))
        words.setdefault(subject.glyph, Meaning("subject", subject.name))
    words |= {word: Meaning("subject", name) for word, name in _MORE_SUBJECTS.items()}
    words |= {word: Meaning("background", name) for word, name in _MORE_PLACES.items()}
    words |= {word: Meaning("style", "plain") for word in ("in colour", "in color")}
    words |= {word: Meaning("style", "sketch") for word in ("sketches", "pencil drawings")}
    words["moon"] = Meaning("subject", "moon")
    del words["the stars"]
    return words


def _tint_then_subject(form: str) -> bool:
    """True for "red apple": a tint and a subject, which must stay two words."""
    first, _, rest = form.partition(" ")
    return first in TINTS and find_subject(rest) is not None
