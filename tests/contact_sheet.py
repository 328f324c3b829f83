"""What the contact sheet of a page links to."""

from __future__ import annotations

from urllib.parse import parse_qs

from streamlit.testing.v1 import AppTest


def linked(at: AppTest) -> list[str]:
    """Ids of the samples that links to Inspect open, in their order on the page."""
    asked = [parse_qs(one.proto.query_string) for one in at.get("page_link") if one.proto.page == "inspect"]
    return [one["id"][0] for one in asked if "id" in one]
