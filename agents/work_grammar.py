"""The grammar of requests about whole pictures: one sentence with a verb, the pictures, and what becomes of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from chatdit.tools.compose import Crop, Flip, Grid, Operation, Pad, Resize, Rotate, Split, Stitch
from chatdit.tools.types import Box

Which = Literal["last", "both", "numbers", "ordinal", "unsaid"]


@dataclass(frozen=True)
class Pictures:
    """Which pictures a request speaks of: the last one, all of the last turn, or some by their numbers."""

    which: Which
    numbers: tuple[int, ...] = ()
    attached: bool = False
    """Whether the numbers may be those of attached pictures ("image 2", not "#2")."""


@dataclass(frozen=True)
class WorkRequest:
    """What one sentence asks of pictures. `words` tell it; "{}" in them stands for the pictures."""

    tool: Literal["compose", "segment"]
    args: Mapping[str, JsonValue]
    pictures: Pictures
    words: str


_UNIT = r"(?:picture|image|photo|panel|drawing|pic)"
_NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8, "nine": 9, "ten": 10, "twelve": 12}
_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}
_NUMBER = rf"(?:\d+|{'|'.join(_NUMBERS)})"
_LIST = r"#?\d+(?:\s*(?:,|and|&|to|-|through|,\s*and)\s*#?\d+)*"
_ONE = (
    rf"it|this|that|(?:this|that|the|my)(?: last| whole)? {_UNIT}|the last one|(?:the )?{_UNIT} #?\d+|#\d+"
    rf"|the (?:first|second|third|fourth|last) (?:{_UNIT}|one)"
)
_MANY = (
    rf"(?:all )?(?:of )?(?:them|these|those)(?: all)?|both(?: of them)?|(?:both|all|the|these|those)(?: of)?(?: the)?"
    rf"(?: (?:two|three|four|five|six))? {_UNIT}s|everything|{_UNIT}s #?{_LIST}|#\d+{_LIST[4:]}"
)
_PICS = rf"(?P<pics>{_MANY}|{_ONE})"
_PIC = rf"(?P<pics>{_ONE})"
POLITE = re.compile(
    r"^(?:please |now |then |and |also |finally |kindly |(?:can|could|would) you |i want you to |i'd like you to )+"
    r"|(?:,? please|,? thanks|,? thank you|,? now)+$"
)
_RATIOS = {
    "square": 1.0, "landscape": 4 / 3, "portrait": 3 / 4, "widescreen": 16 / 9, "banner": 3.0, "story": 9 / 16,
}  # fmt: skip
_SHAPE = r"(?:an? |the )?(?P<shape>square|landscape|portrait|widescreen|banner|story|\d+(?:\.\d+)? ?: ?\d+(?:\.\d+)?)"
_SHAPE += r"(?: format| shape| aspect(?: ratio)?| ratio)?"
_HALVES = {
    "left": Box(x1=0, y1=0, x2=0.5, y2=1), "right": Box(x1=0.5, y1=0, x2=1, y2=1),
    "top": Box(x1=0, y1=0, x2=1, y2=0.5), "upper": Box(x1=0, y1=0, x2=1, y2=0.5),
    "bottom": Box(x1=0, y1=0.5, x2=1, y2=1), "lower": Box(x1=0, y1=0.5, x2=1, y2=1),
}  # fmt: skip
_OTHER = {"left": "right", "right": "left", "top": "bottom", "upper": "lower", "bottom": "top", "lower": "upper"}
_SHEET = r"(?P<sheet>contact sheet|grid|collage|mosaic|sheet|overview)"
_JOIN = r"(?:put|place|arrange|show|lay out|lay|combine|join|merge|set|stitch|glue|paste|line up|collect|display)"
_CUT = r"(?:split|cut|divide|slice)"
_CROP = r"(?:crop|trim|cut)"
_BRING = r"(?:give me|make|create|show me|draw|build|get|do)"
_HALF = rf"the (?P<side>left|right|top|upper|bottom|lower) half(?: of (?P<of>{_ONE}))?"
_PICTURE = rf"(?P<whole>(?:this|that|the|my)(?: last| whole)? {_UNIT}|(?:the )?{_UNIT} #?\d+|#\d+)"
_SIZE = r"(?:resize|scale|rescale|shrink|enlarge|blow|make|reduce|bring)"


def _compose(found: re.Match[str], operation: Operation, words: str) -> WorkRequest:
    args: dict[str, JsonValue] = {"operation": operation.model_dump(mode="json", exclude_defaults=True)}
    args["operation"] = {"kind": operation.kind, **args["operation"]}  # type: ignore[dict-item]
    groups = found.groupdict()
    named = next((groups[name] for name in ("pics", "whole", "of") if groups.get(name)), None)
    return WorkRequest("compose", args, _pictures(named), words)


def _pictures(words: str | None) -> Pictures:
    if words is None:
        return Pictures("unsaid")
    numbers = [int(n) for n in re.findall(r"\d+", words)]
    if len(numbers) == 2 and re.search(r"\d\s*(?:to|-|through)\s*#?\d", words) and numbers[0] < numbers[1]:
        numbers = list(range(numbers[0], numbers[1] + 1))
    if numbers:
        return Pictures("numbers", tuple(numbers), attached="#" not in words)
    ordinal = next((n for word, n in _ORDINALS.items() if re.search(rf"\b{word} (?:{_UNIT}|one)\b", words)), None)
    if ordinal is not None and ordinal > 0:
        return Pictures("ordinal", (ordinal,), attached=True)
    return Pictures("last") if re.fullmatch(_ONE, words) else Pictures("both")


def pictures_named(words: str) -> Pictures | None:
    """The pictures that words name and nothing else ("#1 and #2", "it"); None for any other words."""
    told = " ".join(words.lower().split()).strip(" .!?,;")
    return _pictures(told) if re.fullmatch(f"{_MANY}|{_ONE}", told) else None


def _number(word: str | None) -> int | None:
    if word is None:
        return None
    return _NUMBERS.get(word) or (int(word) if word.isdigit() else None)


def _grid(found: re.Match[str]) -> WorkRequest | None:
    columns = _number(found["columns"])
    if found["across"]:
        columns = int(found["across"])
    if columns is not None and not 1 <= columns <= 24:
        return None
    return _compose(found, Grid(columns=columns), "{} on one sheet")


def _row(found: re.Match[str]) -> WorkRequest:
    down = found["down"] is not None
    words = "{} one above the other" if down else "{} side by side"
    return _compose(found, Stitch(direction="vertical" if down else "horizontal"), words)


def _crop_shape(found: re.Match[str]) -> WorkRequest:
    return _compose(found, Crop(aspect=_ratio(found["shape"])), f"{{}} cropped to {found['shape']}")


def _crop_half(found: re.Match[str]) -> WorkRequest:
    side = found["side"]
    side = _OTHER[side] if found["off"] else side
    return _compose(found, Crop(box=_HALVES[side]), f"the {side} half of {{}}")


def _ratio(shape: str) -> float:
    if shape in _RATIOS:
        return _RATIOS[shape]
    across, down = (float(v) for v in shape.split(":"))
    return min(max(across / (down or 1), 0.01), 100)


def _split(found: re.Match[str]) -> WorkRequest | None:
    rows, columns = _parts(found)
    if not (1 <= rows <= 24 and 1 <= columns <= 24 and 1 < rows * columns <= 24):
        return None
    return _compose(found, Split(rows=rows, columns=columns), "part {part} of {}")


def _parts(found: re.Match[str]) -> tuple[int, int]:
    """Rows and columns; a number of parts alone makes a grid where it is one, else a row."""
    if found["rows"]:
        return int(found["rows"]), int(found["columns"])
    if found["halves"]:
        return (2, 1) if found["how"] else (1, 2)
    if found["quarters"]:
        return 2, 2
    count, kind = _number(found["count"]) or 0, found["kind"]
    if kind.startswith("row"):
        return count, 1
    if kind.startswith("column") or count in (2, 3, 5, 7, 11):
        return 1, count
    rows = max((r for r in range(1, count + 1) if count % r == 0 and r * r <= count), default=1)
    return rows, count // rows if rows else 0


def _pad(found: re.Match[str]) -> WorkRequest:
    fill = found["fill"]
    fill = "edge" if fill is None else "blur" if fill.startswith("blur") else fill
    return _compose(found, Pad(aspect=_ratio(found["shape"]), fill=fill), f"{{}} padded to {found['shape']}")


def _resize(found: re.Match[str]) -> WorkRequest | None:
    """To a number of pixels."""
    if found["w"]:
        width, height = int(found["w"]), int(found["h"])
        if not (width and height):
            return None
        return _compose(found, Resize(width=width, height=height), f"{{}} at {width}x{height}")
    if found["pixels"]:
        side = int(found["pixels"])
        high = found["dim"].startswith(("high", "tall"))
        return (
            _compose(found, Resize(height=side) if high else Resize(width=side), f"{{}} at {side} pixels")
            if side
            else None
        )
    return None


def _scale(found: re.Match[str]) -> WorkRequest | None:
    """By a factor."""
    number = found["times"] or found["factor"]
    if found["percent"]:
        scale = float(found["percent"]) / 100
    elif number is not None:
        scale = float(_NUMBERS.get(number, 0) or number)
    else:
        scale = 0.5 if found["half"] else 2.0
    return _compose(found, Resize(scale=scale), f"{{}} at {scale:g} times its size") if 0 < scale <= 64 else None


def _rotate(found: re.Match[str]) -> WorkRequest:
    degrees = 180 if found["over"] else int(found["degrees"] or 90)
    left = found["way"] is not None and found["way"].startswith(("counter", "anti", "to the left"))
    turned: Literal[90, 180, 270] = 180 if degrees == 180 else 270 if left == (degrees == 90) else 90
    return _compose(found, Rotate(degrees=turned), f"{{}} turned by {turned} degrees")


def _flip(found: re.Match[str]) -> WorkRequest:
    vertical = found["way"] is not None and found["way"].startswith(("vert", "up", "top"))
    direction: Literal["horizontal", "vertical"] = "vertical" if vertical else "horizontal"
    return _compose(found, Flip(direction=direction), "{} mirrored")


def _segment(found: re.Match[str]) -> WorkRequest | None:
    phrase = found["phrase"].strip()
    if not phrase or re.fullmatch(_ONE, phrase) or re.fullmatch(_MANY, phrase):
        return None
    pictures = _pictures(found["pics"]) if found["pics"] else Pictures("last")
    if found["mask"]:
        return WorkRequest(
            "segment", {"phrase": phrase, "shown": "mask"}, pictures, f"the mask of the {phrase} of {{}}"
        )
    return WorkRequest("segment", {"phrase": phrase}, pictures, f"the {phrase} of {{}}")


def _no_background(found: re.Match[str]) -> WorkRequest:
    pictures = _pictures(found["pics"]) if found["pics"] else Pictures("last")
    return WorkRequest("segment", {"phrase": "everything"}, pictures, "{} without its background")


_FROM = rf"(?: (?:from|in|of|out of|on) {_PIC})?"
_IN_ONE = rf"(?: (?:in|on|into) (?:one|a single) {_UNIT})?"
_TO = r"(?: (?:to|at|into|as|by))?(?: a size of| the size)?"
_WAY = r"(?: (?P<way>clockwise|counter-?clockwise|anti-?clockwise|to the (?:left|right)))?"
_ACROSS = r"(?:(?P<across>\d+) ?(?:x|by) ?\d+ )?"
_COLUMNS = rf"(?: (?:with|in|of) (?P<columns>{_NUMBER}) columns?)?{_IN_ONE}"
_BESIDE = r"(?:next to each other|next to one another|side by side|beside each other|horizontally|from left to right"
_BESIDE += r"|in (?:one |a )?(?:single )?row)"
_ABOVE = r"(?P<down>above each other|on top of each other|one above the other|one below the other|below each other"
_ABOVE += r"|in (?:one |a )?(?:single )?column|vertically)"
_GRID_PARTS = r"(?P<rows>\d+) ?(?:x|by) ?(?P<columns>\d+)(?: (?:parts|pieces|tiles|grid))?"
_EQUAL_PARTS = rf"(?P<count>{_NUMBER})(?: equal)? (?P<kind>parts|pieces|tiles|panels|pictures|images|rows?|columns?)"
_HALVED = r"(?P<halves>half|halves|two halves)(?: (?P<how>horizontally))?|(?P<quarters>quarters|four quarters)"
_FILL = r"(?P<fill>white|black|blurred|blur|gr[ae]y|#[0-9a-f]{6})(?: borders?| bars?| background| margins?| edges?)?"
_PIXELS = r"(?P<w>\d+) ?(?:x|by) ?(?P<h>\d+)(?: pixels| px)?"
_PIXELS += r"|(?P<pixels>\d+) ?(?:pixels|px) (?P<dim>wide|high|tall|in width|in height)"
_TIMES = r"(?P<percent>\d+(?:\.\d+)?) ?(?:%|percent)(?: of its size)?"
_TIMES += r"|(?P<half>half(?: (?:of )?its size| the size| as large| as big)?)"
_TIMES += r"|(?P<twice>twice(?: (?:its size|the size|as large|as big))?|double(?: its size| the size)?)"
_TIMES += rf"|(?P<times>{_NUMBER}|\d+\.\d+) times(?: (?:larger|bigger|its size|the size|as large|as big))?"
_TIMES += rf"|(?:a )?factor (?:of )?(?P<factor>{_NUMBER}|\d*\.\d+)"
_DEGREES = rf"(?P<over> upside down)|(?: by)?(?: (?P<degrees>90|180|270) ?(?:degrees|°|deg))?{_WAY}"
_MIRRORED = r"(?: (?P<way>horizontally|vertically|left to right|upside down|top to bottom|sideways))?"
_PHRASE = r"(?:the |a |an )?(?P<phrase>[a-z][a-z' -]{1,60}?)"
_TAKE = r"cut out|select|segment|isolate|extract|crop out|(?P<mask>mask(?: out)?)"
_A = r"(?:an? |the |one )?"

_RULES: Sequence[tuple[str, Callable[[re.Match[str]], WorkRequest | None]]] = (
    (rf"{_JOIN} {_PICS}(?: together)? (?:in|into|as|on|onto|to) {_A}{_ACROSS}{_SHEET}{_COLUMNS}", _grid),
    (rf"{_BRING} {_A}{_ACROSS}{_SHEET}(?: (?:of|from|with|out of) {_PICS})?{_COLUMNS}", _grid),
    (rf"{_JOIN} {_PICS}(?: together)? (?:{_BESIDE}|{_ABOVE})(?: together)?{_IN_ONE}", _row),
    (rf"{_CROP} {_PICS}(?: down)?(?: (?:to|into|as))? {_SHAPE}", _crop_shape),
    (rf"{_CROP}(?P<off> off| away)?(?: {_PIC}(?: down)?(?: to)?)? (?:only )?{_HALF}", _crop_half),
    (rf"{_CUT} {_PIC}(?: up)? (?:in|into)(?: to)? (?:{_HALVED}|{_GRID_PARTS}|{_EQUAL_PARTS})", _split),
    (rf"(?:pad|extend|expand|letterbox) {_PICS}(?: out)?(?: to)? {_SHAPE}(?: (?:with|in|on)(?: an?)? {_FILL})?", _pad),
    (rf"{_SIZE} {_PICS}(?: up| down)?{_TO} (?:{_PIXELS})", _resize),
    (rf"(?:{_SIZE} {_PICTURE}|(?:resize|scale|rescale) {_PICS})(?: up| down)?{_TO} (?:{_TIMES})", _scale),
    (rf"(?:rotate|turn) {_PICS}(?:{_DEGREES})", _rotate),
    (rf"(?:flip|mirror) {_PIC}{_MIRRORED}", _flip),
    (rf"(?:{_TAKE}) {_PHRASE}{_FROM}", _segment),
    (rf"{_BRING} {_A}(?:(?P<mask>mask)|cut-?out|selection) (?:of|for) {_PHRASE}{_FROM}", _segment),
    (rf"(?:remove|take away|erase|delete|cut away) the background(?: (?:of|from|in) {_PIC})?", _no_background),
)
GRAMMAR = tuple((re.compile(pattern), build) for pattern, build in _RULES)
"""What a whole sentence without politeness may be, and what it then asks; that may still be nothing."""
