"""PyTorch, ONNX Runtime and scikit-learn under the protocol of rust/protocol/src/lib.rs; `train` has one of its own, told below."""

import argparse
import json
import pathlib
import sys
import time

START = time.perf_counter()


def floats(path, shape):
    import numpy as np
    return np.fromfile(path, np.float32).reshape(shape)


def network(args):
    """torchvision's network without its head."""
    import torch
    import torchvision
    from safetensors.torch import load_file
    torch.set_num_threads(args.threads)
    model = torchvision.models.get_model(args.model)
    model.load_state_dict({name: value for name, value in load_file(args.weights).items() if not name.startswith("fc.")}, strict=False)
    model.fc = torch.nn.Identity()
    return model.eval()


def first(args, answer):
    import numpy as np
    print("first", flush=True)
    np.asarray(answer, np.float32).tofile(args.out)


def serve(args, work):
    """Does the work as often as asked and reports; where that is never, the first time counts."""
    start = time.perf_counter()
    first(args, work())
    if not args.repeats:
        return print([time.perf_counter() - start], flush=True)
    begin, times = time.perf_counter(), []
    while len(times) < args.repeats or time.perf_counter() - begin < args.seconds:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    print(times, flush=True)


def forward(args):
    shape = (args.batch, 3, args.size, args.size)
    if args.backend == "onnxruntime":
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = args.threads
        session = onnxruntime.InferenceSession(args.onnx, options, providers=["CPUExecutionProvider"])
        images = {"input": floats(args.input, shape)}
        return serve(args, lambda: session.run(None, images)[0])
    import torch
    model, images = network(args), torch.from_numpy(floats(args.input, shape))
    if args.backend == "channels-last":
        model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        serve(args, lambda: model(images).numpy())


def matmul(args):
    import torch
    torch.set_num_threads(args.threads)
    a, b = (torch.from_numpy(floats(path, (args.size, args.size))) for path in (args.a, args.b))
    with torch.inference_mode():
        serve(args, lambda: (a @ b).numpy())


class Head:
    """The trainer's head, in PyTorch: features standardised likewise, weights from zero, AdamW, half a cosine after the warm-up."""

    def __init__(self, features, labels, classes, epochs, batch, warmup=0):
        import torch
        mean, variance = features.mean(0), features.var(0, unbiased=False)
        self.features, self.labels, self.batch = (features - mean) / (variance + 0.01 * variance.mean()).sqrt(), labels, batch
        self.layer = torch.nn.Linear(features.shape[1], classes)
        torch.nn.init.zeros_(self.layer.weight)
        torch.nn.init.zeros_(self.layer.bias)
        weights = [{"params": [self.layer.weight], "weight_decay": 1e-2}, {"params": [self.layer.bias], "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(weights, lr=1e-3)
        steps = -(-len(labels) // batch)
        warmup, steps = warmup * steps, epochs * steps
        import math
        rate = lambda step: (step + 1) / warmup if step < warmup else 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, rate)

    def epoch(self):
        """One pass; the mean loss while learning."""
        import torch
        total = 0.0
        for chosen in torch.randperm(len(self.labels)).split(self.batch):
            self.optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(self.layer(self.features[chosen]), self.labels[chosen])
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
            total += loss.item() * len(chosen)
        return total / len(self.labels)


def head(args):
    import numpy as np
    import torch
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    labels = torch.from_numpy(np.fromfile(args.labels, np.uint32).astype(np.int64))
    features = torch.from_numpy(floats(args.features, (len(labels), -1)))
    trained = Head(features, labels, args.classes, args.epochs, args.batch)
    times = []
    for _ in range(args.epochs):
        start = time.perf_counter()
        loss = trained.epoch()
        times.append(time.perf_counter() - start)
    first(args, [loss])
    # The first epoch has the start in it.
    print(times[1:], flush=True)


def optimum(args):
    """The head whose gradient has fallen to a share of its start: features less their mean, divided by the root of 1.01 times their mean
    variance; weights are penalised, biases aren't. scikit-learn computes in f64, since its f32 stalls a hundred times farther away; PyTorch
    computes in f32."""
    import numpy as np
    labels = np.fromfile(args.labels, np.uint32).astype(np.int64)
    features = floats(args.features, (len(labels), -1))

    def standardised():
        mean = features.mean(0, dtype=np.float64)
        z = features - mean.astype(np.float32)
        scale = np.sqrt(1.01 * np.square(z).mean(dtype=np.float64))
        z /= np.float32(scale)
        return mean, scale, z

    def folded(mean, scale, u, bias):
        weight = u / scale
        return np.concatenate([weight.ravel(), bias - weight @ mean])

    def scikit_learn():
        from sklearn.linear_model import LogisticRegression
        mean, scale, z = standardised()
        slopes = (1 / args.classes - np.eye(args.classes, dtype=np.float32)[labels]) / np.float32(len(labels))
        start = max(np.abs(slopes.T @ z).max(), np.abs(slopes.sum(0)).max())
        model = LogisticRegression(C=1 / (args.l2 * len(labels)), tol=args.tolerance * float(start), max_iter=10_000).fit(z.astype(np.float64), labels)
        return folded(mean, scale, model.coef_, model.intercept_)

    def pytorch():
        import torch
        torch.set_num_threads(args.threads)
        mean, scale, z = standardised()
        rows, truth = torch.from_numpy(z), torch.from_numpy(labels)
        layer = torch.nn.Linear(z.shape[1], args.classes)
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)

        def closure():
            search.zero_grad()
            value = torch.nn.functional.cross_entropy(layer(rows), truth) + args.l2 / 2 * layer.weight.square().sum()
            value.backward()
            return value

        search = torch.optim.LBFGS(layer.parameters())
        closure()
        start = max(float(parameter.grad.abs().max()) for parameter in layer.parameters())
        search = torch.optim.LBFGS(
            layer.parameters(), max_iter=10_000, tolerance_grad=args.tolerance * start, tolerance_change=0, history_size=10, line_search_fn="strong_wolfe",
        )
        search.step(closure)
        return folded(mean, scale, layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy())

    if args.backend == "pytorch":
        return serve(args, pytorch)
    from threadpoolctl import threadpool_limits
    with threadpool_limits(1 if args.backend == "scikit-learn-1" else args.threads):
        serve(args, scikit_learn)


def train(args):
    """From a folder of photos to an evaluated head, each photo once through the network. Prints the seconds without Python's imports;
    writes the features and, as JSON beside them, whose they are."""
    import numpy as np
    import torch
    from PIL import Image, ImageOps
    from torchvision import transforms
    model = network(args).to(memory_format=torch.channels_last)
    torch.manual_seed(0)
    begin = time.perf_counter()
    steps = transforms.Compose([
        transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])
    folder = pathlib.Path(args.photos)
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*.*") if path.is_file())

    class Photos(torch.utils.data.Dataset):
        def __len__(self):
            return len(paths)

        def __getitem__(self, index):
            return steps(ImageOps.exif_transpose(Image.open(folder / paths[index])).convert("RGB"))

    # Decoding beside the network, as the trainer does it.
    loader = torch.utils.data.DataLoader(Photos(), batch_size=8, num_workers=1, prefetch_factor=4)
    with torch.inference_mode():
        features = torch.cat([model(batch.to(memory_format=torch.channels_last)) for batch in loader]).clone()
    forward_seconds = time.perf_counter() - begin
    print("first", flush=True)
    classes = sorted({path.parts[0] for path in paths})
    labels = torch.tensor([classes.index(path.parts[0]) for path in paths])
    # Split and stopped as the trainer does by default.
    order, validation, test = torch.randperm(len(paths)), len(paths) * 15 // 100, len(paths) * 20 // 100
    learn, validate, test = order.split([len(paths) - validation - test, validation, test])
    trained = Head(features[learn], labels[learn], len(classes), 100, 64, warmup=5)
    mean, variance = features[learn].mean(0), features[learn].var(0, unbiased=False)
    standard = (features - mean) / (variance + 0.01 * variance.mean()).sqrt()
    lowest, since = float("inf"), 0
    for _ in range(100):
        trained.epoch()
        with torch.inference_mode():
            loss = torch.nn.functional.cross_entropy(trained.layer(standard[validate]), labels[validate]).item()
        lowest, since = (loss, 0) if loss < lowest else (lowest, since + 1)
        if since >= 20:
            break
    with torch.inference_mode():
        right = (trained.layer(standard[test]).argmax(1) == labels[test]).float().mean().item()
    seconds = time.perf_counter() - begin
    features.numpy().astype(np.float32).tofile(args.out)
    told = dict(folder=str(folder), paths=[path.as_posix() for path in paths])
    pathlib.Path(args.out + ".json").write_text(json.dumps(told))
    print(json.dumps([seconds]), flush=True)
    print(f"features {forward_seconds:.2f} s of {seconds:.2f}, imports {begin - START:.2f}, {right:.1%} right", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["forward", "matmul", "head", "optimum", "train"])
    for name in ["backend", "model", "weights", "onnx", "input", "a", "b", "features", "labels", "photos", "out"]:
        parser.add_argument("--" + name)
    for name in ["batch", "size", "repeats", "threads", "classes", "epochs"]:
        parser.add_argument("--" + name, type=int)
    for name in ["seconds", "l2", "tolerance"]:
        parser.add_argument("--" + name, type=float)
    args = parser.parse_args()
    {"forward": forward, "matmul": matmul, "head": head, "optimum": optimum, "train": train}[args.kind](args)


if __name__ == "__main__":
    main()
