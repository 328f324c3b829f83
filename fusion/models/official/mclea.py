"""Names of the official MCLEA modules (lzxlin/MCLEA@6946d43), whose program never saves a state dict itself.

All parameters are named in `official.entities`; keys may carry a prefix.
"""

from __future__ import annotations

from fusion.models.official.entities import from_official, official_name, sizes, to_official, widths

PREFIX = "multimodal_encoder."  # which a saved state dict may carry

__all__ = ["PREFIX", "from_official", "official_name", "sizes", "to_official", "widths"]
