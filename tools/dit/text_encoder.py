"""The pocket text encoder: words to a short sequence of vectors and one pooled vector.

Layout legend: B batch, L tokens, D embedding width. The tokenizer maps known phrases ("fire
truck") to one token each and reports every word it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chatdit.tools.dit.layout import square_tensor
from chatdit.tools.dit.square_words import Told, squares_of, token_word

PAD = 0
TOKEN_BUCKET = 32


@dataclass(frozen=True)
class TextEncoderConfig:
    """Shape of the encoder; `vocabulary` lists one phrase for each id from 1, id 0 is padding."""

    vocabulary: tuple[str, ...]
    width: int = 256
    layers: int = 2
    heads: int = 4
    max_tokens: int = 96


@dataclass(frozen=True)
class Tokens:
    """Ids of one caption, the words that have none, and how many tokens did not fit."""

    ids: tuple[int, ...]
    unknown: tuple[str, ...] = ()
    truncated: int = 0


class PhraseTokenizer:
    """Greedy longest-phrase tokenizer over a closed vocabulary.

    Articles are dropped, case and punctuation are ignored except tags like `[panel1]`.
    """

    _word = re.compile(r"\[[a-z0-9]+\]|[a-z0-9]+(?:['-][a-z0-9]+)*")
    dropped_words = frozenset({"a", "an", "the", "and", "with", "is"})

    def __init__(self, vocabulary: Sequence[str], max_tokens: int) -> None:
        self.max_tokens = max_tokens
        self._id = {" ".join(self._words(phrase)): i for i, phrase in enumerate(vocabulary, start=1)}
        self._longest = max((len(p.split()) for p in vocabulary), default=1)

    def __call__(self, caption: str) -> Tokens:
        found = self.phrases(caption)
        ids = [number for number, _ in found if number != PAD]
        unknown = tuple(caption[span].lower() for number, span in found if number == PAD)
        kept = tuple(ids[: self.max_tokens])
        return Tokens(kept, unknown, len(ids) - len(kept))

    def phrases(self, caption: str) -> list[tuple[int, slice]]:
        """The id of each phrase in order, and where it stands in the caption; PAD for a word that has none."""
        spans = [m for m in self._word.finditer(caption.lower()) if m.group() not in self.dropped_words]
        words = [token_word(m.group()) for m in spans]
        found, at = [], 0
        while at < len(words):
            length = self._match(words, at) or 1
            number = self._id.get(" ".join(words[at : at + length]), PAD)
            found.append((number, slice(spans[at].start(), spans[at + length - 1].end())))
            at += length
        return found

    def squares(self, caption: str, panels: int) -> Tensor:
        """The squares that a caption tells, float (P, S, NUMBERS), each with the text token that ends its words."""
        found = [(number, caption[span].lower()) for number, span in self.phrases(caption) if number != PAD]
        told: list[Told] = [t for t in squares_of([word for _, word in found]) if t.word < self.max_tokens]
        return torch.stack([square_tensor([(t.spot, t.word) for t in told if t.panel == p]) for p in range(panels)])

    def _words(self, text: str) -> list[str]:
        return [word for word in self._word.findall(text.lower()) if word not in self.dropped_words]

    def _match(self, words: list[str], at: int) -> int:
        for length in range(min(self._longest, len(words) - at), 0, -1):
            if " ".join(words[at : at + length]) in self._id:
                return length
        return 0


def least_tokens(panels: int) -> int:
    """To how many tokens the caption of so many panels is padded at least, in training and in drawing.

    The transformer reads padding too, and without any a row of four panels falls apart at its edges.
    """
    return TOKEN_BUCKET * (1 if panels <= 2 else 2)


def pad_token_ids(rows: Sequence[Sequence[int]], max_tokens: int, least: int = TOKEN_BUCKET) -> Tensor:
    """Ids as int64 (B, L), padded with 0 to the next multiple of TOKEN_BUCKET that is at least `least`, or to
    `max_tokens`.
    """
    longest = max((least, *(len(r) for r in rows)))
    length = min(max_tokens, max(1, -(-longest // TOKEN_BUCKET)) * TOKEN_BUCKET)
    return torch.tensor([[*r, *[PAD] * (length - len(r))] for r in rows], dtype=torch.int64)


class _Block(nn.Module):
    """Pre-norm self-attention and GELU feed-forward; padded keys are masked out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.RMSNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm2 = nn.RMSNorm(width, eps=1e-6)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        b, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(mixed.transpose(1, 2).reshape(b, length, width))
        change: Tensor = self.down(F.gelu(self.up(self.norm2(x))))
        return x + change


class PocketTextEncoder(nn.Module):
    """Phrase embeddings, a few bidirectional blocks, and a mean over the real tokens.

    A row of padding alone (the empty caption) gives zeros: that is the unconditional input.
    """

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(len(config.vocabulary) + 1, config.width, padding_idx=PAD)
        self.places = nn.Parameter(torch.randn(config.max_tokens, config.width) * 0.02)
        self.blocks = nn.ModuleList([_Block(config.width, config.heads) for _ in range(config.layers)])
        self.norm = nn.RMSNorm(config.width, eps=1e-6)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Sequence (B, L, D) and pooled (B, D) of token ids (B, L), zeros where ids are 0."""
        real = (ids != PAD)[..., None]
        x = self.words(ids) + self.places[: ids.shape[1]] * real
        # the first key stays visible in a row of padding alone, or softmax would divide by zero
        visible = real[:, None, None, :, 0].clone()
        visible[..., 0] = True
        for block in self.blocks:
            x = block(x, visible)
        x = self.norm(x) * real
        pooled = x.sum(dim=1) / real.sum(dim=1).clamp(min=1)
        return x, pooled
