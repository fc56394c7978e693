"""Seconds for a map of the bundled corpus, and how many of its clips play from the page itself."""

import json
import re

from helpers import BUNDLED

from accentlib.cli import main


def test_map(benchmark, tmp_path):
    page = tmp_path / "map.html"
    argv = ["map", "--checkpoint", "accents_mini", "--data", str(BUNDLED), "--output", str(page)]
    assert benchmark.pedantic(main, args=(argv,), rounds=1) == 0
    content = json.loads(re.search(r'id="map-content">(.*?)</script>', page.read_text(), re.DOTALL)[1])
    playing = sum("audio" in clip for clip in content["clips"])
    benchmark.extra_info |= {"name": "map", "playing": playing, "megabytes": page.stat().st_size / 1e6}
