"""Writes what a run of benches/peers/run measured: table.md, results.json and plot.svg.

    python3 benches/peers/report.py             writes the last run's table and plot again, in docs/ too
    python3 benches/peers/report.py --check     fails where docs/ doesn't hold what benches/peers/results says
"""

import argparse
import json
import pathlib
import re
import sys
from xml.sax.saxutils import escape

HERE = pathlib.Path(__file__).resolve().parent
BEGIN, END = "<!-- written by benches/peers/run -->", "<!-- end of what benches/peers/run wrote -->"
NAMES = {
    "rehead": "Rehead", "rehead-wgsl": "Rehead, WGSL kernels", "onnxruntime": "ONNX Runtime", "pytorch": "PyTorch, eager", "pytorch-channels-last": "PyTorch, channels last",
    "sgemm": "matrixmultiply's sgemm", "scikit-learn-1": "scikit-learn, one thread",
}


def name(tool):
    return NAMES.get(tool, tool)


def number(value):
    """Three digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ahead(case, row, ours):
    """How many times as fast as we a tool is."""
    return ours["value"] / row["value"] if case["unit"] == "s" else row["value"] / ours["value"]


def measured(case):
    return [row for row in case["rows"] if "value" in row]


def own(case):
    """What others are set beside: the engine that a machine without a GPU takes, or the kernels where that wasn't measured."""
    rows = {row["tool"]: row for row in measured(case)}
    return rows.get("rehead") or rows.get("rehead-wgsl")


def is_ours(row):
    return row["tool"].startswith("rehead")


def table(results):
    lines = []
    if results["about"]["machine"]["load"] > 0.5 or results["about"]["rounds"] < 5:
        lines += ["**A trial on a busy machine or of few rounds: it shows that all agree, not how fast they are.**", ""]
    for case in results["cases"]:
        ours = own(case)
        lines += [
            f"**{case['title']}**", "",
            f"| | {case['unit']} | lowest to highest | beside Rehead | first answer, s | peak memory, MB | error |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        best_first = sorted(measured(case), key=lambda row: row["value"], reverse=case["unit"] != "s")
        for row in best_first:
            beside = f"{number(ahead(case, row, ours))} x" if ours else ""
            first = number(row["first"]) if row["first"] is not None else ""
            lines.append(
                f"| {name(row['tool'])} | {number(row['value'])} | {number(row['least'])} to {number(row['most'])} | {beside} | {first} "
                f"| {row['peak']:.0f} | {row['error']:.0e} |"
            )
        lines += [f"| {name(row['tool'])} | | | | | | {row['failed'].replace('|', ' ')} |" for row in case["rows"] if "failed" in row]
        if reached := [f"{name(row['tool'])} {row['loss']:.9f}" for row in best_first if "loss" in row]:
            lines += ["", f"What is minimised fell to: {', '.join(reached)}."]
        lines.append("")
    ours = {case["name"]: (case, own(case)["value"]) for case in results["cases"] if own(case)}
    if "train" in ours and "resnet18-8" in ours:
        (case, seconds), (_, rate) = ours["train"], ours["resnet18-8"]
        forward = case["photos"] / rate
        lines += [f"Rehead's `train` takes {number(seconds / forward)} times as long as its forward passes of batch 8 alone ({number(forward)} s).", ""]
    lines += losses(results)
    about, on = results["about"], results["about"]["machine"]
    adapter = on["adapter"]
    lines += [
        f"Measured {about['date']} on {on['cpu']}, {on['cores']} cores of which {on['threads']} were used, {on['memory']}, {on['system']}; "
        f"{adapter['name']} ({adapter['kind']}, {adapter['backend']}), {adapter['driver']}; load {on['load']:.1f} at the start; "
        f"medians of {about['rounds']} rounds; {about['weights']} weights, {about['photos']} photos"
        f"{'' if about.get('profile', 'release') == 'release' else '; our programs built in cargo' + chr(39) + 's profile ' + about['profile']}.",
        "",
        "Versions: " + ", ".join(f"{tool} {version}" for tool, version in about["versions"].items()) + ".",
    ]
    return "\n".join(lines) + "\n"


def losses(results):
    """Where we lose, in a list."""
    lines = []
    for case in results["cases"]:
        ours = own(case)
        faster = sorted(((ahead(case, row, ours), row) for row in measured(case) if ours and not is_ours(row)), key=lambda pair: -pair[0])
        told = [f"{name(row['tool'])} ({number(times)} x)" for times, row in faster if times > 1]
        if told:
            lines.append(f"- {case['title']}: {', '.join(told)}")
    return ["**Where we lose**, and to whom by how much:", "", *(lines or ["- nowhere in this run"]), ""]


def plot(results):
    """A panel for each case, a bar for each tool; legible on white and on black."""
    width, label, bar, step = 760, 190, 14, 20
    y, body = 0, []
    for case in results["cases"]:
        rows = sorted(measured(case), key=lambda row: row["value"], reverse=case["unit"] != "s")
        if not rows:
            continue
        y += 30
        better = "less is better" if case["unit"] == "s" else "more is better"
        body.append(f'<text class="title" x="0" y="{y - 6}">{escape(case["title"])}</text>')
        body.append(f'<text class="unit" x="{width}" y="{y - 6}" text-anchor="end">{case["unit"]}, {better}</text>')
        longest = max(row["most"] for row in rows)
        scale = (width - label - 60) / longest
        for row in rows:
            kind = "ours" if is_ours(row) else "theirs"
            length, middle = max(row["value"] * scale, 1), y + bar / 2
            body.append(f'<text x="{label - 8}" y="{y + bar - 3}" text-anchor="end">{escape(name(row["tool"]))}</text>')
            body.append(f'<rect class="{kind}" x="{label}" y="{y}" width="{length:.1f}" height="{bar}" rx="2"/>')
            body.append(f'<path class="range" d="M{label + row["least"] * scale:.1f} {middle}H{label + row["most"] * scale:.1f}"/>')
            body.append(f'<text x="{label + max(length, row["most"] * scale) + 6:.1f}" y="{y + bar - 3}">{number(row["value"])}</text>')
            y += step
        y += 8
    style = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600; font-size: 13px } .unit { fill: #59636e }
  .ours { fill: #0969da } .theirs { fill: #afb8c1 } .range { stroke: #1f2328; stroke-opacity: .6 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .unit { fill: #9198a1 } .ours { fill: #58a6ff } .theirs { fill: #6e7681 } .range { stroke: #e6edf3 }
  }
"""
    title = "Rehead beside other tools"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" height="{y}" role="img" aria-label="{title}">\n'
        f"<title>{title}</title>\n<style>{style}</style>\n" + "\n".join(body) + "\n</svg>\n"
    )


def put(path, text):
    """Whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def write(results, folder):
    folder.mkdir(parents=True, exist_ok=True)
    put(folder / "results.json", json.dumps(results, indent=1) + "\n")
    put(folder / "table.md", table(results))
    put(folder / "plot.svg", plot(results))


def docs_of(results, docs):
    """Paths in docs/ and what they should hold."""
    page = docs / "performance.md"
    text = page.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        sys.exit(f"{page} should have one line `{BEGIN}` and one `{END}`: the table goes between them")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    return {page: f"{head}{BEGIN}\n\n{table(results)}\n{END}{tail}", docs / "peers.svg": plot(results)}


def into_docs(folder, docs):
    for path, text in docs_of(json.loads((folder / "results.json").read_text()), docs).items():
        put(path, text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    folder, docs = HERE / "results", HERE.parent.parent / "docs"
    results = json.loads((folder / "results.json").read_text())
    if not args.check:
        write(results, folder)
        return into_docs(folder, docs)
    wanted = {folder / "table.md": table(results), folder / "plot.svg": plot(results), **docs_of(results, docs)}
    stale = [str(path) for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if stale:
        sys.exit(f"not what {folder / 'results.json'} says: {', '.join(stale)}\nwrite them again with python3 {HERE / 'report.py'}")
    # What the table says of a loss is right, and a failure shows.
    tried = dict(results, cases=[dict(name="a", title="A", unit="s", rows=[
        dict(tool="rehead", value=2.0, least=2.0, most=3.0, first=None, peak=1.0, error=0.0),
        dict(tool="pytorch", value=1.0, least=1.0, most=1.0, first=1.0, peak=1.0, error=0.0),
        dict(tool="tract", failed="not built: a | b"),
    ])])
    text = table(tried)
    for expected in ["- A: PyTorch, eager (2.00 x)", "not built: a   b", "| Rehead | 2.00 | 2.00 to 3.00 | 1.00 x |"]:
        if expected not in text:
            sys.exit(f"the table should say `{expected}`:\n{text}")
    if re.search(r"<(?!/?(svg|title|style|text|rect|path)\b)", plot(tried)):
        sys.exit("the plot has an element that it shouldn't have")


if __name__ == "__main__":
    main()
