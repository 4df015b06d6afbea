"""Groups of IDEA-Bench's tasks: the unit over which the human leaderboard averages.

Which folder belongs to which group is inferred from the names on the project's page and in its sunburst; the published
files do not say it. A task that no name matches is a group of its own.
"""

from __future__ import annotations

_GROUPS = {
    "animal attribute": ("animal_attribute", "animal_species", "animal_posture", "animal_hair"),
    "blur": ("image_blur",),
    "image retouching": ("image_retouching", "photo_retouching"),
    "image straightening": ("image_straightening", "photo_straightening"),
    "object editing": ("object_editing", "object_adding", "object_removing", "object_replacing"),
    "style editing": ("style_editing",),
    "human attribute": ("human_attribute",),
    "image transfer": ("image_transfer",),
    "text editing": ("text_editing", "text_insertion", "text_removal", "text_replacement"),
    "3d effect": ("3d_effect",),
    "image blending": ("image_blending",),
    "real and anime": ("real_and_anime", "real_to_anime", "anime_to_real"),
    "style group": ("style_group", "style_grouping"),
    "dynamic character": ("dynamic_character",),
    "movie shots": ("movie_shot",),
    "painting undo": ("painting_undo",),
    "children's book": ("children_book", "children's_book", "childrens_book"),
}


def group_of(folder: str) -> str | None:
    """The group that a case's folder belongs to by its name, or None."""
    name = folder.lower().replace("-", "_")
    return next((g for g, starts in _GROUPS.items() if any(name.startswith(s) for s in starts)), None)
