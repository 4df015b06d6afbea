"""Build the sprite atlas and the vocabulary table from Noto Color Emoji and Unicode CLDR.

Run once by a maintainer, with Debian's `fonts-noto-color-emoji` and `unicode-cldr-core`:

    python tools/pocket/build_assets.py

The results, `sprites.png` and `vocabulary.json`, ship with the package, so nobody else needs
the font or CLDR.
"""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from PIL import Image, ImageDraw, ImageFont

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
CLDR = Path("/usr/share/unicode/cldr/common/annotations/en.xml")
SPRITE_PIXELS = 128
ATLAS_COLUMNS = 16

# names that differ from CLDR's: ours -> CLDR's
CLDR_NAME = {
    "bee": "honeybee",
    "ladybug": "lady beetle",
    "angelfish": "tropical fish",
    "pufferfish": "blowfish",
    "chick": "front-facing baby chick",
    "whale": "spouting whale",
    "caterpillar": "bug",
    "pine tree": "evergreen tree",
    "oak tree": "deciduous tree",
    "chili pepper": "hot pepper",
    "corn": "ear of corn",
    "clover": "four leaf clover",
    "apple": "red apple",
    "fries": "french fries",
    "chocolate": "chocolate bar",
    "honey": "honey pot",
    "cake": "birthday cake",
    "fried egg": "cooking",
    "cocktail": "cocktail glass",
    "beer": "beer mug",
    "fire truck": "fire engine",
    "car": "automobile",
    "truck": "delivery truck",
    "rhino": "rhinoceros",
    "dinosaur": "sauropod",
    "kiwi": "kiwi fruit",
    "eight ball": "pool 8 ball",
    "dice": "game die",
    "piano": "musical keyboard",
    "shirt": "t-shirt",
    "sneaker": "running shoe",
    "high heel": "high-heeled shoe",
    "explosion": "collision",
    "book": "closed book",
    "box": "package",
    "flag": "triangular flag",
    "lantern": "red paper lantern",
    "temple": "classical building",
    "globe": "globe showing americas",
    "moon": "full moon",
    "gift": "wrapped gift",
    "train": "high-speed train",
    "sun": "sun with face",
    "sheep": "ewe",
    "squirrel": "chipmunk",
    "hourglass": "hourglass not done",
}

# glyphs chosen by code point where the CLDR name is ambiguous or a face is wanted
GLYPH = {
    "boot": "\U0001f462",
    "moon": "\U0001f315",
    "sun": "\U0001f31e",
    "globe": "\U0001f30d",
    "temple": "\U0001f3db",
    "lantern": "\U0001f3ee",
    "train": "\U0001f684",
    "flag": "\U0001f6a9",
    "crab": "\U0001f980",
    "telephone": "\u260e",
    "umbrella": "\u2602",
    "airplane": "\u2708",
    "gift": "\U0001f381",
    "crown": "\U0001f451",
    "tent": "\u26fa",
    "star": "\u2b50",
    "anchor": "\u2693",
    "speedboat": "\U0001f6a4",
    "snowman": "\u26c4",
    "sailboat": "\u26f5",
    "soccer ball": "\u26bd",
    "baseball": "\u26be",
    "clover": "\U0001f340",
    "mushroom": "\U0001f344",
    "fried egg": "\U0001f373",
    "piano": "\U0001f3b9",
    "dice": "\U0001f3b2",
    "radio": "\U0001f4fb",
    "pushpin": "\U0001f4cc",
    "book": "\U0001f4d5",
    "beer": "\U0001f37a",
    "shirt": "\U0001f455",
    "bus": "\U0001f68c",
    "box": "\U0001f4e6",
    "explosion": "\U0001f4a5",
    "caterpillar": "\U0001f41b",
    "whale": "\U0001f433",
    "chick": "\U0001f425",
    "camel": "\U0001f42b",
    "penguin": "\U0001f427",
    "koala": "\U0001f428",
    "train engine": "\U0001f682",
    "ice cream": "\U0001f366",
    "spaghetti": "\U0001f35d",
    "motorcycle": "\U0001f3cd",
}

ADDED = (
    "robot",
    "ghost",
    "bicycle",
    "balloon",
    "teapot",
    "hammer",
    "key",
    "anchor",
    "gift",
    "kite",
    "drum",
    "snowman",
    "bell",
    "airplane",
    "candle",
    "sailboat",
    "motorcycle",
    "flying saucer",
)
HELD_OUT = (
    "beaver",
    "dodo",
    "otter",
    "skunk",
    "turkey",
    "bison",
    "hippopotamus",
    "leopard",
    "lizard",
    "potato",
    "feather",
    "coral",
    "magnet",
    "hourglass",
    "axe",
    "canoe",
    "bagel",
    "waffle",
    "mango",
    "coconut",
    "accordion",
    "chair",
    "parachute",
    "church",
)

_ALSO_PLURAL = """
aircraft, angelfish, bison, bread, broccoli, bunch of grapes, cattle, cherries, chips, cooking, corn, deer, dice,
eyeglasses, fish, french fries, fries, glasses, grapes, honey, jeans, maize, noodles, octopi, pancakes, pants,
pasta, popcorn, pufferfish, sheep, shrimp, spacecraft, spaghetti, spectacles, sunshine, sushi, swine, trousers,
volcanoes
"""
PLURALS = {word.strip(): word.strip() for word in _ALSO_PLURAL.split(",")} | {
    **{word: f"{word}es" for word in ("fox", "box", "tomato", "volcano", "potato", "mango", "buffalo")},
    "mouse": "mice",
    "wolf": "wolves",
    "octopus": "octopuses",
    "cactus": "cacti",
    "maple leaf": "maple leaves",
    "chocolate": "chocolates",
    "police car": "police cars",
    "bag of money": "bags of money",
    "ear of corn": "ears of corn",
    "jar of honey": "jars of honey",
    "leaf": "leaves",
    "loaf": "loaves",
    "loaf of bread": "loaves of bread",
    "snow man": "snow men",
    "snowman": "snowmen",
}

SYNONYMS = {
    "mouse": "rodent",
    "cow": "cattle,dairy cow",
    "rabbit": "bunny,hare",
    "cat": "kitty,kitten,kitty cat,pussycat",
    "crocodile": "alligator,croc",
    "snake": "serpent",
    "horse": "pony,stallion,mare,foal",
    "sheep": "ewe,lamb",
    "monkey": "chimp",
    "rooster": "cockerel",
    "dog": "puppy,doggy,doggie,pup,hound",
    "pig": "piglet,hog,swine",
    "octopus": "octopi",
    "caterpillar": "bug,grub",
    "bee": "honeybee,bumblebee",
    "ladybug": "ladybird,lady beetle",
    "angelfish": "tropical fish",
    "pufferfish": "blowfish,puffer fish",
    "turtle": "tortoise",
    "chick": "baby chick,chicken,baby chicken",
    "bear": "grizzly,grizzly bear",
    "panda": "panda bear",
    "squirrel": "chipmunk",
    "seedling": "sprout,sapling",
    "pine tree": "pine,evergreen,evergreen tree,fir tree,fir,christmas tree",
    "oak tree": "oak,deciduous tree,tree",
    "palm tree": "palm",
    "chili pepper": "chili,hot pepper,chilli,chilli pepper,pepper",
    "corn": "maize,ear of corn",
    "clover": "four leaf clover,shamrock",
    "maple leaf": "leaf",
    "mushroom": "toadstool",
    "eggplant": "aubergine",
    "grapes": "grape,bunch of grapes",
    "watermelon": "melon",
    "tangerine": "mandarin,clementine",
    "apple": "red apple",
    "cherries": "cherry",
    "hamburger": "burger,cheeseburger",
    "spaghetti": "pasta,noodles",
    "bread": "loaf,loaf of bread",
    "fries": "french fries,chips",
    "ice cream": "ice-cream,gelato,soft serve",
    "doughnut": "donut",
    "cookie": "biscuit",
    "chocolate": "chocolate bar",
    "lollipop": "candy,lolly",
    "honey": "honey pot,jar of honey",
    "cake": "birthday cake",
    "fried egg": "egg,cooking",
    "wine glass": "wine",
    "cocktail": "martini,cocktail glass",
    "beer": "beer mug,pint",
    "rocket": "spaceship,rocket ship,spacecraft,rocketship",
    "helicopter": "chopper",
    "locomotive": "steam engine,steam train,steam locomotive",
    "train": "high-speed train",
    "fire truck": "fire engine,firetruck",
    "police car": "cop car,patrol car",
    "taxi": "cab,taxicab",
    "car": "automobile,auto",
    "truck": "lorry,delivery truck",
    "ship": "boat,cruise ship",
    "speedboat": "motorboat",
    "lion": "lion cub",
    "deer": "stag,doe,fawn,bambi",
    "gorilla": "ape",
    "rhino": "rhinoceros",
    "shrimp": "prawn",
    "dinosaur": "sauropod,brontosaurus,dino",
    "t-rex": "tyrannosaurus,trex,tyrannosaur",
    "llama": "alpaca",
    "raccoon": "racoon",
    "pancakes": "pancake",
    "kiwi": "kiwi fruit,kiwifruit",
    "eight ball": "8 ball,8-ball,billiard ball",
    "dice": "die,game die",
    "saxophone": "sax",
    "piano": "musical keyboard,keyboard",
    "violin": "fiddle",
    "glasses": "eyeglasses,spectacles",
    "shirt": "t-shirt,tee shirt,tshirt",
    "jeans": "trousers,pants",
    "handbag": "purse,bag",
    "sneaker": "running shoe,trainer,shoe",
    "high heel": "high-heeled shoe,heel",
    "light bulb": "lightbulb,bulb",
    "explosion": "collision,blast",
    "droplet": "drop,water drop,raindrop",
    "money bag": "bag of money,moneybag",
    "laptop": "computer,notebook",
    "pushpin": "thumbtack,pin",
    "telephone": "phone",
    "megaphone": "loudspeaker",
    "box": "package,parcel,cardboard box",
    "television": "tv,telly",
    "soccer ball": "football,ball",
    "tent": "camp tent",
    "temple": "classical building",
    "house": "home,cottage",
    "lantern": "red paper lantern,lamp,paper lantern",
    "globe": "earth,planet,planet earth",
    "moon": "full moon",
    "sun": "sunshine",
    "star": "gold star",
    "robot": "android,bot",
    "ghost": "spirit,phantom",
    "bicycle": "bike",
    "gift": "present,wrapped gift",
    "airplane": "plane,aeroplane,jet,aircraft",
    "flying saucer": "ufo",
    "motorcycle": "motorbike",
    "sailboat": "sailing boat,yacht",
    "snowman": "snow man",
    "hippopotamus": "hippo",
    "bison": "buffalo",
    "parrot": "macaw",
    "umbrella": "parasol",
    "flag": "triangular flag,banner",
    "whale": "spouting whale",
    "duck": "duckling",
    "crown": "tiara",
    "volcano": "volcanoes",
}


def main() -> None:
    """Write `sprites.png` (RGBA tiles, row by row) and `vocabulary.json` beside this file."""
    here = Path(__file__).parent
    listed = [line for line in (here / "subjects.txt").read_text().splitlines() if line and not line.startswith("#")]
    trained = [*listed, *ADDED]
    names = [*trained, *HELD_OUT]
    glyphs = _cldr_glyphs()
    rows = []
    sprites = []
    for name in names:
        glyph = GLYPH.get(name) or glyphs.get(CLDR_NAME.get(name, name)) or glyphs.get(name)
        if glyph is None:
            raise SystemExit(f"no CLDR annotation is called {CLDR_NAME.get(name, name)!r}; add it to GLYPH")
        sprites.append(_sprite(glyph))
        synonyms = [s for s in SYNONYMS.get(name, "").split(",") if s and s not in names]
        plurals = [PLURALS.get(s, _plural(s)) for s in synonyms]
        rows.append(
            {
                "name": name,
                "glyph": glyph,
                "plural": PLURALS.get(name, _plural(name)),
                "synonyms": list(dict.fromkeys([*synonyms, *(p for p in plurals if p not in names)])),
                "held_out": name in HELD_OUT,
            }
        )
    _save_atlas(sprites, here / "sprites.png")
    table = {"sprite_pixels": SPRITE_PIXELS, "columns": ATLAS_COLUMNS, "subjects": rows}
    (here / "vocabulary.json").write_text(json.dumps(table, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(f"{len(rows)} subjects, {len(HELD_OUT)} held out")


def _cldr_glyphs() -> dict[str, str]:
    root = ElementTree.parse(CLDR).getroot()
    return {
        (node.text or "").lower(): node.attrib["cp"]
        for node in root.iter("annotation")
        if node.attrib.get("type") == "tts"
    }


def _sprite(glyph: str) -> Image.Image:
    font = ImageFont.truetype(str(FONT), 109)  # the only bitmap strike of the font
    tile = Image.new("RGBA", (160, 160))
    ImageDraw.Draw(tile).text((12, 16), glyph, font=font, embedded_color=True)
    # Pillow blends glyphs with the black below: colours come out multiplied by alpha, and else drew a dark seam
    tile = Image.frombytes("RGBa", tile.size, tile.tobytes())
    box = tile.getbbox()
    if box is None:
        raise SystemExit(f"{glyph!r} draws nothing")
    cut = tile.crop(box)
    side = max(cut.size)
    inner = SPRITE_PIXELS - 4
    cut = cut.resize((max(1, cut.width * inner // side), max(1, cut.height * inner // side)), Image.Resampling.LANCZOS)
    square = Image.new("RGBa", (SPRITE_PIXELS, SPRITE_PIXELS))
    square.paste(cut, ((SPRITE_PIXELS - cut.width) // 2, (SPRITE_PIXELS - cut.height) // 2))
    return square.convert("RGBA")


def _save_atlas(sprites: list[Image.Image], path: Path) -> None:
    rows = -(-len(sprites) // ATLAS_COLUMNS)
    atlas = Image.new("RGBA", (ATLAS_COLUMNS * SPRITE_PIXELS, rows * SPRITE_PIXELS))
    for i, sprite in enumerate(sprites):
        atlas.paste(sprite, (i % ATLAS_COLUMNS * SPRITE_PIXELS, i // ATLAS_COLUMNS * SPRITE_PIXELS))
    atlas.save(path, optimize=True)


def _plural(name: str) -> str:
    if name.endswith(("s", "x", "ch", "sh")):
        return name + "es"
    if name.endswith("y") and name[-2] not in "aeiou":
        return name[:-1] + "ies"
    return name + "s"


if __name__ == "__main__":
    main()
