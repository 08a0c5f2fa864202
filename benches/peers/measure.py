"""Measures Rehead beside other tools on this machine, in one run, on the same weights and inputs, and writes a table (Markdown), JSON and a
plot (SVG).

Every round runs each tool once, in a process of its own, and the order turns from round to round; a figure is the median of the rounds'
medians. All run on --threads threads and as many cores. An answer that isn't PyTorch's fails the run, and a head that isn't the optimum. What
doesn't build is told in the table with its reason.

  benches/peers/run                         everything, seven rounds: half an hour on an otherwise idle machine
  benches/peers/run --docs                  the same, and docs/performance.md gets the table, docs/peers.svg the plot
  benches/peers/run --quick                 one short round: does it work
  benches/peers/run --only resnet18-8 --only rehead --only pytorch
  benches/peers/run --only optimum --only rehead --only scikit-learn --profile dev
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import report

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RUST = HERE / "rust"
PHOTOS = 380
# Our native code on the CPU, and the WGSL kernels on whatever adapter there is.
OURS = ["rehead", "rehead-wgsl"]


def cases(args):
    """What is measured: name, title, unit, the work's size in that unit, and the tools that can do it."""
    networks = [*OURS, "onnxruntime", "pytorch", "pytorch-channels-last", "tract", "candle", "burn-flex"]
    return [
        dict(name="resnet18-8", title="ResNet-18, batch 8", unit="images/s", amount=8, peers=networks, model="resnet18", batch=8),
        dict(name="resnet18-1", title="ResNet-18, batch 1", unit="images/s", amount=1, peers=networks + ["burn-wgpu"], model="resnet18", batch=1),
        dict(name="resnet50-8", title="ResNet-50, batch 8", unit="images/s", amount=8, peers=networks, model="resnet50", batch=8),
        dict(name="matmul-1024", title="matmul 1024", unit="GFLOP/s", amount=2 * 1024**3 / 1e9, size=1024,
             peers=[*OURS, "sgemm", "pytorch", "candle", "burn-flex", "burn-wgpu"]),
        dict(name="head", title=f"head: {rows(args):,} x 2,048, 100 classes, batch 256", unit="epochs/s", amount=1, peers=[*OURS, "pytorch"]),
        optimum("optimum", [2_000, 512, 5]),
        optimum("optimum-large", [rows(args), 2_048, 100]),
        dict(name="train", title=f"train on {args.count} photos, files to report", unit="s", amount=None, photos=args.count, peers=[*OURS, "pytorch"]),
    ]


def optimum(name, shape):
    """A head to be found whose gradient has fallen to a millionth of its start."""
    count, width, classes = shape
    return dict(name=name, title=f"the optimum of a head: {count:,} x {width:,}, {classes} classes", unit="s", amount=None, shape=shape,
                l2=1e-2 if count < 5_000 else 1e-3, tolerance=1e-6, peers=[*OURS, "scikit-learn", "scikit-learn-1", "pytorch"])


def rows(args):
    """Of features for the head."""
    return 5_000 if args.quick else 50_000


# Seconds that a process may take.
PATIENCE = 900

# A tool that is so slow that it gets three rounds at most, and a single time in each.
SLOW = {"burn-wgpu"}


def arguments():
    parser = argparse.ArgumentParser(prog="benches/peers/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds (7)")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a tool repeats its work in a round, at least three times (2)")
    parser.add_argument("--threads", type=int, default=2, help="threads and cores for each tool (2)")
    parser.add_argument("--quick", action="store_true", help="one round, as short as can be, a head of 5,000 and 40 photos")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this case or this tool; may be repeated")
    parser.add_argument("--profile", default="release", help="cargo's profile for our own programs (release)")
    parser.add_argument("--weights", type=pathlib.Path, help="folder with resnet18.safetensors and resnet50.safetensors, torchvision's names (default: random weights)")
    parser.add_argument("--photos", type=pathlib.Path, help=f"a folder of photos for each class (default: {PHOTOS} drawn ones)")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results", help="where table, JSON and plot go (benches/peers/results)")
    parser.add_argument("--docs", action="store_true", help="put table and plot into docs/ too")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds = 1, 0.0
    for name in ["rounds", "threads"]:
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    args.count = sum(1 for path in args.photos.rglob("*.*") if path.is_file()) if args.photos else 40 if args.quick else PHOTOS
    if not args.count:
        parser.error(f"--photos {args.photos}: no files in its folders")
    known = cases(args)
    names, tools = {case["name"] for case in known}, {peer for case in known for peer in case["peers"]}
    if unknown := set(args.only) - names - tools:
        parser.error(f"--only {unknown.pop()}: cases are {', '.join(sorted(names))}; tools are {', '.join(sorted(tools))}")
    args.tools = set(args.only) & tools or tools
    args.cases = [case for case in known if case["name"] in args.only or not names & set(args.only)]
    if args.docs and (args.quick or args.only):
        parser.error("--docs takes a whole run, without --quick and --only")
    return args


class Failed(Exception):
    """What can't be measured; its reason."""


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


# --- what is built ---------------------------------------------------------------------------------------------------------------


def build(args):
    """The programs of the tools wanted, by name, and why those that are missing don't build."""
    trainer = ["-p", "trainer", "--bin", "trainer"] if any(case["name"] == "train" for case in args.cases) else []
    programs = cargo(ROOT, args.profile, ["-p", "rehead", "--example", "peer", *trainer])
    missing = {}
    if {"tract", "candle", "burn-flex", "burn-wgpu"} & args.tools:
        # Where one doesn't build the others do.
        programs |= cargo(RUST, "release", ["--keep-going"], missing)
    return {name.removeprefix("peer-"): program for name, program in programs.items()}, missing


def cargo(folder, profile, what, missing=None):
    """Builds, and gives the programs by name. What doesn't build ends the run, or goes into `missing` with its reason."""
    command = ["cargo", "build", "--profile", profile, "--locked", "--message-format", "json-render-diagnostics", *what]
    say(f"building in {folder}: {' '.join(what)}")
    built = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    programs = {message["target"]["name"]: message["executable"] for message in messages if message.get("executable")}
    if built.returncode == 0:
        return programs
    if missing is None:
        sys.exit(f"{' '.join(command)} failed:\n{built.stderr}")
    errors = [line for line in built.stderr.splitlines() if line.startswith("error")] or built.stderr.splitlines()[-1:]
    for name in {"tract", "candle", "burn"} - {name.removeprefix("peer-") for name in programs}:
        missing[name] = next((line for line in errors if name in line), errors[0])
        say(f"{name} isn't built: {missing[name]}")
    return programs


# --- what all are given ----------------------------------------------------------------------------------------------------------


def prepare(args, work):
    """Weights, ONNX files, images, matrices, features and photos, written once for all."""
    import numpy as np
    sys.path.insert(0, str(ROOT / "tests/fixtures/resnet"))
    given = {}
    for case in args.cases:
        model = case.get("model")
        if model:
            import formula
            weights, state = network(args, model, work)
            images = formula.inputs(f"{model} peers", (8, 3, 224, 224))[:case["batch"]]
            images.tofile(work / f"{case['name']}.f32")
            onnx = work / f"{case['name']}.onnx"
            onnx.write_bytes(onnx_file(state, case["batch"]))
            given[case["name"]] = ["--model", model, "--weights", weights, "--onnx", onnx, "--input", work / f"{case['name']}.f32",
                                   "--batch", case["batch"], "--size", 224]
        elif case["name"] == "head":
            # A hundred clouds of points, so near each other that a head has to learn.
            count, random = rows(args), np.random.default_rng(1)
            labels = (np.arange(count) % 100).astype(np.uint32)
            centres = random.standard_normal((100, 2048), np.float32)
            features = random.standard_normal((count, 2048), np.float32)
            features += 0.1 * centres[labels]
            features.tofile(work / "features.f32")
            labels.tofile(work / "labels.u32")
            given["head"] = ["--features", work / "features.f32", "--labels", work / "labels.u32", "--classes", 100, "--batch", 256, "--epochs", 3]
        elif "shape" in case:
            planted(case, work)
            given[case["name"]] = ["--features", work / f"{case['name']}.f32", "--labels", work / f"{case['name']}.u32",
                                   "--classes", case["shape"][2], "--l2", case["l2"], "--tolerance", case["tolerance"]]
        elif case["name"] == "train":
            weights, _ = network(args, "resnet18", work)
            given["train"] = [args.photos.resolve() if args.photos else drawn(args.count, work), weights]
        else:
            import formula
            n = case["size"]
            for name in "ab":
                formula.inputs(name, (n, n)).tofile(work / f"{name}.f32")
            given[case["name"]] = ["--size", n, "--a", work / "a.f32", "--b", work / "b.f32"]
    return given


def planted(case, work):
    """Features of falling spread, as networks' are, and labels drawn by a head that was planted: nothing tells all of them apart."""
    import numpy as np
    (count, width, classes), random = case["shape"], np.random.default_rng(3)
    features = random.standard_normal((count, width), np.float32)
    features /= np.sqrt(1 + np.arange(width, dtype=np.float32) / 32)
    head = random.standard_normal((classes, width), np.float32)
    logits = features @ head.T
    labels = (2 * logits / logits.std() + random.gumbel(size=logits.shape)).argmax(1).astype(np.uint32)
    features.tofile(work / f"{case['name']}.f32")
    labels.tofile(work / f"{case['name']}.u32")


def network(args, model, work):
    """The weights of a network as a file, and as arrays."""
    import formula
    import torchvision
    from safetensors.numpy import load_file, save_file
    if args.weights:
        path = args.weights.resolve() / f"{model}.safetensors"
        if not path.exists():
            raise Failed(f"{path} isn't there: --weights needs a folder with one file for each network, or --only without {model}")
        return path, load_file(path)
    path = work / f"{model}.safetensors"
    if not path.exists():
        last = "bn3" if model == "resnet50" else "bn2"
        state = torchvision.models.get_model(model).state_dict()
        save_file({name: formula.tensor(name, tuple(value.shape), last) for name, value in state.items() if value.ndim}, path)
    return path, load_file(path)


def onnx_file(state, batch):
    """The network without its head as ONNX, operator set 17: written by hand, so that no exporter's version matters."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    nodes = []

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def conv(x, name, norm, stride, output):
        kernel = state[f"{name}.weight"].shape[2]
        x = node("Conv", [x, f"{name}.weight"], f"{name}.out", kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4)
        parts = [f"{norm}.{part}" for part in ["weight", "bias", "running_mean", "running_var"]]
        return node("BatchNormalization", [x, *parts], output, epsilon=1e-5)

    x = node("Relu", [conv("input", "conv1", "bn1", 2, "stem")], "stem.relu")
    x = node("MaxPool", [x], "pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for block in sorted({match[1] for match in map(re.compile(r"(layer\d\.\d+)\.").match, state) if match}, key=lambda name: (name[5], int(name[7:]))):
        stride = 2 if block.endswith(".0") and not block.startswith("layer1") else 1
        count, strided = (3, 2) if f"{block}.conv3.weight" in state else (2, 1)
        residual = x
        if f"{block}.downsample.0.weight" in state:
            residual = conv(x, f"{block}.downsample.0", f"{block}.downsample.1", stride, f"{block}.shortcut")
        for i in range(1, count + 1):
            x = conv(x, f"{block}.conv{i}", f"{block}.bn{i}", stride if i == strided else 1, f"{block}.{i}")
            if i < count:
                x = node("Relu", [x], f"{block}.{i}.relu")
        x = node("Relu", [node("Add", [x, residual], f"{block}.sum")], block)
    features = state[max(name for name in state if re.fullmatch(r"layer4\.0\.bn\d\.weight", name))].shape[0]
    node("Flatten", [node("GlobalAveragePool", [x], "mean")], "features")
    used = {name for made in nodes for name in made.input}
    graph = helper.make_graph(
        nodes, "resnet",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, 224, 224])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, features])],
        [numpy_helper.from_array(value, name) for name, value in state.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def drawn(count, work):
    """Photos of about the size of Caltech-101's, of five classes: clouds of a colour, with stripes of the class's direction."""
    import numpy as np
    from PIL import Image
    folder, random = work / "photos", np.random.default_rng(2)
    for index in range(count):
        kind, width, height = index % 5, int(random.integers(200, 400)), int(random.integers(200, 400))
        cloud = Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
        y, x = np.mgrid[:height, :width]
        stripes = 40 * np.sin((x * np.cos(kind * np.pi / 5) + y * np.sin(kind * np.pi / 5)) / 6)
        noise = random.normal(0, 6, (height, width, 3))
        pixels = np.clip(np.asarray(cloud) * 0.7 + 38 + stripes[..., None] + noise, 0, 255).astype(np.uint8)
        path = folder / f"class{kind}" / f"{index:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=90)
    return folder


# --- one tool, one round ---------------------------------------------------------------------------------------------------------


def command(args, case, tool, programs, given, out):
    """How a tool is called for a case."""
    name = case["name"]
    python = [sys.executable, HERE / "peers.py"]
    if name == "train":
        photos, weights = given
        if tool in OURS:
            engine = "cpu" if tool == "rehead" else "gpu"
            return [programs["trainer"], "train", photos, "--engine", engine, "--backbone", weights, "--out", out / "run", "--store", out / "store", "--batch", "8", "--optimizer", "adamw", "--quiet"]
        return [*python, "train", "--photos", photos, "--model", "resnet18", "--weights", weights, "--threads", args.threads, "--out", out]
    kind = name if name == "head" else "optimum" if "shape" in case else "forward" if "model" in case else "matmul"
    slow = tool in SLOW or args.quick
    # What takes minutes is done once, and that time counts.
    repeats = 0 if name == "optimum-large" else 1 if slow else 3
    limits = ["--repeats", repeats, "--seconds", 0 if slow or not repeats else args.seconds, "--threads", args.threads, "--out", out]
    if tool == "sgemm":
        return [programs["peer"], "sgemm", *given, *limits]
    family, _, backend = tool.partition("-")
    if tool in ["scikit-learn", "scikit-learn-1", "pytorch", "pytorch-channels-last", "onnxruntime"]:
        return [*python, kind, "--backend", tool.removeprefix("pytorch-"), *given, *limits]
    return [programs["peer" if family == "rehead" else family], kind, *(["--backend", backend] if backend else []), *given, *limits]


def measure(args, case, command, environment):
    """Runs a tool once: seconds of each time, seconds from the process's start to the first answer, and its peak of memory in MB."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        bell = threading.Timer(PATIENCE, process.kill)
        bell.start()
        first, last = None, ""
        for line in process.stdout:
            if line.strip() == "first":
                first = time.perf_counter() - start
            else:
                last = line
        _, status, usage = os.wait4(process.pid, 0)
        late = not bell.is_alive()
        bell.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        elapsed = time.perf_counter() - start
        if late:
            raise Failed(f"gave no answer within {PATIENCE} s")
        if process.returncode != 0:
            errors.seek(0)
            told = errors.read().strip().splitlines() or [f"exit code {process.returncode}"]
            raise Failed(next((line for line in told if "panicked" in line or "rror" in line), told[-1])[:300])
    # The trainer is a program of its own: it's timed from outside.
    own = case["name"] == "train" and first is None
    return dict(seconds=[elapsed] if own else json.loads(last), first=first, peak=usage.ru_maxrss / 1024)


def compare(case, expected, out):
    """How far a tool's answer is from PyTorch's: the lowest cosine of an image's features, and the largest error as a share of the
    largest value; how far a head is from the optimum, its gradient as a share of that at zero. Raises where it's too far."""
    import numpy as np
    if "shape" in case:
        loss, share = judged(case, expected, out)
        if not share <= 100 * case["tolerance"]:
            raise Failed(f"it isn't the optimum: the gradient fell to {share:.1e} of its start, not to {case['tolerance']:.0e}")
        return dict(error=share, loss=loss)
    if case["name"] == "train":
        got, expected = features_of(out), features_of(expected)
        if got.keys() != expected.keys():
            raise Failed(f"{len(got)} photos have features, PyTorch has {len(expected)}")
        got, expected = (np.stack([features[key] for key in sorted(got)]) for features in (got, expected))
    else:
        got, expected = (np.fromfile(path, np.float32).astype(np.float64) for path in (out, expected))
        if got.size != expected.size:
            raise Failed(f"{got.size} values, PyTorch has {expected.size}")
        rows = case.get("batch", 1)
        got, expected = got.reshape(rows, -1), expected.reshape(rows, -1)
    cosine = float(((got * expected).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(expected, axis=1)).min())
    error = float(np.abs(got - expected).max() / np.abs(expected).max())
    # Heads take the photos in different orders, and decoders of JPEG may differ by a level here and there.
    limit = {"head": 0.05, "train": 0.02}.get(case["name"], 1e-3)
    # NaN fails.
    if not (error <= limit and cosine >= 1 - limit):
        raise Failed(f"its answer isn't PyTorch's: cosine {cosine:.6f}, error {error:.1e} of the largest value (at most {limit:.0e})")
    return dict(cosine=cosine, error=error)


def judged(case, work, out):
    """What the optimum minimises, at a head, and the largest of its gradient as a share of that at a head of zeros, in f64: the mean of
    -ln p(class) + l2 / 2 Σ u², with u the weights on features less their mean, divided by the root of 1.01 times their mean variance."""
    import numpy as np
    count, width, classes = case["shape"]
    features = np.fromfile(work / f"{case['name']}.f32", np.float32).reshape(count, width)
    labels = np.fromfile(work / f"{case['name']}.u32", np.uint32)
    mean = features.mean(0, dtype=np.float64)
    blocks = [slice(first, first + 4096) for first in range(0, count, 4096)]
    scale = np.sqrt(1.01 * sum(((features[block] - mean) ** 2).sum() for block in blocks) / (count * width))

    def at(u, bias):
        value, of_u, of_bias = case["l2"] / 2 * (u * u).sum(), case["l2"] * u, np.zeros(classes)
        for block in blocks:
            z, own = (features[block] - mean) / scale, (np.arange(len(labels[block])), labels[block])
            logits = z @ u.T + bias
            logits -= logits.max(1, keepdims=True)
            normaliser = np.log(np.exp(logits).sum(1))
            value += (normaliser - logits[own]).sum() / count
            slopes = np.exp(logits - normaliser[:, None])
            slopes[own] -= 1
            of_u, of_bias = of_u + slopes.T @ z / count, of_bias + slopes.sum(0) / count
        return float(value), float(max(abs(of_u).max(), abs(of_bias).max()))

    answer = np.fromfile(out, np.float32).astype(np.float64)
    weight, bias = answer[:classes * width].reshape(classes, width), answer[classes * width:]
    value, gradient = at(weight * scale, bias + weight @ mean)
    return value, gradient / at(np.zeros((classes, width)), np.zeros(classes))[1]


def features_of(path):
    """The features of each photo, by the photo's digest."""
    import hashlib
    import numpy as np
    path = pathlib.Path(path)
    if path.is_dir():
        from safetensors.numpy import load_file
        segments = [load_file(segment) for segment in path.glob("store/*/*.safetensors")]
        return {bytes(digest).hex(): row.astype(np.float64) for tensors in segments for digest, row in zip(tensors["sha256"], tensors["features"])}
    told = json.loads(path.with_name(path.name + ".json").read_text())
    rows = np.fromfile(path, np.float32).reshape(len(told["paths"]), -1).astype(np.float64)
    digests = [hashlib.sha256((pathlib.Path(told["folder"]) / photo).read_bytes()).hexdigest() for photo in told["paths"]]
    return dict(zip(digests, rows))


# --- the run ---------------------------------------------------------------------------------------------------------------------


def run_case(args, case, programs, missing, given, work, environment, helper):
    """All rounds of a case: a row for each tool."""
    rows, expected = {}, None
    tools = [tool for tool in case["peers"] if tool in args.tools]
    for tool in list(tools):
        family = tool.partition("-")[0]
        if family in missing:
            rows[tool] = dict(failed=f"not built: {missing[family]}")
            tools.remove(tool)

    def once(tool):
        out = work / f"{case['name']}.{tool}.out"
        # A run keeps its features: each round begins without.
        shutil.rmtree(out, ignore_errors=True)
        result = measure(args, case, command(args, case, tool, programs, given, out), environment)
        return result, out

    if "shape" in case:
        # An optimum is known by its gradient.
        expected = work
    else:
        say(f"{case['title']}: what PyTorch answers")
        try:
            _, expected = once("pytorch")
            expected = expected.rename(expected.with_suffix(".expected")) if case["name"] != "train" else expected
        except Failed as reason:
            sys.exit(f"PyTorch, which all are compared with, fails at {case['name']}: {reason}")
    for turn in range(args.rounds):
        order = tools[turn % len(tools):] + tools[:turn % len(tools)] if tools else []
        for tool in order:
            row = rows.setdefault(tool, dict(rounds=[], first=[], peak=[]))
            if "failed" in row or tool in SLOW and turn >= 3:
                continue
            try:
                result, out = once(tool)
                row["answer"] = helper.submit(compare, case, expected, out).result()
            except Failed as reason:
                rows[tool] = dict(failed=str(reason))
                say(f"{case['title']}: {tool} FAILED: {reason}")
                continue
            row["rounds"].append(statistics.median(result["seconds"]))
            row["peak"].append(result["peak"])
            if result["first"] is not None:
                row["first"].append(result["first"])
            say(f"{case['title']}: round {turn + 1}, {tool}: {show(case, row['rounds'][-1])}")
    done = []
    for tool in case["peers"]:
        row = rows.get(tool)
        if row is None:
            continue
        if "failed" not in row:
            figures = [figure(case, seconds) for seconds in row["rounds"]]
            row = dict(
                value=statistics.median(figures), least=min(figures), most=max(figures), rounds=figures,
                first=statistics.median(row["first"]) if row["first"] else None, peak=statistics.median(row["peak"]),
                **row["answer"],
            )
        done.append(dict(tool=tool, **row))
    return dict(name=case["name"], title=case["title"], unit=case["unit"], photos=case.get("photos"), rows=done)


def figure(case, seconds):
    return seconds if case["amount"] is None else case["amount"] / seconds


def show(case, seconds):
    return f"{figure(case, seconds):.2f} {case['unit']}"


def machine(programs, args, load):
    """What the figures were measured on."""
    told = lambda *command: subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    cpu = platform.processor() or platform.machine()
    if (info := pathlib.Path("/proc/cpuinfo")).exists():
        cpu = next((line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")), cpu)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return dict(
        cpu=cpu, cores=os.cpu_count(), threads=args.threads, memory=f"{memory:.0f} GiB",
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        adapter=json.loads(told(str(programs["peer"]), "adapter")), load=load,
    )


def versions():
    from importlib.metadata import distributions
    installed = {distribution.name.lower(): distribution.version for distribution in distributions()}
    locked = lambda lock, name: re.search(rf'name = "{name}"\nversion = "([^"]+)"', lock.read_text())[1]
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=ROOT).stdout.strip()
    return {
        "rehead": f"{locked(ROOT / 'Cargo.lock', 'trainer')} ({commit or 'no commit'})",
        "rust": subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.split()[1],
        "matrixmultiply": locked(ROOT / "Cargo.lock", "matrixmultiply"),
        "python": platform.python_version(),
        **{name: installed[name] for name in ["torch", "torchvision", "onnxruntime", "pillow", "scikit-learn"] if name in installed},
        "tract": locked(RUST / "Cargo.lock", "tract-onnx"),
        "candle": locked(RUST / "Cargo.lock", "candle-core"),
        "burn": locked(RUST / "Cargo.lock", "burn"),
    }


def main():
    args = arguments()
    load = os.getloadavg()[0]
    programs, missing = build(args)
    # Everybody's way to be told how many threads to take; and no more cores than that, for those who don't ask.
    threads = str(args.threads)
    environment = dict(os.environ, **{
        name: threads for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "MATMUL_NUM_THREADS", "LP_NUM_THREADS"]
    })
    environment.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:args.threads])
    about = dict(
        date=time.strftime("%Y-%m-%d", time.gmtime()), rounds=args.rounds, machine=machine(programs, args, load), versions=versions(),
        weights="given" if args.weights else "random", photos="given" if args.photos else "drawn", profile=args.profile,
    )
    if load > 0.3:
        say(f"the machine is busy (load {load:.1f}): figures will scatter")
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        work = pathlib.Path(folder)
        # What needs numpy and more is done in a process apart: a child's peak of memory starts at its parent's.
        with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as helper:
            try:
                given = helper.submit(prepare, args, work).result()
            except Failed as reason:
                sys.exit(str(reason))
            results = []
            for case in args.cases:
                results.append(run_case(args, case, programs, missing, given[case["name"]], work, environment, helper))
                # A run that's broken off keeps what it has.
                report.write(dict(about=about, cases=results), args.out)
    if args.docs:
        report.into_docs(args.out, ROOT / "docs")
    print((args.out / "table.md").read_text())
    say(f"written to {args.out}")
    wrong = [f"{case['name']}: {row['tool']}: {row['failed']}" for case in results for row in case["rows"] if "failed" in row and not row["failed"].startswith("not built")]
    if wrong:
        sys.exit("\n".join(["these failed:", *wrong]))


if __name__ == "__main__":
    main()
