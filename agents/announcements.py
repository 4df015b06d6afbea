"""How many pictures a message announces: "three pictures of", "a 4-panel comic", "pictures of"."""

from __future__ import annotations

from chatdit.agents.lexer import Lexeme

_ALL = frozenset(("all", "both", "each", "every", "all of them", "both of them", "each of them", "everything"))


def take_announcement(lexemes: list[Lexeme]) -> tuple[list[Lexeme], int | None, bool]:
    """Removes "three pictures of", "a 4-panel comic", "pictures of"; returns their number and whether plural."""
    for at, lexeme in enumerate(lexemes):
        if lexeme.kind != "picture" or (at and lexemes[at - 1].kind in ("same", "ordinal", "picture_number")):
            continue
        start, number = _number_before(lexemes, at)
        if number is None and lexeme.value == 1:
            continue
        if number == 1 or (at and lexemes[at - 1].kind in ("definite", "each")):
            continue
        end = at + 1
        while end < len(lexemes) and (lexemes[end].kind == "picture" or _announces(lexemes[end])):
            end += 1
        later = [w for w in lexemes[start:end] if w.kind == "number"]
        number = number if number is not None else next((int(w.value) for w in later), None)
        if start and lexemes[start - 1].kind in ("locative", "with"):
            start -= 1
        rest, again, _ = take_announcement(lexemes[end:])
        return lexemes[:start] + rest, number if number is not None else again, True
    return lexemes, None, False


def share_with_all(pieces: list[list[Lexeme]]) -> list[list[Lexeme]]:
    """ "a cat, then a dog, both in the snow": a place or style said of all goes to every picture without one."""
    shared = _said_of_all(pieces[-1]) if len(pieces) > 1 else None
    if shared is None:
        return pieces
    return [piece if any(w.kind == shared.kind for w in piece) else [*piece, shared] for piece in pieces]


def _said_of_all(piece: list[Lexeme]) -> Lexeme | None:
    for at, lexeme in enumerate(piece):
        if lexeme.text not in _ALL:
            continue
        rest = [w for w in piece[at + 1 :] if w.kind not in ("filler", "locative", "article", "definite", "pronoun")]
        if rest and rest[0].kind in ("background", "style"):
            return rest[0]
    return None


def _announces(lexeme: Lexeme) -> bool:
    return lexeme.kind == "number" or lexeme.text in ("in", "of", "with", "comic", "strip", "story", "set")


def _number_before(lexemes: list[Lexeme], at: int) -> tuple[int, int | None]:
    start = at
    while start and lexemes[start - 1].kind in ("undrawable", "picture", "filler", "another"):
        start -= 1
    if start and lexemes[start - 1].kind in ("number", "vague"):
        return start - 1, int(lexemes[start - 1].value)
    return at, None
