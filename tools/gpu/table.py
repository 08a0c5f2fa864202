"""The table of a measurement, from the results that tools/gpu/measure keeps in results.json."""

import json
import sys

MODES = ("f32", "tf32", "f16")


def rate(value):
    return f"{value:.0f}" if value and value >= 100 else f"{value:.3g}" if value else "·"


def speeds(results):
    """Images/s, a row for each network and batch; columns that hold nothing are left out."""
    cells = {}
    for bench in results["benches"]:
        column = f"Rehead {bench['precision']}" + (", tuned" if bench["tuned"] else "")
        cells.setdefault((bench["network"], bench["batch"]), {})[column] = bench["images_per_second"]
    for row in results["torch"]:
        for way in ("eager", "graph"):
            cells.setdefault((row["network"], row["batch"]), {})[f"PyTorch {row['mode']}, {way}"] = row.get(way)
    columns = [f"Rehead {precision}{tuned}" for precision in ("f32", "f16") for tuned in ("", ", tuned")]
    columns += [f"PyTorch {mode}, {way}" for mode in MODES for way in ("eager", "graph")]
    columns = [column for column in columns if any(row.get(column) for row in cells.values())]
    if not columns:
        return ["No speed was measured."]
    lines = ["| images/s | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for (network, batch), row in sorted(cells.items()):
        lines.append(f"| {network}, batch {batch} | " + " | ".join(rate(row.get(column)) for column in columns) + " |")
    return lines


def render(results):
    """The whole text, in Markdown."""
    adapter = results.get("adapter") or {}
    lines = [
        f"**{adapter.get('name', 'no adapter')}** ({adapter.get('kind')}, {adapter.get('backend')}, {adapter.get('driver')}), {results['date']}, "
        f"Rehead {results['version']}, {results.get('kernels')} kernels" + (", a quick run" if results["quick"] else ""),
        "",
    ]
    for name, told in results["checks"].items():
        lines.append(f"- {name}: {told}")
    yardsticks = [bench["yardstick_gflops"] for bench in results["benches"]]
    if yardsticks:
        memory = max(bench["memory_gb_s"] for bench in results["benches"])
        lines.append(f"- yardstick: {max(yardsticks):.0f} GFLOP/s in the fastest matrix product; memory {memory:.0f} GB/s")
    if results["torch_told"]:
        lines.append(f"- PyTorch: {results['torch_told']}")
    lines += ["", *speeds(results), ""]
    for row in results["end_to_end"]:
        lines.append(f"- {row['network']}, batch {row['batch']}, from upload to features: {rate(row['images_per_second'])} images/s, "
                     f"{row['error']:.0e} off PyTorch in f64")
    for bench in results["benches"]:
        slowest = ", ".join(f"{layer['name']} {1e3 * layer['ms']:.0f} µs ({100 * layer['share']:.0f} %)" for layer in bench["slowest"])
        tuned = ", tuned" if bench["tuned"] else ""
        lines.append(f"- {bench['network']}, batch {bench['batch']}, {bench['precision']}{tuned}: {bench['layers_ms']:.2f} ms in layers, "
                     f"{bench['pass_ms']:.2f} ms a pass; slowest (share of the yardstick): {slowest}")
    missed = [f"{part['name']} ({part['state']})" for part in results["parts"] if part["state"] != "done"]
    if missed:
        lines += ["", "Not done: " + ", ".join(missed)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: table.py results.json")
    with open(sys.argv[1], encoding="utf-8") as file:
        print(render(json.load(file)), end="")
