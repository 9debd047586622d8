"""Names for a sentence."""

from __future__ import annotations

from frostline.listing import listed, quoted


def test_of_many_names_the_first_are_shown_and_the_others_counted() -> None:
    assert listed([]) == ""
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(["a", "b", "c", "d"]) == "a, b, c and 1 more"
    assert listed(quoted(["a", "b", "c"]), 1, "layers") == "`a` and 2 more layers"
