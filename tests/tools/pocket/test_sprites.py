"""The sprite atlas and what is done to a sprite before it is pasted."""

from __future__ import annotations

from chatdit.tools.pocket.sprites import atlas_tiles


def test_edges_have_the_colour_of_what_they_bound() -> None:
    """An atlas of colours multiplied by alpha draws a dark seam around every sprite."""
    atlas = atlas_tiles()
    light, alpha = atlas[..., :3].mean(axis=3), atlas[..., 3] / 255
    inside = light[alpha == 1].mean()
    for low in (0.1, 0.3, 0.5):
        assert light[(alpha > low) & (alpha <= low + 0.2)].mean() > 0.9 * inside
