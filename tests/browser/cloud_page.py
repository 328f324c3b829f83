"""A page with nothing but a map of many seeded points, as `streamlit run` gets it: /?n=50000&by=value&lang=zh"""

from __future__ import annotations

import numpy as np
import streamlit as st

from fusion.views import canvas as clouds
from fusion.views.embedding import Placed
from fusion.words import use
from pages.parts import canvas

CLUSTERS = 40


@st.cache_data
def seeded(count: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Points in clusters, half of them texts, and their names."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(CLUSTERS, 2)) * 6
    points = centres[random.integers(0, CLUSTERS, count)] + random.normal(size=(count, 2))
    return points.astype(np.float32), np.repeat(["text", "image"], (count + 1) // 2)[:count], [
        f"pair-{i:06d}" for i in range(count)
    ]  # fmt: skip


def main() -> None:
    """The map, and what was chosen on it in numbers."""
    use(st.query_params.get("lang", "en"))
    count = int(st.query_params.get("n", "50000"))
    points, kinds, ids = seeded(count)
    chosen = st.session_state.get("chosen", np.zeros(0, np.int64))
    st.title("Cloud", anchor=False)

    def make() -> clouds.Cloud:
        """Everything anew each time, so that a measurement counts it."""
        pairs = np.stack((np.arange(5), count // 2 + np.arange(5)), 1)
        return clouds.cloud(
            points, kinds, ids, selected=chosen, total=count, pairs=pairs, distances=np.arange(5, dtype=np.float32),
            placed=Placed(np.asarray([[0, 0], [2, 1]], np.float32), ("text", "image"), 0.5),
            values=points[:, 0] if st.query_params.get("by") == "value" else None, colour_name="x",
        )  # fmt: skip

    def took(rows: np.ndarray) -> None:
        st.session_state["chosen"] = rows

    canvas.show(make, "cloud", on_lasso=took)
    st.write(f"rows {len(chosen)} sum {int(chosen.sum())}")


if __name__ == "__main__":
    main()
