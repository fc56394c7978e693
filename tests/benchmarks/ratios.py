"""From pytest-benchmark's figures to a table and the ratios over the published way.

    python tests/benchmarks/ratios.py raw.json benchmarks.json

A ratio is the median, over the rounds, of ours over the published way's in the same round: what a machine does
more slowly for a while, it does so for both.
"""

import json
import statistics
import sys
from pathlib import Path

import torch

from accentlib.device import get_precision


def main(raw: Path, target: Path) -> None:
    """Print the table; write the ratios."""
    content = json.loads(raw.read_text())
    rates: dict[str, dict[str, list[float]]] = {}
    others = {}
    for benchmark in content["benchmarks"]:
        info = benchmark["extra_info"]
        if "way" in info:
            rate = info.get("rate") or info["unit"] / benchmark["stats"]["median"]
            rates.setdefault(info["name"], {}).setdefault(info["way"], []).append(rate)
            if "GFLOP/s" in info:
                rates[info["name"]].setdefault("GFLOP/s", []).append(info["GFLOP/s"])
        else:
            others[info["name"]] = {"seconds": benchmark["stats"]["median"]} | info
    ratios = {}
    print("| what | " + "median of each way | ratio |\n|---|---|---|")
    for name, ways in rates.items():
        medians = {way: statistics.median(values) for way, values in ways.items()}
        ratio = None
        if {"accentlib", "published"} <= ways.keys():
            pairs = zip(ways["accentlib"], ways["published"], strict=True)
            ratio = ratios[name] = statistics.median(ours / theirs for ours, theirs in pairs)
        shown = ", ".join(f"{way} {rate:,.1f}" for way, rate in medians.items())
        print(f"| {name} | {shown} | {f'{ratio:.1f}' if ratio else ''} |")
    for name, info in others.items():
        numbers = {key: value for key, value in info.items() if isinstance(value, (int, float))}
        print(f"| {name} | {', '.join(f'{key} {value:.4g}' for key, value in numbers.items())} | |")
        ratios |= {key: info[key] for key in info if key == "seconds_to_90" and info[key]}
        ratios[name] = {key: round(value, 4) for key, value in numbers.items()}
    machine = {key: content["machine_info"].get(key) for key in ("machine", "python_version")}
    machine["cpu"] = content["machine_info"].get("cpu", {}).get("brand_raw")
    machine["instructions"] = torch.backends.cpu.get_cpu_capability()
    machine["training_computes_in"] = str(get_precision("auto", torch.device("cpu")))
    print(", ".join(f"{key}: {value}" for key, value in machine.items()))
    target.write_text(json.dumps(ratios | {"machine": machine}, indent=2) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
